"""Compressed rows on the host, cut for devices: by who is influenced, and by who influences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm import cluster
from lpm.errors import InputError
from lpm.types import HostArray

LIMIT = 2**31 - 1
"""Row ends are 32-bit and local to a shard; more arcs than this on one shard is an error (design, invariant 4)."""


@dataclass(frozen=True)
class Rows:
    """Compressed rows: where each begins, its arcs, and their columns."""

    indptr: HostArray
    indices: HostArray
    columns: dict[str, HostArray]


def rows_of(indptr: HostArray, indices: HostArray, edges: Mapping[str, HostArray], first: int, count: int) -> Rows:
    """Return `count` rows from `first` on, empty ones where the network ends."""
    size = len(indptr) - 1
    low, high = min(first, size), min(first + count, size)
    ends = indptr[low : high + 1]
    ends = np.concatenate([ends, np.full(count - (high - low), ends[-1])])
    arcs = slice(int(ends[0]), int(ends[-1]))
    return Rows(ends - ends[0], indices[arcs], {name: values[arcs] for name, values in edges.items()})


def buckets_of(piece: Rows, shard: int, shards: int, local: int) -> list[Rows]:
    """Return the rows of a shard with their arcs from one shard only, numbered there: from its own, the next, ..."""
    turn = (piece.indices // local - shard) % shards
    row = np.repeat(np.arange(local, dtype=np.int32), np.diff(piece.indptr))
    made: list[Rows] = []
    for number in range(shards):
        there = np.flatnonzero(turn == number)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row[there], minlength=local))])
        indices = piece.indices[there] - np.int32((shard + number) % shards * local)
        made.append(Rows(indptr, indices, {name: values[there] for name, values in piece.columns.items()}))
    return made


def stacked(pieces: Sequence[Rows], empty: int, width: int, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of `Layer`, pieces one after the other, each as long as the longest of all processes.

    Args:
        pieces: Of as many rows each; those of this process.
        empty: What stands in an empty slot of `sources`.
        width: Arcs of a block.
        kinds: dtypes of the edge columns.

    Raises:
        InputError: More than 2^31 - 1 slots in a piece.
    """
    rows = len(pieces[0].indptr) - 1
    blocks = [-(-np.diff(piece.indptr) // width) for piece in pieces]
    most = max(cluster.gathered(max(int(each.sum()) for each in blocks)))
    if most * width > LIMIT:
        raise InputError(f"network: {most * width} arc slots on one shard, the most is {LIMIT}; use more devices")
    sources = np.full((len(pieces) * most, width), empty, np.int32)
    receivers = np.full(len(pieces) * most, rows, np.int32)
    starts = np.zeros((len(pieces), rows + 1), np.int32)
    columns = {name: np.zeros((len(pieces) * most, width), kind) for name, kind in kinds.items()}
    for number, (piece, each) in enumerate(zip(pieces, blocks, strict=True)):
        starts[number, 1:] = np.cumsum(each)
        here = slice(number * most, number * most + int(starts[number, -1]))
        receivers[here] = np.repeat(np.arange(rows, dtype=np.int32), each)
        slots = _slots(piece.indptr, starts[number], width)
        sources[here].reshape(-1)[slots] = piece.indices
        for name, values in piece.columns.items():
            columns[name][here].reshape(-1)[slots] = values
    return {"sources": sources, "receivers": receivers, "starts": starts.reshape(-1), "columns": columns}


def best_width(degrees: HostArray) -> int:
    """Return the block width whose padded gathers and block sums cost least (a block sum costs about two gathers).

    Args:
        degrees: int64 [rows], those of this process; what they cost is added up over all processes.
    """
    widths = (2, 4, 8)
    blocks = np.sum(cluster.gathered([int((-(-degrees // width)).sum()) for width in widths]), axis=0)
    return min(widths, key=lambda width: float(blocks[widths.index(width)]) * (width + 2))


def _slots(indptr: HostArray, starts: HostArray, width: int) -> HostArray:
    """Return the slot of every arc: block start of its row times the width, plus its rank in the row."""
    degrees = np.diff(indptr)
    first = starts[: len(degrees)].astype(np.int64) * width - (indptr[:-1] - indptr[0])
    return np.repeat(first, degrees) + np.arange(int(degrees.sum()))
