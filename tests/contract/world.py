"""A kernel among random people on a small network, compiled once: what the contract is tried on.

The network is a random one, whose ties are fixed or may move (a dynamic layer), or complete mixing.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.kernel import Kernel, declarations, kernels
from lpm.network import Network, layout
from lpm.ops.neighbours import row_width
from lpm.policy import policy_data
from lpm.population import IDENTITY, Column, Population
from lpm.scenarios.dealing import Dealing, deal
from lpm.simulation import Member, Simulation, State, World
from lpm.ties import Ties, from_network, pairs
from lpm.types import HostArray

from ..conftest import Small, carried, graph

LIVELY: dict[str, dict[str, float]] = {
    "archetype-choice": {"beta": 0.001},  # logits drawn within their bounds lie thousands apart
    "compliance": {"level": 0.4},
    "bass": {"p": 0.03, "q": 0.38},  # its defaults are rates a year
    "importation": {"initial": 60.0, "daily": 60.0},
    "persuasion": {"crowd": 0.0},  # voices drawn within their bounds carry people from end to end in a step
    "music-market": {"visits": 0.002},  # appetites drawn within their bounds are 50 in the mean
}
"""Values under which a kernel whose defaults change nothing acts."""

SIZE, STEPS, DT = 600, 10, 0.5
LEVELS = ("a", "b", "c")
ROWS = 64  # of every table beside "agents" but "globals"
SEEDS = 100
SPARE = 50  # dead slots of a dynamic layer
PLACES = ("rows", "complete mixing", "moving ties")
"""What the one layer of the contract can be: a random network of fixed ties, no network, or one of tie slots."""


def everyone() -> dict[str, Column]:
    """Return every column that some kernel declares."""
    return {column.name: column for kernel in kernels().values() for column in kernel.columns}


def schema_of(kernel: type[Kernel]) -> dict[str, Column]:
    """Return the columns that a kernel needs: its own, those of its neighbours, and groups for what it reads beside."""
    schema = {column.name: column for column in kernel.columns}
    for name in (*kernel.reads, *kernel.writes):
        if name not in schema and name not in {c.name for c in IDENTITY}:
            schema[name] = everyone().get(name, Column(name, "uint8", "a group", levels=LEVELS))
    return schema


def drawn(column: Column, size: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return random values within a column's declaration, half of them the first level where it has levels."""
    low, high = column.limits()
    if not np.isfinite([low, high]).all():
        low, high = (low, low + 1_000.0) if np.isfinite(low) else (-1.0, 1.0)
    if column.unit == "step":
        low, high = 0, 4
    shape = (size, *column.shape)
    if np.dtype(column.dtype).kind == "f":
        return generator.uniform(low, high, shape).astype(column.dtype)
    values = generator.integers(int(low), int(min(high, low + 1_000)) + 1, shape)
    return np.where(generator.random(shape) < (0.5 if column.levels else 0.0), 0, values).astype(column.dtype)


def values_of(kernel: type[Kernel]) -> dict[str, Any]:
    """Return values of the parameters: lively ones, vectors where a parameter follows a column's levels."""
    given = LIVELY.get(kernel.name, {})
    schema, values = schema_of(kernel), dict[str, Any]()
    for name, declared in declarations(kernel.Params).items():
        value = given.get(name, getattr(kernel.Params(), name))
        if declared.by:
            value = np.broadcast_to(np.asarray(value, np.float32), len(schema[declared.by].levels))
        values[name] = value
    return values


