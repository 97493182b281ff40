"""Orders: counting sort, and random pairs from a radix sort of their draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.types import Array

DIGIT = 11  # bits of a pass of the radix sort: three passes make 33


def counting_sort(keys: Array, count: int) -> tuple[Array, Array]:
    """Return order and starts of `lpm.ops.sort.counting_sort`."""
    made = [jax.ShapeDtypeStruct(keys.shape, jnp.int32), jax.ShapeDtypeStruct((count + 1,), jnp.int32)]
    order, starts = call(_sort, made, keys)
    return order, starts


def _sort(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        if part > 0:
            return
        keys, order, starts = operand(frame, 0, np.int32), result(frame, 0, np.int32), result(frame, 1, np.int32)
        starts[:] = 0
        for i in range(len(keys)):
            starts[keys[i] + 1] += 1
        for k in range(1, len(starts)):
            starts[k] += starts[k - 1]
        for i in range(len(keys)):
            k = keys[i]
            order[starts[k]] = i
            starts[k] += 1
        for k in range(len(starts) - 1, 0, -1):
            starts[k] = starts[k - 1]
        starts[0] = 0

    return work


def pairs(draws: Array, ids: Array, present: Array) -> Array:
    """Return int32 [rows], each agent's partner, -1 without one: see `lpm.ops.pairs.match_pairs`."""
    rows = draws.shape[0]
    partner, *_ = call(_pairs, [jax.ShapeDtypeStruct((rows,), jnp.int32)] * 3, draws, ids, present)
    return partner


def _pairs(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        if part > 0:
            return
        draws, ids, here = operand(frame, 0, np.uint32), operand(frame, 1, np.uint32), operand(frame, 2, np.uint8)
        partner = result(frame, 0, np.int32)
        order, other = result(frame, 1, np.int32), result(frame, 2, np.int32)
        count = 0
        for i in range(len(draws)):
            partner[i] = -1
            if here[i]:
                order[count] = i
                count += 1
        order = sorted_by_draw(draws, ids, order, other, count)
        for place in range(0, count - 1, 2):
            first, second = order[place], order[place + 1]
            partner[first] = second
            partner[second] = first

    return work


def ranks(draws: Array, ids: Array, group: Array, groups: int) -> Array:
    """Return int32 [rows], ranks within groups: see `lpm.ops.ranks.rank_in_group`."""
    rows = jax.ShapeDtypeStruct(draws.shape, jnp.int32)
    found, *_ = call(_ranks, [rows, rows, rows, jax.ShapeDtypeStruct((groups,), jnp.int32)], draws, ids, group)
    return found


def _ranks(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        if part > 0:
            return
        draws, ids, group = operand(frame, 0, np.uint32), operand(frame, 1, np.uint32), operand(frame, 2, np.int32)
        found, seen = result(frame, 0, np.int32), result(frame, 3, np.int32)
        order, other = result(frame, 1, np.int32), result(frame, 2, np.int32)
        for i in range(len(draws)):
            order[i] = i
        order = sorted_by_draw(draws, ids, order, other, len(draws))
        seen[:] = 0
        for place in range(len(draws)):
            i = order[place]
            g = group[i]
            found[i] = -1
            if g >= 0 and g < len(seen):
                found[i] = seen[g]
                seen[g] += 1

    return work


@numba.njit
def sorted_by_draw(draws: Any, ids: Any, order: Any, other: Any, count: Any) -> Any:
    """Return the first `count` places of `order` sorted by (draw, id), in one of the two arrays given."""
    for digit in range(3):
        pass_by_digit(draws, order, other, count, np.uint32(DIGIT * digit))
        order, other = other, order
    by_id(draws, ids, order, count)
    return order


@numba.njit
def pass_by_digit(draws: Any, order: Any, other: Any, count: Any, shift: Any) -> None:
    """Sort the first `count` places of `order` by one digit of their draws into `other`, stably."""
    begins = np.zeros((1 << DIGIT) + 1, np.int64)
    mask = np.uint32((1 << DIGIT) - 1)
    for place in range(count):
        begins[np.int64((draws[order[place]] >> shift) & mask) + 1] += 1
    for digit in range(1 << DIGIT):
        begins[digit + 1] += begins[digit]
    for place in range(count):
        digit = np.int64((draws[order[place]] >> shift) & mask)
        other[begins[digit]] = order[place]
        begins[digit] += 1


@numba.njit
def by_id(draws: Any, ids: Any, order: Any, count: Any) -> None:
    """Put runs of equal draws in the order of ids (runs are short: draws are random)."""
    for place in range(1, count):
        one = order[place]
        back = place
        while back > 0 and draws[order[back - 1]] == draws[one] and ids[order[back - 1]] > ids[one]:
            order[back] = order[back - 1]
            back -= 1
        order[back] = one
