"""Co-evolving voters: an oracle on shared draws, what is conserved, where it ends, and the published transition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lpm.network import Network
from lpm.simulation import Simulation
from lpm.ties import Ties, from_network, pairs

from ..conftest import Small, graph
from .trajectories import drawn, trajectory

SIZE = 300
TRIES = 256  # candidates drawn together in the search for the same opinion


class Society:
    """Co-evolving voters on a dynamic layer, compiled once."""

    def __init__(self, network: Network, shards: int = 1, simple: bool = True, backend: str = "auto"):
        """Nobody has moved a tie yet."""
        self.small = Small("coevolving-voter", network, network.size, (), steps=100, shards=shards)
        self.small.simulation = Simulation(replace(self.small.simulation.model, backend=backend))
        padded = self.small.agents["id"].shape[0]
        ids = np.concatenate([np.arange(network.size), np.full(padded - network.size, 0xFFFF_FFFF)]).astype(np.uint32)
        self.ties = from_network(network, network.arcs // 2 + 7, ids, padded, simple, shards=shards)
        self.size = network.size

    def start(self, seed: int = 1, **values: float) -> tuple[Any, Any]:
        """Return the state before the first step, and the member."""
        member = self.small.member(seed, 0, **values)
        return self.small.simulation.start(self.small.agents, member, ties={"contacts": self.ties}), member

    def on(self, state: Any, member: Any, at: int, count: int = 1) -> Any:
        """Return the state after so many steps from step `at`."""
        return self.small.simulation.advance(state, member, self.small.world, at, count)[0]


def ends_of(state: Any) -> Any:
    return pairs(ties_of(state))


def ties_of(state: Any) -> Ties:
    return jax.tree.map(lambda leaf: leaf[0], state.ties["contacts"])


def camps(state: Any, size: int) -> Any:
    return np.asarray(state.agents["camp"])[0, :size]


def components(ends: Any, size: int) -> Any:
    return connected_components(coo_array((np.ones(len(ends)), ends.T), (size, size)), directed=False)[1]


def oracle(camp: Any, ends: Any, step: int, phi: float, simple: bool, seed: int) -> tuple[Any, Any]:
    """Return opinions and ties after one event per agent, agent by agent, with plain lists of neighbours."""
    size, turn, camp = len(camp), np.arange(len(camp)), camp.copy()
    near: list[list[int]] = [[] for _ in range(size)]
    for low, high in ends.tolist():
        near[low].append(high)
        near[high].append(low)
    for row in near:
        row.sort()
    scaled = lambda draw, n: int(draw) * n >> 32  # noqa: E731
    agents = drawn("coevolving-voter", step, "agent", turn, seed=seed)
    coins = drawn("coevolving-voter", step, "rewire", turn, seed=seed)
    picks = drawn("coevolving-voter", step, "tie", turn, seed=seed)
    limit = int(np.float64(np.float32(phi)) * 2**32)
    for e in range(size):
        i = scaled(agents[e], size)
        if not near[i]:
            continue
        place = scaled(picks[e], len(near[i]))
        j = near[i][place]
        if coins[e] >= limit:
            camp[i] = camp[j]
            continue
        right = {k for k in range(size) if k != i and camp[k] == camp[i] and not (simple and k in near[i])}
        tried = 0
        while right:
            draws = drawn("coevolving-voter", step, "target", e, tried + np.arange(TRIES), seed=seed)
            found = [k for k in (scaled(draw, size) for draw in draws) if k in right]
            tried += TRIES
            if found:
                near[i][place] = found[0]
                near[j].remove(i)
                near[found[0]].insert(0, i)
                break
    left = sorted((i, j) for i, row in enumerate(near) for j in row if i < j)
    return camp, np.array(left)


@pytest.mark.full
@pytest.mark.parametrize("backend", ["xla", "auto"])
@pytest.mark.parametrize("simple", [True, False])
def test_events_are_those_of_the_oracle(backend: str, simple: bool):
    phi, society = 0.6, Society(graph("erdos-renyi", SIZE, mean_degree=4.0), simple=simple, backend=backend)
    state, member = society.start(seed=3, rewiring=phi, rate=1.0)
    for step in range(3):
        camp, ends = oracle(camps(state, SIZE), ends_of(state), step, phi, simple, 3)
        state = society.on(state, member, step)
        assert np.array_equal(camps(state, SIZE), camp) and np.array_equal(ends_of(state), ends)


@pytest.mark.full
@pytest.mark.parametrize("simple", [pytest.param(True, marks=pytest.mark.full), False])
def test_ties_are_conserved_and_nobody_is_tied_to_oneself(simple: bool):
    network = graph("erdos-renyi", SIZE, mean_degree=4.0)
    society = Society(network, simple=simple)
    state, member = society.start(rewiring=0.6, per_opinion=30.0)
    first = ends = ends_of(state)
    for at in range(0, 60, 20):
        state = society.on(state, member, at, 20)
        ends = ends_of(state)
        assert len(ends) == network.arcs // 2 and (ends[:, 0] < ends[:, 1]).all()
        assert not simple or len(np.unique(ends, axis=0)) == len(ends)
        ties = ties_of(state)
        degrees = np.bincount(ends.ravel(), minlength=SIZE)
        rows = np.bincount(np.asarray(ties.layer.receivers), (np.asarray(ties.layer.sources) < SIZE).sum(1), SIZE + 1)
        assert np.array_equal(rows[:SIZE], degrees)  # the rows were made anew
    assert not np.array_equal(first, ends)


@pytest.mark.full
def test_every_component_agrees_in_the_end_and_then_opinions_rest():
    society = Society(graph("erdos-renyi", SIZE, mean_degree=4.0))
    state, member = society.start(rewiring=0.7)
    for at in range(0, 400, 100):
        state = society.on(state, member, at, 100)
    camp, part = camps(state, SIZE), components(ends_of(state), SIZE)
    assert all(len(set(camp[part == c])) == 1 for c in range(part.max() + 1)) and len(set(camp)) > 2
    assert np.array_equal(camps(society.on(state, member, 400, 50), SIZE), camp)


@pytest.mark.full
def test_devices_change_nothing():
    network = graph("erdos-renyi", SIZE + 2, mean_degree=4.0)  # not a multiple of four: two are padded
    ends: list[Any] = []
    for shards in (1, 4):
        society = Society(network, shards=shards)
        state, member = society.start(rewiring=0.4)
        state = society.on(state, member, 0, 10)
        ends.append((camps(state, SIZE + 2), ends_of(state)))
    assert np.array_equal(ends[0][0], ends[1][0]) and np.array_equal(ends[0][1], ends[1][1])


@pytest.mark.full
def test_ties_to_the_absent_stay_as_they_are():
    network = graph("erdos-renyi", SIZE, mean_degree=4.0)
    society = Society(network)
    gone = np.arange(SIZE) < 60
    society.small.agents = {**society.small.agents, "present": ~gone}
    state, member = society.start(rewiring=0.6, per_opinion=60.0)
    touching = lambda ends: ends[gone[ends].any(1)]  # noqa: E731
    first = ends_of(state)
    state = society.on(state, member, 0, 10)
    assert np.array_equal(touching(first), touching(ends_of(state))) and not np.array_equal(first, ends_of(state))


@pytest.mark.full
def test_fixed_ties_leave_the_voter_model():
    """Nobody rewires; only the events that copy happen, so that phi = 1 changes nothing."""
    network = graph("erdos-renyi", SIZE, mean_degree=4.0)
    given = {"camp": (np.arange(SIZE) % 7).astype(np.int32)}
    still, moved = (trajectory("coevolving-voter", network, given, [3], rewiring=phi)[0] for phi in (1.0, 0.5))
    assert np.array_equal(still["camp"], given["camp"]) and not np.array_equal(moved["camp"], given["camp"])
    assert set(moved["camp"].tolist()) <= set(range(7))


@pytest.mark.full
def test_the_largest_community_falls_at_the_published_transition():
    """Holme & Newman, 2006: mean degree 4, 10 agents per opinion, N up to 3,200; repeated ties are allowed.

    The largest community's share S scales as N^-0.61 at phi = 0.458 (exponent and value as published), so that
    S N^0.61 grows with N below and falls above. Fixed seeds. Found at 0.458: 7.1, 6.8 and 7.9 for N = 200, 800, 3,200
    with standard errors of 5, 8 and 18 %: a factor of 1.8 between them is three of these, a false alarm in 1e3.
    """
    scaled: dict[tuple[int, float], float] = {}
    for size, phis, seeds in ((200, (0.38, 0.458, 0.54), 48), (800, (0.38, 0.458), 24), (3_200, (0.458, 0.54), 6)):
        society = Society(graph("erdos-renyi", size, mean_degree=4.0), simple=False)
        for phi in phis:
            count = 8 if (size, phi) == (800, 0.38) else seeds  # far below the transition it takes long to agree
            scaled[size, phi] = float(np.mean([largest(society, phi, seed) for seed in range(count)])) * size**0.61
    print(scaled)
    at = [scaled[size, 0.458] for size in (200, 800, 3_200)]
    assert max(at) < 1.8 * min(at)
    assert scaled[800, 0.38] > 1.5 * scaled[200, 0.38] and scaled[3_200, 0.54] < 0.8 * scaled[200, 0.54]


def largest(society: Society, phi: float, seed: int) -> float:
    """Return the largest community's share of the agents when every component agrees."""
    size = society.size
    state, member = society.start(seed=seed, rewiring=phi)
    for at in range(0, 100_000, 100):
        state = society.on(state, member, at, 100)
        camp, ends = camps(state, size), ends_of(state)
        if (camp[ends[:, 0]] == camp[ends[:, 1]]).all():
            return float(np.bincount(components(ends, size)).max() / size)
    raise AssertionError("no consensus")
