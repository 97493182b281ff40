"""The only places where devices talk: gather every shard's rows, visit them in turn, or add up exact integers.

What is one byte or less is gathered: booleans as bits, 32 a word. Wider values are visited where an op can (`look_up`,
and sums over a layer's buckets): every device holds its own rows and those of one other device, which are passed round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lpm.types import Array

AXIS = "agents"
"""Name of the mesh axis over which agents are spread."""

WORD = 32
"""Bits of a word. Where the rows of a device are whole words, bits are looked up as they travel, never unpacked."""

PLAIN: Any = {"mode": "promise_in_bounds", "wrap_negative_indices": False}
"""Look-ups whose numbers are all within bounds; else XLA holds the rows of a layer twice, to count from the end."""

Carry = TypeVar("Carry")


def gather_rows(values: Array, shards: int) -> Array:
    """Return the rows of all shards, [shards * rows, ...], in order of shards; booleans travel as bits."""
    if shards == 1:
        return values
    if values.dtype == bool and values.ndim == 1:
        return unpacked(jax.lax.all_gather(packed(values), AXIS, tiled=True), shards, values.shape[0])
    return jax.lax.all_gather(values, AXIS, tiled=True)


def own_rows(values: Array, shards: int) -> Array:
    """Return this shard's part of rows that every shard holds."""
    if shards == 1:
        return values
    rows = values.shape[0] // shards
    return jax.lax.dynamic_slice_in_dim(values, jax.lax.axis_index(AXIS) * rows, rows)


def add_shards(values: Array, shards: int) -> Array:
    """Return the sum over shards of integers (exact, so the order does not matter)."""
    return values if shards == 1 else jax.lax.psum(values, AXIS)


@dataclass(frozen=True)
class Bits:
    """The booleans of all agents, a bit each; what tells of arrays tells of them unpacked.

    Attributes:
        words: uint32 [size / 32].
        size: Number of agents.
    """

    words: Array
    size: int
    dtype = np.dtype(bool)
    ndim = 1

    @property
    def shape(self) -> tuple[int]:
        """Shape of the booleans."""
        return (self.size,)


def everyone(values: Array, shards: int) -> Any:
    """Return the values [rows, ...] of all shards: `Bits` for booleans in whole words, else an array."""
    rows = values.shape[0]
    if shards > 1 and values.dtype == bool and values.ndim == 1 and rows % WORD == 0:
        return Bits(jax.lax.all_gather(packed(values), AXIS, tiled=True), shards * rows)
    return gather_rows(values, shards)


def packed(flags: Array) -> Array:
    """Return uint32 [words], bit k of word w of flag 32 w + k; bool [rows], the last word is filled with False."""
    whole = jnp.pad(flags, (0, -flags.shape[0] % WORD)).reshape(-1, WORD)
    return (whole.astype(jnp.uint32) << jnp.arange(WORD, dtype=jnp.uint32)[None, :]).sum(1, dtype=jnp.uint32)


def unpacked(words: Array, shards: int, rows: int) -> Array:
    """Return bool [shards * rows] from the words of all shards."""
    flags = (words[:, None] >> jnp.arange(WORD, dtype=jnp.uint32)[None, :]) & jnp.uint32(1)
    return flags.astype(bool).reshape(shards, -1)[:, :rows].reshape(-1)


def is_small(values: Array) -> bool:
    """Return whether values are gathered from all devices, because an agent's is a byte at most."""
    return values.ndim == 1 and np.dtype(values.dtype).itemsize == 1


def visit(values: Any, shards: int, look: Callable[[Array, Any, Carry], Carry], carry: Carry) -> Carry:
    """Return the carry after every device has looked at the rows of all devices, one after the other.

    Device d sees its own rows first, then those of device d + 1, and so on round; beside its own a device holds rows of
    two others at most. The results must not depend on the order.

    Args:
        values: Pytree of [rows, ...] arrays, this shard's part.
        shards: Number of devices.
        look: `look(number, block, carry)`: what the rows `block` of device d + number make of the carry.
        carry: A pytree.
    """
    return travel(values, shards, lambda number, block, carry: (block, look(number, block, carry)), carry)[1]


def travel(
    values: Any, shards: int, look: Callable[[Array, Any, Carry], tuple[Any, Carry]], carry: Carry
) -> tuple[Any, Carry]:
    """Return what came home and the carry, where devices also write on the blocks that `visit` passes round."""
    onwards = [(device, (device - 1) % shards) for device in range(shards)]

    def one(number: Array, state: tuple[Any, Carry]) -> tuple[Any, Carry]:
        block, carry = look(number, *state)
        return jax.tree.map(lambda x: jax.lax.ppermute(x, AXIS, onwards), block), carry

    return jax.lax.fori_loop(0, shards, one, (values, carry))


def look_up(values: Array, places: Array, shards: int) -> Array:
    """Return the values [places, ...] of agents of all shards.

    Args:
        values: [rows, ...], this shard's part; of a byte at most they are gathered, else visited.
        places: int32, positions over all shards, all within them.
        shards: Number of devices.
    """
    if shards == 1 or is_small(values):
        return gather_rows(values, shards).at[places].get(**PLAIN)
    rows, me = values.shape[0], jax.lax.axis_index(AXIS)

    def look(number: Array, block: Array, found: Array) -> Array:
        here = places - (me + number) % shards * rows
        inside = (here >= 0) & (here < rows)
        theirs = block.at[jnp.where(inside, here, 0)].get(**PLAIN)
        return jnp.where(inside.reshape(*inside.shape, *(1,) * (theirs.ndim - inside.ndim)), theirs, found)

    return visit(values, shards, look, jnp.zeros((*places.shape, *values.shape[1:]), values.dtype))
