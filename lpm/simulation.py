"""The simulation: a static description, compiled once, run in chunks for any number of arms and seeds.

A chunk is one call of a compiled function that moves a batch of members (arm, seed) by up to `capacity` steps. Agents
are spread over devices by `shard_map`; everything that differs between members is data. Between chunks the host may
draw a progress bar, write a checkpoint or read a survey.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lpm import levers, random
from lpm.clock import Clock
from lpm.kernel import Kernel
from lpm.metrics import Recorder
from lpm.network import Layer
from lpm.ops.collective import AXIS
from lpm.ops.dispatch import using
from lpm.policy import PolicyData, PolicyPlan
from lpm.population import WEIGHT_UNIT, Column
from lpm.restrictions import conditions, layers_left, parameters_left
from lpm.ties import Ties
from lpm.types import Array, Columns, Tables


@dataclass(frozen=True)
class Behaviour:
    """One use of a kernel.

    Attributes:
        name: Instance name: names its draws and its parameters.
        kernel: The kernel.
        layers: Names of the layers that it sees.
        columns: The population's column behind each column name of the kernel that differs.
    """

    name: str
    kernel: type[Kernel]
    layers: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Model:
    """What a compilation depends on.

    Attributes:
        behaviours: Kernels in the order in which they act within a step.
        recorder: What is counted.
        policy: The union of all arms' interventions.
        schema: Declared columns of table "agents", by name.
        dt: Length of a step in days.
        backend: "auto", "xla", "numba" or "pallas".
        shards: Number of devices over which agents are spread.
        capacity: Most steps of a chunk.
        batching: "map" (members one after the other) or "vmap" (side by side).
    """

    behaviours: tuple[Behaviour, ...]
    recorder: Recorder
    policy: PolicyPlan
    schema: tuple[Column, ...]
    dt: float = 1.0
    backend: str = "auto"
    shards: int = 1
    capacity: int = 16
    batching: str = "map"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Member:
    """What differs between two runs: the seed, the parameters, the policy.

    Attributes:
        seed: uint32 [2], low and high word.
        params: `Params` of every behaviour, by instance name.
        policy: The arm's arrays.
    """

    seed: Array
    params: dict[str, Any]
    policy: PolicyData


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """What a step needs of the step before.

    Attributes:
        agents: Columns of table "agents".
        since: Per agent intervention, int32 [rows], the step at which an agent was reached.
        triggers: Per triggered intervention, whether its condition holds.
        last: Sums of the step before, where a trigger looks at them.
        tables: Columns of the tables beside "agents", by table; every device holds all of them.
        ties: The dynamic layers; every device holds all of them.
    """

    agents: dict[str, Array]
    since: dict[str, Array]
    triggers: dict[str, Array]
    last: dict[str, Array]
    tables: dict[str, dict[str, Array]] = field(default_factory=dict[str, dict[str, Array]])
    ties: dict[str, Ties] = field(default_factory=dict[str, Ties])


@dataclass(frozen=True)
class World:
    """The arguments that all members share.

    Attributes:
        layers: The networks on the device.
        ranks: Per agent intervention with `top`, float32 [rows]: share of agents of higher degree.
    """

    layers: dict[str, Layer]
    ranks: dict[str, Array] = field(default_factory=dict[str, Array])


jax.tree_util.register_dataclass(World, ["layers", "ranks"], [])


class Simulation:
    """A compiled model: `start` makes the first states, `advance` moves them."""

    def __init__(self, model: Model):
        """Prepare the compiled functions of a model; nothing is compiled before it is used."""
        self.model = model
        self.limits = {c.name: (float(c.limits()[0]), float(c.limits()[1])) for c in model.schema}
        changed = {dict(b.columns).get(name, name) for b in model.behaviours for name in b.kernel.writes}
        changed |= {effect.target for lever in model.policy.agents for effect in lever.effects}
        self.moving = bool(changed & set(model.recorder.by))  # agents change groups within a run
        devices = jax.devices()[: model.shards]
        self.mesh = Mesh(np.array(devices), (AXIS,))
        batch, flat, everywhere = P(None, AXIS), P(AXIS), P()
        specs: Any = (batch, batch, everywhere, everywhere, everywhere, everywhere)
        states = State(*specs)
        spread = functools.partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        self._start = jax.jit(
            spread(self._start_shard, in_specs=(flat, everywhere, everywhere, everywhere), out_specs=states)
        )
        self._advance = jax.jit(
            spread(
                self._advance_shard,
                in_specs=(states, everywhere, flat, everywhere, everywhere),
                out_specs=(states, everywhere),
            ),
            donate_argnums=0,
        )

    def place(self, tree: Any) -> Any:
        """Return the arrays (agents or blocks first) spread over the devices."""
        return jax.device_put(tree, NamedSharding(self.mesh, P(AXIS)))

    def start(
        self, agents: Columns, members: Member, tables: Tables | None = None, ties: Mapping[str, Ties] | None = None
    ) -> State:
        """Return the states before the first step.

        Args:
            agents: Columns of table "agents", not batched.
            members: A batch of members (leading axis).
            tables: Columns of other tables, not batched.
            ties: The dynamic layers as they begin, not batched.
        """
        others = {name: dict(columns) for name, columns in (tables or {}).items()}
        with using(self.model.backend):
            return self._start(dict(agents), members, others, dict(ties or {}))

    def advance(self, state: State, members: Member, world: World, first: int, count: int) -> tuple[State, Any]:
        """Return the states after `count` steps from step `first`, and the sums [members, capacity, ...] of the steps.

        `state` is used up. Rows of the sums beyond `count` are zero.
        """
        with using(self.model.backend):
            return self._advance(state, members, world, jnp.int32(first), jnp.int32(count))

    def shapes(self) -> dict[str, Any]:
        """Return shape and dtype of the sums of one step, [members, 1, ...], as `advance` returns them."""
        record = self.model.recorder.shapes()
        lasting = [lever for lever in self.model.policy.agents if not lever.on_ties]
        tallies = [f"{kind}:{lever.name}" for lever in lasting for kind in ("reached", "active")]
        named = (*self.model.policy.triggered, *lasting)
        tallies += [f"on:{lever.name}" for lever in named if lever.trigger is not None]
        whole = {**record, **{name: (2,) for name in tallies}}
        return {name: np.zeros((1, 1, *shape), np.uint32) for name, shape in whole.items()}

    def _batched(self, function: Any, *arguments: Any) -> Any:
        if self.model.batching == "vmap":
            return jax.vmap(function)(*arguments)
        return jax.lax.map(lambda one: function(*one), arguments)

    def _start_shard(
        self, agents: dict[str, Array], members: Member, others: dict[str, dict[str, Array]], ties: dict[str, Ties]
    ) -> State:
        model = self.model
        clock = Clock(jnp.int32(0), model.dt, model.shards)

        def one(member: Member) -> State:
            tables = {**others, "agents": dict(agents)}
            for behaviour in model.behaviours:
                params = member.params[behaviour.name]
                seen = {**tables, "agents": _seen(behaviour, tables["agents"])}
                key = random.instance(random.root(member.seed), behaviour.name)
                ready = behaviour.kernel.prepare(params, seen, clock)
                tables = _after(behaviour, behaviour.kernel.init(key, seen, ready, clock), tables)
            columns = tables.pop("agents")
            rows = columns["id"].shape
            lasting = [lever for lever in model.policy.agents if not lever.on_ties]
            since = {lever.name: jnp.full(rows, levers.NEVER, jnp.int32) for lever in lasting}
            triggers = {name: jnp.bool_(False) for name in _triggers(model)}
            last = model.recorder.record(columns, columns, model.recorder.cell(columns), model.shards)
            return State(columns, since, triggers, last if triggers else {}, tables, ties)

        return self._batched(one, members)

    def _advance_shard(self, state: State, members: Member, world: World, first: Array, count: Array) -> Any:
        return self._batched(lambda s, m: self._chunk(s, m, world, first, count), state, members)

    def _chunk(self, state: State, member: Member, world: World, first: Array, count: Array) -> tuple[State, Any]:
        model = self.model
        cell = model.recorder.cell(state.agents)
        start = Clock(first, model.dt, model.shards)
        tables = {**state.tables, "agents": state.agents}
        ready = {b.name: self._ready(b, member.params[b.name], tables, start) for b in model.behaviours}

        def body(i: Array, carry: tuple[State, Any]) -> tuple[State, Any]:
            state, sums = carry
            state, record = self._step(state, member, world, ready, cell, first + i)
            return state, jax.tree.map(lambda whole, new: whole.at[i].set(new), sums, record)

        shapes = jax.eval_shape(lambda s: self._step(s, member, world, ready, cell, first)[1], state)
        sums = jax.tree.map(lambda s: jnp.zeros((model.capacity, *s.shape), s.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (state, sums))

    def _ready(self, behaviour: Behaviour, params: Any, tables: Tables, clock: Clock) -> Any:
        return behaviour.kernel.prepare(params, {**tables, "agents": _seen(behaviour, tables["agents"])}, clock)

    def _step(
        self, state: State, member: Member, world: World, ready: Mapping[str, Any], cell: Array, step: Array
    ) -> tuple[State, dict[str, Array]]:
        """Return the state after one step and the exact sums of it."""
        model, policy = self.model, member.policy
        clock = Clock(step, model.dt, model.shards)
        root = random.root(member.seed)
        before = agents = state.agents
        triggers = conditions(model.policy, model.recorder, policy, state.triggers, state.last, step)
        ties = dict(state.ties)
        there = world.layers | {name: dynamic.layer for name, dynamic in ties.items()}
        layers = layers_left(model.policy, there, policy, triggers, step)

        since, tallies, view = dict(state.since), {}, dict(agents)
        for lever in model.policy.agents:
            numbers = policy.agents[lever.name]
            on = numbers["on"][step] & triggers.get(lever.name, jnp.array(True))
            key = random.instance(root, f"intervention:{lever.name}")
            rank = world.ranks.get(lever.name)
            if lever.on_ties:
                name = lever.effects[0].target
                chosen = levers.concerned(lever, numbers, view, layers, rank, key)
                ties[name] = levers.change_ties(lever, numbers, on, chosen, view["id"], ties[name], key, clock)
                layers[name] = replace(ties[name].layer, scale=layers[name].scale)
                continue
            since[lever.name] = levers.reach(
                lever, numbers, on, state.since[lever.name], view, layers, rank, key, clock
            )
        lasting = [lever for lever in model.policy.agents if not lever.on_ties]
        for lever in lasting:
            numbers, reached = policy.agents[lever.name], since[lever.name]
            agents = levers.happen(lever, numbers, reached, agents, self.limits, clock)
            tallies |= {f"{k}:{lever.name}": v for k, v in levers.tally(reached, numbers, agents, clock).items()}
        view = dict(agents)
        for lever in lasting:
            view = levers.lay_over(lever, policy.agents[lever.name], since[lever.name], view, self.limits, clock)

        tables = dict(state.tables)
        for behaviour in model.behaviours:
            params = ready[behaviour.name]
            if any(path.startswith(f"{behaviour.name}.") for path in model.policy.parameters):
                changed = parameters_left(
                    model.policy, behaviour.name, member.params[behaviour.name], policy, triggers, step
                )
                params = self._ready(behaviour, changed, {**tables, "agents": agents}, clock)
            key = random.at_step(random.instance(root, behaviour.name), step)
            networks = {name: layers[name] for name in behaviour.layers}
            seen = {**tables, "agents": _seen(behaviour, view)}
            new = behaviour.kernel.step(key, seen, networks, params, clock)
            written = _after(behaviour, new, {**tables, "agents": {}}, like=agents)
            agents, view = agents | written["agents"], view | written.pop("agents")
            tables = written
        for lever in (*model.policy.triggered, *(lever for lever in lasting if lever.trigger is not None)):
            numbers = (policy.triggered | policy.agents)[lever.name]
            acts = (triggers[lever.name] & numbers["on"][step]).astype(jnp.uint32)
            tallies[f"on:{lever.name}"] = jnp.stack([acts * jnp.uint32(WEIGHT_UNIT), jnp.uint32(0)])
        cell = model.recorder.cell(view) if self.moving else cell
        record = model.recorder.record(before, view, cell, model.shards)
        last = {name: record[name] for name in state.last}
        return State(agents, since, triggers, last, tables, ties), record | tallies


def _triggers(model: Model) -> list[str]:
    return [i.name for i in (*model.policy.triggered, *model.policy.agents) if i.trigger is not None]


def _seen(behaviour: Behaviour, columns: Columns) -> dict[str, Array]:
    """Return the columns under the names that the kernel knows them by."""
    return dict(columns) | {name: columns[behind] for name, behind in behaviour.columns}


def _after(
    behaviour: Behaviour, new: Mapping[str, Any], tables: Tables, like: Columns | None = None
) -> dict[str, dict[str, Array]]:
    """Return the tables after what a kernel returned: columns of "agents", or columns by the name of another table.

    Args:
        behaviour: The kernel's use.
        new: What it returned.
        tables: The tables before.
        like: What its columns of "agents" are compared with; None = the table's own.
    """
    agents = {name: values for name, values in new.items() if not isinstance(values, Mapping)}
    before = tables["agents"] if like is None else like
    result = {name: dict(columns) for name, columns in tables.items()}
    result["agents"] |= _written(behaviour, agents, before, dict(behaviour.columns))
    for name, columns in new.items():
        if isinstance(columns, Mapping):
            result[name] |= _written(behaviour, columns, tables[name], {})
    return result


def _written(behaviour: Behaviour, new: Columns, columns: Columns, behind: Mapping[str, str]) -> dict[str, Array]:
    """Return what a kernel wrote under the population's names, after checking shapes and dtypes."""
    result: dict[str, Array] = {}
    for name, values in new.items():
        old = columns[behind.get(name, name)]
        if values.shape != old.shape or values.dtype != old.dtype:
            raise TypeError(
                f"kernel '{behaviour.kernel.name}': column '{name}' is {old.dtype}{list(old.shape)}, "
                f"it returned {values.dtype}{list(values.shape)}"
            )
        result[behind.get(name, name)] = values
    return result
