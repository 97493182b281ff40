"""Sums over neighbours, and one neighbour sampled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.errors import InputError
from lpm.network import Network, layout
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.sample import sample_neighbour

from .running import draws, fair, laid, multigraph, on, padded, run

MEANS = (1.0, 3.0, 12.0)  # so sparse and so dense that all three block widths occur


def test_networks_of_this_file_take_every_block_width():
    assert {layout(multigraph(mean)).sources.shape[1] for mean in MEANS} == {2, 4, 8}


@on("neighbours")
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("mean", MEANS)
def test_count_neighbours_is_exact(backend: str, shards: int, mean: float):
    network = multigraph(mean)
    generator = np.random.default_rng(1)
    x = generator.integers(-50, 50, network.size).astype(np.int32)
    seen = generator.random(network.size) < 0.3
    z = generator.integers(0, 100, network.size).astype(np.uint8)

    def edge(source: Any, receiver: Any, columns: Any) -> Any:
        value, flag = source
        return jnp.where(flag, value * receiver["z"].astype(jnp.int32), 1) + columns["intensity"].astype(jnp.int32)

    def both(layer: Any, value: Any, flag: Any, own: Any, shards: int) -> Any:
        plain = sum_neighbours(layer, lambda s, r, c: s, flag)
        return sum_neighbours(layer, edge, (value, flag), {"z": own}), plain

    found, plain = run(
        both, laid(network, shards), *(padded(v, shards) for v in (x, seen, z)), backend=backend, shards=shards
    )
    row, source = np.repeat(np.arange(network.size), network.degrees()), network.indices
    terms = np.where(seen[source], x[source].astype(np.int64) * z[row], 1) + network.columns["intensity"]
    expected = np.bincount(row, terms, network.size)
    assert found.dtype == np.int32 and np.array_equal(found[: network.size], expected)
    assert np.array_equal(plain[: network.size], np.bincount(row, seen[source], network.size))
    assert not found[network.size :].any()


@on("neighbours")
@pytest.mark.parametrize("shards", [1, 4])
def test_sum_neighbours_is_the_fixed_point_sum(backend: str, shards: int):
    """Equal to the last bit to rounding every float32 term to 2^-24, adding integers, and rounding once to float32."""
    network = multigraph(12.0)
    x = np.random.default_rng(2).uniform(-10, 10, network.size).astype(np.float32)
    layer = laid(network, shards)
    found = run(
        lambda layer, x, shards: sum_neighbours(layer, lambda s, r, c: s * c["trust"], x),
        layer, padded(x, shards), backend=backend, shards=shards,
    )[: network.size]  # fmt: skip
    row, source = np.repeat(np.arange(network.size), network.degrees()), network.indices
    terms = x[source] * network.columns["trust"]
    assert terms.dtype == np.float32
    fixed = np.zeros(network.size, np.int64)
    np.add.at(fixed, row, np.rint(terms.astype(np.float64) * 2**24).astype(np.int64))
    assert np.array_equal(found, fixed.astype(np.float32) * np.float32(2.0**-24))
    true = np.bincount(row, x[source].astype(np.float64) * network.columns["trust"], network.size)
    assert np.allclose(found, true, rtol=2e-6, atol=1e-5)


@on("neighbours")
@pytest.mark.parametrize("shards", [1, 4])
def test_complete_mixing_sums_everybody_else(backend: str, shards: int):
    size = 400
    network = Network(size, np.zeros(size + 1, np.int64), np.zeros(0, np.int32), complete=True, facts={"contacts": 8.0})
    x = np.random.default_rng(3).integers(0, 64, size).astype(np.uint8)
    y = np.random.default_rng(4).uniform(-1, 1, size).astype(np.float32)

    def both(layer: Any, x: Any, y: Any, shards: int) -> Any:
        return sum_neighbours(layer, lambda s, r, c: s, x), sum_neighbours(layer, lambda s, r, c: s, y)

    layer = layout(network, shards)
    assert layer.columns["rate"][0] == np.float32(8 / 399)
    counted, summed = run(both, layer, x, y, backend=backend, shards=shards)
    assert np.array_equal(counted, x.sum(dtype=np.int64) - x)
    fixed = np.rint(y.astype(np.float64) * 2**24).astype(np.int64)
    assert np.array_equal(summed, (fixed.sum() - fixed).astype(np.float32) * np.float32(2.0**-24))


@on("neighbours")
def test_complete_mixing_refuses_an_edge_function_of_the_receiver(backend: str):
    network = Network(2, np.zeros(3, np.int64), np.zeros(0, np.int32), complete=True, facts={"contacts": 1.0})
    x = np.ones(2, np.int32)
    with pytest.raises(InputError, match="complete mixing"):
        run(
            lambda layer, x, shards: sum_neighbours(layer, lambda s, r, c: s * r, x, x),
            layout(network),
            x,
            backend=backend,
        )


@on("sample")
@pytest.mark.parametrize("shards", [1, 4])
def test_a_sampled_neighbour_is_one_and_agents_without_arcs_get_none(backend: str, shards: int):
    network = multigraph(3.0)
    size = -(-network.size // shards) * shards
    found = run(
        lambda layer, d, s: sample_neighbour(layer, d),
        laid(network, shards),
        draws(size),
        backend=backend,
        shards=shards,
    )
    for row, taken in enumerate(found[: network.size]):
        arcs = network.indices[network.indptr[row] : network.indptr[row + 1]]
        # the arcs of a row in the order of ids: draw u takes arc floor(u d)
        expected = arcs[int(draws(size)[row]) * len(arcs) >> 32] if len(arcs) else size
        assert taken == expected
    assert (found[network.size :] == size).all()


@on("sample")
def test_every_arc_is_as_likely(backend: str):
    """Row 3 has 100 arcs, some of them to one agent, who is then taken that many times as often."""
    network = multigraph(3.0)
    layer, count = layout(network), 200

    def many(layer: Any, keys: Any, shards: int) -> Any:
        return jax.vmap(lambda d: sample_neighbour(layer, d)[3])(keys)

    taken = run(many, layer, draws(count * network.size).reshape(count, -1), backend=backend)
    more = run(many, layer, draws(count * network.size, "more").reshape(count, -1), backend=backend)
    arcs = np.bincount(network.indices[network.indptr[3] : network.indptr[4]], minlength=network.size)
    counts = np.bincount(np.concatenate([taken, more]), minlength=network.size)
    ten = np.cumsum(arcs) * 10 // (arcs.sum() + 1)  # ten bins of about 40 draws
    assert counts[arcs == 0].sum() == 0
    assert fair(np.bincount(ten, counts), np.bincount(ten, arcs))


@on("sample")
def test_sampling_in_complete_mixing_is_refused(backend: str):
    network = Network(3, np.zeros(4, np.int64), np.zeros(0, np.int32), complete=True, facts={"contacts": 1.0})
    with pytest.raises(InputError, match="complete mixing"):
        run(lambda layer, d, s: sample_neighbour(layer, d), layout(network), draws(3), backend=backend)
