"""What the kernels of opinion share: their columns, first values, the one layer that they look at, shares of a step."""

from __future__ import annotations

import jax.numpy as jnp

from lpm.network import Layer
from lpm.network import one_layer as one_layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold, uniform
from lpm.types import Array, Columns

OPINION = Column("opinion", "float32", "opinion on one question", bounds=(-1, 1))
"""Opinion on one question, float32 from -1 to 1; papers that let opinions run from 0 to 1 halve every distance."""

VOTE = Column("vote", "uint8", "side taken on one question", levels=("against", "for"))
"""Binary opinion of the voter, q-voter and majority kernels."""

UNIT_BITS = 24
"""Opinions are compared and summed as int32 multiples of 2^-24."""

NOBODY = 1 << 30
"""Fixed-point opinion of an absent agent: further from everybody than any threshold."""


def share_of_step(daily: Array, dt: float, layer: Layer) -> Array:
    """Return float32, what a daily share or chance comes to in a step: 1 - (1 - daily)^(scale dt).

    Args:
        daily: float32, 0 to 1; 1 = the whole of it at every step, however long.
        dt: Length of a step in days.
        layer: Policy that scales the layer's contacts makes its day as much shorter.
    """
    return 1 - (1 - daily) ** (jnp.float32(dt) * layer.scale.reshape(()))


def fixed_point(opinion: Array, here: Array) -> Array:
    """Return int32 [rows], opinions as multiples of 2^-24; `NOBODY` for the absent."""
    units = jnp.round(opinion * jnp.float32(2.0**UNIT_BITS)).astype(jnp.int32)
    return jnp.where(here, units, jnp.int32(NOBODY))


def mean_heard(layer: Layer, opinion: Array, here: Array) -> Array:
    """Return float32 [rows], the mean opinion of the present neighbours; one's own where there are none."""
    heard, count = sum_neighbours(layer, lambda x, z, c: x, (jnp.where(here, opinion, 0), here))
    return jnp.where(count > 0, heard / jnp.maximum(count, 1).astype(jnp.float32), opinion)


def first_opinions(key: Key, agents: Columns, spread: Array) -> Columns:
    """Return opinions uniform from -spread to spread; those of absent agents are 0."""
    draws = uniform(purpose(key, "initial"), agents["id"])
    return {"opinion": jnp.where(agents["present"], (draws * 2 - 1) * spread, jnp.float32(0))}


def first_votes(key: Key, agents: Columns, share: Array) -> Columns:
    """Return votes, "for" by chance `share`; those of absent agents are "against"."""
    drawn = happens(agent_bits(purpose(key, "initial"), agents["id"]), threshold(share))
    return {"vote": (drawn & agents["present"]).astype(jnp.uint8)}


def moved(opinion: Array, goal: Array, share: Array, here: Array) -> Array:
    """Return the opinions after that share of the way to a goal, within -1 to 1; absent agents stay."""
    return jnp.where(here, jnp.clip(opinion + share * (goal - opinion), -1, 1), opinion)
