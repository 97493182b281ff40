"""Gradient estimators of SIR against the truth: `python tests/benchmarks/gradients.py [graph ...]`.

The truth is that of another simulator (`tests/calibration/epidemics.py`): central differences with common draws, 5 %
and 10 % wide, joined to remove the error of order h^2, over seeds of its own. N = 10,000, T = 50, K = 10 contacts,
beta K = 0.30 and gamma = 0.10 a day. What is compared is the gradient J' r by (log beta, log gamma) of half the
squared error between the expected number of infectious agents and that at (0.25, 0.12), with the true residual r; and
J itself.

"cosine" and "bias" are of the gradient, bias = |g - g*| / |g*| with the standard error that seeds leave in both; "sd"
is that of one seed, relative; "J" is the relative error of J in the Frobenius norm; "CPU ms" is of one Jacobian's seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm.calibration.contagion import Contagion
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.estimators.message_passing import MessagePassing
from lpm.calibration.estimators.score_function import ScoreFunction
from lpm.calibration.estimators.surrogates import GumbelSoftmax, SmoothedTriple, StraightThrough
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.network import Network
from tests.calibration.epidemics import differences, prevalence

SIZE, STEPS, DEGREE = 10_000, 50, 10
AT, TARGET = np.array([0.030, 0.10]), np.array([0.025, 0.12])
FIRST = 1_000_000
"""First seed of the truth; estimators have seeds from 0 on."""

TOGETHER = 40
"""Seeds of one call; the first call compiles, and its time is not counted."""

Values = Any


def of_pairs(pairs: Values) -> Network:
    """Return the network of undirected ties [ties, 2], every tie once."""
    ends = np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)
    flat = np.unique(ends[ends[:, 0] != ends[:, 1]] @ [SIZE, 1])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(flat // SIZE, minlength=SIZE))])
    return Network(SIZE, indptr, (flat % SIZE).astype(np.int32))


def regular(degree: int, seed: int = 1) -> Values:
    """Return the ties of a random graph in which (all but the few of double ties) agents have `degree` ties."""
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(SIZE), degree))
    return order.reshape(-1, 2)


def ring() -> Values:
    """Return the ties of a ring in which everybody is tied to the five next on either side."""
    agents = np.arange(SIZE)
    return np.concatenate([np.stack([agents, (agents + k) % SIZE], 1) for k in range(1, DEGREE // 2 + 1)])


def households() -> Values:
    """Return the ties of households of four, all of whom meet, with seven random ties each."""
    one = np.stack(np.triu_indices(4, 1), 1)
    inside = (one[None] + 4 * np.arange(SIZE // 4)[:, None, None]).reshape(-1, 2)
    return np.concatenate([inside, regular(DEGREE - 3)])


@dataclass(frozen=True)
class Graph:
    """One of the four problems.

    Attributes:
        told: Its name in the table.
        ties: Makes its ties.
        seeds: Agents that start infectious, the same in every run; 0 = everybody with a chance of 1 %.
        truth: Seeds of the truth.
        runs: Seeds of common random numbers.
    """

    told: str
    ties: Callable[[], Values]
    seeds: int
    truth: int
    runs: int


GRAPHS = {
    "A": Graph("A random 10-regular, 1 %", lambda: regular(DEGREE), 0, 500, 200),
    "B": Graph("B the same, 10 agents", lambda: regular(DEGREE), 10, 1600, 600),
    "C": Graph("C ring lattice, 1 %", ring, 0, 1600, 600),
    "D": Graph("D households of 4 + random, 1 %", households, 0, 500, 200),
}


def problem_of(graph: Graph) -> tuple[Problem, Values]:
    """Return the problem, and float [N], the chance of every agent to start infectious."""
    chosen = np.random.default_rng(2).choice(SIZE, graph.seeds, replace=False)
    weight = np.ones(SIZE) if not graph.seeds else np.isin(np.arange(SIZE), chosen).astype(float)
    share = 0.01 if not graph.seeds else 1.0
    simulator = Contagion("sir", of_pairs(graph.ties()), STEPS, initial=share, weight=weight)
    at = np.arange(STEPS)
    everybody = Series("prevalence", np.zeros(STEPS), at, at + 1, ("all",) * STEPS, False, Normal(1.0))
    priors = {"beta": dist.LogNormal(-3.5, 0.5), "gamma": dist.LogNormal(-2.3, 0.5)}
    return Problem(Space(priors), Observation((everybody,)), simulator), share * weight


def of(graph: Graph) -> None:
    """Print the rows of a graph."""
    problem, initial = problem_of(graph)
    network: Network = problem.simulator.network  # type: ignore[attr-defined]
    begun = time.process_time()
    curves, each = differences(network, AT, initial, range(FIRST, FIRST + graph.truth), STEPS)
    targets = [prevalence(network, TARGET, initial, 2 * FIRST + seed, STEPS) for seed in range(200)]
    residual, truth = curves.mean(0) - np.mean(targets, 0), each.mean(0)
    gradients = np.einsum("sdp,d->sp", each, residual)
    gradient = gradients.mean(0)
    size = np.linalg.norm(gradient)
    error = np.linalg.norm(gradients.std(0, ddof=1)) / np.sqrt(graph.truth) / size
    cpu = 1000 * (time.process_time() - begun) / graph.truth
    print(f"\n{graph.told}: truth {gradient / size} x {size:.4g}, {graph.truth} seeds, s.e. {error:.2%}, {cpu:.0f} ms")
    print(f"| estimator | seeds | cosine | bias | sd | J | CPU ms |\n|{'---|' * 7}")

    def row(told: str, count: int, found: Values, cpu: float) -> None:
        mean, own = found.mean(0), np.einsum("sdp,d->sp", found, residual)
        g, spread = own.mean(0), np.linalg.norm(own.std(0, ddof=1)) / size if len(own) > 1 else 0.0
        cosine = g @ gradient / np.linalg.norm(g) / size
        bias, unsure = np.linalg.norm(g - gradient) / size, np.hypot(error, spread / np.sqrt(count))
        apart = np.linalg.norm(mean - truth) / np.linalg.norm(truth)
        print(
            f"| {told} | {count} | {cosine:.4f} | {bias:.3f} ± {unsure:.3f} | {spread:.2f} | {apart:.3f} | {cpu:.0f} |",
            flush=True,
        )

    for told, method, count in methods(graph):
        row(told, count, *run(method, problem, count))
    curve = MessagePassing(simulate=False).jac(problem, np.log(AT), np.arange(0)).mean
    off = np.linalg.norm(curve - curves.mean(0)) / np.linalg.norm(curves.mean(0))
    print(f"curve of message passing: off by {off:.3f} of the mean curve")


def run(method: Estimator, problem: Problem, count: int) -> tuple[Values, float]:
    """Return the derivatives seed by seed [S, D, P], and CPU ms of a seed once everything is compiled."""
    found: list[Values] = []
    spent: list[float] = []
    calls = np.array_split(np.arange(count), -(-count // TOGETHER))
    for seeds in [*calls] * (1 if len(calls) > 1 else 2):
        begun = time.process_time()
        found.append(method.jac(problem, np.log(AT), seeds).each)
        spent.append(1000 * (time.process_time() - begun) / len(seeds))
    return np.concatenate(found)[:count], float(np.median(spent[1:]))


def methods(graph: Graph) -> list[tuple[str, Estimator, int]]:
    """Return the estimators and how many seeds each gets."""
    return [
        ("common random numbers, h = 5 %", CommonRandomNumbers(), graph.runs),
        ("message passing", MessagePassing(simulate=False), 1),
        ("score function", ScoreFunction(), 400),
        ("straight through", StraightThrough(), 24),
        ("Gumbel-softmax, 1", GumbelSoftmax(temperature=1.0), 24),
        ("Gumbel-softmax, 0.5", GumbelSoftmax(temperature=0.5), 24),
        ("Gumbel-softmax, 0.1", GumbelSoftmax(temperature=0.1), 24),
        ("smoothed triple", SmoothedTriple(), 24),
    ]


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    for name in sys.argv[1:] or GRAPHS:
        of(GRAPHS[name])
