"""Repulsion: the three published end states, an oracle on shared draws, growth of a distance in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernels.polarization.repulsion import Repulsion
from lpm.network import Network
from lpm.random import scalar_bits

from ..conftest import graph
from .trajectories import drawn, key_of, tie_priority, trajectory, words_of


def begin(size: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)


def test_steps_under_complete_mixing_are_those_of_the_oracle():
    size, u, t, mu = 601, 0.5, 1.0, 0.2
    opinion, ids = begin(size), np.arange(size)
    values: dict[str, Any] = {"acceptance": u, "rejection": t, "mu": mu, "meetings": 0.5}
    for step, after in enumerate(
        trajectory("repulsion", graph("complete", size), {"opinion": opinion}, [1, 2], **values)
    ):
        order = np.lexsort((ids, drawn("repulsion", step, "meet", ids, 0)))
        talk, expected = words_of(key_of("repulsion", step, "talk")), opinion.copy()
        for i, j in order[: size - 1].reshape(-1, 2).tolist():
            gap = float(opinion[j] - opinion[i])
            if scalar_bits(talk, (min(i, j), max(i, j))) < 2**31:
                pull = mu if abs(gap) < u else -mu if abs(gap) > t else 0
                expected[i] = np.clip(opinion[i] + pull * gap, -1, 1)
                expected[j] = np.clip(opinion[j] - pull * gap, -1, 1)
        assert np.abs(after["opinion"] - expected).max() < 3e-7
        opinion = after["opinion"]


@pytest.mark.full
def test_steps_of_a_matching_on_ties_are_those_of_the_oracle():
    """Tie by tie in order of priority, three rounds; opinions within the roundings of fused operations."""
    size, u, t, mu = 400, 0.5, 1.0, 0.2
    network, opinion = graph("erdos-renyi", size, mean_degree=5.0), begin(size)
    rows = np.split(network.indices, network.indptr[1:-1])
    values: dict[str, Any] = {"acceptance": u, "rejection": t, "mu": mu, "meetings": 0.5}
    for step, after in enumerate(trajectory("repulsion", network, {"opinion": opinion}, [1, 2], **values)):
        meet, talk = (words_of(key_of("repulsion", step, name)) for name in ("meet", "talk"))
        free, expected, met = set(range(size)), opinion.copy(), np.zeros(size, bool)
        for _ in range(3):
            open_ = {i: free & set(rows[i].tolist()) for i in free}
            wish = {i: min((tie_priority(meet, i, j), j) for j in near)[1] for i, near in open_.items() if near}
            for i, j in wish.items():
                if i > j or wish.get(j) != i:
                    continue
                free -= {i, j}
                met[[i, j]] = True
                gap = float(opinion[j] - opinion[i])
                if scalar_bits(talk, (i, j)) < 2**31:
                    pull = mu if abs(gap) < u else -mu if abs(gap) > t else 0
                    expected[i], expected[j] = np.clip([opinion[i] + pull * gap, opinion[j] - pull * gap], -1, 1)
        assert np.array_equal(after["met"] == 1, met)
        assert np.abs(after["opinion"] - expected).max() < 3e-7
        opinion = after["opinion"]


def test_two_who_repel_move_apart_by_the_closed_form():
    """A single tie, distance d > t: it grows by the factor 1 + 2 mu a meeting until the extremes are reached."""
    pair = Network(2, np.array([0, 1, 2]), np.array([1, 0], np.int32))
    start = np.array([-0.1, 0.1], np.float32)
    runs = trajectory("repulsion", pair, {"opinion": start}, [1, 5, 40], acceptance=0.05, rejection=0.15, mu=0.1,
                      meetings=1.0)  # fmt: skip
    for run, steps in zip(runs, (1, 5, 40), strict=True):
        expected = min(0.1 * 1.2**steps, 1.0)
        assert np.abs(run["opinion"] - [-expected, expected]).max() < 1e-6
        assert run["met"].all()


@pytest.mark.parametrize("schedule", ["random-sequential", pytest.param("random pairs", marks=pytest.mark.full)])
@pytest.mark.parametrize(("u", "t", "state"), [(1.2, 1.9, "uniform"), (0.2, 0.6, "two camps"), (0.2, 2.0, "plural")])
def test_published_end_states(u: float, t: float, state: str, schedule: str):
    """Jager & Amblard, 2005: uniformity, bipolarisation at the extremes, plurality, one pair at a time.

    u, t and mu are points well inside the three regions, not the paper's own. Fixed seeds, 1,000 agents: 30 of 30
    starts, at mu 0.1 and 0.25, ended in these states; many groups were 3 to 5.
    """
    values: dict[str, Any] = {"acceptance": u, "rejection": t, "mu": 0.25, "meetings": 1.0, "schedule": schedule}
    network = graph("complete", 1_000)
    for seed in (2, 101, 102):
        ended(trajectory("repulsion", network, {"opinion": begin(1_000, seed)}, [1_500], **values)[0]["opinion"], state)


def ended(end: Any, state: str) -> None:
    """Fail where the opinions are not in that state."""
    ordered = np.sort(end)
    large = [p for p in np.split(ordered, np.flatnonzero(np.diff(ordered) > 0.1) + 1) if len(p) > 10]
    extreme = (np.abs(end) > 0.99).mean()
    if state == "uniform":
        assert len(large) == 1 and extreme < 0.05
    elif state == "two camps":
        assert len(large) == 2 and extreme > 0.95
    else:
        assert len(large) >= 3 and extreme < 0.05


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(InputError, match="at least acceptance"):
        Repulsion.check(Repulsion.Params(acceptance=1.0, rejection=0.5), "test")
