"""Ops: every backend of `lpm.ops.dispatch.table()` against oracles in numpy and Python integers.

Fixed seeds: a test that passes passes again. A chi-square test fails for a sound op in one of 1e6 choices of the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from scipy import stats

from lpm import random
from lpm.errors import InputError
from lpm.network import Network, layout
from lpm.ops import dispatch
from lpm.ops.choice import choose, cumulative_thresholds
from lpm.ops.collective import AXIS
from lpm.ops.groups import fraction_bits, integers_of, sum_by_group, total, weighted_sum_by_group
from lpm.ops.hazard import MOST, UNIT_BITS, event_threshold, hazard_units, multiply_high, scaled_draw
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.pairs import match_pairs
from lpm.ops.ration import ration
from lpm.ops.sample import sample_neighbour
from lpm.ops.sort import counting_sort
from lpm.population import WEIGHT_UNIT

RARE = 1e-6
"""False-alarm rate of one chi-square test."""


def on(op: str) -> Any:
    """Run a test once for every backend of an op."""
    return pytest.mark.parametrize("backend", dispatch.table()[op])


def run(
    function: Callable[..., Any], *arguments: Any, backend: str = "xla", shards: int = 1, whole: bool = False
) -> Any:
    """Return what a function of [rows] arrays gives when compiled, its rows spread over devices.

    Args:
        function: Called as function(*arguments, shards).
        *arguments: Pytrees whose leaves are [rows, ...] (blocks first, for layers).
        backend: Forced.
        shards: Devices.
        whole: The result is the same on every device (a sum), and not rows.
    """

    def body(*parts: Any) -> Any:
        return function(*parts, shards)

    with dispatch.using(backend):
        if shards == 1:
            return jax.tree.map(np.asarray, jax.jit(body)(*arguments))
        mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))
        out = P() if whole else P(AXIS)
        spread = jax.shard_map(body, mesh=mesh, in_specs=P(AXIS), out_specs=out, check_vma=False)
        return jax.tree.map(np.asarray, jax.jit(spread)(*arguments))


def draws(count: int, name: str = "test", seed: int = 1) -> np.ndarray[Any, Any]:
    return np.asarray(random.agent_bits(random.purpose(random.root(seed), name), jnp.arange(count, dtype=jnp.uint32)))


def fair(counts: Any, expected: Any) -> bool:
    """Return whether a chi-square test at the rate RARE accepts counts; `expected` is in proportion."""
    seen, like = np.asarray(counts, float), np.asarray(expected, float)
    return stats.chisquare(seen, like * (seen.sum() / like.sum())).pvalue > RARE


# neighbours


def multigraph(mean: float, size: int = 403, seed: int = 0) -> Network:
    """Return random rows with arcs repeated, a fifth of agents isolated and two hubs far wider than a block."""
    generator = np.random.default_rng(seed)
    degrees = generator.poisson(mean, size)
    degrees[generator.random(size) < 0.2] = 0
    degrees[[3, size - 1]] = 100, 257
    indices = [np.sort(generator.integers(0, size, degree)) for degree in degrees]
    arcs = int(degrees.sum())
    columns = {
        "intensity": generator.integers(0, 700, arcs).astype(np.uint16),
        "trust": generator.normal(size=arcs).astype(np.float32),
    }
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    return Network(size, indptr, np.concatenate(indices).astype(np.int32), columns=columns).check("test")


def padded(values: np.ndarray[Any, Any], shards: int) -> np.ndarray[Any, Any]:
    more = -len(values) % shards
    return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])


def laid(network: Network, shards: int) -> Any:
    return layout(network, shards, -(-network.size // shards) * shards)


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


# groups


@on("groups")
@pytest.mark.parametrize("shards", [1, 4])
def test_three_thousand_million_is_exact(backend: str, shards: int):
    values, group = np.full(12, 750_000_000, np.uint32), np.arange(12, dtype=np.int32) % 3
    found = run(lambda v, g, s: sum_by_group(v, g, 3, s), values, group, backend=backend, shards=shards, whole=True)
    assert integers_of(found).tolist() == [3_000_000_000] * 3
    assert integers_of(run(total, values, backend=backend, shards=shards, whole=True)) == 9_000_000_000


@on("groups")
def test_seventeen_million_counted_one_by_one(backend: str):
    """A float32 accumulator stops at 2^24 = 16,777,216."""
    ones, group = np.ones(17_000_000, np.int32), np.zeros(17_000_000, np.int32)
    assert integers_of(run(lambda v, g, s: sum_by_group(v, g, 1, s), ones, group, backend=backend)).tolist() == [
        17_000_000
    ]
    assert integers_of(run(total, ones, backend=backend)) == 17_000_000


@on("groups")
@pytest.mark.parametrize("shards", [1, 4])
def test_sums_by_group_are_exact_and_rows_outside_count_nowhere(backend: str, shards: int):
    generator = np.random.default_rng(5)
    values = generator.integers(-(2**31), 2**31, 4_000).astype(np.int32)
    group = generator.integers(-2, 9, 4_000).astype(np.int32)  # groups 0 .. 6; -2, -1, 7 and 8 are outside
    found = run(lambda v, g, s: sum_by_group(v, g, 7, s), values, group, backend=backend, shards=shards, whole=True)
    assert found.dtype == np.uint32
    assert integers_of(found).tolist() == [int(values[group == g].sum(dtype=np.int64)) for g in range(7)]
    assert integers_of(run(total, values, backend=backend, shards=shards, whole=True)) == values.sum(dtype=np.int64)


@on("weighted groups")
@pytest.mark.parametrize("shards", [1, 4])
def test_weighted_sums_are_exact_in_their_unit(backend: str, shards: int):
    generator = np.random.default_rng(6)
    values = generator.uniform(-3, 3, 4_000).astype(np.float32)
    weight = generator.integers(0, 2**20, 4_000).astype(np.uint32)
    group = generator.integers(-1, 4, 4_000).astype(np.int32)
    bits = fraction_bits(3.0, 2.0**30)

    def weighted(v: Any, w: Any, g: Any, shards: int) -> Any:
        return weighted_sum_by_group(v, w, g, 4, bits, shards)

    found = run(weighted, values, weight, group, backend=backend, shards=shards, whole=True)
    fixed = np.rint(values.astype(np.float64) * 2.0**bits).astype(np.int64) * weight
    assert integers_of(found).tolist() == [int(fixed[group == g].sum()) for g in range(4)]


def test_declared_scale_leaves_room_for_a_thousand_million_people():
    for largest in (1e-9, 0.5, 1.0, 3.0, 1e6, 1e12):
        assert largest * 2.0 ** fraction_bits(largest, 2.0**30) * WEIGHT_UNIT * 2**30 <= 2**62


def test_limbs_hold_any_64_bit_integer():
    pairs = np.array(
        [[0, 0], [1, 0], [0, 1], [0xFFFF_FFFF] * 2, [0, 0x8000_0000], [0xFFFF_FFFE, 0x7FFF_FFFF]], np.uint32
    )
    assert integers_of(pairs).tolist() == [0, 1, 2**32, -1, -(2**63), 2**63 - 2]


# choice


@on("choice")
@pytest.mark.parametrize("own", [False, True])
def test_choice_follows_its_chances(backend: str, own: bool):
    chances = np.array([0.05, 0.2, 0.0, 0.45, 0.3], np.float32)
    count = 200_000
    limits = cumulative_thresholds(jnp.asarray(chances * 3))  # chances are divided by their sum
    limits = jnp.broadcast_to(limits, (count, 4)) if own else limits
    taken = run(lambda limits, d, s: choose(limits, d), limits, draws(count), backend=backend)
    counts = np.bincount(taken, minlength=5)
    kept = chances > 0
    assert taken.dtype == np.int32 and counts[2] == 0 and fair(counts[kept], chances[kept])


@on("choice")
def test_an_impossible_action_is_never_chosen_and_a_certain_one_always(backend: str):
    edges = np.array([0, 1, 2**31, 2**32 - 257, 2**32 - 256, 2**32 - 2, 2**32 - 1], np.uint32)
    for chances, allowed in (([1, 0, 0], {0}), ([0, 1, 0], {1}), ([0, 0, 1], {2}), ([0.5, 0.5, 0], {0, 1})):
        limits = cumulative_thresholds(jnp.array(chances, jnp.float32))
        assert set(run(lambda d, s, limits=limits: choose(limits, d), edges, backend=backend).tolist()) == allowed


# sort


@on("sort")
@pytest.mark.parametrize("rows", [1, 5_000])
def test_counting_sort_is_stable(backend: str, rows: int):
    keys = np.random.default_rng(7).integers(0, 23, rows).astype(np.int32)
    order, starts = run(lambda k, s: counting_sort(k, 25), keys, backend=backend)
    assert np.array_equal(order, np.argsort(keys, kind="stable"))
    assert np.array_equal(starts, np.searchsorted(np.sort(keys), np.arange(26)))


# sample


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


# pairs


@on("pairs")
@pytest.mark.parametrize("absent", [0, 1, 77])
def test_pairs_are_a_perfect_matching_on_any_number_of_devices(backend: str, absent: int):
    size = 400
    generator = np.random.default_rng(8)
    ids = generator.permutation(size).astype(np.uint32)
    present = np.ones(size, bool)
    present[generator.choice(size, absent, replace=False)] = False
    coarse = draws(size) >> np.uint32(26)  # 64 values: many ties
    whole = [run(match_pairs, coarse, ids, present, backend=backend, shards=s) for s in (1, 4)]
    assert np.array_equal(*whole)
    partner, rows = whole[0], np.arange(size)
    met = partner >= 0
    assert not met[~present].any() and (present & ~met).sum() == present.sum() % 2
    assert np.array_equal(partner[partner[met]], rows[met]) and (partner[met] != rows[met]).all()
    order = [row for row in np.lexsort((ids, coarse)) if present[row]]
    assert all(partner[a] == b for a, b in zip(order[::2], order[1::2], strict=False))


@on("pairs")
def test_ties_of_draws_are_broken_by_ids(backend: str):
    ids = np.array([40, 10, 30, 20], np.uint32)
    partner = run(match_pairs, np.zeros(4, np.uint32), ids, np.ones(4, bool), backend=backend)
    assert partner.tolist() == [2, 3, 0, 1]  # 10 with 20, 30 with 40


@on("pairs")
def test_every_matching_is_as_likely(backend: str):
    """Six agents have 15 perfect matchings."""
    count = 6_000
    ids = jnp.arange(6, dtype=jnp.uint32)

    def many(d: Any, shards: int) -> Any:
        return jax.vmap(lambda one: match_pairs(one, ids, jnp.ones(6, bool)))(d)

    found = run(many, draws(count * 6).reshape(count, 6), backend=backend)
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    assert len(kinds) == 15 and fair(counts, np.ones(15))


# ration (made of group sums)


def served(wanted: Any, weight: Any, order: Any, capacity: float) -> np.ndarray[Any, Any]:
    """Return who is served when agents queue in the order of their draws, those of one draw as one."""
    queue = np.unique(order[wanted])
    cost = np.array([weight[wanted & (order == d)].sum(dtype=np.int64) for d in queue])
    fit = np.cumsum(cost) <= int(capacity * WEIGHT_UNIT)
    return wanted & np.isin(order, queue[fit])


QUEUES = {
    "plain": lambda d: d,
    "one top digit": lambda d: (d & np.uint32(0xFFFFF)) | np.uint32(0xABC << 20),
    "last digits": lambda d: d | np.uint32(0xFFFFFF00),
    "ties": lambda d: d & np.uint32(0xF000_0000),
    "extremes": lambda d: np.where(d >> np.uint32(31), np.uint32(0xFFFF_FFFF), np.uint32(0)),
}


@on("groups")
@pytest.mark.parametrize("shards", [1, 4])
def test_ration_serves_the_queue_until_the_capacity_is_used(backend: str, shards: int):
    """Never more than the capacity, and less by no more than the next in the queue stands for."""
    size = 2_000
    generator = np.random.default_rng(9)
    weight = generator.integers(1, 40 * WEIGHT_UNIT, size).astype(np.uint32)
    wanted = generator.random(size) < 0.6
    everybody = float(weight[wanted].sum(dtype=np.int64)) / WEIGHT_UNIT
    above = np.nextafter(np.float32(everybody), np.float32(np.inf))

    def rationed(wanted: Any, weight: Any, order: Any, shards: int) -> Any:
        capacities = jnp.array([0, 1, 500, 5_000, everybody * 0.999, above, 1e9], jnp.float32)
        return jnp.moveaxis(jax.vmap(lambda c: ration(wanted, weight, order, c, shards))(capacities), 0, -1)

    for name, shape in QUEUES.items():
        order = shape(draws(size))
        found = run(rationed, wanted, weight, order, backend=backend, shards=shards)
        for column, capacity in enumerate((0, 1, 500, 5_000, np.float32(everybody * 0.999), above, 1e9)):
            assert np.array_equal(found[:, column], served(wanted, weight, order, float(capacity))), (name, capacity)
            used = weight[found[:, column]].sum(dtype=np.int64) / WEIGHT_UNIT
            assert used <= capacity
            if name == "plain" and capacity < everybody:
                assert capacity - used < 40


@on("groups")
def test_ration_serves_everybody_alike(backend: str):
    """20 of 50 agents of equal weight are served in every draw of the queue; each in 2 of 5."""
    rows, count = 50, 2_000
    wanted, weight = jnp.ones(rows, bool), jnp.full(rows, WEIGHT_UNIT, jnp.uint32)

    def many(orders: Any, shards: int) -> Any:
        return jax.vmap(lambda order: ration(wanted, weight, order, jnp.float32(20.5)))(orders)

    found = run(many, draws(rows * count).reshape(count, rows), backend=backend)
    assert (found.sum(1) == 20).all()
    # served counts are negatively correlated: sum (O - E)^2 / (E (1 - p)) (n - 1) / n is chi-square of n - 1
    counts = found.sum(0)
    statistic = ((counts - count * 0.4) ** 2 / (count * 0.4 * 0.6)).sum() * (rows - 1) / rows
    assert stats.chi2.sf(statistic, rows - 1) > RARE


# hazard


def survival(units: int) -> Decimal:
    getcontext().prec = 40
    return (-(Decimal(units) / Decimal(1 << UNIT_BITS))).exp()


def test_event_threshold_is_one_minus_exp():
    """Off by less than 2^-29 of 1 anywhere, and by less than 2 % of itself from the smallest hazard on."""
    generator = np.random.default_rng(10)
    powers = np.array([1 << k for k in range(28)])
    units = np.unique(np.concatenate([[0], powers, powers - 1, powers + 1, generator.integers(0, MOST, 2_000), [MOST]]))
    found = run(lambda u, s: event_threshold(u), units.astype(np.uint32))
    for unit, limit in zip(units.tolist(), found.tolist(), strict=True):
        chance = 1 - survival(unit)
        error = abs(Decimal(limit) / Decimal(2**32) - chance)
        assert error < Decimal(2) ** -29 and error <= chance * Decimal("0.02")
    assert found[0] == 0


def test_event_threshold_never_falls():
    starts = [0, (1 << 20) - 2_000, (1 << 24) - 2_000, MOST - 4_000, *np.random.default_rng(11).integers(0, MOST, 40)]
    windows = np.stack([np.arange(start, start + 4_001) for start in starts]).astype(np.uint32)
    found = run(lambda u, s: event_threshold(u), windows).astype(np.int64)
    assert (np.diff(found, axis=1) >= 0).all()


def test_hazards_beyond_the_range_are_held_at_its_ends():
    given = np.array([0.0, 1e-30, 2.0**-24, 1.0, 15.9, 16.0, 1e9, np.inf], np.float32)
    units = run(lambda h, s: hazard_units(h), given)
    assert units.tolist() == [0, 0, 1, 1 << 24, round(float(np.float32(15.9)) * 2**24), MOST, MOST, MOST]
    top = run(lambda u, s: event_threshold(u), np.array([MOST, MOST + 1, 2**32 - 1], np.uint32))
    assert (top == top[0]).all() and top[0] > (1 - 2e-7) * 2**32


def test_wide_products_are_exact():
    generator = np.random.default_rng(12)
    a = np.concatenate([generator.integers(0, 2**32, 5_000), [0, 1, 2**32 - 1, 2**32 - 1]]).astype(np.uint32)
    b = np.concatenate([generator.integers(0, 2**32, 5_000), [2**32 - 1, 2**31, 2**32 - 1, 0]]).astype(np.uint32)
    high = run(lambda a, b, s: multiply_high(a, b), a, b)
    assert high.tolist() == [(x * y + y) >> 32 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    count = (b >> np.uint32(1)).astype(np.int32)
    place = run(lambda d, n, s: scaled_draw(d, n), a, count)
    assert place.tolist() == [x * n >> 32 for x, n in zip(a.tolist(), count.tolist(), strict=True)]


def test_every_op_of_the_table_is_tested_here():
    assert set(dispatch.table()) == {
        "choice", "groups", "neighbours", "pairs", "sample", "sort", "weighted groups",
    }  # fmt: skip
    for backends in dispatch.table().values():
        assert "xla" in backends
