"""Signed persuasion: the published table of three arms, an oracle on given traits, one contact in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm import random
from lpm.kernels.polarization.persuasion import Persuasion
from lpm.network import Network

from ..benchmarks.fit_persuasion import FITTED, TABLE, arms, distances, outcomes
from ..conftest import graph
from .trajectories import trajectory

SIZE = 500


def begin(size: int, seed: int = 1) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    given = {
        "opinion": generator.uniform(-1, 1, size),
        "susceptibility": generator.choice([0.0, 0.3, 1.0], size),
        "reinforcement": generator.normal(0.1, 0.2, size),
        "voice": generator.choice([0.0, 1.0, 2.5], size),
    }
    given["opinion"][: size // 20] = 0.0  # some take no side
    return {name: values.astype(np.float32) for name, values in given.items()}


def oracle(network: Network, given: dict[str, Any], kappa: float, crowd: float, dt: float) -> Any:
    """Return the opinions after a step, agent by agent."""
    after = given["opinion"].astype(np.float64).copy()
    for i in range(network.size):
        heard = {1: 0.0, -1: 0.0}
        for j in network.indices[network.indptr[i] : network.indptr[i + 1]]:
            if given["opinion"][j] != 0:
                heard[1 if given["opinion"][j] > 0 else -1] += float(given["voice"][j])
        volume = heard[1] + heard[-1]
        if not volume:
            continue
        attention = volume * (1 + crowd) / (volume + crowd)
        own = np.sign(float(given["opinion"][i]))
        for side in (1, -1):
            strength = float(given["reinforcement"][i]) if side == own else kappa
            move = side * strength * attention * heard[side] / volume
            after[i] += float(given["susceptibility"][i]) * move * dt
    return np.clip(after, -1, 1)


@pytest.mark.full
def test_every_published_arm_is_near_with_one_set_of_parameters():
    """Piao et al., 2025: total variation distance at most 0.10 an arm, three arms, the kernel's defaults.

    Aim 0.05; found 0.03. Fixed seeds, other people and friends than in the fit. With 20,000 agents a distance has a
    standard deviation below 0.0035: at a true 0.03 it passes 0.05 with a chance below 1e-8, 0.10 with none to speak of.
    """
    key = random.root(2)
    defaults = [getattr(Persuasion.Params(), name) for name in FITTED]
    found = np.asarray(outcomes(arms(20_000, 2, key), defaults, key))
    assert np.abs(found.sum(1) - 1).max() < 1e-5 and len(found) == len(TABLE) == 3
    assert (distances(found) <= 0.10).all() and distances(found).max() <= 0.05


@pytest.mark.parametrize("dt", [pytest.param(1.0, marks=pytest.mark.full), 0.25])
def test_a_step_is_that_of_the_oracle(dt: float):
    network, given = graph("erdos-renyi", SIZE, mean_degree=5.0), begin(SIZE)
    after = trajectory("persuasion", network, given, [1], dt=dt, persuasion=0.3, crowd=4.0)[0]
    assert np.abs(after["opinion"] - oracle(network, given, 0.3, 4.0, dt)).max() < 2e-6
    assert np.array_equal(after["reinforcement"], given["reinforcement"])


@pytest.mark.full
def test_devices_change_nothing():
    network, given = graph("erdos-renyi", SIZE, mean_degree=5.0), begin(SIZE)
    one, four = (trajectory("persuasion", network, given, [8], shards=shards)[0] for shards in (1, 4))
    assert np.array_equal(one["opinion"], four["opinion"])


def test_one_contact_in_closed_form():
    """A lone contact counts for 1 whatever c: +rho a day from the own side, -kappa from the other, until it crosses."""
    chain = Network(3, np.array([0, 1, 1, 2]), np.array([1, 1], np.int32))  # both ends hear the middle
    given = {
        "opinion": np.array([0.5, 1.0, -0.5], np.float32),
        "susceptibility": np.array([1, 0, 1], np.float32),
        "reinforcement": np.array([0.05, 0, 0.02], np.float32),
        "voice": np.ones(3, np.float32),
    }
    for days, after in zip(
        (1, 3, 6), trajectory("persuasion", chain, given, [1, 3, 6], persuasion=0.2, crowd=7.0), strict=True
    ):
        turned = max(0, days - 3)  # -0.5 + 3 * 0.2 is across
        expected = [0.5 + 0.05 * days, 1.0, -0.5 + 0.2 * min(days, 3) + 0.02 * turned]
        assert np.abs(after["opinion"] - expected).max() < 1e-6


def test_the_start_is_that_of_its_draws():
    voice = {"voice": np.ones(SIZE, np.float32)}
    made = trajectory("persuasion", graph("erdos-renyi", SIZE, mean_degree=5.0), voice, [1],
                      persuasion=0.0, reinforcement=0.0, diversity=0.0, stubborn=0.3, yielding=0.25)[0]  # fmt: skip
    assert set(np.round(made["opinion"], 6)) == {np.float32(-0.4), np.float32(0.4)}
    assert set(made["susceptibility"].tolist()) == {0.25, 1.0}
    # 4.5 standard deviations: a false alarm in 1e5
    assert abs((made["susceptibility"] < 1).mean() - 0.3) < 4.5 * np.sqrt(0.21 / SIZE)
