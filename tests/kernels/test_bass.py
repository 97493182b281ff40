"""Bass adoption: the curve of 1969 under complete mixing, its order in dt, and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.metrics import Metric
from lpm.network import Network

from ..conftest import Small, graph
from .spreading import after, below, draws, near, stack

P, Q = 0.03, 0.38
METRICS = (Metric("adopters", "stock", "adopted", (1,)),)
Values = np.ndarray[Any, Any]


def curve(t: Values) -> Values:
    """Return F(t) = (1 - e^(-(p + q) t)) / (1 + q / p e^(-(p + q) t))."""
    return (1 - np.exp(-(P + Q) * t)) / (1 + Q / P * np.exp(-(P + Q) * t))


def discrete(dt: float, steps: int) -> Values:
    """Return the share of adopters after 1, 2, .. steps of infinitely many agents."""
    share, seen = 0.0, list[float]()
    for _ in range(steps):
        share += (1 - share) * -np.expm1(-(P + Q * share) * dt)
        seen.append(share)
    return np.array(seen)


@pytest.mark.parametrize(
    "dt", [pytest.param(1.0, marks=pytest.mark.full), pytest.param(0.5, marks=pytest.mark.full), 0.25]
)
def test_the_curve_under_complete_mixing(dt: float):
    """20,000 agents follow the curve of the discrete model, whose distance from Bass' halves with dt.

    At days 2, 4, .. 20: five standard errors over 16 seeds (15 degrees of freedom: a false alarm in 1 of 6,000 a point,
    1 of 600 choices of the seeds) and 0.001 for terms of the order of 1/N. The distance from Bass' curve is at most
    0.12 dt at any time (the discrete model's own, computed here), and at its peak, t* = ln(q / p) / (p + q), where
    F = 1/2 - p / (2 q), too.
    """
    size, steps = 20_000, round(20 / dt)
    small = Small("bass", graph("complete", size), size, METRICS, steps=steps, dt=dt)
    members = stack([small.member(seed, p=P, q=Q) for seed in range(16)])
    _, sums = small.run(members)
    share = np.stack([small.recorder.roll_up(each)[1]["adopters"][:, 0] for each in sums]) / size
    expected, days = discrete(dt, steps), dt * np.arange(1, steps + 1)
    for day in range(2, 21, 2):
        k = round(day / dt) - 1
        assert near(share[:, k], expected[k], 0.001)
    gap = np.abs(expected - curve(days)).max()
    assert gap <= 0.12 * dt
    finer = np.abs(discrete(dt / 2, 2 * steps) - curve(dt / 2 * np.arange(1, 2 * steps + 1))).max()
    assert 1.8 < gap / finer < 2.2
    peak = np.log(Q / P) / (P + Q)
    assert np.isclose(curve(np.array(peak)), 0.5 - P / (2 * Q))
    assert abs(np.interp(peak, days, share.mean(0)) - (0.5 - P / (2 * Q))) < 0.12 * dt + 0.01


SIZE = 400


def oracle(network: Network, seed: int, steps: int, dt: float) -> Values:
    adopted = np.zeros(network.size, np.uint8)
    p, q = float(np.float32(P)), float(np.float32(Q))
    for step in range(steps):
        drawn, after = draws(seed, "bass", step, "adoption", network.size), adopted.copy()
        for i in range(network.size):
            row = network.indices[network.indptr[i] : network.indptr[i + 1]]
            share = adopted[row].mean() if len(row) else 0.0
            if not adopted[i]:
                after[i] = int(below(drawn[i], 1 - np.exp(-(p + q * share) * dt)))
        adopted = after
    return adopted


def test_bit_for_bit_as_the_oracle():
    """Exact; hazards are rounded to 2^-24, so one of 1,000 choices of the seed would differ by chance."""
    network = graph("erdos-renyi", SIZE, mean_degree=3.0)
    small = Small("bass", network, SIZE, METRICS, steps=12, dt=0.5)
    for count in (1, 5, 12):
        found = after(small, small.member(5, p=P, q=Q), count)["adopted"][0]
        assert np.array_equal(found, oracle(network, 5, count, 0.5))
    assert (network.degrees() == 0).any()  # they adopt by themselves only
