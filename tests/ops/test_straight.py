"""Derivatives of exact sums: those of the sums before they are rounded, on every backend and number of devices.

Sums are linear in what they add up, so that the oracles are matrix products in float64; derivatives are float32 sums of
at most 257 arcs and agree to 1e-5 of the sum of the sizes of their terms.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from lpm.network import Network, layout
from lpm.ops.collective import AXIS
from lpm.ops.dispatch import using
from lpm.ops.fixed import Fixed
from lpm.ops.groups import amount_by_group, integers_of, weighted_sum_by_group
from lpm.ops.neighbours import sum_neighbours
from lpm.population import WEIGHT_UNIT

from .running import laid, multigraph, on, padded, run

BITS = 24


def matrix(network: Network, weights: Any) -> np.ndarray[Any, Any]:
    """Return float64 [size, size]: the weights of the arcs from each agent (column) to each (row)."""
    row = np.repeat(np.arange(network.size), network.degrees())
    dense = np.zeros((network.size, network.size))
    np.add.at(dense, (row, network.indices), weights)
    return dense


def near(found: Any, expected: Any, sizes: Any) -> bool:
    return bool((np.abs(found - expected) <= 1e-5 * sizes + 1e-6).all())


@on("neighbours")
@pytest.mark.parametrize("shards", [1, 4])
def test_sums_are_differentiated_forwards_and_backwards(backend: str, shards: int):
    """The sum of a x_j c_ji, by x and by the number a that the edge function closes over, where a row is wanted."""
    network, generator = multigraph(3.0), np.random.default_rng(1)
    x, way, back = (generator.uniform(-1, 1, network.size).astype(np.float32) for _ in range(3))
    wanted = generator.random(network.size) < 0.7

    def both(layer: Any, x: Any, way: Any, back: Any, wanted: Any, shards: int) -> Any:
        def sums(x: Any, a: Any) -> Any:
            return sum_neighbours(layer, lambda s, r, c: a * s * c["trust"], x, where=wanted)

        one = jnp.float32(1)
        by_x = jax.jvp(lambda x: sums(x, one), (x,), (way,))[1]
        by_a = jax.jvp(lambda a: sums(x, a), (one,), (one,))[1]
        return by_x, by_a, jax.vjp(lambda x: sums(x, one), x)[1](back)[0]

    given = [padded(v, shards) for v in (x, way, back, wanted)]
    by_x, by_a, backwards = (
        v[: network.size] for v in run(both, laid(network, shards), *given, backend=backend, shards=shards)
    )
    trust = network.columns["trust"].astype(np.float64)
    a, sizes = matrix(network, trust) * wanted[:, None], matrix(network, np.abs(trust)) * wanted[:, None]
    assert near(by_x, a @ way, sizes @ np.abs(way)) and near(by_a, a @ x, sizes @ np.abs(x))
    assert near(backwards, a.T @ back, sizes.T @ np.abs(back))


@on("neighbours")
def test_a_rule_after_the_sum_is_differentiated(backend: str):
    """Of y = b S^2 + z, with S the sum and z the agent's own: by x, b and z; the number of arcs has no derivative."""
    network, generator = multigraph(3.0), np.random.default_rng(2)
    x, z, way = (generator.uniform(-1, 1, network.size).astype(np.float32) for _ in range(3))

    def forwards(layer: Any, x: Any, z: Any, way: Any, shards: int) -> Any:
        def rule(x: Any, b: Any, z: Any) -> Any:
            found = sum_neighbours(
                layer,
                lambda s, r, c: (s, s > 0),
                x,
                then=lambda sums, own: (b * sums[0] * sums[0] + own, sums[1]),
                own=z,
            )
            assert found[1].dtype == jnp.int32
            return found[0]

        two = jnp.float32(2)
        return [
            jax.jvp(lambda x: rule(x, two, z), (x,), (way,))[1],
            jax.jvp(lambda b: rule(x, b, z), (two,), (jnp.float32(1),))[1],
            jax.vjp(lambda z: rule(x, two, z), z)[1](way)[0],
        ]

    by_x, by_b, by_z = run(forwards, laid(network, 1), x, z, way, backend=backend)
    a = matrix(network, 1.0)
    s, bound = a @ x, a @ np.ones(network.size)
    assert near(by_x, 4 * s * (a @ way), 4 * bound**2) and near(by_b, s * s, bound**2)
    assert np.array_equal(by_z, way)


@on("neighbours")
def test_terms_in_fixed_point_are_differentiated_by_their_value(backend: str):
    """With a value, as the value; without, not at all. The sum itself is that of the units."""
    network = multigraph(3.0)
    x, way = (np.random.default_rng(seed).uniform(-1, 1, network.size).astype(np.float32) for seed in (3, 4))

    def forwards(layer: Any, x: Any, way: Any, shards: int) -> Any:
        units = jnp.round(x * jnp.float32(2.0**BITS)).astype(jnp.int32)

        def sums(x: Any) -> Any:
            return sum_neighbours(layer, lambda s, r, c: (Fixed(s[0], s[1]), Fixed(s[0])), (units, x))

        return jax.jvp(sums, (x,), (way,))

    (known, plain), (by_value, none) = run(forwards, laid(network, 1), x, way, backend=backend)
    a = matrix(network, 1.0)
    exact = (a @ np.rint(x.astype(np.float64) * 2**BITS)).astype(np.float32) * np.float32(2.0**-BITS)
    assert np.array_equal(known, exact) and np.array_equal(plain, exact)
    assert near(by_value, a @ way, a @ np.abs(way)) and not none.any()


