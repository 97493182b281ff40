"""Moves between levels: a step costs what its changes cost, because words and blocks that are equal are passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.ops.loops.foreign import call, parts_at_once
from lpm.ops.loops.frame import operand, result
from lpm.ops.loops.memory import TOGETHER, equal
from lpm.types import Array


def moves(before: Array, after: Array, weight: Array, present: Array, cell: Array, sums: int, levels: int) -> Array:
    """Return int64 [2 x sums] as `lpm.ops.moves` says; call it under `enable_x64`.

    A `cell` of one element stands for everybody.
    """
    if before.dtype == bool:
        before, after = before.astype(jnp.uint8), after.astype(jnp.uint8)
    made = [jax.ShapeDtypeStruct((parts_at_once(), 2 * sums), jnp.int64)]
    told = jnp.array([levels, 2 * sums], jnp.int32)
    (each,) = call(_moves, made, before, after, weight, present, cell, told, text=str(before.dtype))
    return each.sum(0)


def _moves(text: str) -> Callable[..., None]:
    """Count in every part by itself, in a row of the result; rows beyond the parts are 0."""
    kind = np.dtype(text.split("#")[0])
    abreast = 8 // kind.itemsize

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        own, told = result(frame, 0, np.int64), operand(frame, 5, np.int32)
        levels, size = np.int64(told[0]), np.int64(told[1])
        before, after = operand(frame, 0, kind), operand(frame, 1, kind)
        weight, here = operand(frame, 2, np.uint32), operand(frame, 3, np.uint8)
        cell = operand(frame, 4, np.int32)
        once, then = operand(frame, 0, np.uint64), operand(frame, 1, np.uint64)  # several agents a word
        rows, first, apart = len(before), part * size, len(cell) == len(before)
        for row in range(part, len(own) // size, parts):
            for k in range(row * size, row * size + size):
                own[k] = 0
        words, whole = (rows + abreast - 1) // abreast, rows // abreast
        blocks = (words + TOGETHER - 1) // TOGETHER
        for block in range(blocks * part // parts, blocks * (part + 1) // parts):
            begin, end = block * TOGETHER, min((block + 1) * TOGETHER, words)
            if begin + TOGETHER <= whole and equal(once, then, begin):
                continue
            for word in range(begin, end):
                if word < whole and once[word] == then[word]:
                    continue
                for row in range(word * abreast, min((word + 1) * abreast, rows)):
                    if before[row] != after[row] and here[row]:
                        start = first + (np.int64(cell[row]) * levels if apart else 0)
                        own[start + np.int64(after[row])] += np.int64(weight[row])
                        own[start + size // 2 + np.int64(before[row])] += np.int64(weight[row])

    return work
