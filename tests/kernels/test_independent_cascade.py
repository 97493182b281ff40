"""Independent cascade: bond percolation on the same graph, breadth-first search, and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.stats import ks_2samp

from lpm.metrics import Metric
from lpm.network import Network

from ..conftest import Small, graph
from .spreading import after, below, draws, stack, ties_of

SIZE = 500
METRICS = (Metric("new", "flow", "activation", (1,)),)
Values = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def network() -> Network:
    return graph("erdos-renyi", SIZE, mean_degree=5.0)


@pytest.fixture(scope="module")
def small(network: Network) -> Small:
    return Small("independent-cascade", network, SIZE, METRICS, steps=60)


def begun(size: int, first: int) -> Values:
    state = np.zeros(size, np.uint8)
    state[:first] = 1
    return state


@pytest.mark.full
def test_final_sizes_are_those_of_bond_percolation(network: Network, small: Small):
    """The agents reached from 3 first ones are the components they lie in when every tie is kept with chance p.

    250 cascades against 1,000 percolations of the same graph, below and above the threshold (p <k> = 0.75, 1.5), by the
    two-sample test of Kolmogorov and Smirnov at 1e-5 a case; the mean number reached at distance 1, 2, .. 6 as well,
    within five standard errors of the difference (1e-6 each).
    """
    ties, generator = ties_of(network), np.random.default_rng(1)
    for p in (0.15, 0.3):
        members = stack([small.member(seed, p=p) for seed in range(250)])
        reached = (after(small, members, activation=begun(SIZE, 3))["activation"] > 0).sum(1)
        sizes: list[int] = []
        rounds: list[Values] = []
        for _ in range(1_000):
            kept = ties[generator.random(len(ties)) < p]
            kept = coo_array((np.ones(len(kept)), (kept[:, 0], kept[:, 1])), (SIZE, SIZE)).tocsr()
            _, label = connected_components(kept, directed=False)
            sizes.append(int(np.isin(label, label[:3]).sum()))
            if len(rounds) < 500:
                distance = np.asarray(dijkstra(kept, False, indices=[0, 1, 2], unweighted=True, min_only=True))
                rounds.append(np.array([(distance == d).sum() for d in range(1, 7)]))
        compared: Any = ks_2samp(reached, sizes)
        assert compared.pvalue > 1e-5
        by_round = np.stack([
            (after(small, members, count, activation=begun(SIZE, 3))["activation"] == 1).sum(1) for count in range(1, 7)
        ])  # fmt: skip
        theory = np.stack(rounds)
        error = np.sqrt(by_round.var(1) / by_round.shape[1] + theory.var(0) / len(theory))
        assert (np.abs(by_round.mean(1) - theory.mean(0)) <= 5 * error).all()


def test_certain_tries_are_breadth_first_search(network: Network, small: Small):
    """At p = 1 round t activates exactly the agents at distance t (false alarm 5e-5: p = 1 is 1 - 1e-7)."""
    ties = ties_of(network)
    whole = coo_array((np.ones(len(ties)), (ties[:, 0], ties[:, 1])), (SIZE, SIZE)).tocsr()
    distance = np.asarray(dijkstra(whole, False, indices=[0], unweighted=True, min_only=True))
    for count in (1, 2, 3, 7):
        state = after(small, small.member(1, p=1.0), count, activation=begun(SIZE, 1))["activation"][0]
        assert np.array_equal(state == 1, distance == count) and np.array_equal(state == 2, distance < count)


def oracle(network: Network, seed: int, p: float, state: Values, steps: int) -> list[Values]:
    """One agent after the other, one arc after the other."""
    seen: list[Values] = []
    for step in range(steps):
        drawn, after = draws(seed, "independent-cascade", step, "activation", network.size), state.copy()
        for i in range(network.size):
            if state[i] == 1:
                after[i] = 2
            if state[i] == 0:
                row = network.indices[network.indptr[i] : network.indptr[i + 1]]
                tries = sum(1 for j in row if state[j] == 1)
                after[i] = int(below(drawn[i], 1 - (1 - float(np.float32(p))) ** tries))
        state = after
        seen.append(state)
    return seen


def test_bit_for_bit_as_the_oracle(network: Network, small: Small):
    """Exact; a draw within 1e-7 of its threshold could differ, about one of 1,000 choices of the seed."""
    for seed, p in ((1, 0.2), (2, 0.45)):
        expected = oracle(network, seed, p, begun(SIZE, 20), 8)
        for count in (1, 4, 8):
            found = after(small, small.member(seed, p=p), count, activation=begun(SIZE, 20))["activation"][0]
            assert np.array_equal(found, expected[count - 1])


def test_the_start_and_a_round_are_counted(small: Small):
    """The first agents are drawn at the start; nobody is new twice, and in the end nobody is new."""
    member = small.member(3, p=0.3, initial=0.1)
    first = np.asarray(small.simulation.start(small.agents, member).agents["activation"])[0]
    assert np.array_equal(first == 1, below(draws(3, "independent-cascade", None, "initial", SIZE), 0.1))
    new = small.curves(member)["new"]
    state, _ = small.run(member)
    last = np.asarray(state.agents["activation"])[0]
    assert new.sum() + first.sum() == (last == 2).sum() and not (last == 1).any()
