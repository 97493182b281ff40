"""Counting sort: a stable order of rows by a small integer key."""

from __future__ import annotations

import jax.numpy as jnp

from lpm.ops.dispatch import implement, implementation
from lpm.types import Array


def counting_sort(keys: Array, count: int) -> tuple[Array, Array]:
    """Return the stable order of rows by key and where each key's run begins.

    Args:
        keys: int32 [rows], 0 .. count - 1.
        count: Number of keys.

    Returns:
        order: int32 [rows], positions of the rows in ascending order of (key, position).
        starts: int32 [count + 1], first place of each key in `order`.
    """
    return implementation("sort")(keys, count)


@implement("sort", "numba")
def _sort_by_loop(keys: Array, count: int) -> tuple[Array, Array]:
    from lpm.ops.loops.order import counting_sort

    return counting_sort(keys, count)


@implement("sort", "xla")
def _sort(keys: Array, count: int) -> tuple[Array, Array]:
    order = jnp.argsort(keys, stable=True).astype(jnp.int32)
    sizes = jnp.zeros(count, jnp.int32).at[keys].add(1)
    return order, jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(sizes, dtype=jnp.int32)])
