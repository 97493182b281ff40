"""The herd in the market: components against a slow search, orders and prices, moments, and the way to percolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm import random
from lpm.kernels.herding.herd_market import HerdMarket, excess_kurtosis

from .herds import Values, begin, go, herd, host, key_of, members, rows_of


def components(count: int, seed: int, step: int, connectivity: float) -> Values:
    """Return the smallest agent of each agent's component, by the scalar draws and repeated relabelling."""
    keys = [key_of(seed, "herd-market", step, name) for name in ("link", "one", "other")]
    limit, label = int(np.float32(connectivity) / 2 * np.float64(2**32)), np.arange(count)
    for number in range(count):
        link, one, other = (random.scalar_bits(key, (number,)) for key in keys)
        if link < limit:
            pair = label[[one * count >> 32, other * count >> 32]]
            label[np.isin(label, pair)] = pair.min()
    return label


@pytest.mark.parametrize(("connectivity", "shards"), [(0.7, 1), pytest.param(1.3, 4, marks=pytest.mark.full)])
def test_clusters_orders_and_price_are_those_of_slow_counting(connectivity: float, shards: int):
    """To the bit, with people of different weights and some absent; the price to float32."""
    size, steps, activity, generator = 203, 3, 0.2, np.random.default_rng(2)
    present, weight = generator.random(size) < 0.85, generator.integers(1, 2**18, size)
    there = np.flatnonzero(present)
    small = herd("herd-market", size, steps, shards, present=present, weight=weight)
    batch = members(small, [6], connectivity=connectivity, activity=activity, depth=50.0)
    state, price = begin(small, batch, rows_of(HerdMarket, 1)), np.float32(0)
    for step in range(steps):
        state = go(small, batch, state, step, 1)
        found = host(state)
        cluster = there[components(len(there), 6, step, connectivity)]
        assert np.array_equal(found["cluster"][0, :size][present], cluster)
        key, demand = key_of(6, "herd-market", step, "order"), 0
        for agent, root in zip(there, cluster, strict=True):
            drawn = random.scalar_bits(key, (int(root), 0))
            limit = int(np.float32(activity) * 2.0**32)
            act = 1 if drawn < limit else 2 if drawn < 2 * limit else 0
            assert found["order"][0, agent] == act
            demand += (0, 1, -1)[act] * int(weight[agent])
        change = np.float32(demand / 65_536 / 50)
        price = np.float32(price + change)
        assert found["globals.change"][0, 0] == change and found["globals.price"][0, 0] == price


def moved(connectivity: float, activity: float, size: int, seeds: int, steps: int) -> tuple[Values, Values]:
    """Return the price changes, and the cluster sizes [draws, size], zeros behind."""
    small = herd("herd-market", size, steps)
    batch = members(small, range(seeds), connectivity=connectivity, activity=activity)
    state: Any = begin(small, batch, rows_of(HerdMarket, 1))
    changes, sizes = list[Values](), list[Values]()
    for step in range(steps):
        state = go(small, batch, state, step, 1)
        found = host(state)
        changes.append(found["globals.change"][:, 0].astype(float))
        sizes.append(np.stack([np.bincount(labels, minlength=size) for labels in found["cluster"]]).astype(float))
    return np.concatenate(changes), np.concatenate(sizes)


@pytest.mark.full
def test_clusters_are_those_of_a_random_graph():
    """Mean cluster of an agent 1 / (1 - c), and 1 - c / 2 clusters an agent, below the percolation.

    Both hold but for terms of order 1/N; five standard errors over 200 graphs beside 1 %.
    """
    size = 2_000
    for connectivity in (0.3, 0.6):
        _, sizes = moved(connectivity, 0.01, size, 20, 10)
        mean, number = (sizes**2).sum(1) / size, (sizes > 0).sum(1) / size
        for values, theory in ((mean, 1 / (1 - connectivity)), (number, 1 - connectivity / 2)):
            error = values.std() / np.sqrt(len(values))
            assert abs(values.mean() - theory) < 5 * error + 0.01 * theory


@pytest.mark.full
def test_moments_of_the_price_changes():
    """Second and fourth moment of D over 2,000 steps against those of their clusters, to five standard errors."""
    activity = 0.02
    changes, sizes = moved(0.8, activity, 1_000, 100, 20)
    squares, fourths = (sizes**2).sum(1), (sizes**4).sum(1)
    second = 2 * activity * squares
    fourth = 2 * activity * fourths + 3 * (2 * activity) ** 2 * (squares**2 - fourths)
    for power, theory in ((1, 0 * second), (2, second), (4, fourth)):
        gap = changes**power - theory
        assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(len(gap))


@pytest.mark.full
def test_excess_kurtosis_grows_towards_percolation():
    """With the mean number of orders held, the moments of the clusters give excess kurtosis that rises with c.

    With n the size of an agent's cluster, 2 a N K = E n^3 / (E n)^2 in the limit of many agents: E n = 1 / (1 - c) and
    E n^3 grows as (1 - c)^-5, so K as (1 - c)^-3. The clusters drawn give it within 15 % at c = 0.5.
    """
    size, orders, found = 2_000, 20.0, list[float]()
    for connectivity in (0.0, 0.5, 0.9):
        activity = orders / 2 / size / (1 - connectivity / 2)
        _, sizes = moved(connectivity, activity, size, 20, 10)
        found.append(float(excess_kurtosis(sizes, activity)))
    assert abs(found[0] - (1 / orders - 3 / size)) < 1e-6
    n = np.arange(1, 400)  # size of an agent's cluster at c = 0.5: the law of Borel
    logs = -0.5 * n + (n - 1) * np.log(0.5 * n) - np.cumsum(np.log(n))
    share = np.exp(logs)
    ratio = (share * n**3).sum() / (share * n).sum() ** 2
    kurtosis = ratio / (orders / 0.75) - 3 * ratio / size
    assert abs(share.sum() - 1) < 1e-6 and abs(found[1] / kurtosis - 1) < 0.15
    assert found[2] > 10 * found[1] > 20 * found[0]
