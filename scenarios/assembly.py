"""From a checked scenario to what the engine runs: people, layers, model, and the members (arm, seed)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.kernel import declarations
from lpm.levers import once
from lpm.metrics import COUNTED, Metric, Recorder, recorder
from lpm.network import Layer, Network, layout
from lpm.networks.draws import layer_seed
from lpm.policy import Arm, PolicyPlan, plan, policy_data
from lpm.population import Column, Population
from lpm.scenarios import parameters, registries, tables
from lpm.scenarios.levers import arm_of
from lpm.scenarios.options import Progress
from lpm.scenarios.paths import located
from lpm.scenarios.schema import LayerTable, Scenario
from lpm.simulation import Behaviour, Member, Model, Simulation, World
from lpm.types import HostArray

CHUNK_STEPS = 15
"""Most steps between two looks of the host (progress, interrupts); a chunk boundary costs well under 2 % of them."""


@dataclass(frozen=True)
class Assembly:
    """A scenario ready to run.

    Attributes:
        scenario: The scenario.
        population: The people, with the kernels' columns.
        networks: The layers on the host, without arcs (facts and degrees only).
        metrics: Every declared metric, derived ones included.
        arms: The arms.
        model: What a compilation depends on.
        simulation: The compiled functions.
        world: Layers on the devices.
        agents: Columns on the devices, padded.
        params: `Params` of every kernel instance, before any draw.
        seconds: Time spent by stage.
    """

    scenario: Scenario
    population: Population
    networks: Mapping[str, NetworkFacts]
    metrics: tuple[Metric, ...]
    arms: tuple[Arm, ...]
    model: Model
    simulation: Simulation
    world: World
    agents: Mapping[str, Any]
    params: Mapping[str, Any]
    seconds: Mapping[str, float]

    def member(self, arm: Arm, seed: int, params: Mapping[str, Any]) -> Member:
        """Return one (arm, seed) with its parameters, as a batch of one (leading axis)."""
        import jax

        words: Any = np.array([seed & 0xFFFF_FFFF, seed >> 32], np.uint32)
        one = Member(words, dict(params), policy_data(arm, self.model.policy, self.scenario.steps))
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)


@dataclass(frozen=True)
class NetworkFacts:
    """What the report tells of a layer once its arcs are on the devices.

    Attributes:
        arcs: Number of arcs.
        degrees: int64 [agents].
        facts: The builder's.
        source: The scenario's words on where it comes from.
        mixing: Contacts per person and day between age levels, generated; None without levels.
        published: The same as published, for the population's ages; None where the builder knows of none.
    """

    arcs: int
    degrees: HostArray
    facts: Mapping[str, Any]
    source: str
    mixing: HostArray | None
    published: HostArray | None


def assemble(scenario: Scenario, devices: int, progress: Progress) -> Assembly:
    """Return the scenario ready to run.

    Args:
        scenario: A checked scenario.
        devices: Number of devices over which agents are spread.
        progress: Told what is being made.

    Raises:
        InputError: Anything that only the people or the networks can show to be wrong.
    """
    seconds: dict[str, float] = {}
    clock = time.perf_counter()
    progress("people", 0, 1)
    population = people_of(scenario)
    progress("people", 1, 1)
    seconds["people"] = time.perf_counter() - clock

    schema = population.schema
    padded = -(-population.size // devices) * devices
    layers: dict[str, Layer] = {}
    told: dict[str, NetworkFacts] = {}
    for number, table in enumerate(scenario.networks):
        clock = time.perf_counter()
        progress(f"network {table.name}", 0, 1)
        network = build_layer(scenario, number, table, population)
        layers[table.name] = layout(network, devices, padded, home=table.home)
        told[table.name] = _facts(network, table, population)
        del network
        progress(f"network {table.name}", 1, 1)
        seconds[f"network {table.name}"] = time.perf_counter() - clock

    metrics = tuple(_metrics(scenario, schema))
    counted = recorder([m for m in metrics if m.kind in COUNTED], schema, f"{scenario.label}: metrics")
    arms = tuple(arm_of(scenario, arm, schema, counted) for arm in scenario.arms)
    behaviours, params = _behaviours(scenario, schema)
    policy = plan(arms, tuple(layers))
    policy = replace(policy, agents=tuple(once(i, _written(behaviours), schema) for i in policy.agents))
    _check_durations(policy, arms, scenario)
    model = Model(
        behaviours,
        counted,
        policy,
        tuple(schema.values()),
        dt=scenario.step_days,
        backend=scenario.backend,
        shards=devices,
        capacity=min(CHUNK_STEPS, scenario.steps),
    )
    simulation = Simulation(model)
    ranks = {i.name: _rank(told[i.top[0]].degrees, padded) for i in policy.agents if i.top[0]}
    world = World(simulation.place(layers), simulation.place(ranks))
    agents = simulation.place(_padded(population, padded))
    return Assembly(
        scenario, population, told, metrics, arms, model, simulation, world, agents, params, seconds
    )  # fmt: skip


def people_of(scenario: Scenario) -> Population:
    """Return the population with every column that the scenario's kernels declare.

    Raises:
        InputError: The people cannot be made or read, or a kernel reads a column that is not there.
    """
    table, where = scenario.population, f"{scenario.label}: population"
    extra = [*registries.declared_columns(scenario)]
    if table.generator is not None:
        generator = registries.generator(table.generator, f"{where}.generator")
        params = registries.generator_params(scenario)
        assert table.size is not None
        people = None if table.people is None else round(table.people)
        made = generator.generate(table.seed, params, table.size, people)
    elif table.file is not None:
        frame = tables.read(located(scenario, table.file, "population.file"), where, table.size)
        made = Population.from_frame(frame, [*extra, *tables.people_columns(scenario).values()], where)
    else:
        assert table.size is not None
        made = Population.build(table.size, (), {}, where)
    if table.people is not None and table.generator is None:
        made = made.reweighted(table.people)
    schema = registries.all_columns(scenario) | dict(made.schema)
    missing = {name: column for name, column in schema.items() if name not in made.columns}
    columns = dict(made.columns)
    for name, column in missing.items():
        columns[name] = np.full((made.size, *column.shape), column.default, column.dtype)
    for number, instance in enumerate(scenario.kernels):
        kernel = registries.kernels_of(scenario)[instance.name]
        for name in kernel.reads:
            behind = instance.columns.get(name, name)
            if behind not in columns and _grouping(kernel, name) and behind == name:
                # nobody told the ages (or places) of this population: everybody is of one level
                columns[name] = np.zeros(made.size, np.uint8)
                schema[name] = Column(name, "uint8", "everybody alike", levels=("all",))
            elif behind not in columns:
                raise InputError(
                    f"{scenario.label}: kernels[{number}]: kernel '{instance.kernel}' reads the column '{name}'; the "
                    f"population has {', '.join(columns)}; name one with columns = {{ {name} = \"...\" }}"
                )
    return Population(schema, columns, made.facts)


def _grouping(kernel: type[Any], column: str) -> bool:
    return any(declared.by == column for declared in declarations(kernel.Params).values())


def build_layer(scenario: Scenario, number: int, table: LayerTable, population: Population) -> Network:
    """Return one network layer of a scenario.

    Raises:
        InputError: What its builder refuses.
    """
    where = f"{scenario.label}: networks[{number}]"
    builder = registries.builder(table.builder, f"{where}.builder")
    params = parameters.build(builder.Params, table.params, population.schema, where)
    params = registries.with_files(scenario, params, f"networks[{number}]")
    seed = layer_seed(scenario.population.seed if table.seed is None else table.seed, table.name)
    return builder.build(seed, params, population, (0, population.size)).check(f"{where} '{table.name}'")


def _facts(network: Network, table: LayerTable, population: Population) -> NetworkFacts:
    told = network.facts.get("mixing")
    made = mixing(network, population) if told is None else np.asarray(told["generated"])
    published = None if told is None else np.asarray(told["published"])
    return NetworkFacts(network.arcs, network.degrees(), dict(network.facts), table.source, made, published)


def mixing(network: Network, population: Population, by: str = "age") -> HostArray | None:
    """Return float64 [levels, levels], contacts per person (row) and day with persons of a level (column).

    None where the layer stores no arcs or the population has no such categorical column.
    """
    if by not in population.schema or not population.schema[by].levels or network.complete:
        return None
    levels, code = len(population.schema[by].levels), population.columns[by]
    counts = np.bincount(code, minlength=levels).astype(np.float64)
    intensity = network.columns.get("intensity")
    weights = None if intensity is None else intensity.astype(np.float64) / 64
    pair = np.repeat(code.astype(np.int16) * levels, network.degrees()) + code[network.indices]
    totals = np.bincount(pair, weights, minlength=levels * levels).reshape(levels, levels)
    return np.divide(totals, counts[:, None], out=np.zeros_like(totals), where=counts[:, None] > 0)


def _metrics(scenario: Scenario, schema: Mapping[str, Column]) -> list[Metric]:
    made: list[Metric] = []
    for name, table in scenario.metrics.items():
        place, kind = f"{scenario.label}: metrics.{name}", table.kind
        column, levels = "", ()
        if kind in ("flow", "stock"):
            column = table.column
            levels = tuple(schema[column].code(level, place) for level in (getattr(table, kind) or ()))
        elif kind in ("mean", "sum"):
            column = getattr(table, kind)
        by = table.by
        if table.refers and not by:  # a derived metric is told for the groups of what it is made of
            by = tuple(c for c in schema if all(c in scenario.metrics[of].by for of in table.refers))
        made.append(
            Metric(
                name, kind, column, levels, table.refers, by,
                table.title or name.replace("_", " ").capitalize(), table.unit, table.interval or (0.0, 0.0),
            )  # fmt: skip
        )
    return made


def _behaviours(scenario: Scenario, schema: Mapping[str, Column]) -> tuple[tuple[Behaviour, ...], dict[str, Any]]:
    behaviours: list[Behaviour] = []
    params: dict[str, Any] = {}
    every = tuple(layer.name for layer in scenario.networks)
    for number, instance in enumerate(scenario.kernels):
        where = f"{scenario.label}: kernels[{number}]"
        kernel = registries.kernels_of(scenario)[instance.name]
        built = parameters.build(
            kernel.Params, instance.params, schema, where, aliases=instance.columns, keys=("layers", "columns")
        )
        kernel.check(built, where)
        params[instance.name] = as_arrays(built)
        columns = tuple(instance.columns.items())
        behaviours.append(Behaviour(instance.name, kernel, instance.layers or every, columns))
    return tuple(behaviours), params


def as_arrays(params: Any) -> Any:
    """Return `Params` whose numbers are float32 arrays, as the compiled functions take them."""
    changed = {name: np.asarray(getattr(params, name), np.float32) for name in declarations(type(params))}
    return replace(params, **changed)


def _written(behaviours: tuple[Behaviour, ...]) -> set[str]:
    return {dict(b.columns).get(name, name) for b in behaviours for name in b.kernel.writes}


def _check_durations(policy: PolicyPlan, arms: tuple[Arm, ...], scenario: Scenario) -> None:
    single = {i.name for i in policy.agents if any(e.kind.endswith("once") for e in i.effects)}
    for arm in arms:
        for each in arm.interventions:
            if each.name in single and each.duration is not None and each.effects[0].kind != "add_column":
                raise InputError(
                    f"{scenario.label}: intervention '{each.name}' of arm '{arm.name}': '{each.effects[0].target}' is "
                    "written by a kernel, so it is set once and cannot have a duration"
                )


def _rank(degrees: HostArray, padded: int) -> HostArray:
    """Return float32 [padded], the share of agents of higher degree (ties by position, which follows ids)."""
    order = np.argsort(-degrees, kind="stable")
    rank = np.full(padded, 2.0, np.float32)
    rank[order] = np.arange(len(degrees)) / len(degrees)
    return rank


def _padded(population: Population, padded: int) -> dict[str, HostArray]:
    """Return the columns with absent agents of no weight behind them, up to a multiple of the devices."""
    more = padded - population.size
    columns: dict[str, HostArray] = {}
    for name, values in population.columns.items():
        columns[name] = np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)]) if more else values
    return columns


def recorder_of(assembly: Assembly) -> Recorder:
    """Return what is counted inside the scan."""
    return assembly.model.recorder
