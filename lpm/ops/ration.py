"""Rationing: whom a limited capacity reaches, at random and exactly.

Agents are served in the order of their draws until the capacity in people is used up. Finding where it is used up takes
three exact histograms (12, 12 and 8 bits of the draw) instead of a sort.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lpm.ops.groups import sum_by_group
from lpm.population import WEIGHT_UNIT
from lpm.types import Array


def ration(wanted: Array, weight: Array, draws: Array, capacity: Array, shards: int = 1) -> Array:
    """Return bool [rows], the wanted agents that are reached: the people among them are at most `capacity`.

    Args:
        wanted: bool [rows].
        weight: uint32 [rows], 1/65536 person.
        draws: uint32 [rows], uniform: the order of service. Agents of one draw are reached together or not at all.
        capacity: float32 scalar, people.
        shards: Number of devices.
    """
    asked = jnp.where(wanted, weight, 0)
    known, limit = 0, jnp.uint32(0)
    with jax.enable_x64(True):
        left = jnp.floor(capacity.astype(jnp.float64) * WEIGHT_UNIT).astype(jnp.int64)
    everyone = jnp.bool_(True)
    for bits in (12, 12, 8):
        same = (draws >> jnp.uint32(32 - known)) == (limit >> jnp.uint32(32 - known)) if known else True
        digit = (draws >> jnp.uint32(32 - known - bits)) & jnp.uint32((1 << bits) - 1)
        pairs = sum_by_group(jnp.where(same, asked, 0), digit.astype(jnp.int32), 1 << bits, shards)
        with jax.enable_x64(True):
            sums = pairs[:, 0].astype(jnp.int64) | (pairs[:, 1].astype(jnp.int64) << 32)
            upto = jnp.cumsum(sums)
            full = (upto <= left).sum(dtype=jnp.int32)  # digits that fit as a whole
            fits = full == (1 << bits)
            used = jnp.where(full > 0, upto[jnp.maximum(full - 1, 0)], 0)
            left = left - used
        everyone = everyone if known else fits  # later digits look only at those among whom it runs out
        chosen = jnp.minimum(full, (1 << bits) - 1).astype(jnp.uint32)
        limit = limit | (chosen << jnp.uint32(32 - known - bits))
        known += bits
    return wanted & (everyone | (draws < limit))
