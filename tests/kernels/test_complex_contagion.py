"""Complex contagion: the front on a ring, its failure on a random network (Centola and Macy), and a slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import find
from lpm.network import Network, layout

from ..conftest import Small, graph
from .spreading import after, below, draws, of_pairs, stack

NAME = "complex-contagion"
Values = np.ndarray[Any, Any]


def neighbourhood(network: Network, focal: Any) -> Values:
    """Return the state in which an agent and all its neighbours have adopted."""
    state = np.zeros(network.size, np.uint8)
    state[network.indices[network.indptr[focal] : network.indptr[focal + 1]]] = 1
    state[focal] = 1
    return state


@pytest.mark.parametrize("half", [pytest.param(2, marks=pytest.mark.full), 5])
def test_the_front_on_a_ring(half: int):
    """With h neighbours on either side the front moves h - k + 1 agents a round on either side, none for k > h.

    The agent j places before the front has h - j + 1 neighbours behind it. Exact.
    """
    size, count = 300, 20
    network = graph("lattice", size, shape="ring", neighbours=2 * half)
    small = Small(NAME, network, size, (), steps=count)
    for k in range(1, half + 2):
        adopted = after(small, small.member(1, k=float(k)), adopted=neighbourhood(network, size // 2))["adopted"].sum()
        assert adopted == 2 * half + 1 + 2 * count * max(half - k + 1, 0)


@pytest.mark.full
def test_it_spreads_on_the_lattice_and_fails_on_the_random_network():
    """Centola and Macy (2007): with k = 2 it fills the ring lattice, and dies at once where all ties are rewired.

    With z = 8 ties a share x of adopters on the random network leads to about 28 x^2 more in a round, fewer than x
    below 3.6 %; the 9 of the first neighbourhood are 0.3 % of 3,000. A simple contagion (k = 1) is the other way round:
    it fills the random network in the time in which it reaches a tenth of the ring. With every hundredth tie rewired
    k = 2 still fills the ring. 10 focal agents each; nothing else is random.
    """
    size, runs = 3_000, 10
    for rewiring, spreads in ((0.0, True), (0.01, True), (1.0, False)):
        network = graph("watts-strogatz", size, neighbours=8, rewiring=rewiring)
        small = Small(NAME, network, size, (), steps=510)
        focal = np.random.default_rng(2).choice(size, runs, replace=False)
        first = np.stack([neighbourhood(network, agent) for agent in focal])
        members = stack([small.member(seed, initial=0.0) for seed in range(runs)])
        share = after(small, members, 510 if spreads else 100, adopted=first)["adopted"].mean(1)
        assert (share == 1).all() if spreads else (share < 0.02).all(), (rewiring, share)
        if rewiring != 0.01:
            simple = stack([small.member(seed, initial=0.0, k=1.0) for seed in range(runs)])
            early = after(small, simple, 8, adopted=first)["adopted"].mean(1)
            assert (early > 0.98).all() if rewiring else (early < 0.1).all()


def test_a_neighbour_counts_once():
    """Three ties to one adopter are one neighbour; ties to two adopters are two, with or without repeats."""
    pairs = np.array([(0, 2), (0, 2), (0, 2), (0, 3), (1, 3), (1, 3), (0, 4), (1, 4)])
    network = of_pairs(6, pairs)
    for width in (1, 4):
        small = Small(NAME, network, 6, (), steps=1)
        world = type(small.world)(small.simulation.place({"contacts": layout(network, width=width)}))
        small.world = world
        found = after(small, small.member(1), adopted=np.array([1, 1, 0, 0, 0, 0]))["adopted"][0]
        assert found.tolist() == [1, 1, 0, 1, 1, 0]


def test_neighbourhoods_are_seeded_in_the_first_round():
    size = 500
    network = graph("lattice", size, shape="ring", neighbours=4)
    small = Small(NAME, network, size, (), steps=30)
    member = small.member(1, initial=0.004, neighbourhoods=1.0, k=2.0, chance=0.5)
    (first,) = np.asarray(small.simulation.start(small.agents, member).agents["adopted"])
    assert np.array_equal(first == 1, below(draws(1, NAME, None, "initial", size), 0.004)) and first.any()
    (seeded,) = after(small, member, 1)["adopted"]
    assert np.array_equal(seeded, np.max([neighbourhood(network, agent) for agent in np.flatnonzero(first)], axis=0))
    lone = small.member(1, initial=0.004, k=2.0)
    assert np.array_equal(after(small, lone)["adopted"][0], first)
    assert after(small, member)["adopted"].sum() > seeded.sum()


def oracle(network: Network, seed: int, k: int, chance: float, adopted: Values, steps: int) -> Values:
    for step in range(steps):
        ready, after = below(draws(seed, NAME, step, "adoption", network.size), chance), adopted.copy()
        for i in range(network.size):
            seen = {int(j) for j in network.indices[network.indptr[i] : network.indptr[i + 1]] if adopted[j]}
            if ready[i] and len(seen) >= k:
                after[i] = 1
        adopted = after
    return adopted


def test_bit_for_bit_as_the_oracle():
    """Exact, on ties of which a third occur twice."""
    size, generator = 400, np.random.default_rng(3)
    pairs = generator.integers(0, size, (1_200, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    network = of_pairs(size, np.concatenate([pairs, pairs[::3]]))
    small = Small(NAME, network, size, (), steps=10)
    first = (generator.random(size) < 0.15).astype(np.uint8)
    for count in (1, 4, 10):
        found = after(small, small.member(4, k=3.0, chance=0.3), count, adopted=first)["adopted"][0]
        assert np.array_equal(found, oracle(network, 4, 3, 0.3, first, count))
        assert first.sum() < found.sum() < size


def test_several_layers_are_refused():
    kernel = find(NAME, "test")
    agents = {"adopted": np.zeros(2, np.uint8), "present": np.ones(2, bool), "id": np.arange(2, dtype=np.uint32)}
    with pytest.raises(InputError, match="expected one layer, got home, work"):
        kernel.step(None, {"agents": agents}, {"home": None, "work": None}, kernel.Params(), None)  # type: ignore[arg-type]
