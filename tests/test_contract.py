"""The contract of a kernel: what holds for every one that is registered, whatever it does.

A new kernel is tested by being imported in `kernels/__init__.py`. It is put on a small random network among people
whose columns are drawn at random from the declared bounds, so that every state occurs. A kernel that does nothing under
its defaults needs a line in LIVELY. Everything here is exact but the test of the step length, whose false-alarm rate is
said there; seeds are fixed.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm import random
from lpm.clock import Clock
from lpm.kernel import Kernel, declarations, kernels
from lpm.network import Network, layout
from lpm.policy import policy_data
from lpm.population import IDENTITY, Column, Population
from lpm.simulation import Member, Simulation, State, World

from .conftest import Small, graph

LIVELY: dict[str, dict[str, float]] = {
    "bass": {"p": 0.03, "q": 0.38},  # its defaults are rates a year
    "choice": {"temperature": 1_000.0},  # logits drawn within their bounds lie thousands apart
    "importation": {"initial": 60.0, "daily": 60.0},
    "music-market": {"visits": 0.002},  # appetites drawn within their bounds are 50 in the mean
}
"""Values under which a kernel whose defaults change nothing acts."""

SIZE, STEPS, DT = 600, 10, 0.5
LEVELS = ("a", "b", "c")
ROWS = 64  # of every table beside "agents" but "globals"
SCHEDULES = ("synchronous", "random-sequential", "random pairs", "one event")
SEEDS = 100


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
    """One kernel among random people on a random network, compiled once.

    Attributes:
        kernel: The kernel.
        people: Its people.
        network: Its network.
        tables: Columns of the other tables that it declares, drawn at random, by table.
        small: The compiled simulation, steps of half a day.
        traces: One entry for every time that `step` was traced.
    """

    kernel: type[Kernel]
    people: Population
    network: Network
    tables: dict[str, dict[str, Any]]
    small: Small
    traces: list[int]

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
        return every_column(self.small.simulation.start(self.small.agents, self.member(seed), self.tables))

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
        state = State(placed, {}, {}, {}, others)
        done, _ = simulation.advance(state, self.member(seed), world or self.small.world, first, count)
        return every_column(done)


def every_column(state: State) -> dict[str, Any]:
    """Return every column of the first member, those of other tables as "table.column"."""
    others = {f"{table}.{name}": values for table, c in state.tables.items() for name, values in c.items()}
    return {name: np.asarray(values)[0] for name, values in (state.agents | others).items()}


def others_of(kernel: type[Kernel], generator: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Return the kernel's other tables with values drawn at random."""
    return {
        table: {column.name: drawn(column, 1 if table == "globals" else ROWS, generator) for column in columns}
        for table, columns in kernel.tables.items()
    }


def bench_of(kernel: type[Kernel], dt: float, people: Population, network: Network) -> Bench:
    traces: list[int] = []

    class Counted(kernel):
        @classmethod
        def step(cls, key: Any, tables: Any, networks: Any, params: Any, clock: Any) -> Mapping[str, Any]:
            traces.append(1)
            return super().step(key, tables, networks, params, clock)

    steps = round(STEPS * DT / dt)
    made = Small(kernel.name, network, people.size, (), steps=steps, dt=dt, population=people)
    model = made.simulation.model
    made.simulation = Simulation(replace(model, behaviours=(replace(model.behaviours[0], kernel=Counted),)))
    return Bench(kernel, people, network, others_of(kernel, np.random.default_rng(4)), made, traces)


@pytest.fixture(scope="module", params=list(kernels()))
def kernel(request: Any) -> type[Kernel]:
    return kernels()[request.param]


@pytest.fixture(scope="module")
def bench(kernel: type[Kernel]) -> Bench:
    generator = np.random.default_rng(1)
    schema = schema_of(kernel)
    values = {name: drawn(column, SIZE, generator) for name, column in schema.items()}
    values["weight"] = generator.integers(1, 10 * 65_536, SIZE)
    people = Population.build(SIZE, tuple(schema.values()), values)
    return bench_of(kernel, DT, people, graph("erdos-renyi", SIZE, mean_degree=8.0))


# what is declared


def test_parameters_are_declared(kernel: type[Kernel]):
    """A frozen dataclass that is a pytree; every field with unit, meaning, source and a default within bounds."""
    params = kernel.Params
    assert dataclasses.is_dataclass(params) and params.__dataclass_params__.frozen  # type: ignore[attr-defined]
    declared = declarations(params)
    assert list(declared) == [field.name for field in dataclasses.fields(params)], "a field without parameter(...)"
    for name, each in declared.items():
        assert each.unit and each.meaning and each.source, f"{name}: unit, meaning and source are not all given"
        low, high = each.bounds
        assert low < high
        default = getattr(params(), name)
        if each.choices:
            assert default in each.choices
            continue
        assert (np.asarray(default, float) >= low).all() and (np.asarray(default, float) <= high).all(), name
        assert not each.prior or each.prior[0] in ("lognormal", "normal", "uniform", "beta")
    assert len(jax.tree.leaves(params())) == sum(not each.choices for each in declared.values())
    kernel.check(params(), "test")


