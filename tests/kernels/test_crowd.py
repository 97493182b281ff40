"""The threshold crowd: Granovetter's two hundred people, his normal crowds, and the recursion r(t+1) = F(r(t))."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from .herds import Values, begin, go, herd, host, members


def crowds(threshold: Values, steps: int, shards: int = 1, **columns: Any) -> list[Values]:
    """Return who takes part after 0, 1, ... steps."""
    small = herd("crowd", len(threshold), steps, shards, threshold=threshold, **columns)
    batch = members(small, [1], thresholds="given")
    state, seen = begin(small, batch), list[Values]()
    for step in range(steps):
        state = go(small, batch, state, step, 1)
        seen.append(host(state)["crowd"][0, : len(threshold)] > 0)
    return seen


def test_one_changed_threshold_among_a_hundred():
    """Thresholds 0, 1, ..., 99 of 100 people: all join, one a step. The person of 1 has 2 instead: one person."""
    threshold = np.arange(100) / 100
    assert [crowd.sum() for crowd in crowds(threshold, 102)] == [*range(1, 101), 100, 100]
    threshold[1] = 0.02
    assert [crowd.sum() for crowd in crowds(threshold, 102)] == [1] * 102


@pytest.mark.parametrize("shards", [1, 4])
def test_crowd_is_that_of_slow_counting(shards: int):
    """People of different weights, some absent, some in at the start: exact counts in Python integers."""
    size, generator = 500, np.random.default_rng(5)
    threshold = np.round(generator.beta(2, 3, size), 2).astype(np.float32)
    weight, present = generator.integers(1, 2**31, size), generator.random(size) < 0.8
    found = crowds(threshold, 12, shards, weight=weight, present=present)
    inside = np.zeros(size, bool)
    for crowd in found:
        people = sum(int(w) for w, i, p in zip(weight, inside, present, strict=True) if i and p)
        share = np.float32(people / sum(int(w) for w, p in zip(weight, present, strict=True) if p))
        inside = np.where(present, share >= threshold, inside)
        assert np.array_equal(crowd, inside)


@pytest.mark.parametrize("deviation", [0.10, *(pytest.param(each, marks=pytest.mark.full) for each in (0.115, 0.13))])
def test_normal_crowds_end_at_the_fixed_point(deviation: float):
    """Granovetter's example, mean 25 %: below a deviation of about 12.2 % a few join, above it nearly everybody.

    The mean over 16 crowds of 3,000 against the first root of r = Phi((r - 0.25) / sd). The share at the root has the
    standard error sqrt(r (1 - r) / N) / (1 - F'(r)); five of them: a false alarm for fewer than 1e-6 of the seeds.
    """
    size, seeds = 3_000, 16
    small = herd("crowd", size, 200)
    batch = members(small, range(seeds), deviation=deviation)
    found = (host(go(small, batch, begin(small, batch), 0, 200))["crowd"] > 0).mean(1)
    root = 0.0
    for _ in range(20_000):
        root = float(stats.norm.cdf((root - 0.25) / deviation))
    slope = float(stats.norm.pdf((root - 0.25) / deviation)) / deviation
    error = np.sqrt(root * (1 - root) / size / seeds) / (1 - slope)
    assert slope < 1 and abs(found.mean() - root) < 5 * error + 2 / size
    assert (root < 0.1) == (deviation < 0.122)
