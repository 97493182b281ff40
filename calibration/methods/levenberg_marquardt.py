"""Fits by multi-start Levenberg-Marquardt: few simulations, each a step towards the nearest parameters.

Q (`lpm.calibration.methods.descent`) is minimised by Levenberg-Marquardt steps (Levenberg 1944, Quarterly of Applied
Mathematics 2:164-168; Marquardt 1963, 10.1137/0111030) from the best points of a Sobol' screen of the prior (Sobol'
1967), with few seeds and the scatter of the data alone for a weight. The last steps are taken with many seeds that the
fit has not seen and with the process noise in the weight (`lpm.calibration.methods.weights`).

Unless a gradient is asked for, a start's Jacobians are common random numbers `WIDE` apart and those of the last steps,
of which the fit's covariance is made, 0.05 apart: that is the estimator's own default. Where so little moves nothing (a
handful of first cases at the edge of a prior), they stay `WIDE` apart, and the fit says so.

The inverse of A, without what the noise of the Jacobian adds to it (`lpm.calibration.methods.information`), is the
covariance of the estimate as far as the model is linear between the ends of the interval (Gauss-Newton): with the
process noise in W it covers 70 to 90 % where it says 90 %, which `lpm.calibration.diagnose` shows and posteriors mend.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian, checked
from lpm.calibration.methods.descent import Descent, Objective, Rule, descended
from lpm.calibration.methods.dispersion import learned
from lpm.calibration.methods.estimate import Fit
from lpm.calibration.methods.information import grown, information
from lpm.calibration.methods.screen import Progress, screened, silent, sobol
from lpm.calibration.methods.trust import Gradient, trusted
from lpm.calibration.methods.weights import shrunken, whitener
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray

WIDE = 0.15
"""Half the width of the differences of a start's steps. Their Jacobians are of one seed, for which the noise of single
agents is worse than an error of h^2: on an epidemic of 10,000 the gradient's relative bias is 0.05 and a seed's spread
0.09, where h = 0.05 has 0.01 and 0.15. It turns a step a little and moves no estimate."""

USUAL = CommonRandomNumbers()
"""What the last steps take where no gradient is asked for."""

ENOUGH = 2.0
"""With a budget, a start that comes below this many times D is not compared with others."""

NEAR = 0.1
"""The last steps end with one that is shorter than this many standard errors."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Multi-start Levenberg-Marquardt.

    Attributes:
        gradient: Gives all Jacobians: an estimator, or "auto"; None = common random numbers, `WIDE` apart in a start's
            steps and 0.05 in the last ones (so is "auto" where it comes to them).
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
        last_seeds: Seeds of the runs at the end, which tell the process noise. Jacobians there are of the first two
            (or `seeds`) of them, the last one of as many as it takes for its own noise to matter little.
        last_steps: Most steps with it in the weight. There are several because the noise of a run is as correlated as
            its curve is smooth, so that the weight moves the estimate.
    """

    gradient: Gradient | None = None
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
        return self._rule(CommonRandomNumbers(h=WIDE))

    @property
    def last_rule(self) -> Rule:
        """The same of the last steps."""
        return self._rule(USUAL)

    def _rule(self, usual: Estimator) -> Rule:
        asked = self.gradient
        chosen = usual if asked is None or isinstance(asked, str) else asked
        return Rule(chosen, self.iterations, self.tolerance)

    @property
    def slopes(self) -> int:
        """Seeds of the Jacobians of the last steps, at first."""
        return min(max(2, self.seeds), self.last_seeds)

    def step_cost(self, size: int) -> int:
        """Return how many simulations one of the last steps takes in a space of `size` coordinates."""
        return self.last_seeds + self.last_rule.cost(size, self.slopes)

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
        CalibrationError: A budget that does not reach for the screen and the last steps, or a simulation that refuses
            every point of the screen.
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

    screen = screened(problem, sobol(problem, how.starts, seed), int(objective.seeds[0]), progress)
    problem.check_common(screen.points[0], int(objective.seeds[0]))
    values = [objective.value(u, curve) for u, curve in zip(screen.points, screen.curves, strict=True)]

    first = screen.points[int(np.argmin(values))]
    chosen, notes = trusted(problem, first, how.gradient or USUAL, how.among, how.override, USUAL)
    how = replace(how, gradient=None if chosen is USUAL else chosen)
    begins = np.concatenate([begins, screen.points[np.argsort(values)[: how.refined]]])
    found = _best(objective, how, begins, end - how.last_cost(size), progress)
    best = min(found, key=lambda each: each.value)
    last, more = _last(problem, how, best.u, seed, end, progress)
    trace = tuple(each.trace for each in found)
    notes = (*screen.notes, *notes, *more)
    return Fit(*last, trace, problem.simulations - before, time.perf_counter() - began, notes)


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
) -> tuple[tuple[Problem, HostArray, float, HostArray, Jacobian, HostArray], tuple[str, ...]]:
    """Return what `Fit` begins with, and notes, after steps from u with the process noise in the weight.

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
    usual, notes = how.gradient is None, tuple[str, ...]()
    found = _jacobian(objective, how, u, curves, end - len(seeds), (lambda _: True) if usual else _moves)
    if usual and not _moves(found):
        how = replace(how, gradient=CommonRandomNumbers(h=WIDE))
        notes = (f"derivatives are of differences {WIDE} apart: with {USUAL.h} a parameter moved nothing",)
        found = _jacobian(objective, how, u, curves, end - len(seeds), _moves)
    damping, new = 0.0, True
    if not _moves(found):  # rather too many simulations than a parameter that seems to move nothing
        found = _jacobian(objective, how, u, curves, math.inf, _moves, found)
    there = u, curves  # where the Jacobian is of
    for number in range(how.last_steps):
        progress("last steps", number, how.last_steps)
        if problem.simulations + len(seeds) + (0 if new else how.last_rule.cost(size, how.slopes)) > end:
            break
        if not new:
            again = _jacobian(objective, how, u, curves, end - len(seeds), _moves)
            if _moves(found) and not _moves(again):
                break
            found, new, there = again, True, (u, curves)
        mean = curves.mean(0)
        trial = objective.stepped(u, mean, found.jacobian, damping)
        mu = problem.attempted(lambda trial=trial: expected(trial))
        if (
            isinstance(mu, InputError)
            or objective.value(trial, objective.problem.observation.stabilised(mu).mean(0)) >= objective.value(u, mean)
        ):  # fmt: skip
            damping = 10 * max(damping, 0.1)
            continue
        matrix, _ = objective.normal(u, mean, found.jacobian)
        length = float((trial - u) @ matrix @ (trial - u))
        u, (objective, curves, process), damping, new = trial, seen(mu), 0.0, False
        if length < NEAR**2:
            break
    spread = problem.space.spread

    def settled(found: Jacobian) -> bool:
        return information(found, objective.weight, spread).settled

    found = checked(problem, _jacobian(objective, how, *there, end, settled, found))
    progress("last steps", how.last_steps, how.last_steps)
    value = objective.value(u, curves.mean(0))
    covariance = information(found, objective.weight, spread).covariance
    return (objective.problem, u, value, covariance, found, process), notes


def _moves(found: Jacobian) -> bool:
    """Return whether every parameter moves something."""
    return bool(found.jacobian.any(0).all())


def _jacobian(
    objective: Objective,
    how: LevenbergMarquardt,
    u: HostArray,
    curves: HostArray,
    end: float,
    enough: Callable[[Jacobian], bool],
    had: Jacobian | None = None,
) -> Jacobian:
    """Return the Jacobian over the first of the last seeds, and over ever more of them until it is enough.

    Args:
        objective: Q, with the last seeds.
        how: How many come first.
        u: Where.
        curves: float64 [S, D], of all last seeds.
        end: Number of simulations of the problem at which no further seeds are taken.
        enough: Whether a Jacobian will do.
        had: The Jacobian over some first seeds that is there already.
    """
    problem, seeds, rule = objective.problem, objective.seeds, how.last_rule

    def jac(some: HostArray) -> Jacobian:
        return rule.jac(problem, u, some, curves)

    first = jac(seeds[: how.slopes]) if had is None else had
    return grown(first, jac, seeds, enough, lambda: (end - problem.simulations) / rule.cost(len(u), 1))
