"""Scores of forecasts: how far from what was observed, and whether the intervals hold.

Proper scores (the forecaster's best forecast is what he believes): `wis` and `crps`; Gneiting & Raftery 2007, Journal
of the American Statistical Association 102:359-378, 10.1198/016214506000001437. All are errors in the unit of the
values, smaller is better. NaN is refused, never skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.score import wape
from lpm.types import HostArray

__all__ = [
    "LEVELS",
    "coverage",
    "crps",
    "crps_of_quantiles",
    "interval_score",
    "mae",
    "normalised_deviation",
    "rmse",
    "wape",
    "wis",
]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Probabilities of the quantiles that forecasts are told in: the median, and the central 50 % and 90 % intervals."""


def _checked(where: str, *arrays: Any) -> list[HostArray]:
    """Return arrays as float64.

    Raises:
        CalibrationError: Nothing to score.
        NotFiniteError: NaN or infinite values.
    """
    made = [np.asarray(each, np.float64) for each in arrays]
    for each in made:
        if not each.size:
            raise CalibrationError(f"{where}: expected at least one value, got none")
        if not np.isfinite(each).all():
            raise NotFiniteError(f"{where}: NaN or infinite values")
    return made


def interval_score(observed: Any, low: Any, high: Any, share: float) -> HostArray:
    """Return the score of central intervals: width, and 2 / (1 - share) times what the observed value lies outside.

    IS = (u - l) + 2/a (l - y)+ + 2/a (y - u)+ with a = 1 - share (Gneiting & Raftery 2007, section 6.2).

    Args:
        observed: y [...].
        low: l [...], the (1 - share) / 2 quantile.
        high: u [...], the (1 + share) / 2 quantile.
        share: Probability that the interval is said to hold, in (0, 1).
    """
    y, lower, upper = _checked("interval score", observed, low, high)
    if not 0 < share < 1:
        raise CalibrationError(f"interval score: expected a share between 0 and 1, got {share}")
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return (upper - lower) + 2 / (1 - share) * outside


def wis(observed: Any, quantiles: Any, levels: Sequence[float] = LEVELS) -> HostArray:
    """Return the weighted interval score of each value.

    WIS = (w_0 |y - m| + sum_k w_k IS_k) / (K + 1/2) with w_0 = 1/2 and w_k = (1 - share_k) / 2; it approximates the
    CRPS and is the absolute error where there is the median alone (Bracher et al. 2021, PLOS Computational Biology
    17:e1008618, 10.1371/journal.pcbi.1008618).

    Args:
        observed: y [...].
        quantiles: [..., Q], rising.
        levels: Their probabilities [Q]: 1/2 in the middle, the others in pairs around it.

    Returns:
        [...], in the unit of the values.

    Raises:
        CalibrationError: Levels that are not symmetric, or quantiles that cross.
        NotFiniteError: NaN or infinite values.
    """
    y, told = _checked("WIS", observed, quantiles)
    pairs = len(levels) // 2
    symmetric = np.allclose(np.add(levels, levels[::-1]), 1) and (np.diff(levels) > 0).all()
    if len(levels) % 2 == 0 or not symmetric or not 0 < levels[0]:
        raise CalibrationError(f"WIS: expected rising levels that are symmetric around 1/2, got {tuple(levels)}")
    if told.shape != (*y.shape, len(levels)):
        raise CalibrationError(f"WIS: expected quantiles [{y.shape}, {len(levels)}], got {told.shape}")
    if (np.diff(told, axis=-1) < 0).any():
        raise CalibrationError("WIS: expected rising quantiles, got some that cross")
    total = np.abs(y - told[..., pairs]) / 2
    for k in range(pairs):
        total = total + levels[k] * interval_score(y, told[..., k], told[..., -1 - k], 1 - 2 * levels[k])
    return total / (pairs + 0.5)


def crps(observed: Any, samples: Any) -> HostArray:
    """Return the continuous ranked probability score of each value, from draws of its forecast.

    CRPS = E|X - y| - E|X - X'| / 2. The second mean is over pairs of different draws, so that the expectation does not
    depend on their number n (the fair score: Ferro 2014, Quarterly Journal of the Royal Meteorological Society
    140:1917-1923, 10.1002/qj.2270). It can come out slightly negative.

    Args:
        observed: y [...].
        samples: Draws [n, ...], n >= 2.

    Returns:
        [...], in the unit of the values; by sorting, O(n log n).

    Raises:
        CalibrationError: Fewer than two draws, or other shapes.
        NotFiniteError: NaN or infinite values.
    """
    y, draws = _checked("CRPS", observed, samples)
    n = len(draws)
    if n < 2 or draws.shape[1:] != y.shape:
        raise CalibrationError(f"CRPS: expected at least 2 draws of {y.shape}, got {draws.shape}")
    rank = np.arange(1, n + 1).reshape(-1, *[1] * y.ndim)
    # sum over i < j of x_(j) - x_(i) is sum_i (2 i - n - 1) x_(i)
    apart = ((2 * rank - n - 1) * np.sort(draws, 0)).sum(0) * 2 / (n * (n - 1))
    return np.abs(draws - y).mean(0) - apart / 2


def crps_of_quantiles(observed: Any, quantiles: Any, levels: Sequence[float]) -> HostArray:
    """Return the CRPS of each value, from many quantiles of its forecast.

    CRPS = 2 int_0^1 (1{y < F^-1(a)} - a) (F^-1(a) - y) da (Gneiting & Ranjan 2011, Journal of Business & Economic
    Statistics 29:411-422, 10.1198/jbes.2010.08110, equation 10), by trapezia; what lies beyond the first and the last
    level is left out.

    Args:
        observed: y [...].
        quantiles: [..., Q], rising.
        levels: Their probabilities [Q], rising, dense enough for trapezia.

    Raises:
        CalibrationError: Other shapes, or levels that do not rise.
        NotFiniteError: NaN or infinite values.
    """
    y, told = _checked("CRPS", observed, quantiles)
    a = np.asarray(levels, np.float64)
    if told.shape != (*y.shape, len(a)) or (np.diff(a) <= 0).any():
        raise CalibrationError(f"CRPS: expected quantiles [{y.shape}, {len(a)}] at rising levels, got {told.shape}")
    above = told - y[..., None]
    return np.asarray(2 * np.trapezoid(((above > 0) - a) * above, a, axis=-1))


def coverage(observed: Any, low: Any, high: Any) -> float:
    """Return the share of the values that lie in their intervals, ends included."""
    y, lower, upper = _checked("coverage", observed, low, high)
    return float(((lower <= y) & (y <= upper)).mean())


def mae(observed: Any, told: Any) -> float:
    """Return the mean absolute error."""
    y, x = _checked("MAE", observed, told)
    return float(np.abs(x - y).mean())


def rmse(observed: Any, told: Any) -> float:
    """Return the root of the mean squared error."""
    y, x = _checked("RMSE", observed, told)
    return math.sqrt(float(((x - y) ** 2).mean()))


def normalised_deviation(observed: Any, told: Any) -> float | None:
    """Return sum |told - observed| / sum |observed|: the WAPE of values that may be negative; None for a sum of 0."""
    y, x = _checked("normalised deviation", observed, told)
    total = float(np.abs(y).sum())
    return float(np.abs(x - y).sum()) / total if total > 0 else None
