"""The start, and one step: policy first, then the kernels in their order, then the exact sums of what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from lpm import levers, random, watch
from lpm.clock import Clock
from lpm.model import Member, Model, State, World, after
from lpm.network import Layer
from lpm.policy import PolicyData
from lpm.population import WEIGHT_UNIT
from lpm.restrictions import conditions, layers_left, parameters_left
from lpm.ties import Ties, refresh
from lpm.types import Array, Columns


def begin(
    model: Model, agents: Columns, member: Member, others: dict[str, dict[str, Array]], ties: dict[str, Ties]
) -> State:
    """Return the state before the first step.

    Args:
        model: What was compiled.
        agents: Columns of table "agents" as they are given.
        member: Seed, parameters and policy.
        others: Columns of the other tables.
        ties: The dynamic layers as they begin.
    """
    clock = Clock(jnp.int32(0), model.dt, model.shards)
    tables = {**others, "agents": dict(agents)}
    for behaviour in model.behaviours:
        ready = model.prepared(behaviour, member.params[behaviour.name], tables, clock)
        seen = {**tables, "agents": behaviour.seen(tables["agents"])}
        key = random.instance(random.root(member.seed), behaviour.name)
        tables = after(behaviour, behaviour.kernel.init(key, seen, ready, clock), tables)
    columns = tables.pop("agents")
    rows = columns["id"].shape
    since = {lever.name: jnp.full(rows, levers.NEVER, jnp.int32) for lever in model.lasting}
    every = (*model.policy.triggered, *model.policy.agents)
    triggers = {lever.name: jnp.bool_(False) for lever in every if lever.trigger is not None}
    last = model.recorder.record(columns, columns, model.recorder.cell(columns), model.shards)
    return State(columns, since, triggers, last if triggers or model.steady else {}, tables, ties)


def step(
    model: Model, state: State, member: Member, world: World, ready: Mapping[str, Any], cell: Array, number: Array
) -> tuple[State, dict[str, Array]]:
    """Return the state after one step and the exact sums of it.

    Args:
        model: What was compiled.
        state: The state before.
        member: Seed, parameters and policy.
        world: What all members share.
        ready: What each behaviour prepared from its parameters, by instance name.
        cell: int32 [rows], joint cell of each agent at the beginning of the chunk.
        number: int32 scalar, the step.
    """
    clock = Clock(number, model.dt, model.shards)
    triggers = conditions(model.policy, model.recorder, member.policy, state.triggers, state.last, number)
    there = world.layers | {name: dynamic.layer for name, dynamic in state.ties.items()}
    layers = layers_left(model.policy, there, member.policy, triggers, number)
    since, ties = _reach(model, state, member, world, layers, triggers, clock)
    agents, view, tallies = _act(model, state, member, since, clock)
    agents, view, tables, ties = _behave(model, state, member, ready, agents, view, layers, ties, triggers, clock)
    tallies |= _in_force(model, member.policy, triggers, number)
    cell = model.recorder.cell(view) if model.moving else cell
    carried = state.last if model.steady else None
    record = model.recorder.record(state.agents, view, cell, model.shards, layers, tables, carried)
    last = {name: record[name] for name in state.last}
    after = State(agents, since, triggers, last, tables, ties)
    return replace(after, faults=watch.went_on(model, state, after)), record | tallies


def _reach(
    model: Model,
    state: State,
    member: Member,
    world: World,
    layers: dict[str, Layer],
    triggers: Mapping[str, Array],
    clock: Clock,
) -> tuple[dict[str, Array], dict[str, Ties]]:
    """Return when every lever reached whom, and the dynamic layers; `layers` takes over the rows made anew."""
    since, ties, view = dict(state.since), dict(state.ties), dict(state.agents)
    for lever in model.policy.agents:
        numbers = member.policy.agents[lever.name]
        on = numbers["on"][clock.step] & triggers.get(lever.name, jnp.array(True))
        key = random.instance(random.root(member.seed), f"intervention:{lever.name}")
        rank = world.ranks.get(lever.name)
        if lever.on_ties:
            name = lever.effects[0].target
            chosen = levers.concerned(lever, numbers, view, layers, rank, key)
            ties[name] = levers.change_ties(lever, numbers, on, chosen, view["id"], ties[name], key, clock)
            layers[name] = replace(ties[name].layer, scale=layers[name].scale)
            continue
        since[lever.name] = levers.reach(lever, numbers, on, state.since[lever.name], view, layers, rank, key, clock)
    return since, ties


def _act(
    model: Model, state: State, member: Member, since: Mapping[str, Array], clock: Clock
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return the columns after what happens once, the same with what lasts laid over them, and the tallies."""
    agents, limits, policy = dict(state.agents), model.limits, member.policy.agents
    past: dict[str, Array] = {}
    for lever in model.lasting:
        name = lever.name
        agents, past[name] = levers.happen(lever, policy[name], since[name], agents, limits, clock)
    view, over = levers.laid_over(model.lasting, policy, since, agents, limits, clock)
    tallies: dict[str, Array] = {}
    for lever in model.lasting:
        name = lever.name
        tallies |= levers.tally(lever, since[name], past[name] | over[name], policy[name], agents, limits, clock)
    return agents, view, tallies


