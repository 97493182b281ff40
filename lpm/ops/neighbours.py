r"""Neighbour reduction: for every agent i the sum over its arcs of an edge function.

.. math:: y_i = \sum_{(j \to i)} f(x_j, z_i, c_{ji})

Sums are of integers, or of 64-bit fixed point for floats, so that no order of devices, blocks or relabelling can change
a bit. The XLA function here is the specification of every other backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.network import Layer
from lpm.ops.collective import add_shards, gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.types import Array

EdgeFunction = Callable[[Any, Any, Mapping[str, Array]], Array]
"""`edge(source, receiver, columns)`: values of the influencing agent, of the agent influenced, and of the arc."""


def count_neighbours(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any = None) -> Array:
    """Return int32 [rows], the sum over each agent's arcs of an integer edge function.

    Args:
        layer: Who influences whom.
        edge: Elementwise, returns an integer or boolean; its sum over a row must stay below 2^31.
        source: Pytree of [rows] arrays, this shard's part; seen by `edge` as the influencing agent's values.
        receiver: Pytree of [rows] arrays seen as the influenced agent's values, or None.
    """
    return implementation("neighbours")(layer, edge, source, receiver, None)


def sum_neighbours(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any = None, *, bits: int = 24) -> Array:
    """Return float32 [rows], the sum over each agent's arcs of a float edge function, in fixed point.

    Every term is rounded to a multiple of 2^-bits and summed as a 64-bit integer; the sum is rounded once to float32.

    Args:
        layer: Who influences whom.
        edge: Elementwise, returns float32 of size below 2^(31 - bits).
        source: As in `count_neighbours`.
        receiver: As in `count_neighbours`.
        bits: Declared scale of the fixed point.
    """
    return implementation("neighbours")(layer, edge, source, receiver, bits)


@implement("neighbours", "xla")
def _neighbours(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any, bits: int | None) -> Array:
    def exact(values: Array) -> Array:
        return values.astype(jnp.int32) if bits is None else jnp.round(values * 2.0**bits).astype(jnp.int32)

    if layer.complete:
        if receiver is not None:
            raise InputError("complete mixing: an edge function of the receiver would look at every pair of agents")
        own = exact(edge(source, None, {}))
        with jax.enable_x64(True):
            others = add_shards(own.sum(dtype=jnp.int64), layer.shards) - own.astype(jnp.int64)
            return others.astype(jnp.int32) if bits is None else _scaled(others, bits)
    everyone = jax.tree.map(lambda x: gather_rows(x, layer.shards), source)
    filled = layer.sources < layer.size
    if layer.replicated:
        receiver = jax.tree.map(lambda z: gather_rows(z, layer.shards), receiver)
    theirs = jax.tree.map(lambda x: _padded(x).at[layer.sources].get(mode="promise_in_bounds"), everyone)
    ours = jax.tree.map(lambda z: _padded(z).at[layer.receivers].get(mode="promise_in_bounds")[:, None], receiver)
    terms = jnp.where(filled, exact(edge(theirs, ours, layer.columns)), 0)
    if bits is None:
        rows = jax.ops.segment_sum(terms.sum(1), layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]
        return own_rows(rows, layer.shards) if layer.replicated else rows
    with jax.enable_x64(True):
        blocks = terms.sum(1, dtype=jnp.int64)
        sums = jax.ops.segment_sum(blocks, layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]
        return _scaled(own_rows(sums, layer.shards) if layer.replicated else sums, bits)


def _padded(values: Array) -> Array:
    """Return the values and one zero row behind them, where empty slots and empty blocks point."""
    return jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])


def _scaled(sums: Array, bits: int) -> Array:
    """Return int64 fixed point as float32: one rounding, then an exact power of two."""
    return sums.astype(jnp.float32) * jnp.float32(2.0**-bits)
