"""How near a fit comes to known parameters: `python tests/benchmarks/fits.py [seed] [targets] [simulations]`.

Susceptible, infected, recovered among 10,000 people of ten contacts each, 60 days. A target is one run of one set of
(beta, gamma, i0), drawn evenly in their logarithms from 0.05-1 and 0.02-0.5 per day and 0.001-0.03 with beta / gamma
above 1.5, beta being the hazard of ten contacts: what is fitted is its curve of infectious people, with default
settings and a budget of simulations. The error is sqrt(mean over the three of log(estimate / truth)^2).

Nobody can know the share who were infectious at the start better than the run shows how many were: "known" is the error
of the one who counts them and knows beta and gamma.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpyro.distributions as dist

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm.calibration.contagion import Contagion
from lpm.calibration.fit import Fit, LevenbergMarquardt, fit
from lpm.calibration.likelihood import Poisson
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.network import Network
from lpm.types import HostArray

PEOPLE, CONTACTS, DAYS = 10_000, 10, 60
RANGES = {"beta": (0.05 / CONTACTS, 1.0 / CONTACTS), "gamma": (0.02, 0.5), "initial": (1e-3, 3e-2)}
SPACE = Space({name: dist.LogUniform(*ends) for name, ends in RANGES.items()})
DUE, AIM = 0.11, 0.06
"""The median error that is asked for, and aimed at."""


@dataclass(frozen=True)
class Target:
    """What is to be found.

    Attributes:
        theta: The true parameters.
        curve: float64 [DAYS], infectious people after every day.
        start: Share of people who were infectious at the start.
    """

    theta: dict[str, float]
    curve: HostArray
    start: float


def simulator() -> Contagion:
    """Return the epidemic on a random network, in which everybody names ten others: one contact a day with each."""
    sources = np.random.default_rng(0).integers(0, PEOPLE, PEOPLE * CONTACTS)
    network = Network(PEOPLE, np.arange(PEOPLE + 1, dtype=np.int64) * CONTACTS, sources.astype(np.int32))
    return Contagion("sir", network, DAYS)


def target(model: Contagion, generator: np.random.Generator) -> Target:
    """Return the next target."""
    while True:
        theta = {name: float(np.exp(generator.uniform(*np.log(ends)))) for name, ends in RANGES.items()}
        if CONTACTS * theta["beta"] / theta["gamma"] > 1.5:
            break
    seed = np.asarray([1_000_000 + int(generator.integers(10**6))])  # no seed of a fit
    made = model.run({name: np.asarray([value]) for name, value in theta.items()}, seed)
    still = model.run({name: np.asarray([value if name == "initial" else 1e-9]) for name, value in theta.items()}, seed)
    return Target(theta, made["prevalence"][0, :, 0], float(still["prevalence"][0, 0, 0]) / PEOPLE)


def problem(model: Contagion, curve: HostArray) -> Problem:
    """Return the problem of finding what made a curve."""
    day = np.arange(DAYS)
    series = Series("prevalence", curve, day, day + 1, ("all",) * DAYS, flow=False, likelihood=Poisson())
    return Problem(SPACE, Observation((series,)), model)


def covered(found: Fit, truth: dict[str, float], level: float = 0.9) -> list[bool]:
    """Return by parameter whether the interval holds the truth."""
    low, high = found.interval(level)
    return [bool(low[name] <= value <= high[name]) for name, value in truth.items()]


def main(seed: int, count: int, simulations: int) -> None:
    """Print a row by target, and the medians."""
    model, generator = simulator(), np.random.default_rng(seed)
    errors, known, held, used = [], [], [], []
    began = time.process_time()
    for number in range(count):
        given = target(model, generator)
        found = fit(problem(model, given.curve), LevenbergMarquardt(simulations=simulations), seed=number)
        off = {name: float(np.log(found.theta[name] / value)) for name, value in given.theta.items()}
        errors.append(float(np.sqrt(np.mean(np.square(list(off.values()))))))
        known.append(abs(np.log(max(given.start, 0.5 / PEOPLE) / given.theta["initial"])) / np.sqrt(len(off)))
        held.append(covered(found, given.theta))
        used.append(found.simulations)
        truth = ", ".join(f"{name} {value:.4f} ({off[name]:+.3f})" for name, value in given.theta.items())
        flag = "" if all(found.identified.values()) else "  not identified"
        print(f"{number + 1:3}  {errors[-1]:.3f}  known {known[-1]:.3f}  {truth}  {used[-1]} runs{flag}", flush=True)
    seconds, near = (time.process_time() - began) / count, np.mean(np.asarray(errors) < 0.15)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(RANGES, np.mean(held, 0), strict=True))
    print(
        f"seed {seed}, {count} targets: median error {np.median(errors):.3f} (due {DUE}, aim {AIM}; known "
        f"{np.median(known):.3f}), below 0.15 {near:.0%}, largest {max(errors):.2f}\n"
        f"90 % intervals hold {shares}; at most {max(used)} runs; {seconds:.1f} CPU s a fit"
    )


if __name__ == "__main__":
    asked = [int(text) for text in sys.argv[1:]]
    main(*(asked + [2026, 20, 172][len(asked) :]))
