"""Derived metrics: shares, ratios and the reproduction number, computed on the host from base metrics.

All functions take and return float64 [steps, groups]; NaN means "not declared for this group" or "not defined at this
step" and becomes null in the files.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from lpm.errors import InputError

Series: TypeAlias = npt.NDArray[Any]

LEAST_EXPECTED = 11.0
"""Fewest expected infections for which R(t) is told: 11 cases bring the coefficient of variation of the estimate to
0.3 (Cori et al. 2013, web appendix 1, doi:10.1093/aje/kwt133)."""

LEAST_MEMORY = 0.95
"""Part of the generation interval that must lie inside the run before R(t) is told: a guess. Infections before step 0
are unknown, so an earlier value would be too high."""

TAIL = 1e-6
"""The generation interval is cut where less than this part of it is left."""


def share(flow: Series, people: Series) -> Series:
    """Return the share of a group's people who have had the event: cumulative flow / people.

    Args:
        flow: People who enter per step [people].
        people: People of the group at each step [people].

    Returns:
        Shares [1]; NaN where the group is empty.
    """
    return ratio_of(np.cumsum(flow, axis=0), people)


def present_share(stock: Series, people: Series) -> Series:
    """Return the share of a group's people who are in the levels of a stock now: stock / people.

    Args:
        stock: People there after each step [people].
        people: People of the group at each step [people].

    Returns:
        Shares [1]; NaN where the group is empty.
    """
    return ratio_of(stock, people)


def ratio(numerator: Series, denominator: Series) -> Series:
    """Return a ratio of two cumulative flows, as deaths / infections so far (the infection fatality).

    Returns:
        Ratios [1]; NaN as long as nothing has entered the denominator.
    """
    return ratio_of(np.cumsum(numerator, axis=0), np.cumsum(denominator, axis=0))


def ratio_of(above: Series, below: Series) -> Series:
    """Return above / below, NaN where `below` is 0 or either is NaN."""
    if above.shape != below.shape:
        raise InputError(f"derived metric: expected equal shapes, got {above.shape} and {below.shape}")
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def generation_interval(mean: float, shape: float, dt: float = 1.0) -> Series:
    """Return the discrete generation interval w_1, w_2, ..., where w_s belongs to the lag s dt.

    A gamma density f of this mean and shape is spread over the grid by hat functions,
    w_s proportional to the integral of max(0, 1 - |u/dt - s|) f(u) du, which keeps the mean except for w_0, which is
    dropped (nobody infects in the step of his own infection) and spread over the others.

    Args:
        mean: Mean of the interval [days], above 0.
        shape: Shape of the gamma density [1], above 0.
        dt: Length of a step [days].

    Returns:
        Weights [lags], summing to 1.

    Raises:
        InputError: A mean or shape that is not above 0.
    """
    for name, value in (("mean", mean), ("shape", shape), ("dt", dt)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"reproduction number: {name} of the generation interval: expected above 0, got {value:g}")
    scale = mean / shape / dt
    lags = 2
    while 1.0 - gammainc(shape, (lags - 1) / scale) > TAIL:
        lags *= 2
    edges = np.arange(lags + 2, dtype=np.float64)
    below = gammainc(shape, edges / scale)  # F(k)
    moment = shape * scale * gammainc(shape + 1.0, edges / scale)  # integral of u f(u) from 0 to k
    mass, first = np.diff(below), np.diff(moment)  # over [k, k + 1]
    # weight that the interval [k, k + 1] gives to its two ends, by linear interpolation
    right = first - edges[:-1] * mass
    left = mass - right
    weights = right[:-1] + left[1:]  # lags 1 .. lags
    last = int(np.searchsorted(np.cumsum(weights) / weights.sum(), 1.0 - TAIL)) + 1
    weights = weights[:last]
    return weights / weights.sum()


def reproduction(
    infections: Series,
    mean: float,
    shape: float,
    dt: float = 1.0,
    window: int = 1,
    least: float = LEAST_EXPECTED,
    memory: float = LEAST_MEMORY,
) -> Series:
    """Return the instantaneous reproduction number R_t = I_t / sum_s w_s I_(t-s).

    Source: Cori, Ferguson, Fraser, Cauchemez 2013, doi:10.1093/aje/kwt133 (with a flat prior; both sums over the
    `window` steps that end in t).

    Args:
        infections: New infections per step [people], [steps, groups].
        mean: Mean generation interval [days].
        shape: Shape of its gamma density [1].
        dt: Length of a step [days].
        window: Steps over which both sums run.
        least: Fewest expected infections [people] of the denominator. Where an agent stands for w people, w times
            `LEAST_EXPECTED` keeps the same relative noise.
        memory: Part of the generation interval that must lie inside the run.

    Returns:
        R [1], [steps, groups]; NaN where the denominator is below `least` or before `memory` is reached.

    Raises:
        InputError: A window below 1, or a mean or shape that is not above 0.
    """
    if window < 1:
        raise InputError(f"reproduction number: expected a window of at least 1 step, got {window}")
    weights = generation_interval(mean, shape, dt)
    steps = infections.shape[0]
    expected = np.zeros_like(infections, dtype=np.float64)
    for lag, weight in enumerate(weights[: max(steps - 1, 0)], start=1):
        expected[lag:] += weight * infections[:-lag]
    above, below = _window(infections, window), _window(expected, window)
    reached = np.searchsorted(np.cumsum(weights), memory) + window  # first step whose window's memory is long enough
    told = (below >= max(least, np.finfo(np.float64).tiny)) & (np.arange(steps)[:, None] >= reached)
    return np.divide(above, below, out=np.full(infections.shape, np.nan), where=told)


def _window(values: Series, window: int) -> Series:
    """Return sums over the `window` steps that end in each step (fewer at the start)."""
    if window == 1:
        return values
    total = values.copy()
    for lag in range(1, min(window, values.shape[0])):
        total[lag:] += values[:-lag]
    return total
