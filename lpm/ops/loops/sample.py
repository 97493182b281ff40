"""Sampling one neighbour: a look at two row ends and one arc per agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.network import Layer
from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.types import Array


def sample(layer: Layer, draws: Array) -> Array:
    """Return int32 [rows], the agent at the end of a drawn arc, for all rows that the layer holds."""
    made = jax.ShapeDtypeStruct((layer.rows,), jnp.int32)
    width, size = jnp.full(1, layer.sources.shape[1], jnp.int32), jnp.full(1, layer.size, jnp.int32)
    return call(_sample, [made], layer.starts, layer.sources, draws, width, size)[0]


def _sample(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources, draws = operand(frame, 0, np.int32), operand(frame, 1, np.int32), operand(frame, 2, np.uint32)
        width, size = np.int64(operand(frame, 3, np.int32)[0]), operand(frame, 4, np.int32)[0]
        picked = result(frame, 0, np.int32)
        rows = len(picked)
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            first, end = np.int64(starts[row]) * width, np.int64(starts[row + 1]) * width
            while end > first and sources[end - 1] >= size:
                end -= 1  # empty slots are the last of a row
            if end > first:
                place = (np.uint64(draws[row]) * np.uint64(end - first)) >> np.uint64(32)
                picked[row] = sources[first + np.int64(place)]
            else:
                picked[row] = size

    return work
