"""An intervention of the engine in plain words: what it changes, how far, and by which dates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from lpm.durations import time_of
from lpm.report.schedule import curve, joined, number, share
from lpm.report.wording import day, step_name

if TYPE_CHECKING:
    from lpm.policy import Effect, Intervention
    from lpm.population import Column


def in_words(each: Intervention, layers: Collection[str], schema: Mapping[str, Column], moments: Sequence[str]) -> str:
    """Return what an intervention does: "factor on contacts in work: 1 until 8 Mar 2020, falls to 0.35 by ...".

    Args:
        each: The intervention, as an arm has it (its shift included).
        layers: Names of the network layers; any other target of a factor is a parameter.
        schema: Columns by name.
        moments: What each step of the run is called.
    """
    same: dict[tuple[str, str], list[str]] = {}
    for effect in each.effects:
        name = effect.target if effect.target in layers else ""
        how = _how(effect, each, schema, moments)
        same.setdefault((how, "" if name else effect.target), []).append(effect.target)
    return "; ".join(
        how.replace("{it}", _contacts(names) if not target else target) for (how, target), names in same.items()
    )


def _contacts(layers: Sequence[str]) -> str:
    """Return the contacts of these layers: "contacts in work and home"; a layer may be called "contacts" itself."""
    return "contacts" if [*layers] == ["contacts"] else f"contacts in {joined(layers)}"


def _how(effect: Effect, each: Intervention, schema: Mapping[str, Column], moments: Sequence[str]) -> str:
    if effect.kind in ("scale", "set", "reduce"):
        told = share if effect.kind == "reduce" else number
        words = told(effect.value) if not isinstance(effect.value, tuple) else _curve(effect.value, each, moments, told)
        if isinstance(effect.value, tuple):
            before = {"scale": "factor on {it}", "set": "value of {it}", "reduce": "reduction of {it}"}[effect.kind]
            return f"{before}: {words}"
        return {"scale": "{it} times", "set": "{it} set to", "reduce": "{it} reduced by"}[effect.kind] + f" {words}"
    value = effect.value[0] if isinstance(effect.value, tuple) else effect.value
    if effect.kind in ("add_ties", "remove_ties"):
        return f"{value:,.0f} ties {'added to' if effect.kind == 'add_ties' else 'removed from'} {effect.target}"
    column = schema.get(effect.target)
    about = f"{effect.target} ({column.meaning})" if column is not None and column.meaning else effect.target
    if effect.kind == "set_column":
        levels = column.levels if column is not None else ()
        return f"{about} set to {levels[int(value)] if levels else number(value)}"
    if effect.kind == "scale_column":
        return f"{about} times {number(value)}"
    return f"{number(value)} added to {about}"


def _curve(values: tuple[float, ...], each: Intervention, moments: Sequence[str], told: Callable[[float], str]) -> str:
    """Return a curve as an arm has it: moved with the intervention, over the steps of the run."""
    late = each.shift + each.delay
    moved = [values[min(max(step - late, 0), len(values) - 1)] for step in range(len(moments))]
    return curve(moved, moments, told)


def ends(each: Intervention, steps: int, start: date | None, step_days: float) -> str:
    """Return how long an intervention and its effect on a person last, "" where both are for good."""
    words: list[str] = []
    last = each.stop + each.shift - 1  # `stop` is the first step no longer in force
    if last < steps - 1:
        words.append(f"to {moment(last, start, step_days)}")
    if each.on_agents and each.delay:
        words.append(f"acting {each.delay * step_days:g} d after a person is reached")
    if each.duration is not None:
        words.append(f"for {each.duration * step_days:g} d a person")
    return "".join(f", {word}" for word in words)


def moment(step: int, start: date | None, step_days: float) -> str:
    """Return what a step is called: its date, or its number."""
    when = time_of(start, step, step_days)
    return f"{step_name(step_days)} {step}" if when is None else day(when)
