"""Interventions on agents, inside the scan: who is reached, and what holds for them while it lasts.

A lever keeps one number per agent: the step at which the agent was reached. What lasts is laid over the columns at the
beginning of every step, so that it ends without a trace; what happens once (a column that a kernel writes, a payment)
is done when the delay has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from lpm import random
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.groups import total
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.ration import ration
from lpm.policy import Filter, Intervention
from lpm.population import Column
from lpm.random import Key
from lpm.ties import Ties, add, refresh, remove, touching
from lpm.types import Array, Columns

NEVER = -1
"""The step at which an agent was reached that was not."""


def passes(filters: tuple[Filter, ...], agents: Columns) -> Array:
    """Return bool [rows], the present agents for whom every filter holds."""
    chosen = agents["present"]
    for rule in filters:
        column = agents[rule.column]
        if rule.codes:
            held = jnp.zeros(column.shape, bool)
            for code in rule.codes:
                held = held | (column == code)
        else:
            held = (column >= rule.low) & (column <= rule.high)
        chosen = chosen & held
    return chosen


def reach(
    lever: Intervention,
    numbers: Mapping[str, Array],
    on: Array,
    since: Array,
    agents: Columns,
    networks: Mapping[str, Layer],
    degree_rank: Array | None,
    key: Key,
    clock: Any,
) -> Array:
    """Return int32 [rows], for every agent the step at which it was reached, `NEVER` where it was not or it is over.

    Args:
        lever: Structure of the intervention.
        numbers: Its numbers in this arm.
        on: bool scalar, whether it reaches agents in this step.
        since: What this function returned a step before.
        agents: Columns as the kernels see them.
        networks: The layers.
        degree_rank: float32 [rows], share of agents of higher degree in the layer of `top`, or None.
        key: Stream of this intervention (without the step).
        clock: The clock.
    """
    passed = clock.step - since - numbers["delay"]
    since = jnp.where((since != NEVER) & (passed >= numbers["duration"]), NEVER, since)

    def choose(since: Array) -> Array:
        ids = agents["id"]
        wanted = concerned(lever, numbers, agents, networks, degree_rank, key) & (since == NEVER)
        if lever.capacity is not None:
            order = random.agent_bits(random.purpose(random.at_step(key, clock.step), "order"), ids)
            wanted = ration(wanted, agents["weight"], order, numbers["capacity"], clock.shards)
        return jnp.where(wanted, clock.step, since)

    return jax.lax.cond(on, choose, lambda since: since, since)


def concerned(
    lever: Intervention,
    numbers: Mapping[str, Array],
    agents: Columns,
    networks: Mapping[str, Layer],
    degree_rank: Array | None,
    key: Key,
) -> Array:
    """Return bool [rows], whom the lever concerns: filters, neighbours, degree, and who takes part."""
    wanted = passes(lever.where, agents)
    if lever.neighbours:
        near = jnp.zeros(wanted.shape, jnp.int32)
        for name in lever.neighbours:
            near = near + sum_neighbours(networks[name], lambda x, z, c: x[0], (wanted,))
        wanted = (near > 0) & agents["present"]
    if degree_rank is not None:
        wanted = wanted & (degree_rank < lever.top[1])
    ids = agents["id"]
    return wanted & _draw(key, "share", ids, numbers["share"]) & _draw(key, "uptake", ids, numbers["uptake"])


def change_ties(
    lever: Intervention,
    numbers: Mapping[str, Array],
    on: Array,
    chosen: Array,
    ids: Array,
    layer: Ties,
    key: Key,
    clock: Any,
) -> Ties:
    """Return a dynamic layer after an act of a lever on ties, rows made anew.

    "add_ties" joins pairs of the agents concerned: every such agent draws a place on a circle, every end of a new tie
    draws a point, and takes the agent whose place comes next; so an agent who is no longer concerned moves only the
    ends that would have been its own. A pair of one agent, or one that is tied already, adds nothing. "remove_ties"
    removes the ties with an end among those concerned whose own draws (by the ids of both ends) come first.

    Args:
        lever: Structure of the intervention, its one effect on this layer.
        numbers: Its numbers in this arm; `value` is the number of ties per act.
        on: bool scalar, whether it acts in this step.
        chosen: bool [rows], whom it concerns.
        ids: uint32 [rows], outside ids.
        layer: The ties.
        key: Stream of this intervention (without the step).
        clock: The clock.
    """
    draws = random.purpose(random.at_step(key, clock.step), "ties")
    most = layer.capacity
    count = jnp.round(numbers["value"][clock.step, 0]).astype(jnp.int32)

    def act(ties: Ties) -> Ties:
        everyone, names = gather_rows(chosen, clock.shards), gather_rows(ids, clock.shards)
        if lever.effects[0].kind == "remove_ties":
            ends = jnp.sort(names[ties.ends], axis=1)
            order = random.bits(draws, ends[:, 0], ends[:, 1])
            able = touching(ties, everyone)
            first = jnp.lexsort((ends[:, 1], ends[:, 0], order, ~able))
            rank = jnp.zeros(most, jnp.int32).at[first].set(jnp.arange(most, dtype=jnp.int32))
            return remove(ties, able & (rank < count))
        places = random.agent_bits(random.purpose(draws, "place"), names)
        circle = jnp.lexsort((names, places, ~everyone)).astype(jnp.int32)
        there = everyone.sum(dtype=jnp.int32)
        ascending = jnp.where(jnp.arange(len(circle)) < there, places[circle], jnp.uint32(0xFFFF_FFFF))
        turn = jnp.arange(most, dtype=jnp.int32)
        ends = [jnp.searchsorted(ascending, random.bits(draws, turn, end)) for end in (0, 1)]
        pair = [circle[jnp.where(end < there, end, 0)] for end in ends]
        return add(ties, pair[0], pair[1], (turn < count) & (there > 1))

    return refresh(jax.lax.cond(on, act, lambda same: same, layer))


def _draw(key: Key, purpose: str, ids: Array, chance: Array) -> Array:
    """Return whether each agent is among a share that is drawn once per agent."""
    return random.happens(random.agent_bits(random.purpose(key, purpose), ids), random.threshold(chance))


def holds(numbers: Mapping[str, Array], since: Array, clock: Any) -> Array:
    """Return bool [rows], the agents for whom a lever holds at this step: reached, delay passed, neither over."""
    passed = clock.step - since - numbers["delay"]
    return (since != NEVER) & (passed >= 0) & (passed < numbers["duration"]) & (clock.step < numbers["until"])


def lay_over(
    lever: Intervention,
    numbers: Mapping[str, Array],
    since: Array,
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> dict[str, Array]:
    """Return the columns with what the lever holds at this step laid over them (nothing for what happens once).

    Values are held within `limits`, the declared bounds of the columns.
    """
    active = holds(numbers, since, clock)
    changed = dict(agents)
    for i, effect in enumerate(lever.effects):
        if effect.target in changed and not effect.kind.endswith("once"):
            column, value = changed[effect.target], numbers["value"][clock.step, i]
            changed[effect.target] = jnp.where(
                active, _applied(effect.kind, column, value, limits[effect.target]), column
            )
    return changed


def happen(
    lever: Intervention,
    numbers: Mapping[str, Array],
    since: Array,
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> dict[str, Array]:
    """Return the columns after what happens once to the agents whose delay passes at this step; see `lay_over`."""
    due = holds(numbers, since, clock) & (clock.step - since == numbers["delay"])
    changed = dict(agents)
    for i, effect in enumerate(lever.effects):
        if effect.kind.endswith("once"):
            column, value = changed[effect.target], numbers["value"][clock.step, i]
            new = _applied(effect.kind, column, value, limits[effect.target])
            changed[effect.target] = jnp.where(due, new, column)
    return changed


def _applied(kind: str, column: Array, value: Array, limits: tuple[float, float]) -> Array:
    """Return the column after setting, scaling or adding a number, within limits, rounded where it is an integer."""
    verb = kind.split("_")[0]
    new = value if verb == "set" else column * value if verb == "scale" else column + value
    new = jnp.clip(new, *limits)
    if not jnp.issubdtype(column.dtype, jnp.floating):
        new = jnp.round(new)
    return jnp.broadcast_to(new, column.shape).astype(column.dtype)


def tally(since: Array, numbers: Mapping[str, Array], agents: Columns, clock: Any) -> dict[str, Array]:
    """Return the people reached in this step and the people for whom it holds now, as limbs uint32 [2]."""
    weight = jnp.where(agents["present"], agents["weight"], 0)
    active = holds(numbers, since, clock)
    return {
        "reached": total(jnp.where(since == clock.step, weight, 0), clock.shards),
        "active": total(jnp.where(active, weight, 0), clock.shards),
    }


def once(lever: Intervention, written: set[str], schema: Mapping[str, Column]) -> Intervention:
    """Return the lever with effects on columns that kernels write, and additions, marked as happening once."""

    def single(kind: str, column: str) -> bool:
        return column in schema and (column in written or kind == "add_column")

    marked = tuple(replace(e, kind=f"{e.kind}_once") if single(e.kind, e.target) else e for e in lever.effects)
    return replace(lever, effects=marked)
