"""Friedkin-Johnsen: the limit is the solution of the linear equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.network import Network

from ..conftest import graph
from .trajectories import trajectory


def averaging(network: Network) -> Any:
    """Return float64 [size, size], rows that average over the arcs; the identity for agents without arcs."""
    matrix = np.zeros((network.size, network.size))
    for i in range(network.size):
        row = network.indices[network.indptr[i] : network.indptr[i + 1]]
        np.add.at(matrix[i], row if len(row) else [i], 1 / max(len(row), 1))
    return matrix


@pytest.mark.parametrize("weight", [0.6, 1.0])
def test_limit_is_the_linear_solve(weight: float):
    """On a graph with isolated agents; susceptibilities up to 0.9, so that 250 steps leave less than 1e-6."""
    size, generator = 400, np.random.default_rng(1)
    network = graph("erdos-renyi", size, mean_degree=4.0)
    prejudice = generator.uniform(-1, 1, size).astype(np.float32)
    open_ = np.where(generator.random(size) < 0.1, 0, generator.uniform(0, 0.9, size)).astype(np.float32)
    columns = {"opinion": generator.uniform(-1, 1, size).astype(np.float32), "prejudice": prejudice}
    end = trajectory("friedkin-johnsen", network, {**columns, "susceptibility": open_}, [250], weight=weight)[0]
    influence = open_.astype(float)[:, None]
    limit = np.linalg.solve(np.eye(size) - influence * averaging(network), (1 - influence[:, 0]) * prejudice)
    assert np.abs(end["opinion"] - limit).max() < 2e-6
    assert np.array_equal(end["prejudice"], prejudice)


def test_one_published_step_is_the_direct_computation():
    size, generator = 500, np.random.default_rng(2)
    network = graph("barabasi-albert", size, ties=3)
    columns = {n: generator.uniform(-1, 1, size).astype(np.float32) for n in ("opinion", "prejudice")}
    open_ = generator.random(size).astype(np.float32)
    found = trajectory("friedkin-johnsen", network, {**columns, "susceptibility": open_}, [1], weight=1.0)[0]
    expected = open_ * (averaging(network) @ columns["opinion"]) + (1 - open_) * columns["prejudice"]
    assert np.abs(found["opinion"] - expected).max() < 5e-7


def test_stubborn_agents_at_two_poles_leave_the_harmonic_function():
    """A ring with poles -1 and 1, everybody else fully open: opinions fall linearly along the ring.

    The slowest mode decays as cos(pi / 10) a step: 1,000 steps leave 1e-21.
    """
    size = 20
    opinion, open_ = np.zeros(size, np.float32), np.ones(size, np.float32)
    opinion[[0, 10]], open_[[0, 10]] = (1, -1), 0
    columns = {"opinion": opinion, "prejudice": opinion, "susceptibility": open_}
    network = graph("lattice", size, shape="ring", neighbours=2)  # pyright: ignore[reportArgumentType]
    end = trajectory("friedkin-johnsen", network, columns, [1000], weight=1.0)[0]["opinion"]
    assert np.abs(end - (1 - np.abs((np.arange(size) + 10) % 20 - 10) / 5)).max() < 1e-5


def test_degroot_limit_is_the_stationary_vector():
    """A directed strongly connected graph: consensus at the mean of first opinions weighted by the stationary vector.

    An independent eigenvector in float64; the limit keeps the rounding of 300 float32 steps.
    """
    size, generator = 60, np.random.default_rng(3)
    rows = [np.unique(np.append(generator.integers(0, size, 4), (i + 1) % size)) for i in range(size)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    network = Network(size, indptr, np.concatenate(rows).astype(np.int32)).check("test")
    opinion = generator.uniform(-1, 1, size).astype(np.float32)
    end = trajectory("degroot", network, {"opinion": opinion}, [300], weight=0.5)[0]["opinion"]
    values, vectors = np.linalg.eig(averaging(network).T)
    weights = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    assert np.abs(end - weights @ opinion / weights.sum()).max() < 5e-6


def test_degroot_on_an_undirected_graph_ends_at_the_mean_weighted_by_degree():
    network = graph("barabasi-albert", 2_000, ties=3)
    opinion = np.random.default_rng(4).uniform(-1, 1, 2_000).astype(np.float32)
    end = trajectory("degroot", network, {"opinion": opinion}, [300], weight=0.5)[0]["opinion"]
    assert np.abs(end - np.average(opinion, weights=network.degrees())).max() < 5e-6
