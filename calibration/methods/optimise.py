"""Fits by any optimiser of optax: steps along the gradient of Q, for spaces too large or too rough for fit's steps.

Minimised is the same as by `lpm.calibration.fit`, Q(u) = |W (g(y) - m(u))|^2 + |(u - u0) / s|^2, whose gradient follows
from the estimator's Jacobian J:

    dQ/du = -2 J' W' W (g(y) - m(u)) + 2 (u - u0) / s^2.

The optimiser moves z = (u - u0) / s, so that one step length serves all coordinates, and u is held in the prior's box.
A minibatch takes the values of some regions with the weight R / n: its expectation over batches is Q without the
process noise between regions. Steps do not end with a small gradient, which chance hides, but on a plateau: when the
mean Q of the last `patience` steps is not lower than that of the `patience` steps before (Kingma & Ba 2015 for Adam;
DeepMind et al. 2020 for optax, github.com/google-deepmind/optax).

A fit is a deterministic function of its simulations: with an archive in the problem, one that was killed goes on where
it was and ends the same (`lpm.calibration.archive`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian, checked
from lpm.calibration.methods.dispersion import learned
from lpm.calibration.methods.estimate import Fit
from lpm.calibration.methods.information import grown, information
from lpm.calibration.methods.screen import Progress, screened, silent, sobol
from lpm.calibration.methods.trust import Gradient, trusted
from lpm.calibration.methods.weights import shrunken, whitener
from lpm.calibration.problem import Problem
from lpm.types import HostArray

RATE = 0.1
"""Step length of the default optimiser, in spreads of the prior."""


@dataclass(frozen=True)
class Regions:
    """A minibatch: so many regions a step, each of them once before any comes again.

    Attributes:
        count: Regions n of a step.
    """

    count: int

    def __post_init__(self):
        """Refuse a batch of nothing."""
        if self.count < 1:
            raise CalibrationError(f"minibatch: expected at least 1 region a step, got {self.count}")

    def batch(self, regions: int, step: int, seed: int) -> HostArray:
        """Return the numbers [n] of the regions of a step; those of all steps of a pass are the R regions, once each.

        Where n does not divide R, the last batch of a pass is smaller.
        """
        each = -(-regions // self.count)
        order = np.random.default_rng([seed, step // each, 77]).permutation(regions)
        at = step % each * self.count
        return np.sort(order[at : at + self.count])


@dataclass(frozen=True)
class Optax:
    """A fit by an optimiser of optax.

    Attributes:
        optimiser: Any that needs no more than gradient and value; Adam with cooling steps by default.
        steps: Most steps.
        seeds: Runs that are averaged, the same seeds at every point.
        gradient: Gives the Jacobian: an estimator, or "auto".
        among: What "auto" has to choose from beside common random numbers.
        override: Follow a biased gradient without a check (`lpm.calibration.methods.trust`).
        minibatch: Regions (groups of the observation) of a step; None = all. Every simulation still runs whole.
        patience: Steps whose mean Q is compared with that of as many before.
        tolerance: Share by which it has to be lower.
        starts: Points of the screen, one run each; the best is where it begins.
        last_seeds: Seeds of the runs that tell the process noise: at the first plateau (or half of the steps), from
            where on it is in the weight, and at the end, where the Jacobian is of as many of them as it takes for its
            own noise to matter little.
    """

    optimiser: Any = None
    steps: int = 200
    seeds: int = 1
    gradient: Gradient = field(default_factory=CommonRandomNumbers)
    among: tuple[Estimator, ...] = ()
    override: bool = False
    minibatch: Regions | None = None
    patience: int = 10
    tolerance: float = 0.01
    starts: int = 32
    last_seeds: int = 16

    def __post_init__(self):
        """Refuse counts below 1, and an optimiser that is none."""
        least = {"steps": 1, "seeds": 1, "patience": 1, "starts": 1, "last_seeds": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise CalibrationError(f"optimise: expected {name} of at least {low}, got {getattr(self, name)}")
        if self.optimiser is not None and not isinstance(self.optimiser, optax.GradientTransformation):
            raise CalibrationError(f"optimise: expected an optimiser of optax, got {self.optimiser!r}")

    @property
    def made(self) -> Any:
        """The optimiser."""
        schedule = optax.cosine_decay_schedule(RATE, self.steps, alpha=0.05)
        return optax.with_extra_args_support(self.optimiser or optax.adam(schedule))


class Plateau:
    """Tells when a moving average no longer falls."""

    def __init__(self, patience: int, tolerance: float):
        """Watch from now on."""
        self.patience, self.tolerance, self.seen = patience, tolerance, []

    seen: list[float]

    def reached(self, value: float) -> bool:
        """Take one more value; return whether the mean of the last `patience` is not lower by `tolerance`."""
        self.seen.append(value)
        if len(self.seen) < 2 * self.patience:
            return False
        late, early = np.mean(self.seen[-self.patience :]), np.mean(self.seen[-2 * self.patience : -self.patience])
        return bool(early - late < self.tolerance * abs(early))


def regions_of(problem: Problem) -> tuple[tuple[str, ...], HostArray]:
    """Return the names of the observed groups, and the number of its group for every value, [D]."""
    groups = [name for series in problem.observation.series for name in series.groups]
    names = tuple(dict.fromkeys(groups))
    return names, np.asarray([names.index(name) for name in groups])


def objective(
    problem: Problem, u: HostArray, mean: HostArray, weight: HostArray, rows: HostArray, scale: float = 1.0
) -> float:
    """Return Q at u [P] for the mean curve [D] on some rows [d], whose part is taken `scale` times."""
    rest = weight @ (problem.observation.target - mean)[rows]
    return float(scale * rest @ rest + np.sum(((u - problem.space.mean) / problem.space.spread) ** 2))


def gradient(
    problem: Problem, u: HostArray, found: Jacobian, weight: HostArray, rows: HostArray, scale: float = 1.0
) -> HostArray:
    """Return dQ/du [P] on some rows [d]; `weight` is W [d, d] of these rows."""
    rest = weight @ (problem.observation.target - found.mean)[rows]
    slope = weight @ found.jacobian[rows]
    return -2 * scale * slope.T @ rest + 2 * (u - problem.space.mean) / problem.space.spread**2


def optimise(
    problem: Problem,
    how: Optax,
    *,
    seed: int = 0,
    progress: Progress = silent,
    begin: HostArray | None = None,
) -> Fit:
    """Return the parameters that an optimiser of optax finds.

    Args:
        problem: What to fit.
        how: The method.
        seed: Names the screen, the minibatches and the seeds of all runs.
        progress: Told how far it is.
        begin: Where to begin, u [P], in the place of a screen.

    Raises:
        NotCommonError: The simulation is not a function of parameters and seed.
        ZeroGradientError: Nothing moves with a parameter.
        NotFiniteError: A NaN.
        CalibrationError: An optimiser that asks for more than gradient and value, or a batch of more regions than are.
    """
    began, before = time.perf_counter(), problem.simulations
    seeds = 1_000 * seed + np.arange(how.seeds)
    names, region = regions_of(problem)
    if how.minibatch is not None and how.minibatch.count > len(names):
        raise CalibrationError(f"minibatch: expected at most the {len(names)} regions, got {how.minibatch.count}")
    u, notes = _begin(problem, how, seed, progress) if begin is None else (np.asarray(begin, np.float64), ())
    problem.check_common(u, int(seeds[0]))
    estimator, told = trusted(problem, u, how.gradient, how.among, how.override, CommonRandomNumbers())

    space = problem.space
    (low, high), tail = space.box, 1_000 * seed + 500 + np.arange(how.last_seeds)
    optimiser, process = how.made, np.zeros((problem.observation.size,) * 2)
    state: Any = optimiser.init(jnp.zeros(space.size, jnp.float32))
    plateau, weighted = Plateau(how.patience, how.tolerance), False
    path: list[HostArray] = []
    trace: list[tuple[int, float]] = []
    for step in range(how.steps):
        progress("steps", step, how.steps)
        found = estimator.jac(problem, u, seeds)
        if step == 0:
            checked(problem, found)
        rows, scale = _batch(how, region, len(names), step, seed)
        weight = whitener(process[np.ix_(rows, rows)])
        value = objective(problem, u, found.mean, weight, rows, scale)
        slope = gradient(problem, u, found, weight, rows, scale)
        if not np.isfinite([value, *slope]).all():
            raise NotFiniteError("gradient: NaN or infinite entries")
        path.append(u)
        trace.append((problem.simulations, value))
        flat = plateau.reached(value)
        if flat and weighted:
            break
        if not weighted and (flat or step + 1 >= how.steps // 2):
            process = shrunken(problem.curves(np.repeat(u[None], len(tail), 0), tail))
            plateau, weighted, path = Plateau(how.patience, how.tolerance), True, []
        z = jnp.asarray((u - space.mean) / space.spread, jnp.float32)
        change, state = _update(optimiser, jnp.asarray(slope * space.spread, jnp.float32), state, z, value)
        u = np.clip(u + space.spread * np.asarray(change, np.float64), low, high)
    progress("steps", how.steps, how.steps)
    u = np.mean((path or [u])[-how.patience :], 0)  # the mean of the last steps, which go to and fro around it
    return _found(problem, how, estimator, u, seeds, tail, tuple(trace), (before, began), (*notes, *told))


def _begin(problem: Problem, how: Optax, seed: int, progress: Progress) -> tuple[HostArray, tuple[str, ...]]:
    """Return the best point [P] of a screen, and what has to be told of it."""
    screen, rows = screened(problem, sobol(problem, how.starts, seed), 1_000 * seed, progress), _every(problem)
    even = np.eye(len(rows))
    points = zip(screen.points, screen.curves, strict=True)
    values = [objective(problem, u, curve, even, rows) for u, curve in points]
    return screen.points[int(np.argmin(values))], screen.notes


def _every(problem: Problem) -> HostArray:
    """Return the rows of all values."""
    return np.arange(problem.observation.size)


def _batch(how: Optax, region: HostArray, count: int, step: int, seed: int) -> tuple[HostArray, float]:
    """Return the rows [d] of a step, and by how much their part of Q is multiplied."""
    if how.minibatch is None:
        return np.arange(len(region)), 1.0
    chosen = how.minibatch.batch(count, step, seed)
    return np.flatnonzero(np.isin(region, chosen)), count / len(chosen)


def _update(optimiser: Any, slope: Any, state: Any, z: Any, value: float) -> tuple[Any, Any]:
    try:
        return optimiser.update(slope, state, z, value=jnp.float32(value), grad=slope)
    except TypeError as error:
        told = str(error)
        if "required keyword-only argument" not in told:
            raise
        raise CalibrationError(
            f"optimise: the optimiser asks for more than gradient and value ({told.rsplit(': ', 1)[-1]}); "
            "a line search cannot call a simulation, leave it out"
        ) from error


def _found(
    problem: Problem,
    how: Optax,
    estimator: Estimator,
    u: HostArray,
    seeds: HostArray,
    tail: HostArray,
    trace: Sequence[tuple[int, float]],
    since: tuple[int, float],
    notes: tuple[str, ...],
) -> Fit:
    """Return the fit at u: dispersion, process noise and Gauss-Newton covariance from runs of seeds not seen."""
    mu = problem.expected(np.repeat(u[None], len(seeds), 0), seeds)
    problem = replace(problem, observation=learned(problem.observation, mu, problem.space.size))
    curves = problem.curves(np.repeat(u[None], len(tail), 0), tail)
    process = shrunken(curves)
    weight, spread = whitener(process), problem.space.spread

    def jac(some: HostArray) -> Jacobian:
        return estimator.jac(problem, u, some)

    def settled(found: Jacobian) -> bool:
        return information(found, weight, spread).settled

    found = grown(jac(tail[: min(max(2, how.seeds), len(tail))]), jac, tail, settled)
    found = replace(checked(problem, found), mean=curves.mean(0))
    covariance = information(found, weight, spread).covariance
    if problem.archive is not None:
        problem.archive.write()
    value = objective(problem, u, found.mean, weight, _every(problem))
    took, seconds = problem.simulations - since[0], time.perf_counter() - since[1]
    return Fit(problem, u, value, covariance, found, process, (tuple(trace),), took, seconds, notes)
