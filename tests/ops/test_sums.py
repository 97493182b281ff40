"""Sums by group and over everybody, weighted or not: exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.ops.groups import fraction_bits, integers_of, sum_by_group, total, weighted_sum_by_group
from lpm.population import WEIGHT_UNIT

from .running import on, run


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
