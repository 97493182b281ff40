"""Terms of exact sums: integers as they are, floats rounded once to a declared fixed point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.types import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fixed:
    """Terms that are in fixed point already: summed in 64 bits, their sum leaves as float32.

    Attributes:
        units: int32, in units of 2^-bits of the sum that they are for.
        value: float32, the terms that the units round, by which the sum is differentiated; None = their sum has no
            derivative, because integers have none.
    """

    units: Array
    value: Array | None = None


def is_fixed(term: Any) -> bool:
    """Return whether a node of a tree is one term, and no tree of terms."""
    return isinstance(term, Fixed)


def is_wide(term: Any) -> bool:
    """Return whether a term is summed in 64 bits and leaves as float32."""
    return is_fixed(term) or jnp.issubdtype(jnp.asarray(term).dtype, jnp.floating)


def exact(term: Any, bits: int) -> Array:
    """Return a term as int32; floats as multiples of 2^-bits."""
    if isinstance(term, Fixed):
        return term.units
    term = jnp.asarray(term)
    if jnp.issubdtype(term.dtype, jnp.floating):
        return jnp.round(term * jnp.float32(2.0**bits)).astype(jnp.int32)
    return term.astype(jnp.int32)


def smooth(term: Any) -> Array | None:
    """Return a term as it is before it is rounded, float32; None where it has no derivative."""
    if isinstance(term, Fixed):
        return term.value
    return jnp.asarray(term) if is_wide(term) else None


def scaled(sums: Array, bits: int) -> Array:
    """Return int64 fixed point as float32: one rounding, then an exact power of two."""
    return sums.astype(jnp.float32) * jnp.float32(2.0**-bits)