def _behave(
    model: Model,
    state: State,
    member: Member,
    ready: Mapping[str, Any],
    agents: dict[str, Array],
    view: dict[str, Array],
    layers: dict[str, Layer],
    ties: dict[str, Ties],
    triggers: Mapping[str, Array],
    clock: Clock,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, dict[str, Array]], dict[str, Ties]]:
    """Return the stored columns, those that are seen, the other tables and the ties, after every kernel's turn.

    `layers` takes over the rows made anew, so that later kernels of the step see the ties that earlier ones moved.
    """
    root, policy = random.root(member.seed), member.policy
    tables, ties = dict(state.tables), dict(ties)
    for behaviour in model.behaviours:
        params = ready[behaviour.name]
        if any(path.startswith(f"{behaviour.name}.") for path in model.policy.parameters):
            own = member.params[behaviour.name]
            changed = parameters_left(model.policy, behaviour.name, own, policy, triggers, clock.step)
            params = model.prepared(behaviour, changed, {**tables, "agents": agents}, clock)
        key = random.at_step(random.instance(root, behaviour.name), clock.step)
        networks: dict[str, Any] = {name: layers[name] for name in behaviour.layers}
        if behaviour.kernel.rewires:
            networks |= {name: replace(ties[name], layer=layers[name]) for name in networks if name in ties}
        seen = {**tables, "agents": behaviour.seen(view)}
        new = dict(behaviour.kernel.step(key, seen, networks, params, clock))
        for name, moved in (new.pop("ties", {}) if behaviour.kernel.rewires else {}).items():
            ties[name] = refresh(replace(moved, layer=ties[name].layer))  # policy scales a layer for one step only
            layers[name] = replace(ties[name].layer, scale=layers[name].scale)
        written = after(behaviour, new, {**tables, "agents": {}}, like=agents)
        agents, view = agents | written["agents"], view | written.pop("agents")
        tables = written
    return agents, view, tables, ties


def _in_force(model: Model, policy: PolicyData, triggers: Mapping[str, Array], number: Array) -> dict[str, Array]:
    """Return as limbs, 1 or 0 "people", whether each triggered intervention is in force."""
    told: dict[str, Array] = {}
    for lever in (*model.policy.triggered, *(lever for lever in model.lasting if lever.trigger is not None)):
        numbers = (policy.triggered | policy.agents)[lever.name]
        acts = (triggers[lever.name] & numbers["on"][number]).astype(jnp.uint32)
        told[f"on:{lever.name}"] = jnp.stack([acts * jnp.uint32(WEIGHT_UNIT), jnp.uint32(0)])
    return told
