"""Fits by multi-start Levenberg-Marquardt: few simulations, each a step towards the nearest parameters.

Q (`lpm.calibration.methods.descent`) is minimised by Levenberg-Marquardt steps (Levenberg 1944, Quarterly of Applied
Mathematics 2:164-168; Marquardt 1963, 10.1137/0111030) from the best points of a Sobol' screen of the prior (Sobol'
1967), with few seeds and the scatter of the data alone for a weight. The last steps are taken with many seeds that the
fit has not seen and with the process noise in the weight (`lpm.calibration.methods.weights`).

The inverse of A is the covariance of the estimate as far as the model is linear between the ends of the interval
(Gauss-Newton): with the process noise in W it covers 65 to 85 % where it says 90 %, which `lpm.calibration.diagnose`
shows and posteriors mend.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian, checked
from lpm.calibration.methods.descent import Descent, Objective, Rule, descended
from lpm.calibration.methods.dispersion import learned
from lpm.calibration.methods.estimate import Fit
from lpm.calibration.methods.screen import Progress, silent, sobol
from lpm.calibration.methods.trust import Gradient, trusted
from lpm.calibration.methods.weights import shrunken, whitener
from lpm.calibration.problem import Problem
from lpm.types import HostArray

WIDE = 0.15
"""Half the width of the differences of a fit. Its Jacobians are of one or two seeds: for them the noise of single
agents is worse than an error of h^2 (some per cent), and makes intervals too narrow."""

ENOUGH = 2.0
"""With a budget, a start that comes below this many times D is not compared with others."""

NEAR = 0.1
"""The last steps end with one that is shorter than this many standard errors."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Multi-start Levenberg-Marquardt.

    Attributes:
        gradient: Gives the Jacobian: an estimator, common random numbers `WIDE` apart unless said, or "auto".
        among: What "auto" has to choose from besides.
        override: Follow a biased gradient without a check (`lpm.calibration.methods.trust`).
        starts: Points of the screen, one run each.
        refined: How many of the best are refined.
        seeds: Runs that are averaged, the same seeds at every point.
        iterations: Most steps of one start.
        tolerance: A start ends when a step along a new Jacobian lowers Q by less than this share.
        simulations: Most simulations (of common random numbers; other estimators may take more); None = as many as it
            takes. They are exceeded where nothing moves with a parameter, as in an epidemic that dies out: that is
            believed only when it is so under all last seeds.
        last_seeds: Seeds of the runs at the end, which tell the process noise.
        last_steps: Most steps with it in the weight. There are several because the noise of a run is as correlated as
            its curve is smooth, so that the weight moves the estimate.
    """

    gradient: Gradient = field(default_factory=lambda: CommonRandomNumbers(h=WIDE))
    among: tuple[Estimator, ...] = ()
    override: bool = False
    starts: int = 32
    refined: int = 2
    seeds: int = 1
    iterations: int = 30
    tolerance: float = 0.01
    simulations: int | None = None
    last_seeds: int = 16
    last_steps: int = 3

    def __post_init__(self):
        """Refuse counts below 1."""
        for name in ("starts", "refined", "seeds", "iterations", "last_steps"):
            if getattr(self, name) < 1:
                raise CalibrationError(f"fit: expected {name} of at least 1, got {getattr(self, name)}")
        if self.last_seeds < 2:
            raise CalibrationError(f"fit: expected last_seeds of at least 2, got {self.last_seeds}")

    @property
    def rule(self) -> Rule:
        """How far a start is followed."""
        if isinstance(self.gradient, str):
            return Rule(CommonRandomNumbers(h=WIDE), self.iterations, self.tolerance)
        return Rule(self.gradient, self.iterations, self.tolerance)

    @property
    def slopes(self) -> int:
        """Seeds of the Jacobian at the estimate."""
        return min(max(2, self.seeds), self.last_seeds)

    def step_cost(self, size: int) -> int:
        """Return how many simulations one of the last steps takes in a space of `size` coordinates."""
        return self.last_seeds + self.rule.cost(size, self.slopes)

    def last_cost(self, size: int) -> int:
        """Return how many simulations are held back for the last steps: two of them, or the one that there is."""
        return self.last_seeds + min(2, self.last_steps) * self.step_cost(size)


def levenberg_marquardt(
    problem: Problem,
    how: LevenbergMarquardt,
    *,
    seed: int = 0,
    progress: Progress = silent,
    begin: HostArray | None = None,
) -> Fit:
    """Return the parameters that minimise Q.

    Args:
        problem: What to fit.
        how: The method.
        seed: Names the screen and the seeds of all runs.
        progress: Told how far it is.
        begin: Points u [n, P] to refine besides those of the screen.

    Raises:
        CalibrationError: A budget that does not reach for the screen and the last steps.
        NotCommonError: The simulation is not a function of parameters and seed.
        BiasedError: A gradient too far from the truth.
        ZeroGradientError: Nothing moves with a parameter, in no run of the last seeds.
        NotFiniteError: A NaN.
    """
    began, before, size = time.perf_counter(), problem.simulations, problem.space.size
    begins = np.empty((0, size)) if begin is None else np.atleast_2d(begin)
    least = 2 + how.starts + how.seeds * (len(begins) + how.refined) + how.last_cost(size)
    if how.simulations is not None and how.simulations < least:
        raise CalibrationError(f"fit: expected at least {least} simulations for this method, got {how.simulations}")
    end = math.inf if how.simulations is None else before + how.simulations
    objective = Objective(problem, 1_000 * seed + np.arange(how.seeds))

    progress("screen", 0, how.starts)
    points = sobol(problem, how.starts, seed)
    problem.check_common(points[0], int(objective.seeds[0]))
    screen = problem.curves(points, np.full(len(points), objective.seeds[0]))
    values = [objective.value(u, curve) for u, curve in zip(points, screen, strict=True)]
    progress("screen", how.starts, how.starts)

    first = points[int(np.argmin(values))]
    how = replace(how, gradient=trusted(problem, first, how.gradient, how.among, how.override, how.rule.estimator))
    begins = np.concatenate([begins, points[np.argsort(values)[: how.refined]]])
    found = _best(objective, how, begins, end - how.last_cost(size), progress)
    best = min(found, key=lambda each: each.value)
    last = _last(problem, how, best.u, seed, end, progress)
    trace = tuple(each.trace for each in found)
    return Fit(*last, trace, problem.simulations - before, time.perf_counter() - began)


def _best(
    objective: Objective, how: LevenbergMarquardt, begins: HostArray, end: float, progress: Progress
) -> list[Descent]:
    """Return where the starts come, which share what is left until `end`; without an end each goes its whole way."""
    problem, found = objective.problem, list[Descent]()
    limited, enough = math.isfinite(end), ENOUGH * len(objective.target)
    for number, u in enumerate(begins):
        if limited and any(each.value < enough for each in found):
            break
        told = f"start {number + 1} of {len(begins)}"
        curves = objective.curves(u)
        share = problem.simulations + (end - problem.simulations) / (len(begins) - number)
        at = Descent(u, curves, objective.value(u, curves.mean(0)))
        found.append(descended(objective, how.rule, at, share, lambda done, of, told=told: progress(told, done, of)))
    if limited:  # what the others have left
        best = int(np.argmin([each.value for each in found]))
        if found[best].value > enough:
            found[best] = descended(objective, how.rule, found[best], end)
    return found


def _last(
    problem: Problem, how: LevenbergMarquardt, u: HostArray, seed: int, end: float, progress: Progress
) -> tuple[Problem, HostArray, float, HostArray, Jacobian, HostArray]:
    """Return what `Fit` begins with, after steps from u with the process noise in the weight.

    Their runs are of seeds that the fit has not seen. Concentrations that were left open are learned at every step.
    """
    size, seeds, given = problem.space.size, 1_000 * seed + 500 + np.arange(how.last_seeds), problem.observation

    def seen(mu: HostArray) -> tuple[Objective, HostArray, HostArray]:
        """Return Q as it looks from a point of expectations mu [S, D], its curves, and the process noise."""
        known = replace(problem, observation=learned(given, mu, size))
        curves = np.asarray(known.observation.stabilised(mu))
        process = shrunken(curves)
        return Objective(known, seeds, whitener(process)), curves, process

    def expected(at: HostArray) -> HostArray:
        return problem.expected(np.repeat(at[None], len(seeds), 0), seeds)

    objective, curves, process = seen(expected(u))
    found, damping, new = _moving(objective, how, u, curves, end - len(seeds)), 0.0, True
    if not _moves(found):  # rather too many simulations than a parameter that seems to move nothing
        found = _moving(objective, how, u, curves, math.inf, found)
    for number in range(how.last_steps):
        progress("last steps", number, how.last_steps)
        if problem.simulations + len(seeds) + (0 if new else how.rule.cost(size, how.slopes)) > end:
            break
        if not new:
            again = _moving(objective, how, u, curves, end - len(seeds))
            if _moves(found) and not _moves(again):
                break
            found, new = again, True
        mean = curves.mean(0)
        trial = objective.stepped(u, mean, found.jacobian, damping)
        mu = expected(trial)
        if objective.value(trial, objective.problem.observation.stabilised(mu).mean(0)) >= objective.value(u, mean):
            damping = 10 * max(damping, 0.1)
            continue
        matrix, _ = objective.normal(u, mean, found.jacobian)
        length = float((trial - u) @ matrix @ (trial - u))
        u, (objective, curves, process), damping, new = trial, seen(mu), 0.0, False
        if length < NEAR**2:
            break
    progress("last steps", how.last_steps, how.last_steps)
    matrix, _ = objective.normal(u, curves.mean(0), found.jacobian)
    value = objective.value(u, curves.mean(0))
    return objective.problem, u, value, np.linalg.inv(matrix), checked(problem, found), process


def _moves(found: Jacobian) -> bool:
    """Return whether every parameter moves something."""
    return bool(found.jacobian.any(0).all())


def _moving(
    objective: Objective,
    how: LevenbergMarquardt,
    u: HostArray,
    curves: HostArray,
    end: float,
    had: Jacobian | None = None,
) -> Jacobian:
    """Return the Jacobian over the first of the last seeds, and over ever more of them until every parameter moves.

    Args:
        objective: Q, with the last seeds.
        how: How many come first.
        u: Where.
        curves: float64 [S, D], of all last seeds.
        end: Number of simulations of the problem at which no further seeds are taken.
        had: The Jacobian over some first seeds that is there already.
    """
    problem, seeds, rule = objective.problem, objective.seeds, how.rule
    found = rule.jac(problem, u, seeds[: how.slopes], curves) if had is None else had
    used = max(how.slopes, len(found.each))
    while not _moves(found) and used < len(seeds):
        room = (end - problem.simulations) // rule.cost(len(u), 1)
        count = int(min(used, len(seeds) - used, room))
        if count < 1:
            break
        more = rule.jac(problem, u, seeds[used : used + count], curves)
        each = np.concatenate([found.each, more.each])
        found = Jacobian(found.mean, each.mean(0), found.covariance, each, found.simulations + more.simulations)
        used += count
    return found
