"""The people of a scenario, with every column that its kernels declare."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.kernel import declarations
from lpm.population import Column, Population
from lpm.scenarios import archetypes, registries, tables
from lpm.scenarios.paths import located
from lpm.scenarios.schema import Scenario


def made_people(scenario: Scenario) -> Population:
    """Return the population as its generator or file makes it, with the declared columns.

    Raises:
        InputError: The people cannot be made or read.
    """
    table, where = scenario.population, f"{scenario.label}: population"
    if table.generator is not None:
        generator = registries.generator(table.generator, f"{where}.generator")
        params = registries.generator_params(scenario)
        assert table.size is not None
        people = None if table.people is None else round(table.people)
        return generator.generate(table.seed, params, table.size, people)
    if table.file is not None:
        frame = tables.read(located(scenario, table.file, "population.file"), where, table.size)
        extra = [*registries.declared_columns(scenario), *tables.people_columns(scenario).values()]
        made = Population.from_frame(frame, extra, where)
    else:
        assert table.size is not None
        made = Population.build(table.size, (), {}, where)
    return made if table.people is None else made.reweighted(table.people, where)


def people_of(scenario: Scenario) -> Population:
    """Return the population with every column that the scenario's kernels declare.

    It is all of it in every process of a run, because builders look at everybody's columns; on the devices each process
    has its own.

    Raises:
        InputError: The people cannot be made or read, or a kernel reads a column that is not there.
    """
    made = made_people(scenario)
    schema = registries.all_columns(scenario) | dict(made.schema)
    missing = {name: column for name, column in schema.items() if name not in made.columns}
    columns = dict(made.columns)
    for name, column in missing.items():
        columns[name] = np.full((made.size, *column.shape), column.default, column.dtype)
    if archetypes.chosen_by(scenario):
        columns["archetype"] = archetypes.members_of(scenario, schema, columns)
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
                    f'population has {", ".join(columns)}; name one with columns = {{ {name} = "..." }}'
                )
    return Population(schema, columns, made.facts)


def _grouping(kernel: type[Any], column: str) -> bool:
    return any(declared.by == column for declared in declarations(kernel.Params).values())
