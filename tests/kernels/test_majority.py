"""Majority vote: exact drift, an oracle on shared draws, order and its loss on the square lattice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from ..conftest import graph
from .trajectories import drawn, trajectory


def votes(size: int, share: float = 0.5, seed: int = 1) -> Any:
    return (np.random.default_rng(seed).random(size) < share).astype(np.uint8)


@pytest.mark.parametrize("builder", ["erdos-renyi", "complete"])
def test_steps_are_those_of_the_oracle(builder: str):
    size = 600
    network = graph(builder, size, mean_degree=4.0) if builder == "erdos-renyi" else graph(builder, size)
    vote, ids = votes(size), np.arange(size)
    rows = [np.delete(ids, i) for i in ids]
    if builder == "erdos-renyi":
        rows = np.split(network.indices, network.indptr[1:-1])
    for step, after in enumerate(trajectory("majority", network, {"vote": vote}, [1, 2], noise=0.125, revision=0.5)):
        revise, err, coin = (drawn("majority", step, name, ids, 0) for name in ("revise", "err", "coin"))
        expected = vote.copy()
        for i, row in enumerate(rows):
            if revise[i] < 0.5 * 2**32:
                twice = 2 * vote[row].sum(dtype=int)
                expected[i] = coin[i] >= 2**31 if twice == len(row) else (twice > len(row)) ^ (err[i] < 0.125 * 2**32)
        assert np.array_equal(after["vote"], expected)
        vote = expected


@pytest.mark.parametrize(("near", "share"), [(4, 0.4), (8, 0.3)])
def test_drift_from_a_random_start_is_binomial(near: int, share: float):
    """From independent votes the share after one step is (1 - q) P(majority) + q P(minority) + P(tie) / 2.

    Votes of agents that share neighbours are correlated, at most 1 + near^2 of them with one: the standard deviation is
    below sqrt((1 + near^2) / (4 N)), of which five are allowed (a false alarm in 2e6 at worst).
    """
    size, noise = 10_000, 0.1
    network = graph("lattice", size, neighbours=near)
    after = trajectory("majority", network, {"vote": votes(size, share)}, [1], noise=noise, revision=1.0)[0]["vote"]
    chances = stats.binom.pmf(np.arange(near + 1), near, votes(size, share).mean())
    tie, more = chances[near // 2], chances[near // 2 + 1 :].sum()
    expected = (1 - noise) * more + noise * (1 - tie - more) + tie / 2
    assert abs(after.mean() - expected) < 5 * np.sqrt((1 + near**2) / (4 * size))


def test_share_of_the_larger_side_under_complete_mixing():
    """All follow the same majority and err independently: 1 - q, within six binomial deviations (2e-9)."""
    size, noise = 5_000, 0.15
    after = trajectory("majority", graph("complete", size), {"vote": votes(size, 0.6)}, [30], noise=noise)[0]["vote"]
    assert abs(after.mean() - (1 - noise)) < 6 * np.sqrt(noise * (1 - noise) / size) + 0.8**30


@pytest.mark.full
@pytest.mark.parametrize(("noise", "ordered"), [(0.065, True), (0.085, False)])
def test_square_lattice_loses_order_at_the_published_noise(noise: float, ordered: bool):
    """De Oliveira, 1992: critical noise 0.075, under his schedule, one agent at a time. From full order on 64 x 64.

    Mean size of the magnetisation of 21 looks after 500 to 2,500 revisions of an agent. Three seeds gave 0.77 to 0.79
    at 0.065, 0.30 to 0.65 at 0.075, 0.09 to 0.20 at 0.085 (0.86 at 0.05, 0.05 to 0.08 at 0.10); the limits are five
    times that spread away. Fixed seeds.
    """
    network, start = graph("lattice", 4_096), np.ones(4_096, np.uint8)
    values: dict[str, Any] = {"noise": noise, "revision": 1.0, "schedule": "random-sequential"}
    for seed in (0, 1, 2):
        runs = trajectory("majority", network, {"vote": start}, list(range(500, 2_501, 100)), seed=seed, **values)
        order = np.mean([abs(2.0 * run["vote"].mean() - 1) for run in runs])
        assert order > 0.7 if ordered else order < 0.4
