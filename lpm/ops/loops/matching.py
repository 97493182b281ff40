"""Proposals along ties: every free agent looks for its tie of best priority to a free neighbour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.network import Layer
from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.ops.loops.neighbours import share
from lpm.random import M0, M1
from lpm.types import Array

FIRST, SECOND = np.uint32(M0), np.uint32(M1)


def proposals(layer: Layer, free: Array, own: Array, me: Array) -> Array:
    """Return int32 [rows], whom each row proposes to: see `lpm.ops.matching`."""
    made = jax.ShapeDtypeStruct((layer.rows,), jnp.int32)
    width = layer.sources.shape[1]
    starts = layer.starts * jnp.int32(width) if width > 1 else layer.starts
    size = jnp.full(1, layer.size, jnp.int32)
    return call(_proposals, [made], starts, layer.sources, size, free, own, me)[0]


def _proposals(text: str) -> Callable[..., None]:
    none = np.uint32(0xFFFFFFFF)

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources, size = operand(frame, 0, np.int32), operand(frame, 1, np.int32), operand(frame, 2, np.int32)[0]
        free, own, me = operand(frame, 3, np.uint32), operand(frame, 4, np.uint32), operand(frame, 5, np.int32)
        found = result(frame, 0, np.int32)
        for row in range(share(starts, part, parts), share(starts, part + 1, parts)):
            mine, best, chosen = own[row], none, size
            if mine != 0:
                for arc in range(starts[row], starts[row + 1]):
                    other = sources[arc]
                    if other < size and other != me[row]:
                        theirs = free[other]
                        if theirs != 0:
                            rank = priority(mine, theirs)
                            if rank < best:
                                best, chosen = rank, other
            found[row] = chosen

    return work


@numba.njit(inline="always")
def priority(one: Any, other: Any) -> Any:
    """Return `lpm.ops.matching.priority`; every operation is cast back to 32 bits, as numba widens them."""
    x = np.uint32(one + other)
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * FIRST)
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * SECOND)
    x = np.uint32(x ^ (x >> np.uint32(15)))
    return min(x, np.uint32(0xFFFFFFFE))
