"""The people of a scenario, with every column that its kernels declare."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.kernel import declarations
from lpm.population import Column, Population
from lpm.scenarios import registries, tables
from lpm.scenarios.paths import located
from lpm.scenarios.schema import Scenario


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
        made = made.reweighted(table.people, where)
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
                    f'population has {", ".join(columns)}; name one with columns = {{ {name} = "..." }}'
                )
    return Population(schema, columns, made.facts)


def _grouping(kernel: type[Any], column: str) -> bool:
    return any(declared.by == column for declared in declarations(kernel.Params).values())
