"""Group reduction: exact weighted sums by group, and over everybody.

Sums are taken in 64-bit integers and leave as two 32-bit limbs, because 64-bit arrays stay off globally.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from lpm.ops.collective import add_shards
from lpm.ops.dispatch import implement, implementation
from lpm.ops.straight import straight
from lpm.population import WEIGHT_UNIT
from lpm.types import Array, HostArray


def sum_by_group(values: Array, group: Array, groups: int, shards: int = 1) -> Array:
    """Return uint32 [groups, 2], the exact sums of integers by group as limbs (low, high).

    Args:
        values: Integers [rows] (int32 or uint32), this shard's part.
        group: int32 [rows], the group of each row; a row outside 0 .. groups - 1 counts nowhere.
        groups: Number of groups.
        shards: Number of devices.
    """
    with jax.enable_x64(True):
        return limbs(add_shards(implementation("groups")(values, group, groups), shards))


@implement("groups", "numba")  # measured: what XLA makes of it is as fast as a loop
@implement("groups", "xla")
def _groups(values: Array, group: Array, groups: int) -> Array:
    return _scattered(values.astype(jnp.int64), group, groups)


def _scattered(values: Array, group: Array, groups: int) -> Array:
    """Return int64 [groups]; negative groups do not count from the end, as an index of an array would."""
    if groups == 1:  # a plain sum is several times faster than a scatter
        return jnp.where(group == 0, values, 0).sum(keepdims=True)
    zeros = jnp.zeros(groups, jnp.int64)
    return zeros.at[group].add(values, mode="drop", wrap_negative_indices=False)


def total(values: Array, shards: int = 1) -> Array:
    """Return uint32 [2], the exact sum of integers over everybody as limbs (low, high)."""
    with jax.enable_x64(True):
        return limbs(add_shards(values.sum(dtype=jnp.int64), shards))


def weighted_sum_by_group(values: Array, weight: Array, group: Array, groups: int, bits: int, shards: int = 1) -> Array:
    """Return uint32 [groups, 2], exact sums of weight x value by group as limbs (low, high), in units 2^-(16 + bits).

    Args:
        values: float32 [rows]; each is rounded once to a multiple of 2^-bits.
        weight: uint32 [rows], 1/65536 person.
        group: int32 [rows]; a row outside 0 .. groups - 1 counts nowhere.
        groups: Number of groups.
        bits: Declared scale, see `fraction_bits`; negative for large values.
        shards: Number of devices.
    """
    with jax.enable_x64(True):
        sums = implementation("weighted groups")(values, weight, group, groups, bits)
        return limbs(add_shards(sums, shards))


def amount_by_group(values: Array, weight: Array, group: Array, groups: int, bits: int, shards: int = 1) -> Array:
    """Return float32 [groups], the sums of `weighted_sum_by_group` rounded once, in the values' unit times people.

    They are differentiable in `values`, in forward and in reverse mode: what a loss on a mean or sum is made of. The
    arguments are those of `weighted_sum_by_group`.
    """
    with jax.enable_x64(True):
        sums = add_shards(implementation("weighted groups")(values, weight, group, groups, bits), shards)
        exact = (sums.astype(jnp.float64) * (2.0**-bits / WEIGHT_UNIT)).astype(jnp.float32)
    people = weight.astype(jnp.float32) * jnp.float32(1 / WEIGHT_UNIT)
    zeros = jnp.zeros(groups, jnp.float32)
    smooth = zeros.at[group].add(values.astype(jnp.float32) * people, mode="drop", wrap_negative_indices=False)
    return straight(exact, add_shards(smooth, shards))


@implement("weighted groups", "numba")  # measured: what XLA makes of it is as fast as a loop
@implement("weighted groups", "xla")
def _weighted(values: Array, weight: Array, group: Array, groups: int, bits: int) -> Array:
    fixed = jnp.round(values.astype(jnp.float64) * 2.0**bits).astype(jnp.int64) * weight.astype(jnp.int64)
    return _scattered(fixed, group, groups)


def fraction_bits(largest: float, people: float) -> int:
    """Return the finest scale (at most 24 bits) at which the sum over so many people stays below 2^62.

    Args:
        largest: Largest size of a value.
        people: People of all agents together.
    """
    whole = 62 - 16 - math.ceil(math.log2(max(people, 1.0)))
    return min(24, whole - math.ceil(math.log2(max(largest, 2.0**-16))))


def limbs(sums: Array) -> Array:
    """Return int64 sums as uint32 [..., 2], (low, high), two's complement; call it under `enable_x64`."""
    low = (sums & 0xFFFF_FFFF).astype(jnp.uint32)
    high = ((sums >> 32) & 0xFFFF_FFFF).astype(jnp.uint32)
    return jnp.stack([low, high], axis=-1)


def integers_of(pair: HostArray) -> HostArray:
    """Return int64 from limbs [..., 2] on the host."""
    low, high = pair[..., 0].astype(np.uint64), pair[..., 1].astype(np.uint64)
    return (low | (high << np.uint64(32))).view(np.int64)


def people_of(pair: HostArray) -> HostArray:
    """Return float64 people from limbs [..., 2] of sums of weights on the host."""
    return integers_of(pair).astype(np.float64) / WEIGHT_UNIT
