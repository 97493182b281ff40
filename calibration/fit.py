"""Fits: the parameters whose simulations come nearest to the data, from many starts.

Minimised is Q(u) = |W (g(y) - m(u))|^2 + |(u - u0) / s|^2: m is the mean curve over the fit's seeds (the same for all
points), W the weight of `lpm.calibration.weights`, and u0, s mean and spread of the prior in unconstrained coordinates.
Levenberg-Marquardt (Levenberg 1944, Quarterly of Applied Mathematics 2:164-168; Marquardt 1963, 10.1137/0111030) solves

    (A + lambda diag A) d = J' W' W (g(y) - m) - (u - u0) / s^2,      A = J' W' W J + diag(1 / s^2),

takes the step when Q falls, and is begun at the best of a Sobol' screen of the prior (Sobol' 1967). The inverse of A is
the covariance of the estimate as far as the model is linear between the ends of the interval (Gauss-Newton): with the
process noise in W it covers about 83 % where it says 90 %, which `lpm.calibration.diagnose` shows and posteriors mend.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import norm, qmc

from lpm.calibration.dispersion import learned
from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian, checked
from lpm.calibration.problem import Problem
from lpm.calibration.weights import shrunken, whitener
from lpm.types import HostArray

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how many."""

SHRUNK = 0.5
"""A coordinate counts as identified when the data take at least half of its prior variance."""

FARTHEST = 2.0
"""Longest step in any coordinate, in spreads of its prior."""


