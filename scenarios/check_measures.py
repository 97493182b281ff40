"""Interventions, surveys and arms against what is there: columns, levels, layers, parameters, metrics, time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from lpm.errors import InputError, unknown
from lpm.kernel import declarations
from lpm.population import Column
from lpm.scenarios import registries
from lpm.scenarios.measures import Intervention
from lpm.scenarios.parameters import in_bounds
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import Range, is_number, list_of, said

FIXED = ("id", "weight")
"""Columns that nothing may change."""


def moment(scenario: Scenario, when: int | dt.date, where: str, *, end: bool = False) -> int:
    """Return a moment's step.

    Args:
        scenario: Its `horizon`, else `steps`, is the end of the run.
        when: Date or step.
        where: Named in the error.
        end: The moment is an exclusive end, so the step after the last is allowed.

    Raises:
        InputError: Outside the run.
    """
    step = scenario.index(when, where)
    last = max(scenario.horizon or 0, scenario.steps)
    if not 0 <= step < last + end:
        said_as = f"step {when}" if isinstance(when, int) else f"{when} (step {step})"
        raise InputError(f"{where}: expected a moment within the run of {last} steps of {scenario.step}, got {said_as}")
    return step


def check_arms(scenario: Scenario, columns: Mapping[str, Column]) -> None:
    """Check every arm with its interventions.

    Raises:
        InputError: The first thing that is wrong.
    """
    label = scenario.label
    for number, each in enumerate(scenario.interventions):
        check_intervention(scenario, each, columns, f"{label}: interventions[{number}]")
    for number, arm in enumerate(scenario.arms):
        where = f"{label}: arms[{number}]"
        wrong = arm.check(scenario.interventions, where)
        if wrong:
            raise InputError(wrong)
        for position, each in enumerate(arm.interventions):
            check_intervention(scenario, each, columns, f"{where}.interventions[{position}]")
        names: set[str] = set()
        for each, shift in arm.in_force(scenario.interventions):
            if each.name in names:
                raise InputError(f"{where}: two interventions are called '{each.name}'; every name must be different")
            names.add(each.name)
            if shift is not None:
                offset = scenario.steps_of(shift, f"{where}.shift")
                begin = scenario.index(each.at, f"{where}.shift") + offset
                # in force throughout, its series says when: nothing begins, so nothing can begin outside
                if each.at != 0 and not 0 <= begin < max(scenario.horizon or 0, scenario.steps):
                    raise InputError(f"{where}.shift: '{each.name}' shifted by {shift} begins outside the run")


def check_surveys(scenario: Scenario, columns: Mapping[str, Column]) -> None:
    """Check every survey.

    Raises:
        InputError: The first thing that is wrong.
    """
    for number, survey in enumerate(scenario.surveys):
        where = f"{scenario.label}: surveys[{number}]"
        if survey.at is not None:
            moment(scenario, survey.at, f"{where}.at")
        scenario.steps_of(survey.every, f"{where}.every")
        _check_filter(survey.where, columns, f"{where}.where")
        for name in survey.ask:
            if name not in columns:
                raise unknown(f"{where}.ask", "column", name, columns)


def check_intervention(scenario: Scenario, each: Intervention, columns: Mapping[str, Column], where: str) -> None:
    """Check one intervention: when, whom, what.

    Raises:
        InputError: The first thing that is wrong.
    """
    layers = [layer.name for layer in scenario.networks]
    begin = moment(scenario, each.at, f"{where}.at")
    if each.until is not None and moment(scenario, each.until, f"{where}.until", end=True) <= begin:
        raise InputError(f"{where}.until: expected a moment after 'at' ({each.at}), got {each.until}")
    for key in ("delay", "duration", "every"):
        scenario.steps_of(getattr(each, key), f"{where}.{key}")
    _check_when(scenario, each, columns, where)
    _check_filter(each.where, columns, f"{where}.where")
    if each.top is not None and each.top.layer not in layers:
        raise unknown(f"{where}.top.layer", "layer", each.top.layer, layers)
    if each.neighbours_of is not None:
        _check_filter(each.neighbours_of.where, columns, f"{where}.neighbours_of.where")
        for layer in each.neighbours_of.layers:
            if layer not in layers:
                raise unknown(f"{where}.neighbours_of.layers", "layer", layer, layers)
    _check_act(scenario, each, columns, layers, f"{where}.{each.act}")


def _check_act(
    scenario: Scenario, each: Intervention, columns: Mapping[str, Column], layers: list[str], where: str
) -> None:
    for path, by in (each.scale or {}).items():
        for factor in _amounts(scenario, by, f"{where}.{path}"):
            if factor < 0:
                raise InputError(f"{where}.{path}: expected a factor of at least 0, got {factor:g}")
            lever(scenario, path, where, factor=factor)
    for path, to in (each.set or {}).items():
        for value in _amounts(scenario, to, f"{where}.{path}"):
            lever(scenario, path, where, value=value)
    for layer, by in (each.reduce or {}).items():
        if layer not in layers:
            raise unknown(where, "layer", layer, layers)
        values = _amounts(scenario, by, f"{where}.{layer}")
        if max(values) > 1:
            raise InputError(f"{where}.{layer}: expected a reduction of at most 1, got {max(values):g}")
    for name, value in (each.set_column or {}).items():
        column = _changeable(name, columns, where)
        if column.levels and isinstance(value, str):
            column.code(value, f"{where}.{name}")
        elif column.levels or not (is_number(value) or isinstance(value, bool)):
            wanted = "a level" if column.levels else "a number"
            raise InputError(f"{where}.{name}: expected {wanted}, got {said(value)}")
        else:
            low, high = column.limits()
            if not low <= float(value) <= high:
                raise InputError(f"{where}.{name}: expected {low:g} to {high:g}, got {value}")
    for name in each.scale_column or {}:
        if not _changeable(name, columns, where).dtype.startswith("float"):
            raise InputError(f"{where}.{name}: expected a float column, got {columns[name].dtype}; use set_column")
    for ties in (each.add_ties, each.remove_ties):
        if ties is not None and ties.layer not in layers:
            raise unknown(f"{where}.layer", "layer", ties.layer, layers)
    for gift in (each.message, each.pay):
        if gift is not None:
            _changeable(gift.column, columns, f"{where}.column")
            _numbers(gift.column, columns, f"{where}.column")


def _amounts(scenario: Scenario, by: float | str, where: str) -> list[float]:
    """Return a number, or the numbers at the knots of the series of that name."""
    if not isinstance(by, str):
        return [by]
    if by not in scenario.series:
        raise unknown(where, "series", by, scenario.series)
    return [knot[1] for knot in scenario.series[by].knots]


def lever(
    scenario: Scenario, path: str, where: str, *, value: float | None = None, factor: float | None = None
) -> None:
    """Check the target of scale and set: a layer ("community") or a parameter of a kernel ("seir.beta").

    Args:
        scenario: Where the names are looked up.
        path: The target.
        where: Named in errors.
        value: The number that it is to become.
        factor: The number that it is to be multiplied by.

    Raises:
        InputError: Nothing of that name, a parameter that is no number, or a number out of bounds.
    """
    layers = [layer.name for layer in scenario.networks]
    if path in layers:
        if value is not None and value < 0:
            raise InputError(f"{where}.{path}: expected at least 0, got {value:g}")
        return
    kernels = registries.kernels_of(scenario)
    known = {
        f"{owner}.{name}": declared
        for owner, kernel in kernels.items()
        for name, declared in declarations(kernel.Params).items()
        if not declared.choices and declared.unit != "file"
    }
    if path not in known:
        raise unknown(where, "layer or parameter", path, [*layers, *known])
    if known[path].initial:
        raise InputError(f"{where}.{path}: acts at the start only, so no intervention can change it; set the parameter")
    if value is not None:
        in_bounds(value, known[path], f"{where}.{path}")
    owner, _, name = path.partition(".")
    setting = next(each for each in scenario.kernels if each.name == owner).params.get(name)
    if factor is not None and setting is not None and is_number(setting.value):
        in_bounds(setting.value * factor, known[path], f"{where}.{path}")


def _check_when(scenario: Scenario, each: Intervention, columns: Mapping[str, Column], where: str) -> None:
    if each.when is None:
        return
    if each.when.metric not in scenario.metrics:
        raise unknown(f"{where}.when.metric", "metric", each.when.metric, scenario.metrics)
    metric = scenario.metrics[each.when.metric]
    if metric.kind not in ("flow", "stock"):
        raise InputError(f"{where}.when.metric: expected a flow or stock, got '{each.when.metric}', a {metric.kind}")
    if each.when.group == "all":
        return
    asked: list[str] = []
    for part in each.when.group.split(";"):
        name, equals, level = part.partition("=")
        if not equals or name not in metric.by:
            groups = ["all", *(f"{by}={value}" for by in metric.by for value in columns[by].levels)]
            raise unknown(f"{where}.when.group", "group", each.when.group, groups)
        columns[name].code(level, f"{where}.when.group")
        asked.append(name)
    order = [name for name in columns if name in asked]
    if asked != order:
        raise InputError(f"{where}.when.group: expected each column once, in the order {';'.join(order)}")


def _check_filter(chosen: Mapping[str, object] | None, columns: Mapping[str, Column], where: str) -> None:
    for name, condition in (chosen or {}).items():
        if name not in columns:
            raise unknown(where, "column", name, columns)
        column = columns[name]
        if isinstance(condition, Range):
            if column.levels:
                raise InputError(f"{where}.{name}: expected levels of '{name}', got a range")
            continue
        for item in list_of(condition) or []:
            if column.levels and not isinstance(item, str):
                raise InputError(f"{where}.{name}: expected the name of a level, got {said(item)}")
            if column.levels:
                column.code(item, f"{where}.{name}")
            elif isinstance(item, str):
                raise InputError(f"{where}.{name}: expected a number, got {said(item)}")


def _numbers(name: str, columns: Mapping[str, Column], where: str) -> None:
    if name not in columns:
        raise unknown(where, "column", name, columns)
    if columns[name].levels or columns[name].dtype == "bool":
        raise InputError(f"{where}: expected a column of numbers, got '{name}'")


def _changeable(name: str, columns: Mapping[str, Column], where: str) -> Column:
    if name not in columns:
        raise unknown(where, "column", name, columns)
    if name in FIXED:
        raise InputError(f"{where}: the column '{name}' cannot be changed")
    return columns[name]
