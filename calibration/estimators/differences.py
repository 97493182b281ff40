"""Finite differences under common random numbers: the default estimator.

J_p = (E g(u + h e_p) - E g(u - h e_p)) / 2h, both runs of a pair with the same seed. Every draw belongs to an agent and
an event, so a changed fate shifts nobody else's stream and the noise of the two runs cancels. The bias is of order h^2;
it needs 2 P runs a seed and asks nothing of the kernels.

Where the simulation refuses the parameters on one side of u, at the edge of what its kernels take, the difference by
that coordinate is the one from u to the other side, whose error is of order h.

With `richardson`, (4 J(h/2) - J(h)) / 3 removes the term of order h^2 at twice the runs. The variance of common random
numbers: Glasserman & Yao 1992, Management Science 38:884-908, 10.1287/mnsc.38.6.884.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.jacobian import Jacobian, covariance_of, finite
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray


@dataclass(frozen=True)
class CommonRandomNumbers:
    """Central differences under common random numbers.

    Attributes:
        h: Half the width of a difference in unconstrained coordinates: 0.05 is 5 % of a positive parameter. (Too small
            a step meets the noise of single agents: on 10,000 agents 0.01 has a standard deviation twice that of 0.05.)
        richardson: Remove the error of order h^2 by a second pair of half the width.
    """

    h: float = 0.05
    richardson: bool = False
    name: str = "common random numbers"
    biased: bool = False

    def __post_init__(self):
        """Refuse a step that is not above 0."""
        if not self.h > 0:
            raise CalibrationError(f"common random numbers: expected a step h above 0, got {self.h}")

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray, curves: HostArray | None = None) -> Jacobian:
        """Return the mean curve and its derivative at u [P], over seeds [S].

        Args:
            problem: What is simulated.
            u: The point.
            seeds: The seeds, the same for all points.
            curves: g(mu) [S, D] at u for these seeds, where it is known already.
        """
        before = problem.simulations
        u, seeds = np.asarray(u, np.float64), np.asarray(seeds)
        if curves is None:
            curves = problem.curves(np.repeat(u[None], len(seeds), 0), seeds)
        each = self._pairs(problem, u, seeds, self.h, curves)
        if self.richardson:
            each = (4 * self._pairs(problem, u, seeds, self.h / 2, curves) - each) / 3
        made = Jacobian(curves.mean(0), each.mean(0), covariance_of(curves), each, problem.simulations - before)
        return finite(made)

    def _pairs(self, problem: Problem, u: HostArray, seeds: HostArray, h: float, curves: HostArray) -> HostArray:
        """Return the difference quotients [S, D, P]; `curves` are those at u, of these seeds first."""
        widths = problem.space.widths(u)
        steps = np.diag(h * widths)  # [P, P]
        points = np.concatenate([u + steps, u - steps])

        def run(some: HostArray) -> HostArray:
            found = problem.curves(np.repeat(some, len(seeds), 0), np.tile(seeds, len(some)))
            return found.reshape(len(some), len(seeds), -1)

        found = problem.attempted(lambda: run(points))
        apart = np.full(len(u), 2.0)
        if isinstance(found, InputError):
            each = [problem.attempted(lambda at=at: run(at[None])[0]) for at in points]
            for p in range(len(u)):
                if isinstance(each[p], InputError) and isinstance(each[p + len(u)], InputError):
                    raise found
                apart[p] -= sum(isinstance(one, InputError) for one in (each[p], each[p + len(u)]))
            found = np.stack([curves[: len(seeds)] if isinstance(one, InputError) else one for one in each])
        up, down = found.reshape(2, len(u), len(seeds), -1)
        return np.transpose((up - down) / (apart * h * widths)[:, None, None], (1, 2, 0))