@dataclass(frozen=True)
class Bench:
    """One kernel among random people on one layer, compiled once.

    Attributes:
        kernel: The kernel.
        people: Its people.
        network: Its network.
        tables: Columns of the other tables that it declares, drawn at random, by table.
        small: The compiled simulation, steps of half a day.
        traces: One entry for every time that `step` was traced.
        ties: The layer as it begins where its ties may move; else nothing.
    """

    kernel: type[Kernel]
    people: Population
    network: Network
    tables: dict[str, dict[str, Any]]
    small: Small
    traces: list[int]
    ties: dict[str, Ties]

    def seen(self) -> Any:
        """Return the layer as the kernel's `step` finds it among its networks."""
        if not self.ties:
            return self.small.world.layers["contacts"]
        ties = self.ties["contacts"]
        return ties if self.kernel.rewires else ties.layer

    def relabelled(self, order: HostArray) -> Bench:
        """Return the same network among agents whose rows are in this order."""
        network, place = self.network, np.argsort(order)
        rows = [network.indices[network.indptr[i] : network.indptr[i + 1]] for i in order]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        indices = place[np.concatenate(rows)].astype(np.int32)
        turned = replace(network, indptr=indptr, indices=indices)
        ids = self.people.columns["id"][order]
        return self.moved_to(turned, ids) if self.ties else self.with_rows(turned, row_width())

    def moved_to(self, network: Network, ids: HostArray) -> Bench:
        """Return the same on a dynamic layer that begins with the ties of a network among agents of these ids."""
        return replace(self, network=network, ties={"contacts": slots(network, ids)})

    def with_rows(self, network: Network, width: int | None) -> Bench:
        """Return the same on the rows of a network, in blocks of this width."""
        small = copy.copy(self.small)
        small.world = World(small.simulation.place({"contacts": layout(network, width=width)}))
        return replace(self, network=network, small=small)

    def on(self, backend: str) -> Bench:
        """Return the same on a backend."""
        small = copy.copy(self.small)
        small.simulation = Simulation(replace(small.simulation.model, backend=backend))
        return replace(self, small=small)

    def member(self, seed: int) -> Member:
        """Return a batch of one; a parameter that is a text keeps its default."""
        small, values = self.small, values_of(self.kernel)
        texts = {name for name, each in declarations(self.kernel.Params).items() if each.choices}
        arrays = {name: np.asarray(value, np.float32) for name, value in values.items() if name not in texts}
        words: Any = np.array([seed, 0], np.uint32)
        policy = policy_data(small.arms[0], small.plan, small.steps)
        one = Member(words, {self.kernel.name: replace(self.kernel.Params(), **arrays)}, policy)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)

    def init(self, seed: int) -> dict[str, Any]:
        """Return the columns [rows] before the first step, those of other tables as "table.column"."""
        return every_column(self.begun(self.member(seed)))

    def begun(self, members: Member) -> State:
        """Return the states of a batch before the first step."""
        return self.small.simulation.start(self.small.agents, members, self.tables, self.ties)

    def after(
        self, agents: Mapping[str, Any], seed: int, world: World | None = None, first: int = 0, count: int = STEPS
    ) -> dict[str, Any]:
        """Return the columns [rows] after `count` steps from these; batches of one only, so that nothing recompiles."""
        simulation = self.small.simulation
        own = {name: np.asarray(values) for name, values in agents.items() if "." not in name}
        others = {
            table: {name: jnp.asarray(agents.get(f"{table}.{name}", values))[None] for name, values in columns.items()}
            for table, columns in self.tables.items()
        }
        placed = {name: jnp.expand_dims(values, 0) for name, values in simulation.place(own).items()}
        ties = jax.tree.map(lambda leaf: jnp.array(leaf)[None], self.ties)
        state = State(placed, {}, {}, carried(simulation.model, own), others, ties)
        done, _ = simulation.advance(state, self.member(seed), world or self.small.world, first, count)
        return every_column(done)


def every_column(state: State) -> dict[str, Any]:
    """Return every column of the first member, those of other tables as "table.column".

    The ties of a dynamic layer are "ties.layer", int64 [living ties, 2]: pairs of outside ids in ascending order.
    """
    others = {f"{table}.{name}": values for table, c in state.tables.items() for name, values in c.items()}
    found = {name: np.asarray(values)[0] for name, values in (state.agents | others).items()}
    for name, batch in state.ties.items():
        ties: Ties = jax.tree.map(lambda leaf: np.asarray(leaf)[0], batch)
        assert not ties.overflow, "a tie found no slot"
        found[f"ties.{name}"] = pairs(replace(ties, ends=found["id"][np.where(ties.alive[:, None], ties.ends, 0)]))
    return found


