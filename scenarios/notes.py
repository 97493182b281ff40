"""What the reader of a run should know: sentences for the terminal, `run.json` and the report.

They are derived from the run itself, so that no scenario has to repeat them: how many people an agent stands for, an
epidemic that so few agents begin that its take-off is luck, measures that the run is too short to see, and values that
an intervention would have moved past the bounds of their column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lpm import durations
from lpm.policy import Arm, Intervention, policy_data
from lpm.restrictions import parameters_left
from lpm.scenarios import draws, draws_table, registries
from lpm.scenarios.assembly import Assembly
from lpm.types import HostArray

FEW = 50.0
"""Agents; when fewer begin an epidemic, the time of its take-off differs visibly from seed to seed: what one of them
begins varies by about its own mean, and so n of them by 1/sqrt(n), 14 % at 50. The threshold is a guess."""

BEGINNING = 30.0
"""Days that count as the beginning of a run that reports from its first step. A guess."""

NAMED = 6
"""Measures that a sentence names; of more it tells how many."""


def of(assembly: Assembly) -> list[str]:
    """Return the sentences that the reader of a run should know, the most general first."""
    return [*_weight(assembly), *_take_off(assembly), *_unseen(assembly), *_held(assembly)]


def _held(assembly: Assembly) -> list[str]:
    """Return the sentence on columns of a file of draws that are not used."""
    titles = draws.not_used(assembly.scenario, assembly.params)
    if not titles:
        return []
    which = f"The column {titles[0]} of {draws_table.file_name(assembly.scenario)} is"
    if len(titles) > 1:
        which = f"The columns {', '.join(titles)} of {draws_table.file_name(assembly.scenario)} are"
    return [f"{which} not used: what --set (or prior = []) holds fixed is not drawn."]


def number(value: float) -> str:
    """Return a number for a sentence: 3 significant digits below 1,000 (8.34), whole above (8,336,817)."""
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def scale(agents: int, people: float) -> str:
    """Return how many people an agent stands for, as "5,000 agents stand for 50,000 people: 10 people an agent"."""
    each = people / agents
    if each == 1:
        return f"{agents:,} agents, a person each"
    whole = number(round(people) if people >= 10 else people)
    return f"{agents:,} agents stand for {whole} people: {number(each)} people an agent"


def _weight(assembly: Assembly) -> list[str]:
    agents, people = assembly.population.size, assembly.population.people
    if people == agents:
        return []
    if people < agents:
        return [
            f"{scale(agents, people)}: there are more agents than people, so counts come in fractions of a person and "
            "results vary less by chance than they would among so few people; fewer agents, or more people, mend it."
        ]
    return [f"{scale(agents, people)}; results vary more by chance than they would with an agent for each person."]


def _take_off(assembly: Assembly) -> list[str]:
    """Return the sentence on an epidemic that few agents begin, as far as its kernels tell who is expected."""
    people = expected_arrivals(assembly)
    each = assembly.population.people / assembly.population.size
    if people is None or not 0 < people / each < FEW:
        return []
    agents = people / each
    what = f"{number(float(f'{agents:.2g}'))} agents"
    of_them = "a person each" if each == 1 else f"{number(float(f'{people:.2g}'))} people at {number(each)} an agent"
    return [
        f"The epidemic begins with about {what} ({of_them}): when it takes off is luck; read differences between arms, "
        f"or use more {'seeds' if each <= 1 else 'agents or seeds'}."
    ]


def expected_arrivals(assembly: Assembly) -> float | None:
    """Return the people who are expected to begin the epidemic in the first arm, None where no kernel tells.

    The sum over kernels of those at the start and of those who arrive before the report begins, or in the first
    `BEGINNING` days where it begins at once; what dates change of the parameters is taken into account.
    """
    scenario, arm = assembly.scenario, assembly.arms[0]
    window = math.ceil(BEGINNING / scenario.step_days)
    if scenario.report_from is not None:
        window = scenario.index(scenario.report_from, f"{scenario.label}: report_from") or window
    window = min(window, scenario.steps)
    total: float | None = None
    for name, kernel in registries.kernels_of(scenario).items():
        told = kernel.expected_arrivals(assembly.params[name])
        if told is None:
            continue
        daily = [_daily(assembly, arm, name, kernel, step) for step in range(window)]
        total = (total or 0.0) + float(told[0]) + float(np.sum(daily)) * scenario.step_days
    return total


def _daily(assembly: Assembly, arm: Arm, name: str, kernel: Any, step: int) -> float:
    """Return the people who arrive a day at a step, with the parameters as the arm's dates leave them."""
    plan, params = assembly.model.policy, assembly.params[name]
    if any(path.startswith(f"{name}.") for path in plan.parameters):
        policy = policy_data(arm, plan, assembly.scenario.steps)
        off: Mapping[str, Any] = {lever.name: np.bool_(False) for lever in plan.triggered}
        now: Any = np.int32(step)
        params = parameters_left(plan, name, params, policy, off, now)
    return float(kernel.expected_arrivals(params)[1])


