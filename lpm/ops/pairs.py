"""Pair matching: random disjoint pairs of agents, the encounter of pairwise models.

Who meets whom depends on the order of all draws: every device holds a draw and an id of 32 bits for every agent.
"""

from __future__ import annotations

import jax.numpy as jnp

from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.types import Array


def match_pairs(draws: Array, ids: Array, present: Array, shards: int = 1) -> Array:
    """Return int32 [rows], each agent's partner (a position among all agents), -1 without one.

    Agents are put in order of (draw, outside id); the first meets the second, the third the fourth, and so on. With an
    odd number of present agents the last has no partner. Every perfect matching is equally likely up to equal draws.

    Args:
        draws: uint32 [rows], uniform, this shard's part.
        ids: uint32 [rows], outside ids: they break ties.
        present: bool [rows]; absent agents get no partner.
        shards: Number of devices.
    """
    everyone = [gather_rows(x, shards) for x in (draws, ids, present)]
    return own_rows(implementation("pairs")(*everyone), shards)


@implement("pairs", "numba")
def _pairs_by_loop(draws: Array, ids: Array, present: Array) -> Array:
    from lpm.ops.loops.order import pairs

    return pairs(draws, ids, present)


@implement("pairs", "xla")
def _pairs(draws: Array, ids: Array, present: Array) -> Array:
    order = jnp.lexsort((ids, draws, ~present)).astype(jnp.int32)
    count = order.shape[0]
    place = jnp.arange(count, dtype=jnp.int32)
    met = place ^ 1
    paired = jnp.maximum(place, met) < present.sum(dtype=jnp.int32)
    partner = jnp.where(paired, order[jnp.minimum(met, count - 1)], -1)
    return jnp.full(count, -1, jnp.int32).at[order].set(partner)
