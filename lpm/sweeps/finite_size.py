"""The law of finite sizes, y(N) = a + b N^-c, fitted to means over seeds.

This is the form of finite-size corrections (M. E. Fisher & M. N. Barber 1972, doi:10.1103/PhysRevLett.28.1516): c = 1
where chance is averaged out, 1/2 or 1/3 near a threshold. The means are weighted by the spread over the seeds; the
variance over seeds itself is V N^-g, with V and g from all sizes together. For a given c, a and b are a weighted
regression; what is predicted is the mixture over all c from 0.2 to 2 (even in log c), each weighted by exp(-chi^2 / 2)
(model averaging; K. P. Burnham & D. R. Anderson 2002, ISBN 0387953647): sizes from which the exponent cannot be told
must not predict as if it were known. Where the law does not fit, all variances are widened by chi^2 / freedom
(R. T. Birge 1932, doi:10.1103/PhysRev.40.207).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, stdtr

from lpm.effects import LEVEL

EXPONENTS = np.geomspace(0.2, 2.0, 61)
"""The exponents c over which is averaged; the range is a guess that holds the ones of theory."""

GROWTH, GROWTH_ERROR = 1.0, 0.5
"""How the variance over seeds falls with N before the data speak (independent agents: 1 / N), and how sure that is: a
guess. Few seeds tell a variance badly."""

FLOOR = 1e-9
"""Least standard error as a part of the values: outputs without chance have no spread at all."""


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes:
        sizes: N of each size, ascending, float64 [sizes].
        means: Mean over the seeds.
        errors: Standard error of each mean, by the variance law.
        seeds: Number of seeds.
        variance: V and g of the variance over seeds, V N^-g.
        widened: Factor on all variances, 1 where the law fits.
        lack: Probability of so bad a fit if the law holds.
        weights: Of each exponent, they add up to 1.
        found: a and b of each exponent, b for N in units of the first size, [exponents, 2].
        covariance: Their covariances, widened, [exponents, 2, 2].
    """

    sizes: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    seeds: int
    variance: tuple[float, float]
    widened: float
    lack: float
    weights: np.ndarray
    found: np.ndarray
    covariance: np.ndarray

    def spread(self, size: float) -> float:
        """Return the variance over seeds at N."""
        return self.variance[0] * size ** -self.variance[1]

    def exponent(self) -> tuple[float, float, float]:
        """Return the mean of c (of its logarithm), and the ends of what holds 95 % of its weight."""
        ends = np.searchsorted(np.cumsum(self.weights), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        low, high = EXPONENTS[np.minimum(ends, len(EXPONENTS) - 1)]
        return float(np.exp((self.weights * np.log(EXPONENTS)).sum())), float(low), float(high)

    def predict(self, size: float, runs: float = np.inf) -> tuple[float, float, float]:
        """Return the mean at N with its 95 % interval; with `runs` the interval of the mean of so many runs."""
        row = np.stack([np.ones_like(EXPONENTS), (size / self.sizes[0]) ** -EXPONENTS], 1)
        means = (row * self.found).sum(1)
        variances = np.maximum(np.einsum("ci,cij,cj->c", row, self.covariance, row), 0.0)
        errors = np.sqrt(variances + self.widened * self.spread(size) / runs)
        freedom = max(float(len(self.sizes) * (self.seeds - 1)), 1.0)
        reach = 100.0 * errors  # beyond what any quantile of the mixture needs, also with one degree of freedom
        ends = float((means - reach).min()), float((means + reach).max())

        def above(x: float, level: float) -> float:
            return float((self.weights * stdtr(freedom, (x - means) / errors)).sum()) - level

        found: list[Any] = [brentq(above, *ends, args=(level,)) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)]
        return float((self.weights * means).sum()), float(found[0]), float(found[1])


def fit(sizes: np.ndarray, values: np.ndarray) -> Fit:
    """Return the law of values by size and seed.

    Args:
        sizes: N, ascending, at least four, float64 [sizes].
        values: [sizes, seeds], at least two seeds.
    """
    seeds, means = values.shape[1], values.mean(1)
    v, g = _variance(sizes, values.var(1, ddof=1), seeds)
    errors = np.sqrt(v * sizes**-g / seeds) + FLOOR * max(float(np.abs(means).max()), 1e-300)
    found, covariance, misfit = _regressions(sizes, means, errors)
    freedom = len(sizes) - 3
    widened = max(1.0, float(misfit.min()) / freedom)
    weights = np.exp(-0.5 * (misfit - misfit.min()) / widened)
    return Fit(
        sizes=sizes,
        means=means,
        errors=errors,
        seeds=seeds,
        variance=(v, g),
        widened=widened,
        lack=float(chdtrc(freedom, misfit.min())),
        weights=weights / weights.sum(),
        found=found,
        covariance=covariance * widened,
    )


def _variance(sizes: np.ndarray, found: np.ndarray, seeds: int) -> tuple[float, float]:
    """Return V and g of the variance V N^-g: of largest likelihood of the sample variances, with the prior on g."""
    freedom = seeds - 1.0
    best = (-np.inf, 0.0, GROWTH)
    for g in np.linspace(GROWTH - 3 * GROWTH_ERROR, GROWTH + 3 * GROWTH_ERROR, 61):
        v = float((found * sizes**g).mean())
        if v == 0.0:
            return 0.0, GROWTH
        told = v * sizes**-g
        likely = -0.5 * freedom * float((np.log(told) + found / told).sum())
        best = max(best, (likely - 0.5 * ((g - GROWTH) / GROWTH_ERROR) ** 2, v, float(g)))
    return best[1], best[2]


def _regressions(sizes: np.ndarray, means: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each exponent a and b, their covariance, and chi^2."""
    power = (sizes / sizes[0]) ** -EXPONENTS[:, None]
    columns = np.stack([np.ones_like(power), power], 2) / errors[:, None]  # [exponents, sizes, 2]
    covariance = np.linalg.inv(columns.transpose(0, 2, 1) @ columns)
    target = means / errors
    found = (covariance @ (columns.transpose(0, 2, 1) @ target)[..., None])[..., 0]
    return found, covariance, ((target - (columns @ found[..., None])[..., 0]) ** 2).sum(1)
