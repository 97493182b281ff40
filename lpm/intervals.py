"""Intervals of an estimate: over seeds by Student's t, of a ratio by leaving out one unit after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.types import HostArray

LEVEL = 0.95
"""Share of the intervals that hold what they are of."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its standard error and `LEVEL` interval.

    Attributes:
        mean: The estimate.
        error: Its standard error.
        low: Lower end.
        high: Upper end.
        count: Seeds or questions it rests on.
    """

    mean: float
    error: float
    low: float
    high: float
    count: int


def over_seeds(measure: Callable[[Any], float], runs: Sequence[Any]) -> Interval:
    """Return a measure's mean over runs of different seeds, with Student's interval.

    Raises:
        InputError: Fewer than two runs, or a measure that is not finite.
    """
    return interval([measure(run) for run in runs])


def interval(values: Sequence[float]) -> Interval:
    """Return mean +- t_{S-1} s / sqrt(S) of one value a seed.

    Raises:
        InputError: Fewer than two values, or one that is not finite.
    """
    given = np.asarray(values, np.float64)
    if given.ndim != 1 or len(given) < 2 or not np.isfinite(given).all():
        raise InputError(f"interval: expected at least two finite values, one a seed, got {values}")
    return _student(float(given.mean()), float(given.std(ddof=1) / np.sqrt(len(given))), len(given))


def ratio_gap(above: HostArray, below: HostArray, labels: HostArray, at: float = 1.0) -> Interval:
    """Return 100 (at - sum above / sum below), its error by leaving out one label's cases after the other.

    The jackknife of R. G. Miller, 1974, 10.1093/biomet/61.1.1.

    Args:
        above: Float64 [D].
        below: Float64 [D], from 0 on.
        labels: What cases belong together [D].
        at: What the ratio is taken from.

    Raises:
        InputError: Fewer than two labels, or one without which nothing is left below.
    """
    index = np.unique(labels, return_inverse=True)[1]
    tops, bottoms = np.bincount(index, above), np.bincount(index, below)
    count, rest = len(tops), bottoms.sum() - bottoms
    if count < 2:
        raise InputError("interval of a ratio: expected at least two units (questions), got one")
    if (rest <= 0).any():
        raise InputError("interval of a ratio: nothing is left below (people answer uniformly); it is not defined")
    without = 100 * (at - (tops.sum() - tops) / rest)
    error = np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    return _student(100 * (at - float(above.sum() / below.sum())), float(error), count)


def _student(mean: float, error: float, count: int) -> Interval:
    from scipy.stats import t

    reach = float(t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    return Interval(float(mean), error, float(mean - reach), float(mean + reach), count)
