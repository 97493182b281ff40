"""Dealing agents to devices: equal arcs, nothing lost, and everything back in outside order."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.network import Network
from lpm.scenarios.dealing import deal

from .conftest import graph
from .ops.running import multigraph

SHARDS = (2, 4, 8)


@pytest.fixture(scope="module")
def hubs() -> Network:
    """Barabási-Albert, 20,000 agents of 5 ties each."""
    return graph("barabasi-albert", 20_000, ties=5)


@pytest.mark.parametrize("shards", SHARDS)
def test_arcs_are_balanced_where_there_are_hubs(hubs: Network, shards: int):
    spread = deal(hubs.degrees(), shards).spread(hubs)
    arcs = spread.degrees().reshape(shards, -1).sum(1)
    assert arcs.sum() == hubs.arcs and arcs.max() / arcs.mean() <= 1.1
    plain = hubs.degrees().reshape(shards, -1).sum(1)
    assert plain.max() / plain.mean() > 1.1  # as they come the oldest agents have the most ties


@pytest.mark.parametrize("shards", SHARDS)
def test_a_row_keeps_its_arcs_in_outside_order(shards: int):
    network = multigraph(3.0)
    dealing = deal(network.degrees(), shards)
    spread = dealing.spread(network).check("test")
    assert spread.size == dealing.padded and dealing.padded % (32 * shards) == 0
    outside = dealing.agents_at(spread.indices)
    for agent in range(network.size):
        place = dealing.places[agent]
        there, here = (slice(n.indptr[i], n.indptr[i + 1]) for n, i in ((network, agent), (spread, place)))
        assert np.array_equal(network.indices[there], outside[here])
        assert all(np.array_equal(network.columns[c][there], spread.columns[c][here]) for c in network.columns)


@pytest.mark.parametrize("shards", (1, *SHARDS))
@pytest.mark.parametrize("size", [1, 37, 403])
def test_what_is_dealt_comes_back(size: int, shards: int):
    dealing = deal(np.random.default_rng(size).integers(0, 9, size), shards)
    values = np.random.default_rng(1).normal(size=(size, 3))
    dealt = dealing.dealt(values, fill=-7.0)
    assert np.array_equal(dealing.outside(dealt), values)
    assert (dealt == -7.0).all(1).sum() == dealing.padded - size
    assert np.array_equal(dealing.places_of(dealing.agents_at(np.arange(dealing.padded))), np.arange(dealing.padded))
    for rows in dealing.order.reshape(shards, -1):
        assert (np.diff(rows) > 0).all()  # outside order on a device, rows of nobody last
