"""Choice among the untaken: every agent takes one of some items by weight, none twice.

What was taken is a bit mask of uint32 words, so that a choice among 64 items costs an agent 8 bytes of state, and the
weights are shared by all agents. They are integers: chances are exact ratios, to 2^-32 of a draw. On a CPU what XLA
makes of it (vectors over agents) is several times faster than a loop over the bits of each mask: measured.
"""

from __future__ import annotations

import jax.numpy as jnp

from lpm.ops.hazard import scaled_draw
from lpm.types import Array

WEIGHT_BITS = 25
"""The largest weight is 2^25, so that 64 of them are at most 2^31."""

MOST = 64
"""Largest number of items."""


def integer_weights(logits: Array) -> Array:
    """Return uint32 [items], weights in proportion to exp(logit), the largest 2^25 and none below 1.

    Args:
        logits: float32 [items], at most `MOST`.
    """
    weights = jnp.round(jnp.exp(logits - logits.max()) * jnp.float32(2.0**WEIGHT_BITS))
    return jnp.maximum(weights.astype(jnp.uint32), 1)


def choose_untaken(weights: Array, taken: Array, draws: Array) -> Array:
    """Return int32 [rows], one item each, by weight among those not taken; the number of items where none is left.

    Args:
        weights: uint32 [items], their sum at most 2^31, see `integer_weights`.
        taken: uint32 [rows, words], bit i % 32 of word i // 32 set where item i was taken; others are ignored.
        draws: uint32 [rows], uniform.
    """
    items = weights.shape[0]
    bits = [(taken[:, i // 32] >> jnp.uint32(i % 32)) & jnp.uint32(1) for i in range(items)]
    left = [jnp.where(bit > 0, jnp.uint32(0), weights[i]) for i, bit in enumerate(bits)]
    total = sum(left[1:], start=left[0])
    place = scaled_draw(draws, total).astype(jnp.uint32)
    upto, chosen = jnp.zeros_like(total), jnp.zeros(total.shape, jnp.int32)
    for each in left:
        upto = upto + each
        chosen = chosen + (upto <= place)
    return jnp.where(total > 0, chosen, items)


def with_taken(taken: Array, item: Array, takes: Array) -> Array:
    """Return the masks with one more item taken; a scatter, so that what leads to it is computed once and as vectors.

    Args:
        taken: uint32 [rows, words].
        item: int32 [rows], an item that is not taken yet.
        takes: bool [rows], the others' masks stay.
    """
    bit = jnp.where(takes, jnp.uint32(1) << (item & 31).astype(jnp.uint32), jnp.uint32(0))
    rows = jnp.arange(item.shape[0], dtype=jnp.int32)
    return taken.at[rows, item >> 5].add(bit, mode="drop", unique_indices=True)
