"""How much counts scatter beyond Poisson's, told from the residuals of a fit.

The concentration k of a negative binomial solves sum_i (y_i - m_i)^2 / (m_i + m_i^2 / k + v_i) = D - p: the Pearson
statistic equals its degrees of freedom (Williams 1982, Applied Statistics 31:144-148). m and v are mean and variance of
the simulated expectation over seeds, and p the share of the fitted parameters that falls to the series.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from lpm.calibration.likelihood import NegativeBinomial
from lpm.calibration.observation import Observation, Series
from lpm.types import HostArray

LOWEST, HIGHEST = 0.5, 1000.0
"""Range of concentrations that are told apart: sd of 140 % and of 3 % of a large count."""


def learned(observation: Observation, mu: HostArray, parameters: int) -> Observation:
    """Return the observation with every concentration that was left open estimated.

    Args:
        observation: Some of its series may have a negative binomial without a concentration.
        mu: [S, D], expectations at the estimate over S seeds.
        parameters: Number of fitted parameters.
    """
    made: list[Series] = []
    for series, part in zip(observation.series, observation.split(mu), strict=True):
        likelihood = series.likelihood
        if not isinstance(likelihood, NegativeBinomial) or likelihood.concentration is not None:
            made.append(series)
            continue
        share = parameters * len(series.values) / observation.size
        found = concentration(series.values, part, max(len(series.values) - share, 1.0))
        made.append(replace(series, likelihood=NegativeBinomial(found)))
    return Observation(tuple(made))


def concentration(y: HostArray, mu: HostArray, freedom: float) -> float:
    """Return k for values y [D] and expectations mu [S, D], between `LOWEST` and `HIGHEST`."""
    mean = np.maximum(mu.mean(0), 1e-6)
    noise = mu.var(0, ddof=1) * (1 + 1 / len(mu)) if len(mu) > 1 else np.zeros_like(mean)

    def excess(log_k: float) -> float:
        return float(np.sum((y - mean) ** 2 / (mean + mean**2 / np.exp(log_k) + noise)) - freedom)

    low, high = float(np.log(LOWEST)), float(np.log(HIGHEST))
    if excess(low) >= 0:
        return LOWEST
    if excess(high) <= 0:
        return HIGHEST
    return float(np.exp(float(brentq(excess, low, high))))  # pyright: ignore[reportArgumentType]
