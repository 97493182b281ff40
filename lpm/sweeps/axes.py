"""The axes of a sweep as people write them: `sir.beta=0.02:0.1:9`, `contacts.scale=0.1:1:5:log`, `sir.beta=1,2`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lpm.errors import InputError
from lpm.given import shown
from lpm.scenarios import registries
from lpm.scenarios.schema import Scenario

Scale = Literal["linear", "log", "values"]

WHOLE = ("population.size", "steps")
"""Paths of whole numbers: values between the ends of an axis are rounded."""

MOST_VALUES = 100_000
"""Most values on one axis."""


@dataclass(frozen=True)
class Axis:
    """One swept path.

    Attributes:
        path: What `--set` calls it.
        scale: How values lie between the ends: evenly, evenly in their logarithms, or as they are listed.
        low: Smallest value; None where the values are names.
        high: Largest value.
        values: The values of a grid or table, in their order; () = any between the ends.
    """

    path: str
    scale: Scale
    low: float | None
    high: float | None
    values: tuple[float | str, ...] = ()

    def at(self, share: np.ndarray) -> np.ndarray:
        """Return the values at shares of the way from `low` to `high`, float64."""
        assert self.low is not None and self.high is not None
        if self.scale == "log":
            found = np.exp(np.log(self.low) + share * (np.log(self.high) - np.log(self.low)))
        else:
            found = self.low + share * (self.high - self.low)
        return np.round(found) if self.path in WHOLE else found

    def told(self, scenario: Scenario) -> dict[str, Any]:
        """Return what `sweep.json` says of the axis."""
        unit, meaning = about(scenario, self.path)
        return {
            "path": self.path,
            "low": self.low,
            "high": self.high,
            "count": len(self.values) or None,
            "scale": self.scale,
            "values": list(self.values),
            "unit": unit,
            "meaning": meaning,
        }


def axis(text: str, option: str, *, counted: bool) -> Axis:
    """Return the axis that a text says.

    Args:
        text: "path=low:high:count", "path=low:high:count:log" or "path=a,b,c"; without `counted` "path=low:high" or
            "path=low:high:log".
        option: Named in errors.
        counted: Whether it lists values (a grid), or says a range only.

    Raises:
        InputError: Anything else, ends that do not rise, or a logarithm of what is not above 0.
    """
    path, equals, told = text.partition("=")
    path, told = path.strip(), told.strip()
    form = (
        "path=low:high:count or path=a,b,c, as in sir.beta=0.02:0.1:9"
        if counted
        else "path=low:high, as in sir.beta=0.02:0.1"
    )
    if not equals or not path or not told:
        raise InputError(f"{option}: expected {form}, got {shown(text)}")
    where = f"{option} {path}"
    if ":" not in told:
        if not counted:
            raise InputError(f"{where}: expected {form}, got {shown(told)}")
        return listed(path, [each.strip() for each in told.split(",")], where)
    parts = [each.strip() for each in told.split(":")]
    logarithmic = parts[-1] == "log"
    parts = parts[:-1] if logarithmic else parts
    if len(parts) != 2 + counted:
        raise InputError(f"{where}: expected {form}, got {shown(told)}")
    made = spread(path, _number(parts[0], where), _number(parts[1], where), logarithmic, where)
    if not counted:
        return made
    if not parts[2].isascii() or not parts[2].isdigit() or not 2 <= int(parts[2]) <= MOST_VALUES:
        raise InputError(f"{where}: expected 2 to {MOST_VALUES:,} values, got {shown(parts[2])}")
    return grid(made, int(parts[2]))


def spread(path: str, low: float, high: float, logarithmic: bool, where: str) -> Axis:
    """Return the axis of all values between two ends.

    Raises:
        InputError: Ends that do not rise or are not finite, or a logarithm of what is not above 0.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{where}: expected low:high with low below high, got {low:g}:{high:g}")
    if logarithmic and low <= 0:
        raise InputError(f"{where}: expected values above 0 for log, got {low:g}")
    return Axis(path, "log" if logarithmic else "linear", low, high)


def grid(ends: Axis, count: int) -> Axis:
    """Return the axis with `count` values evenly from one end to the other, both included to the bit."""
    assert ends.low is not None and ends.high is not None
    inner = ends.at(np.arange(count) / (count - 1))
    values = tuple(dict.fromkeys((ends.low, *(float(value) for value in inner[1:-1]), ends.high)))
    return Axis(ends.path, ends.scale, ends.low, ends.high, values)


def listed(path: str, given: Sequence[Any], where: str) -> Axis:
    """Return the axis of listed values: all numbers, or all names.

    Raises:
        InputError: None, one twice, a blank one, or numbers that are not finite.
    """
    if not given or not all(str(each).strip() for each in given):
        raise InputError(f"{where}: expected values, got {shown(list(given))}")
    numbers = [_number_or_none(each) for each in given]
    values: tuple[float | str, ...]
    if all(each is not None for each in numbers):
        values = tuple(float(each) for each in numbers if each is not None)
        if not all(math.isfinite(float(each)) for each in values):
            raise InputError(f"{where}: expected finite numbers, got {shown(list(given))}")
    elif any(each is not None for each in numbers):
        raise InputError(f"{where}: expected numbers only or names only, got {shown(list(given))}")
    else:
        values = tuple(str(each) for each in given)
    if len({*values}) != len(values):
        raise InputError(f"{where}: a value comes twice in {shown(list(given))}")
    ends = [each for each in values if isinstance(each, float)]
    return Axis(path, "values", min(ends, default=None), max(ends, default=None), values)


def _number(text: str, where: str) -> float:
    found = _number_or_none(text)
    if found is None:
        raise InputError(f"{where}: expected a number, got {shown(text)}")
    return found


def _number_or_none(given: Any) -> float | None:
    if isinstance(given, bool):
        return None
    try:
        return float(given)
    except (TypeError, ValueError):
        return None


def about(scenario: Scenario, path: str) -> tuple[str, str]:
    """Return unit and meaning of a path, "" where nothing is declared."""
    owner, _, rest = path.partition(".")
    name, _, level = rest.partition(".")
    behind = f", of {level}" if level else ""
    for place, _, declared in registries.parametrised(scenario):
        table, _, number = place.rstrip("]").partition("[")
        owners = {"kernels": scenario.kernels, "networks": scenario.networks}.get(table, ())
        if (owners[int(number)].name if owners else place.split(".")[0]) == owner and name in declared:
            return declared[name].unit, declared[name].meaning + behind
    told = {
        "population.size": ("agents", "number of agents"),
        "population.people": ("people", "number of people that all agents stand for"),
        "steps": ("steps", "number of steps"),
    }
    if rest == "scale" and owner in {layer.name for layer in scenario.networks}:
        return "1", f"factor on the contacts of layer '{owner}'"
    return told.get(path, ("", ""))
