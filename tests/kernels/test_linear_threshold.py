"""Linear threshold: Granovetter's crowd, Watts' cascade window, and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from lpm.network import Network

from ..conftest import Small, graph
from .spreading import after, below, draws, stack

Values = np.ndarray[Any, Any]
NAME = "linear-threshold"


def test_the_riot_of_granovetter():
    """100 people with thresholds 0, 1, .. 99: everybody joins, one a round; with 2 in the place of 1 only one does."""
    size = 100
    small = Small(NAME, graph("complete", size), size, (), steps=100)
    member = small.member(1, mean=0.0, absolute=1.0, initial=0.0)
    ladder = np.arange(100.0)
    for count in (1, 50, 100):
        assert after(small, member, count, threshold=ladder)["active"].sum() == count
    ladder[1] = 2.0
    assert after(small, member, threshold=ladder)["active"].sum() == 1


@pytest.fixture(scope="module")
def crowd() -> Small:
    return Small(NAME, graph("complete", 20_000), 20_000, (), steps=200)


def settled(mean: float, deviation: float) -> float:
    """Return the smallest r with r = F(r), F normal."""
    shares = np.linspace(0, 1, 100_001)
    above = np.flatnonzero(norm.cdf((shares - mean) / deviation) <= shares)
    found: Any = brentq(lambda r: norm.cdf((r - mean) / deviation) - r, shares[above[0] - 1], shares[above[0]])
    return float(found)


@pytest.mark.parametrize(
    "deviation", [0.10, *(pytest.param(each, marks=pytest.mark.full) for each in (0.115, 0.13)), 0.16]
)
def test_equilibria_of_normal_thresholds(crowd: Small, deviation: float):
    """With mean 0.25 the share that joins jumps at sigma = 0.122 from about 6 % to nearly all (Granovetter, fig. 2).

    Everybody sees the share r of all others, so r = F(r); its sampling error is sqrt(F (1 - F) / N) / (1 - F'), and
    five of them over 8 seeds and 1/N are allowed: a false alarm in fewer than 1 of 1e6.
    """
    members = stack([crowd.member(seed, mean=0.25, deviation=deviation, initial=0.0) for seed in range(8)])
    share = after(crowd, members)["active"].mean(1)
    expected = settled(0.25, deviation)
    slope = norm.pdf((expected - 0.25) / deviation) / deviation
    error = np.sqrt(expected * (1 - expected) / 20_000 / 8) / (1 - slope)
    assert abs(share.mean() - expected) <= 5 * error + 5e-5
    assert (expected < 0.1) == (deviation < 0.122)


def triggers(mean_degree: float, level: float) -> float:
    """Return the chance that one agent starts a global cascade on a Poisson network (Watts 2002).

    Vulnerable agents (degree at most 1/level) follow a single neighbour. An arc to somebody does not lead into the
    giant cluster of vulnerable agents with chance u = 1 - sum over vulnerable k of k p_k / z (1 - u^(k - 1)).
    """
    degrees = np.arange(1, 200)
    chance = poisson.pmf(degrees, mean_degree)
    vulnerable = degrees <= np.floor(1 / level + 1e-9)
    u = 0.5
    for _ in range(20_000):
        u = 1 - float((degrees * chance * vulnerable * (1 - u ** (degrees - 1))).sum()) / mean_degree
    return 1 - float(np.exp(mean_degree * (u - 1)))


@pytest.mark.parametrize(
    "mean_degree", [5.0, *(pytest.param(each, marks=pytest.mark.full) for each in (0.8, 2.0, 7.0))]
)
def test_the_cascade_window_of_watts(mean_degree: float):
    """With thresholds of 0.18 one agent starts a cascade of more than 10 % for 1 < z < 5.8 only, as often as predicted.

    100 first agents on a network of 2,000: five standard errors (a false alarm in 1 of 1e6) and 0.05 for its finite
    size, which counts most at z = 5, near the upper end. Outside of the window there is none.
    """
    size, runs = 2_000, 100
    small = Small(NAME, graph("erdos-renyi", size, mean_degree=mean_degree), size, (), steps=40)
    first = np.random.default_rng(1).choice(size, runs, replace=False)
    members = stack([small.member(seed, initial=0.0) for seed in range(runs)])
    active = after(small, members, active=np.eye(size, dtype=np.uint8)[first])["active"]
    often, expected = (active.mean(1) > 0.1).mean(), triggers(mean_degree, 0.18)
    if 1 < mean_degree < 5.8:
        assert expected > 0.2
        assert abs(often - expected) <= 5 * np.sqrt(expected * (1 - expected) / runs) + 0.05
    else:
        assert expected < 1e-3 and often == 0


SIZE = 400


@pytest.fixture(scope="module")
def network() -> Network:
    return graph("erdos-renyi", SIZE, mean_degree=4.0)


@pytest.fixture(scope="module")
def small(network: Network) -> Small:
    return Small(NAME, network, SIZE, (), steps=60)


def oracle(
    network: Network, seed: int, level: Values, active: Values, absolute: bool, review: float, steps: int
) -> Values:
    for step in range(steps):
        looks, after = below(draws(seed, NAME, step, "review", network.size), review), active.copy()
        for i in range(network.size):
            row = network.indices[network.indptr[i] : network.indptr[i + 1]]
            joined = int(active[row].sum())
            enough = joined >= level[i] * (1 if absolute else len(row)) - 1e-6
            if looks[i] and (level[i] <= 0 or (joined > 0 and enough)):
                after[i] = 1
        active = after
    return active


@pytest.mark.parametrize(("absolute", "review"), [(False, 1.0), (False, 0.4), (True, 0.7)])
def test_bit_for_bit_as_the_oracle(network: Network, small: Small, absolute: bool, review: float):
    """Exact; thresholds in tenths or whole numbers, so that many contacts reach theirs to the point."""
    generator = np.random.default_rng(2)
    level = generator.integers(1, 4 if absolute else 6, SIZE) / (1 if absolute else 10)
    level = np.where(generator.random(SIZE) < 0.03, 0.0, level)
    first = (generator.random(SIZE) < 0.02).astype(np.uint8)
    member = small.member(3, absolute=float(absolute), review=review)
    joined: list[int] = []
    for count in (1, 3, 10):
        found = after(small, member, count, threshold=level, active=first)["active"][0]
        assert np.array_equal(found, oracle(network, 3, level.astype(np.float32), first, absolute, review, count))
        joined.append(int(found.sum()))
    assert first.sum() < joined[0] < joined[1] < joined[2] < SIZE


def test_the_order_of_looking_does_not_change_who_joins(small: Small):
    """Synchronous or at random: the same final set, because nobody leaves; only its time differs."""
    members = stack([small.member(4, mean=0.25, deviation=0.1, review=review, initial=0.01) for review in (1.0, 0.4)])
    both, early = after(small, members)["active"], after(small, members, 2)["active"]
    assert np.array_equal(both[0], both[1]) and both[0].mean() > 0.2 and not np.array_equal(early[0], early[1])
