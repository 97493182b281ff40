r"""From hazards to the thresholds that draws are compared with, in integers only.

A hazard x is held in units of 2^-24. The chance of an event, 1 - exp(-x), is computed in 64-bit integers:
:math:`e^{-x} = 2^{-n} 2^{-f}` with n the whole part and f the first 32 bits of the fraction of :math:`x \log_2 e`, and
:math:`2^{-f}` a polynomial of degree 7. The same bits come out on every backend, device and platform, which
`1 - exp(-x)` in floating point does not give; they are off by less than 2^-29, and never fall as x grows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lpm.types import Array

UNIT_BITS = 24
"""A hazard of 1 is 2^24 units."""

MOST = (1 << 28) - 1
"""Largest hazard in units (just under 16: a chance of 0.9999999); larger ones are held there."""


LOG2_E = 49_570_624_150
"""log2(e) in units of 2^-35."""

POWERS = (2_977_044_460, 1_031_764_701, 238_385_821, 41_299_193, 5_703_695, 633_068, 46_634)
"""Coefficients of 1 - 2^-f = f (c1 - f (c2 - f (c3 - ...))) in units of 2^-32: a least-squares fit over [0, 1]."""


def hazard_units(hazard: Array) -> Array:
    """Return a float32 hazard (dimensionless, >= 0) as uint32 units of 2^-24, at most `MOST`."""
    units = jnp.minimum(jnp.round(hazard * jnp.float32(2.0**UNIT_BITS)), jnp.float32(MOST)).astype(jnp.uint32)
    return jnp.minimum(units, jnp.uint32(MOST))  # as a float32, MOST is 2^28


def event_threshold(units: Array) -> Array:
    """Return uint32 thresholds t so that a uniform 32-bit draw is below t with chance 1 - exp(-x).

    Args:
        units: uint32, x in units of 2^-24; above `MOST` held there.
    """
    with jax.enable_x64(True):
        powers = jnp.minimum(units, jnp.uint32(MOST)).astype(jnp.uint64) * jnp.uint64(LOG2_E)
        fraction = (powers >> jnp.uint64(27)) & jnp.uint64(0xFFFF_FFFF)
        gone = jnp.full_like(fraction, POWERS[-1])
        for coefficient in reversed(POWERS[:-1]):
            gone = jnp.uint64(coefficient) - ((fraction * gone) >> jnp.uint64(32))
        half = jnp.uint64(1 << 31)
        survival = (jnp.uint64(1 << 32) - ((fraction * gone + half) >> jnp.uint64(32))) >> (powers >> jnp.uint64(59))
        return (jnp.uint64(1 << 32) - survival).astype(jnp.uint32)


def scaled_draw(draws: Array, count: Array) -> Array:
    """Return int32 uniform on 0 .. count - 1 from 32-bit draws (0 where count is 0), off by at most count / 2^32."""
    with jax.enable_x64(True):
        return ((draws.astype(jnp.uint64) * count.astype(jnp.uint64)) >> jnp.uint64(32)).astype(jnp.int32)