def others_of(kernel: type[Kernel], generator: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Return the kernel's other tables with values drawn at random."""
    return {
        table: {column.name: drawn(column, 1 if table == "globals" else ROWS, generator) for column in columns}
        for table, columns in kernel.tables.items()
    }


def slots(network: Network, ids: HostArray, shards: int = 1, padded: int | None = None) -> Ties:
    """Return a dynamic layer that begins with the ties of a network; it holds some more."""
    padded = padded or -(-len(ids) // shards) * shards
    everybody = np.concatenate([ids, np.full(padded - len(ids), 0xFFFF_FFFF, np.uint32)])
    return from_network(network, network.arcs // 2 + SPARE, everybody, padded, shards=shards)


def bench_of(
    kernel: type[Kernel], dt: float, people: Population, network: Network, moving: bool = False, **more: Any
) -> Bench:
    """Return the kernel compiled for these people; `more` are arguments of `Small` (devices, batching).

    Where ties are `moving` the network is a dynamic layer's first.
    """
    traces: list[int] = []

    class Counted(kernel):
        @classmethod
        def step(cls, key: Any, tables: Any, networks: Any, params: Any, clock: Any) -> Mapping[str, Any]:
            traces.append(1)
            return super().step(key, tables, networks, params, clock)

    steps = round(STEPS * DT / dt)
    made = Small(kernel.name, network, people.size, (), steps=steps, dt=dt, population=people, **more)
    model = made.simulation.model
    made.simulation = Simulation(replace(model, behaviours=(replace(model.behaviours[0], kernel=Counted),)))
    ties: dict[str, Ties] = {}
    if moving:
        ties = {"contacts": slots(network, people.columns["id"], made.shards)}
        made.world = World({})
    return Bench(kernel, people, network, others_of(kernel, np.random.default_rng(4)), made, traces, ties)


@functools.cache
def bench_for(kernel: type[Kernel], place: str = "rows") -> Bench:
    """Return the kernel on one device, compiled once for all tests of the contract."""
    return bench_of(kernel, DT, people_of(kernel), network(place), place == "moving ties")


def people_of(kernel: type[Kernel]) -> Population:
    """Return people whose columns are drawn at random."""
    generator = np.random.default_rng(1)
    schema = schema_of(kernel)
    values = {name: drawn(column, SIZE, generator) for name, column in schema.items()}
    values["weight"] = generator.integers(1, 10 * 65_536, SIZE)
    return Population.build(SIZE, tuple(schema.values()), values)


@functools.cache
def network(place: str = "rows") -> Network:
    """Return the network of the contract: everybody's 8 contacts, among neighbours, with hubs or complete mixing."""
    if place == "complete mixing":
        return graph("complete", SIZE, contacts=8.0)
    if place == "hubs":
        return graph("barabasi-albert", SIZE, ties=4)
    return graph("erdos-renyi", SIZE, mean_degree=8.0)


def dealt(bench: Bench, shards: int) -> tuple[Bench, Dealing]:
    """Return the same people and ties on several devices, dealt by their ties, and where everybody stands."""
    dealing = deal(bench.network.degrees(), shards)
    people = replace(bench.people, columns=dealing.everybody(bench.people.columns))
    made = bench_of(bench.kernel, DT, people, dealing.spread(bench.network), shards=shards)
    if bench.ties:
        ties = slots(bench.network, bench.people.columns["id"], shards, dealing.padded)
        made.small.world = World({})
        made = replace(made, ties={"contacts": dealing.moved(ties)})
    return made, dealing


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether both have the same columns, to the last bit."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
