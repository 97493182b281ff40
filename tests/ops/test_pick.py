"""Picking one neighbour by weight: every backend, any number of devices, against slow counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.network import Network, layout
from lpm.ops.pick import pick_neighbour

from .running import draws, multigraph, on, run


def slow(network: Network, weight: Any, drawn: Any, where: Any) -> tuple[list[int], list[int]]:
    """Return picks and sums, row by row."""
    picks, sums = [network.size] * network.size, [0] * network.size
    times = network.columns.get("intensity", np.ones(network.arcs, np.int64)).astype(np.int64)
    for row in np.flatnonzero(where):
        arcs = slice(int(network.indptr[row]), int(network.indptr[row + 1]))
        ends = np.cumsum(weight[network.indices[arcs]] * times[arcs])
        if len(ends) and ends[-1] > 0:
            place = int(drawn[row]) * int(ends[-1]) >> 32
            picks[row] = int(network.indices[arcs][np.searchsorted(ends, place, side="right")])
            sums[row] = int(ends[-1])
    return picks, sums


@on("pick")
@pytest.mark.parametrize("timed", [False, True])
def test_picks_are_those_of_slow_counting(backend: str, timed: bool):
    """To the bit: hubs, empty rows, repeated arcs, weights of 0 among them, every width of blocks."""
    network, generator = multigraph(6.0), np.random.default_rng(3)
    if timed:
        times = generator.integers(0, 300, network.arcs).astype(np.uint16)
        network = Network(network.size, network.indptr, network.indices, columns={"intensity": times})
    size = network.size
    weight = (generator.random(size) < 0.4).astype(np.uint8) * generator.integers(1, 65, size).astype(np.uint8)
    where, drawn, ids = generator.random(size) < 0.8, draws(size), np.arange(size, dtype=np.uint32)
    expected = slow(network, weight.astype(np.int64), drawn, where)
    for width in (1, 4):
        layer = layout(network, width=width)
        picked, sums = run(
            lambda x, w, d, a, i, s: pick_neighbour(x, w, d, a, i), layer, weight, drawn, where, ids, backend=backend
        )
        assert picked.tolist() == expected[0] and sums.tolist() == expected[1]
