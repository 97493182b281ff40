r"""Outgoing sums: for every agent j the sum of an edge function over the arcs on which it influences others.

.. math:: y_j = \sum_{(j \to i)} f(x_j, z_i)

Arcs lie with the agents who are influenced, so that this is a scatter: `lpm.ops.neighbours` costs far less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lpm.network import Layer
from lpm.ops.collective import add_shards, gather_rows, own_rows, travel
from lpm.types import Array


def sum_outgoing(layer: Layer, edge: Callable[[Any, Any], Array], source: Any, receiver: Any) -> Array:
    """Return int32 [rows], the sum over the arcs that lead from each agent.

    On several devices the values of the influencing agents, and their sums, are passed round; on a layer without
    `blocks` every device holds both for all agents.

    Args:
        layer: Who influences whom; not complete mixing.
        edge: `edge(source, receiver)`, elementwise, integer or boolean; 0 where all values of the source are 0.
        source: Pytree of [rows] arrays, the influencing agent's values.
        receiver: Pytree of [rows] arrays, the influenced agent's values.
    """
    if layer.shards == 1:
        return _scattered(layer, edge, source, receiver)
    if layer.blocks is not None:

        def look(number: Array, block: Any, _: None) -> tuple[Any, None]:
            theirs, sums = block
            return (theirs, sums + _scattered(layer.bucket(number), edge, theirs, receiver)), None

        return travel((source, jnp.zeros(layer.rows, jnp.int32)), layer.shards, look, None)[0][1]
    everyone = jax.tree.map(lambda x: gather_rows(x, layer.shards), source)
    if not layer.replicated:
        return own_rows(add_shards(_scattered(layer, edge, everyone, receiver), layer.shards), layer.shards)
    theirs = jax.tree.map(lambda z: gather_rows(z, layer.shards), receiver)
    return own_rows(_scattered(layer, edge, everyone, theirs), layer.shards)


def _scattered(layer: Layer, edge: Callable[[Any, Any], Array], source: Any, receiver: Any) -> Array:
    theirs = jax.tree.map(lambda x: jnp.pad(x, (0, 1))[layer.sources], source)
    ours = jax.tree.map(lambda z: jnp.pad(z, (0, 1))[layer.receivers][:, None], receiver)
    terms = edge(theirs, ours).astype(jnp.int32)
    return jnp.zeros(layer.size + 1, jnp.int32).at[layer.sources].add(terms)[:-1]
