"""Revision of estimates: closed forms of averaging, the law of sensitivities, and a slow oracle on the same draws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from lpm import random
from lpm.clock import Clock
from lpm.kernels.polarization.estimate_revision import LARGEST, EstimateRevision, seen_mean
from lpm.network import Network, layout
from lpm.ops.neighbours import row_width

from ..conftest import graph
from .trajectories import cliques, drawn

ROUND: dict[str, Any] = {"revision": 1.0, "rethink": 0.0}
AVERAGING: dict[str, Any] = {**ROUND, "follow": 1.0, "most": 1.0, "adopt": 0.0, "diversity": 0.0, "power": 0.0}
"""Everybody goes the same part of the way to the geometric mean."""


def given(size: int, seed: int, **columns: Any) -> dict[str, Any]:
    """Return columns of people who are shown a mean; estimates normal, openness uniform."""
    generator = np.random.default_rng(seed)
    return {
        "estimate": generator.normal(0, 2, size).astype(np.float32),
        "openness": generator.random(size, np.float32),
        "voice": np.ones(size, np.float32),
        "doubt": np.ones(size, np.float32),
        "typical": np.zeros(size, np.float32),
        "knowledge": np.zeros(size, np.float32),
        "information": np.ones(size, np.uint8),
        **columns,
    }


@jax.jit
def _step(key: random.Key, agents: Any, layer: Any, params: Any) -> Any:
    return dict(EstimateRevision.step(key, {"agents": agents}, {"contacts": layer}, params, Clock(jnp.int32(0))))


def revised(network: Network, people: dict[str, Any], rounds: list[int], **values: float) -> list[dict[str, Any]]:
    """Return the columns after each number of rounds, as a run of steps of a day with seed 1 has them."""
    size = network.size
    layer: Any = jax.tree.map(jnp.asarray, layout(network, width=row_width()))
    params = jax.tree.map(jnp.float32, EstimateRevision.Params(**values))
    agents = {"id": jnp.arange(size, dtype=jnp.uint32), "present": jnp.ones(size, bool)}
    agents |= {name: jnp.asarray(column) for name, column in people.items()}
    found: list[dict[str, Any]] = []
    for step in range(rounds[-1]):
        key = random.at_step(random.instance(random.root(1), "estimate-revision"), step)
        agents |= _step(key, agents, layer, params)
        if step + 1 in rounds:
            found.append({name: np.asarray(column) for name, column in agents.items()})
    return found


def pairs_apart(size: int, apart: float, **columns: Any) -> tuple[Network, dict[str, Any]]:
    """Return agents of estimate 0 who each see another one at this distance, and these, who see nobody."""
    low = np.arange(size)
    network = Network(2 * size, np.minimum(np.arange(2 * size + 1), size), (low + size).astype(np.int32)).check("test")
    estimate = np.repeat(np.asarray([0, apart], np.float32), size)
    return network, given(2 * size, 1, estimate=estimate, **columns)


def test_in_a_clique_estimates_converge_geometrically():
    """Mean kept; with n members the deviations shrink by 1 - w n / (n - 1) a round, here 1 - 0.4 * 5 / 4 = 0.5."""
    people = given(50, 2)
    after = revised(cliques(5, 10), people, [1, 3], weight=0.4, **AVERAGING)
    first = people["estimate"].reshape(10, 5).astype(float)
    for rounds, found in zip((1, 3), after, strict=True):
        expected = first.mean(1, keepdims=True) + 0.5**rounds * (first - first.mean(1, keepdims=True))
        assert np.abs(found["estimate"].reshape(10, 5) - expected).max() < 5e-6


@pytest.mark.parametrize(
    "power", [0.0, 0.5, pytest.param(0.02, marks=pytest.mark.full), pytest.param(1.0, marks=pytest.mark.full)]
)
def test_the_power_mean_is_that_of_float64(power: float):
    """From e^-24 to e^24 in one sum: fixed point loses at most 2^-17 of a term of voice 1, logs 1e-5."""
    generator, size = np.random.default_rng(3), 400
    network = graph("erdos-renyi", size, mean_degree=6.0)
    estimate = generator.uniform(-LARGEST, LARGEST, size).astype(np.float32)
    estimate[:2] = LARGEST, -LARGEST
    voice = generator.uniform(0.2, 1, size).astype(np.float32)
    layer: Any = layout(network, width=row_width())
    found, heard = seen_mean(layer, jnp.asarray(estimate), jnp.asarray(voice), jnp.full(size, np.float32(power)))
    for i in range(size):
        row = network.indices[network.indptr[i] : network.indptr[i + 1]]
        assert bool(heard[i]) == (len(row) > 0)
        if not len(row):
            continue
        x, v = estimate[row].astype(float), voice[row].astype(float)
        expected: Any = (
            np.average(x, weights=v) if power == 0 else float(np.asarray(logsumexp(power * x, b=v / v.sum()))) / power
        )
        assert abs(float(found[i]) - expected) < 1e-4 / max(power, 0.1), (i, float(found[i]), expected)


@pytest.mark.parametrize(("orders", "knows"), [(0.2, 0.0), (1.0, 0.0), (1.0, 0.5), (4.0, 0.0)])
def test_the_law_of_sensitivities(orders: float, knows: float):
    """Shares who keep and adopt, mean and variance of the rest; rises with distance up to the plateau.

    20,000 agents; every figure within 5 of its standard errors: a false alarm in 1 of 1e5 (16 figures).
    """
    size, law = 20_000, {"follow": 0.4, "distance": 0.3, "most": 0.9, "adopt": 0.2, "weight": 0.5, "diversity": 0.15}
    network, people = pairs_apart(size, orders * np.log(10), knowledge=np.full(2 * size, knows, np.float32))
    people["openness"] = np.random.default_rng(4).random(2 * size, np.float32)
    after = revised(network, people, [1], resistance=0.6, **ROUND, **law)[0]["estimate"]
    s = after[:size] / (orders * np.log(10))
    moves = (1 - 0.6 * knows) * min(0.4 + 0.3 * orders, 0.9)
    adopts = np.abs(s - 1) < 1e-5
    rest = s[(s != 0) & ~adopts]
    for told, expected in (((s != 0).mean(), moves), (adopts.mean(), moves * 0.2)):
        assert abs(told - expected) < 5 * np.sqrt(expected * (1 - expected) / size)
    assert abs(rest.mean() - 0.5) < 5 * 0.15 / np.sqrt(len(rest))
    assert abs(rest.var() - 0.15**2) < 5 * 0.15**2 * np.sqrt(2 / len(rest))
    assert (after[size:] == people["estimate"][size:]).all()  # they see nobody


def test_who_is_shown_nothing_only_has_second_thoughts():
    """Estimates 3: X' = X - b X + n d z by chance `rethink`; 20,000 agents, 5 standard errors: 3 of 1e6."""
    size = 20_000
    people = given(size, 5, information=np.zeros(size, np.uint8), doubt=np.full(size, 0.5, np.float32))
    people["estimate"] = np.full(size, 3, np.float32)
    thoughts = {"revision": 1.0, "rethink": 0.3, "sobering": 0.2, "restlessness": 0.4}
    network = cliques(2, size // 2)
    change = revised(network, people, [1], **thoughts)[0]["estimate"] - 3.0
    moved = change[change != 0]
    assert abs(len(moved) / size - 0.3) < 5 * np.sqrt(0.21 / size)
    assert abs(moved.mean() + 0.6) < 5 * 0.2 / np.sqrt(len(moved))
    assert abs(moved.std() - 0.2) < 5 * 0.2 / np.sqrt(2 * len(moved))


def test_voices_of_a_discussion():
    """Log voices are normal, sd 0.8, below 0 cut at 3 sd; knowledge 1 is e^0.5 as loud; 5 standard errors: 2 of 1e6."""
    size = 20_000
    known = np.repeat(np.asarray([0, 1], np.float32), size // 2)
    agents = {name: jnp.asarray(values) for name, values in given(size, 6, knowledge=known).items()}
    agents |= {"id": jnp.arange(size, dtype=jnp.uint32), "present": jnp.ones(size, bool)}
    params = EstimateRevision.Params(dominance=jnp.float32(0.8), authority=jnp.float32(0.5))
    begun = EstimateRevision.init(random.root(1), {"agents": agents}, params, None)
    voice = np.log(np.asarray(begun["voice"], float))
    quiet, knowing = voice[: size // 2], voice[size // 2 :]
    assert voice.max() <= 0
    for told, expected in ((np.median(quiet), -2.4 - 0.5), (np.median(knowing), -2.4)):
        assert abs(told - expected) < 5 * 0.8 * np.sqrt(np.pi / size)
    assert abs(np.percentile(quiet, 75) - np.percentile(quiet, 25) - 2 * 0.6745 * 0.8) < 5 * 0.8 * 2 / np.sqrt(size)


def test_openness_is_kept_by_habit():
    size = 20_000
    people = given(size, 6)
    found = revised(cliques(2, size // 2), people, [1], revision=1.0, habit=0.7)[0]
    same = (found["openness"] == people["openness"]).mean()
    assert abs(same - 0.7) < 5 * np.sqrt(0.21 / size)  # a false alarm in 2e6


def test_two_rounds_are_those_of_a_slow_oracle():
    """All rules at once, agent by agent in float64 on the same draws; float32 keeps 2e-4 over two rounds."""
    size = 300
    values: dict[str, Any] = {
        "revision": 0.8, "follow": 0.4, "distance": 0.2, "most": 0.9, "adopt": 0.15, "weight": 0.6, "diversity": 0.3,
        "power": 0.4, "resistance": 0.5, "rethink": 0.4, "restlessness": 0.2, "sobering": 0.1, "habit": 0.6,
    }  # fmt: skip
    generator, network = np.random.default_rng(7), graph("erdos-renyi", size, mean_degree=4.0)
    people = given(
        size, 8, voice=generator.uniform(0.1, 1, size).astype(np.float32),
        knowledge=generator.random(size, np.float32), typical=generator.normal(0, 1, size).astype(np.float32),
        doubt=generator.uniform(0.2, 1, size).astype(np.float32),
        information=generator.integers(0, 4, size).astype(np.uint8),
    )  # fmt: skip
    found = revised(network, people, [2], **values)[0]
    x, u = people["estimate"].astype(float), people["openness"].astype(float)
    for step in range(2):
        x, u = _round(network, people, x, u, step, values)
    assert np.abs(found["openness"] - u).max() < 1e-7
    assert np.abs(found["estimate"] - x).max() < 2e-4


def _round(network: Network, people: dict[str, Any], x: Any, u: Any, step: int, p: dict[str, Any]) -> tuple[Any, Any]:
    """Return the estimates and the openness after one round."""

    def share(name: str) -> Any:
        return drawn("estimate-revision", step, name, np.arange(len(x)), np.zeros(len(x), int)) / 2.0**32

    def upper(name: str) -> Any:
        return np.floor(share(name) * 2**24)

    revises, unsure, keeps = share("revision") < p["revision"], share("rethink") < p["rethink"], share("habit")
    z, fresh = norm.ppf((upper("thought") + 0.5) / 2**24), upper("openness") / 2**24
    after, opened = x.copy(), u.copy()
    for i in np.flatnonzero(revises):
        row, move = network.indices[network.indptr[i] : network.indptr[i + 1]], 0.0
        if len(row) and people["information"][i]:
            v = people["voice"][row].astype(float)
            apart = logsumexp(p["power"] * x[row], b=v / v.sum()) / p["power"] - x[i]
            chance = min(p["follow"] + p["distance"] * abs(apart) / np.log(10), p["most"])
            rank = u[i] / (chance * (1 - p["resistance"] * people["knowledge"][i]))
            if rank < p["adopt"]:
                move = apart
            elif rank < 1:
                z_own = norm.ppf((rank - p["adopt"]) / (1 - p["adopt"]))
                move = np.clip(p["weight"] - p["diversity"] * z_own, -1, 2) * apart
        if unsure[i]:
            move += p["sobering"] * (people["typical"][i] - x[i]) + p["restlessness"] * people["doubt"][i] * z[i]
        after[i] = x[i] + move
        if keeps[i] >= p["habit"]:
            opened[i] = fresh[i]
    return after, opened
