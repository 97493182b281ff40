r"""Revision of estimates: people who see or discuss what others think a number is keep, compromise, adopt or overreact.

With X the logarithm of an estimate, M what agent i makes of those it sees, and D = M - X,

.. math:: X_i' = X_i + S_i D_i + \varepsilon_i,\quad M_i = \frac1q \ln \frac{\sum_j v_j e^{q X_j}}{\sum_j v_j},\quad
    \Pr(S_i \ne 0) = (1 - r k_i) \min(f_0 + f_1 |D_i| / \ln 10,\ f_{max})

Synchronous: in a round every agent who revises sees the estimates of the round before. The sensitivity S is 0 (keeps);
else 1 by chance a (adopts), or normal with mean m and standard deviation s (compromises; overreacts above 1,
contradicts below 0), held within -1 and 2. Who is far away moves more often: the share of those who move rises linearly
with the distance in orders of magnitude, up to a plateau; who knows better moves less often (`knowledge` k, resistance
r). q = 0 is the geometric mean, 1 the arithmetic one of the estimates themselves, which one huge answer carries away.
Weights v, drawn once per agent, are those of a discussion in which some talk more: log-normal with the standard
deviation `dominance`, cut at 1, and e^authority times as large for k = 1 as for 0. A share `rethink` of those who
revise has second thoughts, :math:`\varepsilon = b (c_i - X_i) + n d_i z`, z standard normal: a part of the way to
what people typically answer (c), and noise in units of how far answers to the question lie apart (`doubt` d). S comes
from agent i's `openness` u, uniform: it moves if u < Pr, and the smaller u the larger S; a share `habit` keeps its
openness from one round to the next. Most parameters may differ by what is shown to an agent (column `information`).
Whoever is tied to itself counts itself in.

Reference: B. Jayles, H. Kim, R. Escobedo et al., 2017, PNAS 114:12620-12625 (arXiv:1711.02585), for keeping, adopting,
normal sensitivities and their rise with distance; B. Jayles, C. Sire and R. Kurvers, 2021, doi:10.1098/rsif.2021.0231,
for estimates that are shown one by one or averaged; J. Becker, D. Brackbill and D. Centola, 2017,
doi:10.1073/pnas.1615978114, for accurate people who move less. Power means, voices, second thoughts and habit are this
project's own. Gradients by common random numbers: draws are hard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
from jax import lax

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import one_layer, share_of_step
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, normal, purpose, threshold, uniform
from lpm.types import Array, Columns, Tables

INFORMATION = ("none", "mean", "all", "discussion")
"""What an agent is shown: nothing, a mean, all estimates one by one, or people to talk to."""

LARGEST = 24.0
"""Estimates lie between e^-24 and e^24."""

BANDS, BAND = 5, 14
"""e^(qX) is summed in fixed point in bands of 14 bits, five of which hold e^-24 to e^24 with 17 bits or more each."""

GEOMETRIC = 0.01
"""Power below which the power mean is taken as the geometric one; they differ by half as much of the variance."""

VOICES = 3.0
"""Log-normal voices are cut at three standard deviations, which is then a voice of 1."""

GUESS = "guess"


def _shown(default: float, bounds: tuple[float, float], meaning: str, prior: tuple[Any, ...]) -> Any:
    """Declare a parameter that may differ by what agents are shown."""
    return parameter(
        default, unit="1", bounds=bounds, meaning=meaning, source=GUESS, by="information", prior=prior
    )  # fmt: skip


@register
class EstimateRevision(Kernel):
    """People revise an estimate after others' estimates."""

    name = "estimate-revision"
    columns = (
        Column("estimate", "float32", "natural logarithm of the estimate", bounds=(-LARGEST, LARGEST)),
        Column("openness", "float32", "uniform; the smaller the sooner and the further the agent moves", bounds=(0, 1)),
        Column("voice", "float32", "weight of the agent in what others hear", bounds=(0, 1), default=1),
        Column("doubt", "float32", "spread of first log estimates of the agent's question", bounds=(0, 10), default=1),
        Column("typical", "float32", "logarithm of what people typically answer", bounds=(-LARGEST, LARGEST)),
        Column("knowledge", "float32", "1 = knows the answer, 0 = as anybody", bounds=(0, 1)),
        Column("information", "uint8", "what the agent is shown of others", levels=INFORMATION, default=1),
    )
    reads = ("information",)
    writes = ("estimate", "openness", "voice")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the revision of estimates."""

        revision: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(0, 1),
            meaning="chance a day that an agent answers again; 1 = everybody at every step (a round)",
            source="guess; experiments go by rounds",
            prior=("beta", 2, 8),
        )
        follow: Any = _shown(0.6, (0, 1), "share who move when others agree with them (f0)", ("beta", 6, 4))
        distance: Any = _shown(
            0.3, (0, 5), "rise of that share for an order of magnitude of distance (f1)", ("lognormal", 0.3, 1.0)
        )
        most: Any = parameter(
            0.95, unit="1", bounds=(0, 1), meaning="largest share who move", source=GUESS, by="information",
            prior=("beta", 19, 1),
        )  # fmt: skip
        adopt: Any = _shown(0.05, (0, 1), "share of those who move who adopt what they see", ("beta", 1, 9))
        weight: Any = _shown(0.5, (-1, 2), "mean sensitivity of the others who move (m)", ("normal", 0.5, 0.25))
        diversity: Any = _shown(0.35, (0, 2), "standard deviation of their sensitivity (s)", ("lognormal", 0.35, 0.5))
        power: Any = _shown(1.0, (0, 1), "power of the mean: 0 geometric, 1 arithmetic (q)", ("uniform", 0, 1))
        dominance: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 3),
            meaning="standard deviation of the logarithm of voices",
            source=GUESS,
            by="information",
            prior=("lognormal", 0.7, 0.5),
            initial=True,
        )
        resistance: Any = parameter(
            0.0, unit="1", bounds=(-1, 1), meaning="share by which knowledge of 1 lowers the share who move (r)",
            source=GUESS, prior=("normal", 0.3, 0.3),
        )  # fmt: skip
        authority: Any = parameter(
            0.0, unit="1", bounds=(-3, 3), meaning="logarithm of the voice that knowledge of 1 adds", source=GUESS,
            prior=("normal", 0.0, 1.0), initial=True,
        )  # fmt: skip
        rethink: Any = _shown(0.5, (0, 1), "share of those who revise who have second thoughts", ("beta", 5, 5))
        restlessness: Any = _shown(0.3, (0, 5), "noise of second thoughts in doubts (n)", ("lognormal", 0.3, 0.7))
        sobering: Any = _shown(
            0.1, (0, 1), "part of the way to what is typical, in second thoughts (b)", ("beta", 1, 9)
        )
        habit: Any = parameter(
            0.8, unit="1", bounds=(0, 1), meaning="share who keep their openness from round to round", source=GUESS,
            prior=("beta", 8, 2),
        )  # fmt: skip

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return log-normal first estimates, openness and voices."""
        agents = tables["agents"]
        ids, shown = agents["id"], agents["information"]
        loud = at(params.dominance, shown) * (normal(purpose(key, "voice"), ids) - VOICES)
        loud = loud + params.authority * agents["knowledge"] - jnp.maximum(params.authority, 0)
        # The barrier: XLA multiplies the doubts of a batch by the constant within `normal` first, and rounds otherwise.
        first = agents["typical"] + agents["doubt"] * lax.optimization_barrier(normal(purpose(key, "initial"), ids))
        first = jnp.clip(first, -LARGEST, LARGEST)
        return {
            "estimate": jnp.where(agents["present"], first, jnp.float32(0)),
            "openness": uniform(purpose(key, "openness"), ids),
            "voice": jnp.minimum(jnp.exp(loud), jnp.float32(1)),
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the estimates after one round, the openness for the next, and the voices as they were."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        estimate, openness, voice = (agents[name] for name in ("estimate", "openness", "voice"))
        here, shown, ids = agents["present"], agents["information"], agents["id"]
        seen, heard = seen_mean(layer, estimate, jnp.where(here, voice, 0), at(params.power, shown))
        apart = jnp.where(heard, seen - estimate, jnp.float32(0))
        held = 1 - params.resistance * agents["knowledge"]
        sway = jnp.where(heard & (shown > 0), sensitivity(apart, openness, held, shown, params), jnp.float32(0))

        def drawn(name: str, chance: Array) -> Array:
            return happens(agent_bits(purpose(key, name), ids), threshold(chance))

        unsure = drawn("rethink", at(params.rethink, shown))
        noise = (
            at(params.restlessness, shown)
            * agents["doubt"]
            * lax.optimization_barrier(normal(purpose(key, "thought"), ids))
        )
        thought = at(params.sobering, shown) * (agents["typical"] - estimate) + noise
        after = jnp.clip(estimate + sway * apart + jnp.where(unsure, thought, 0), -LARGEST, LARGEST)
        revises = here & drawn("revision", share_of_step(params.revision, clock.dt, layer) * jnp.ones_like(estimate))
        redrawn = revises & ~drawn("habit", params.habit * jnp.ones_like(estimate))
        return {
            "estimate": jnp.where(revises, after, estimate),
            "openness": jnp.where(redrawn, uniform(purpose(key, "openness"), ids), openness),
            "voice": voice,
        }


def at(values: Array, shown: Array) -> Array:
    """Return float32 [rows], each agent's value of a parameter that may differ by `information`."""
    return values[shown] if values.ndim else jnp.broadcast_to(values, shown.shape)


def sensitivity(apart: Array, openness: Array, held: Array, shown: Array, params: Any) -> Array:
    """Return float32 [rows], S of agents.

    Args:
        apart: float32 [rows], distance D from what they see.
        openness: float32 [rows], u.
        held: float32 [rows], what their knowledge leaves of the share who move, 1 - r k.
        shown: uint8 [rows], `information`.
        params: The kernel's parameters.
    """
    names = ("follow", "distance", "most", "adopt", "weight", "diversity")
    follow, rise, most, adopt, weight, diversity = (at(getattr(params, name), shown) for name in names)
    share = held * jnp.minimum(follow + rise * jnp.abs(apart) * jnp.float32(1 / math.log(10)), most)
    rank = openness / jnp.maximum(share, jnp.float32(1e-6))  # uniform among those who move
    rest = jnp.clip((rank - adopt) / jnp.maximum(1 - adopt, jnp.float32(1e-6)), 1e-6, 1 - 1e-6)
    partly = jnp.clip(weight - diversity * jsp.ndtri(rest), -1, 2)
    return jnp.where(rank < 1, jnp.where(rank < adopt, jnp.float32(1), partly), jnp.float32(0))


def seen_mean(layer: Layer, estimate: Array, voice: Array, power: Array) -> tuple[Array, Array]:
    """Return float32 [rows], the power mean M of what each agent sees, and bool [rows], whether it sees anybody.

    Args:
        layer: Who sees whom.
        estimate: float32 [rows], X.
        voice: float32 [rows], v from 0 to 1; 0 = unheard.
        power: float32 [rows], q; that of the agent who is seen counts, so that all who talk together need one.
    """
    powered = jnp.exp2(_above(power, estimate))
    band = jnp.clip(jnp.floor((_level(power, estimate) + BANDS * BAND / 2) / BAND), 0, BANDS - 1)
    terms = tuple(jnp.where(band == k, voice * powered, jnp.float32(0)) for k in range(BANDS))
    *parts, plain, volume = sum_neighbours(layer, lambda x, z, c: x, (*terms, voice * estimate, voice))
    heard = volume > 0
    total = jnp.zeros_like(volume)
    for k, part in enumerate(parts):
        total = total + part * jnp.float32(2.0 ** (BAND * (k - BANDS / 2) + BAND / 2 + 1))
    safe = jnp.where(heard, volume, jnp.float32(1))
    mean = jnp.log(jnp.maximum(total, jnp.float32(1e-30)) / safe) / jnp.maximum(power, jnp.float32(GEOMETRIC))
    return jnp.where(power < GEOMETRIC, plain / safe, mean), heard


def _level(power: Array, estimate: Array) -> Array:
    """Return q X in bits."""
    return power * estimate * jnp.float32(1 / math.log(2))


def _above(power: Array, estimate: Array) -> Array:
    """Return q X in bits above its band, from -8 to 6."""
    level = _level(power, estimate) + BANDS * BAND / 2
    band = jnp.clip(jnp.floor(level / BAND), 0, BANDS - 1)
    return level - BAND * band - (BAND / 2 + 1)
