"""Categorical choice: every agent takes one of K actions with its own chances."""

from __future__ import annotations

import jax.numpy as jnp

from lpm.ops.dispatch import implement, implementation
from lpm.random import happens, threshold
from lpm.types import Array


def choose(thresholds: Array, draws: Array) -> Array:
    """Return int32 [rows], the number of thresholds that each draw reaches.

    A threshold of 2^32 - 1 is reached by no draw (`lpm.random.ALWAYS`), so an action without a chance is never taken.

    Args:
        thresholds: uint32 [rows, K - 1] or [K - 1], ascending: threshold k is the chance of an action <= k, as a
            fraction of 2^32 (see `cumulative_thresholds`).
        draws: uint32 [rows], uniform.

    Returns:
        The action 0 .. K - 1.
    """
    return implementation("choice")(thresholds, draws)


@implement("choice", "numba")  # elementwise: what XLA makes of it is the loop
@implement("choice", "xla")
def _choice(thresholds: Array, draws: Array) -> Array:
    limits = thresholds if thresholds.ndim == 2 else thresholds[None, :]
    return (~happens(draws[:, None], limits)).sum(-1, dtype=jnp.int32)


def cumulative_thresholds(chances: Array) -> Array:
    """Return uint32 [..., K - 1], cumulative chances as fractions of 2^32.

    Args:
        chances: float32 [..., K], non-negative; they are divided by their sum.
    """
    share = jnp.cumsum(chances, -1)
    return threshold(share[..., :-1] / share[..., -1:])
