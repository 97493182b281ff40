"""A measure as a smooth function of the swept parameters, with how sure that is, and where to run next.

A Gaussian process (C. E. Rasmussen & C. K. I. Williams 2006, ISBN 026218253X, algorithm 2.1) of the mean over the
seeds, y(x) = f(x) + e, over inputs scaled to [0, 1] (by their logarithms where the path is swept so): f has a Matern
5/2 covariance with one length for each path, e the variance of the mean over the seeds, taken from their spread.
Lengths and scale are those of largest marginal likelihood (scikit-learn).

Where the surface is least sure: the predictive variance s^2(x), greedily, as if the points chosen before had been run
(which needs no values), times 1 + e_i^2 / s_i^2 of the run i nearest to x, its error when it is predicted from all
others (L. Le Gratiet & C. Cannamela 2015, doi:10.1080/00401706.2014.928233): the process alone takes every place for
equally rough, and would pass by a cliff.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.stats import qmc

from lpm.errors import InputError
from lpm.sweeps.axes import WHOLE
from lpm.sweeps.outcome import Outcome, Swept, read_outcome

FITTED, HELD = 128, 800
"""Most runs from which the lengths are found, and most runs that the surface rests on: both cost their cube."""

LENGTHS = (0.05, 20.0)
"""Shortest and longest length, as a share of a path's range: a guess."""

PRIOR = 4.0
"""Degrees of freedom with which the spread over seeds of one run is drawn to that of all runs: a guess."""

SEED, CANDIDATES = 11, 2048
"""Seed and number of the points from which new runs are chosen; any seed would do."""

AVERAGED = 64
"""Points over which a surface is averaged along the paths that a curve or map does not show."""

MOST_WEIGHT = 25.0
"""Most by which a run's error raises the variance around it: a guess, so that one freak run does not take them all."""


