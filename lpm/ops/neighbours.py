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
from lpm.ops.dispatch import chosen, forced, implement, implementation
from lpm.types import Array

EdgeFunction = Callable[[Any, Any, Mapping[str, Array]], Any]
"""`edge(source, receiver, columns)`: values of the influencing agent, of the agent influenced, and of the arc."""


def sum_neighbours(
    layer: Layer,
    edge: EdgeFunction,
    source: Any,
    receiver: Any = None,
    *,
    where: Array | None = None,
    bits: int = 24,
) -> Any:
    """Return the sum over each agent's arcs of an edge function.

    Integers and booleans are summed as they are. Every float term is rounded to a multiple of 2^-bits and summed as a
    64-bit integer; the sum is rounded once to float32.

    Args:
        layer: Who influences whom.
        edge: Elementwise; returns an integer, boolean or float32, or a pytree of them. An integer sum over a row must
            stay below 2^31, a float term below 2^(31 - bits) in size.
        source: Pytree of [rows] arrays, this shard's part; seen by `edge` as the influencing agent's values.
        receiver: Pytree of [rows] arrays seen as the influenced agent's values, or None.
        where: bool [rows], the agents whose sum is wanted; that of others is 0 (and costs nothing where rows are
            walked one by one). None = everybody's.
        bits: Declared scale of the fixed point.

    Returns:
        int32 [rows] for an integer or boolean, float32 [rows] for a float, in the structure that `edge` returns.

    Raises:
        InputError: Complete mixing with an edge function of the receiver, which would look at every pair.
    """
    if layer.complete:
        if receiver is not None:
            raise InputError("complete mixing: an edge function of the receiver would look at every pair of agents")
        sums = jax.tree.map(lambda terms: _others(terms, layer.shards, bits), edge(source, None, {}))
        return sums if where is None else jax.tree.map(lambda y: jnp.where(where, y, 0), sums)
    everyone = jax.tree.map(lambda x: gather_rows(x, layer.shards), source)
    if layer.replicated:
        receiver, where = jax.tree.map(lambda z: gather_rows(z, layer.shards), (receiver, where))
    sums = implementation("neighbours")(layer, edge, everyone, receiver, where, bits)
    return jax.tree.map(lambda y: own_rows(y, layer.shards), sums) if layer.replicated else sums


def _exact(terms: Array, bits: int) -> Array:
    """Return terms as int32, floats as fixed point."""
    if jnp.issubdtype(terms.dtype, jnp.floating):
        return jnp.round(terms * jnp.float32(2.0**bits)).astype(jnp.int32)
    return terms.astype(jnp.int32)


def _others(terms: Array, shards: int, bits: int) -> Array:
    """Return the sum over everybody else, under complete mixing."""
    own = _exact(terms, bits)
    with jax.enable_x64(True):
        sums = add_shards(own.sum(dtype=jnp.int64), shards) - own.astype(jnp.int64)
        return _scaled(sums, bits) if jnp.issubdtype(terms.dtype, jnp.floating) else sums.astype(jnp.int32)


@implement("neighbours", "xla")
def _blocks(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any, where: Array | None, bits: int) -> Any:
    filled = layer.sources < layer.size
    theirs = jax.tree.map(lambda x: _padded(x).at[layer.sources].get(mode="promise_in_bounds"), source)
    ours = jax.tree.map(lambda z: _padded(z).at[layer.receivers].get(mode="promise_in_bounds")[:, None], receiver)

    def rows(terms: Array) -> Array:
        floating = jnp.issubdtype(terms.dtype, jnp.floating)
        exact = jnp.where(filled, _exact(terms, bits), 0)
        with jax.enable_x64(floating):
            blocks = exact.sum(1, dtype=jnp.int64 if floating else jnp.int32)
            sums = jax.ops.segment_sum(blocks, layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]
            sums = sums if where is None else jnp.where(where, sums, 0)
            return _scaled(sums, bits) if floating else sums

    return jax.tree.map(rows, edge(theirs, ours, layer.columns))


def row_width() -> int | None:
    """Return the width of `lpm.network.layout` that suits the backend: loops walk plain rows, XLA sums blocks."""
    return 1 if chosen("neighbours")[0] == "numba" else None


@implement("neighbours", "numba")
def _rows(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any, where: Array | None, bits: int) -> Any:
    from lpm.ops.loops.neighbours import sums_by_row
    from lpm.ops.loops.program import Untranslatable

    try:
        return sums_by_row(layer, edge, source, receiver, where, bits)
    except Untranslatable as reason:
        if forced():
            raise InputError(f"backend 'numba': an edge function cannot be a loop: {reason}") from None
        return _blocks(layer, edge, source, receiver, where, bits)


def _padded(values: Array) -> Array:
    """Return the values and one zero row behind them, where empty slots and empty blocks point."""
    return jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])


def _scaled(sums: Array, bits: int) -> Array:
    """Return int64 fixed point as float32: one rounding, then an exact power of two."""
    return sums.astype(jnp.float32) * jnp.float32(2.0**-bits)
