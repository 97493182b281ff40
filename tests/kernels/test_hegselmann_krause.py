"""Hegselmann-Krause: the direct computation in numpy, published numbers of clusters, fixed points."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lpm.network import Network
from lpm.ops.fixed import Fixed
from lpm.ops.loops.program import text_of, written

from ..conftest import graph
from .trajectories import trajectory

FloatArray = np.ndarray[Any, Any]


def begin(size: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)


def ran(network: Network, opinion: FloatArray, steps: int, shards: int = 1, **values: Any) -> FloatArray:
    """Return the opinions after some steps from given ones."""
    given = {"opinion": opinion}
    return trajectory("hegselmann-krause", network, given, [steps], shards=shards, **values)[0]["opinion"]


def oracle(rows: list[Any], opinion: FloatArray, epsilon: float) -> FloatArray:
    """One published step in float64, agent by agent, on opinions rounded to 2^-24."""
    x = np.round(opinion.astype(np.float64) * 2**24)
    reach, result = np.round(np.float32(epsilon) * 2**24), np.empty(len(x))
    for i, row in enumerate(rows):
        heard = [x[i]] + [x[j] for j in row if abs(x[j] - x[i]) <= reach]
        result[i] = sum(heard) / len(heard)
    return result / 2**24


def clusters(opinion: FloatArray, epsilon: float) -> list[int]:
    """Return the sizes of the groups that gaps above epsilon separate."""
    ordered = np.sort(opinion)
    cuts = np.flatnonzero(np.diff(ordered) > epsilon) + 1
    return [len(part) for part in np.split(ordered, cuts)]


@pytest.mark.parametrize("epsilon", [0.0, 0.13, 0.4, 2.0])
@pytest.mark.parametrize("builder", ["erdos-renyi", "barabasi-albert"])
def test_one_step_is_the_direct_computation(builder: str, epsilon: float):
    """Hubs of hundreds included; two float32 roundings are allowed."""
    network = graph(builder, 3_000, mean_degree=8.0) if builder == "erdos-renyi" else graph(builder, 3_000, ties=4)
    opinion = begin(3_000)
    rows = np.split(network.indices, network.indptr[1:-1])
    assert builder == "erdos-renyi" or max(map(len, rows)) > 130  # an int32 sum of 2^24 each would overflow
    found = ran(network, opinion, 1, epsilon=epsilon, weight=1.0)
    assert np.abs(found - oracle(rows, opinion, epsilon)).max() < 3e-7


def test_complete_mixing_is_the_rule_on_the_complete_graph():
    size = 400
    opinion = begin(size, 2)
    everyone = [[j for j in range(size) if j != i] for i in range(size)]
    found = ran(graph("complete", size), opinion, 1, epsilon=0.3, weight=1.0)
    assert np.abs(found - oracle(everyone, opinion, 0.3)).max() < 3e-7


@pytest.mark.full
@pytest.mark.parametrize("builder", ["complete", "barabasi-albert"])
def test_devices_change_nothing(builder: str):
    network = graph(builder, 1_001) if builder == "complete" else graph(builder, 1_001, ties=3)
    one, four = (ran(network, begin(1_001), 8, shards, epsilon=0.3) for shards in (1, 4))
    assert np.array_equal(one, four)


def test_everybody_hears_everybody_in_one_step():
    """Epsilon 2: the next opinion is the mean of all, whatever the start."""
    opinion = begin(500, 3)
    found = ran(graph("complete", 500), opinion, 1, epsilon=2.0, weight=1.0)
    assert np.abs(found - opinion.astype(np.float64).mean()).max() < 2e-7


@pytest.mark.parametrize(("epsilon", "least", "most"), [(0.5, 1, 1), (0.3, 2, 3), (0.02, 33, 43)])
def test_published_clusters_under_complete_mixing(epsilon: float, least: int, most: int):
    """Hegselmann & Krause, 2002 (their 0.25, 0.15, 0.01 and 625 agents): consensus, polarisation, plurality.

    No draws but the start: 400 starts of an independent program gave 1 (397 times); 2 or, where a middle camp outlasts,
    3 (399 times); 33 to 43 (399 times), 37.7 on average with a standard deviation of 1.9.
    The end is a fixed point, clusters are more than epsilon apart.
    """
    given: dict[str, Any] = {"epsilon": epsilon, "weight": 1.0}
    runs = trajectory("hegselmann-krause", graph("complete", 625), {"opinion": begin(625, 4)}, [80, 81], **given)
    end, later = (run["opinion"] for run in runs)
    assert least <= len(clusters(end, epsilon)) <= most
    assert np.abs(later - end).max() < 3e-7


def test_mean_number_of_groups_at_small_confidence():
    """16 starts of 625 agents at epsilon 0.02: 37.68, the mean of 400 starts of an independent program.

    Its standard deviation is 1.86; four standard errors of the mean of 16: a false alarm in 16,000.
    """
    given: dict[str, Any] = {"epsilon": 0.02, "weight": 1.0}
    network = graph("complete", 625)
    ends = [trajectory("hegselmann-krause", network, {"opinion": begin(625, seed)}, [80], **given)[0]["opinion"]
            for seed in range(16)]  # fmt: skip
    assert abs(np.mean([len(clusters(end, 0.02)) for end in ends]) - 37.68) < 4 * 1.86 / np.sqrt(16)


@pytest.mark.full
def test_order_of_opinions_is_kept_under_complete_mixing():
    """Nobody overtakes anybody (Krause, 2000): the sorted order of the start holds at every step."""
    opinion = np.sort(begin(300, 5))
    for steps in (1, 3, 10):
        assert (np.diff(ran(graph("complete", 300), opinion, steps, epsilon=0.25)) >= 0).all()


def test_what_serves_derivatives_is_no_operand_of_the_loop():
    """The loop fetches one integer of every neighbour: opinions as floats, which derivatives are made of, are left out.

    And the values of the sums are those of the same edge function without them.
    """

    def near(theirs: Any, ours: Any, _: Any) -> Any:
        close = abs(theirs[0] - ours) <= 5
        return Fixed(*(jnp.where(close, each, 0) for each in theirs)), close

    def plain(theirs: Any, ours: Any, _: Any) -> Any:
        close = abs(theirs - ours) <= 5
        return Fixed(jnp.where(close, theirs, 0)), close

    units, value = jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.float32)
    told, operands, _ = text_of(near, None, ((units, value), units, {}), None, 0)
    assert [place for place, _ in told["edge"]["inputs"]] == ["source", "receiver"]
    assert all(one is other for one, other in zip(operands, (units, units), strict=True))
    assert written(told) == written(text_of(plain, None, (units, units, {}), None, 0)[0])


def test_an_edge_function_that_looks_at_nobody_is_a_loop():
    """Every arc counts: one input is left, which the loop is not asked about."""
    told, operands, _ = text_of(lambda theirs, ours, _: jnp.int32(1), None, (jnp.zeros(3), None, {}), None, 0)
    assert told["edge"]["inputs"] == [["source", "float32"]] and len(operands) == 1
