"""Framed feed: FrameRef's closed form, the growing gap between personas, and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.metrics import Metric
from lpm.network import Network

from ..conftest import Small
from .spreading import after, below, draws

NAME = "framed-feed"
METRICS = (Metric("shown", "stock", "claim", (1,)),)
Values = np.ndarray[Any, Any]


def alone(size: int) -> Network:
    return Network(size, np.zeros(size + 1, np.int64), np.zeros(0, np.int32))


@pytest.fixture(scope="module")
def small() -> Small:
    return Small(NAME, alone(100_000), 100_000, METRICS, steps=100)


AFTER = (5, 10, 20, 40, 100)
"""Numbers of claims after which integrity is looked at."""


def curves(small: Small, b: float, s: float) -> tuple[Values, dict[int, float]]:
    """Return the share shown false at every claim, and the mean integrity after some numbers of claims."""
    member = small.member(1, false=0.5, believe_false=b, believe_true=s)
    health = {count: float(after(small, member, count)["integrity"].mean()) for count in AFTER}
    return small.curves(member)["shown"] / 100_000, health


@pytest.mark.parametrize(("b", "told"), [(0.5693, 0.6990), pytest.param(0.6217, 0.7255, marks=pytest.mark.full)])
def test_the_closed_form(small: Small, b: float, told: float):
    """1e5 trajectories: the share shown false after the first 20 claims is x to 0.002, as FrameRef's figures have it.

    Claims k apart are correlated by (b / 2)^k, so the mean over 80 steps has a standard error of 0.00025: eight of them
    are allowed. The mean change of H is E r to 0.002 (standard error at most 0.0006).
    """
    s = 0.6465
    share, health = curves(small, b, s)
    x = 0.5 / (1 - b * 0.5)
    assert abs(x - told) < 1e-4
    assert abs(share[20:].mean() - x) < 0.002
    assert abs((health[100] - health[20]) / 80 - (x * (1 - 2 * b) + (1 - x) * (2 * s - 1))) < 0.002
    shares = [0.5]
    for _ in range(10):  # the way there: x(t + 1) = pi + (1 - pi) b x(t), within five standard deviations
        shares.append(0.5 + 0.5 * b * shares[-1])
    assert np.abs(share[:11] - shares).max() < 5 * 0.5 / np.sqrt(100_000)


def test_the_gap_between_personas_grows(small: Small):
    """The persona that accepts 5.2 points more false claims is shown 2.65 points more of them and falls back steadily.

    After t claims it lies behind by the difference of E r times t, within 3 % after 10 claims, and ever further. Two
    runs of the same seed share their draws, so that chance moves the gap by less than 1 %.
    """
    base, framed = curves(small, 0.5693, 0.6465), curves(small, 0.6217, 0.6465)

    def reward(b: float) -> float:
        x = 0.5 / (1 - b * 0.5)
        return x * (1 - 2 * b) + (1 - x) * (2 * 0.6465 - 1)

    gap = [base[1][count] - framed[1][count] for count in AFTER]
    assert all(later > earlier > 0 for earlier, later in zip(gap, gap[1:], strict=False))
    slope = (gap[-1] - gap[1]) / 90
    assert abs(slope / (reward(0.5693) - reward(0.6217)) - 1) < 0.03
    assert abs((framed[0] - base[0])[20:].mean() - 0.0265) < 0.002


def test_bit_for_bit_as_the_oracle():
    size, steps, b, s, false = 300, 12, 0.7, 0.4, 0.3
    small = Small(NAME, alone(size), size, (), steps=steps)
    found = after(small, small.member(6, false=false, believe_false=b, believe_true=s))
    captured, integrity, claim = np.zeros(size, bool), np.zeros(size, int), np.zeros(size, bool)
    for step in range(steps):
        shown, judged = (draws(6, NAME, step, purpose, size) for purpose in ("claim", "judgement"))
        for i in range(size):
            claim[i] = captured[i] or bool(below(shown[i], false))
            accepts = bool(below(judged[i], b if claim[i] else s))
            integrity[i] += 1 if accepts != claim[i] else -1
            captured[i] = claim[i] and accepts
    assert np.array_equal(found["claim"][0], claim) and np.array_equal(found["captured"][0], captured)
    assert np.array_equal(found["integrity"][0], integrity)
