"""Can a posterior be believed? Coverage, what it predicts of the data it has seen, and what the data do not tell.

Three checks: simulation-based calibration (`lpm.calibration.posteriors.coverage`), the posterior predictive check
below, and identifiability (`lpm.calibration.posteriors.identifiability`).

Posterior predictive: data y_rep are simulated from draws of the posterior; with mean m and standard deviation s of
g(y_rep), data are at the distance T(y) = mean ((g(y) - m) / s)^2 from them. The p-value of a series is the share
of y_rep at least as far as the observed values (Gelman, Meng & Stern 1996, Statistica Sinica 6:733-760). Near 0 the
model cannot make such data; near 1 it makes them nearer than its own chance would have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lpm.calibration.errors import CalibrationError
from lpm.calibration.posterior import Method, Posterior
from lpm.calibration.posteriors.coverage import BARS, LEVEL, Coverage, coverage
from lpm.calibration.posteriors.identifiability import Effect, Identifiability, identifiability
from lpm.calibration.problem import Problem

EXTREME = 0.005
"""A series fails if its p-value is below this or above 1 - this: 1 % of right models do."""


@dataclass(frozen=True)
class Predicted:
    """The posterior predictive check of one series.

    Attributes:
        series: Its metric, and number if one metric stands in several.
        p: Share of simulated data at least as far from the prediction as the observed values.
        cover90: Share of the observed values within their 90 % predictive interval.
        values: Number of values.
    """

    series: str
    p: float
    cover90: float
    values: int

    @property
    def passed(self) -> bool:
        """Whether the observed values are like the predicted ones."""
        return EXTREME <= self.p <= 1 - EXTREME


@dataclass(frozen=True)
class Report:
    """What the checks found.

    Attributes:
        coverage: Simulation-based calibration, None where it was not run.
        predicted: The posterior predictive check by series.
        identifiability: What the data say of every direction.
        notes: What the posterior itself said.
    """

    coverage: Coverage | None
    predicted: tuple[Predicted, ...]
    identifiability: Identifiability
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether coverage was checked and holds, the data are like the predicted ones, and every direction is told."""
        rows = self.table["passed"]
        return self.coverage is not None and bool(rows.all()) and not self.notes

    @property
    def table(self) -> pl.DataFrame:
        """One row a check: check, of, value, low, high, passed."""
        rows: list[tuple[str, str, float, float, float, bool]] = []
        if self.coverage is not None:
            for number, name in enumerate(self.coverage.names):
                for share, (low, high) in BARS.items():
                    value = float(self.coverage.covered(share)[number])
                    rows.append((f"coverage of {share:.0%}", name, value, low, high, low <= value <= high))
                p, least = float(self.coverage.p_values[number]), LEVEL / len(self.coverage.names)
                rows.append(("rank test", name, p, least, 1.0, p > least))
        for each in self.predicted:
            rows.append(("posterior predictive", each.series, each.p, EXTREME, 1 - EXTREME, each.passed))
        for each in self.identifiability.directions:
            rows.append(
                ("spread left of the prior's", each.words, each.left, 0.0, float(np.sqrt(0.5)), each.identified)
            )
        return pl.DataFrame(rows, ("check", "of", "value", "low", "high", "passed"), orient="row")

    @property
    def text(self) -> str:
        """The same in sentences, a line each."""
        lines = ["coverage was not checked"] if self.coverage is None else []
        for check, of, value, low, high, good in self.table.iter_rows():
            verdict = "passed" if good else "FAILED"
            lines.append(f"{check}, {of}: {value:.3g} (bar {low:.3g} to {high:.3g}): {verdict}")
        for each in self.identifiability.unidentified:
            lines.append(f"the data do not tell {each.words}: {each.left:.0%} of the prior's spread is left")
            if each.profile is None:
                continue
            allowed = each.profile.offsets[each.profile.allowed]
            lines.append(
                f"  they allow {allowed.min():+.2g} to {allowed.max():+.2g} prior spreads along it, of "
                f"{each.profile.offsets.min():+.2g} to {each.profile.offsets.max():+.2g} tried"
            )
            for name in each.profile.effects:
                low, high = each.profile.span(name)
                lines.append(f"  along it the effect '{name}' goes from {low:.4g} to {high:.4g}")
        return "\n".join([*lines, *self.notes])


def predictive(
    problem: Problem, posterior: Posterior, count: int = 200, seed: int = 2_000_003
) -> tuple[Predicted, ...]:
    """Return the posterior predictive check of every series.

    Args:
        problem: Parameters, observation and simulator.
        posterior: Draws given the problem's observed values.
        count: Simulations, each of another draw.
        seed: Names their seeds and the noise.

    Raises:
        CalibrationError: Fewer than 20 simulations.
    """
    if count < 20:
        raise CalibrationError(f"posterior predictive: expected at least 20 simulations, got {count}")
    generator = np.random.default_rng([seed, 1])
    chosen = generator.choice(posterior.size, count, replace=posterior.size < count)
    mu = problem.expected(posterior.u[chosen], generator.choice(2**31, count, replace=False))
    observation = problem.observation
    values = observation.draw(generator, mu)
    curves = observation.split(np.asarray(observation.stabilised(values)))
    made: list[Predicted] = []
    seen: dict[str, int] = {}
    parts = zip(observation.series, curves, observation.split(observation.target), strict=True)
    for each, simulated, real in parts:
        mean = simulated.mean(0)
        spread = np.maximum(simulated.std(0, ddof=1), 1e-9)
        # the simulated values have shaped mean and spread, the observed ones have not: leave each out of its own
        far = (((simulated - mean) * count / (count - 1) / spread) ** 2).mean(1)
        observed = float((((real - mean) / spread) ** 2).mean())
        low, high = np.quantile(simulated, 0.05, 0), np.quantile(simulated, 0.95, 0)
        seen[each.metric] = seen.get(each.metric, 0) + 1
        name = each.metric if seen[each.metric] == 1 else f"{each.metric} ({seen[each.metric]})"
        p = (1 + float((far >= observed).sum())) / (1 + count)
        made.append(Predicted(name, p, float(((real >= low) & (real <= high)).mean()), len(real)))
    return tuple(made)


def diagnose(
    problem: Problem,
    posterior: Posterior,
    method: Method | None = None,
    sbc: int = 1000,
    draws: int = 199,
    effects: Mapping[str, Effect] | None = None,
    replicates: int = 200,
    seed: int = 1_000_003,
) -> Report:
    """Return what speaks for and against a posterior.

    Args:
        problem: Parameters, observation and simulator.
        posterior: Draws given the problem's observed values.
        method: What made them, asked again for simulated data to check coverage; None = coverage is not checked, and
            the report does not pass.
        sbc: Sets of simulated data.
        draws: Draws of the posterior of each.
        effects: Policy effects by name, u [P] -> a number, followed along directions that the data do not tell.
        replicates: Simulations of the posterior predictive check.
        seed: Names all that is drawn.
    """
    found = None if method is None else coverage(method, problem, sbc, draws, seed)
    told = identifiability(problem, posterior.u.mean(0), effects=effects)
    return Report(found, predictive(problem, posterior, replicates, seed + 1), told, posterior.notes)
