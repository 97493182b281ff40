r"""Neighbour reduction: for every agent i the sum over its arcs of an edge function.

.. math:: y_i = \sum_{(j \to i)} f(x_j, z_i, c_{ji})

Sums are of integers, or of 64-bit fixed point for floats, so that no order of devices, blocks or relabelling can change
a bit. The XLA function here is the specification of every other backend.

Float sums are differentiable on every backend, in forward and in reverse mode, by what the edge function and the rule
after it are made of: the derivative is that of the sum before it is rounded (`lpm.ops.straight`), summed by the XLA
function. Integer sums, and comparisons in an edge function, have no derivative.

On several devices values of a byte at most are gathered from all of them. Wider ones are visited: every device sums the
arcs that come from its own agents, then those from the next device's, and so on, so that it never holds those of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.network import Layer
from lpm.ops.collective import PLAIN, WORD, Bits, add_shards, everyone, gather_rows, is_small, own_rows, visit
from lpm.ops.dispatch import chosen, forced, implement, implementation
from lpm.ops.fixed import exact, is_fixed, is_wide, scaled, smooth
from lpm.ops.straight import is_float, kept, severed, straight
from lpm.types import Array

EdgeFunction = Callable[[Any, Any, Mapping[str, Array]], Any]
"""`edge(source, receiver, columns)`: values of the influencing agent, of the agent influenced, and of the arc."""

RowRule = Callable[[Any, Any], Any]
"""`then(sums, own)`: what a rule makes of an agent's sums and values."""


def sum_neighbours(
    layer: Layer,
    edge: EdgeFunction,
    source: Any,
    receiver: Any = None,
    *,
    where: Array | None = None,
    bits: int = 24,
    then: RowRule | None = None,
    own: Any = None,
    sparse: bool = False,
) -> Any:
    """Return the sum over each agent's arcs of an edge function, or what a rule of the agent makes of it.

    Integers and booleans are summed as they are. Every float term is rounded to a multiple of 2^-bits (one that is
    `lpm.ops.fixed.Fixed` is in such units already) and summed as a 64-bit integer; the sum is rounded once to float32.

    Args:
        layer: Who influences whom.
        edge: Elementwise; returns an integer, boolean or float32, or a pytree of them. An integer sum over a row must
            stay below 2^31, a float term below 2^(31 - bits) in size.
        source: Pytree of [rows] arrays, this shard's part; seen by `edge` as the influencing agent's values.
        receiver: Pytree of [rows] arrays seen as the influenced agent's values, or None.
        where: bool [rows], the agents whose sum is wanted; that of others is 0 (and costs nothing where rows are
            walked one by one). None = everybody's.
        bits: Declared scale of the fixed point.
        then: `then(sums, own)`, elementwise: what follows the sum in one pass over the rows; None = the sums.
        own: Pytree of [rows] arrays seen by `then` as the agent's values, or None.
        sparse: A promise: the edge function is 0 where all values of the influencing agent are 0, and `then` of sums
            that are all 0 is 0. Loops then look only near active agents where these are few; the result is the same.

    Returns:
        int32 [rows] for an integer or boolean, float32 [rows] for a float, in the structure that `edge` returns; with
        `then` whatever that returns, [rows]; 0 where `where` does not hold.

    Raises:
        InputError: Complete mixing with an edge function of the receiver, which would look at every pair.
    """
    if layer.complete:
        if receiver is not None:
            raise InputError("complete mixing: an edge function of the receiver would look at every pair of agents")
        sums = _each(lambda terms: _others(terms, layer.shards, bits), edge(source, None, {}))
        return _ended(sums, own, where, then)
    if _is_visited(layer, source):
        return kept(_visited(layer, edge, source, receiver, where, bits, then, own))
    all_ = jax.tree.map(lambda x: everyone(x, layer.shards), source)
    if layer.replicated:
        receiver, where, own = jax.tree.map(lambda z: gather_rows(z, layer.shards), (receiver, where, own))
    sums = kept(implementation("neighbours")(layer, edge, all_, receiver, where, bits, then, own, sparse))
    return jax.tree.map(lambda y: own_rows(y, layer.shards), sums) if layer.replicated else sums


