"""The random graph over cells: every pair of agents is tied independently, with a probability that its cells give.

G(n, p) is the case of one cell, the stochastic block model that of one cell a level, the contact matrix that of one
cell an age and place. Agents are put in order of their cells and cut into blocks of one cell; the ties of a pair of
blocks (A, B) come from one hashed stream by geometric skips over the |A| x |B| pairs (Batagelj & Brandes 2005,
10.1103/PhysRevE.71.036113), so that A and B, built apart, see the same ties and their number is exactly binomial.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from lpm.networks.draws import hashed, log_unit, log_without, unit
from lpm.networks.rows import ends_of, sort_row
from lpm.types import HostArray

TIES_A_PAIR = 64
"""Mean number of ties of a pair of blocks: enough to pay for beginning its stream."""


@njit(cache=True)
def _walk(key, a, b, starts, agents, scale, low, high, ends, out, fill):  # type: ignore[no-untyped-def]
    """Count (or, with `fill`, write) the arcs that the rows of block a receive from block b, by position."""
    upper, lower = min(a, b), max(a, b)
    begin_i, begin_j = starts[upper], starts[lower]
    width = starts[lower + 1] - begin_j
    total = (starts[upper + 1] - begin_i) * width
    bits = hashed(hashed(key, upper), lower)
    mapped = agents.shape[0] > 0
    place = np.int64(-1)
    draw = 0
    while True:
        skip = log_unit(unit(hashed(bits, draw))) * scale
        if skip >= np.float64(total - place - 1):
            return
        place += 1 + np.int64(skip)
        draw += 1
        i = place // width
        j = place - i * width
        if a == b and j <= i:
            continue
        p, q = begin_i + i, begin_j + j
        if a <= b and low <= (np.int64(agents[p]) if mapped else p) < high:
            if fill:
                out[ends[p]] = np.int32(q)
            ends[p] += 1
        if a >= b and low <= (np.int64(agents[q]) if mapped else q) < high:
            if fill:
                out[ends[q]] = np.int32(p)
            ends[q] += 1


@njit(parallel=True, cache=True)
def _scan(key, order, starts, cells, agents, scales, low, high, ends, out, fill):  # type: ignore[no-untyped-def]
    for k in prange(order.shape[0]):
        a = order[k]
        for b in range(cells.shape[0]):
            scale = scales[cells[a], cells[b]]
            if scale <= 0.0:
                _walk(key, a, b, starts, agents, scale, low, high, ends, out, fill)


@njit(parallel=True, cache=True)
def _ordered(places, begins, found, agents, indptr, indices):  # type: ignore[no-untyped-def]
    """Write the rows of agents from the rows of positions, sorted: positions are in order of cell, not of agent."""
    for r in prange(places.shape[0]):
        row = indices[indptr[r] : indptr[r + 1]]
        begin = begins[places[r]]
        for k in range(row.shape[0]):
            row[k] = agents[found[begin + k]]
        sort_row(row)


@njit(cache=True)
def _scales(probabilities, out):  # type: ignore[no-untyped-def]
    """Write 1 / ln(1 - p): what the log of a uniform is multiplied with to skip; 1 marks p = 0."""
    for a in range(out.shape[0]):
        for b in range(out.shape[1]):
            p = probabilities[a, b]
            if p <= 0.0:
                out[a, b] = 1.0
            elif p >= 1.0:
                out[a, b] = -0.0
            else:
                out[a, b] = 1.0 / log_without(p)


def _blocks(sizes: HostArray, probabilities: HostArray) -> tuple[HostArray, HostArray]:
    """Return the first position of each block (and the end), and the cell of each block."""
    people = sizes.astype(np.float64)
    pairs = float(people.sum()) ** 2
    density = float(people @ probabilities @ people) / pairs if pairs else 0.0
    side = math.sqrt(TIES_A_PAIR / density) if density > 0 else math.inf
    counts = np.maximum(1, np.round(people / side)).astype(np.int64) * (sizes > 0)
    cells = np.repeat(np.arange(len(sizes)), counts)
    rank = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.repeat(np.cumsum(sizes) - sizes, counts) + rank * sizes[cells] // counts[cells]
    return np.append(begins, sizes.sum()).astype(np.int64), cells


def cell_rows(
    key: np.uint64, sizes: HostArray, agents: HostArray | None, probabilities: HostArray, low: int, high: int
) -> tuple[HostArray, HostArray]:
    """Return rows `low` to `high` of the random graph over cells.

    Args:
        key: Start of the graph's stream.
        sizes: int64 [cells], agents of each cell.
        agents: int32 [N], the agents in order of cell, ascending within a cell; None = agents are 0, 1, ... already.
        probabilities: float64 [cells, cells], symmetric: that two agents of these cells are tied.
        low: First row (an agent).
        high: One past the last row.

    Returns:
        indptr int64 [rows + 1] and indices int32 [arcs], ascending within a row.
    """
    starts, cells = _blocks(sizes, probabilities)
    scales = np.empty(probabilities.shape, np.float64)
    _scales(np.ascontiguousarray(probabilities, dtype=np.float64), scales)
    members = np.empty(0, np.int32) if agents is None else agents
    first = starts[:-1] if agents is None else agents[starts[:-1]]
    last = starts[1:] - 1 if agents is None else agents[starts[1:] - 1]
    wanted = np.flatnonzero((last >= low) & (first < high))
    order = wanted[np.argsort(np.arange(len(wanted)) % 61, kind="stable")]  # spreads heavy cells over the threads
    cursor = np.zeros(int(starts[-1]), np.int64)
    _scan(key, order, starts, cells, members, scales, low, high, cursor, np.empty(0, np.int32), False)
    begins = ends_of(cursor)  # by position: the rows of a block lie together, which is what makes the scan fast
    found = np.empty(int(begins[-1]), np.int32)
    cursor[:] = begins[:-1]
    _scan(key, order, starts, cells, members, scales, low, high, cursor, found, True)
    if agents is None:
        return begins[low : high + 1], found
    places = np.empty(len(agents), np.int32)
    places[agents] = np.arange(len(agents), dtype=np.int32)
    places = places[low:high]
    indptr = ends_of(begins[places + 1] - begins[places])
    indices = np.empty(len(found), np.int32)
    _ordered(places, begins, found, agents, indptr, indices)
    return indptr, indices
