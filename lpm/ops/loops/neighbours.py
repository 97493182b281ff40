"""Neighbour reduction as a loop over rows: the arcs of a row are summed in 64-bit integers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.network import Layer
from lpm.networks.draws import mixed
from lpm.ops.collective import Bits
from lpm.ops.loops.emit import accumulate, active, addresses, blank, store, targets, zeros
from lpm.ops.loops.foreign import call, parts_at_once
from lpm.ops.loops.frame import address, operand, result
from lpm.ops.loops.memory import TOGETHER, fetch, pack, quiet, words
from lpm.ops.loops.program import packed, parsed, text_of, written
from lpm.types import Array

SCATTERED = 8
"""Times that a row costs more out of order than in order; measured: looking near 1 % of 1M agents costs what all do."""

BLOCK, AHEAD = 512, 8
"""Rows that are looked through for those wanted before these are walked; rows that memory is asked for in advance."""

FIXED = 4
"""Operands before the inputs of the edge function: starts, sources, the number of agents, where."""


def rows(
    layer: Layer,
    edge: Callable[..., Any],
    source: Any,
    receiver: Any,
    where: Array | None,
    bits: int,
    then: Callable[..., Any] | None,
    own: Any,
    sparse: bool,
    units: bool = False,
) -> Any:
    """Return what `lpm.ops.neighbours.sum_neighbours` says, for all rows that the layer holds.

    Booleans of influencing agents may be `lpm.ops.collective.Bits`: words of bits, as the loop packs them itself.
    With `units` and without a rule, sums of floats are left as int64, in units of 2^-bits.

    Raises:
        Untranslatable: The edge function or the rule after it cannot be a loop.
    """
    told, operands, tree = text_of(edge, then, (source, receiver, layer.columns), own, bits)
    inputs = told["edge"]["inputs"]
    for which, (place, kind) in enumerate(inputs):
        if place == "source" and isinstance(operands[which], Bits):
            operands[which], inputs[which] = operands[which].words, ("bits", kind)
        elif (place, kind) == ("source", "bool"):
            inputs[which] = ("packed", kind)
    if units:
        told |= {"results": ["int64" if kind == "float32" else kind for kind in told["results"]], "units": True}
    width = layer.sources.shape[1]
    text = written(told | {"padded": width > 1 or layer.replicated})
    starts = layer.starts * jnp.int32(width) if width > 1 else layer.starts
    size = jnp.full(1, layer.size, jnp.int32)
    mask = jnp.ones(1, bool) if where is None else where
    with jax.enable_x64(True) if units else nullcontext():
        results = [jax.ShapeDtypeStruct((layer.rows,), np.dtype(kind)) for kind in told["results"]]
    given = (starts, layer.sources, size, mask, *operands)
    flags = [operands[which] for which in packed(told)]
    results += [jax.ShapeDtypeStruct(((len(flag) + 31) // 32,), jnp.uint32) for flag in flags]
    if sparse and layer.mutual:
        results += [jax.ShapeDtypeStruct((count,), jnp.int32) for count in (layer.rows, 2 * parts_at_once())]
        found = call(_near_active, results, *given, text=text, stages=2)
    else:
        with jax.enable_x64(True) if units else nullcontext():
            found = call(_everywhere, results, *given, text=text, stages=2 if flags else 1)
    return jax.tree.unflatten(tree, found[: len(told["results"])])


def _everywhere(text: str) -> Callable[..., None]:
    """Walk all rows, after a stage that packs what is packed."""
    program = parsed(text)
    padded, results, bits = program["padded"], len(program["results"]), len(packed(program))
    flags = tuple(packed(program)) or (0,)

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        if bits and stage == 0:
            for k in range(bits):
                kept = result(frame, results + k, np.uint32)
                bits_of(frame, flags[k], kept, len(kept) * part // parts, len(kept) * (part + 1) // parts)
            return
        starts, sources = operand(frame, 0, np.int32), operand(frame, 1, np.int32)
        size, mask = operand(frame, 2, np.int32)[0], operand(frame, 3, np.uint8)
        every = len(mask) == 1 and len(starts) != 2
        inputs, into = addresses(text, frame, FIXED, address), targets(text, frame, address)
        low, high = share(starts, part, parts), share(starts, part + 1, parts)
        wanted = np.empty(BLOCK + 1, np.int32)
        for block in range(low, high, BLOCK):
            end = min(block + BLOCK, high)
            count = listed(wanted, mask, every, block, end)
            if count < end - block:
                blank(text, into, np.int64(block), np.int64(end))
            for place in range(count):
                fetch(sources, starts[wanted[min(place + AHEAD, count - 1)]])
                sums = summed(text, inputs, starts, sources, padded, size, wanted[place])
                store(text, into, inputs, np.int64(wanted[place]), sums)

    return work


def _near_active(text: str) -> Callable[..., None]:
    """Walk the rows next to active agents only, where these are few; a row of inactive neighbours is 0.

    Stage 0 packs what is packed, lists the active agents and blanks all rows; stage 1 sums, each part the rows of its
    own range: all of them, or those that the arcs of the listed lead to. A row that one arc leads to has the same arc
    the other way; one that several lead to is walked, again each time and to the same result, as is every row where
    arcs have values of their own.
    """
    program = parsed(text)
    padded, results, bits = program["padded"], len(program["results"]), len(packed(program))
    flags = tuple(packed(program)) or (0,)
    places = [place for place, _ in program["edge"]["inputs"]]
    simple = bits == 1 and not {"source", "bits"} & set(places)  # a word of zeros is 32 quiet agents
    by_arc = "arc" in places

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources = operand(frame, 0, np.int32), operand(frame, 1, np.int32)
        size, mask = operand(frame, 2, np.int32)[0], operand(frame, 3, np.uint8)
        busy, tally = result(frame, results + bits, np.int32), result(frame, results + bits + 1, np.int32)
        rows = len(starts) - 1
        every = len(mask) == 1 and rows != 1
        inputs, into = addresses(text, frame, FIXED, address), targets(text, frame, address)
        if stage == 0:
            first, last = words(rows) * part // parts, words(rows) * (part + 1) // parts
            low, high, count, near = 32 * first, min(32 * last, rows), 0, 0
            blank(text, into, np.int64(low), np.int64(max(low, high)))
            for k in range(bits):
                bits_of(frame, flags[k], result(frame, results + k, np.uint32), first, last)
            kept = result(frame, results, np.uint32)  # bits, where there are any
            for block in range(first, last, TOGETHER):
                end = min(block + TOGETHER, last)
                if is_many(near, starts, parts):
                    break
                if simple and end - block == TOGETHER and quiet(kept, block):
                    continue
                for word in range(block, end):
                    if simple and kept[word] == 0:
                        continue
                    for row in range(32 * word, min(32 * word + 32, rows)):
                        if active(text, inputs, np.int64(row)):
                            busy[low + count] = row
                            count += 1
                            near += starts[row + 1] - starts[row]
            tally[2 * part], tally[2 * part + 1] = count, near
            return
        near = np.int64(0)
        for other in range(parts):
            near += tally[2 * other + 1]
        low, high = share(starts, part, parts), share(starts, part + 1, parts)
        if is_many(near, starts, parts):
            wanted = np.empty(BLOCK + 1, np.int32)
            for block in range(low, high, BLOCK):
                count = listed(wanted, mask, every, block, min(block + BLOCK, high))
                for place in range(count):
                    fetch(sources, starts[wanted[min(place + AHEAD, count - 1)]])
                    sums = summed(text, inputs, starts, sources, padded, size, wanted[place])
                    if some(sums):
                        store(text, into, inputs, np.int64(wanted[place]), sums)
            return
        if near == 0:
            return
        met, who, count = np.empty(near, np.int32), np.empty(near, np.int32), 0
        once, twice = np.zeros(words(high - low), np.uint32), np.zeros(words(high - low), np.uint32)
        for other in range(parts):
            first = 32 * (words(rows) * other // parts)
            for place in range(first, first + tally[2 * other]):
                for way in range(starts[busy[place]], starts[busy[place] + 1]):
                    row = sources[way]
                    if row >= low and row < high and (every or mask[row]):
                        met[count], who[count] = row, busy[place]
                        word, bit = (row - low) >> 5, np.uint32(1) << np.uint32((row - low) & 31)
                        twice[word] |= once[word] & bit
                        once[word] |= bit
                        count += 1
        for place in range(count):
            row = np.int64(met[place])
            if by_arc or twice[(row - low) >> 5] >> np.uint32((row - low) & 31) & np.uint32(1):
                sums = summed(text, inputs, starts, sources, padded, size, row)
            else:  # one arc is all that there is
                sums = accumulate(text, inputs, np.int64(who[place]), row, np.int64(0), zeros(text))
            if some(sums):
                store(text, into, inputs, row, sums)

    return work


@numba.njit
def bits_of(frame: Any, which: Any, into: Any, low: Any, high: Any) -> None:
    """Write words `low` to `high` of the bits of input `which`."""
    pack(operand(frame, FIXED + which, np.uint8), operand(frame, FIXED + which, np.uint64), into, low, high)


@numba.njit(inline="always")
def summed(
    text: Any, inputs: Any, starts: Any, sources: Any, padded: Any, size: Any, row: Any
) -> Any:  # written into the loop that calls it, so that `text` stays a constant there
    """Return the sums over a row's arcs."""
    sums = zeros(text)
    for arc in range(starts[row], starts[row + 1]):
        if not padded or sources[arc] < size:
            sums = accumulate(text, inputs, np.int64(sources[arc]), np.int64(row), np.int64(arc), sums)
    return sums


