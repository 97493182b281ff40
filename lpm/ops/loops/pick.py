"""Picking one neighbour by weight: only the rows of those who pick are walked, twice at most."""

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


def pick(layer: Layer, weight: Array, draws: Array, where: Array) -> tuple[Array, Array]:
    """Return the picked agents and the sums of weights, int32 [rows] each, for all rows that the layer holds."""
    made = [jax.ShapeDtypeStruct((layer.rows,), jnp.int32)] * 2
    told = jnp.array([layer.sources.shape[1], layer.size], jnp.int32)
    times = layer.columns.get("intensity", jnp.zeros(0, jnp.uint16))
    asked = where.astype(jnp.uint8)
    picked, sums = call(_pick, made, layer.starts, layer.sources, weight, draws, asked, times, told)
    return picked, sums


def _pick(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources, weight = operand(frame, 0, np.int32), operand(frame, 1, np.int32), operand(frame, 2, np.uint8)
        draws, asked, times = operand(frame, 3, np.uint32), operand(frame, 4, np.uint8), operand(frame, 5, np.uint16)
        told = operand(frame, 6, np.int32)
        width, size, timed = np.int64(told[0]), told[1], len(times) > 0
        picked, sums = result(frame, 0, np.int32), result(frame, 1, np.int32)
        rows = len(picked)
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            picked[row], sums[row] = size, np.int32(0)
            if asked[row] == 0:
                continue
            first, end = np.int64(starts[row]) * width, np.int64(starts[row + 1]) * width
            whole = np.int64(0)
            for slot in range(first, end):
                if sources[slot] < size:
                    whole += np.int64(weight[sources[slot]]) * (np.int64(times[slot]) if timed else np.int64(1))
            if whole == 0:
                continue
            sums[row] = np.int32(whole)
            place = np.int64((np.uint64(draws[row]) * np.uint64(whole)) >> np.uint64(32))
            for slot in range(first, end):
                if sources[slot] < size:
                    place -= np.int64(weight[sources[slot]]) * (np.int64(times[slot]) if timed else np.int64(1))
                    if place < 0:
                        picked[row] = sources[slot]
                        break

    return work
