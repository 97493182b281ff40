"""Sample one neighbour: every agent with arcs picks one of them, uniformly, by its own draw."""

from __future__ import annotations

import jax.numpy as jnp

from lpm.errors import InputError
from lpm.network import Layer
from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.ops.hazard import scaled_draw
from lpm.types import Array


def sample_neighbour(layer: Layer, draws: Array) -> Array:
    """Return int32 [rows], the influencing agent of a uniformly drawn arc; `layer.size` where there is no arc.

    Args:
        layer: Who influences whom; a row's arcs are in ascending order of outside ids, so the choice does not depend on
            how agents are spread over devices.
        draws: uint32 [rows], uniform.

    Raises:
        InputError: Complete mixing, which stores no arcs.
    """
    if layer.complete:
        raise InputError("sample a neighbour: a layer of complete mixing stores no arcs to draw from")
    whole = gather_rows(draws, layer.shards) if layer.replicated else draws
    picked = implementation("sample")(layer, whole)
    return own_rows(picked, layer.shards) if layer.replicated else picked


@implement("sample", "numba")
def _sample_by_loop(layer: Layer, draws: Array) -> Array:
    from lpm.ops.loops.sample import sample

    return sample(layer, draws)


@implement("sample", "xla")
def _sample(layer: Layer, draws: Array) -> Array:
    width = layer.sources.shape[1]
    filled = (layer.sources < layer.size).sum(1, dtype=jnp.int32)
    degree = jnp.zeros(layer.rows + 1, jnp.int32).at[layer.receivers].add(filled)[:-1]
    place = scaled_draw(draws, degree)
    slot = layer.starts[:-1] * width + place
    flat = jnp.append(layer.sources.reshape(-1), jnp.int32(layer.size))
    return jnp.where(degree > 0, flat[jnp.where(degree > 0, slot, flat.shape[0] - 1)], layer.size)
