r"""Pick one neighbour by weight: every agent asked picks one of its arcs with a chance in proportion to its weight.

.. math:: P_i(j) = \frac{c_{ji} w_j}{\sum_k c_{ki} w_k}

with w the weight of the influencing agent and c the arc's `intensity` (1 without). An agent's arcs are laid end to end,
each as long as its weight, in ascending order of outside ids, and its draw falls on one of them. The XLA function here
is the specification.
"""

from __future__ import annotations

import jax.numpy as jnp

from lpm.network import Layer
from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.ops.hazard import scaled_draw
from lpm.types import Array


def pick_neighbour(layer: Layer, weight: Array, draws: Array, where: Array, ids: Array) -> tuple[Array, Array]:
    """Return which influencing agent was picked, and the sum of the weights.

    Args:
        layer: Who influences whom; a row's arcs are in ascending order of outside ids.
        weight: uint8 [rows], 0 = cannot be picked. A row's sum must stay below 2^31.
        draws: uint32 [rows], uniform.
        where: bool [rows], who picks; under complete mixing they must weigh 0 themselves.
        ids: uint32 [rows], outside ids (complete mixing stores no rows that they order).

    Returns:
        int32 [rows], positions over all shards, `layer.size` where nobody can be picked or `where` does not hold; and
        int32 [rows], the sums, 0 there.
    """
    everyone = gather_rows(weight, layer.shards)
    if layer.complete:
        return _among_all(layer, everyone, draws, where, gather_rows(ids, layer.shards))
    if layer.replicated:
        draws, where = gather_rows(draws, layer.shards), gather_rows(where, layer.shards)
    picked, sums = implementation("pick")(layer, everyone, draws, where)
    if layer.replicated:
        return own_rows(picked, layer.shards), own_rows(sums, layer.shards)
    return picked, sums


def _among_all(layer: Layer, weight: Array, draws: Array, where: Array, ids: Array) -> tuple[Array, Array]:
    order = jnp.argsort(ids)
    ends = jnp.cumsum(weight[order].astype(jnp.int32))
    place = jnp.searchsorted(ends, scaled_draw(draws, ends[-1:]), side="right")
    able = where & (ends[-1] > 0)
    picked = order[jnp.minimum(place, len(order) - 1)].astype(jnp.int32)
    return jnp.where(able, picked, layer.size), jnp.where(able, ends[-1], 0)


@implement("pick", "numba")
def _pick_by_loop(layer: Layer, weight: Array, draws: Array, where: Array) -> tuple[Array, Array]:
    from lpm.ops.loops.pick import pick

    return pick(layer, weight, draws, where)


@implement("pick", "xla")
def _pick(layer: Layer, weight: Array, draws: Array, where: Array) -> tuple[Array, Array]:
    width = layer.sources.shape[1]
    there = jnp.append(weight, jnp.zeros(1, weight.dtype))[jnp.minimum(layer.sources, layer.size)].astype(jnp.int32)
    if "intensity" in layer.columns:
        there = there * layer.columns["intensity"].astype(jnp.int32)
    # differences of these are right modulo 2^32
    ends = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(there.reshape(-1))])
    first = ends[layer.starts[:-1] * width]
    sums = jnp.where(where, ends[layer.starts[1:] * width] - first, 0)
    place = jnp.append(scaled_draw(draws, sums), jnp.int32(0))
    begin = jnp.append(first, jnp.int32(0))
    before = ends[1:].reshape(there.shape) - begin[layer.receivers][:, None] <= place[layer.receivers][:, None]
    passed = jnp.zeros(layer.rows + 1, jnp.int32).at[layer.receivers].add(before.sum(1, dtype=jnp.int32))[:-1]
    flat = jnp.append(layer.sources.reshape(-1), jnp.int32(layer.size))
    slot = jnp.where(sums > 0, layer.starts[:-1] * width + passed, flat.shape[0] - 1)
    return flat[slot], sums