def test_documentation_tells_schedule_equation_and_reference(kernel: type[Kernel]):
    told = f"{inspect.getdoc(sys.modules[kernel.__module__])}\n{inspect.getdoc(kernel)}"
    assert kernel.schedule in SCHEDULES and kernel.schedule in told.lower()
    assert ":math:" in told or ".. math::" in told
    assert re.search(r"\b10\.\d{4,9}/\S+", told), "no reference with a DOI"
    assert inspect.getdoc(kernel) and inspect.getdoc(kernel.Params) and inspect.getdoc(kernel.step)


def test_columns_exist_and_fit_together(kernel: type[Kernel]):
    own = [column.name for column in kernel.columns]
    known = set(everyone()) | {column.name for column in IDENTITY}
    groups = {declared.by for declared in declarations(kernel.Params).values() if declared.by}
    assert len(set(own)) == len(own)
    assert kernel.writes and set(kernel.writes) <= known, "a column is written that no kernel declares"
    assert "agents" not in kernel.tables
    for columns in kernel.tables.values():
        assert len({column.name for column in columns}) == len(columns) and all(column.meaning for column in columns)
    assert set(kernel.writes) <= set(own) | set(kernel.reads), "a column is written that is neither its own nor read"
    assert groups <= set(kernel.reads), "a parameter follows a column that is not among `reads`"
    assert set(kernel.reads) <= known | groups | {"years", "place"}
    assert not {"id", "weight", "present"} & set(kernel.writes)
    for column in kernel.columns:
        assert column.meaning and (not column.levels or len(column.levels) <= np.iinfo(column.dtype).max)


def test_step_reads_and_writes_what_it_declares(bench: Bench):
    kernel, seen = bench.kernel, set[str]()

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            seen.add(name)
            return super().__getitem__(name)

    def one(agents: Any, others: Any, layer: Any, params: Any) -> Any:
        clock = Clock(jnp.int32(0), DT, 1)
        tables = {**others, "agents": Watched(agents)}
        ready = kernel.prepare(params, tables, clock)
        begun = kernel.init(random.root(1), tables, ready, clock)
        return begun, kernel.step(random.root(1), tables, {"contacts": layer}, ready, clock)

    params = jax.tree.map(lambda leaf: leaf[0], bench.member(1).params[kernel.name])
    layer = bench.small.world.layers["contacts"]
    begun, moved = jax.eval_shape(one, dict(bench.people.columns), bench.tables, layer, params)
    declared = {table: {column.name: column for column in columns} for table, columns in kernel.tables.items()}
    own = set(moved) - set(declared)
    assert own == set(kernel.writes) and set(begun) - set(declared) <= set(kernel.writes)
    for made in (begun, moved):
        for table in set(made) & set(declared):
            for name, values in made[table].items():
                rows, column = len(bench.tables[table][name]), declared[table][name]
                assert (values.shape, values.dtype) == ((rows, *column.shape), column.dtype), f"{table}.{name}"
        for name, values in made.items():
            if name in declared:
                continue
            column = bench.people.columns[name]
            assert (values.shape, values.dtype) == (column.shape, column.dtype), name
    allowed = {*kernel.reads, *(c.name for c in kernel.columns), *(c.name for c in IDENTITY)}
    assert seen <= allowed, f"reads {seen - allowed}, which is not among `reads`"


