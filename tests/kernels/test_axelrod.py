"""Axelrod: an oracle on shared draws, frozen states, the published transition on the square lattice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.network import Network
from lpm.random import scalar_bits

from ..conftest import graph
from .trajectories import key_of, tie_priority, trajectory, words_of

F = 10


def cultures(size: int, traits: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, traits, (size, F)).astype(np.uint16)


def oracle(network: Network, culture: Any, step: int, features: int, meetings: float) -> Any:
    """Return the cultures after one step: three rounds of proposals, then pair by pair."""
    size = network.size
    neighbours = [set(network.indices[network.indptr[i] : network.indptr[i + 1]].tolist()) for i in range(size)]
    names = ("meet", "talk", "interact", "active", "feature")
    words = {name: words_of(key_of("axelrod", step, name)) for name in names}
    free, after = set(range(size)), culture.copy()
    for _ in range(3):
        wish = {i: min((tie_priority(words["meet"], i, j), j) for j in neighbours[i] & free)[1]
                for i in free if neighbours[i] & free}  # fmt: skip
        for i, j in wish.items():
            if i > j or wish.get(j) != i:
                continue
            free -= {i, j}
            talk, interact, coin, feature = (scalar_bits(words[name], (i, j)) for name in names[1:])
            differ = [f for f in range(features) if culture[i, f] != culture[j, f]]
            if talk < meetings * 2**32 and (interact * features >> 32) < features - len(differ) and differ:
                taken = differ[feature * len(differ) >> 32]
                taker, giver = (i, j) if coin < 2**31 else (j, i)
                after[taker, taken] = culture[giver, taken]
    return after


@pytest.mark.parametrize("features", [pytest.param(10, marks=pytest.mark.full), 4])
def test_steps_are_those_of_the_oracle(features: int):
    network, culture = graph("lattice", 400), cultures(400, 3)
    values: dict[str, Any] = {"features": float(features), "meetings": 0.75}
    for step, after in enumerate(trajectory("axelrod", network, {"culture": culture}, [1, 2, 3], **values)):
        culture = oracle(network, culture, step, features, 0.75)
        assert np.array_equal(after["culture"], culture)


def test_like_and_unlike_neighbours_are_frozen():
    """One culture, or cultures without a common trait, never change."""
    network = graph("lattice", 100)
    for culture in (np.full((100, F), 7, np.uint16), np.repeat(np.arange(100, dtype=np.uint16)[:, None], F, 1)):
        end = trajectory("axelrod", network, {"culture": culture}, [20], meetings=1.0)[0]["culture"]
        assert np.array_equal(end, culture)


def test_chance_of_interaction_is_the_overlap():
    """Disjoint ties of two who share k of 10: a trait passes with chance k / 10, whoever is active.

    Six binomial deviations of 2,000 pairs: a false alarm in 5e8.
    """
    copies = 2_000
    ties = Network(2 * copies, np.arange(2 * copies + 1), (np.arange(2 * copies) ^ 1).astype(np.int32))
    for shared in (2, 7):
        culture = np.zeros((2 * copies, F), np.uint16)
        culture[1::2, shared:] = 1
        after = trajectory("axelrod", ties, {"culture": culture}, [1], meetings=1.0)[0]["culture"]
        changed = (after != culture).sum(1)
        assert changed.max() == 1
        passed, chance = changed.reshape(-1, 2).sum(1), shared / F
        assert abs(passed.mean() - chance) < 6 * np.sqrt(chance * (1 - chance) / copies)
        lower = changed[::2].sum()
        assert abs(lower - passed.sum() / 2) < 3 * np.sqrt(passed.sum())  # six deviations of a fair coin


def largest_region(culture: Any, network: Network) -> float:
    """Return the share of agents in the largest connected set of one culture."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    receiver = np.repeat(np.arange(network.size), network.degrees())
    same = (culture[receiver] == culture[network.indices]).all(1)
    ties = coo_array((np.ones(same.sum()), (receiver[same], network.indices[same])), (network.size,) * 2)
    return float(np.bincount(connected_components(ties, directed=False)[1]).max()) / network.size


@pytest.mark.full
def test_few_traits_end_in_one_culture():
    """F = 10, q = 2 on a 12 x 12 torus: one culture, as Axelrod's table 2 has it for many features and few traits."""
    network = graph("lattice", 144)
    end = trajectory("axelrod", network, {"culture": cultures(144, 2)}, [4_000], meetings=1.0)[0]["culture"]
    assert largest_region(end, network) == 1.0


@pytest.mark.full
@pytest.mark.parametrize(("traits", "days", "ordered"), [(45, 90_000, True), (60, 20_000, False)])
def test_published_transition_on_the_square_lattice(traits: int, days: int, ordered: bool):
    """Castellano et al., 2000: F = 10, transition near q = 55: one culture below, fragments above. Their schedule.

    50 x 50, one active agent at a time until nothing can change, three starts. Largest regions of such starts: 0.96 to
    0.98 at 45; 0.97, 0.21 and 0.89 at 50; 0.05 to 0.08 at 55; 0.02 to 0.04 at 60. On 32 x 32: 0.65 to 0.94 at 45 (four
    starts), 0.21 to 0.88 at 50, 0.03 to 0.11 at 55. So the transition lies between 45 and 60, on lattices of this
    size between 50 and 55. Fixed seeds: a fourth start outside the range of three has a chance of one in two, but not
    one beyond the limits here, which are several times further away.
    """
    network = graph("lattice", 2_500)
    receiver = np.repeat(np.arange(2_500), network.degrees())
    values: dict[str, Any] = {"meetings": 1.0, "schedule": "random-sequential"}
    for seed in (1, 2, 3):
        end = trajectory("axelrod", network, {"culture": cultures(2_500, traits, seed)}, [days], seed=seed, **values)[0]
        culture = end["culture"]
        shared = (culture[receiver] == culture[network.indices]).sum(1)
        assert ((shared == 0) | (shared == F)).all(), "not frozen"
        share = largest_region(culture, network)
        assert share > 0.8 if ordered else share < 0.15
