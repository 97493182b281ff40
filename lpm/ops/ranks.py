"""Random ranks: a random order of the members of each group, one order per stream of draws.

A rank depends on all draws: every device holds a draw, an id and a group of 32 bits for every agent.
"""

from __future__ import annotations

import jax.numpy as jnp

from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.types import Array


def rank_in_group(draws: Array, ids: Array, group: Array, groups: int, shards: int = 1) -> Array:
    """Return int32 [rows], how many members of an agent's group come before it in the order of (draw, outside id).

    Args:
        draws: uint32 [rows], uniform, this shard's part.
        ids: uint32 [rows], outside ids: they break ties.
        group: int32 [rows], 0 .. groups - 1; a row outside counts nowhere and gets -1.
        groups: Number of groups.
        shards: Number of devices.
    """
    everyone = [gather_rows(x, shards) for x in (draws, ids, group)]
    return own_rows(implementation("ranks")(*everyone, groups), shards)


@implement("ranks", "numba")
def _ranks_by_loop(draws: Array, ids: Array, group: Array, groups: int) -> Array:
    from lpm.ops.loops.order import ranks

    return ranks(draws, ids, group, groups)


@implement("ranks", "xla")
def _ranks(draws: Array, ids: Array, group: Array, groups: int) -> Array:
    inside = (group >= 0) & (group < groups)
    held = jnp.where(inside, group, groups)
    order = jnp.lexsort((ids, draws, held)).astype(jnp.int32)
    sizes = jnp.zeros(groups + 1, jnp.int32).at[held].add(1)
    starts = jnp.cumsum(sizes, dtype=jnp.int32) - sizes
    place = jnp.arange(order.shape[0], dtype=jnp.int32)
    ranks = jnp.zeros_like(place).at[order].set(place - starts[held[order]])
    return jnp.where(inside, ranks, -1)
