"""Voter: conserved mean, consensus times on the complete graph, oracles on shared draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.network import Network

from ..conftest import graph
from .events import events, pair_of_agent
from .trajectories import cliques, drawn, trajectory

SCHEDULES = ("synchronous", "random-sequential")


def votes(size: int, seed: int = 1) -> Any:
    return (np.random.default_rng(seed).random(size) < 0.5).astype(np.uint8)


def rows_of(network: Network) -> list[Any]:
    return np.split(network.indices, network.indptr[1:-1])


def test_synchronous_step_is_that_of_the_oracle():
    network, vote = graph("erdos-renyi", 1_000, mean_degree=4.0), votes(1_000)
    ids = np.arange(1_000)
    found = trajectory("voter", network, {"vote": vote}, [1, 2], revision=0.75)
    for step, after in enumerate(found):
        place, revise = (drawn("voter", step, name, ids, 0) for name in ("neighbour", "revise"))
        expected = vote.copy()
        for i, row in enumerate(rows_of(network)):
            if len(row) and int(revise[i]) < 0.75 * 2**32:
                expected[i] = vote[row[int(place[i]) * len(row) >> 32]]
        assert np.array_equal(after["vote"], expected)
        vote = expected


@pytest.mark.parametrize("builder", ["erdos-renyi", "complete"])
def test_sequential_events_are_those_of_the_oracle(builder: str):
    size = 500
    network = graph(builder, size, mean_degree=4.0) if builder == "erdos-renyi" else graph(builder, size)
    vote = votes(size)
    rows = rows_of(network) if builder == "erdos-renyi" else [np.delete(np.arange(size), i) for i in range(size)]
    values: dict[str, Any] = {"revision": 0.75, "schedule": "random-sequential"}
    found = trajectory("voter", network, {"vote": vote}, [1, 2], **values)
    for step, after in enumerate(found):
        for draws in events("voter", step, size, 0.75, ("agent", "pick")):
            i, j = pair_of_agent(rows, draws["agent"], draws["pick"])
            vote[i] = vote[j] if j >= 0 else vote[i]
        assert np.array_equal(after["vote"], vote)


@pytest.mark.full
@pytest.mark.parametrize(
    ("schedule", "builder"),
    [
        ("synchronous", "complete"),
        pytest.param("random-sequential", "barabasi-albert", marks=pytest.mark.full),
        pytest.param("synchronous", "barabasi-albert", marks=pytest.mark.full),
        pytest.param("random-sequential", "complete", marks=pytest.mark.full),
    ],
)
def test_devices_change_nothing(schedule: str, builder: str):
    network = graph(builder, 601) if builder == "complete" else graph(builder, 601, ties=3)
    values: dict[str, Any] = {"schedule": schedule}
    one, four = (trajectory("voter", network, {"vote": votes(601)}, [6], shards=n, **values)[0] for n in (1, 4))
    assert np.array_equal(one["vote"], four["vote"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_mean_weighted_by_degree_is_conserved_in_expectation(schedule: str):
    """The hubs are all "for": the plain mean climbs towards the weighted one, which only chance moves.

    A martingale: every revision moves it by at most d_i / sum d, so that over T days its variance is below
    T sum d^2 / (4 (sum d)^2), doubled for the one by one schedule, whose number of revisions is random; six standard
    deviations, a false alarm in 5e8.
    """
    size, days = 20_000, 2
    network = graph("barabasi-albert", size, ties=4)
    degree = network.degrees().astype(float)
    vote = (degree > np.quantile(degree, 0.8)).astype(np.uint8)
    values: dict[str, Any] = {"revision": 1.0, "schedule": schedule}
    after = trajectory("voter", network, {"vote": vote}, [days], **values)[0]["vote"]
    bound = 6 * np.sqrt(2 * days * (degree**2).sum() / 4) / degree.sum()
    before, then = (np.average(v, weights=degree) for v in (vote, after))
    assert abs(then - before) < bound < 0.1
    assert after.mean() - vote.mean() > 0.1


def exact_time(size: int, synchronous: bool) -> float:
    """Return the expected steps (or days) to consensus from one half, on the complete graph, by linear equations."""
    n = np.arange(1, size)
    if synchronous:
        p_stay, p_turn = (n - 1) / (size - 1), n / (size - 1)
        full = np.arange(size + 1)
        chances = np.stack([
            np.convolve(stats.binom.pmf(full[: k + 1], k, a), stats.binom.pmf(full[: size - k + 1], size - k, b))
            for k, a, b in zip(n, p_stay, p_turn, strict=True)
        ])[:, 1:size]  # fmt: skip
        return float(np.linalg.solve(np.eye(size - 1) - chances, np.ones(size - 1))[size // 2 - 1])
    move = n * (size - n) / (size * (size - 1))
    chances = np.diag(1 - 2 * move) + np.diag(move[:-1], 1) + np.diag(move[1:], -1)
    return float(np.linalg.solve(np.eye(size - 1) - chances, np.ones(size - 1))[size // 2 - 1]) / size


@pytest.mark.parametrize(
    ("schedule", "factor"), [(SCHEDULES[0], 2.0), pytest.param(SCHEDULES[1], 1.0, marks=pytest.mark.full)]
)
def test_consensus_time_on_the_complete_graph(schedule: str, factor: float):
    """200 cliques of 24: mean time 2 N h in steps, N h in days of N events (h = ln 2).

    Against the exact chain within 5 standard errors (a false alarm in 2e6; the days are counted up, so half a day is
    taken off), and that within 8 % of the asymptotic formula.
    """
    size, copies = 24, 200
    start = np.tile(np.arange(size) % 2, copies).astype(np.uint8)
    values: dict[str, Any] = {"revision": 1.0, "schedule": schedule}
    stops = list(range(1, 260))
    runs = trajectory("voter", cliques(size, copies), {"vote": start}, stops, **values)
    shares = np.stack([run["vote"].reshape(copies, size).mean(1) for run in runs])
    done = (shares == 0) | (shares == 1)
    assert done[-1].all()
    times = done.argmax(0) + 1.0 - (0.0 if schedule == "synchronous" else 0.5)
    exact = exact_time(size, schedule == "synchronous")
    assert abs(times.mean() - exact) < 5 * times.std() / np.sqrt(copies)
    assert abs(exact / (factor * size * np.log(2)) - 1) < 0.08