def _ended(sums: Any, own: Any, where: Array | None, then: RowRule | None) -> Any:
    """Return what follows the sums, 0 where `where` does not hold."""
    results = sums if then is None else then(sums, own)
    return results if where is None else jax.tree.map(lambda y: jnp.where(where, y, jnp.zeros((), y.dtype)), results)


def _each(function: Callable[[Any], Array], terms: Any) -> Any:
    return jax.tree.map(function, terms, is_leaf=is_fixed)


def _others(terms: Any, shards: int, bits: int) -> Array:
    """Return the sum over everybody else, under complete mixing."""
    own, plain = exact(terms, bits), smooth(terms)
    with jax.enable_x64(True):
        sums = add_shards(own.sum(dtype=jnp.int64), shards) - own.astype(jnp.int64)
        result = scaled(sums, bits) if is_wide(terms) else sums.astype(jnp.int32)
    return result if plain is None else straight(result, add_shards(plain.sum(), shards) - plain)


def _is_visited(layer: Layer, source: Any) -> bool:
    """Return whether devices visit each other's values: there is something wider than a byte, and buckets for it."""
    if layer.shards == 1 or layer.blocks is None or layer.blocks.columns.keys() != layer.columns.keys():
        return False
    return not all(is_small(leaf) for leaf in jax.tree.leaves(source))


def _visited(
    layer: Layer,
    edge: EdgeFunction,
    source: Any,
    receiver: Any,
    where: Array | None,
    bits: int,
    then: RowRule | None,
    own: Any,
) -> Any:
    """Return the sums of arcs bucket by bucket, exact and so the same in any order, and what follows them."""
    theirs, ours = jax.lax.stop_gradient((source, receiver))
    units_of = implementation("units")

    def units(number: Array, block: Any) -> Any:
        with jax.enable_x64(False):
            return units_of(layer.bucket(number.astype(jnp.int32)), edge, block, ours, where, bits)

    def add(number: Array, block: Any, sums: Any) -> Any:
        return jax.tree.map(jnp.add, sums, units(number, block))

    with jax.enable_x64(True):
        shapes = jax.eval_shape(units, jnp.int32(0), theirs)
        none = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)
        sums = visit(theirs, layer.shards, add, none)
        found = jax.tree.map(lambda units: scaled(units, bits) if units.dtype == jnp.int64 else units, sums)
    if any(is_float(leaf) for leaf in jax.tree.leaves(found)):  # what derivatives are made of; else it is dropped
        all_ = jax.tree.map(lambda x: gather_rows(x, layer.shards), source)
        found = straight(found, _blocks(layer, edge, all_, receiver, where, bits, None, None, False))
    return _ended(found, own, where, then)


@implement("units", "xla")
def _units(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any, where: Array | None, bits: int) -> Any:
    """Return the sums of `sum_neighbours` over one bucket as integers: int64 in units of 2^-bits for floats."""
    filled = layer.sources < layer.size
    theirs, ours = _ends(layer, source, receiver)

    def rows(terms: Any) -> Array:
        with jax.enable_x64(is_wide(terms)):
            sums = _row_sums(layer, jnp.where(filled, exact(terms, bits), 0), is_wide(terms))
            return sums if where is None else jnp.where(where, sums, jnp.zeros((), sums.dtype))

    return _each(rows, edge(theirs, ours, layer.columns))


@implement("units", "numba")
def _units_by_loop(layer: Layer, edge: EdgeFunction, source: Any, receiver: Any, where: Array | None, bits: int) -> Any:
    from lpm.ops.loops.neighbours import rows
    from lpm.ops.loops.program import Untranslatable

    try:
        arc, _ = _severed(edge, None, (layer, source, receiver, None))
        return rows(layer, arc, source, receiver, where, bits, None, None, False, units=True)
    except Untranslatable as reason:
        if forced():
            raise InputError(f"backend 'numba': an edge function cannot be a loop: {reason}") from None
        return _units(layer, edge, source, receiver, where, bits)


