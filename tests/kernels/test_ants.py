"""Kirman's ants: meeting by meeting against the scalar draws, and the beta-binomial law of the colony."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lpm import random
from lpm.errors import InputError
from lpm.kernel import find

from .herds import Values, begin, go, herd, host, key_of, members, put


def slow(source: Values, present: Values, seed: int, steps: int, meetings: int, epsilon: float, delta: float) -> Values:
    """Return the sources by the rule, one meeting after the other."""
    source, ants = source.copy(), np.flatnonzero(present)
    alone = int(np.float32(epsilon) * np.float64(2**32))
    either = int(min(np.float32(epsilon) + (np.float32(1) - np.float32(delta)), 1.0) * np.float64(2**32))
    for step in range(steps):
        keys = [key_of(seed, "ants", step, name) for name in ("who", "met", "event")]
        for number in range(meetings):
            drawn = [random.scalar_bits(key, (number,)) for key in keys]
            first = drawn[0] * len(ants) >> 32
            second = drawn[1] * (len(ants) - 1) >> 32
            second += second >= first
            if drawn[2] < alone:
                source[ants[first]] = 1 - source[ants[first]]
            elif drawn[2] < either:
                source[ants[first]] = source[ants[second]]
    return source


@pytest.mark.parametrize(
    ("meetings", "steps", "shards"), [(1, 60, 1), (700, 3, 1), pytest.param(333, 2, 4, marks=pytest.mark.full)]
)
def test_every_meeting_is_that_of_the_slow_rule(meetings: int, steps: int, shards: int):
    """To the bit, some ants absent, one or many meetings a step, on one device and on four."""
    size, generator = 101, np.random.default_rng(3)
    source, present = generator.integers(0, 2, size).astype(np.uint8), generator.random(size) < 0.8
    small = herd("ants", size, 60, shards, present=present)
    batch = members(small, [9], epsilon=0.1, delta=0.25, meetings=meetings)
    padded = np.pad(source, (0, -size % shards))
    found = host(go(small, batch, put(begin(small, batch), source=padded), 0, steps))["source"][0, :size]
    assert np.array_equal(found, slow(source, present, 9, steps, meetings, 0.1, 0.25))


def stationary(size: int, strength: float, delta: float, seeds: int, samples: int) -> float:
    """Return the chi-square p value of the ants at the second source against the beta-binomial law.

    The mean k relaxes at the rate 2 epsilon / N a meeting: eight times that lie between two looks.
    """
    epsilon = strength * (1 - delta) / (size - 1)
    apart = int(8 * size / (2 * epsilon))
    small = herd("ants", size, samples)
    batch = members(small, range(seeds), epsilon=epsilon, delta=delta, meetings=apart)
    state, seen = begin(small, batch), list[Values]()
    for step in range(samples):
        state = go(small, batch, state, step, 1)
        seen.append(host(state)["source"].sum(1, dtype=int))
    law = stats.betabinom(size, strength, strength)
    cuts = np.unique(law.ppf(np.linspace(0, 1, 12)[1:-1]))
    cuts = cuts[cuts < size]
    chance = np.diff([0.0, *law.cdf(cuts), 1.0])
    counts = np.bincount(np.searchsorted(cuts, np.concatenate(seen)), minlength=len(chance))
    return float(stats.chisquare(counts, chance * counts.sum()).pvalue)


@pytest.mark.parametrize(
    "strength", [pytest.param(0.5, marks=pytest.mark.full), 1.0, pytest.param(3.0, marks=pytest.mark.full)]
)
def test_a_colony_has_the_beta_law(strength: float):
    """20 ants: two humps, flat, one hump. False alarm for 1e-4 of the seeds."""
    assert stationary(20, strength, 0.2, 80, 6) > 1e-4


@pytest.mark.full
@pytest.mark.parametrize("strength", [0.4, 2.0])
def test_a_colony_of_a_hundred_has_the_beta_law(strength: float):
    """Kirman's size, epsilon of the order of 1/N. False alarm for 1e-4 of the seeds."""
    assert stationary(100, strength, 0.05, 100, 8) > 1e-4


def test_chances_that_are_too_large_are_refused():
    kernel = find("ants", "test")
    kernel.check(kernel.Params(epsilon=0.3, delta=0.3), "test")
    with pytest.raises(InputError, match="epsilon"):
        kernel.check(kernel.Params(epsilon=0.3, delta=0.2), "test")
