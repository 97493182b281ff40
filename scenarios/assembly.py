"""From a checked scenario to what the engine runs: people, layers, model, and the members (arm, seed)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.kernel import declarations
from lpm.levers import once
from lpm.metrics import COUNTED, Metric, recorder
from lpm.policy import Arm, PolicyPlan, plan, policy_data
from lpm.population import WEIGHT_UNIT, Column, Population
from lpm.saturation import refuse_saturation
from lpm.scenarios import archetypes, parameters, registries, strengths
from lpm.scenarios.dealing import Dealing
from lpm.scenarios.laid import lay
from lpm.scenarios.layers import NetworkFacts, degree_rank
from lpm.scenarios.levers import arm_of
from lpm.scenarios.measured import BELONGS
from lpm.scenarios.options import Progress
from lpm.scenarios.people import people_of
from lpm.scenarios.schema import Scenario
from lpm.simulation import Behaviour, Member, Model, Simulation, World
from lpm.ties import Ties
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
        dealing: Where agents stand on the devices.
        world: Layers on the devices.
        agents: Columns on the devices, dealt and padded.
        tables: Columns of the other tables as they begin.
        ties: Dynamic layers as they begin.
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
    dealing: Dealing
    world: World
    agents: Mapping[str, Any]
    tables: Mapping[str, Any]
    ties: Mapping[str, Any]
    params: Mapping[str, Any]
    seconds: Mapping[str, float]

    def member(self, arm: Arm, seed: int, params: Mapping[str, Any]) -> Member:
        """Return one (arm, seed) with its parameters, as a batch of one (leading axis)."""
        import jax

        words: Any = np.array([seed & 0xFFFF_FFFF, seed >> 32], np.uint32)
        own = {name: each for name, each in params.items() if name != strengths.NAME}
        strong = strengths.strengthened(arm, params[strengths.NAME])
        one = Member(words, own, policy_data(strong, self.model.policy, self.scenario.steps))
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)


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
    laid = lay(scenario, population, devices, progress)
    layers, ties, told, dealing = laid.layers, laid.ties, laid.told, laid.dealing
    seconds |= laid.seconds

    metrics = tuple(_metrics(scenario, schema))
    base = [metric for metric in metrics if metric.kind in COUNTED]
    counted = recorder(base, schema, f"{scenario.label}: metrics", population.people)
    arms = tuple(arm_of(scenario, arm, schema, counted) for arm in scenario.arms)
    behaviours, params = _behaviours(scenario, schema)
    policy = plan(arms, (*layers, *ties))
    refuse_saturation(behaviours, params, policy, arms, scenario.steps, scenario.step_days, scenario.label)
    _check_ties(policy, ties, scenario)
    _check_capacity(arms, population, scenario)
    policy = replace(policy, agents=tuple(once(i, _written(behaviours), schema) for i in policy.agents))
    _check_durations(policy, arms, scenario)
    _check_flows(policy, base, scenario)
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
    ranks = {i.name: degree_rank(told[i.top[0]].degrees, population.size) for i in policy.agents if i.top[0]}
    dealt = {name: dealing.dealt(rank, fill=2.0) for name, rank in ranks.items()}
    world = World(simulation.place(layers), simulation.place(dealt))
    agents = simulation.place(dealing.everybody(population.columns))
    return Assembly(
        scenario, population, told, metrics, arms, model, simulation, dealing, world, agents,
        _other_tables(scenario, behaviours), ties, params, seconds,
    )  # fmt: skip


def _metrics(scenario: Scenario, schema: Mapping[str, Column]) -> list[Metric]:
    made: list[Metric] = []
    for name, table in scenario.metrics.items():
        place, kind = f"{scenario.label}: metrics.{name}", table.kind
        column, levels = table.of_column or "", ()
        if kind in ("flow", "stock"):
            column = table.column
            levels = tuple(schema[column].code(level, place) for level in (getattr(table, kind) or ()))
        by = table.by
        if table.refers and not by:  # a derived metric is told for the groups of what it is made of
            by = tuple(c for c in schema if all(c in scenario.metrics[of].by for of in table.refers))
        made.append(
            Metric(
                name,
                kind,
                column,
                levels,
                table.refers,
                by,
                table.title or name.replace("_", " ").capitalize(),
                table.unit,
                table.interval or (0.0, 0.0),
                **{key: value for key in BELONGS if key != "interval" and (value := getattr(table, key)) is not None},
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
            kernel.Params,
            instance.params,
            schema,
            where,
            aliases=instance.columns,
            keys=("layers", "columns", "cascades"),
        )
        kernel.check(built, where, scenario.step_days)
        moving = [layer.name for layer in scenario.networks if layer.dynamic]
        if kernel.rewires and not set(instance.layers or every) & set(moving):
            there = f"the dynamic layers are {', '.join(moving)}" if moving else "no layer has dynamic = true"
            raise InputError(f"{where}: '{kernel.name}' moves ties and needs a dynamic layer; {there}")
        params[instance.name] = as_arrays(built)
        columns = tuple(instance.columns.items())
        behaviours.append(Behaviour(instance.name, kernel, instance.layers or every, columns))
    kind = registries.instances_of(scenario)[strengths.NAME].Params
    built = parameters.build(kind, scenario.strengths.params, schema, f"{scenario.label}: {strengths.NAME}")
    params[strengths.NAME] = as_arrays(built)
    return tuple(behaviours), params


def as_arrays(params: Any) -> Any:
    """Return `Params` whose numbers are float32 arrays, as the compiled functions take them; texts stay texts."""
    numbers = [name for name, declared in declarations(type(params)).items() if not declared.choices]
    return replace(params, **{name: np.asarray(getattr(params, name), np.float32) for name in numbers})


def _written(behaviours: tuple[Behaviour, ...]) -> set[str]:
    return {dict(b.columns).get(name, name) for b in behaviours for name in b.kernel.writes}


def _check_flows(policy: PolicyPlan, metrics: list[Metric], scenario: Scenario) -> None:
    for lever in policy.agents:
        for effect in lever.effects:
            for metric in metrics:
                if metric.kind == "flow" and metric.column == effect.target and not effect.kind.endswith("once"):
                    raise InputError(
                        f"{scenario.label}: metrics.{metric.name}: intervention '{lever.name}' holds '{effect.target}' "
                        "for a while, which is no flow; count a stock"
                    )


def _check_capacity(arms: tuple[Arm, ...], population: Population, scenario: Scenario) -> None:
    largest = float(population.columns["weight"].max()) / WEIGHT_UNIT
    for arm in arms:
        for each in arm.interventions:
            if each.capacity is not None and each.capacity < largest:
                raise InputError(
                    f"{scenario.label}: intervention '{each.name}' of arm '{arm.name}': a capacity of "
                    f"{each.capacity:g} people per step is less than the {largest:g} that an agent stands for; "
                    "use more agents"
                )


def _check_ties(policy: PolicyPlan, ties: Mapping[str, Ties], scenario: Scenario) -> None:
    for lever in policy.agents:
        if lever.on_ties and lever.effects[0].target not in ties:
            raise InputError(
                f"{scenario.label}: intervention '{lever.name}': layer '{lever.effects[0].target}' is fixed; "
                "give it dynamic = true to add or remove ties"
            )


def _other_tables(scenario: Scenario, behaviours: tuple[Behaviour, ...]) -> dict[str, dict[str, HostArray]]:
    """Return the columns of the tables beside "agents" that the kernels declare, at their defaults.

    Raises:
        InputError: A table without a declared number of rows, or one that no kernel has.
    """
    made: dict[str, dict[str, HostArray]] = {}
    if archetypes.chosen_by(scenario):
        made[archetypes.TABLE] = archetypes.given(scenario)
    for behaviour in behaviours:
        for name, columns in behaviour.kernel.tables.items():
            if name in made and name == archetypes.TABLE:
                rows = len(made[name]["logit"])
                made[name] |= {c.name: _full(rows, c) for c in columns if c.name not in made[name]}
                continue
            if name != "globals" and name not in scenario.tables:
                raise InputError(
                    f"{scenario.label}: kernel '{behaviour.kernel.name}' needs a table '{name}'; say how many rows it "
                    f"has with [tables.{name}] rows = ..."
                )
            rows = scenario.tables[name].rows if name in scenario.tables else 1
            made.setdefault(name, {}).update({c.name: _full(rows, c) for c in columns})
    for name in scenario.tables:
        if name not in made:
            raise unknown(f"{scenario.label}: tables", "table", name, made)
    return made


def _full(rows: int, column: Column) -> HostArray:
    return np.full((rows, *column.shape), column.default, column.dtype)


def _check_durations(policy: PolicyPlan, arms: tuple[Arm, ...], scenario: Scenario) -> None:
    single = {i.name for i in policy.agents if any(e.kind.endswith("once") for e in i.effects)}
    for arm in arms:
        for each in arm.interventions:
            if each.name in single and each.duration is not None and each.effects[0].kind != "add_column":
                raise InputError(
                    f"{scenario.label}: intervention '{each.name}' of arm '{arm.name}': '{each.effects[0].target}' is "
                    "written by a kernel, so it is set once and cannot have a duration"
                )
