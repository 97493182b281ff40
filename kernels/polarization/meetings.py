"""Meetings of the pairwise kernels: who has whom as a partner in a step, and which pairs talk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.matching import match_ties
from lpm.ops.pairs import match_pairs
from lpm.population import Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns

MET = Column("met", "uint8", "had a partner in the last step", levels=("alone", "matched"))
"""Its share is the matched share of a step."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Meetings:
    """The parameter of every kernel of random pairs."""

    meetings: Any = parameter(
        0.5,
        unit="1/day",
        bounds=(0, 1000),
        meaning="chance a day that a matched pair talks; at most one a step",
        source="guess",
        prior=("lognormal", 0.5, 0.5),
    )


@dataclass(frozen=True)
class Pairs:
    """The pairs of a step.

    Attributes:
        matched: bool [rows], who has a partner.
        talks: bool [rows], whose pair talks; both partners say the same.
        partner: int32 [rows], its position among all agents; 0 where there is none.
        low: uint32 [rows], the lower outside id of the pair.
        high: uint32 [rows], the higher one.
    """

    matched: Array
    talks: Array
    partner: Array
    low: Array
    high: Array


def pairs_of(layer: Layer, key: Key, agents: Columns, meetings: Array, dt: float) -> Pairs:
    """Return the pairs of a step: a matching of the layer's ties, or of everybody under complete mixing.

    Args:
        layer: Who is tied to whom.
        key: The kernel's key of this step.
        agents: Columns `id` and `present`.
        meetings: float32 scalar, chance a day that a pair talks.
        dt: Length of a step in days.
    """
    ids, here = agents["id"], agents["present"]
    meet = purpose(key, "meet")
    if layer.complete:
        partner = match_pairs(agent_bits(meet, ids), ids, here, layer.shards)
    else:
        partner = match_ties(layer, meet, ids, here)
    matched, partner = partner >= 0, jnp.maximum(partner, 0)
    them = gather_rows(ids, layer.shards).at[partner].get(mode="promise_in_bounds")
    low, high = jnp.minimum(ids, them), jnp.maximum(ids, them)
    chance = threshold(meetings * (jnp.float32(dt) * layer.scale.reshape(())))
    talks = matched & happens(bits(purpose(key, "talk"), low, high), chance)
    return Pairs(matched, talks, partner, low, high)


def of_partner(values: Array, pairs: Pairs, shards: int) -> Array:
    """Return the values [rows, ...] of each agent's partner; those of agent 0 where there is none."""
    return gather_rows(values, shards).at[pairs.partner].get(mode="promise_in_bounds")


def at_most_one(meetings: Any, where: str, dt: float) -> None:
    """Raise `InputError` where a pair would talk more than once a step."""
    if float(meetings) * dt > 1:
        raise InputError(
            f"{where}.meetings: expected at most {1 / dt:g} (one a step), got {float(meetings):g}; use shorter steps"
        )
