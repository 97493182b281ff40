"""A file of draws: one row a seed, a column for a parameter ("seir.beta") or for one of its levels ("seir.ihr.65-74").

A parameter that is held fixed (`prior = []`, which `--set` writes) stays so: its columns are named, and not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpm.errors import InputError, nearest
from lpm.kernel import Declaration, declarations
from lpm.scenarios import registries, tables
from lpm.scenarios.paths import GIVEN, located
from lpm.scenarios.schema import KernelTable, Scenario, StrengthTable
from lpm.types import HostArray

LARGEST = float(np.finfo(np.float32).max)


def bounds(params: Any, name: str) -> tuple[float, float]:
    """Return the declared bounds of a parameter, those of float32 where they are infinite."""
    low, high = declarations(type(params))[name].bounds
    return max(low, -LARGEST), min(high, LARGEST)


@dataclass(frozen=True)
class Drawn:
    """A column of a file of draws: which number it sets (level None = all), and float64 [rows]."""

    instance: str
    name: str
    level: int | None
    values: HostArray


def file_name(scenario: Scenario) -> str:
    """Return the name of the scenario's file of draws, without its folder."""
    return str(scenario.draws).removeprefix(GIVEN).rsplit("/", 1)[-1]


def columns(scenario: Scenario, params: Mapping[str, Any]) -> tuple[list[Drawn], list[str]]:
    """Return the columns of the scenario's file of draws, and the titles of those whose parameter is held fixed.

    Raises:
        InputError: A file that does not fit or has fewer rows than there are seeds, or of which no column is used.
    """
    where = f"{scenario.label}: draws"
    path = located(scenario, str(scenario.draws), "draws")
    frame = tables.read(path, where)
    if not frame.width or frame.height < len(scenario.seeds):
        raise InputError(
            f"{where}: expected a row for each of the {len(scenario.seeds)} seeds, got {frame.height} in {path.name}; "
            "choose as many with --seeds, or give more rows"
        )
    found: list[Drawn] = []
    held: list[str] = []
    for title in frame.columns:
        place = f"{where}: column '{title}' of {path.name}"
        instance, name, level = _target(scenario, params, title, place)
        setting = _instance(scenario, instance).params.get(name)
        if setting is not None and setting.prior == ():
            held.append(title)
            continue
        values = np.array(tables.numbers(frame, title, f"{where}: {path.name}"), np.float64)
        low, high = bounds(params[instance], name)
        if values.min() < low or values.max() > high:
            raise InputError(f"{place}: expected {low:g} to {high:g}, got {values.min():g} to {values.max():g}")
        for other in found:
            if (other.instance, other.name) == (instance, name) and (level is None or other.level is None):
                raise InputError(f"{place}: '{instance}.{name}' is set as a whole and by level; leave one of them out")
        found.append(Drawn(instance, name, level, values))
    if not found:
        raise InputError(f"{where}: no column of {path.name} is used: {', '.join(held)} held fixed (--set holds fixed)")
    return found, held


def _instance(scenario: Scenario, name: str) -> KernelTable | StrengthTable:
    return next(each for each in scenario.instances if each.name == name)


def _target(scenario: Scenario, params: Mapping[str, Any], title: str, where: str) -> tuple[str, str, int | None]:
    """Return the instance, parameter and number of the level that a column's title names."""
    known: dict[str, Declaration] = {
        f"{instance}.{name}": declared
        for instance, each in params.items()
        for name, declared in declarations(type(each)).items()
    }
    instance, name, level = (*title.split(".", 2), "", "")[:3]
    declared = known.get(f"{instance}.{name}")
    if declared is None:
        raise InputError(f"{where}: unknown parameter '{instance}.{name}'{nearest(f'{instance}.{name}', known)}")
    size = np.asarray(getattr(params[instance], name)).size
    if not declared.by:
        if title != f"{instance}.{name}":
            raise InputError(f"{where}: '{instance}.{name}' is one number, it has no level '{level}'")
        return instance, name, None
    if title == f"{instance}.{name}":
        return instance, name, None
    table = _instance(scenario, instance)
    column = registries.all_columns(scenario)[table.columns.get(declared.by, declared.by)]
    code = column.code(level, where)
    if len(column.levels) != size:
        raise InputError(f"{where}: expected {len(column.levels)} levels of '{column.name}', the people have {size}")
    return instance, name, code


def row(scenario: Scenario, params: Mapping[str, Any], drawn: list[Drawn], number: int) -> dict[str, Any]:
    """Return the parameters with one row of draws.

    Raises:
        InputError: Values that the kernel's `check` refuses.
    """
    made = dict(params)
    for column in drawn:
        value = np.array(getattr(made[column.instance], column.name), np.float32)
        value[... if column.level is None else column.level] = column.values[number]
        made[column.instance] = replace(made[column.instance], **{column.name: value})
    kernels = registries.instances_of(scenario)
    for instance in {column.instance: None for column in drawn}:
        kernels[instance].check(
            made[instance], f"{scenario.label}: draws: row {number}: '{instance}'", scenario.step_days
        )
    return made
