"""Encounters: whom an agent meets on a layer or under complete mixing, and the draws of single events.

Agents are ranked by outside id, so that neither the order of agents nor the number of devices changes who meets whom.
What events do to the agents, one after the other, is in `lpm.ops.sequences`. The rank of one depends on the ids of all:
every device holds an id of 32 bits and a bit of presence for every agent where events are drawn, or under complete
mixing.
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
        count: int32 scalar, how many of the events happen.
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
    people = ranked(ids, present, layer.shards)
    number = rounded_by_chance(key, people[1].astype(jnp.float32) * per_agent)
    return events_of_agents(layer, key, people, present, jnp.clip(number, 0, layer.size), picks, needed)


def rounded_by_chance(key: Key, expected: Array) -> Array:
    """Return int32, the number before or after `expected`, so that it is `expected` on average."""
    chance = (bits(purpose(key, "number"), 0) >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)
    return jnp.floor(expected + chance).astype(jnp.int32)


def events_of_agents(
    layer: Layer,
    key: Key,
    people: tuple[Array, Array],
    present: Array,
    count: Array,
    picks: int = 1,
    needed: Array | None = None,
) -> Events:
    """Return `count` events, each of a uniformly drawn present agent and `picks` draws of its neighbours.

    Args:
        layer: Who influences whom.
        key: Names the draws; event e has its own.
        people: What `ranked` returns.
        present: bool [rows].
        count: int32 scalar, at most `layer.size`.
        picks: Neighbours drawn.
        needed: bool [picks], which of them must be there for the event to happen; None = all.
    """
    turn = jnp.arange(layer.size, dtype=jnp.uint32)
    order, there = people
    rank = scaled_draw(bits(purpose(key, "agent"), turn), there)
    agents = order[rank]
    draws = bits(purpose(key, "pick"), turn[:, None], jnp.arange(picks, dtype=jnp.uint32)[None, :])
    if layer.complete:
        met = _other(order, there, rank[:, None], draws)
    else:
        met = _sources_at(layer, agents, scaled_draw(draws, degrees(layer)[agents][:, None]))
    here = jnp.append(gather_rows(present, layer.shards), False)
    found = here[met] if needed is None else here[met] | ~needed[None, :]
    return Events(agents, met, found.all(1) & (there > 0), count)


def events_of_ties(layer: Layer, key: Key, people: tuple[Array, Array], present: Array, count: Array) -> Events:
    """Return `count` events, each of a uniformly drawn arc of a present agent: that agent and the one it leads to.

    On a layer of ties, which are an arc in both directions, every tie is as likely as any other; agents take part in
    proportion to their degrees. Under complete mixing it is a uniformly drawn pair.

    Args:
        layer: Who is tied to whom.
        key: Names the draws; event e has its own.
        people: What `ranked` returns.
        present: bool [rows].
        count: int32 scalar, at most `layer.size`.
    """
    if layer.complete:
        return events_of_agents(layer, key, people, present, count)
    order, _ = people
    here = gather_rows(present, layer.shards)
    draws = bits(purpose(key, "tie"), jnp.arange(layer.size, dtype=jnp.uint32))
    with jax.enable_x64(True):
        held = jnp.where(here, degrees(layer), 0)[order].astype(jnp.int64)
        ends = jnp.cumsum(held)
        arc = ((draws.astype(jnp.uint64) * ends[-1].astype(jnp.uint64)) >> jnp.uint64(32)).astype(jnp.int64)
        rank = jnp.minimum(jnp.searchsorted(ends, arc, side="right"), layer.size - 1)
        place = (arc - (ends - held)[rank]).astype(jnp.int32)
        some = ends[-1] > 0
    agents = order[rank]
    met = _sources_at(layer, agents, place[:, None])
    there = jnp.append(here, False)
    return Events(agents, met, there[agents] & there[met[:, 0]] & (met[:, 0] != agents) & some, count)


def degrees(layer: Layer) -> Array:
    """Return int32 [size], the arcs of every agent's row; every device holds all of them."""
    filled = (layer.sources < layer.size).sum(1, dtype=jnp.int32)
    held = jnp.zeros(layer.rows + 1, jnp.int32).at[layer.receivers].add(filled)[:-1]
    return held if layer.replicated else gather_rows(held, layer.shards)


def _sources_at(layer: Layer, agents: Array, place: Array) -> Array:
    """Return int32 [events, picks], the agents at these places of the rows of any agents; `size` beyond a row's end.

    The device that holds a row looks it up.
    """
    width, split = layer.sources.shape[1], layer.shards > 1 and not layer.replicated
    row = agents - (jax.lax.axis_index(AXIS) * layer.rows if split else 0)
    mine = (row >= 0) & (row < layer.rows)
    row = jnp.where(mine, row, 0)
    slot = layer.starts[row][:, None] * width + place
    inside = mine[:, None] & (slot < layer.starts[row + 1][:, None] * width)
    flat = layer.sources.reshape(-1)
    found = flat[jnp.where(inside, slot, 0)] + 1 if flat.shape[0] else jnp.zeros_like(place)
    found = jnp.where(inside, found, 0)
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
