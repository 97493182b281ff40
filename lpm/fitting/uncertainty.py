"""How sure a fit is: draws of its parameters in one of three ways, and what speaks for and against them.

"normal" is the normal approximation around the best fit, which costs nothing more and is too narrow (90 % intervals
that cover 60 to 85 %); "synthetic" runs some hundreds of simulations around it, and follows curved posteriors
(`lpm.calibration.posteriors.synthetic_likelihood`); "neural" learns from thousands of simulations of the prior, for up
to ten parameters, and is the widest tested (`lpm.calibration.posteriors.neural_posterior`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm.calibration.fit import Fit, table
from lpm.calibration.posterior import Posterior
from lpm.types import HostArray

WAYS = {
    "normal": "Intervals are those of a normal approximation around the best fit, which is too narrow where the model "
    "is curved; --posterior synthetic costs some hundreds of simulations more and is not.",
    "synthetic": "Intervals are those of a Gaussian synthetic likelihood around the best fit, sampled by NUTS.",
    "neural": "Intervals are those of an amortised neural posterior, learned from simulations of the prior.",
}
"""By the values of --posterior, what a reader has to know."""

NEURAL = 2000
"""Simulations of the prior that a neural posterior learns from: with 4,000 it passed every check, with 2,000 all but
the rank test (tests/benchmarks/RESULTS.md)."""

AROUND = 150
"""Simulations in each round of the synthetic likelihood, more where there are many parameters."""


@dataclass(frozen=True)
class Known:
    """A fit, and how sure it is.

    Attributes:
        fit: The best fit.
        posterior: Draws of the parameters; None = those of the normal approximation.
    """

    fit: Fit
    posterior: Posterior | None = None

    def draws(self, count: int, seed: int = 0) -> HostArray:
        """Return draws u [count, P]."""
        if self.posterior is None:
            return self.fit.draws(count, seed)
        size = self.posterior.size
        chosen = np.random.default_rng(seed).choice(size, count, replace=count > size)
        return self.posterior.u[chosen]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per coordinate as `lpm.calibration.fit.table` does, with the posterior's 90 % interval."""
        rows = [dict(row) for row in table(self.fit)]
        if self.posterior is None:
            return rows
        spans = {row["parameter"]: row for row in self.posterior.table().iter_rows(named=True)}
        for row in rows:
            span = spans[str(row["name"]).replace("[", ".").replace("]", "")]
            row |= {"low": span["q05"], "high": span["q95"]}
        return rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What the posterior said of itself."""
        return () if self.posterior is None else self.posterior.notes


def known(fit: Fit, way: str, draws: int, tell: Callable[[str], None]) -> Known:
    """Return how sure a fit is.

    Args:
        fit: The fit.
        way: A key of `WAYS`.
        draws: How many draws will be asked for.
        tell: Told what is being done.

    Raises:
        CalibrationError: Too many parameters for a neural posterior, or no posterior of finite width.
    """
    problem = fit.problem
    if way == "synthetic":
        from lpm.calibration.posteriors.surrogate import terms
        from lpm.calibration.posteriors.synthetic_likelihood import SyntheticLikelihood

        tell("simulations around the fit")
        size = problem.space.size
        count = max(AROUND, 2 * (terms(np.zeros((1, size))).shape[1] + size + 10))
        return Known(fit, SyntheticLikelihood(simulations=count, draws=max(1000, draws)).posterior(problem, fit.u))
    if way == "neural":
        from lpm.calibration.posteriors.neural_posterior import NeuralPosterior

        tell("simulations of the prior")
        return Known(fit, NeuralPosterior.fit(problem, NEURAL).posterior(max(2000, draws)))
    return Known(fit)


def checked(found: Known) -> list[dict[str, Any]]:
    """Return what speaks for and against the draws: rows of check, of, value, low, high, passed.

    These are the posterior predictive check and identifiability. Coverage by simulation takes a fit for each of a
    thousand data sets and is done in a notebook: `lpm.calibration.diagnose`.
    """
    from lpm.calibration.diagnose import diagnose

    problem = found.fit.problem
    posterior = found.posterior or Posterior(problem.space, found.fit.draws(1000, seed=2))
    return diagnose(problem, posterior).table.to_dicts()
