"""Choice among the untaken: every agent takes one of some items by weight, none twice.

What was taken is a bit mask of uint32 words, so that a choice among 64 items costs an agent 8 bytes of state, and the
weights are shared by all agents. They are integers: chances are exact ratios, to 2^-32 of a draw.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lpm.ops.dispatch import implement, implementation
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
    return implementation("untaken")(weights, taken, draws)


def with_taken(taken: Array, item: Array) -> Array:
    """Return the masks with one more item taken; item numbers beyond the last word change nothing."""
    words = jnp.arange(taken.shape[1], dtype=jnp.int32)
    bit = jnp.uint32(1) << (item & 31).astype(jnp.uint32)
    return taken | jnp.where((item >> 5)[:, None] == words[None, :], bit[:, None], jnp.uint32(0))


@implement("untaken", "numba")  # measured: XLA's vectors take 8 ms for a million agents, a loop over set bits 70
@implement("untaken", "xla")
def _untaken(weights: Array, taken: Array, draws: Array) -> Array:
    items = weights.shape[0]
    bits = [(taken[:, i // 32] >> jnp.uint32(i % 32)) & jnp.uint32(1) for i in range(items)]
    left = [jnp.where(bit > 0, jnp.uint32(0), weights[i]) for i, bit in enumerate(bits)]
    total = sum(left[1:], start=left[0])
    place = scaled_draw(draws, total).astype(jnp.uint32)
    upto, chosen = jnp.zeros_like(total), jnp.zeros(total.shape, jnp.int32)
    for each in left:
        upto = upto + each
        chosen = chosen + (upto <= place)
    # without the barrier all of this is fused into whatever uses it, once more each time and not as vectors in a scatter
    return jax.lax.optimization_barrier(jnp.where(total > 0, chosen, items))
