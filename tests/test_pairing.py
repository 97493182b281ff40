"""Common random numbers: how far pairing the seeds narrows the error of a small effect."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from lpm.policy import Arm, Effect, Intervention

from .conftest import SIR_METRICS, Small, graph

LESS = Intervention("less transmission", (Effect("scale", "sir.beta", 0.9),), start=20)


def ratio(agents: int, seeds: int, steps: int = 60) -> tuple[float, float]:
    """Return the standard error of the paired effect over the unpaired one, for the total of infections; and the effect.

    SIR on an Erdős–Rényi network of mean degree 10, 1 % infected at first, transmission -10 % from day 20.
    """
    network = graph("erdos-renyi", agents, mean_degree=10.0)
    made = Small("sir", network, agents, SIR_METRICS, (Arm("base"), Arm("less", (LESS,))), steps=steps)
    totals = np.zeros((2, seeds))
    for arm in (0, 1):
        for first in range(0, seeds, 20):
            members = [made.member(seed, arm, beta=0.018, gamma=0.1) for seed in range(first, min(first + 20, seeds))]
            batch: Any = jax.tree.map(lambda *leaves: np.concatenate(leaves), *members)
            for i, sums in enumerate(made.run(batch)[1]):
                names, values = made.recorder.roll_up(sums)
                totals[arm, first + i] = values["infections"][:, names.index("all")].sum()
    paired = np.std(totals[1] - totals[0], ddof=1)
    unpaired = np.sqrt(totals.var(1, ddof=1).sum())
    return float(paired / unpaired), float((totals[1] - totals[0]).mean())


def test_pairing_narrows_the_error_of_a_small_effect():
    """60 seeds of 4,000 agents: the ratio's own standard error is about 0.06; 0.85 lies 3 of them above what is found."""
    found, effect = ratio(4_000, 60)
    assert effect < 0
    assert found < 0.85


@pytest.mark.full
def test_the_paired_error_is_at_most_three_fifths_of_the_unpaired():
    """200 seeds of 100,000 agents; the ratio's own standard error is about 0.03."""
    found, effect = ratio(100_000, 200)
    print(f"paired over unpaired error {found:.3f}, effect {effect:.0f} people")
    assert effect < 0
    assert found <= 0.6
