"""From the interventions that a scenario file writes to those that the engine runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.metrics import Recorder
from lpm.policy import FOREVER, SCALAR, Arm, Effect, Filter, Intervention, Trigger
from lpm.population import Column
from lpm.scenarios import measures
from lpm.scenarios.schema import Scenario, Series
from lpm.scenarios.values import Range


def arm_of(scenario: Scenario, arm: measures.Arm, schema: Mapping[str, Column], counted: Recorder) -> Arm:
    """Return an arm as the engine runs it.

    Raises:
        InputError: Names that only the assembled population and metrics can show to be wrong.
    """
    made = [_constant(layer.name, layer.scale) for layer in scenario.networks if layer.scale != 1]
    for table, shift in scenario.interventions_of(arm):
        where = f"{scenario.label}: intervention '{table.name}' of arm '{arm.name}'"
        steps = 0 if shift is None else scenario.steps_of(shift, where)
        made.append(dataclasses.replace(_intervention(scenario, table, schema, counted, where), shift=steps))
    return Arm(arm.name, tuple(made), arm.description)


CONSTANT = "scale of layer "
"""How the name of what is no intervention but a layer's own constant factor begins."""


def _constant(layer: str, scale: float) -> Intervention:
    return Intervention(f"{CONSTANT}{layer}", (Effect("scale", layer, scale),))


def _intervention(
    scenario: Scenario, table: measures.Intervention, schema: Mapping[str, Column], counted: Recorder, where: str
) -> Intervention:
    stop = FOREVER if table.until is None else scenario.index(table.until, where)
    cost = table.cost or measures.Cost()
    top = ("", 1.0)
    if table.top is not None:
        people = float(scenario.population.people or scenario.population.size or 1)
        top = (table.top.layer, min(1.0, table.top.count / people))
    about = table.where if table.neighbours_of is None else table.neighbours_of.where
    return Intervention(
        name=table.name,
        effects=_effects(scenario, table, schema, where),
        label=table.label or "",
        start=scenario.index(table.at, where),
        stop=stop,
        trigger=_trigger(table, counted, where),
        where=filters(about or {}, schema, where),
        share=1.0 if table.share is None else table.share,
        top=top,
        neighbours=() if table.neighbours_of is None else table.neighbours_of.layers,
        uptake=1.0 if table.uptake is None else table.uptake,
        delay=scenario.steps_of(table.delay, where),
        duration=None if table.duration is None else scenario.steps_of(table.duration, where),
        capacity=table.capacity,
        every=max(1, scenario.steps_of(table.every, where)),
        cost_person=cost.per_person,
        cost_day=cost.per_day,
        cost_unit=cost.unit if table.cost else "",
        source=table.source,
        description=table.description,
    )


def filters(conditions: Mapping[str, Any], schema: Mapping[str, Column], where: str) -> tuple[Filter, ...]:
    """Return the filters that a table of conditions means.

    Raises:
        InputError: An unknown column or level.
    """
    made: list[Filter] = []
    for name, condition in conditions.items():
        if name not in schema:
            raise unknown(where, "column", name, schema)
        column = schema[name]
        if isinstance(condition, Range):
            low = float("-inf") if condition.min is None else condition.min
            high = float("inf") if condition.max is None else condition.max
            made.append(Filter(name, low=low, high=high))
            continue
        codes = tuple(column.code(value, where) if isinstance(value, str) else int(value) for value in condition)
        made.append(Filter(name, codes))
    return tuple(made)


def _effects(
    scenario: Scenario, table: measures.Intervention, schema: Mapping[str, Column], where: str
) -> tuple[Effect, ...]:
    act = table.act
    if act in SCALAR:
        given: Mapping[str, Any] = getattr(table, act)
        return tuple(Effect(act, target, _value(scenario, value)) for target, value in given.items())
    if act in ("set_column", "scale_column"):
        return tuple(
            Effect(act, name, float(schema[name].code(value, where) if isinstance(value, str) else value))
            for name, value in getattr(table, act).items()
        )
    if act in ("message", "pay"):
        gift = getattr(table, act)
        return (Effect("add_column", gift.column, gift.amount),)
    ties = getattr(table, act)
    return (Effect(act, ties.layer, float(ties.count)),)


def _value(scenario: Scenario, value: Any) -> float | tuple[float, ...]:
    return curve(scenario, scenario.series[value]) if isinstance(value, str) else float(value)


def curve(scenario: Scenario, series: Series) -> tuple[float, ...]:
    """Return a series at every step of the run: linear between knots, 0 before the first, the last value held."""
    at = [scenario.index(moment, "series") for moment, _ in series.knots]
    values = [value for _, value in series.knots]
    steps = np.arange(max(scenario.steps, at[-1] + 1))
    return tuple(float(v) for v in np.interp(steps, at, values, left=0.0))


def _trigger(table: measures.Intervention, counted: Recorder, where: str) -> Trigger | None:
    if table.when is None:
        return None
    when = table.when
    described = {metric.name: metric for metric in counted.metrics if metric.kind in ("flow", "stock")}
    if when.metric not in described:
        raise unknown(f"{where}.when.metric", "flow or stock", when.metric, described)
    groups = [name for name, _ in counted.groups(described[when.metric].by)]
    if when.group not in groups:
        raise unknown(f"{where}.when.group", "group", when.group, groups)
    level = when.above if when.above is not None else when.below
    if level is None:
        raise InputError(f"{where}.when: expected above or below")
    release = float("nan") if when.release is None else when.release
    return Trigger(when.metric, when.group, level, when.above is not None, release)
