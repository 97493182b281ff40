"""How sure a fit is: draws of its parameters in one of three ways, and what speaks for and against them.

"normal" is the normal approximation around the best fit, which costs nothing more and is too narrow (90 % intervals
that cover 70 to 90 %); "synthetic" runs some hundreds of simulations around it, and follows curved posteriors
(`lpm.calibration.posteriors.synthetic_likelihood`); "neural" learns from thousands of simulations of the prior, for up
to ten parameters, and is the widest tested (`lpm.calibration.posteriors.neural_posterior`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lpm.calibration.fit import Fit, Progress, silent, table
from lpm.calibration.methods.estimate import SHRUNK
from lpm.calibration.posterior import Posterior
from lpm.calibration.problem import Simulator
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

MANY = 4000
"""Draws of the normal approximation by which the spread of a parameter is told."""

REPLICATES, JACOBIAN_SEEDS = 200, 16
"""Simulations of the posterior predictive check, and how many seeds the derivative of a diagnosis has: at its point
twice, and at two for each parameter."""


@dataclass(frozen=True)
class Counted:
    """A simulator that tells how far a diagnosis is.

    Attributes:
        simulator: What runs.
        tell: Told.
        expected: Number of simulations that are expected.
        ran: How many there were.
    """

    simulator: Simulator
    tell: Progress
    expected: int
    ran: list[int] = field(default_factory=lambda: [0])

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric."""
        return self.simulator.groups

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return what the simulator does, ten runs after ten."""
        parts: list[Mapping[str, HostArray]] = []
        for first in range(0, len(seeds), 10):
            self.tell("diagnosis", self.ran[0], max(self.expected, self.ran[0]))
            some = slice(first, first + 10)
            parts.append(self.simulator.run({name: each[some] for name, each in theta.items()}, seeds[some]))
            self.ran[0] += len(seeds[some])
        self.tell("diagnosis", self.ran[0], max(self.expected, self.ran[0]))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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

    def marginals(self) -> dict[str, HostArray]:
        """Return many draws by parameter in natural units, [n, ...]: all of the posterior, or `MANY` of the normal."""
        u = self.fit.draws(MANY, seed=3) if self.posterior is None else self.posterior.u
        return {name: np.asarray(each, np.float64) for name, each in self.fit.problem.theta(u).items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per coordinate as `lpm.calibration.fit.table` does.

        With a posterior the 90 % interval is that of its draws, and a coordinate is identified when their variance, in
        unconstrained coordinates, is less than half of the prior's.
        """
        rows = [dict(row) for row in table(self.fit)]
        if self.posterior is None:
            return rows
        spans = {row["parameter"]: row for row in self.posterior.table().iter_rows(named=True)}
        left = (self.posterior.u.std(0) / self.fit.problem.space.spread) ** 2
        shrunk = {name: bool(share < SHRUNK) for name, share in zip(self.posterior.names, left, strict=True)}
        for row in rows:
            name = str(row["name"])
            span = spans[name.replace("[", ".").replace("]", "")]
            row |= {"low": span["q05"], "high": span["q95"], "identified": shrunk.get(name, row["identified"])}
        return rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What the fit and the posterior said of themselves, and where the best fit is not within the posterior."""
        if self.posterior is None:
            return self.fit.notes
        rows = self.rows()
        outside = [str(row["name"]) for row in rows if not row["low"] <= row["estimate"] <= row["high"]]
        told = f"The best fit lies outside of the 90 % interval of its posterior: {', '.join(outside)}."
        return (*self.fit.notes, *self.posterior.notes, *([told] if outside else []))


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


def checked(found: Known, tell: Progress = silent) -> list[dict[str, Any]]:
    """Return what speaks for and against the draws: rows of check, of, value, low, high, passed.

    These are the posterior predictive check and identifiability. Coverage by simulation takes a fit for each of a
    thousand data sets and is done in a notebook: `lpm.calibration.diagnose`.

    Args:
        found: The fit, and how sure it is.
        tell: Told how many simulations are done, of about how many: each direction that is not identified takes more.
    """
    from lpm.calibration.diagnose import diagnose

    problem = found.fit.problem
    posterior = found.posterior or Posterior(problem.space, found.fit.draws(1000, seed=2))
    expected = REPLICATES + JACOBIAN_SEEDS * (2 + 2 * problem.space.size)
    counted = replace(problem, simulator=Counted(problem.simulator, tell, expected))
    try:
        return diagnose(counted, posterior, replicates=REPLICATES).table.to_dicts()
    finally:
        if problem.archive is not None:
            problem.archive.write()
