"""The dynamic layer against an oracle: a Python set of pairs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm import ties as dynamic
from lpm.errors import InputError
from lpm.network import Network, layout
from lpm.networks import build_whole
from lpm.networks.erdos_renyi import ErdosRenyi
from lpm.population import Population
from lpm.ties import Ties

SIZE, CAPACITY, REQUESTS = 40, 160, 12


def network(size: int = SIZE, mean: float = 4.0) -> Network:
    return build_whole("erdos-renyi", 3, ErdosRenyi.Params(mean), Population.build(size, [], {}))


def rows_of(ties: Ties) -> dict[int, list[int]]:
    """Read the blocked rows as the operations do."""
    layer = ties.layer
    sources, receivers, starts = (np.asarray(a) for a in (layer.sources, layer.receivers, layer.starts))
    rows: dict[int, list[int]] = {v: [] for v in range(ties.size)}
    for block, receiver in zip(sources, receivers, strict=True):
        if receiver < ties.size:
            rows[int(receiver)] += [int(u) for u in block if u < ties.size]
        else:
            assert (block == ties.size).all()
    for v in range(ties.size):
        assert (receivers[starts[v] : starts[v + 1]] == v).all()
        assert starts[v + 1] - starts[v] == -(-len(rows[v]) // dynamic.WIDTH)
    return rows


def expected(tied: set[tuple[int, int]], rank: np.ndarray[Any, Any]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {v: [] for v in range(SIZE)}
    for u, v in tied:
        rows[u].append(v)
        rows[v].append(u)
    return {v: sorted(near, key=lambda u: rank[u]) for v, near in rows.items()}


def test_begins_with_the_network_and_gives_it_back() -> None:
    net = network()
    ties = dynamic.from_network(net, CAPACITY)
    back = dynamic.to_network(ties)
    assert np.array_equal(back.indptr, net.indptr) and np.array_equal(back.indices, net.indices)
    laid = layout(net)
    dense = np.zeros((SIZE, SIZE + 1), int)
    for block, receiver in zip(np.asarray(laid.sources), np.asarray(laid.receivers), strict=True):
        dense[receiver, block] += 1
    assert all(sorted(near) == list(np.flatnonzero(dense[v, :SIZE])) for v, near in rows_of(ties).items())


def test_a_random_history_equals_a_set_of_pairs() -> None:
    draw = np.random.default_rng(1)
    ids = draw.permutation(SIZE).astype(np.uint32)
    ties = dynamic.from_network(network(), CAPACITY, ids=ids)
    tied = {(int(u), int(v)) for u, v in dynamic.pairs(ties)}
    add, remove, rewire, refresh = (jax.jit(f) for f in (dynamic.add, dynamic.remove, dynamic.rewire, dynamic.refresh))
    for turn in range(60):
        kind = turn % 3
        ends, alive = np.asarray(ties.ends), np.asarray(ties.alive)
        if kind == 0:
            first, second = draw.integers(0, SIZE, (2, REQUESTS)).astype(np.int32)
            wanted = draw.random(REQUESTS) < 0.8
            ties = add(ties, jnp.asarray(first), jnp.asarray(second), jnp.asarray(wanted))
            asked = zip(first[wanted].tolist(), second[wanted].tolist(), strict=True)
            tied |= {(min(p), max(p)) for p in asked if p[0] != p[1]}
        elif kind == 1:
            mask = draw.random(CAPACITY) < 0.06
            ties = remove(ties, jnp.asarray(mask))
            tied -= {(min(p), max(p)) for p in map(tuple, ends[mask & alive].tolist())}
        else:
            mask = draw.random(CAPACITY) < 0.1
            end, target = draw.integers(0, 2, CAPACITY).astype(np.int32), draw.integers(0, SIZE, CAPACITY)
            ties = rewire(ties, jnp.asarray(mask), jnp.asarray(end), jnp.asarray(target.astype(np.int32)))
            moved = mask & alive & (ends[np.arange(CAPACITY), 1 - end] != target)
            tied -= {(min(p), max(p)) for p in map(tuple, ends[moved].tolist())}
            after = ends.copy()
            after[np.arange(CAPACITY), end] = target
            tied |= {(min(p), max(p)) for p in map(tuple, after[moved].tolist())}
        ties = refresh(ties)
        assert {(int(u), int(v)) for u, v in dynamic.pairs(ties)} == tied
        assert int(np.asarray(ties.alive).sum()) == len(tied)
        assert not bool(ties.overflow) and not bool(ties.changed)
        assert rows_of(ties) == expected(tied, ids)


def test_rows_do_not_depend_on_the_slots() -> None:
    ties = dynamic.from_network(network(), CAPACITY)
    shuffle = np.random.default_rng(2).permutation(CAPACITY)
    flipped = np.asarray(ties.ends)[shuffle][:, ::-1]
    other = dynamic.refresh(
        Ties(jnp.asarray(flipped), ties.alive[shuffle], ties.rank, jnp.asarray(True), ties.overflow, ties.layer)
    )
    for a, b in zip(jax.tree.leaves(ties.layer), jax.tree.leaves(other.layer), strict=True):
        assert np.array_equal(a, b)


def test_more_ties_than_slots_set_the_flag_and_it_stays() -> None:
    ties = dynamic.from_network(Network(5, np.zeros(6, np.int64), np.empty(0, np.int32)), 2)
    ends = jnp.asarray([0, 1, 2], jnp.int32)
    ties = dynamic.add(ties, ends, ends + 1, jnp.asarray([True, True, False]))
    assert not bool(ties.overflow)
    ties = dynamic.add(ties, ends, ends + 2, jnp.asarray([False, False, True]))
    assert bool(ties.overflow) and dynamic.pairs(ties).tolist() == [[0, 1], [1, 2]]
    assert bool(dynamic.refresh(dynamic.remove(ties, ties.alive)).overflow)


def test_multiplicity_is_kept_when_asked() -> None:
    ties = dynamic.from_network(Network(3, np.zeros(4, np.int64), np.empty(0, np.int32)), 4, simple=False)
    one = jnp.asarray([0, 1, 0], jnp.int32)
    ties = dynamic.refresh(dynamic.add(ties, one, jnp.asarray([1, 0, 2], jnp.int32), jnp.ones(3, bool)))
    assert rows_of(ties) == {0: [1, 1, 2], 1: [0, 0], 2: [0]}


def test_nothing_is_rebuilt_where_nothing_changed() -> None:
    ties = dynamic.from_network(network(), CAPACITY)
    kept = dynamic.refresh(dynamic.remove(ties, jnp.zeros(CAPACITY, bool)))
    assert not bool(kept.changed)
    cut = dynamic.remove(ties, dynamic.touching(ties, jnp.arange(SIZE) == 0))
    assert bool(cut.changed) == bool(network().degrees()[0])
    assert rows_of(dynamic.refresh(cut))[0] == []


@pytest.mark.parametrize(
    ("given", "capacity", "message"),
    [
        (Network(2, np.array([0, 1, 1]), np.array([1], np.int32)), 4, "undirected"),
        (Network(2, np.array([0, 1, 2]), np.array([1, 0], np.int32)), 0, "at least the network's 1 ties"),
        (Network(2, np.zeros(3, np.int64), np.empty(0, np.int32), complete=True), 4, "whole network"),
        (Network(2, np.array([0, 2, 4]), np.array([1, 1, 0, 0], np.int32)), 4, "every pair tied once"),
    ],
)
def test_bad_networks_are_refused(given: Network, capacity: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dynamic.from_network(given, capacity)
