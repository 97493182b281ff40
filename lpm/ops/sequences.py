"""Sequences of single events: the random-sequential schedule, in which an event sees what those before it left.

The events of a step come in rounds of at most one event an agent on average, as many rounds as it takes: nothing is
left out where policy or a long step asks for several events an agent. An event sees what the one before it left: every
device goes through all events alike, and holds the values of all agents for it, floats too. So the number of devices
changes nothing, neither the result nor the time nor the memory of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.network import Layer
from lpm.ops.collective import AXIS, gather_rows, own_rows
from lpm.ops.encounters import Events, events_of_agents, events_of_ties, ranked, rounded_by_chance
from lpm.ops.hazard import scaled_draw
from lpm.random import Key, at_step, bits, purpose
from lpm.types import Array, Columns

State = TypeVar("State")
Draws = Mapping[str, Array]
"""uint32 draws of one event by the name of their purpose."""

MOST_EVENTS = 1_000
"""Most events of an agent that a step is asked for. A guess: at some 1e7 events a second such a step of a million
agents takes minutes, and shorter steps play the same events with progress, measures and policy between them."""


def refuse_endless(rate: Any, where: str, dt: float) -> None:
    """Refuse a step of more events than anybody waits for.

    Args:
        rate: Expected events of an agent a day.
        where: Path of the parameter, named in the error.
        dt: Length of a step in days.

    Raises:
        InputError: More than `MOST_EVENTS` an agent.
    """
    if float(rate) * dt > MOST_EVENTS:
        raise InputError(
            f"{where}: expected at most {MOST_EVENTS / dt:g} ({MOST_EVENTS:,} events an agent a step), got "
            f"{float(rate):g}; use shorter steps or a lower rate"
        )


def in_rounds(
    key: Key, count: Array, per_agent: Array, state: State, play: Callable[[Key, Array, State], State]
) -> State:
    """Return the state after the events of a step, in rounds of at most `count` of them.

    Args:
        key: Names the draws of the step: of the first round as it is, of the others folded with their number.
        count: int32 scalar, present agents.
        per_agent: float32 scalar, expected events of an agent; the total is rounded up or down by chance.
        state: A pytree.
        play: `play(key, number, state)`: the state after a round of so many events.
    """
    whole = jnp.floor(per_agent)
    rest = rounded_by_chance(key, count.astype(jnp.float32) * (per_agent - whole))
    full = whole.astype(jnp.int32)

    def one(turn: Array, state: State) -> State:
        of_round = Key(jnp.where(turn == 0, key.words, at_step(key, turn).words))
        return play(of_round, jnp.where(turn < full, count, jnp.minimum(rest, count)), state)

    return jax.lax.fori_loop(0, full + (rest > 0), one, state)


def _drawn(key: Key, names: Sequence[str], size: int) -> dict[str, Array]:
    """Return uint32 [size], the draws of every event, by purpose."""
    turn = jnp.arange(size, dtype=jnp.uint32)
    return {name: bits(purpose(key, name), turn) for name in names}


def one_by_one(
    layer: Layer,
    key: Key,
    agents: Columns,
    per_agent: Array,
    values: Array,
    update: Callable[[Array, Array, Draws], Array],
    *,
    draws: Sequence[str] = (),
    picks: int = 1,
    needed: Array | None = None,
) -> Array:
    """Return [rows, ...], the values after single agents, drawn uniformly, updated on drawn neighbours in their turn.

    Args:
        layer: Who influences whom.
        key: Names the draws of this step.
        agents: Columns `id` and `present`.
        per_agent: float32 scalar, expected events of an agent.
        values: [rows, ...], this shard's part.
        update: `update(own, theirs, draws)`: the new value of the agent from its own and those met, [picks, ...].
        draws: Purposes of the draws that an event needs.
        picks: Neighbours drawn, with repetition.
        needed: bool [picks], which of them must be present for the event to happen; None = all.
    """
    people = ranked(agents["id"], agents["present"], layer.shards)

    def play(of_round: Key, number: Array, all_: Array) -> Array:
        events = events_of_agents(layer, of_round, people, agents["present"], number, picks, needed)
        extra = _drawn(of_round, draws, layer.size)

        def happen(e: Array, all_: Array) -> Array:
            agent = events.agents[e]
            own, theirs = all_[agent], all_[jnp.minimum(events.met[e], layer.size - 1)]
            new = update(own, theirs, {name: each[e] for name, each in extra.items()})
            return all_.at[agent].set(jnp.where(events.valid[e], new, own))

        return jax.lax.fori_loop(0, events.count, happen, all_)

    return own_rows(in_rounds(key, people[1], per_agent, gather_rows(values, layer.shards), play), layer.shards)


def pair_by_pair(
    layer: Layer,
    key: Key,
    agents: Columns,
    per_agent: Array,
    values: Array,
    update: Callable[[Array, Array, Draws], tuple[Array, Array]],
    *,
    draws: Sequence[str] = (),
    of_ties: bool = True,
) -> tuple[Array, Array]:
    """Return [rows, ...], the values after pairs met one after the other, and bool [rows], who met somebody.

    Args:
        layer: Who is tied to whom.
        key: Names the draws of this step.
        agents: Columns `id` and `present`.
        per_agent: float32 scalar, expected meetings over agents: half of what an agent takes part in on average.
        values: [rows, ...], this shard's part.
        update: `update(own, theirs, draws)`: the new values of the agent that was drawn and of the one it met.
        draws: Purposes of the draws that an event needs.
        of_ties: Every tie is as likely as any other; else an agent is drawn uniformly, and one of its neighbours.
    """
    people = ranked(agents["id"], agents["present"], layer.shards)
    choose = events_of_ties if of_ties else events_of_agents

    def play(of_round: Key, number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        events = choose(layer, of_round, people, agents["present"], number)
        extra = _drawn(of_round, draws, layer.size)
        other = jnp.minimum(events.met[:, 0], layer.size - 1)

        def happen(e: Array, all_: Array) -> Array:
            pair, valid = (events.agents[e], other[e]), events.valid[e]
            own, theirs = (all_[place] for place in pair)
            new, news = update(own, theirs, {name: each[e] for name, each in extra.items()})
            places, then = jnp.stack(pair), jnp.stack([jnp.where(valid, new, own), jnp.where(valid, news, theirs)])
            # in a loop of its own: between two updates in one body XLA copies the whole column, at every event
            return jax.lax.fori_loop(0, 2, lambda k, whole: whole.at[places[k]].set(then[k]), all_)

        return jax.lax.fori_loop(0, events.count, happen, state[0]), state[1] | _took_part(events, layer.size)

    begun = (gather_rows(values, layer.shards), jnp.zeros(layer.size, bool))
    after, met = in_rounds(key, people[1], per_agent, begun, play)
    return own_rows(after, layer.shards), own_rows(met, layer.shards)


def _took_part(events: Events, size: int) -> Array:
    """Return bool [size], who is in an event that happened."""
    happened = events.valid & (jnp.arange(size, dtype=jnp.int32) < events.count)
    both = jnp.where(happened[:, None], jnp.stack([events.agents, events.met[:, 0]], 1), size)
    return jnp.zeros(size + 1, bool).at[both].set(True)[:-1]


def one_by_one_on_sums(
    layer: Layer,
    key: Key,
    agents: Columns,
    per_agent: Array,
    values: Array,
    weigh: Callable[[Array], Array],
    update: Callable[[Array, Draws], Array],
    *,
    draws: Sequence[str] = (),
) -> Array:
    """Return [rows], the values after single agents, drawn uniformly, updated on the sum over all their neighbours.

    Every device holds the arcs of all of them while it runs.

    Args:
        layer: Who influences whom.
        key: Names the draws of this step.
        agents: Columns `id` and `present`.
        per_agent: float32 scalar, expected events of an agent.
        values: [rows], this shard's part.
        weigh: `weigh(value)`: what a present neighbour adds, int32.
        update: `update(total, draws)`: the new value of the agent.
        draws: Purposes of the draws that an event needs.
    """
    size = layer.size
    order, count = ranked(agents["id"], agents["present"], layer.shards)
    here = gather_rows(agents["present"], layer.shards)
    none = jnp.zeros(1, jnp.int32)
    starts, ends, flat = (none, none, none) if layer.complete else _every_row(layer, here)
    turn = jnp.arange(size, dtype=jnp.uint32)

    def play(of_round: Key, number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        who = order[scaled_draw(bits(purpose(of_round, "agent"), turn), count)]
        extra = _drawn(of_round, draws, size)

        def among_all(e: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            all_, everybody = state
            own = all_[who[e]]
            new = update(everybody - weigh(own), {name: each[e] for name, each in extra.items()})
            # carried on by the difference, and the votes written last: what is read after a write is copied as a whole
            return all_.at[who[e]].set(new), everybody + (weigh(new) - weigh(own))

        def among_neighbours(e: Array, all_: Array) -> Array:
            def more(slot: Array, total: Array) -> Array:
                other = flat[slot]
                return total + jnp.where(other < size, weigh(all_[jnp.minimum(other, size - 1)]), 0)

            total = jax.lax.fori_loop(starts[who[e]], ends[who[e]], more, jnp.int32(0))
            return all_.at[who[e]].set(update(total, {name: each[e] for name, each in extra.items()}))

        if layer.complete:
            return jax.lax.fori_loop(0, number, among_all, state)
        return jax.lax.fori_loop(0, number, among_neighbours, state[0]), state[1]

    begun = gather_rows(values, layer.shards)
    everybody = jnp.where(here, weigh(begun), 0).sum(dtype=jnp.int32)
    return own_rows(in_rounds(key, count, per_agent, (begun, everybody), play)[0], layer.shards)


def _every_row(layer: Layer, here: Array) -> tuple[Array, Array, Array]:
    """Return first and last slot of every row, int32 [size], and who is in every slot, `size` for nobody present."""
    width, split = layer.sources.shape[1], layer.shards > 1 and not layer.replicated
    starts, ends, flat = layer.starts[:-1], layer.starts[1:], layer.sources
    if split:
        base = jax.lax.axis_index(AXIS) * layer.sources.shape[0]
        starts, ends = (gather_rows(each + base, layer.shards) for each in (starts, ends))
        flat = gather_rows(flat, layer.shards)
    flat = jnp.append(flat.reshape(-1), jnp.int32(layer.size))
    return starts * width, ends * width, jnp.where(jnp.append(here, False)[flat], flat, layer.size)
