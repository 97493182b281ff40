"""Simulation-based calibration: does a posterior's 90 % interval hold the truth in 90 % of cases?

Parameters u* are drawn from the prior, data are simulated from them, and the method is asked for L draws given those
data. If its posteriors are right, the rank of u* among the draws is uniform on 0 ... L, for every parameter (Cook,
Gelman & Rubin 2006, Journal of Computational and Graphical Statistics 15:675-692; Talts et al. 2018, "Validating
Bayesian inference algorithms with simulation-based calibration"). Posteriors that are too narrow pile ranks up at both
ends.

The rank test alone passes posteriors whose 90 % interval covers 83 %, so that coverage is demanded as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
import polars as pl
from scipy.stats import kstest

from lpm.calibration.errors import CalibrationError
from lpm.calibration.posterior import Method
from lpm.calibration.problem import Problem
from lpm.types import HostArray

BARS = {0.9: (0.86, 0.94), 0.5: (0.43, 0.57)}
"""Coverage that passes, by the interval's share: with 1,000 sets a right posterior is outside of one with p < 5e-5."""

LEVEL = 0.01
"""The rank test passes above this / number of parameters: a right posterior fails with this probability at most."""


@dataclass(frozen=True)
class Coverage:
    """What simulation-based calibration found.

    Attributes:
        names: Names of the coordinates, [P].
        ranks: int64 [n, P], how many of the draws lie below the truth.
        draws: Draws L of each posterior.
        z: float64 [n, P], (posterior mean - truth) / posterior sd, in unconstrained coordinates.
        seed: Names the random part of the rank test, which spreads a rank evenly over its (L + 1)th of [0, 1].
    """

    names: tuple[str, ...]
    ranks: HostArray
    draws: int
    z: HostArray
    seed: int = 0

    @cached_property
    def places(self) -> HostArray:
        """Ranks as numbers in [0, 1], float64 [n, P]; exactly uniform for a right posterior."""
        within = np.random.default_rng(self.seed).uniform(size=self.ranks.shape)
        return (self.ranks + within) / (self.draws + 1)

    def covered(self, share: float) -> HostArray:
        """Return how often the central interval of this share holds the truth, [P]."""
        return (np.abs(self.places - 0.5) < share / 2).mean(0)

    @cached_property
    def p_values(self) -> HostArray:
        """Probability of ranks as uneven as these or more, if the posterior is right (Kolmogorov-Smirnov), [P]."""
        return np.asarray([kstest(column, "uniform").pvalue for column in self.places.T])

    @property
    def table(self) -> pl.DataFrame:
        """One row a coordinate: coverage, rank test, spread and mean of z (1 and 0 of a right normal posterior)."""
        return pl.DataFrame({
            "parameter": self.names,
            "cover50": self.covered(0.5),
            "cover90": self.covered(0.9),
            "rank_p": self.p_values,
            "z_sd": self.z.std(0),
            "z_mean": self.z.mean(0),
            "passed": self.fits,
        })  # fmt: skip

    @cached_property
    def fits(self) -> HostArray:
        """Whether every bar is met, bool [P]."""
        good = self.p_values > LEVEL / len(self.names)
        for share, (low, high) in BARS.items():
            good &= (self.covered(share) >= low) & (self.covered(share) <= high)
        return good

    @property
    def passed(self) -> bool:
        """Whether every bar is met for every coordinate."""
        return bool(self.fits.all())


def coverage(
    method: Method, problem: Problem, count: int = 1000, draws: int = 199, seed: int = 1_000_003, batch: int = 100
) -> Coverage:
    """Return how well a method's posteriors cover parameters that are drawn from the prior.

    Args:
        method: From data to draws.
        problem: Parameters, observation and simulator.
        count: Sets of parameters and data.
        draws: Draws L of each posterior.
        seed: Names parameters, simulations and noise; another one than the method was trained with.
        batch: Sets that the method is given at once.

    Raises:
        CalibrationError: Fewer than 20 sets or draws, of which nothing can be said.
    """
    if min(count, draws) < 20:
        raise CalibrationError(f"coverage: expected at least 20 sets and draws, got {count} and {draws}")
    truth = np.asarray(problem.space.draw(jax.random.key(seed), count), np.float64)
    generator = np.random.default_rng([seed, 1])
    mu = problem.expected(truth, generator.choice(2**31, count, replace=False))
    values = problem.observation.draw(generator, mu)
    ranks, z = np.zeros(truth.shape, np.int64), np.zeros(truth.shape)
    for at in range(0, count, batch):
        rows = slice(at, at + batch)
        u = method.sample(values[rows], draws, seed + at)
        ranks[rows] = (u < truth[rows, None]).sum(1)
        z[rows] = (u.mean(1) - truth[rows]) / u.std(1)
    return Coverage(problem.space.names, ranks, draws, z, seed)
