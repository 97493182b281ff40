"""Moves between levels: exact weighted sums of those who entered and of those who left each level of a column."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lpm.ops.collective import add_shards
from lpm.ops.dispatch import implement, implementation
from lpm.ops.groups import limbs
from lpm.types import Array

MOST_SUMS = 1 << 14
"""Cells times levels up to which a loop keeps sums of its own for every part; XLA scatters beyond."""


def moves_between_levels(
    before: Array, after: Array, weight: Array, present: Array, cell: Array, cells: int, levels: int, shards: int = 1
) -> tuple[Array, Array]:
    """Return uint32 [cells, levels, 2] twice: sums of the weight of who entered and of who left a level, as limbs.

    Args:
        before: Codes of the levels, integers [rows], this shard's part.
        after: Codes that followed, of the same dtype.
        weight: uint32 [rows], 1/65536 person.
        present: bool [rows]; others do not count.
        cell: int32 [rows], the joint cell of each row.
        cells: Number of joint cells.
        levels: Number of levels.
        shards: Number of devices.
    """
    with jax.enable_x64(True):
        sums = implementation("moves")(before, after, weight, present, cell, cells, levels)
        whole = limbs(add_shards(sums, shards)).reshape(2, cells, levels, 2)
        return whole[0], whole[1]


@implement("moves", "xla")
def _scattered(
    before: Array, after: Array, weight: Array, present: Array, cell: Array, cells: int, levels: int
) -> Array:
    """Return int64 [2 x cells x levels], entered first."""
    moved = jnp.where((before != after) & present, weight, 0).astype(jnp.int64)
    sums = jnp.zeros(2 * cells * levels, jnp.int64)
    for way, code in enumerate((after, before)):
        sums = sums.at[(way * cells + cell) * levels + code.astype(jnp.int32)].add(moved, mode="promise_in_bounds")
    return sums


@implement("moves", "numba")
def _looped(before: Array, after: Array, weight: Array, present: Array, cell: Array, cells: int, levels: int) -> Array:
    if cells * levels > MOST_SUMS:
        return _scattered(before, after, weight, present, cell, cells, levels)
    from lpm.ops.loops.moves import moves

    cell = cell if cells > 1 else jnp.zeros(1, jnp.int32)  # else XLA writes zeros for everybody in every step
    return moves(before, after, weight, present, cell, cells * levels, levels)


def changed_limbs(pair: Array, entered: Array, left: Array) -> Array:
    """Return limbs [..., 2] of the sums of the step before, with who entered added and who left taken away."""
    with jax.enable_x64(True):
        whole, more, less = (
            limb[..., 0].astype(jnp.int64) | (limb[..., 1].astype(jnp.int64) << 32) for limb in (pair, entered, left)
        )
        return limbs(whole + more - less)
