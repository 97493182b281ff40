"""Choices by chances, hazards and wide products; and that every op of the table has its tests."""

from __future__ import annotations

from decimal import Decimal, getcontext

import jax.numpy as jnp
import numpy as np
import pytest

from lpm.ops import dispatch
from lpm.ops.choice import choose, cumulative_thresholds
from lpm.ops.hazard import MOST, UNIT_BITS, event_threshold, hazard_units, scaled_draw

from .running import draws, fair, on, run


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
    count = (b >> np.uint32(1)).astype(np.int32)
    place = run(lambda d, n, s: scaled_draw(d, n), a, count)
    assert place.tolist() == [x * n >> 32 for x, n in zip(a.tolist(), count.tolist(), strict=True)]


def test_every_op_of_the_table_is_tested():
    """A new op needs a test over its backends, and a name here."""
    import lpm.kernels as _  # some ops are registered by the kernels that need them  # noqa: F401

    here = {"choice", "groups", "neighbours", "pairs", "pick", "ranks", "sample", "sort", "weighted groups"}
    # tests/test_matching.py, test_coevolving_voter.py, test_moves.py, test_visits.py (sums over one device's agents)
    elsewhere = {"matching", "coevolution", "moves", "units"}
    assert set(dispatch.table()) == here | elsewhere
    for backends in dispatch.table().values():
        assert "xla" in backends
