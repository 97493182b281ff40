"""Which directions the data speak of, the others in words, and what a policy's effect does along them.

With J the derivative of the mean curve by the unconstrained coordinates, C the covariance of the data around it (noise
and process) and s the prior's spread, the information relative to the prior is

    F = diag(s) J' C^-1 J diag(s) - N,

N what the error of J over its seeds adds on average (`lpm.calibration.methods.information`). Along an eigenvector of F
with eigenvalue l the posterior's standard deviation is 1 / sqrt(1 + l) of the prior's, as far as curve and posterior
are linear and normal; a direction counts as identified when the data take half of its prior variance or more (l >= 1).

The profile of a direction moves along it from the fit and lets all other coordinates follow (Raue et al. 2009,
Bioinformatics 25:1923-1929): where the deviance stays below 2.71 the data allow it (90 %, one degree of freedom).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from lpm.calibration.errors import NotFiniteError, UnidentifiedError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.methods.information import information
from lpm.calibration.methods.weights import shrunken, whitener
from lpm.calibration.problem import Problem
from lpm.types import HostArray

LEAST = 1.0
"""Information, relative to the prior, from which a direction is identified: half of the prior variance is gone."""

ALLOWED = 2.706
"""Deviance within which the data allow a point of a profile: the 90 % point of chi-squared with 1 degree of freedom."""

PART = 0.3
"""Coordinates with less than this share of a direction's largest part are not named."""

Effect = Callable[[HostArray], float]
"""The effect of a policy, u [P] -> a number."""


@dataclass(frozen=True)
class Profile:
    """What happens along a direction.

    Attributes:
        offsets: float64 [K], steps along the direction, in spreads of the prior.
        u: float64 [K, P], the best points at these offsets.
        deviance: float64 [K], -2 log likelihood above its least.
        effects: By name float64 [K], policy effects at these points.
    """

    offsets: HostArray
    u: HostArray
    deviance: HostArray
    effects: Mapping[str, HostArray]

    @property
    def allowed(self) -> HostArray:
        """Whether the data allow each point, bool [K]."""
        return self.deviance <= ALLOWED

    def span(self, effect: str) -> tuple[float, float]:
        """Return the least and largest effect at the points that the data allow."""
        within = self.effects[effect][self.allowed]
        return float(within.min()), float(within.max())


@dataclass(frozen=True)
class Direction:
    """An eigenvector of the information.

    Attributes:
        words: What goes up and down along it: "beta up and gamma up together".
        vector: float64 [P], unit length, in spreads of the prior.
        information: Its eigenvalue: how much the data say, the prior's own saying being 1.
        error: Standard error of the eigenvalue over the Jacobian's seeds, 0 where they have none.
        profile: What happens along it, where that was asked for.
    """

    words: str
    vector: HostArray
    information: float
    error: float
    profile: Profile | None = None

    @property
    def identified(self) -> bool:
        """Whether the data take half of the prior variance along it."""
        return self.information >= LEAST

    @property
    def left(self) -> float:
        """Standard deviation that is left of the prior's, 0 to 1."""
        return float(1 / np.sqrt(1 + max(self.information, 0.0)))


@dataclass(frozen=True)
class Identifiability:
    """What the data say of every direction, best known first.

    Attributes:
        names: Names of the coordinates.
        directions: Eigenvectors of the information, by falling eigenvalue.
        simulations: Runs that it took.
    """

    names: tuple[str, ...]
    directions: tuple[Direction, ...] = field(default_factory=tuple)
    simulations: int = 0

    @property
    def rank(self) -> int:
        """Number of identified directions."""
        return sum(each.identified for each in self.directions)

    @property
    def unidentified(self) -> tuple[Direction, ...]:
        """Directions of which the data say too little."""
        return tuple(each for each in self.directions if not each.identified)

    @property
    def table(self) -> pl.DataFrame:
        """One row a direction."""
        return pl.DataFrame({
            "direction": [each.words for each in self.directions],
            "information": [each.information for each in self.directions],
            "error": [each.error for each in self.directions],
            "sd_left": [each.left for each in self.directions],
            "identified": [each.identified for each in self.directions],
        })  # fmt: skip

    def require(self) -> None:
        """Refuse a problem with a direction of which the data say too little.

        Raises:
            UnidentifiedError: It names the directions.
        """
        if self.unidentified:
            told = "; ".join(
                f"{each.words} ({each.left:.0%} of the prior's spread is left)" for each in self.unidentified
            )
            raise UnidentifiedError(
                f"identifiability: the data do not tell: {told}; hold a parameter fixed or add data"
            )


