"""What tells a batch that goes side by side from one whose members hold each other up."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lpm.batching import divided
from lpm.types import Array

ROWS = np.zeros((3, 5), np.float32)
COUNTS = np.arange(3, dtype=np.int32)


def turned(x: Array, count: Array) -> Array:
    return jax.lax.fori_loop(0, count, lambda i, x: x.at[i].add(1), x)


def chosen(x: Array, count: Array) -> Array:
    return jax.lax.cond(count > 0, lambda x: jnp.sort(x), lambda x: x, x)


def test_what_all_members_do_alike_is_no_hindrance():
    def alike(x: Array, count: Array) -> Array:
        x = jax.lax.cond(jnp.bool_(True), lambda x: x + count, lambda x: x, x)
        return jax.lax.fori_loop(0, 4, lambda i, x: x + 1, x)

    assert divided(alike, ROWS, COUNTS) == []


def test_a_loop_as_long_as_a_member_needs_is():
    (told,) = divided(jax.jit(turned), ROWS, COUNTS)
    assert told.startswith("1 loops")


def test_a_branch_that_some_members_take_is():
    (told,) = divided(lambda x, count: chosen(turned(x, jnp.int32(2)), count), ROWS, COUNTS)
    assert told.startswith("1 choices")


def test_shapes_are_enough_and_places_within_each_other_are_found():
    def within(x: Array, count: Array) -> Array:
        return jax.lax.fori_loop(0, 3, lambda i, x: chosen(turned(x, count), count), x)

    given = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in (ROWS, COUNTS)]
    assert len(divided(within, *given)) == 2
