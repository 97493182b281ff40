"""How a measure answers to each swept path, and to each pair of them: means with 95 % intervals, from the runs alone.

On a grid: at each value of a path, the mean over all values of the other paths, seed by seed; the interval is over the
seeds (Student's t). Where a run failed there, or the measure is not defined, there is no mean. In other designs: the
mean of the runs in each tenth of a path's range (at each value, where there are few); the interval is over the blocks
of these runs that are independent of each other, so that it holds both chance and the other paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from lpm.effects import LEVEL
from lpm.report.folder import LEAST_SEEDS
from lpm.sweeps.outcome import Outcome, Swept

BINS = 10
"""Pieces of a path's range in designs that are no grid."""

FEW = 12
"""Up to so many different values, a path of a design that is no grid keeps them."""


@dataclass(frozen=True)
class Cells:
    """The values of a path at which a measure is told.

    Attributes:
        path: The path.
        at: Values, or middles of the pieces of the range.
        cell: Cell of each run of the first design, int64 [runs].
    """

    path: Swept
    at: tuple[Any, ...]
    cell: np.ndarray


@dataclass(frozen=True)
class Response:
    """Means with their intervals, nan where there are none.

    Attributes:
        mean: float64 [cells] or [cells of the second path, cells of the first].
        low: Lower end.
        high: Upper end.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def cells(outcome: Outcome, path: Swept) -> Cells:
    """Return the cells of a path."""
    column = outcome.design.filter(outcome.first)[path.path]
    values = sorted(column.unique().to_list()) if not path.names else list(path.values)
    if path.names or outcome.kind == "grid" or len(values) <= FEW:
        place = {value: number for number, value in enumerate(values)}
        return Cells(path, tuple(values), np.array([place[value] for value in column], np.int64))
    share = path.share(column.to_numpy())
    middles = path.at((np.arange(BINS) + 0.5) / BINS)
    return Cells(path, tuple(middles.tolist()), np.minimum((share * BINS).astype(np.int64), BINS - 1))


def response(outcome: Outcome, values: np.ndarray, over: Sequence[Cells]) -> Response:
    """Return the response of a measure.

    Args:
        outcome: The sweep.
        values: By run of the first design and seed, nan = failed or not defined.
        over: One path, or two (columns, then rows).
    """
    shape = tuple(len(each.at) for each in reversed(over))
    flat = np.zeros(len(values), np.int64)
    for each in reversed(over):
        flat = flat * len(each.at) + each.cell
    count = int(np.prod(shape))
    runs = np.bincount(flat, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        if outcome.kind == "grid":
            sums = np.stack([np.bincount(flat, column, count) for column in values.T], 1)  # nan stays nan
            mean, error, freedom = _over(sums / runs[:, None])
        else:
            mean, error, freedom = _blocks(outcome, values.mean(1), flat, count)
        width = error * stdtrit(freedom, 0.5 + LEVEL / 2)
    return Response(mean.reshape(shape), (mean - width).reshape(shape), (mean + width).reshape(shape))


def _blocks(
    outcome: Outcome, means: np.ndarray, flat: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard error and degrees of freedom over the independent blocks of the runs in each cell.

    The runs of a trajectory, and those around a base point of a Sobol design, share most of their values.
    """
    length = {"sobol": len(outcome.paths) + 2, "morris": len(outcome.paths) + 1}.get(outcome.kind, 1)
    whole = np.flatnonzero(~np.isnan(means))
    own, cell = means[whole], flat[whole]
    if length > 1:
        blocks = len(means) // length
        place = cell * blocks + whole // length
        runs = np.bincount(place, minlength=count * blocks)
        there = np.flatnonzero(runs)
        own, cell = np.bincount(place, own, count * blocks)[there] / runs[there], there // blocks
    number = np.bincount(cell, minlength=count)
    mean = np.bincount(cell, own, count) / number
    squares = np.bincount(cell, (own - mean[cell]) ** 2, count)
    freedom = np.where(number >= LEAST_SEEDS, number - 1.0, np.nan)
    return mean, np.sqrt(squares / (number - 1) / number), freedom


def _over(told: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard error and degrees of freedom over the seeds of values by cell and seed."""
    seeds = told.shape[1]
    mean = told.mean(1)
    if seeds < LEAST_SEEDS:
        return mean, np.full(len(told), np.nan), np.full(len(told), np.nan)
    return mean, told.std(1, ddof=1) / np.sqrt(seeds), np.full(len(told), seeds - 1.0)


@dataclass(frozen=True)
class Change:
    """How far apart the highest and the lowest mean along a path are.

    Attributes:
        size: Their difference.
        low: Lower end of its interval on a grid, seed by seed; else nan.
        high: Upper end.
        least: Cell of the lowest mean.
        most: Cell of the highest one.
        clear: It is more than chance, although the two were picked from all cells (Bonferroni over their pairs); so
            is what has no interval.
    """

    size: float
    low: float
    high: float
    least: int
    most: int
    clear: bool


def change(outcome: Outcome, values: np.ndarray, over: Cells) -> Change | None:
    """Return how far a measure goes along a path; None with fewer than two means.

    Args:
        outcome: The sweep.
        values: By run of the first design and seed, nan = failed or not defined.
        over: The path.
    """
    found = response(outcome, values, [over])
    there = int((~np.isnan(found.mean)).sum())
    if there < 2:
        return None
    least, most = int(np.nanargmin(found.mean)), int(np.nanargmax(found.mean))
    size = float(found.mean[most] - found.mean[least])
    if outcome.kind != "grid" or values.shape[1] < LEAST_SEEDS:
        return Change(size, float("nan"), float("nan"), least, most, True)
    ends = values[over.cell == most].mean(0) - values[over.cell == least].mean(0)
    _, error, freedom = _over(ends[None, :])
    width, wide = (
        float(error[0] * stdtrit(freedom[0], 1 - (1 - LEVEL) / 2 / pairs)) for pairs in (1, there * (there - 1) / 2)
    )
    return Change(size, size - width, size + width, least, most, size > wide)
