"""Values of agents on other devices: gathered as bits and bytes, or visited; the same bits on any number of devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lpm.network import layout
from lpm.ops.collective import everyone, gather_rows, look_up, packed, unpacked
from lpm.ops.fixed import Fixed
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.outgoing import sum_outgoing
from lpm.scenarios.dealing import deal

from .running import multigraph, on, run

KINDS = (np.bool_, np.uint8, np.int32, np.float32)


@pytest.mark.parametrize("rows", [32, 37])
def test_booleans_travel_as_bits(rows: int):
    flags = np.random.default_rng(rows).random(4 * rows) < 0.4
    found = run(lambda x, s: gather_rows(x, s), flags, shards=4, whole=True)
    assert np.array_equal(found, flags)
    words = [np.asarray(packed(jnp.asarray(each))) for each in flags.reshape(4, -1)]
    assert np.array_equal(np.asarray(unpacked(jnp.concatenate([*map(jnp.asarray, words)]), 4, rows)), flags)
    bits = run(lambda x, s: everyone(x, s).words, flags[: 4 * 32], shards=4, whole=True)
    assert np.array_equal(np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool), flags[: 4 * 32])


@pytest.mark.parametrize("kind", KINDS)
def test_look_ups_find_what_is_there(kind: Any):
    generator = np.random.default_rng(2)
    values = (generator.random((4 * 25, 2)) * 200).astype(kind)
    places = generator.integers(0, 100, 4 * 11).astype(np.int32)
    for column in (values, values[:, 0]):
        assert np.array_equal(run(look_up, column, places, shards=4), column[places])


@on("neighbours")
@pytest.mark.parametrize("shards", [2, pytest.param(8, marks=pytest.mark.full)])
def test_sums_of_agents_who_were_dealt_are_those_of_one_device(backend: str, shards: int):
    """Bits, bytes, words, floats and fixed point, hubs, edge columns and a mask, to the last bit."""
    network, generator = multigraph(3.0), np.random.default_rng(9)
    size = network.size
    flag, byte = generator.random(size) < 0.3, generator.integers(0, 250, size).astype(np.uint8)
    word = generator.integers(-(2**20), 2**20, size).astype(np.int32)
    real, where = generator.normal(size=size).astype(np.float32), generator.random(size) < 0.7

    def sums(layer: Any, flag: Any, byte: Any, word: Any, real: Any, where: Any, shards: int) -> Any:
        near = sum_neighbours(layer, lambda s, r, c: s.astype(jnp.int32) * (r > 100), flag, byte, where=where)
        bytes_ = sum_neighbours(layer, lambda s, r, c: s[0] * c["intensity"].astype(jnp.int32) * s[1], (byte, flag))
        one = sum_neighbours(layer, lambda s, r, c: (s[0] - r, s[0] > r, s[1]), (word, flag), word)
        two = sum_neighbours(
            layer, lambda s, r, c: (s * c["trust"], Fixed(jnp.round(s * 8).astype(jnp.int32))), real, where=where
        )
        total = sum_neighbours(layer, lambda s, r, c: s, real, then=lambda y, own: y > own, own=real, where=where)
        return near, bytes_, one, two, total

    given = (flag, byte, word, real, where)
    alone = run(sums, layout(network), *given, backend=backend)
    dealing = deal(network.degrees(), shards)
    layer = layout(dealing.spread(network), shards)
    found = run(sums, layer, *(dealing.dealt(each) for each in given), backend=backend, shards=shards)
    leaves = [(one, dealing.outside(many)) for one, many in zip(leaves_of(alone), leaves_of(found), strict=True)]
    assert all(one.dtype == many.dtype and np.array_equal(one, many) for one, many in leaves)
    assert all(one.any() for one, _ in leaves)


@pytest.mark.parametrize("shards", [1, 2])
def test_outgoing_sums_are_those_of_the_senders(shards: int):
    network, generator = multigraph(3.0), np.random.default_rng(5)
    x, z = (generator.integers(0, 100, network.size).astype(np.int32) for _ in range(2))
    receivers = np.repeat(np.arange(network.size), network.degrees())
    expected = np.bincount(network.indices, (x[network.indices] % 7) * z[receivers], network.size)
    dealing = deal(network.degrees(), shards)
    spread = layout(dealing.spread(network), shards)
    for layer in (spread, replace(spread, blocks=None)):
        found = run(outgoing, layer, dealing.dealt(x), dealing.dealt(z), shards=shards)
        assert np.array_equal(dealing.outside(found), expected)


def outgoing(layer: Any, x: Any, z: Any, shards: int) -> Any:
    return sum_outgoing(layer, lambda theirs, ours: (theirs % 7) * ours, x, z)


def leaves_of(tree: Any) -> list[Any]:
    return [leaf for part in tree for leaf in (leaves_of(part) if isinstance(part, tuple) else [part])]
