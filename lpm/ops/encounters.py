"""Encounters: whom an agent meets on a layer or under complete mixing, and events that follow each other one by one.

Agents are ranked by outside id, so that neither the order of agents nor the number of devices changes who meets whom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from lpm.network import Layer
from lpm.ops.collective import AXIS, add_shards, gather_rows, own_rows
from lpm.ops.hazard import scaled_draw
from lpm.ops.sample import sample_neighbour
from lpm.random import Key, bits, purpose
from lpm.types import Array


def ranked(ids: Array, present: Array, shards: int) -> tuple[Array, Array]:
    """Return int32 [size], all agents with the present ones first, by outside id; and the number of these."""
    everyone, here = gather_rows(ids, shards), gather_rows(present, shards)
    return jnp.lexsort((everyone, ~here)).astype(jnp.int32), here.sum(dtype=jnp.int32)


def meet_one(layer: Layer, draws: Array, ids: Array, present: Array) -> Array:
    """Return int32 [rows], a uniformly drawn agent that can influence each; `layer.size` where there is none.

    On a layer it is a neighbour, present or not; under complete mixing any other present agent.

    Args:
        layer: Who influences whom.
        draws: uint32 [rows], uniform.
        ids: uint32 [rows], outside ids.
        present: bool [rows].
    """
    if not layer.complete:
        return sample_neighbour(layer, draws)
    order, count = ranked(ids, present, layer.shards)
    rank = jnp.zeros(layer.size, jnp.int32).at[order].set(jnp.arange(layer.size, dtype=jnp.int32))
    return _other(order, count, own_rows(rank, layer.shards), draws)


def _other(order: Array, count: Array, rank: Array, draws: Array) -> Array:
    """Return one of the first `count` of `order` other than the one of that rank; their number where it is alone."""
    place = scaled_draw(draws, jnp.maximum(count - 1, 0))
    place = place + (place >= rank)
    return jnp.where((count > 1) & (rank < count), order[jnp.minimum(place, order.shape[0] - 1)], order.shape[0])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Events:
    """Single updates in the order in which they happen; every device holds all of them.

    Attributes:
        agents: int32 [size], who updates.
        met: int32 [size, picks], whom they look at, with repetition; meaningless where not `valid`.
        valid: bool [size], whether all that are looked at exist and are present.
        count: int32 scalar, how many of the events happen in this step.
    """

    agents: Array
    met: Array
    valid: Array
    count: Array


def draw_events(
    layer: Layer,
    key: Key,
    ids: Array,
    present: Array,
    per_agent: Array,
    picks: int = 1,
    needed: Array | None = None,
) -> Events:
    """Return the events of a step: each concerns a uniformly drawn present agent and `picks` draws of its neighbours.

    Args:
        layer: Who influences whom.
        key: Names the draws of this step.
        ids: uint32 [rows], outside ids.
        present: bool [rows].
        per_agent: float32 scalar, expected events of an agent, at most 1; the total is rounded up or down by chance.
        picks: Neighbours drawn.
        needed: bool [picks], which of them must be there for the event to happen; None = all.
    """
    size, shards = layer.size, layer.shards
    order, count = ranked(ids, present, shards)
    turn = jnp.arange(size, dtype=jnp.uint32)
    rank = scaled_draw(bits(purpose(key, "agent"), turn), count)
    agents = order[rank]
    draws = bits(purpose(key, "pick"), turn[:, None], jnp.arange(picks, dtype=jnp.uint32)[None, :])
    if layer.complete:
        met = _other(order, count, rank[:, None], draws)
    else:
        met = _picked(layer, agents, draws)
    here = jnp.append(gather_rows(present, shards), False)
    chance = (bits(purpose(key, "number"), 0) >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)
    number = jnp.floor(count.astype(jnp.float32) * per_agent + chance).astype(jnp.int32)
    there = here[met] if needed is None else here[met] | ~needed[None, :]
    return Events(agents, met, there.all(1) & (count > 0), jnp.clip(number, 0, size))


def _picked(layer: Layer, agents: Array, draws: Array) -> Array:
    """Return int32 [events, picks], drawn neighbours of any agents: the device that holds a row looks it up."""
    width, split = layer.sources.shape[1], layer.shards > 1 and not layer.replicated
    filled = (layer.sources < layer.size).sum(1, dtype=jnp.int32)
    degrees = jnp.zeros(layer.rows + 1, jnp.int32).at[layer.receivers].add(filled)[:-1]
    row = agents - (jax.lax.axis_index(AXIS) * layer.rows if split else 0)
    mine = (row >= 0) & (row < layer.rows)
    row = jnp.where(mine, row, 0)
    degree = jnp.where(mine, degrees[row], 0)[:, None]
    slot = layer.starts[row][:, None] * width + scaled_draw(draws, degree)
    flat = layer.sources.reshape(-1)
    found = flat[jnp.where(degree > 0, slot, 0)] + 1 if flat.shape[0] else jnp.zeros_like(draws, jnp.int32)
    found = jnp.where(degree > 0, found, 0)
    found = add_shards(found, layer.shards) if split else found
    return jnp.where(found > 0, found - 1, layer.size)


def in_sequence(
    events: Events, values: Array, update: Callable[[Array, Array, Array], Array], extra: Array, shards: int = 1
) -> Array:
    """Return [rows, ...], the values after the events, one after the other.

    Args:
        events: The events.
        values: [rows, ...], this shard's part.
        update: `update(own, theirs, extra)`: the new value of the agent from its own, those met [picks, ...] and the
            event's entry of `extra`.
        extra: [size, ...], what else an event needs (draws).
        shards: Number of devices; all do the same.
    """

    def happen(e: Array, all_: Array) -> Array:
        agent = events.agents[e]
        own = all_[agent]
        new = update(own, all_[jnp.minimum(events.met[e], all_.shape[0] - 1)], extra[e])
        return all_.at[agent].set(jnp.where(events.valid[e], new, own))

    return own_rows(jax.lax.fori_loop(0, events.count, happen, gather_rows(values, shards)), shards)
