"""q-voter: drift and exit probability on the complete graph, the voter model at q = 1, an oracle on shared draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernels.polarization.q_voter import QVoter

from ..conftest import graph
from .trajectories import cliques, drawn, trajectory


def votes(size: int, share: float = 0.5, seed: int = 1) -> Any:
    return (np.random.default_rng(seed).random(size) < share).astype(np.uint8)


def test_synchronous_steps_are_those_of_the_oracle():
    size, q = 700, 3
    network, vote, ids = graph("erdos-renyi", size, mean_degree=4.0), votes(size), np.arange(size)
    rows = np.split(network.indices, network.indptr[1:-1])
    values = {"lobby": float(q), "change": 0.25, "revision": 0.5}
    for step, after in enumerate(trajectory("q-voter", network, {"vote": vote}, [1, 2], **values)):  # type: ignore[arg-type]
        ask = [drawn("q-voter", step, "ask", ids, np.full(size, k)) for k in range(q)]
        revise, change = (drawn("q-voter", step, name, ids, 0) for name in ("revise", "change"))
        expected = vote.copy()
        for i, row in enumerate(rows):
            if len(row) and revise[i] < 0.5 * 2**32:
                asked = {int(vote[row[int(draws[i]) * len(row) >> 32]]) for draws in ask}
                if len(asked) == 1:
                    expected[i] = asked.pop()
                elif change[i] < 0.25 * 2**32:
                    expected[i] = 1 - vote[i]
        assert np.array_equal(after["vote"], expected)
        vote = expected


def test_sequential_events_are_those_of_the_oracle():
    size, q = 500, 2
    network, vote, turn = graph("erdos-renyi", size, mean_degree=4.0), votes(size), np.arange(size)
    rows = np.split(network.indices, network.indptr[1:-1])
    name = "q-voter"
    values: dict[str, Any] = {"revision": 1.0, "change": 0.25, "schedule": "random-sequential"}
    for step, after in enumerate(trajectory(name, network, {"vote": vote}, [1, 2], **values)):
        agent, change = drawn(name, step, "agent", turn), drawn(name, step, "change", turn)
        pick = [drawn(name, step, "pick", turn, np.full(size, k)) for k in range(q)]
        for e in range(size):
            i = int(agent[e]) * size >> 32
            if len(rows[i]):
                asked = {int(vote[rows[i][int(p[e]) * len(rows[i]) >> 32]]) for p in pick}
                vote[i] = asked.pop() if len(asked) == 1 else vote[i] ^ (change[e] < 0.25 * 2**32)
        assert np.array_equal(after["vote"], vote)


@pytest.mark.full
@pytest.mark.parametrize(
    ("schedule", "builder"), [("synchronous", "complete"), ("random-sequential", "barabasi-albert")]
)
def test_devices_change_nothing(schedule: str, builder: str):
    network = graph(builder, 601) if builder == "complete" else graph(builder, 601, ties=3)
    values: dict[str, Any] = {"schedule": schedule}
    one, four = (trajectory("q-voter", network, {"vote": votes(601)}, [6], shards=n, **values)[0] for n in (1, 4))
    assert np.array_equal(one["vote"], four["vote"])


@pytest.mark.parametrize(("q", "change", "share"), [(1, 0.0, 0.3), (2, 0.0, 0.3), (3, 0.4, 0.3), (4, 0.1, 0.6)])
def test_drift_under_complete_mixing(q: int, change: float, share: float):
    """One synchronous step of everybody: f(x) of the docstring, agents independent given the votes.

    Six standard deviations of a sum of independent votes: a false alarm in 5e8.
    """
    size = 5_000
    vote = votes(size, share)
    values: dict[str, Any] = {"lobby": float(q), "change": change, "revision": 1.0}
    after = trajectory("q-voter", graph("complete", size), {"vote": vote}, [1], **values)[0]["vote"]
    n = int(vote.sum())

    def turns(x: float) -> float:
        return x**q + change * (1 - x**q - (1 - x) ** q)

    up, down = turns(n / (size - 1)), turns((size - n) / (size - 1))
    expected = ((size - n) * up + n * (1 - down)) / size
    deviation = np.sqrt((size - n) * up * (1 - up) + n * down * (1 - down)) / size
    assert abs(after.mean() - expected) < 6 * deviation


@pytest.mark.parametrize("q", [pytest.param(1, marks=pytest.mark.full), 2, pytest.param(3, marks=pytest.mark.full)])
def test_exit_probability_on_the_complete_graph(q: int):
    """One by one, epsilon 0, 250 cliques of 20 with 8 "for": the birth-death chain's chance that all end "for".

    E(n) = sum_{m<n} R_m / sum_{m<N} R_m, R_m the product of T-(k) / T+(k) for k = 1..m; five binomial deviations (a
    false alarm in 2e6). The voter model (q = 1) leaves n / N.
    """
    size, copies, first = 20, 250, 8
    k = np.arange(1, size)
    up, down = (size - k) * (k / (size - 1)) ** q, k * ((size - k) / (size - 1)) ** q
    weights = np.concatenate([[1.0], np.cumprod(down / up)])
    expected = weights[:first].sum() / weights.sum()
    assert q > 1 or abs(expected - first / size) < 1e-12
    start = np.tile(np.arange(size) < first, copies).astype(np.uint8)
    values: dict[str, Any] = {"lobby": float(q), "revision": 1.0, "schedule": "random-sequential"}
    end = trajectory("q-voter", cliques(size, copies), {"vote": start}, [300], **values)[0]["vote"]
    share = end.reshape(copies, size).mean(1)
    assert ((share == 0) | (share == 1)).all()
    assert abs(share.mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / copies)


def test_a_lobby_is_a_whole_number():
    with pytest.raises(InputError, match="whole number"):
        QVoter.check(QVoter.Params(lobby=1.5), "test")
