"""Moves between levels: every backend against counting one by one; stocks carried against stocks counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lpm.ops.groups import integers_of, sum_by_group
from lpm.ops.moves import changed_limbs, moves_between_levels

from .running import on, padded, run

CELLS, LEVELS = 5, 7


def moved(size: int, kind: Any, share: float) -> tuple[Any, ...]:
    """Return before, after, weight (up to 2^32 - 1), present, cell of agents of whom a share moved."""
    chance = np.random.default_rng(size)
    before = chance.integers(0, LEVELS, size).astype(kind)
    after = np.where(chance.random(size) < share, chance.integers(0, LEVELS, size), before).astype(kind)
    weight = chance.integers(0, 1 << 32, size, dtype=np.uint32)
    return before, after, weight, chance.random(size) < 0.9, chance.integers(0, CELLS, size, dtype=np.int32)


@on("moves")
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.bool_])
@pytest.mark.parametrize(("size", "share"), [(1, 1.0), (1_003, 0.02), (1_003, 1.0)])
def test_who_moved_is_counted_where_it_was_and_where_it_is(
    backend: str, kind: Any, size: int, share: float, shards: int = 1
) -> None:
    given = moved(size, kind, share)
    entered, left = run(_all, *given, backend=backend)
    expected = np.zeros((2, CELLS, LEVELS), object)
    for old, new, weight, here, cell in zip(*given, strict=True):
        if here and old != new:
            expected[0, cell, int(new)] += int(weight)
            expected[1, cell, int(old)] += int(weight)
    assert (integers_of(entered) == expected[0]).all()
    assert (integers_of(left) == expected[1]).all()


@on("moves")
def test_shards_and_carried_stocks_are_the_counted_ones(backend: str) -> None:
    before, after, weight, here, cell = given = moved(1_003, np.uint8, 0.3)
    entered, left = run(_all, *(padded(x, 4) for x in given), backend=backend, shards=4, whole=True)
    stock: Callable[[Any], Any] = lambda codes: sum_by_group(  # noqa: E731
        jnp.where(here, weight, 0), cell * LEVELS + codes, CELLS * LEVELS
    ).reshape(CELLS, LEVELS, 2)
    carried = changed_limbs(stock(before), jnp.asarray(entered), jnp.asarray(left))
    assert np.array_equal(carried, stock(after))


def test_many_cells_are_scattered() -> None:
    size, cells = 64, 1 << 14
    before, after, weight, here, _ = moved(size, np.uint8, 0.5)
    cell = np.arange(size, dtype=np.int32) * 200

    def spread(before: Any, after: Any, weight: Any, here: Any, cell: Any, shards: int) -> tuple[Any, Any]:
        return moves_between_levels(before, after, weight, here, cell, cells, LEVELS, shards)

    found = [run(spread, before, after, weight, here, cell, backend=backend) for backend in ("xla", "numba")]
    assert np.array_equal(found[0], found[1])
    assert integers_of(found[0][0]).sum() == weight[(before != after) & here].sum(dtype=np.int64)


def _all(before: Any, after: Any, weight: Any, here: Any, cell: Any, shards: int) -> tuple[Any, Any]:
    return moves_between_levels(before, after, weight, here, cell, CELLS, LEVELS, shards)
