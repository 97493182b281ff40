r"""The majority-vote model with noise: agents follow most of their neighbours, and err with chance q.

.. math:: P(v_i \leftarrow 1) = r_{\Delta t} \cdot \begin{cases} 1 - q & n_i > k_i / 2 \\ 1/2 & n_i = k_i / 2 \\
    q & n_i < k_i / 2 \end{cases},\quad r_{\Delta t} = 1 - (1 - r)^{\Delta t}

n of the k present neighbours are "for". By default synchronous: every agent revises with chance :math:`r_{\Delta t}`
and sees the votes of the step before (r = 1: everybody at every step). `schedule = "random-sequential"` is the
published schedule: :math:`N r \Delta t` events follow each other, each of one agent drawn uniformly; short synchronous
steps come near it. On the square lattice order is lost at q = 0.075; under complete mixing the share on the larger side
goes to 1 - q.

Reference: M. J. de Oliveira, 1992, doi:10.1007/BF01060069. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

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
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.sequences import Draws, one_by_one_on_sums
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class Majority(Kernel):
    """Agents that revise take the vote of most neighbours, or by mistake the other."""

    name = "majority"
    columns = (VOTE,)
    writes = ("vote",)
    gradient = "common random numbers"

    @partial(jax.tree_util.register_dataclass, data_fields=["initial", "noise", "revision"], meta_fields=["schedule"])
    @dataclass(frozen=True)
    class Params(Revisions):
        """Parameters of the majority-vote model."""

        noise: Any = parameter(
            0.05,
            unit="1",
            bounds=(0, 0.5),
            meaning="chance of taking the other side than most neighbours",
            source="guess: below the 0.075 (de Oliveira, 1992) at which the square lattice loses order",
            prior=("uniform", 0.0, 0.2),
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
        """Refuse steps of more revisions, one after the other, than anybody waits for."""
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
        vote, ids, here, limit = agents["vote"], agents["id"], agents["present"], threshold(params.noise)

        def new(lead: Array, err: Array, coin: Array) -> Array:
            """Return the vote where so many more neighbours are "for" than against."""
            return jnp.where(lead == 0, coin >> 31 == 1, (lead > 0) ^ happens(err, limit)).astype(jnp.uint8)

        if in_turn(params):
            each = revisions_of_step(params.revision, clock.dt, layer)

            def follow(lead: Array, draws: Draws) -> Array:
                return new(lead, draws["err"], draws["coin"])

            after = one_by_one_on_sums(layer, key, agents, each, vote, _side, follow, draws=("err", "coin"))
            return {"vote": after}
        revises = who_revises(key, agents, params.revision, clock.dt, layer)
        # +1 for each neighbour "for", -1 against, 0 absent: one sum tells which side is larger
        side = jnp.where(here, _side(vote), 0).astype(jnp.int8)
        lead = sum_neighbours(layer, lambda x, z, c: x.astype(jnp.int32), side, where=revises)
        err, coin = (agent_bits(purpose(key, name), ids) for name in ("err", "coin"))
        return {"vote": jnp.where(revises, new(lead, err, coin), vote)}


def _side(vote: Array) -> Array:
    """Return int32, 1 for votes "for" and -1 for those against."""
    return vote.astype(jnp.int32) * 2 - 1
