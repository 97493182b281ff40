"""Sorting, ranks, pairs and queues."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lpm.ops.pairs import match_pairs
from lpm.ops.ranks import rank_in_group
from lpm.ops.ration import ration
from lpm.ops.sort import counting_sort
from lpm.population import WEIGHT_UNIT

from .running import RARE, draws, fair, on, run


@on("sort")
@pytest.mark.parametrize("rows", [1, 5_000])
def test_counting_sort_is_stable(backend: str, rows: int):
    keys = np.random.default_rng(7).integers(0, 23, rows).astype(np.int32)
    order, starts = run(lambda k, s: counting_sort(k, 25), keys, backend=backend)
    assert np.array_equal(order, np.argsort(keys, kind="stable"))
    assert np.array_equal(starts, np.searchsorted(np.sort(keys), np.arange(26)))


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


@on("ranks")
@pytest.mark.parametrize("shards", [1, 4])
def test_ranks_are_those_of_a_plain_sort(backend: str, shards: int):
    """Ties of draws go by id; rows outside the groups have no rank. Exact."""
    generator = np.random.default_rng(4)
    size = 5_000
    coarse = generator.integers(0, 300, size).astype(np.uint32) << np.uint32(20)  # many ties
    ids = generator.permutation(size).astype(np.uint32)
    group = generator.integers(-1, 5, size).astype(np.int32)
    found = run(lambda d, i, g, s: rank_in_group(d, i, g, 4, s), coarse, ids, group, backend=backend, shards=shards)
    for g in range(-1, 5):
        members = np.flatnonzero(group == g)
        order = sorted(members, key=lambda i: (coarse[i], ids[i]))
        expected = np.arange(len(members)) if 0 <= g < 4 else np.full(len(members), -1)
        assert np.array_equal(found[order], expected)
