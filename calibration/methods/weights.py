"""Weights of residuals: the noise of the data and of the simulation itself, from few runs.

A residual g(y) - E g(mu) has the covariance C = I + Sigma, where I is the scatter of the observation on its own scale
and Sigma the process noise: the covariance of one run's curve. Sigma is told from S runs, fewer than there are values,
so its correlations are shrunk: Sigma = a S + (1 - a) diag(S), with the share a that Ledoit & Wolf (2004, Journal of
Multivariate Analysis 88:365-411, 10.1016/S0047-259X(03)00096-4) and Schaefer & Strimmer (2005, Statistical Applications
in Genetics and Molecular Biology 4:32, 10.2202/1544-6115.1175) derive for this target.
"""

from __future__ import annotations

import numpy as np

from lpm.types import HostArray


def shrunken(curves: HostArray) -> HostArray:
    """Return the covariance [D, D] of one run from S runs [S, D], correlations shrunk towards 0; 0 for one run."""
    count, size = curves.shape
    if count < 2:
        return np.zeros((size, size))
    spread = np.where(np.ptp(curves, 0) > 0, curves.std(0, ddof=1), 0)  # equal values have none, not even by rounding
    standard = (curves - curves.mean(0)) / np.where(spread > 0, spread, 1)
    products = standard[:, :, None] * standard[:, None, :]  # [S, D, D]
    correlation = products.sum(0) / (count - 1)
    noise = products.var(0, ddof=1) * count / (count - 1) ** 2  # variance of an estimated correlation
    off = ~np.eye(size, dtype=bool)
    signal = (correlation[off] ** 2).sum()
    kept = 1.0 if signal == 0 else float(np.clip(1 - noise[off].sum() / signal, 0, 1))
    made = np.where(off, kept * correlation, 1.0) * np.outer(spread, spread)
    return made * (np.outer(spread, spread) > 0)


def whitener(process: HostArray) -> HostArray:
    """Return the lower triangular W [D, D] with W (I + process) W' = I: W r has unit variance."""
    lower = np.linalg.cholesky(np.eye(len(process)) + process)
    return np.linalg.inv(lower)
