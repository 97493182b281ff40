r"""Signed persuasion: like-minded talk reinforces (or unsettles), talk from the other side persuades.

.. math:: \Delta x_i = \sigma_i\, A(V_i)\, \mathrm{sgn}(x_i) \big(\rho_i s_i - \kappa\,(1 - s_i)\big)\, \Delta t,\quad
    A(V) = V\,\frac{1 + c}{V + c}

within -1 to 1. Synchronous. :math:`V_i` is the voice of the neighbours of agent i who take a side (each counts for its
`voice`, all layers together), :math:`s_i` the part of it on the side of i itself. One contact is the unit of attention
A; a crowd counts for at most 1 + c. An agent who takes no side (x = 0) is persuaded by both. Agents are heterogeneous:
stubborn ones have a small susceptibility :math:`\sigma`, and the reinforcement :math:`\rho` is drawn once per agent
from a normal law, below 0 for those whom like-minded talk makes more moderate. There is no backfire: the other side
only persuades. A persuader is an agent of susceptibility 0.

One set of parameters gives all three arms of a published table of outcomes of language-model agents, where only who
talks to whom differs; the defaults are that set (six numbers for nine free ones, found by
tests/benchmarks/fit_persuasion.py): a description of those agents, fitted to the table it is compared with, and no
finding on people, among whom contact with the other side can reinforce (Bail et al., 2018,
doi:10.1073/pnas.1804840115).

Reference: J. Piao et al., 2025, AgentSociety, doi:10.48550/arXiv.2502.08691 (the table: experiment on polarization).
The rule is this project's own, in the tradition of E. Burnstein and A. Vinokur, 1977, persuasive arguments,
doi:10.1016/0022-1031(77)90002-6. Gradients between choices, by all parameters but the shares
`stubborn` and `initial`, which are drawn: they leave out that an agent changes its side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.friedkin_johnsen import FriedkinJohnsen
from lpm.kernels.polarization.opinions import OPINION
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, normal, purpose, threshold
from lpm.types import Array, Columns, Tables

(SUSCEPTIBILITY,) = (column for column in FriedkinJohnsen.columns if column.name == "susceptibility")
MOST_REINFORCEMENT = 1.0
STANCES = ("firmly against", "against", "undecided", "for", "firmly for")
"""Attitudes of 0 and 1, 2 to 4, 5, 6 to 8, 9 and 10 on the scale of 0 to 10 (a division of this project's own)."""

FITTED = "fitted to the three arms of Piao et al., 2025, 10.48550/arXiv.2502.08691 (see the module)"


@register
class Persuasion(Kernel):
    """Stubborn and persuadable agents whom their own side reinforces and the other side persuades."""

    name = "persuasion"
    columns = (
        OPINION,
        Column("stance", "uint8", "opinion in words, by the nearest whole number from -5 to 5", levels=STANCES),
        SUSCEPTIBILITY,
        Column(
            "reinforcement", "float32", "move away from the middle a day of like-minded talk", unit="1/day",
            bounds=(-MOST_REINFORCEMENT, MOST_REINFORCEMENT),
        ),
        Column("voice", "float32", "how many contacts an agent counts for, 0 = silent", bounds=(0, 10), default=1),
    )  # fmt: skip
    reads = ("community",)
    writes = ("opinion", "stance", "susceptibility", "reinforcement")
    gradient = "between choices"
    hard = ("stubborn", "initial")

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of signed persuasion."""

        persuasion: Any = parameter(
            0.17,
            unit="1/day",
            bounds=(0, 10),
            meaning="move a day towards the other side when one contact of that side talks (kappa)",
            source=FITTED,
            prior=("lognormal", 0.17, 0.3),
        )
        reinforcement: Any = parameter(
            0.18,
            unit="1/day",
            bounds=(-1, 1),
            meaning="mean move away from the middle a day when one like-minded contact talks",
            source=FITTED,
            prior=("normal", 0.18, 0.05),
            initial=True,
        )
        diversity: Any = parameter(
            0.264,
            unit="1/day",
            bounds=(0, 1),
            meaning="standard deviation of that move between agents",
            source=FITTED,
            prior=("lognormal", 0.264, 0.3),
            initial=True,
        )
        stubborn: Any = parameter(
            0.865,
            unit="1",
            bounds=(0, 1),
            meaning="share of stubborn agents",
            source=FITTED,
            prior=("beta", 8.7, 1.3),
            initial=True,
        )
        yielding: Any = parameter(
            0.197,
            unit="1",
            bounds=(0, 1),
            meaning="susceptibility of stubborn agents; that of the persuadable is 1",
            source=FITTED,
            prior=("beta", 2, 8),
            initial=True,
        )
        crowd: Any = parameter(
            16.1,
            unit="people",
            bounds=(0, 1000),
            meaning="a crowd of contacts counts for at most 1 + this, half of it at this many (c)",
            source=FITTED,
            prior=("lognormal", 16.1, 0.5),
        )
        initial: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 1),
            meaning="share in favour at the start, by community",
            source="Piao et al., 2025: both sides with the same chance",
            by="community",
            initial=True,
        )
        lean: Any = parameter(
            0.4,
            unit="1",
            bounds=(0, 1),
            meaning="distance of first opinions from the middle",
            source="Piao et al., 2025: attitudes of 3 and 7 between 0 and 10",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first opinions, susceptibilities and reinforcements."""
        agents = tables["agents"]
        ids, here = agents["id"], agents["present"]
        share = params.initial[agents["community"]] if params.initial.ndim else params.initial
        favour = happens(agent_bits(purpose(key, "initial"), ids), threshold(share))
        stubborn = happens(agent_bits(purpose(key, "stubborn"), ids), threshold(params.stubborn))
        drawn = params.reinforcement + params.diversity * normal(purpose(key, "reinforcement"), ids)
        opinion = jnp.where(here, jnp.where(favour, params.lean, -params.lean), jnp.float32(0))
        return {
            "opinion": opinion,
            "stance": stance_of(opinion),
            "susceptibility": jnp.where(stubborn, params.yielding, jnp.float32(1)),
            "reinforcement": jnp.clip(drawn, -MOST_REINFORCEMENT, MOST_REINFORCEMENT),
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step; the traits of agents stay."""
        agents = tables["agents"]
        opinion, here, open_, own = (agents[n] for n in ("opinion", "present", "susceptibility", "reinforcement"))
        for_, against = heard(networks, opinion, jnp.where(here, agents["voice"], 0))
        rate = open_ * drive(opinion, for_, against, own, params)
        after = jnp.clip(opinion + rate * jnp.float32(clock.dt), -1, 1)
        return {
            "opinion": jnp.where(here, after, opinion),
            "stance": jnp.where(here, stance_of(after), agents["stance"]),
            "susceptibility": open_,
            "reinforcement": own,
        }


def stance_of(opinion: Array) -> Array:
    """Return uint8 [rows], the level of `STANCES` of an opinion."""
    attitude = jnp.round(5 * opinion)
    return (2 + jnp.sign(attitude) * (1 + (jnp.abs(attitude) > 3))).astype(jnp.uint8)


def heard(networks: Mapping[str, Layer], opinion: Array, voice: Array) -> tuple[Array, Array]:
    """Return float32 [rows], the voice of each agent's neighbours in favour and of those against, over all layers.

    Raises:
        InputError: No layer.
    """
    if not networks:
        raise InputError("kernel 'persuasion': expected at least one layer, got none")
    sides = (jnp.where(opinion > 0, voice, 0), jnp.where(opinion < 0, voice, 0))
    for_, against = jnp.zeros_like(opinion), jnp.zeros_like(opinion)
    for layer in networks.values():
        up, down = sum_neighbours(layer, lambda x, z, c: x, sides)
        for_, against = for_ + up * layer.scale.reshape(()), against + down * layer.scale.reshape(())
    return for_, against


def drive(opinion: Array, for_: Array, against: Array, own: Array, params: Any) -> Array:
    """Return float32 [rows], the move a day of agents of susceptibility 1, positive upwards.

    Args:
        opinion: float32 [rows].
        for_: float32 [rows], voice in favour that is heard.
        against: float32 [rows], voice against.
        own: float32 [rows], reinforcement by the own side.
        params: `crowd` and `persuasion`.
    """
    volume = for_ + against
    attention = volume * (1 + params.crowd) / jnp.maximum(volume + params.crowd, jnp.float32(1e-6))
    share = jnp.where(volume > 0, for_ / jnp.maximum(volume, jnp.float32(1e-6)), jnp.float32(0.5))
    up = share * jnp.where(opinion > 0, own, params.persuasion)
    down = (1 - share) * jnp.where(opinion < 0, own, params.persuasion)
    return attention * (up - down)
