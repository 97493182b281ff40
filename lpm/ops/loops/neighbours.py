"""Neighbour reduction as a loop over rows: the arcs of a row are summed in 64-bit integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.network import Layer
from lpm.networks.draws import mixed
from lpm.ops.loops.emit import accumulate, active, addresses, blank, parsed, store, zeros
from lpm.ops.loops.foreign import call, parts_at_once
from lpm.ops.loops.frame import address, operand, result
from lpm.ops.loops.program import text_of, written
from lpm.types import Array

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
) -> Any:
    """Return what `lpm.ops.neighbours.sum_neighbours` says, for all rows that the layer holds.

    Raises:
        Untranslatable: The edge function or the rule after it cannot be a loop.
    """
    told, operands, tree = text_of(edge, then, (source, receiver, layer.columns), own, bits)
    width = layer.sources.shape[1]
    text = written(told | {"padded": width > 1 or layer.replicated})
    starts = layer.starts * jnp.int32(width) if width > 1 else layer.starts
    size = jnp.full(1, layer.size, jnp.int32)
    mask = jnp.ones(1, bool) if where is None else where
    results = [jax.ShapeDtypeStruct((layer.rows,), np.dtype(kind)) for kind in told["results"]]
    given = (starts, layer.sources, size, mask, *operands)
    if sparse and layer.mutual:
        scratch = [jax.ShapeDtypeStruct((count,), jnp.int32) for count in (layer.rows, 2 * parts_at_once())]
        found = call(_near_active, [*results, *scratch], *given, text=text, stages=2)[: len(results)]
    else:
        found = call(_everywhere, results, *given, text=text)
    return jax.tree.unflatten(tree, found)


def _everywhere(text: str) -> Callable[..., None]:
    """Walk all rows."""
    padded = parsed(text)["padded"]

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources = operand(frame, 0, np.int32), operand(frame, 1, np.int32)
        size, mask = operand(frame, 2, np.int32)[0], operand(frame, 3, np.uint8)
        every = len(mask) == 1 and len(starts) != 2
        inputs = addresses(text, frame, FIXED, address)
        for row in range(share(starts, part, parts), share(starts, part + 1, parts)):
            if every or mask[row]:
                sums = zeros(text)
                for arc in range(starts[row], starts[row + 1]):
                    if not padded or sources[arc] < size:
                        sums = accumulate(text, inputs, np.int64(sources[arc]), np.int64(row), np.int64(arc), sums)
                store(text, frame, inputs, np.int64(row), sums, address)
            else:
                blank(text, frame, np.int64(row), address)

    return work


def _near_active(text: str) -> Callable[..., None]:
    """Walk the rows next to active agents only, where these are few; a row of inactive neighbours is 0.

    Stage 0 lists the active agents and blanks all rows; stage 1 walks rows, each part those of its own range: the
    neighbours of the listed (one that several are next to is walked again, to the same result), or all.
    """
    program = parsed(text)
    padded, results = program["padded"], len(program["results"])

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts, sources = operand(frame, 0, np.int32), operand(frame, 1, np.int32)
        size, mask = operand(frame, 2, np.int32)[0], operand(frame, 3, np.uint8)
        listed, tally = result(frame, results, np.int32), result(frame, results + 1, np.int32)
        rows = len(starts) - 1
        every = len(mask) == 1 and rows != 1
        inputs = addresses(text, frame, FIXED, address)
        if stage == 0:
            low, high, count, near = rows * part // parts, rows * (part + 1) // parts, 0, 0
            for row in range(low, high):
                blank(text, frame, np.int64(row), address)
            for row in range(low, high):
                if active(text, inputs, np.int64(row)):
                    listed[low + count] = row
                    count += 1
                    near += starts[row + 1] - starts[row]
            tally[2 * part], tally[2 * part + 1] = count, near
            return
        near = np.int64(0)
        for other in range(parts):
            near += tally[2 * other + 1]
        low, high = share(starts, part, parts), share(starts, part + 1, parts)
        if near * (np.int64(starts[rows]) // rows + parts) >= np.int64(starts[rows]):
            for row in range(low, high):
                if every or mask[row]:
                    sums = zeros(text)
                    for arc in range(starts[row], starts[row + 1]):
                        if not padded or sources[arc] < size:
                            sums = accumulate(text, inputs, np.int64(sources[arc]), np.int64(row), np.int64(arc), sums)
                    if some(sums):
                        store(text, frame, inputs, np.int64(row), sums, address)
            return
        for other in range(parts):
            first = rows * other // parts
            for place in range(first, first + tally[2 * other]):
                for way in range(starts[listed[place]], starts[listed[place] + 1]):
                    row = sources[way]
                    if row >= low and row < high and (every or mask[row]):
                        sums = zeros(text)
                        for arc in range(starts[row], starts[row + 1]):
                            if not padded or sources[arc] < size:
                                sums = accumulate(
                                    text, inputs, np.int64(sources[arc]), np.int64(row), np.int64(arc), sums
                                )
                        if some(sums):
                            store(text, frame, inputs, np.int64(row), sums, address)

    return work


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
