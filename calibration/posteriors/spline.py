"""Monotone rational-quadratic splines, the identity outside of [-BOUND, BOUND].

Between two knots the curve is the quotient of two quadratic polynomials that has given slopes at both (Gregory &
Delbourgo 1982, IMA Journal of Numerical Analysis 2:123-130), as layers of flows use it (Durkan et al. 2019, "Neural
spline flows").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lpm.types import Array

BOUND = 4.0
"""Splines act between -4 and 4 standard deviations, where all but 1 in 16,000 of a normal variable lies."""

LEAST = 1e-3
"""Smallest width, height and slope of a spline's piece, relative to an even one: keeps it invertible in float32."""


def spline(x: Array, numbers: Array, inverse: bool = False) -> tuple[Array, Array]:
    """Return y and log |dy/dx| of a monotone rational-quadratic spline, elementwise.

    Args:
        x: float32 [...].
        numbers: float32 [..., 3 K - 1]: K widths and K heights before their softmax, K - 1 slopes before softplus; all
            0 is the identity.
        inverse: Return the inverse function's value instead, and minus the log slope there.
    """
    bins = (numbers.shape[-1] + 1) // 3

    def knots(raw: Array) -> Array:
        share = LEAST + (1 - LEAST * bins) * jax.nn.softmax(raw, -1)
        inner = 2 * BOUND * jnp.cumsum(share, -1)[..., :-1] - BOUND
        edge = jnp.full((*inner.shape[:-1], 1), BOUND)
        return jnp.concatenate([-edge, inner, edge], -1)

    across, up = knots(numbers[..., :bins]), knots(numbers[..., bins : 2 * bins])
    even = float(np.log(np.expm1(1 - LEAST)))  # softplus of this is 1 - LEAST: slope 1
    slopes = LEAST + jax.nn.softplus(numbers[..., 2 * bins :] + even)
    one = jnp.ones((*slopes.shape[:-1], 1))
    slopes = jnp.concatenate([one, slopes, one], -1)
    inside = jnp.abs(x) < BOUND
    at = jnp.where(inside, x, 0.0)
    source = up if inverse else across
    piece = jnp.clip((at[..., None] >= source).sum(-1) - 1, 0, bins - 1)[..., None]

    def of(table: Array, more: int = 0) -> Array:
        return jnp.take_along_axis(table, piece + more, -1)[..., 0]

    x0, y0, width, height = of(across), of(up), of(across, 1) - of(across), of(up, 1) - of(up)
    d0, d1, mean = of(slopes), of(slopes, 1), height / width
    if inverse:
        rise = at - y0
        bent = rise * (d0 + d1 - 2 * mean)
        a, b, c = height * (mean - d0) + bent, height * d0 - bent, -mean * rise
        part = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
    else:
        part = (at - x0) / width
    rest = 1 - part
    below = mean + (d0 + d1 - 2 * mean) * part * rest
    value = x0 + part * width if inverse else y0 + height * (mean * part**2 + d0 * part * rest) / below
    slope = 2 * jnp.log(mean) + jnp.log(d1 * part**2 + 2 * mean * part * rest + d0 * rest**2) - 2 * jnp.log(below)
    return jnp.where(inside, value, x), jnp.where(inside, -slope if inverse else slope, 0.0)
