"""Rows of a network from ties: counting, filling and ordering, shared by the builders."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from lpm.errors import InputError
from lpm.types import HostArray

SLICES = 16
"""Rows are cut into this many slices that are filled at once; more than the cores of a machine buys nothing."""


def span(rows: tuple[int, int], size: int, where: str) -> tuple[int, int]:
    """Return the rows to build.

    Raises:
        InputError: They lie outside 0 to `size`.
    """
    low, high = int(rows[0]), int(rows[1])
    if not 0 <= low <= high <= size:
        raise InputError(f"{where}: expected rows within 0 to {size}, got {low} to {high}")
    return low, high


def ends_of(counts: HostArray) -> HostArray:
    """Return int64 [rows + 1], the row ends of rows with these numbers of arcs."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    return ends


@njit(cache=True)
def sort_row(row):  # type: ignore[no-untyped-def]
    """Sort one row in place: by insertion when short or already in order, else by numba's quicksort."""
    if row.shape[0] <= 48:
        insert_row(row)
        return
    for k in range(1, row.shape[0]):
        if row[k] < row[k - 1]:
            row.sort()
            break


@njit(cache=True)
def insert_row(row):  # type: ignore[no-untyped-def]
    """Sort one short row in place by insertion."""
    for k in range(1, row.shape[0]):
        value = row[k]
        slot = k
        while slot > 0 and row[slot - 1] > value:
            row[slot] = row[slot - 1]
            slot -= 1
        row[slot] = value


@njit(parallel=True, cache=True)
def sort_rows(indptr, indices):  # type: ignore[no-untyped-def]
    """Sort the indices of every row in place."""
    for r in prange(indptr.shape[0] - 1):
        sort_row(indices[indptr[r] : indptr[r + 1]])


@njit(parallel=True, cache=True)
def _scan(first, second, low, high, ends, out, fill):  # type: ignore[no-untyped-def]
    rows = high - low
    for s in prange(SLICES):
        begin = low + rows * s // SLICES
        end = low + rows * (s + 1) // SLICES
        for e in range(first.shape[0]):
            u = np.int64(first[e])
            v = np.int64(second[e])
            if begin <= u < end and v >= 0:
                if fill:
                    out[ends[u - low]] = np.int32(v)
                ends[u - low] += 1
            if begin <= v < end and u >= 0:
                if fill:
                    out[ends[v - low]] = np.int32(u)
                ends[v - low] += 1


@njit(parallel=True, cache=True)
def _simple(low, indptr, indices, kept):  # type: ignore[no-untyped-def]
    for r in prange(indptr.shape[0] - 1):
        sort_row(indices[indptr[r] : indptr[r + 1]])
        last = np.int64(r + low)
        count = 0
        previous = np.int64(-1)
        for k in range(indptr[r], indptr[r + 1]):
            value = np.int64(indices[k])
            if value != last and value != previous:
                indices[indptr[r] + count] = np.int32(value)
                count += 1
                previous = value
        kept[r] = count


@njit(parallel=True, cache=True)
def _packed(indptr, indices, ends, out):  # type: ignore[no-untyped-def]
    for r in prange(indptr.shape[0] - 1):
        for k in range(ends[r + 1] - ends[r]):
            out[ends[r] + k] = indices[indptr[r] + k]


def simple(low: int, indptr: HostArray, indices: HostArray) -> tuple[HostArray, HostArray]:
    """Return the rows sorted, without loops and with every repeated arc kept once.

    Args:
        low: Agent of the first row.
        indptr: int64 [rows + 1].
        indices: int32 [arcs]; reordered in place.
    """
    kept = np.zeros(len(indptr) - 1, np.int64)
    _simple(low, indptr, indices, kept)
    ends = ends_of(kept)
    if ends[-1] == indptr[-1]:
        return indptr, indices
    out = np.empty(int(ends[-1]), np.int32)
    _packed(indptr, indices, ends, out)
    return ends, out


def undirected(first: HostArray, second: HostArray, low: int, high: int) -> tuple[HostArray, HostArray]:
    """Return rows `low` to `high` of the simple graph whose ties are (first[e], second[e]).

    Args:
        first: int32 [ties], one end of each tie.
        second: int32 [ties], the other end; -1 = no tie.
        low: First row.
        high: One past the last row.

    Returns:
        indptr int64 [rows + 1] and indices int32 [arcs], ascending within a row, loops and repeated ties erased.
    """
    cursor = np.zeros(high - low, np.int64)
    _scan(first, second, low, high, cursor, np.empty(0, np.int32), False)
    indptr = ends_of(cursor)
    indices = np.empty(int(indptr[-1]), np.int32)
    cursor[:] = indptr[:-1]
    _scan(first, second, low, high, cursor, indices, True)
    return simple(low, indptr, indices)
