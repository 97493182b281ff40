"""How right posteriors are: `python tests/benchmarks/posteriors.py [coverage|synthetic|targets]`.

coverage: simulation-based calibration of the neural posterior (4,000 simulations) on an epidemic of 2,000 people under
complete mixing (beta, gamma, i0; lognormal priors of spread 0.3; 50 daily case counts with Poisson noise): 1,000 sets.
synthetic: the same of the synthetic likelihood, 150 sets on 1,000 people, begun at a small neural posterior's mean.
targets: median over 20 hidden parameter sets of the rms log-error of the neural posterior's mean after 2,000
simulations of 10,000 people; the prior is log-uniform (beta 0.05-1, gamma 0.02-0.5, i0 0.001-0.03), targets have
beta / gamma > 1.5, and the curve of the infected is seen without noise.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm.calibration.likelihood import Poisson
from lpm.calibration.posteriors.coverage import coverage
from lpm.calibration.posteriors.neural_posterior import NeuralPosterior
from lpm.calibration.posteriors.synthetic_likelihood import SyntheticLikelihood
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import epidemic_problem

BOX = Space({
    "beta": dist.LogUniform(0.05, 1.0),
    "gamma": dist.LogUniform(0.02, 0.5),
    "i0": dist.LogUniform(0.001, 0.03),
})  # fmt: skip


@dataclass(frozen=True)
class Seen(Poisson):
    """Counts that are seen as they are, compared on Poisson's scale."""

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return mu."""
        return np.asarray(mu, np.float64)


def covered() -> None:
    """Print the coverage of the neural posterior."""
    problem = epidemic_problem(people=2000, steps=50)
    found = coverage(NeuralPosterior.fit(problem, 4000, seed=0), problem, 1000, 199)
    print("neural posterior, 4,000 simulations, 1,000 sets:", "passed" if found.passed else "FAILED")
    print(found.table)


def synthetic() -> None:
    """Print the coverage of the synthetic likelihood."""
    problem = epidemic_problem()
    start = NeuralPosterior.fit(problem, 1000, seed=0, layers=2, hidden=32, members=1, epochs=60)
    before = problem.simulations
    method = SyntheticLikelihood(draws=400).method(problem, lambda values: start.sample(values, 100).mean(1))
    found = coverage(method, problem, 150, 199)
    each = (problem.simulations - before - 150) / 150
    print(f"synthetic likelihood, {each:.0f} simulations a posterior, 150 sets:")
    print(found.table)


def targets(count: int = 20) -> None:
    """Print the error of the neural posterior's mean on hidden parameter sets."""
    problem = epidemic_problem(BOX, 10_000, 50, "infected", likelihood=Seen())
    drawn = np.asarray(problem.space.draw(jax.random.key(4_000_001), 400), np.float64)
    theta: dict[str, Any] = problem.theta(drawn)
    u = drawn[theta["beta"] / theta["gamma"] > 1.5][:count]
    values = problem.expected(u, 3_000_000_000 + np.arange(count))
    made = NeuralPosterior.fit(problem, 2000, seed=0)
    found, hidden = problem.theta(made.sample(values, 1000).reshape(-1, u.shape[1])), problem.theta(u)
    errors = [np.log(found[name]).reshape(count, -1).mean(1) - np.log(hidden[name]) for name in hidden]
    rms = np.sqrt(np.mean(np.square(errors), 0))
    print(f"neural posterior, 2,000 simulations, {count} targets: median rms log-error {np.median(rms):.3f}, ", end="")
    print(f"{(rms < 0.15).mean():.0%} below 0.15, largest {rms.max():.2f}")


if __name__ == "__main__":
    asked = sys.argv[1:] or ["coverage", "synthetic", "targets"]
    for name in asked:
        begun = time.process_time()
        {"coverage": covered, "synthetic": synthetic, "targets": targets}[name]()
        print(f"{name}: {time.process_time() - begun:.0f} CPU seconds", flush=True)
