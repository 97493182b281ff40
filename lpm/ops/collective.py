"""The only places where devices talk: gather every shard's rows, or add up exact integers."""

from __future__ import annotations

from typing import Any

import jax

from lpm.types import Array

AXIS = "agents"
"""Name of the mesh axis over which agents are spread."""

PLAIN: Any = {"mode": "promise_in_bounds", "wrap_negative_indices": False}
"""Look-ups whose numbers are all within bounds; else XLA holds the rows of a layer twice, to count from the end."""


def gather_rows(values: Array, shards: int) -> Array:
    """Return the rows of all shards, [shards * rows, ...], in order of shards."""
    return values if shards == 1 else jax.lax.all_gather(values, AXIS, tiled=True)


def own_rows(values: Array, shards: int) -> Array:
    """Return this shard's part of rows that every shard holds."""
    if shards == 1:
        return values
    rows = values.shape[0] // shards
    return jax.lax.dynamic_slice_in_dim(values, jax.lax.axis_index(AXIS) * rows, rows)


def add_shards(values: Array, shards: int) -> Array:
    """Return the sum over shards of integers (exact, so the order does not matter)."""
    return values if shards == 1 else jax.lax.psum(values, AXIS)
