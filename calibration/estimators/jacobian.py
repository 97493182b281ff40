"""What every gradient estimator returns, and the one method that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from lpm.calibration.errors import NotFiniteError, ZeroGradientError
from lpm.calibration.problem import Problem
from lpm.types import HostArray


@dataclass(frozen=True)
class Jacobian:
    """The curve g(mu) of a problem at one point, and its derivative.

    Attributes:
        mean: float64 [D], mean curve over the seeds.
        jacobian: float64 [D, P], derivative of its expectation by the unconstrained coordinates.
        covariance: float64 [D, D], covariance of one seed's curve: the process noise. 0 for one seed.
        each: float64 [S, D, P], the derivative seed by seed; [1, D, P] where no seed is drawn.
        simulations: Runs of the simulator that it took.
    """

    mean: HostArray
    jacobian: HostArray
    covariance: HostArray
    each: HostArray
    simulations: int


@runtime_checkable
class Estimator(Protocol):
    """A gradient estimator; whoever has another one, writes this method.

    Attributes:
        name: What tables and options call it.
        biased: Its expectation is known not to be the derivative of the expectation.
    """

    @property
    def name(self) -> str:
        """What tables and options call it."""
        ...

    @property
    def biased(self) -> bool:
        """Whether its expectation is known not to be the derivative of the expectation."""
        ...

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
        """Return the mean curve and its derivative at u [P], over seeds [S].

        Raises:
            UnusableError: The simulator lacks what the estimator needs.
        """
        ...


def finite(found: Jacobian) -> Jacobian:
    """Return a Jacobian without NaN.

    Raises:
        NotFiniteError: NaN or infinite entries.
    """
    if not np.isfinite(found.jacobian).all() or not np.isfinite(found.mean).all():
        raise NotFiniteError("gradient: NaN or infinite entries")
    return found


def checked(problem: Problem, found: Jacobian) -> Jacobian:
    """Return a Jacobian in which every parameter moves something.

    Raises:
        NotFiniteError: NaN or infinite entries.
        ZeroGradientError: Nothing that is observed moves with a parameter.
    """
    still = [
        name for name, column in zip(problem.space.names, finite(found).jacobian.T, strict=True) if not column.any()
    ]
    if still:
        raise ZeroGradientError(
            f"gradient: nothing that is observed moves with {', '.join(still)}; observe something that depends on it, "
            "or hold it fixed"
        )
    return found


def covariance_of(curves: HostArray) -> HostArray:
    """Return the covariance [D, D] of curves [S, D] over seeds, 0 for one seed."""
    count, size = curves.shape
    return np.cov(curves, rowvar=False).reshape(size, size) if count > 1 else np.zeros((size, size))
