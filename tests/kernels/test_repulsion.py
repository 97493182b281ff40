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
from .trajectories import drawn, key_of, trajectory, words_of


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


@pytest.mark.parametrize(("u", "t", "state"), [(1.2, 1.9, "uniform"), (0.2, 0.6, "two camps"), (0.2, 2.0, "plural")])
def test_published_end_states(u: float, t: float, state: str):
    """Jager & Amblard, 2005: uniformity, bipolarisation at the extremes, plurality. Fixed seed, 1,000 agents."""
    values: dict[str, Any] = {"acceptance": u, "rejection": t, "mu": 0.25, "meetings": 1.0}
    end = trajectory("repulsion", graph("complete", 1_000), {"opinion": begin(1_000, 2)}, [600], **values)[0]["opinion"]
    ordered = np.sort(end)
    large = [p for p in np.split(ordered, np.flatnonzero(np.diff(ordered) > 0.1) + 1) if len(p) > 10]
    extreme = (np.abs(end) > 0.99).mean()
    if state == "uniform":
        assert len(large) == 1 and extreme < 0.05
    elif state == "two camps":
        assert len(large) == 2 and extreme > 0.95
    else:
        assert len(large) >= 4 and extreme < 0.05


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(InputError, match="at least acceptance"):
        Repulsion.check(Repulsion.Params(acceptance=1.0, rejection=0.5), "test")
