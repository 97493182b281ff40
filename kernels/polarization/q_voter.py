r"""The q-voter model: q neighbours convince an agent when they agree with each other.

.. math:: f(x) = x^q + \varepsilon\,(1 - x^q - (1 - x)^q)

is the chance that an agent "against" changes, x being the share "for" among its neighbours: it looks at q of them,
drawn with repetition; where they agree it takes their vote, else it changes sides with chance :math:`\varepsilon`. An
agent who draws an absent neighbour keeps its vote. By default synchronous: every agent revises with chance
:math:`r_{\Delta t} = 1 - (1 - r)^{\Delta t}`. `schedule = "random-sequential"` is the published schedule:
:math:`N r \Delta t` events follow each other, each of one agent drawn uniformly.

Reference: C. Castellano, M. A. Muñoz and R. Pastor-Satorras, 2009, doi:10.1103/PhysRevE.80.041129. Draws are hard:
gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import VOTE, first_votes, one_layer
from lpm.kernels.polarization.revisions import (
    MEANING,
    Revisions,
    check_revisions,
    in_turn,
    revisions_of_step,
    who_revises,
)
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.encounters import meet_one
from lpm.ops.sequences import Draws, one_by_one
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

MOST = 8
"""Largest lobby."""

ABSENT = 2
"""What an agent sees of one who is not there."""


@register
class QVoter(Kernel):
    """Agents that revise ask q neighbours how they vote."""

    name = "q-voter"
    columns = (VOTE,)
    writes = ("vote",)
    gradient = "common random numbers"

    @partial(
        jax.tree_util.register_dataclass,
        data_fields=["initial", "lobby", "change", "revision"],
        meta_fields=["schedule"],
    )
    @dataclass(frozen=True)
    class Params(Revisions):
        """Parameters of the q-voter model."""

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
        revision: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(0, 1),
            meaning=MEANING,
            source="guess",
            prior=("beta", 2, 8),
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse a lobby that is not a whole number, and steps of more revisions than anybody waits for."""
        if float(params.lobby) % 1:
            raise InputError(f"{where}.lobby: expected a whole number, got {float(params.lobby):g}")
        check_revisions(params, where, dt)

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
        asked = jnp.round(params.lobby).astype(jnp.int32)
        if in_turn(params):
            return {"vote": _in_turn(layer, key, agents, params, clock.dt, asked)}
        vote, ids, here = agents["vote"], agents["id"], agents["present"]
        shown = gather_rows(jnp.where(here, vote, jnp.uint8(ABSENT)), layer.shards)
        shown = jnp.append(shown, jnp.uint8(ABSENT))  # whom agents without neighbours meet
        ask = purpose(key, "ask")

        def one_more(k: Array, seen: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            met = shown.at[meet_one(layer, bits(ask, ids, k), ids, here)].get(mode="promise_in_bounds")
            return seen[0] & (met == 1), seen[1] & (met == 0), seen[2] & (met != ABSENT)

        all_ = jnp.ones(here.shape, bool)
        for_, against, known = jax.lax.fori_loop(0, asked, one_more, (all_, all_, all_))
        revises = known & who_revises(key, agents, params.revision, clock.dt, layer)
        flips = happens(agent_bits(purpose(key, "change"), ids), threshold(params.change))
        new = jnp.where(for_, 1, jnp.where(against, 0, vote ^ flips.astype(jnp.uint8))).astype(jnp.uint8)
        return {"vote": jnp.where(revises, new, vote)}


def _in_turn(layer: Layer, key: Key, agents: Columns, params: Any, dt: float, asked: Array) -> Array:
    """Return the votes after the events of one step."""
    lobby, limit = jnp.arange(MOST, dtype=jnp.int32) < asked, threshold(params.change)

    def persuaded(own: Array, theirs: Array, draws: Draws) -> Array:
        for_, against = ((theirs == 1) | ~lobby).all(), ((theirs == 0) | ~lobby).all()
        flip = happens(draws["change"], limit).astype(jnp.uint8)
        return jnp.where(for_, jnp.uint8(1), jnp.where(against, jnp.uint8(0), own ^ flip))

    each = revisions_of_step(params.revision, dt, layer)
    return one_by_one(layer, key, agents, each, agents["vote"], persuaded, draws=("change",), picks=MOST, needed=lobby)