@numba.njit
def listed(wanted: Any, mask: Any, every: Any, low: Any, high: Any) -> Any:
    """Write the rows from `low` to `high` that are wanted, and return their number, without a branch to guess."""
    count = 0
    for row in range(low, high):
        wanted[count] = row
        count += 1 if every else np.int64(mask[row])
    return count


@numba.njit
def is_many(near: Any, starts: Any, parts: Any) -> Any:
    """Return whether looking at the rows next to active agents costs as much as looking at all rows in their order."""
    arcs, rows = np.int64(starts[-1]), len(starts) - 1
    return near * (arcs // rows + parts) * SCATTERED >= arcs


@numba.njit
def some(sums: Any) -> Any:
    """Return whether any sum is not 0."""
    for total in sums:
        if total != 0:
            return True
    return False


@numba.njit(parallel=True, cache=True)
def is_mutual(starts: Any, indices: Any) -> Any:
    """Return whether every arc has its reverse, as often: equal sums of 64-bit hashes of both (wrong once in 2^64)."""
    difference = np.uint64(0)
    for row in numba.prange(len(starts) - 1):
        own = np.uint64(0)
        for arc in range(starts[row], starts[row + 1]):
            one, other = np.uint64(row), np.uint64(indices[arc])
            own += mixed(mixed(one) + other) - mixed(mixed(other) + one)
        difference += own
    return difference == 0


@numba.njit
def share(starts: Any, part: Any, parts: Any) -> Any:
    """Return the first row of a part: parts hold as many rows and arcs together, so that no hub unbalances them."""
    rows = len(starts) - 1
    wanted = (np.int64(starts[rows]) + rows) * part // parts
    low, high = 0, rows
    while low < high:
        middle = (low + high) // 2
        if np.int64(starts[middle]) + middle < wanted:
            low = middle + 1
        else:
            high = middle
    return low
