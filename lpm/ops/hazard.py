r"""From hazards to the thresholds that draws are compared with, in integers only.

A hazard x is held in units of 2^-24. The chance of an event, 1 - exp(-x), comes from three small constant tables of
exp(-k), computed once in decimal arithmetic, and exact 32-bit multiplications: the same bits on every backend, device
and platform, which `1 - exp(-x)` in floating point does not give.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from functools import cache

import jax.numpy as jnp
import numpy as np

from lpm.types import Array, HostArray

UNIT_BITS = 24
"""A hazard of 1 is 2^24 units."""

MOST = (1 << 28) - 1
"""Largest hazard in units (just under 16: a chance of 0.9999999); larger ones are held there."""


@cache
def survival_tables() -> tuple[HostArray, HostArray, HostArray]:
    """Return exp(-k 2^-4), exp(-k 2^-14) and exp(-k 2^-24) as uint32 fractions of 2^32 - 1."""
    getcontext().prec = 30
    scale = Decimal(2**32 - 1)

    def table(length: int, bits: int) -> HostArray:
        step = Decimal(1) / Decimal(2**bits)
        return np.array([int((scale * (-step * k).exp()).to_integral_value()) for k in range(length)], np.uint32)

    return table(256, 4), table(1024, 14), table(1024, 24)


def hazard_units(hazard: Array) -> Array:
    """Return a float32 hazard (dimensionless, >= 0) as uint32 units of 2^-24, at most `MOST`."""
    units = jnp.minimum(jnp.round(hazard * jnp.float32(2.0**UNIT_BITS)), jnp.float32(MOST)).astype(jnp.uint32)
    return jnp.minimum(units, jnp.uint32(MOST))  # as a float32, MOST is 2^28


def event_threshold(units: Array) -> Array:
    """Return uint32 thresholds t so that a uniform 32-bit draw is below t with chance 1 - exp(-x).

    Args:
        units: uint32, x in units of 2^-24; above `MOST` held there.
    """
    units = jnp.minimum(units, jnp.uint32(MOST))
    coarse, middle, fine = (jnp.asarray(t) for t in survival_tables())
    index = units.astype(jnp.int32)
    survival = multiply_high(
        multiply_high(
            coarse.at[index >> 20].get(mode="promise_in_bounds"),
            middle.at[(index >> 10) & 1023].get(mode="promise_in_bounds"),
        ),
        fine.at[index & 1023].get(mode="promise_in_bounds"),
    )
    return jnp.where(units == 0, jnp.uint32(0), jnp.uint32(0xFFFF_FFFF) - survival)


def multiply_high(a: Array, b: Array) -> Array:
    """Return the high 32 bits of the product of two uint32 (plus b's rounding: a = 2^32 - 1 returns b)."""
    low, high = jnp.uint32(0xFFFF), jnp.uint32(16)
    a0, a1, b0, b1 = a & low, a >> high, b & low, b >> high
    first, second, third, fourth = a0 * b0, a0 * b1, a1 * b0, a1 * b1
    middle = (first >> high) + (second & low) + (third & low)
    product_high = fourth + (second >> high) + (third >> high) + (middle >> high)
    product_low = (middle << high) | (first & low)
    # a and b are fractions of 2^32 - 1, not of 2^32: (a b + b) / 2^32 makes exp(0) times b exactly b
    return product_high + (product_low + b < product_low).astype(jnp.uint32)


def scaled_draw(draws: Array, count: Array) -> Array:
    """Return int32 uniform on 0 .. count - 1 from 32-bit draws (0 where count is 0), off by at most count / 2^32."""
    low, high = jnp.uint32(0xFFFF), jnp.uint32(16)
    n = count.astype(jnp.uint32)
    a0, a1, b0, b1 = draws & low, draws >> high, n & low, n >> high
    first, second, third = a0 * b0, a0 * b1, a1 * b0
    middle = (first >> high) + (second & low) + (third & low)
    return (a1 * b1 + (second >> high) + (third >> high) + (middle >> high)).astype(jnp.int32)