def _unseen(assembly: Assembly) -> list[str]:
    """Return the sentence on measures that only a longer run would see, each once with the arms that it belongs to."""
    scenario = assembly.scenario
    found: dict[str, list[str]] = {}
    for arm in assembly.arms:
        for each in arm.interventions:
            longer = max(scenario.horizon or 0, scenario.steps) + each.delay + 1
            if not acts(each, scenario.steps) and acts(each, longer):
                found.setdefault(each.name, []).append(arm.name)
    if not found:
        return []
    told = [
        f"'{name}'" + ("" if len(arms) == len(assembly.arms) else f" ({', '.join(arms)})")
        for name, arms in found.items()
    ]
    if len(told) > NAMED:
        told = [*told[:NAMED], f"{len(told) - NAMED} more"]
    last = durations.time_of(scenario.start, scenario.steps - 1, scenario.step_days)
    end = "" if last is None else f" (the last is {last})"
    return [
        f"The {scenario.steps} steps of this run{end} end before these interventions change anything: "
        f"{', '.join(told)}; a larger --steps reaches them."
    ]


def clipped(assembly: Assembly, tallies: Mapping[tuple[str, int], Mapping[str, HostArray]]) -> list[str]:
    """Return the sentences on interventions that move values past the bounds of their columns, one for each.

    Args:
        assembly: The run.
        tallies: People per step, by (arm, seed) and "clipped:<intervention>", see `lpm.levers.tally`.
    """
    found: dict[str, dict[str, float]] = {}
    for (arm, _), run in tallies.items():
        for name, people in run.items():
            if name.startswith("clipped:") and people.any():
                arms = found.setdefault(name.partition(":")[2], {})
                arms[arm] = max(arms.get(arm, 0.0), float(people.max()))
    told: list[str] = []
    for lever in assembly.model.lasting:
        arms = found.get(lever.name)
        if arms:
            columns = ", ".join(dict.fromkeys(f"'{effect.target}'" for effect in lever.effects))
            which = "" if len(arms) == len(assembly.arms) else f" ({', '.join(arms)})"
            told.append(
                f"'{lever.name}'{which} moves values past the bounds that are declared for {columns}; they are held "
                f"there, for up to {number(max(arms.values()))} people in a step."
            )
    return told


def acts(each: Intervention, steps: int) -> bool:
    """Return whether an intervention changes anything within so many steps, as far as dates say."""
    on = each.in_force(steps)
    if each.on_agents:
        return bool(on[: max(steps - each.delay, 0)].any())
    changes = np.zeros(steps, bool)
    for effect in each.effects:
        neutral = {"scale": 1.0, "reduce": 0.0}.get(effect.kind, np.nan)
        changes |= effect.at(steps, each.shift + each.delay) != np.float32(neutral)
    return bool((on & changes).any())
