"""What a fit found: the estimate, its covariance, and which directions of the parameters the data say nothing about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import norm

from lpm.calibration.errors import AtBoundError, UnidentifiedError
from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.methods.information import Information, information, left
from lpm.calibration.methods.weights import whitener
from lpm.calibration.problem import Problem
from lpm.types import HostArray

SHRUNK = 0.5
"""A coordinate or direction counts as identified when the data take at least half of its prior variance."""

DRAWS = 40_000
"""Draws of the normal around the estimate by which intervals of mixed components are told."""

NAMED = 0.3
"""Parameters are named as part of a direction from this share of its largest weight on."""


@dataclass(frozen=True)
class Direction:
    """A direction of the parameters, in spreads of their priors.

    Attributes:
        left: Share of the prior's variance along it that the data leave, about 0 to 1.
        weights: Its components by coordinate; their squares add up to 1, the largest is positive.
    """

    left: float
    weights: Mapping[str, float]

    def __str__(self) -> str:
        """Return it in words: "+0.71 beta -0.70 gamma"."""
        least = NAMED * max(abs(weight) for weight in self.weights.values())
        return " ".join(f"{weight:+.2f} {name}" for name, weight in self.weights.items() if abs(weight) >= least)


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
        problem: What was fitted.
        u: float64 [P], the estimate in unconstrained coordinates.
        objective: Q there.
        covariance: float64 [P, P] of u (Gauss-Newton), process noise and prior in it, the Jacobian's own noise not.
        jacobian: The curve and its derivative at the estimate, or one step before it.
        process: float64 [D, D], covariance of one run's curve there.
        trace: By refined start, the (simulations, Q) after every step.
        simulations: Runs that it took, the screen included.
        seconds: Wall time.
        notes: What has to be told besides: points that the simulation refused, a gradient that is not sure.
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
    notes: tuple[str, ...] = ()

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

    @cached_property
    def information(self) -> Information:
        """What the Jacobian says, the prior's own saying being 1."""
        return information(self.jacobian, whitener(self.process), self.problem.space.spread)

    @property
    def identified(self) -> dict[str, bool]:
        """Whether the data surely take at least half of a coordinate's prior variance, by name.

        Surely: what the noise of the Jacobian's seeds may have added counts for nothing
        (`lpm.calibration.methods.information`).
        """
        shares = np.diag(left(self.information.surely))
        return {name: bool(share < SHRUNK) for name, share in zip(self.problem.space.names, shares, strict=True)}

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Coordinates that are probably identified, of which too few seeds of the Jacobian leave it open."""
        shares, known = np.diag(left(self.information.matrix)), self.identified
        return tuple(name for name, share in zip(known, shares, strict=True) if share < SHRUNK and not known[name])

    @property
    def unidentified(self) -> tuple[Direction, ...]:
        """Directions of which the data may leave more than half of the prior's variance, the loosest first.

        They are eigenvectors of what is left of the prior, in its spreads, by what the Jacobian surely says. Two
        parameters that are both identified may still have one: their sum may be known where their difference is not.
        """
        shares, vectors = np.linalg.eigh(left(self.information.surely))
        found: list[Direction] = []
        for share, vector in zip(shares[::-1], vectors.T[::-1], strict=True):
            if share >= SHRUNK:
                signed = vector * np.sign(vector[np.abs(vector).argmax()])
                weights = {name: float(w) for name, w in zip(self.problem.space.names, signed, strict=True)}
                found.append(Direction(float(share), weights))
        return tuple(found)

    def check(self) -> Fit:
        """Return the fit itself, for those who want errors in the place of flags.

        Raises:
            AtBoundError: A coordinate lies at the edge of its prior.
            UnidentifiedError: A direction of which the data leave more than half of the prior's variance.
        """
        if self.at_bound:
            told = ", ".join(f"{name} = {self._told(name)}" for name in self.at_bound)
            raise AtBoundError(f"fit: {told} lies at the edge of its prior; widen it, or free what it stands for")
        if self.unidentified:
            loosest = self.unidentified[0]
            raise UnidentifiedError(
                f"fit: the data leave {min(loosest.left, 1):.0%} of the prior's variance along {loosest} (in spreads "
                "of the prior); observe something that tells them apart, or hold one of them fixed"
            )
        return self

    def _told(self, coordinate: str) -> str:
        name, _, place = coordinate.partition("[")
        values = np.atleast_1d(self.theta[name]).ravel()
        return f"{values[min(int(place.rstrip(']') or 0), len(values) - 1)]:.4g}"

    def interval(self, level: float = 0.9) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        """Return the lower and upper ends by parameter.

        Where each coordinate moves one number these are f(u - z sd) and f(u + z sd). The components of a simplex, and
        whatever else follows from several coordinates, have quantiles of f over `DRAWS` draws of the normal around u
        (the standard error of a share of 5 % is 0.1 %).
        """
        z = float(norm.ppf(0.5 + level / 2))
        ends = [self.problem.theta((self.u + side * z * self.spread)[None]) for side in (-1, 1)]
        low, high = ({name: values[0] for name, values in each.items()} for each in ends)
        mixed = [name for name in low if self.problem.space.mixes(name)]
        if mixed:
            generator = np.random.default_rng(0)
            drawn = generator.multivariate_normal(self.u, self.covariance, DRAWS, method="cholesky")
            theta = self.problem.theta(drawn)
            for name in mixed:
                low[name], high[name] = np.quantile(theta[name], [0.5 - level / 2, 0.5 + level / 2], axis=0)
        return low, high

    def draws(self, count: int, seed: int = 0) -> HostArray:
        """Return draws u [count, P] of the normal approximation, held within the prior's box."""
        made = np.random.default_rng(seed).multivariate_normal(self.u, self.covariance, count, method="cholesky")
        return np.clip(made, *self.problem.space.box)


def table(found: Fit, level: float = 0.9) -> list[Mapping[str, Any]]:
    """Return a row per number: name, estimate, low, high (at `level`), at_bound, identified.

    A component of a simplex is identified where all the simplex's coordinates are, and at a bound where one of them is.
    """
    low, high = found.interval(level)
    rows: list[Mapping[str, Any]] = []
    for name, size in found.problem.space.sizes.items():
        values = [np.atleast_1d(each[name]).ravel() for each in (found.theta, low, high)]
        own = [each for each in found.problem.space.names if each == name or each.startswith(f"{name}[")][:size]
        mixed = found.problem.space.mixes(name)
        for number in range(len(values[0])):
            its = own if mixed else [own[min(number, len(own) - 1)]]
            rows.append(
                {
                    "name": name if len(values[0]) == 1 else f"{name}[{number}]",
                    "estimate": float(values[0][number]),
                    "low": float(min(values[1][number], values[2][number])),
                    "high": float(max(values[1][number], values[2][number])),
                    "at_bound": any(each in found.at_bound for each in its),
                    "identified": all(found.identified[each] for each in its),
                }
            )
    return rows
