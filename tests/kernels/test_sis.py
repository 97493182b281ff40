"""SIS and SI: exact Markov chains in small groups, the endemic level, the logistic curve, and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, chi2

from lpm.metrics import Metric
from lpm.network import Network

from ..conftest import Small, graph
from .spreading import after, below, draws, groups_of, near, stack

METRICS = (Metric("prevalence", "stock", "state", (1,)),)
Values = np.ndarray[Any, Any]


def chain(members: int, beta: float, gamma: float, dt: float) -> Values:
    """Return P(ill after | ill before) in a group in which everybody meets everybody."""
    moves = np.zeros((members + 1, members + 1))
    for ill in range(members + 1):
        infected = binom.pmf(np.arange(members - ill + 1), members - ill, -np.expm1(-beta * dt * ill))
        stay = binom.pmf(np.arange(ill + 1), ill, np.exp(-gamma * dt))
        moves[ill] = np.convolve(infected, stay)
    return moves


@pytest.mark.parametrize(("kernel", "gamma"), [("sis", 0.4), pytest.param("si", 0.0, marks=pytest.mark.full)])
def test_small_groups_are_the_markov_chain(kernel: str, gamma: float):
    """The number ill in 1,500 groups of 8, after 1, 4 and 12 steps from one ill in each.

    Pearson's chi-square of the whole distribution (cells of fewer than 5 expected are pooled) at 1e-6 a case: a false
    alarm in fewer than 1 of 1e5 choices of the seed.
    """
    groups, members, beta, dt = 1_500, 8, 0.12, 0.5
    size = groups * members
    small = Small(kernel, groups_of(groups, members), size, METRICS, steps=12, dt=dt)
    values: Any = {"beta": beta, "gamma": gamma} if kernel == "sis" else {"beta": beta}
    first = (np.arange(size) % members == 0).astype(np.uint8)
    moves = chain(members, beta, gamma, dt)
    for count in (1, 4, 12):
        ill = after(small, small.member(count, **values), count, state=first)["state"].reshape(groups, members).sum(1)
        expected = np.linalg.matrix_power(moves, count)[1] * groups
        found = np.bincount(ill, minlength=members + 1)
        assert (found[expected < 1e-9] == 0).all()
        pooled = expected < 5
        pairs = [*zip(found[~pooled], expected[~pooled], strict=True), (found[pooled].sum(), expected[pooled].sum())]
        kept = [(f, e) for f, e in pairs if e > 1]
        assert chi2.sf(sum((f - e) ** 2 / e for f, e in kept), len(kept) - 1) > 1e-6


@pytest.mark.parametrize("dt", [1.0, pytest.param(0.25, marks=pytest.mark.full)])
def test_the_endemic_level_under_complete_mixing(dt: float):
    """The level i solves g i = (1 - i)(1 - e^(-beta c dt i)); in continuous time it is 1 - gamma / (beta c) = 0.6.

    20,000 agents, the mean over days 60 to 100 of 8 seeds: five standard errors (7 degrees of freedom: a false alarm in
    1 of 600 choices of the seeds) and 0.001 for the finite population, whose level lies lower by the order of 1/N.
    """
    size, beta, contacts, gamma = 20_000, 0.05, 10.0, 0.2
    small = Small("sis", graph("complete", size, contacts=contacts), size, METRICS, steps=round(100 / dt), dt=dt)
    members = stack([small.member(seed, beta=beta, gamma=gamma, initial=0.5) for seed in range(8)])
    _, sums = small.run(members)
    share = np.stack([small.recorder.roll_up(each)[1]["prevalence"][:, 0] for each in sums]) / size
    leave = -np.expm1(-gamma * dt)
    expected: Any = brentq(lambda i: (1 - i) * -np.expm1(-beta * contacts * dt * i) - leave * i, 0.01, 0.99)
    assert near(share[:, round(60 / dt) :].mean(1), float(expected), 0.001)
    assert abs(expected - (1 - gamma / (beta * contacts))) < 0.06 * dt


def test_below_the_threshold_the_infection_dies_out():
    """At beta c / gamma = 0.5 the number ill falls faster than e^(-gamma t / 2); none of 2,000 is ill in the end.

    Expected number ill at day 150: 1,000 e^(-0.1 x 150) = 3e-4, the chance of a false alarm.
    """
    small = Small("sis", graph("complete", 2_000, contacts=10.0), 2_000, METRICS, steps=150)
    assert small.curves(small.member(1, beta=0.01, gamma=0.2, initial=0.5))["prevalence"][-1] == 0


@pytest.mark.full
@pytest.mark.parametrize("dt", [pytest.param(0.5, marks=pytest.mark.full), 0.25])
def test_the_logistic_curve_under_complete_mixing(dt: float):
    """SI from 1 % follows the discrete model; its distance from i(t) = 1 / (1 + (1 / i0 - 1) e^(-beta c t)) halves.

    50,000 agents, 16 seeds, all with the same 500 first agents; days 2 to 16: five standard errors (15 degrees of
    freedom: 1 of 6,000 a point) and 0.001. The discrete model loses beta c dt / 2 of the growth rate at first, so its
    log odds lag by at most beta c dt / 2 ln(1 / i0 - 1) and the share, whose slope is at most 1/4, by 0.29 dt.
    """
    size, beta, contacts, first = 50_000, 0.05, 10.0, 0.01

    def discrete(dt: float) -> Values:
        share, seen = first, list[float]()
        for _ in range(round(16 / dt)):
            share += (1 - share) * -np.expm1(-beta * contacts * dt * share)
            seen.append(share)
        return np.array(seen)

    def logistic(dt: float) -> Values:
        return 1 / (1 + (1 / first - 1) * np.exp(-beta * contacts * dt * np.arange(1, round(16 / dt) + 1)))

    small = Small("si", graph("complete", size, contacts=contacts), size, METRICS, steps=round(16 / dt), dt=dt)
    members = stack([small.member(seed, beta=beta) for seed in range(16)])
    state = (np.arange(size) < first * size).astype(np.uint8)
    for day in (2, 6, 10, 16):
        share = after(small, members, round(day / dt), state=state)["state"].mean(1)
        assert near(share, discrete(dt)[round(day / dt) - 1], 0.001)
    gap, finer = (np.abs(discrete(h) - logistic(h)).max() for h in (dt, dt / 2))
    assert gap < beta * contacts * dt / 8 * np.log(1 / first - 1) and 1.8 < gap / finer < 2.2


def oracle(network: Network, kernel: str, seed: int, beta: float, gamma: float, state: Values, steps: int) -> Values:
    beta, gamma = float(np.float32(beta)), float(np.float32(gamma))
    for step in range(steps):
        drawn, after = draws(seed, kernel, step, "move", network.size), state.copy()
        for i in range(network.size):
            row = network.indices[network.indptr[i] : network.indptr[i + 1]]
            if state[i]:
                after[i] = 1 - int(below(drawn[i], 1 - np.exp(-gamma)))
            else:
                after[i] = int(below(drawn[i], 1 - np.exp(-beta * state[row].sum())))
        state = after
    return state


@pytest.mark.parametrize(("kernel", "gamma"), [("sis", 0.3), pytest.param("si", 0.0, marks=pytest.mark.full)])
def test_bit_for_bit_as_the_oracle(kernel: str, gamma: float):
    """Exact; one of 1,000 choices of the seed would differ by the rounding of hazards to 2^-24."""
    size, beta = 400, 0.1
    network = graph("erdos-renyi", size, mean_degree=5.0)
    small = Small(kernel, network, size, METRICS, steps=15)
    values: Any = {"beta": beta, "gamma": gamma} if kernel == "sis" else {"beta": beta}
    first = (np.arange(size) < 20).astype(np.uint8)
    for count in (1, 6, 15):
        found = after(small, small.member(2, **values), count, state=first)["state"][0]
        assert np.array_equal(found, oracle(network, kernel, 2, beta, gamma, first, count))