def in_words(vector: HostArray, names: Sequence[str]) -> str:
    """Return what moves along a direction: "beta up and gamma down together"; a single parameter is "beta alone"."""
    largest = np.abs(vector).max()
    kept = np.flatnonzero(np.abs(vector) >= PART * largest)
    kept = kept[np.argsort(-np.abs(vector[kept]), kind="stable")]
    if len(kept) == 1:
        return f"{names[kept[0]]} alone"
    sign = np.sign(vector[kept.min()])
    moves = [f"{names[i]} {'up' if vector[i] * sign > 0 else 'down'}" for i in sorted(kept)]
    return f"{', '.join(moves[:-1])} and {moves[-1]} together"


def identifiability(
    problem: Problem,
    u: HostArray,
    seeds: HostArray | Sequence[int] = tuple(range(900_000, 900_016)),
    estimator: Estimator | None = None,
    effects: Mapping[str, Effect] | None = None,
    offsets: Sequence[float] = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5),
) -> Identifiability:
    """Return what the data say of every direction around a fit u [P], with profiles of the unidentified ones.

    Args:
        problem: Parameters, observation and simulator.
        u: The fit, or a posterior's mean.
        seeds: Seeds of the Jacobian and of the profiles, at least 2.
        estimator: How the Jacobian is found; common random numbers by default.
        effects: Policy effects by name, to be followed along unidentified directions.
        offsets: Points of a profile, in spreads of the prior.
    """
    before = problem.simulations
    u, seeds = np.asarray(u, np.float64), np.asarray(seeds)
    curves = problem.curves(np.repeat(u[None], len(seeds), 0), seeds)
    found = (estimator or CommonRandomNumbers()).jac(problem, u, seeds)
    white = whitener(shrunken(curves))
    told = information(found, white, problem.space.spread)
    slope, each, count = told.slope, told.each, told.seeds
    values, vectors = np.linalg.eigh(told.matrix)
    made: list[Direction] = []
    for value, vector in zip(values[::-1], vectors.T[::-1], strict=True):
        alone = 2 * ((each - each.mean(0)) @ vector * (slope @ vector)).sum(1)  # first-order change of v'Fv, by seed
        error = float(alone.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
        vector = vector * (np.sign(vector[np.abs(vector).argmax()]) or 1.0)
        profile = None
        if value < LEAST:
            profile = profiled(problem, u, vector, slope, white, seeds, offsets, dict(effects or {}))
        made.append(Direction(in_words(vector, problem.space.names), vector, float(value), error, profile))
    return Identifiability(problem.space.names, tuple(made), problem.simulations - before)


def profiled(
    problem: Problem,
    u: HostArray,
    vector: HostArray,
    slope: HostArray,
    white: HostArray,
    seeds: HostArray,
    offsets: Sequence[float],
    effects: Mapping[str, Effect],
    rounds: int = 3,
) -> Profile:
    """Return the profile along a direction [P], from simulations with the same seeds at every point.

    The others follow by Gauss-Newton steps with the Jacobian of the fit, slightly damped; the best point seen counts.

    Args:
        problem: Parameters, observation and simulator.
        u: The fit [P].
        vector: The direction, in spreads of the prior.
        slope: Whitened derivative [D, P] by coordinates in spreads of the prior.
        white: The whitener [D, D].
        seeds: Seeds.
        offsets: Steps along the direction.
        effects: Policy effects by name.
        rounds: Steps of the others.

    Raises:
        NotFiniteError: An effect that is NaN or infinite.
    """
    space, count = problem.space, len(offsets)
    low, high = space.box
    _, _, axes = np.linalg.svd(vector[None])
    others = axes[1:].T  # [P, P - 1], orthogonal to the direction
    inner = slope @ others
    follow = np.linalg.solve(inner.T @ inner + 0.1 * np.eye(inner.shape[1]), inner.T)
    moves = np.asarray(offsets, np.float64)[:, None] * vector
    best, lowest = np.tile(u, (count, 1)), np.full(count, np.inf)
    for _ in range(rounds + 1):
        points = np.clip(u + moves * space.spread, low, high)
        runs = problem.curves(np.repeat(points, len(seeds), 0), np.tile(seeds, count))
        left = (problem.observation.target - runs.reshape(count, len(seeds), -1).mean(1)) @ white.T
        deviance = (left**2).sum(1)
        better = deviance < lowest
        best[better], lowest[better] = points[better], deviance[better]
        moves = moves + (left @ follow.T) @ others.T
    made: dict[str, HostArray] = {}
    for name, effect in effects.items():
        made[name] = np.asarray([float(effect(point)) for point in best])
        if not np.isfinite(made[name]).all():
            raise NotFiniteError(f"identifiability: the effect '{name}' is NaN or infinite along a direction")
    return Profile(np.asarray(offsets, np.float64), best, lowest - lowest.min(), made)