@implement("neighbours", "xla")
def _blocks(
    layer: Layer,
    edge: EdgeFunction,
    source: Any,
    receiver: Any,
    where: Array | None,
    bits: int,
    then: RowRule | None,
    own: Any,
    sparse: bool,
) -> Any:
    filled = layer.sources < layer.size
    theirs, ours = _ends(layer, source, receiver)

    def rows(terms: Any) -> Array:
        wide = is_wide(terms)
        with jax.enable_x64(wide):
            sums = _row_sums(layer, jnp.where(filled, exact(terms, bits), 0), wide)
            result = scaled(sums, bits) if wide else sums
        plain = smooth(terms)
        return result if plain is None else straight(result, _by_row(layer, jnp.where(filled, plain, 0).sum(1)))

    return _ended(_each(rows, edge(theirs, ours, layer.columns)), own, where, then)


def _ends(layer: Layer, source: Any, receiver: Any) -> tuple[Any, Any]:
    """Return the values of the agent at either end of every slot, [blocks, width] and [blocks, 1]."""
    theirs = jax.tree.map(lambda x: _looked_up(x, layer.sources), source)
    ours = jax.tree.map(lambda z: _padded(z).at[layer.receivers].get(**PLAIN)[:, None], receiver)
    return theirs, ours


def _row_sums(layer: Layer, units: Array, wide: bool) -> Array:
    return _by_row(layer, units.sum(1, dtype=jnp.int64 if wide else jnp.int32))


def _by_row(layer: Layer, blocks: Array) -> Array:
    return jax.ops.segment_sum(blocks, layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]


def _looked_up(values: Any, places: Array) -> Array:
    if not isinstance(values, Bits):
        return _padded(values).at[places].get(**PLAIN)
    words = _padded(values.words).at[places >> 5].get(**PLAIN)
    return (words >> (places & (WORD - 1)).astype(jnp.uint32)) & jnp.uint32(1) != 0


def row_width() -> int | None:
    """Return the width of `lpm.network.layout` that suits the backend: loops walk plain rows, XLA sums blocks."""
    return 1 if chosen("neighbours")[0] == "numba" else None


@implement("neighbours", "numba")
def _rows(
    layer: Layer,
    edge: EdgeFunction,
    source: Any,
    receiver: Any,
    where: Array | None,
    bits: int,
    then: RowRule | None,
    own: Any,
    sparse: bool,
) -> Any:
    from lpm.ops.loops.neighbours import rows
    from lpm.ops.loops.program import Untranslatable

    given = (layer, source, receiver, own)
    cut, values, theirs, ours = jax.tree.map(_cut, given)  # a loop has no derivative
    try:
        arc, rule = _severed(edge, then, given)
        found = rows(cut, arc, values, theirs, where, bits, rule, ours, sparse)
    except Untranslatable as reason:
        if forced():
            raise InputError(f"backend 'numba': an edge function cannot be a loop: {reason}") from None
        return _blocks(layer, edge, source, receiver, where, bits, then, own, sparse)
    if not any(is_float(leaf) for leaf in jax.tree.leaves(found)):
        return found
    return straight(found, _blocks(layer, edge, source, receiver, where, bits, then, own, sparse))


def _cut(values: Any) -> Any:
    return values if isinstance(values, Bits) else jax.lax.stop_gradient(values)


def _severed(
    edge: EdgeFunction, then: RowRule | None, given: tuple[Layer, Any, Any, Any]
) -> tuple[EdgeFunction, RowRule | None]:
    """Return both functions without the derivatives of what they close over."""
    layer, source, receiver, own = given
    if any(leaf.ndim != 1 for leaf in jax.tree.leaves((source, receiver, own))):
        return edge, then  # no loop: it says so
    values = (source, receiver, layer.columns)
    if then is None:
        return severed(edge, *values), None
    leaves, structure = jax.tree.flatten(values)

    def sums(*scalars: Any) -> Any:
        terms = edge(*jax.tree.unflatten(structure, scalars))
        return _each(lambda term: jnp.zeros((), jnp.float32 if is_wide(term) else jnp.int32), terms)

    each = jax.eval_shape(sums, *(jax.ShapeDtypeStruct((), leaf.dtype) for leaf in leaves))
    return severed(edge, *values), severed(then, each, own)


def _padded(values: Array) -> Array:
    """Return the values and one zero row behind them, where empty slots and empty blocks point."""
    return jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
