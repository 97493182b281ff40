"""Matching on ties against the greedy matching in plain Python, on one device and several."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from lpm import random
from lpm.errors import InputError
from lpm.network import Network, layout
from lpm.ops import dispatch
from lpm.ops.collective import AXIS
from lpm.ops.matching import match_ties

from .conftest import graph
from .kernels.trajectories import tie_priority, words_of

SLOW = ("barabasi-albert", "xla")  # hubs are matched by the loop, ties of both backends on Erdős–Rényi
KEY = random.purpose(random.root(3), "meet")


def matched(
    network: Network, ids: Any, here: Any, rounds: int, shards: int = 1, backend: str = "xla", width: int | None = None
) -> Any:
    """Return the partners [size]."""
    padded = -(-network.size // shards) * shards
    layer: Any = layout(network, shards, padded, width=width)
    wide = [np.pad(v, (0, padded - network.size)) for v in (ids, here)]
    mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))
    with dispatch.using(backend):
        work = jax.jit(
            jax.shard_map(
                lambda a, b, c: match_ties(a, KEY, b, c, rounds),
                mesh=mesh, in_specs=P(AXIS), out_specs=P(AXIS), check_vma=False,
            )
        )  # fmt: skip
        return np.asarray(work(layer, *wide))[: network.size]


def greedy(network: Network, ids: Any, here: Any) -> Any:
    """Return the partners when ties are taken in order of priority, one by one."""
    words = words_of(KEY)
    ties = list[tuple[int, int, int]]()
    for i in range(network.size):
        for j in network.indices[network.indptr[i] : network.indptr[i + 1]]:
            if i < j and here[i] and here[j]:
                ties.append((tie_priority(words, int(ids[i]), int(ids[j])), i, int(j)))
    partner = np.full(network.size, -1)
    for _, i, j in sorted(ties):
        if partner[i] < 0 and partner[j] < 0:
            partner[i], partner[j] = j, i
    return partner


def world(builder: str, size: int = 1_201) -> tuple[Network, Any, Any]:
    network = graph(builder, size, mean_degree=6.0) if builder == "erdos-renyi" else graph(builder, size, ties=3)
    generator = np.random.default_rng(1)
    ids = np.sort(generator.choice(2**32, size, replace=False)).astype(np.uint32)
    return network, ids, generator.random(size) < 0.9


@pytest.mark.parametrize(
    ("builder", "backend"),
    [
        pytest.param(builder, backend, marks=pytest.mark.full if (builder, backend) == SLOW else ())
        for builder in ("erdos-renyi", "barabasi-albert")
        for backend in dispatch.table()["matching"]
    ],
)
def test_enough_rounds_are_the_greedy_matching(builder: str, backend: str):
    network, ids, here = world(builder)
    found = matched(network, ids, here, 30, backend=backend)
    expected = greedy(network, ids, here)
    assert np.array_equal(found, expected)
    few = matched(network, ids, here, 2, backend=backend)
    assert np.array_equal(few[few >= 0], expected[few >= 0]) and (few >= 0).sum() > 0.5 * (expected >= 0).sum()


@pytest.mark.parametrize("shards", [pytest.param(2, marks=pytest.mark.full), 4])
def test_devices_and_layout_change_nothing(shards: int):
    network, ids, here = world("barabasi-albert")
    one = matched(network, ids, here, 3)
    assert np.array_equal(one, matched(network, ids, here, 3, shards))
    assert np.array_equal(one, matched(network, ids, here, 3, width=1))


def test_pairs_are_disjoint_ties_of_present_agents():
    network, ids, here = world("erdos-renyi")
    partner = matched(network, ids, here, 3)
    who = np.flatnonzero(partner >= 0)
    assert np.array_equal(partner[partner[who]], who) and here[who].all()
    assert all(partner[i] in network.indices[network.indptr[i] : network.indptr[i + 1]] for i in who)


def test_matched_share_of_the_first_round_on_a_ring():
    """A tie of a ring is matched in the first round when it beats both neighbours: a third of ties, 2/3 of agents.

    Each of n = 9,999 ties is a local minimum with chance 1/3, variance 2 n / 45 (peaks of random permutations): six
    standard deviations, one false alarm in 5e8.
    """
    size = 9_999
    network = graph("lattice", size, shape="ring", neighbours=2)  # type: ignore[arg-type]
    partner = matched(network, np.arange(size, dtype=np.uint32), np.ones(size, bool), 1)
    assert abs((partner >= 0).sum() / 2 - size / 3) < 6 * np.sqrt(2 * size / 45)


def test_complete_mixing_is_refused():
    layer: Any = layout(graph("complete", 10))
    with pytest.raises(InputError, match="stores no ties"):
        match_ties(layer, KEY, jnp.arange(10, dtype=jnp.uint32), jnp.ones(10, bool))
