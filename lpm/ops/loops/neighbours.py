"""Neighbour reduction as a loop over rows: the arcs of a row are summed in 64-bit integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.network import Layer
from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import address, operand
from lpm.ops.loops.program import accumulate, addresses, parsed, store, text_of, zeros
from lpm.types import Array

FIXED = 4
"""Operands before the inputs of the edge function: starts, sources, the number of agents, where."""


def sums_by_row(
    layer: Layer, edge: Callable[..., Any], source: Any, receiver: Any, where: Array | None, bits: int
) -> Any:
    """Return what `lpm.ops.neighbours.sum_neighbours` says, for all rows that the layer holds.

    Raises:
        Untranslatable: The edge function cannot be a loop.
    """
    inputs = {"source": source, "receiver": receiver, "arc": layer.columns}
    padded = layer.sources.shape[1] > 1 or layer.replicated
    text, operands, outputs, tree = text_of(edge, inputs, bits)
    text = text[:-1] + f', "padded": {str(padded).lower()}}}'
    if layer.sources.shape[1] * layer.sources.shape[0] >= 2**31:
        raise AssertionError("row ends are 32-bit")
    starts = layer.starts * jnp.int32(layer.sources.shape[1]) if layer.sources.shape[1] > 1 else layer.starts
    size = jnp.full(1, layer.size, jnp.int32)
    mask = jnp.ones(1, bool) if where is None else where
    results = [jax.ShapeDtypeStruct((layer.rows,), dtype) for dtype in outputs]
    found = call(_loop, results, starts, layer.sources, size, mask, *operands, text=text)
    return jax.tree.unflatten(tree, found)


def _loop(text: str) -> Callable[..., None]:
    padded = parsed(text)["padded"]

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        starts = operand(frame, 0, np.int32)
        sources = operand(frame, 1, np.int32)
        size = operand(frame, 2, np.int32)[0]
        mask = operand(frame, 3, np.uint8)
        rows = len(starts) - 1
        every = len(mask) == 1 and rows != 1
        inputs = addresses(text, frame, FIXED, address)
        low, high = share(starts, part, parts), share(starts, part + 1, parts)
        for row in range(low, high):
            sums = zeros(text)
            if every or mask[row]:
                for arc in range(starts[row], starts[row + 1]):
                    if not padded or sources[arc] < size:
                        sums = accumulate(text, inputs, np.int64(sources[arc]), np.int64(row), np.int64(arc), sums)
            store(text, frame, np.int64(row), sums, address)

    return work


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
