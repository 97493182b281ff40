"""The descent of a fit from one start: Levenberg-Marquardt steps whose Jacobian is carried along by secants.

Minimised is Q(u) = |W (g(y) - m(u))|^2 + |(u - u0) / s|^2: m is the mean curve over some seeds (the same for all
points), W a weight, and u0, s mean and spread of the prior in unconstrained coordinates. A step d solves

    (A + lambda diag A) d = J' W' W (g(y) - m) - (u - u0) / s^2,      A = J' W' W J + diag(1 / s^2).

A Jacobian takes 2 P runs a seed where a step takes one. So it is renewed only where it has failed, and otherwise
brought up to date from what the steps show (Broyden 1965, Mathematics of Computation 19:577-593), with lengths in
spreads of the prior: J <- J + (m(u + d) - m(u) - J d) e' / (e' d), e = d / s^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray

FARTHEST = 2.0
"""Longest step in any coordinate, in spreads of its prior."""

SHORTEST = 1e-4
"""A step that is shorter than this many spreads in every coordinate ends a descent."""

POOR = 0.25
"""A step that lowers Q by less than this share of what its Jacobian promised has the Jacobian renewed."""

FIRM = 0.5
"""A step that lowers Q by more than this share of it has the damping lowered."""

FAILURES = 5
"""Steps in vain (or to parameters that the simulation refuses), along one Jacobian and shorter each time, that end a
descent."""


class Objective:
    """Q and what a step needs of it, for some seeds and a weight."""

    def __init__(self, problem: Problem, seeds: HostArray, weight: HostArray | None = None):
        """Take the seeds [S] over which curves are averaged, and the weight [D, D]; None = 1."""
        self.problem, self.seeds, self.target = problem, seeds, problem.observation.target
        self.weight = np.eye(len(self.target)) if weight is None else weight
        self.prior, self.spread, self.box = problem.space.mean, problem.space.spread, problem.space.box

    def curves(self, u: HostArray) -> HostArray:
        """Return g(mu) [S, D] at u [P]."""
        return self.problem.curves(np.repeat(u[None], len(self.seeds), 0), self.seeds)

    def value(self, u: HostArray, mean: HostArray) -> float:
        """Return Q at u [P], whose mean curve is [D]."""
        pull = (u - self.prior) / self.spread
        return float(np.sum((self.weight @ (self.target - mean)) ** 2) + np.sum(pull**2))

    def normal(self, u: HostArray, mean: HostArray, jacobian: HostArray) -> tuple[HostArray, HostArray]:
        """Return A [P, P] and the right side [P] of a step."""
        slope, rest = self.weight @ jacobian, self.weight @ (self.target - mean)
        return slope.T @ slope + np.diag(self.spread**-2), slope.T @ rest - (u - self.prior) / self.spread**2

    def stepped(self, u: HostArray, mean: HostArray, jacobian: HostArray, damping: float = 0.0) -> HostArray:
        """Return u after a step, which is held within the prior's box and to `FARTHEST`."""
        matrix, right = self.normal(u, mean, jacobian)
        change = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
        change *= min(1.0, FARTHEST / max(float(np.abs(change / self.spread).max()), 1e-12))
        return np.clip(u + change, *self.box)


@dataclass(frozen=True)
class Descent:
    """Where a descent has come.

    Attributes:
        u: float64 [P].
        curves: float64 [S, D], its curves by seed.
        value: Q there.
        trace: (simulations, Q) after every step that was taken.
    """

    u: HostArray
    curves: HostArray
    value: float
    trace: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Rule:
    """How far a descent goes.

    Attributes:
        estimator: Gives the Jacobian.
        iterations: Most steps.
        tolerance: It ends when a step along a new Jacobian lowers Q by less than this share.
    """

    estimator: Estimator
    iterations: int
    tolerance: float

    def cost(self, size: int, seeds: int) -> int:
        """Return how many simulations a Jacobian takes, as far as that is known beforehand."""
        twice = isinstance(self.estimator, CommonRandomNumbers) and self.estimator.richardson
        return 2 * size * seeds * (2 if twice else 1)

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray, curves: HostArray) -> Jacobian:
        """Return the Jacobian over seeds, with the mean of curves that are known already (of these seeds and more)."""
        if isinstance(self.estimator, CommonRandomNumbers):
            found = self.estimator.jac(problem, u, seeds, curves)
        else:
            found = self.estimator.jac(problem, u, seeds)
        return Jacobian(curves.mean(0), found.jacobian, found.covariance, found.each, found.simulations)


def descended(
    objective: Objective, rule: Rule, at: Descent, end: float = math.inf, tell: Callable[[int, int], None] | None = None
) -> Descent:
    """Return how far a descent comes before `end` simulations of the problem."""
    problem, seeds = objective.problem, objective.seeds
    u, curves, value, trace = at.u, at.curves, at.value, [*at.trace, (objective.problem.simulations, at.value)]
    damping, failures, fresh = 0.1, 0, False
    jacobian: HostArray | None = None
    for number in range(rule.iterations):
        if tell is not None:
            tell(number, rule.iterations)
        ahead = len(seeds) + (rule.cost(len(u), len(seeds)) if jacobian is None else 0)
        if problem.simulations + ahead > end:
            break
        if jacobian is None:
            jacobian, fresh, failures = rule.jac(problem, u, seeds, curves).jacobian, True, 0
        mean = curves.mean(0)
        trial = objective.stepped(u, mean, jacobian, damping)
        change = (trial - u) / objective.spread
        if np.abs(change).max() < SHORTEST:
            break
        line = mean + jacobian @ (trial - u)
        tried = problem.attempted(lambda trial=trial: objective.curves(trial))
        if isinstance(tried, InputError):  # too far: nothing is learned of the Jacobian
            damping, failures = 6 * damping, failures + 1
            if failures == FAILURES:
                break
            continue
        new = objective.value(trial, tried.mean(0))
        kept = (value - new) / max(value - objective.value(trial, line), 1e-12)
        jacobian = jacobian + np.outer(tried.mean(0) - line, change / objective.spread) / np.sum(change**2)
        if new >= value:
            damping, failures = 6 * damping, failures + 1
            if failures == FAILURES:
                break
            jacobian = jacobian if fresh else None
            continue
        slow = value - new < rule.tolerance * value
        u, curves, value = trial, tried, new
        trace.append((problem.simulations, value))
        if slow and fresh:
            break
        damping = 3 * damping if kept < POOR else max(damping / 5, 1e-4) if kept > FIRM else damping
        jacobian, fresh = (None if slow or kept < POOR else jacobian), False
    if tell is not None:
        tell(rule.iterations, rule.iterations)
    return Descent(u, curves, value, tuple(trace))