@on("neighbours")
@pytest.mark.parametrize("shards", [1, 4])
def test_complete_mixing_is_differentiated(backend: str, shards: int):
    size = 400
    network = Network(size, np.zeros(size + 1, np.int64), np.zeros(0, np.int32), complete=True, facts={"contacts": 8.0})
    x, way = (np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32) for seed in (5, 6))

    def both(layer: Any, x: Any, way: Any, shards: int) -> Any:
        value = lambda x: sum_neighbours(layer, lambda s, r, c: s * s, x)  # noqa: E731
        return jax.jvp(value, (x,), (way,))[1], jax.vjp(value, x)[1](way)[0]

    forwards, backwards = run(both, layout(network, shards), x, way, backend=backend, shards=shards)
    each = 2 * x.astype(np.float64) * way
    assert near(forwards, each.sum() - each, np.abs(each).sum())
    assert near(backwards, 2 * x * (way.sum(dtype=np.float64) - way), np.abs(way).sum())


@on("neighbours")
def test_sums_are_differentiated_inside_loops(backend: str):
    """Of y = A^4 x, in a scan and in a loop of static length: A^4 times a way, and its transpose."""
    network = multigraph(1.0)
    x, way = (np.random.default_rng(seed).uniform(-1, 1, network.size).astype(np.float32) for seed in (7, 8))

    def both(layer: Any, x: Any, way: Any, shards: int) -> Any:
        step = lambda y: sum_neighbours(layer, lambda s, r, c: s, y) * jnp.float32(1 / 64)  # noqa: E731
        scanned = lambda x: jax.lax.scan(lambda y, _: (step(y), None), x, None, length=4)[0]  # noqa: E731
        looped = lambda x: jax.lax.fori_loop(0, 4, lambda _, y: step(y), x)  # noqa: E731
        return jax.jvp(scanned, (x,), (way,))[1], jax.vjp(scanned, x)[1](way)[0], jax.vjp(looped, x)[1](way)[0]

    forwards, *backwards = run(both, laid(network, 1), x, way, backend=backend)
    whole = np.linalg.matrix_power(matrix(network, 1 / 64), 4)
    assert near(forwards, whole @ way, whole @ np.abs(way) * 4)
    assert all(near(found, whole.T @ way, whole.T @ np.abs(way) * 4) for found in backwards)


def test_a_step_without_derivatives_is_compiled_without_them():
    """The program of the loop gathers nothing: what derivatives are made of is dropped."""
    network = multigraph(3.0)
    x = np.ones(network.size, np.float32)
    with using("numba"):
        value = lambda layer, x: sum_neighbours(layer, lambda s, r, c: s, x)  # noqa: E731
        plain = jax.jit(value).lower(layout(network, width=1), x).compile().as_text() or ""
        derived = jax.jit(lambda layer, x: jax.jvp(lambda x: value(layer, x), (x,), (x,)))
        both = derived.lower(layout(network, width=1), x).compile().as_text() or ""
    assert plain.count("custom-call(") == 1 == both.count("custom-call(")
    assert plain.count("gather(") == 0 < both.count("gather(")


@pytest.mark.parametrize("shards", [1, 4])
def test_amounts_by_group_are_exact_and_differentiable(shards: int):
    """The float of the exact sum, to the bit; the derivative by a value is the people that it stands for."""
    generator, size, groups = np.random.default_rng(9), 800, 5
    x, way = (generator.uniform(-1, 1, size).astype(np.float32) for _ in range(2))
    weight = generator.integers(1, 10 * WEIGHT_UNIT, size).astype(np.uint32)
    group = generator.integers(-1, groups + 1, size).astype(np.int32)  # some are in none
    back = np.arange(1, groups + 1, dtype=np.float32)

    def amounts(x: Any, way: Any, weight: Any, group: Any, shards: int) -> Any:
        value = lambda x: amount_by_group(x, weight, group, groups, BITS, shards)  # noqa: E731
        return *jax.jvp(value, (x,), (way,)), weighted_sum_by_group(x, weight, group, groups, BITS, shards)

    found, forwards, limbs = run(amounts, x, way, weight, group, shards=shards, whole=True)
    assert np.array_equal(found, (integers_of(limbs) / (2.0**BITS * WEIGHT_UNIT)).astype(np.float32))
    inside, people = (group >= 0) & (group < groups), weight / WEIGHT_UNIT
    expected = np.bincount(group[inside], (people * way)[inside], groups)
    assert near(forwards, expected, np.bincount(group[inside], people[inside], groups))

    # in reverse mode the loss is outside of what is spread, as an amount is the same on every device
    mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))
    spread = jax.shard_map(
        lambda x, w, g: amount_by_group(x, w, g, groups, BITS, shards),
        mesh=mesh, in_specs=P(AXIS), out_specs=P(), check_vma=False,
    )  # fmt: skip
    slopes = jax.jit(jax.grad(lambda x: (spread(x, weight, group) * back).sum()))(x)
    assert near(slopes, np.where(inside, people * back[np.clip(group, 0, groups - 1)], 0), people * 5)
