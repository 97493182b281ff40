"""Interventions on agents, inside the scan: who is reached, and what holds for them while it lasts.

A lever keeps one number per agent: the step at which the agent was reached. What lasts is laid over the columns at the
beginning of every step, so that it ends without a trace; what happens once (a column that a kernel writes, a payment)
is done when the delay has passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from lpm.types import Array, Columns, HostArray

NEVER = -1
"""The step at which an agent was reached that was not."""


def passes(filters: tuple[Filter, ...], agents: Mapping[str, Array] | Mapping[str, HostArray]) -> Array:
    """Return bool [rows], the present agents for whom every filter holds; arrays of the host are taken too."""
    chosen = jnp.asarray(agents["present"])
    for rule in filters:
        column = jnp.asarray(agents[rule.column])
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
) -> tuple[dict[str, Array], Array]:
    """Return the columns with what the lever holds at this step laid over them (nothing for what happens once).

    Values are held within `limits`, the declared bounds of the columns; the second result, bool [rows], says for whom
    a value would have passed them.
    """
    lasting = [i for i, e in enumerate(lever.effects) if e.target in agents and not e.kind.endswith("once")]
    return _changed(lever, lasting, numbers, holds(numbers, since, clock), agents, limits, clock)


def happen(
    lever: Intervention,
    numbers: Mapping[str, Array],
    since: Array,
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> tuple[dict[str, Array], Array]:
    """Return the columns after what happens once to the agents whose delay passes at this step; see `lay_over`."""
    due = holds(numbers, since, clock) & (clock.step - since == numbers["delay"])
    single = [i for i, e in enumerate(lever.effects) if e.kind.endswith("once")]
    return _changed(lever, single, numbers, due, agents, limits, clock)


def _changed(
    lever: Intervention,
    effects: Sequence[int],
    numbers: Mapping[str, Array],
    who: Array,
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> tuple[dict[str, Array], Array]:
    changed, past = dict(agents), jnp.zeros(who.shape, bool)
    for i in effects:
        effect = lever.effects[i]
        column, value, bounds = changed[effect.target], numbers["value"][clock.step, i], limits[effect.target]
        verb = effect.kind.split("_")[0]
        wanted = value if verb == "set" else column * value if verb == "scale" else column + value
        new = jnp.clip(wanted, *bounds)
        past = past | (who & ((wanted < bounds[0]) | (wanted > bounds[1])))
        if not jnp.issubdtype(column.dtype, jnp.floating):
            new = jnp.round(new)
        new = jnp.broadcast_to(new, column.shape).astype(column.dtype)
        changed[effect.target] = jnp.where(who, new, column)
    return changed, past


def laid_over(
    lasting: Sequence[Intervention],
    policy: Mapping[str, Mapping[str, Array]],
    since: Mapping[str, Array],
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the columns as kernels, metrics and surveys see them: what every lever holds at this step laid over them.

    Args:
        lasting: The levers, in their order.
        policy: The numbers of each in this arm.
        since: Per lever, what `reach` returned.
        agents: The stored columns.
        limits: Declared bounds of the columns.
        clock: The clock.

    Returns:
        The columns, and per lever bool [rows], whose value would have passed its bounds.
    """
    view, past = dict(agents), dict[str, Array]()
    for lever in lasting:
        view, past[lever.name] = lay_over(lever, policy[lever.name], since[lever.name], view, limits, clock)
    return view, past


def bounded(lever: Intervention, limits: Mapping[str, tuple[float, float]]) -> bool:
    """Return whether the lever can move a value past its bounds: it scales or adds to a column that has any.

    What a lever sets a column to is refused before the run where it is out of bounds.
    """
    return any(
        not e.kind.startswith("set") and any(math.isfinite(bound) for bound in limits[e.target]) for e in lever.effects
    )


def tallied(lever: Intervention, limits: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Return what is counted of a lever in every step, see `tally`."""
    kinds = ("reached", "active", "clipped") if bounded(lever, limits) else ("reached", "active")
    return tuple(f"{kind}:{lever.name}" for kind in kinds)


def tally(
    lever: Intervention,
    since: Array,
    past: Array,
    numbers: Mapping[str, Array],
    agents: Columns,
    limits: Mapping[str, tuple[float, float]],
    clock: Any,
) -> dict[str, Array]:
    """Return people as limbs uint32 [2], by the names of `tallied`.

    "reached" are those reached in this step, "active" those for whom it holds now, "clipped" those of `past`: whose
    value it would have moved past its bounds in this step.
    """
    weight = jnp.where(agents["present"], agents["weight"], 0)
    counted = (since == clock.step, holds(numbers, since, clock), past)
    return {
        name: total(jnp.where(who, weight, 0), clock.shards)
        for name, who in zip(tallied(lever, limits), counted, strict=False)
    }


def once(lever: Intervention, written: set[str], schema: Mapping[str, Column]) -> Intervention:
    """Return the lever with effects on columns that kernels write, and additions, marked as happening once."""

    def single(kind: str, column: str) -> bool:
        return column in schema and (column in written or kind == "add_column")

    marked = tuple(replace(e, kind=f"{e.kind}_once") if single(e.kind, e.target) else e for e in lever.effects)
    return replace(lever, effects=marked)