# what it does


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_step_is_traced_once(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Other steps, seeds and values of the parameters compile nothing."""
    bench.after(bench.people.columns, 1)
    traced = len(bench.traces)
    bench.after(bench.people.columns, 2, first=STEPS // 2, count=STEPS // 2)
    member = bench.member(3)
    halved = jax.tree.map(lambda leaf: leaf * np.float32(0.5) if leaf.dtype == np.float32 else leaf, member.params)
    monkeypatch.setattr(Bench, "member", lambda self, seed: replace(member, params=halved))
    bench.after(bench.people.columns, 3, first=1, count=2)
    assert traced and len(bench.traces) == traced


def test_columns_stay_within_their_declaration(bench: Bench):
    """From any state of the schema and from its own start: right dtypes, in bounds, finite; other columns untouched."""
    for start in (dict(bench.people.columns), bench.init(5)):
        after = bench.after(start, 5)
        for name, column in bench.people.schema.items():
            assert after[name].dtype == np.dtype(column.dtype)
            column.check(after[name], bench.kernel.name)
            if name not in bench.kernel.writes:
                assert np.array_equal(after[name], start[name])
        for table, columns in bench.kernel.tables.items():
            for column in columns:
                column.check(after[f"{table}.{column.name}"], f"{bench.kernel.name}: {table}")


def test_something_happens(bench: Bench):
    """If this fails, the kernel does nothing under its defaults: give it a line in LIVELY."""
    after = bench.after(bench.people.columns, 6)
    assert any((after[name] != bench.people.columns[name]).any() for name in bench.kernel.writes)


def test_a_seed_decides_every_bit(bench: Bench):
    """The same seed, the same bits; another seed, others: from its own start, or from one start for all."""
    same = True
    for starts in ((bench.init(7), bench.init(8)), (dict(bench.people.columns),) * 2):
        once, again = bench.after(starts[0], 7), bench.after(starts[0], 7)
        other = bench.after(starts[1], 8)
        assert equal(once, again)
        same &= equal(once, other)
    assert equal(bench.init(7), bench.init(7)) and not same


def test_relabelled_agents_live_the_same_lives(bench: Bench):
    """Agents in another order, with their ids and their rows: the trajectory by id is the same to the last bit."""
    order = np.random.default_rng(2).permutation(SIZE)
    place = np.argsort(order)
    network = bench.network
    rows = [network.indices[network.indptr[i] : network.indptr[i + 1]] for i in order]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    turned = Network(SIZE, indptr, place[np.concatenate(rows)].astype(np.int32))
    agents = bench.people.columns
    straight = bench.after(agents, 9)
    world = World(bench.small.simulation.place({"contacts": layout(turned)}))
    other = bench.after({name: column[order] for name, column in agents.items()}, 9, world)
    assert equal({name: v if "." in name else v[order] for name, v in straight.items()}, other)


def test_absent_agents_do_not_change_and_change_nobody(bench: Bench):
    generator = np.random.default_rng(3)
    absent = generator.random(SIZE) < 0.3
    agents = {**bench.people.columns, "present": ~absent}
    after = bench.after(agents, 10)
    assert all(np.array_equal(after[name][absent], agents[name][absent]) for name in bench.kernel.writes)
    other = dict(agents)
    for name, column in schema_of(bench.kernel).items():
        apart = absent.reshape(SIZE, *(1 for _ in column.shape))
        other[name] = np.where(apart, drawn(column, SIZE, generator), agents[name])
    again = bench.after(other, 10)
    for name in after:
        if "." in name:
            assert np.array_equal(after[name], again[name]), name
        elif name in bench.kernel.writes:
            assert np.array_equal(after[name][~absent], again[name][~absent]), name


def summary(bench: Bench, runs: Sequence[Mapping[str, Any]], dt: float) -> dict[str, Any]:
    """Return per written column the share of each level, or mean and mean square; steps in days, [runs, values]."""
    told: dict[str, Any] = {}
    for name in bench.kernel.writes:
        column, values = bench.people.schema[name], np.stack([agents[name] for agents in runs])
        if column.levels:
            told[name] = np.stack([(values == code).mean(1) for code in range(len(column.levels))], -1)
        else:
            days = values.astype(np.float64) * (dt if column.unit == "step" else 1)
            told[name] = np.stack([days.mean(1), (days**2).mean(1)], -1)
    return told


def test_half_the_step_moves_a_rate_kernel_by_its_order(bench: Bench):
    """One day, and five, in steps of a half and of a quarter of a day differ by at most 6 % of what they changed.

    The kernels shipped differ by at most 3 %; one that forgets `dt` differs by about as much as they changed. Means
    over 100 seeds; five standard errors are allowed beside the 6 %: a false alarm for fewer than one of 1e5 kernels
    that keep within 5 %.
    """
    kernel = bench.kernel
    units = {declared.unit for declared in declarations(kernel.Params).values()}
    if not any(unit == "day" or unit.endswith("/day") for unit in units):
        pytest.skip("no parameter is a rate or a duration")
    fine = bench_of(kernel, DT / 2, bench.people, bench.network)
    start = dict(bench.people.columns)
    for name in kernel.writes:
        if bench.people.schema[name].unit == "step":
            start[name] = np.zeros_like(start[name])
    before = summary(bench, [start], DT)
    for count in (2, STEPS):
        long = summary(bench, [bench.after(start, seed, count=count) for seed in range(SEEDS)], DT)
        short = summary(fine, [fine.after(start, seed, count=2 * count) for seed in range(SEEDS)], DT / 2)
        for name in kernel.writes:
            change = np.abs(short[name].mean(0) - before[name][0]).max()
            error = np.sqrt((long[name].var(0) + short[name].var(0)) / (SEEDS - 1))
            gap = np.abs(long[name].mean(0) - short[name].mean(0))
            assert (gap <= 0.06 * change + 5 * error).all(), (name, count, gap, change, error)