@dataclass(frozen=True)
class Surface:
    """A fitted process.

    Attributes:
        paths: The swept paths it is a function of.
        x: Runs it rests on, shares of the ranges, [runs, paths].
        y: Their means over seeds, less `centre`, by `scale`.
        noise: Variance of each of `y`.
        centre: Mean of the values.
        scale: Standard deviation of the values.
        kernel: Covariance of f, in units of `scale`; called with points [n, paths] and [m, paths].
        factor: Cholesky factor of the covariance of `y`, lower.
        left: Runs that failed or are not defined, which it does not rest on.
    """

    paths: tuple[Swept, ...]
    x: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    centre: float
    scale: float
    kernel: Any
    factor: np.ndarray
    left: int

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of f at points [n, paths], in the measure's unit."""
        return self._posterior(self.kernel(x, self.x), self.kernel.diag(x))

    def curve(self, path: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of f along one path, averaged over the others, [points]."""
        return self._averaged((path,), shares[:, None])

    def map(self, one: int, two: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of f over two paths, averaged over the others, [of two, of one]."""
        y, x = np.meshgrid(shares, shares, indexing="ij")
        mean, error = self._averaged((one, two), np.stack([x.ravel(), y.ravel()], 1))
        return mean.reshape(x.shape), error.reshape(x.shape)

    def _averaged(self, kept: tuple[int, ...], at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the average of f over the paths that are not kept, at points [n]."""
        count = AVERAGED if len(self.paths) > len(kept) else 1
        others = qmc.Sobol(len(self.paths), rng=SEED).random(count)
        across = np.empty((len(at), len(self.x)))
        for number, point in enumerate(at):
            others[:, kept] = point
            across[number] = self.kernel(others, self.x).mean(0)
        own = float(self.kernel(others, others).mean())  # the same wherever the kept paths stand
        return self._posterior(across, np.full(len(at), own))

    def _posterior(self, across: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half = solve_triangular(self.factor, across.T, lower=True)
        mean = half.T @ solve_triangular(self.factor, self.y, lower=True)
        left = np.maximum(own - (half**2).sum(0), 0.0)
        return self.centre + self.scale * mean, self.scale * np.sqrt(left)

    def errors_left_out(self) -> np.ndarray:
        """Return e_i^2 / s_i^2 of each run, predicted from all others (Rasmussen & Williams 2006, eq. 5.12), [runs]."""
        inverse = cho_solve((self.factor, True), np.eye(len(self.x)))
        return (inverse @ self.y) ** 2 / np.diag(inverse)


def surface(outcome: Outcome, arm: str, measure: str, group: str = "all") -> Surface:
    """Return the surface of a measure over the swept paths that are numbers.

    Raises:
        InputError: A path of names, no numeric path, too few runs, or a measure that is not defined in them.
    """
    where = f"{outcome.folder}: a surface of {measure}"
    names = [path.path for path in outcome.paths if path.names]
    if names:
        raise InputError(f"{where}: expected numbers on every path, got names on '{names[0]}'")
    paths = outcome.numeric
    if not paths:
        raise InputError(f"{where}: expected a path with more than one value")
    values = outcome.values(arm, measure, group)
    whole = ~np.isnan(values).any(1)
    if whole.sum() < 2 * len(paths) + 2:
        raise InputError(
            f"{where}: expected at least {2 * len(paths) + 2} runs in which it is defined, got {int(whole.sum())}"
        )
    return fit(outcome.shares(paths)[whole], values[whole], paths, int((~whole).sum()))


def fit(x: np.ndarray, values: np.ndarray, paths: Sequence[Swept], left: int = 0) -> Surface:
    """Return the surface through runs.

    Args:
        x: Shares of the ranges, [runs, paths].
        values: By run and seed.
        paths: The paths of `x`.
        left: Runs that are left out.
    """
    mean, spread = values.mean(1), _spread(values)
    order = np.random.default_rng(SEED).permutation(len(x))[:HELD]
    x, mean = x[order], mean[order]
    centre, scale = float(mean.mean()), float(mean.std()) or 1.0
    y = (mean - centre) / scale
    noise = np.full(len(x), np.nan) if spread is None else spread[order] / scale**2
    with one_thread():
        kernel, noise = _kernel(x[:FITTED], y[:FITTED], noise)
        factor = cho_factor(kernel(x, x) + np.diag(noise), lower=True)[0]
    return Surface(tuple(paths), x, y, noise, centre, scale, kernel, np.tril(factor), left)


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra uses one thread.

    For matrices of a few hundred rows, threads that wait for each other cost ten times what they do on a busy machine.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def _spread(values: np.ndarray) -> np.ndarray | None:
    """Return the variance of each run's mean over the seeds, [runs]; None with one seed."""
    seeds = values.shape[1]
    if seeds < 2:
        return None
    own = values.var(1, ddof=1)
    return (PRIOR * own.mean() + (seeds - 1) * own) / (PRIOR + seeds - 1) / seeds


def _kernel(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the covariance of largest marginal likelihood, and the noise; nan = to be found too."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    told = not np.isnan(noise).any()
    lengths: Any = np.full(x.shape[1], 0.5)
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * Matern(lengths, LENGTHS, nu=2.5)
    floor = 1e-8  # in units of the values' variance, so that the factor exists
    asked = kernel if told else kernel + WhiteKernel(1e-3, (floor, 1.0))
    alpha: Any = noise[: len(x)] + floor if told else floor
    process = GaussianProcessRegressor(asked, alpha=alpha, n_restarts_optimizer=1, random_state=SEED)
    with warnings.catch_warnings():
        # a path that does not matter has the longest length there is: that is an answer
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(x, y)
    found: Any = process.kernel_
    if told:
        return found, noise + floor
    return found.k1, np.full(len(noise), found.k2.noise_level + floor)


def refine(
    folder: Path,
    count: int,
    arm: str | None = None,
    metric: str | None = None,
    summary: str | None = None,
    group: str = "all",
) -> pl.DataFrame:
    """Return `count` new rows of a sweep's design, where the surface of a measure is least sure.

    Args:
        folder: The sweep's folder.
        count: Number of rows.
        arm: Default: the first.
        metric: Default: the headline.
        summary: Default: the metric's main one.
        group: Of the summary.

    Returns:
        One column for each swept path, within its range. The same folder gives the same rows. Nothing is chosen where
        the nearest run failed.

    Raises:
        InputError: As `surface`, or more rows than there are different points.
    """
    outcome = read_outcome(Path(folder))
    measure, arm = outcome.measure(metric, summary), arm or outcome.arms[0]
    found = surface(outcome, arm, measure, group)
    rounds = int(outcome.design["round"].max() or 0)  # pyright: ignore[reportArgumentType]
    sequence = qmc.Sobol(len(found.paths), rng=SEED + 1 + rounds)
    table = sequence.random(max(CANDIDATES, 1 << (4 * count - 1).bit_length()))
    values = np.stack([path.at(table[:, i]) for i, path in enumerate(found.paths)], 1)
    for number, path in enumerate(found.paths):
        if path.path in WHOLE:
            values[:, number] = np.round(values[:, number])
    values = np.unique(values, axis=0)
    points = np.stack([path.share(values[:, i]) for i, path in enumerate(found.paths)], 1)
    runs = outcome.shares(found.paths)
    nearest = _nearest(points, runs)
    good = outcome.failed(arm)[nearest] == 0
    good &= np.abs(points - runs[nearest]).max(1) > 1e-9  # not run already
    if good.sum() < count:
        raise InputError(f"{outcome.folder}: refine: expected at most {int(good.sum())} new rows, got {count}")
    values, points = values[good], points[good]
    chosen = least_sure(found, points, count)
    columns = {path.path: values[chosen, i] for i, path in enumerate(found.paths)}
    fixed = {path.path: np.full(count, path.low) for path in outcome.paths if path not in found.paths}
    return pl.DataFrame({path.path: (columns | fixed)[path.path] for path in outcome.paths})


def least_sure(found: Surface, points: np.ndarray, count: int) -> list[int]:
    """Return which of the points to run, in order: each as if those before it had been run."""
    half = solve_triangular(found.factor, found.kernel(found.x, points), lower=True)
    variance = found.kernel.diag(points) - (half**2).sum(0)
    weight = 1.0 + np.minimum(found.errors_left_out(), MOST_WEIGHT)[_nearest(points, found.x)]
    noise = float(found.noise.mean())
    rows = np.empty((count, len(points)))
    chosen: list[int] = []
    for number in range(count):
        score = weight * np.maximum(variance, 0.0)
        score[chosen] = -1.0
        best = int(score.argmax())
        chosen.append(best)
        across = found.kernel(points[best : best + 1], points)[0] - half[:, best] @ half
        across -= rows[:number, best] @ rows[:number]
        rows[number] = across / np.sqrt(max(variance[best], 0.0) + noise)
        variance = variance - rows[number] ** 2
    return chosen


def _nearest(points: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Return the number of the run nearest to each point."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(runs).query(points)[1])
