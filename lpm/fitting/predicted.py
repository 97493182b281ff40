"""Draws of a fit's parameters with their densities: what a forecast weighs its runs by."""

from __future__ import annotations

import numpy as np

from lpm.calibration.fit import Fit
from lpm.calibration.posterior import Posterior
from lpm.types import HostArray


def drawn(fit: Fit, posterior: Posterior | None, count: int, seed: int) -> tuple[HostArray, HostArray | None]:
    """Return draws u [count, P], and by draw log p(u) - log q(u) up to a constant: the prior's density over their own.

    Args:
        fit: The best fit, whose normal approximation is q where there is no posterior.
        posterior: Draws of the parameters given the data, with their density q; None = there are none.
        count: How many.
        seed: Names the choice.

    Returns:
        u, and the log ratio, None for draws of a posterior whose density is not known.
    """
    prior = fit.problem.space.log_prob
    if posterior is None:
        u = fit.draws(count, seed)
        standard = np.linalg.solve(np.linalg.cholesky(fit.covariance), (u - fit.u).T)
        return u, np.asarray(prior(u), np.float64) + 0.5 * (standard**2).sum(0)
    chosen = np.random.default_rng(seed).choice(posterior.size, count, replace=count > posterior.size)
    u = posterior.u[chosen]
    if posterior.log_prob is None:
        return u, None
    return u, np.asarray(prior(u), np.float64) - posterior.log_prob[chosen]
