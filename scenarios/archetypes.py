"""A scenario's archetypes at work: its contexts and actions, its table, and the kernels that choose by it.

A kernel with `by_table` is registered with a table of no meaning; in a scenario with `[archetypes]` it takes the shape,
contexts and sources that are declared there, and the logits of the file. Contexts whose value is that of a column
need the column; which codes a share counts is looked up in the columns that other kernels declare.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm import kernel as contract
from lpm.archetypes.contexts import Contexts, Variable
from lpm.errors import InputError, unknown
from lpm.kernel import Kernel
from lpm.population import Column, frame_of
from lpm.scenarios.behaviours import ArchetypesTable, VariableTable
from lpm.scenarios.paths import located

if TYPE_CHECKING:
    from lpm.archetypes.table import Table
    from lpm.scenarios.schema import Scenario
    from lpm.types import HostArray

TABLE = "archetypes"
"""Table of the simulation that holds the logits."""


def declared(scenario: Scenario) -> ArchetypesTable:
    """Return `[archetypes]`.

    Raises:
        InputError: The scenario has none.
    """
    if scenario.archetypes is None:
        raise InputError(f"{scenario.label}: expected a table [archetypes]; it has none")
    return scenario.archetypes


def contexts_of(scenario: Scenario) -> Contexts:
    """Return the contexts that a scenario declares."""
    told = declared(scenario).contexts
    return Contexts(tuple(Variable(name, v.anchors, v.unit, v.meaning, v.words, v.scale) for name, v in told.items()))


def actions_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of the actions."""
    return tuple(each.name for each in declared(scenario).actions)


def kernel_of(scenario: Scenario, kernel: Any) -> type[Kernel]:
    """Return a kernel with `by_table` as it chooses by the scenario's table."""
    told, columns = declared(scenario), _columns(scenario)
    sources = tuple(_source(scenario, name, each, columns) for name, each in told.contexts.items())
    return kernel.of(contexts_of(scenario), actions_of(scenario), sources)


def chooses(kernel: Any) -> bool:
    """Return whether a kernel chooses by a table of behaviour."""
    return bool(getattr(kernel, "by_table", False))


def chosen_by(scenario: Scenario) -> bool:
    """Return whether some kernel of the scenario chooses by its table."""
    names = (each.kernel for each in scenario.kernels)
    return scenario.archetypes is not None and any(chooses(contract.find(name, scenario.label)) for name in names)


def table_of(scenario: Scenario) -> Table:
    """Return the scenario's table of behaviour.

    Raises:
        InputError: It names none, the file cannot be read, or is of other actions or contexts.
    """
    told, where = declared(scenario), f"{scenario.label}: archetypes.table"
    if told.table is None:
        raise InputError(f"{where}: expected a file; lpm archetypes build {scenario.label} makes one")
    path = located(scenario, told.table, "archetypes.table")
    stamp = path.stat()
    table = _read(str(path), (stamp.st_mtime_ns, stamp.st_size))
    if table.actions != actions_of(scenario):
        named = ", ".join(actions_of(scenario))
        raise InputError(f"{where}: expected the actions {named}, got {', '.join(table.actions)}")
    expected = [(v.name, v.anchors, v.scale) for v in contexts_of(scenario).variables]
    got = [(v.name, v.anchors, v.scale) for v in table.contexts.variables]
    if expected != got:
        raise InputError(f"{where}: its contexts are not those of [archetypes]: expected {expected}, got {got}")
    return table


def members_of(scenario: Scenario, schema: Mapping[str, Column], columns: Mapping[str, HostArray]) -> HostArray:
    """Return the archetype of each agent, uint16 [N].

    Args:
        scenario: With a table of behaviour.
        schema: Declarations of the agents' columns.
        columns: The agents' columns.

    Raises:
        InputError: A column is missing, or as `table_of` and `lpm.archetypes.membership.members`.
    """
    import polars as pl

    from lpm.archetypes.membership import members
    from lpm.kernels.decision.compliance import Compliance, one_group
    from lpm.scenarios import registries

    table, where = table_of(scenario), f"{scenario.label}: archetypes"
    names = declared(scenario).columns
    for name in names:
        if name not in columns:
            raise unknown(where, "column of the people", name, columns)
    codes = pl.DataFrame({name: columns[name] for name in names})  # of few kinds, however many agents there are
    kinds = codes.unique(maintain_order=True).with_row_index("kind")
    told = frame_of(schema, {name: kinds[name].to_numpy() for name in names})
    found = members(told, table.archetypes, names, where)
    row = codes.join(kinds, on=list(names), how="left", maintain_order="left")["kind"].to_numpy()
    own = found[row].astype(np.uint16)
    for name, kernel in registries.kernels_of(scenario).items():
        if issubclass(kernel, Compliance):
            one_group(kernel, {**columns, "archetype": own}, table.archetypes.height, f"{where}: {name}")
    return own


