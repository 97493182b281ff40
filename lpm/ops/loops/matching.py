"""Proposals along ties: every free agent looks for its tie of best priority to a free neighbour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.network import Layer
from lpm.ops.loops.draws import bits_of_two
from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.ops.loops.neighbours import share
from lpm.random import Key
from lpm.types import Array


def proposals(layer: Layer, key: Key, everyone: Array, own: Array) -> Callable[[Array, Array], Array]:
    """Return the function of `lpm.ops.matching` that gives whom each row proposes to."""
    made = jax.ShapeDtypeStruct((layer.rows,), jnp.int32)
    width = layer.sources.shape[1]
    starts = layer.starts * jnp.int32(width) if width > 1 else layer.starts
    size, words = jnp.full(1, layer.size, jnp.int32), jnp.stack([key.words[i] for i in range(4)])

    def propose(free: Array, here: Array) -> Array:
        return call(_proposals, [made], starts, layer.sources, size, words, everyone, own, free, here)[0]

    return propose


def _proposals(text: str) -> Callable[..., None]:
    none = np.uint32(0xFFFFFFFF)

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources, size = operand(frame, 0, np.int32), operand(frame, 1, np.int32), operand(frame, 2, np.int32)[0]
        words, everyone, own = operand(frame, 3, np.uint32), operand(frame, 4, np.uint32), operand(frame, 5, np.uint32)
        free, here, found = operand(frame, 6, np.uint8), operand(frame, 7, np.uint8), result(frame, 0, np.int32)
        k0, k1, k2, k3 = words[0], words[1], words[2], words[3]
        for row in range(share(starts, part, parts), share(starts, part + 1, parts)):
            found[row] = size
            if here[row]:
                mine, best = own[row], none
                for arc in range(starts[row], starts[row + 1]):
                    other = sources[arc]
                    if other < size and free[other]:
                        theirs = everyone[other]
                        if theirs != mine:
                            rank = min(bits_of_two(k0, k1, k2, k3, min(theirs, mine), max(theirs, mine)), none - 1)
                            if rank < best:
                                best = rank
                                found[row] = other

    return work
