r"""Meetings of the pairwise kernels: who meets whom in a step, by matching or one pair after the other.

Random pairs: a matching gives every agent at most one partner a step, and a matched pair talks with chance
:math:`m\,\Delta t`. All pairs of a step are disjoint, so that they talk at once. On a layer a hub has one partner a
step like everybody, however many ties it has.

Random-sequential: :math:`N m\,\Delta t / 2` pairs follow each other, each drawn from all and seeing what the ones
before it left: an agent takes part m times a day on average, on a layer the oftener the more ties it has.

Both schedules have the same limit of short steps only where everybody meets everybody, or all ties are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Layer
from lpm.ops.collective import look_up
from lpm.ops.matching import match_ties
from lpm.ops.pairs import match_pairs
from lpm.ops.sequences import Draws, pair_by_pair, refuse_endless
from lpm.population import Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns

MET = Column("met", "uint8", "had a partner in the last step", levels=("alone", "matched"))
"""Its share is the matched share of a step."""

SCHEDULES = ("random pairs", "random-sequential")


@partial(jax.tree_util.register_dataclass, data_fields=["meetings"], meta_fields=["schedule"])
@dataclass(frozen=True)
class Meetings:
    """The parameters of every kernel of pairs."""

    meetings: Any = parameter(
        0.5,
        unit="1/day",
        bounds=(0, 1000),
        meaning="random pairs: chance a day that a matched pair talks, at most one a step; "
        "random-sequential: expected meetings of an agent",
        source="guess",
        prior=("lognormal", 0.5, 0.5),
    )
    schedule: str = parameter(
        "random pairs",
        unit="1",
        choices=SCHEDULES,
        meaning="random pairs: disjoint pairs of a matching, at once; random-sequential: one pair after the other",
        source="the papers meet one pair at a time (random-sequential); a matching is the faster one",
        initial=True,
    )


Rule = Callable[[Array, Array, Any, Draws], Array]
"""rule(own, theirs, active, draws): the new value of one of a pair; `active` is true of one of the two."""


def meet(
    layer: Layer,
    key: Key,
    agents: Columns,
    params: Any,
    dt: float,
    column: str,
    rule: Rule,
    *,
    draws: Sequence[str] = (),
    of_ties: bool = True,
) -> Mapping[str, Array]:
    """Return the column, and `met`, after the meetings of a step.

    Args:
        layer: Who is tied to whom.
        key: The kernel's key of this step.
        agents: Columns `id`, `present`, `met` and `column`.
        params: Holds the fields of `Meetings`.
        dt: Length of a step in days.
        column: Name of the column that changes, [rows, ...].
        rule: Elementwise over pairs; it may be called on whole columns or on the values of one agent.
        draws: Purposes of the draws that a pair needs, one for both.
        of_ties: Random-sequential only: ties are drawn uniformly; else agents, and a neighbour of each.
    """
    values, here = agents[column], agents["present"]
    if params.schedule == "random-sequential":
        each = params.meetings * (jnp.float32(dt) * layer.scale.reshape(())) * jnp.float32(0.5)

        def talk(own: Array, theirs: Array, drawn: Draws) -> tuple[Array, Array]:
            return rule(own, theirs, True, drawn), rule(theirs, own, False, drawn)

        new, matched = pair_by_pair(layer, key, agents, each, values, talk, draws=draws, of_ties=of_ties)
    else:
        pairs = pairs_of(layer, key, agents, params.meetings, dt)
        theirs, matched = of_partner(values, pairs, layer.shards), pairs.matched
        first = bits(purpose(key, "active"), pairs.low, pairs.high) >> 31 == 0  # the lower id is the active one
        active = jnp.where(first, agents["id"] == pairs.low, agents["id"] == pairs.high)
        drawn = {name: bits(purpose(key, name), pairs.low, pairs.high) for name in draws}
        talks = pairs.talks.reshape(-1, *(1 for _ in values.shape[1:]))
        new = jnp.where(talks, rule(values, theirs, active, drawn), values)
    return {column: new, "met": jnp.where(here, matched.astype(jnp.uint8), agents["met"])}


@dataclass(frozen=True)
class Pairs:
    """The pairs of a matching.

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
    open_ = layer.scale.reshape(()) > 0  # a layer that policy closes matches nobody
    matched, partner = (partner >= 0) & open_, jnp.maximum(partner, 0)
    them = look_up(ids, partner, layer.shards)
    low, high = jnp.minimum(ids, them), jnp.maximum(ids, them)
    chance = threshold(meetings * (jnp.float32(dt) * layer.scale.reshape(())))
    talks = matched & happens(bits(purpose(key, "talk"), low, high), chance)
    return Pairs(matched, talks, partner, low, high)


def of_partner(values: Array, pairs: Pairs, shards: int) -> Array:
    """Return the values [rows, ...] of each agent's partner; those of agent 0 where there is none."""
    return look_up(values, pairs.partner, shards)


def at_most_one(params: Any, where: str, dt: float) -> None:
    """Raise `InputError` where the pairs of a matching would talk more than once a step, or a sequence be endless."""
    if params.schedule == "random-sequential":
        refuse_endless(params.meetings, f"{where}.meetings", dt)
    elif float(params.meetings) * dt > 1:
        raise InputError(
            f"{where}.meetings: expected at most {1 / dt:g} (one a step), got {float(params.meetings):g}; use shorter "
            'steps, or schedule = "random-sequential"'
        )
