"""The simulation: a static description, compiled once, run in chunks for any number of arms and seeds.

A chunk is one call of a compiled function that moves a batch of members (arm, seed) by up to `capacity` steps. Agents
are spread over devices by `shard_map`; everything that differs between members is data. Between chunks the host may
draw a progress bar, write a checkpoint or read a survey.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lpm import cluster, levers, watch
from lpm.batching import divided
from lpm.clock import Clock
from lpm.model import Behaviour as Behaviour
from lpm.model import Member as Member
from lpm.model import Model as Model
from lpm.model import State as State
from lpm.model import World as World
from lpm.ops.collective import AXIS
from lpm.ops.dispatch import using
from lpm.step import begin, step
from lpm.ties import Ties
from lpm.types import Array, Columns, Tables


class Simulation:
    """A compiled model: `start` makes the first states, `advance` moves them."""

    def __init__(self, model: Model):
        """Prepare the compiled functions of a model; nothing is compiled before it is used."""
        self.model = model
        self.mesh = Mesh(np.array(cluster.devices(model.shards)), (AXIS,))
        batch, flat, everywhere = P(None, AXIS), P(AXIS), P()
        specs: Any = [batch, batch, *[everywhere] * (len(fields(State)) - 2)]
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

        looked_at = jax.vmap(self._overlaid, in_axes=(0, 0, 0, None))
        self._view = jax.jit(looked_at, out_shardings=NamedSharding(self.mesh, batch))

    def place(self, tree: Any) -> Any:
        """Return the arrays (agents or blocks first) spread over the devices.

        Args:
            tree: All of every array; of a run in many processes, this process's equal part.
        """
        sharding, parts = NamedSharding(self.mesh, P(AXIS)), cluster.count()
        if parts == 1:
            return jax.device_put(tree, sharding)
        put = functools.partial(jax.make_array_from_process_local_data, sharding)
        return jax.tree.map(lambda x: put(np.asarray(x), (len(x) * parts, *x.shape[1:])), tree)

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
        begun = jax.tree.map(np.asarray, dict(ties or {})) if cluster.count() > 1 else dict(ties or {})
        with using(self.model.backend):
            return self._start(dict(agents), members, others, begun)

    def advance(self, state: State, members: Member, world: World, first: int, count: int) -> tuple[State, Any]:
        """Return the states after `count` steps from step `first`, and the sums [members, capacity, ...] of the steps.

        `state` is used up. Rows of the sums beyond `count` are zero.
        """
        with using(self.model.backend):
            return self._advance(state, members, world, np.int32(first), np.int32(count))

    def view(self, state: State, members: Member, count: int) -> dict[str, Array]:
        """Return the columns [members, rows] as metrics saw them in the last of `count` steps.

        They are those of the state with what interventions hold for a while laid over them.
        """
        return self._view(state.agents, state.since, members.policy.agents, np.int32(count - 1))

    def shapes(self) -> dict[str, Any]:
        """Return shape and dtype of the sums of one step, [members, 1, ...], as `advance` returns them."""
        record = self.model.recorder.shapes()
        lasting, limits = self.model.lasting, self.model.limits
        tallies = [name for lever in lasting for name in levers.tallied(lever, limits)]
        named = (*self.model.policy.triggered, *lasting)
        tallies += [f"on:{lever.name}" for lever in named if lever.trigger is not None]
        whole = {**record, **{name: (2,) for name in tallies}}
        return {name: np.zeros((1, 1, *shape), np.uint32) for name, shape in whole.items()}

    def divided(self, state: State, members: Member, world: World) -> list[str]:
        """Return where members would hold each other up side by side; see `lpm.batching.divided`.

        Args:
            state: States of a batch, or their shapes and dtypes; of a model on one device.
            members: The batch.
            world: What they share.
        """
        with using(self.model.backend):
            chunk = functools.partial(self._chunk, world=world, first=jnp.int32(0), count=jnp.int32(1))
            return divided(chunk, state, members)

    def _batched(self, function: Any, *arguments: Any) -> Any:
        if self.model.batching == "vmap":
            return jax.vmap(function)(*arguments)
        return jax.lax.map(lambda one: function(*one), arguments)

    def _overlaid(self, agents: dict[str, Array], since: dict[str, Array], policy: Any, step: Array) -> Any:
        model = self.model
        return levers.laid_over(model.lasting, policy, since, agents, model.limits, Clock(step, model.dt))[0]

    def _start_shard(
        self, agents: dict[str, Array], members: Member, others: dict[str, dict[str, Array]], ties: dict[str, Ties]
    ) -> State:
        def one(member: Member) -> State:
            state = begin(self.model, agents, member, others, ties)
            return replace(state, faults=watch.begun(self.model, state))

        return self._batched(one, members)

    def _advance_shard(self, state: State, members: Member, world: World, first: Array, count: Array) -> Any:
        return self._batched(lambda s, m: self._chunk(s, m, world, first, count), state, members)

    def _chunk(self, state: State, member: Member, world: World, first: Array, count: Array) -> tuple[State, Any]:
        model = self.model
        cell = model.recorder.cell(state.agents)
        start = Clock(first, model.dt, model.shards)
        tables = {**state.tables, "agents": state.agents}
        ready = {b.name: model.prepared(b, member.params[b.name], tables, start) for b in model.behaviours}

        def body(i: Array, carry: tuple[State, Any]) -> tuple[State, Any]:
            state, sums = carry
            state, record = step(model, state, member, world, ready, cell, first + i)
            return state, jax.tree.map(lambda whole, new: whole.at[i].set(new), sums, record)

        shapes = jax.eval_shape(lambda s: step(model, s, member, world, ready, cell, first)[1], state)
        sums = jax.tree.map(lambda s: jnp.zeros((model.capacity, *s.shape), s.dtype), shapes)
        state, sums = jax.lax.fori_loop(0, count, body, (state, sums))
        return replace(state, faults=watch.ended(model, state)), sums
