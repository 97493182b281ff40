"""What is registered under the names that a scenario uses: kernels, network builders, population generators."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from lpm import kernel as contract
from lpm.errors import InputError, unknown
from lpm.kernel import Declaration, Kernel
from lpm.population import IDENTITY, Column
from lpm.scenarios import strengths
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import Setting


def generators() -> dict[str, Any]:
    """Return the population generators by name: classes with `Params` and `columns`."""
    return importlib.import_module("lpm.synthesis").generators()


def generator(name: str, where: str) -> Any:
    """Return the population generator registered under `name`.

    Raises:
        InputError: There is none; the nearest name is suggested.
    """
    known = generators()
    if name not in known:
        raise unknown(where, "population generator", name, known)
    return known[name]


def generator_params(scenario: Scenario) -> Any:
    """Return the parameters of the scenario's generator, files located.

    Raises:
        InputError: A parameter or file that does not fit.
    """
    from lpm.scenarios import parameters

    where = f"{scenario.label}: population"
    made = generator(str(scenario.population.generator), f"{where}.generator")
    built = parameters.build(made.Params, scenario.population.params, {}, where)
    return with_files(scenario, built, "population")


def with_files(scenario: Scenario, params: Any, where: str) -> Any:
    """Return the parameters with every file name resolved inside the scenario's folder."""
    from lpm.scenarios.paths import located

    changed = {
        name: str(located(scenario, getattr(params, name), f"{where}.{name}"))
        for name, declared in contract.declarations(type(params)).items()
        if declared.unit == "file" and isinstance(getattr(params, name), str) and getattr(params, name)
    }
    return dataclasses.replace(params, **changed) if changed else params


def builder(name: str, where: str) -> Any:
    """Return the network builder registered under `name`.

    Raises:
        InputError: There is none; the nearest name is suggested.
    """
    from lpm import networks

    return networks.find(name, where)


def parametrised(scenario: Scenario) -> list[tuple[str, Mapping[str, Setting], dict[str, Declaration]]]:
    """Return every table with parameters: path of the table, what the scenario sets, what is declared.

    Raises:
        InputError: An unknown kernel, builder or generator.
    """
    label, people = scenario.label, scenario.population
    found: list[tuple[str, Mapping[str, Setting], dict[str, Declaration]]] = []
    declared: dict[str, Declaration] = {}
    if people.generator is not None:
        declared = contract.declarations(generator(people.generator, f"{label}: population.generator").Params)
    found.append(("population", people.params, declared))
    for number, layer in enumerate(scenario.networks):
        built = builder(layer.builder, f"{label}: networks[{number}].builder")
        found.append((f"networks[{number}]", layer.params, contract.declarations(built.Params)))
    for number, instance in enumerate(scenario.kernels):
        kernel: Any = contract.find(instance.kernel, f"{label}: kernels[{number}].kernel")
        found.append((f"kernels[{number}]", instance.params, contract.declarations(kernel.Params)))
    strength: Any = strengths.kernel_of(strengths.labels(scenario))
    found.append((strengths.NAME, scenario.strengths.params, contract.declarations(strength.Params)))
    return found


def instances_of(scenario: Scenario) -> dict[str, type[Kernel]]:
    """Return what declares the parameters of each of `scenario.instances`, by name."""
    return kernels_of(scenario) | {strengths.NAME: strengths.kernel_of(strengths.labels(scenario))}


def kernels_of(scenario: Scenario) -> dict[str, type[Kernel]]:
    """Return the kernels of a scenario by the name of their instance, that record or choose as it says."""
    from lpm.kernels.diffusion.ancestry import recorded
    from lpm.scenarios import archetypes

    found: dict[str, type[Kernel]] = {}
    for number, each in enumerate(scenario.kernels):
        where = f"{scenario.label}: kernels[{number}]"
        kernel = contract.find(each.kernel, f"{where}.kernel")
        if scenario.archetypes is not None and archetypes.chooses(kernel):
            kernel = archetypes.kernel_of(scenario, kernel)
        found[each.name] = recorded(kernel, f"{where}.cascades") if each.cascades else kernel
    return found


def declared_columns(scenario: Scenario) -> tuple[Column, ...]:
    """Return the columns of `[population] columns`."""
    return tuple(each.column() for each in scenario.population.columns)


def population_columns(scenario: Scenario) -> dict[str, Column]:
    """Return the columns that the population has before any kernel: the generator's or file's, and the declared ones.

    Raises:
        InputError: A column declared twice.
    """
    schema = {column.name: column for column in IDENTITY}
    name = scenario.population.generator
    if name is not None:
        offered = generator(name, f"{scenario.label}: population.generator")
        schema |= {column.name: column for column in offered.columns()}
    elif scenario.population.file is not None:
        from lpm.scenarios import tables

        schema |= tables.people_columns(scenario)
    for number, column in enumerate(declared_columns(scenario)):
        if column.name in schema:
            raise InputError(
                f"{scenario.label}: population.columns[{number}]: a column '{column.name}' is there already"
            )
        schema[column.name] = column
    return schema


def all_columns(scenario: Scenario) -> dict[str, Column]:
    """Return every column of the agents, those of the kernels under the names that the scenario gives them.

    Raises:
        InputError: Two instances that declare one column differently.
    """
    schema = population_columns(scenario)
    kernels = kernels_of(scenario)
    for number, instance in enumerate(scenario.kernels):
        for column in kernels[instance.name].columns:
            name = instance.columns.get(column.name, column.name)
            if name in schema and schema[name].levels != column.levels:
                raise InputError(
                    f"{scenario.label}: kernels[{number}]: column '{name}' is declared twice, with different levels; "
                    "give one of them another name with columns = { ... }"
                )
            schema[name] = column
    for instance in scenario.kernels:
        for name in grouping(kernels[instance.name]):
            if instance.columns.get(name, name) == name and name not in schema:
                schema[name] = Column(name, "uint8", "everybody alike", levels=("all",))
    return schema


def grouping(kernel: type[Kernel]) -> set[str]:
    """Return the columns whose levels a kernel's vector parameters follow.

    A population that does not have one of them is taken as all alike (one level "all").
    """
    return {declared.by for declared in contract.declarations(kernel.Params).values() if declared.by}
