"""The arms in words and what they cost, as the report tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lpm.durations import time_of
from lpm.policy import Arm, Intervention
from lpm.report.wording import step_name
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.levers import CONSTANT
from lpm.types import HostArray


def arm_in_words(assembly: Assembly, arm: Arm) -> dict[str, Any]:
    """Return an arm and its interventions as the report tells them: when, whom, what, source and cost."""
    return {
        "name": arm.name,
        "description": arm.description,
        "interventions": [
            _intervention(assembly, each) for each in arm.interventions if not each.name.startswith(CONSTANT)
        ],
    }


def _intervention(assembly: Assembly, each: Intervention) -> dict[str, Any]:
    scenario = assembly.scenario

    def day(step: int) -> str:
        moment = time_of(scenario.start, step, scenario.step_days)
        return f"{step_name(scenario.step_days)} {step}" if moment is None else str(moment)

    start = _begins(each, scenario.steps)
    when = f"from {day(start)}" if start else "throughout"
    if each.shift:
        when += f" (shifted by {each.shift * scenario.step_days:g} d)"
    if each.trigger is not None:
        sign = "above" if each.trigger.rising else "below"
        when += f", once {each.trigger.metric} ({each.trigger.group}) is {sign} {each.trigger.level:,.0f}"
    whom = ", ".join(_filter(assembly, f) for f in each.where) or "everybody"
    if each.neighbours:
        whom = f"{', '.join(each.neighbours)} contacts of: {whom}"
    shares = (("share", each.share), ("uptake", each.uptake))
    whom += "".join(f", {word} {value:.0%}" for word, value in shares if value < 1)
    if each.capacity is not None:
        whom += f", at most {each.capacity:,.0f} people per step"
    return {
        "name": each.name, "label": each.label, "when": when, "whom": whom if each.on_agents else "the whole run",
        "what": "; ".join(f"{e.kind.replace('_', ' ')} {e.target}{_amount(e.value)}" for e in each.effects),
        "source": each.source, "description": each.description,
        "cost": f"{each.cost_person:g} {each.cost_unit} per person" if each.cost_person else "",
    }  # fmt: skip


def _begins(each: Intervention, steps: int) -> int:
    """Return the first step at which an intervention changes anything."""
    acts = each.in_force(steps)
    if not each.on_agents:
        changes = np.zeros(steps, bool)
        for effect in each.effects:
            neutral = {"scale": 1.0, "reduce": 0.0}.get(effect.kind, np.nan)
            changes |= effect.at(steps, each.shift + each.delay) != np.float32(neutral)
        acts = acts & changes
    return int(np.argmax(acts)) if acts.any() else 0


def _filter(assembly: Assembly, rule: Any) -> str:
    column = assembly.population.schema[rule.column]
    if rule.codes:
        names = [column.levels[code] if column.levels else str(code) for code in rule.codes]
        return f"{rule.column} {' or '.join(names)}"
    return f"{rule.column} {rule.low:g} to {rule.high:g}"


def _amount(value: float | tuple[float, ...]) -> str:
    return f": {value:g}" if not isinstance(value, tuple) else f": curve from {min(value):.2g} to {max(value):.2g}"


def costs(assembly: Assembly, tallies: Mapping[tuple[str, int], Mapping[str, HostArray]]) -> dict[str, Any]:
    """Return each arm's mean cost over seeds: people reached and person-days in effect, times their prices."""
    told: dict[str, Any] = {}
    for arm in assembly.arms:
        runs = [run for (name, _), run in tallies.items() if name == arm.name]
        totals: dict[str, float] = {}
        for each in arm.interventions:
            if not each.cost_unit or not runs:
                continue
            if each.on_agents:
                reached = float(np.mean([run[f"reached:{each.name}"].sum() for run in runs]))
                days = float(np.mean([run[f"active:{each.name}"].sum() for run in runs]))
            else:
                people, days = assembly.population.people, float(each.in_force(assembly.scenario.steps).sum())
                if each.trigger is not None:
                    days = float(np.mean([run[f"on:{each.name}"].sum() for run in runs]))
                reached, days = people if days else 0.0, days * people
            cost = each.cost_person * reached + each.cost_day * days * assembly.scenario.step_days
            totals[each.cost_unit] = totals.get(each.cost_unit, 0.0) + cost
        if totals:
            told[arm.name] = [{"unit": unit, "total": total} for unit, total in totals.items()]
    return told