def given(scenario: Scenario) -> dict[str, HostArray]:
    """Return the columns of the simulation's table as they begin.

    Raises:
        InputError: As `table_of`, or cells that are not usable.
    """
    from lpm.kernels.decision.archetype_choice import given as columns_of

    return columns_of(table_of(scenario), where=f"{scenario.label}: archetypes.table")[TABLE]


@functools.lru_cache(maxsize=16)
def _read(path: str, stamp: tuple[int, int]) -> Table:
    from pathlib import Path

    from lpm.archetypes import table

    return table.read(Path(path))


def check(scenario: Scenario, columns: Mapping[str, Column]) -> None:
    """Refuse `[archetypes]` that name what there is not, and a table that is of something else.

    Raises:
        InputError: The first thing that does not fit.
    """
    if scenario.archetypes is None:
        return
    from lpm.archetypes.elicitation import Action, check_actions

    told, where = scenario.archetypes, f"{scenario.label}: archetypes"
    key = "group" if told.group else "cluster"
    for name in told.columns:
        if name not in columns:
            raise unknown(f"{where}.{key}", "column of the agents", name, columns)
    contexts_of(scenario)
    _check_common(scenario)
    check_actions([Action(each.name, each.text) for each in told.actions], told.form)
    for name in told.labels:
        if name not in told.columns:
            raise unknown(f"{where}.labels", "column of the archetypes", name, told.columns)
    for name in told.formulas:
        if name not in actions_of(scenario):
            raise unknown(f"{where}.formulas", "action", name, actions_of(scenario))
    if told.table is not None:
        table_of(scenario)


def _check_common(scenario: Scenario) -> None:
    """Refuse a common value for a kernel that has no parameter for it: it would be 0 for ever."""
    common = [name for name, told in declared(scenario).contexts.items() if told.common]
    for each in scenario.kernels:
        kernel = contract.find(each.kernel, scenario.label)
        if common and chooses(kernel) and "globals" in kernel_of(scenario, kernel).tables:
            raise InputError(
                f"{scenario.label}: archetypes.contexts.{common[0]}.common: {each.kernel} takes no common value, only "
                f"compliance does ('orders'); declare a column '{common[0]}' of the people, which interventions set"
            )


def _columns(scenario: Scenario) -> dict[str, Column]:
    """Return the agents' columns but those of kernels that choose by the table: what their contexts may count."""
    from lpm.scenarios import registries

    found = registries.population_columns(scenario)
    for number, each in enumerate(scenario.kernels):
        kernel: Any = contract.find(each.kernel, f"{scenario.label}: kernels[{number}].kernel")
        if not chooses(kernel):
            own: tuple[Column, ...] = kernel.columns
            found |= {each.columns.get(column.name, column.name): column for column in own}
    return found


def _source(scenario: Scenario, name: str, told: VariableTable, columns: dict[str, Column]) -> Any:
    from lpm.kernels.decision.sources import Common, Friends, Own, Prevalence

    where, actions = f"{scenario.label}: archetypes.contexts.{name}", actions_of(scenario)
    if told.common:
        return Common(name)
    if told.friends:
        for each in told.friends:
            if each not in actions:
                raise unknown(f"{where}.friends", "action", each, actions)
        return Friends(tuple(actions.index(each) for each in told.friends))
    if told.counts is None:
        return Own(name)
    counts = told.counts
    for column in filter(None, (counts.column, counts.by)):
        if column not in columns:
            raise unknown(f"{where}.counts", "column", column, columns)
    codes = tuple(columns[counts.column].code(each, f"{where}.counts") for each in counts.levels)
    if counts.by is None:
        return Prevalence(counts.column, codes, per=counts.per)
    return Prevalence(counts.column, codes, counts.by, len(columns[counts.by].levels), counts.per)
