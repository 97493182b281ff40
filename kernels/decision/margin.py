r"""Chances whose log odds differ as told and whose mean is given: the one number that all are shifted by.

.. math:: P_a = \frac{1}{1 + e^{-s_a - c}},\qquad \frac{\sum_a w_a P_a}{\sum_a w_a} = \ell

c comes from 52 halvings of an interval that holds it for certain, [logit l - max s, logit l - min s], in float64. Sums
are of 64-bit integers, chances in units of 2^-31 and weights in units of 2^-31 of all, so that neither the number of
devices nor the order in which XLA adds changes a bit. The mean keeps to l within 1e-5 for any s up to 4e7 in size and
any 20,000 weights: A 2^-32 are from weights, 2^-23 from people in float32, 2^-24 from chances in float32; what halving
leaves of the interval is less.

Reference: the shift that holds a margin fixed while odds ratios are given is W. E. Deming and F. F. Stephan, 1940, "On
a least squares adjustment of a sampled frequency table", doi:10.1214/aoms/1177731829.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lpm.population import WEIGHT_UNIT
from lpm.types import Array

HALVINGS = 52
"""Of an interval at most 8e7 wide: 2e-8 is left, and the mean moves by a quarter of that at most."""

SHARE = 2.0**31
"""Fixed point of chances and of weights: their products sum to 2^62."""


def weights_of(people: Array) -> Array:
    """Return uint32 [A], people in units of 2^-31 of all of them; 0 where there is nobody."""
    with jax.enable_x64(True):
        units = jnp.round(people.astype(jnp.float64) * WEIGHT_UNIT).astype(jnp.int64)
        whole = jnp.maximum(units.sum(), 1).astype(jnp.float64)
        return jnp.round(units.astype(jnp.float64) * (SHARE / whole)).astype(jnp.uint32)


def chances(odds: Array, weight: Array, level: Array, beta: Array) -> Array:
    """Return P float32 [A], whose mean is `level`.

    Args:
        odds: z, log odds float32 [A]; NaN makes every chance NaN.
        weight: uint32 [A], see `weights_of`; where nobody is in any, all count alike.
        level: The mean, float32 scalar.
        beta: What log odds are multiplied by, float32 scalar.
    """
    with jax.enable_x64(True):
        scaled, mean = odds.astype(jnp.float64) * beta.astype(jnp.float64), level.astype(jnp.float64)
        counts = jnp.where((weight > 0).any(), weight, 1).astype(jnp.int64)
        there = counts > 0
        inside = jnp.clip(mean, 1e-9, 1 - 1e-9)
        middle = jnp.log(inside) - jnp.log1p(-inside)
        least = jnp.min(jnp.where(there, scaled, jnp.inf))
        most = jnp.max(jnp.where(there, scaled, -jnp.inf))
        target = jnp.round(mean * (counts.sum().astype(jnp.float64) * SHARE)).astype(jnp.int64)

        def halved(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            half = (low + high) / 2
            units = jnp.round(jax.nn.sigmoid(scaled + half) * SHARE).astype(jnp.int64)
            less = (units * counts).sum() < target
            return jnp.where(less, half, low), jnp.where(less, high, half)

        low, high = jax.lax.fori_loop(0, HALVINGS, halved, (middle - most, middle - least))
        found = jax.nn.sigmoid(scaled + (low + high) / 2).astype(jnp.float32)
        unknown = jnp.isnan(scaled).any() | jnp.isnan(mean)
    held = jnp.where(level <= 0, np.float32(0), jnp.where(level >= 1, np.float32(1), found))
    return jnp.where(unknown, np.float32(np.nan), held)
