r"""The q-voter model: q neighbours convince an agent when they agree with each other.

.. math:: f(x) = x^q + \varepsilon\,(1 - x^q - (1 - x)^q)

is the chance that an agent "against" changes, x being the share "for" among its neighbours: it looks at q of them,
drawn with repetition; where they agree it takes their vote, else it changes sides with chance :math:`\varepsilon`. An
agent who draws an absent neighbour keeps its vote. `q-voter` is synchronous: every agent revises with chance
:math:`r_{\Delta t} = 1 - (1 - r)^{\Delta t}`. `q-voter-sequential` is random-sequential, the published schedule:
:math:`N r \Delta t` events follow each other, each of one agent drawn uniformly.

Reference: C. Castellano, M. A. Muñoz and R. Pastor-Satorras, 2009, doi:10.1103/PhysRevE.80.041129. Draws are hard:
gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import VOTE, first_votes, one_layer, share_of_step
from lpm.kernels.polarization.voter import at_most_one
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.encounters import draw_events, in_sequence, meet_one
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

MOST = 8
"""Largest lobby."""

ABSENT = 2
"""What an agent sees of one who is not there."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Lobby:
    """Parameters of both schedules."""

    lobby: Any = parameter(
        2.0,
        unit="1",
        bounds=(1, MOST),
        meaning="neighbours looked at (q), a whole number",
        source="Castellano, Muñoz & Pastor-Satorras, 2009: q = 2 is the smallest that is not the voter model",
    )
    change: Any = parameter(
        0.0,
        unit="1",
        bounds=(0, 1),
        meaning="chance of changing sides where they disagree (epsilon)",
        source="Castellano, Muñoz & Pastor-Satorras, 2009: 0 is the case of exact unanimity",
    )
    initial: Any = parameter(
        0.5, unit="1", bounds=(0, 1), meaning="share 'for' at the start", source="guess", initial=True
    )


def _whole(params: Any, where: str) -> None:
    if float(params.lobby) % 1:
        raise InputError(f"{where}.lobby: expected a whole number, got {float(params.lobby):g}")


@register
class QVoter(Kernel):
    """Agents that revise ask q neighbours how they voted in the step before. Synchronous."""

    name = "q-voter"
    columns = (VOTE,)
    writes = ("vote",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params(_Lobby):
        """Parameters of the synchronous q-voter model."""

        revision: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(0, 1),
            meaning="chance a day that an agent revises its vote; 1 = everybody at every step",
            source="guess",
            prior=("beta", 2, 8),
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse a lobby that is not a whole number."""
        _whole(params, where)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first votes."""
        return first_votes(key, tables["agents"], params.initial)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the votes after one step."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        vote, ids, here = agents["vote"], agents["id"], agents["present"]
        shown = gather_rows(jnp.where(here, vote, jnp.uint8(ABSENT)), layer.shards)
        shown = jnp.append(shown, jnp.uint8(ABSENT))  # whom agents without neighbours meet
        ask = purpose(key, "ask")

        def one_more(k: Array, seen: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            met = shown.at[meet_one(layer, bits(ask, ids, k), ids, here)].get(mode="promise_in_bounds")
            return seen[0] & (met == 1), seen[1] & (met == 0), seen[2] & (met != ABSENT)

        asked = jnp.round(params.lobby).astype(jnp.int32)
        all_ = jnp.ones(here.shape, bool)
        for_, against, known = jax.lax.fori_loop(0, asked, one_more, (all_, all_, all_))
        chance = threshold(share_of_step(params.revision, clock.dt, layer))
        revises = here & known & happens(agent_bits(purpose(key, "revise"), ids), chance)
        flips = happens(agent_bits(purpose(key, "change"), ids), threshold(params.change))
        new = jnp.where(for_, 1, jnp.where(against, 0, vote ^ flips.astype(jnp.uint8))).astype(jnp.uint8)
        return {"vote": jnp.where(revises, new, vote)}


@register
class QVoterSequential(Kernel):
    """Single agents ask q neighbours how they vote now, one after the other. Random-sequential."""

    name = "q-voter-sequential"
    columns = (VOTE,)
    writes = ("vote",)
    schedule = "random-sequential"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params(_Lobby):
        """Parameters of the q-voter model one by one."""

        rate: Any = parameter(
            0.5,
            unit="1/day",
            bounds=(0, 1000),
            meaning="expected revisions of an agent; at most one a step",
            source="guess",
            prior=("lognormal", 0.5, 0.5),
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse steps of more events than agents, and a lobby that is not a whole number."""
        at_most_one(params.rate, where, dt)
        _whole(params, where)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first votes."""
        return first_votes(key, tables["agents"], params.initial)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the votes after the events of one step."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        per_agent = params.rate * (jnp.float32(clock.dt) * layer.scale.reshape(()))
        lobby = jnp.arange(MOST, dtype=jnp.int32) < jnp.round(params.lobby).astype(jnp.int32)
        events = draw_events(layer, key, agents["id"], agents["present"], per_agent, MOST, lobby)
        turn = jnp.arange(layer.size, dtype=jnp.uint32)
        flips = happens(bits(purpose(key, "change"), turn), threshold(params.change)).astype(jnp.uint8)

        def persuade(own: Array, theirs: Array, flip: Array) -> Array:
            for_, against = ((theirs == 1) | ~lobby).all(), ((theirs == 0) | ~lobby).all()
            return jnp.where(for_, jnp.uint8(1), jnp.where(against, jnp.uint8(0), own ^ flip))

        return {"vote": in_sequence(events, agents["vote"], persuade, flips, layer.shards)}