def silent(_what: str, _done: int, _of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
        problem: What was fitted.
        u: float64 [P], the estimate in unconstrained coordinates.
        objective: Q there.
        covariance: float64 [P, P] of u (Gauss-Newton), process noise and prior in it.
        jacobian: The curve and its derivative at the estimate.
        process: float64 [D, D], covariance of one run's curve there.
        trace: By refined start, the (simulations, Q) after every step.
        simulations: Runs that it took, the screen included.
        seconds: Wall time.
    """

    problem: Problem
    u: HostArray
    objective: float
    covariance: HostArray
    jacobian: Jacobian
    process: HostArray
    trace: tuple[tuple[tuple[int, float], ...], ...]
    simulations: int
    seconds: float

    @property
    def theta(self) -> dict[str, HostArray]:
        """The estimate by name."""
        return {name: values[0] for name, values in self.problem.theta(self.u[None]).items()}

    @property
    def spread(self) -> HostArray:
        """Standard error of every coordinate, [P]."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def at_bound(self) -> tuple[str, ...]:
        """Coordinates at the edge of what their prior allows."""
        return self.problem.space.at_bound(self.u)

    @property
    def identified(self) -> dict[str, bool]:
        """Whether the data take at least half of a coordinate's prior variance, by name."""
        left = (self.spread / self.problem.space.spread) ** 2
        return {name: bool(share < SHRUNK) for name, share in zip(self.problem.space.names, left, strict=True)}

    def interval(self, level: float = 0.9) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        """Return the lower and upper ends by parameter: f(u - z sd) and f(u + z sd), each coordinate by itself."""
        z = float(norm.ppf(0.5 + level / 2))
        low, high = (
            self.problem.theta(self.u - z * self.spread[None]),
            self.problem.theta(self.u + z * self.spread[None]),
        )
        return {n: v[0] for n, v in low.items()}, {n: v[0] for n, v in high.items()}

    def draws(self, count: int, seed: int = 0) -> HostArray:
        """Return draws u [count, P] of the normal approximation, held within the prior's box."""
        made = np.random.default_rng(seed).multivariate_normal(self.u, self.covariance, count, method="cholesky")
        return np.clip(made, *self.problem.space.box)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Multi-start Levenberg-Marquardt.

    Attributes:
        estimator: Gives the Jacobian.
        starts: Points of the screen, one run each.
        refined: How many of the best are refined.
        seeds: Runs that are averaged, the same seeds at every point.
        iterations: Most steps of one start.
        tolerance: A start ends when two steps in a row lower Q by less than this share.
        simulations: Most simulations; None = as many as it takes.
        last_seeds: Seeds of the runs at the end, which tell the process noise. With it in the weight one more step is
            taken, because the noise of a run is as correlated as its curve is smooth.
    """

    estimator: Estimator = field(default_factory=CommonRandomNumbers)
    starts: int = 32
    refined: int = 2
    seeds: int = 1
    iterations: int = 15
    tolerance: float = 0.01
    simulations: int | None = None
    last_seeds: int = 16

    def __post_init__(self):
        """Refuse counts below 1."""
        for name in ("starts", "refined", "seeds", "iterations"):
            if getattr(self, name) < 1:
                raise CalibrationError(f"fit: expected {name} of at least 1, got {getattr(self, name)}")
        if self.last_seeds < 2:
            raise CalibrationError(f"fit: expected last_seeds of at least 2, got {self.last_seeds}")

    @property
    def slopes(self) -> int:
        """Seeds of the Jacobian at the estimate."""
        return min(max(2, self.seeds), self.last_seeds)

    def last_cost(self, size: int) -> int:
        """Return how many simulations the last step takes in a space of `size` coordinates."""
        return self.seeds + 2 * self.last_seeds + 2 * size * self.slopes


def sobol(problem: Problem, count: int, seed: int) -> HostArray:
    """Return points u [count, P] spread evenly over the prior (scrambled Sobol' sequence)."""
    sequence = qmc.Sobol(problem.space.size, rng=np.random.default_rng(seed))
    return problem.space.quantile(sequence.random_base2(max(count - 1, 0).bit_length())[:count])


class _Objective:
    """Q and what a step needs of it, with a weight that is held."""

    def __init__(self, problem: Problem, seeds: HostArray):
        self.problem, self.seeds, self.target = problem, seeds, problem.observation.target
        self.weight = np.eye(len(self.target))
        self.prior, self.spread = problem.space.mean, problem.space.spread

    def curves(self, u: HostArray) -> HostArray:
        return self.problem.curves(np.repeat(u[None], len(self.seeds), 0), self.seeds)

    def value(self, u: HostArray, mean: HostArray) -> float:
        return float(np.sum((self.weight @ (self.target - mean)) ** 2) + self.pull(u))

    def pull(self, u: HostArray) -> float:
        return float(np.sum(((u - self.prior) / self.spread) ** 2))

    def normal(self, u: HostArray, found: Jacobian) -> tuple[HostArray, HostArray]:
        """Return A [P, P] and the right side [P]."""
        slope = self.weight @ found.jacobian
        rest = self.weight @ (self.target - found.mean)
        return (
            slope.T @ slope + np.diag(self.spread**-2),
            slope.T @ rest - (u - self.prior) / self.spread**2,
        )


def fit(
    problem: Problem,
    method: LevenbergMarquardt | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
    begin: HostArray | None = None,
) -> Fit:
    """Return the parameters that minimise Q.

    Args:
        problem: What to fit.
        method: How.
        seed: Names the screen and the seeds of all runs.
        progress: Told how far it is.
        begin: Points u [n, P] to refine besides those of the screen.

    Raises:
        NotCommonError: The simulation is not a function of parameters and seed.
        ZeroGradientError: Nothing moves with a parameter.
        NotFiniteError: A NaN.
    """
    how = method or LevenbergMarquardt()
    began, before = time.perf_counter(), problem.simulations
    seeds = 1_000 * seed + np.arange(how.seeds)
    objective = _Objective(problem, seeds)
    last = how.last_cost(problem.space.size)
    left = _Budget(problem, before, None if how.simulations is None else how.simulations - last)

    progress("screen", 0, how.starts)
    points = sobol(problem, how.starts, seed)
    problem.check_common(points[0], int(seeds[0]))
    screen = problem.curves(points, np.full(len(points), seeds[0]))
    values = [objective.value(u, curve) for u, curve in zip(points, screen, strict=True)]
    best = points[np.argsort(values)[: how.refined]]
    begins = best if begin is None else np.concatenate([np.atleast_2d(begin), best])
    progress("screen", how.starts, how.starts)

    runs: list[tuple[float, HostArray, list[tuple[int, float]]]] = []
    for number, u in enumerate(begins):
        share = left.share(len(begins) - number)
        runs.append(_refined(objective, how, u, share, progress, f"start {number + 1} of {len(begins)}"))
    _, u, _ = min(runs, key=lambda run: run[0])
    mu = problem.expected(np.repeat(u[None], len(seeds), 0), seeds)  # known already where there is an archive
    problem = replace(problem, observation=learned(problem.observation, mu, problem.space.size))
    objective = _Objective(problem, seeds)
    u, value, covariance, found, process = _last(objective, how, u, seed, progress)
    trace = tuple(tuple(run[2]) for run in runs)
    took, seconds = problem.simulations - before, time.perf_counter() - began
    return Fit(problem, u, value, covariance, found, process, trace, took, seconds)


class _Budget:
    """How many simulations are left to the starts that are still to be refined."""

    def __init__(self, problem: Problem, before: int, most: int | None):
        self.problem, self.end = problem, None if most is None else before + most

    def share(self, starts: int) -> int | None:
        return None if self.end is None else self.problem.simulations + (self.end - self.problem.simulations) // starts


def _refined(
    objective: _Objective, how: LevenbergMarquardt, u: HostArray, end: int | None, progress: Progress, told: str
) -> tuple[float, HostArray, list[tuple[int, float]]]:
    """Return Q, u and the trace of one start."""
    problem = objective.problem
    low, high = problem.space.box
    cost = 2 * problem.space.size * how.seeds + how.seeds
    if end is not None and problem.simulations + cost + how.seeds > end:
        curves = objective.curves(u)
        return objective.value(u, curves.mean(0)), u, []
    curves, damping, slow = objective.curves(u), 0.1, 0
    value = objective.value(u, curves.mean(0))
    trace = [(problem.simulations, value)]
    for step in range(how.iterations):
        progress(told, step, how.iterations)
        if slow == 2 or (end is not None and problem.simulations + cost > end):
            break
        found = _jac(how.estimator, problem, u, objective.seeds, curves)
        matrix, right = objective.normal(u, found)
        before = value
        for _ in range(4):
            if end is not None and problem.simulations + how.seeds > end:
                break
            change = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
            change *= min(1.0, FARTHEST / max(float(np.abs(change / objective.spread).max()), 1e-12))
            trial = np.clip(u + change, low, high)
            tried = objective.curves(trial)
            new = objective.value(trial, tried.mean(0))
            if new < value:
                u, value, curves, damping = trial, new, tried, max(damping / 5, 1e-4)
                break
            damping *= 6
        trace.append((problem.simulations, value))
        slow = slow + 1 if before - value < how.tolerance * before else 0
    progress(told, how.iterations, how.iterations)
    return value, u, trace


def _jac(estimator: Estimator, problem: Problem, u: HostArray, seeds: HostArray, curves: HostArray) -> Jacobian:
    """Return the Jacobian over seeds, with the mean of curves that are known already (of these seeds and more)."""
    if isinstance(estimator, CommonRandomNumbers):
        found = estimator.jac(problem, u, seeds, curves)
    else:
        found = estimator.jac(problem, u, seeds)
    return Jacobian(curves.mean(0), found.jacobian, found.covariance, found.each, found.simulations)


def _last(
    objective: _Objective, how: LevenbergMarquardt, u: HostArray, seed: int, progress: Progress
) -> tuple[HostArray, float, HostArray, Jacobian, HostArray]:
    """Return u after a last step with the process noise in the weight, Q, covariance, Jacobian and process noise.

    Its runs are of seeds that the fit has not seen.
    """
    problem = objective.problem
    seeds = 1_000 * seed + 500 + np.arange(how.last_seeds)
    objective.seeds = seeds
    progress("last step", 0, 2)
    curves = objective.curves(u)
    process = shrunken(curves)
    objective.weight = whitener(process)
    found = _jac(how.estimator, problem, u, seeds[: how.slopes], curves)
    matrix, right = objective.normal(u, found)
    value = objective.value(u, curves.mean(0))
    progress("last step", 1, 2)
    change = np.linalg.solve(matrix, right)
    change *= min(1.0, FARTHEST / max(float(np.abs(change / objective.spread).max()), 1e-12))
    trial = np.clip(u + change, *problem.space.box)
    mean = objective.curves(trial).mean(0)
    if objective.value(trial, mean) < value:
        u, value = trial, objective.value(trial, mean)
    progress("last step", 2, 2)
    return u, value, np.linalg.inv(matrix), checked(problem, found), process


def table(found: Fit, level: float = 0.9) -> list[Mapping[str, Any]]:
    """Return a row per coordinate: name, estimate, low, high (at `level`), at_bound, identified."""
    low, high = found.interval(level)
    rows: list[Mapping[str, Any]] = []
    for name, size in found.problem.space.sizes.items():
        values = [np.atleast_1d(each[name]).ravel() for each in (found.theta, low, high)]
        own = [each for each in found.problem.space.names if each == name or each.startswith(f"{name}[")][:size]
        for number in range(len(values[0])):
            coordinate = own[min(number, len(own) - 1)]
            rows.append(
                {
                    "name": name if len(values[0]) == 1 else f"{name}[{number}]",
                    "estimate": float(values[0][number]),
                    "low": float(min(values[1][number], values[2][number])),
                    "high": float(max(values[1][number], values[2][number])),
                    "at_bound": coordinate in found.at_bound,
                    "identified": found.identified[coordinate],
                }
            )
    return rows
