"""Neighbours in the plane: the k nearest agents, or all within a radius, found on a grid of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from lpm.errors import InputError, unknown
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.rows import ends_of, insert_row, sort_rows, span, undirected
from lpm.population import Population
from lpm.types import HostArray

AGENTS_A_CELL = 2.0
"""Mean number of agents of a grid cell."""


@njit(parallel=True, cache=True)
def _nearest(x, y, low, side, across, up, starts, members, k, out):  # type: ignore[no-untyped-def]
    """Write the k nearest agents of each row (ties in distance go to the lower id), ascending by id."""
    for r in prange(out.shape[0]):
        v = np.int64(low + r)
        found = np.empty(k, np.int32)
        squares = np.full(k, np.inf)
        count = 0
        column = min(np.int64(x[v] / side), across - 1)
        row = min(np.int64(y[v] / side), up - 1)
        ring = 0
        while True:
            for i in range(max(row - ring, 0), min(row + ring, up - 1) + 1):
                rim = i == row - ring or i == row + ring
                j = column - ring
                while j <= column + ring:
                    if 0 <= j < across:
                        for s in range(starts[i * across + j], starts[i * across + j + 1]):
                            u = np.int64(members[s])
                            dx, dy = x[u] - x[v], y[u] - y[v]
                            square = dx * dx + dy * dy
                            last = k - 1
                            if u == v or square > squares[last] or (square == squares[last] and u > found[last]):
                                continue
                            while last > 0 and (
                                squares[last - 1] > square or (squares[last - 1] == square and found[last - 1] > u)
                            ):
                                squares[last] = squares[last - 1]
                                found[last] = found[last - 1]
                                last -= 1
                            squares[last] = square
                            found[last] = np.int32(u)
                            count += 1
                    j += 1 if rim else max(2 * ring, 1)
            border = np.inf  # distance from v to the nearest cell not looked at
            if column - ring > 0:
                border = min(border, x[v] - side * (column - ring))
            if column + ring < across - 1:
                border = min(border, side * (column + ring + 1) - x[v])
            if row - ring > 0:
                border = min(border, y[v] - side * (row - ring))
            if row + ring < up - 1:
                border = min(border, side * (row + ring + 1) - y[v])
            if border == np.inf or (count >= k and border > 0 and squares[k - 1] < border * border):
                break
            ring += 1
        insert_row(found)
        for place in range(k):
            out[r, place] = found[place]


@njit(parallel=True, cache=True)
def _within(x, y, low, side, across, up, starts, members, square, ends, out, fill):  # type: ignore[no-untyped-def]
    for r in prange(ends.shape[0]):
        v = np.int64(low + r)
        column = min(np.int64(x[v] / side), across - 1)
        row = min(np.int64(y[v] / side), up - 1)
        for i in range(max(row - 1, 0), min(row + 1, up - 1) + 1):
            for j in range(max(column - 1, 0), min(column + 1, across - 1) + 1):
                for s in range(starts[i * across + j], starts[i * across + j + 1]):
                    u = np.int64(members[s])
                    dx, dy = x[u] - x[v], y[u] - y[v]
                    if u != v and dx * dx + dy * dy <= square:
                        if fill:
                            out[ends[r]] = np.int32(u)
                        ends[r] += 1


@builder("nearest-in-space")
class NearestInSpace:
    """With `neighbours`, row v is the k agents nearest to v (directed, unless `undirected`: either of the two is near).

    With `radius`, all agents within that distance, boundary included. Distances are Euclidean, computed in float64.
    Agents that crowd on one spot of the grid are compared pair by pair.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of neighbours in space; exactly one of neighbours and radius is above 0."""

        x: str = parameter("x", unit="column", meaning="column of the first coordinate")
        y: str = parameter("y", unit="column", meaning="column of the second coordinate, in the same unit")
        neighbours: int = parameter(0, unit="1", meaning="number of nearest agents; 0 = use radius", bounds=(0, 1024))
        radius: float = parameter(0.0, unit="unit of x", meaning="distance; 0 = use neighbours", bounds=(0, 1e12))
        undirected: bool = parameter(False, unit="1", meaning="neighbours: tie both ways where either is near")

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        where = "nearest-in-space"
        size, k, radius = population.size, int(params.neighbours), float(params.radius)
        low, high = span(rows, size, where)
        if (k > 0) == (radius > 0):
            raise InputError(f"{where}.neighbours: expected one of neighbours and radius above 0, got {k}, {radius:g}")
        if k >= size:
            raise InputError(f"{where}.neighbours: expected at most N - 1 = {size - 1}, got {k}")
        x, y = (_coordinate(population, getattr(params, axis), f"{where}.{axis}") for axis in ("x", "y"))
        extents = float(x.max()), float(y.max())
        share = AGENTS_A_CELL / size
        side = max(radius, math.sqrt(extents[0] * extents[1] * share), max(extents) * share)
        side = side or 1.0  # everybody stands on one spot
        across, up = (int(extent / side) + 1 for extent in extents)
        column, row = (
            np.minimum((x / side).astype(np.int64), across - 1),
            np.minimum((y / side).astype(np.int64), up - 1),
        )
        cell = row * across + column
        starts = ends_of(np.bincount(cell, minlength=across * up))
        members = np.argsort(cell, kind="stable").astype(np.int32)
        if k:
            first, last = (0, size) if params.undirected else (low, high)
            near = np.empty((last - first, k), np.int32)
            _nearest(x, y, first, side, across, up, starts, members, k, near)
            if params.undirected:
                ties = np.repeat(np.arange(size, dtype=np.int32), k)
                indptr, indices = undirected(ties, near.reshape(-1), low, high)
            else:
                indptr, indices = np.arange(high - low + 1, dtype=np.int64) * k, near.reshape(-1)
            return Network(size, indptr, indices, low, facts={"directed": not params.undirected})
        cursor = np.zeros(high - low, np.int64)
        square = radius * radius
        _within(x, y, low, side, across, up, starts, members, square, cursor, np.empty(0, np.int32), False)
        indptr = ends_of(cursor)
        indices = np.empty(int(indptr[-1]), np.int32)
        cursor[:] = indptr[:-1]
        _within(x, y, low, side, across, up, starts, members, square, cursor, indices, True)
        sort_rows(indptr, indices)
        return Network(size, indptr, indices, low)


def _coordinate(population: Population, name: str, where: str) -> HostArray:
    """Return float64 [size], a coordinate from its smallest value on."""
    if name not in population.schema:
        raise unknown(where, "column", name, population.schema)
    values = population.columns[name]
    if values.ndim != 1 or values.dtype.kind not in "uif":
        raise InputError(f"{where}: expected numbers in column '{name}', got {values.dtype} {values.shape[1:]}")
    given = values.astype(np.float64)
    return given - given.min()
