"""Numbers, dates and names as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from html import escape
from typing import Any, cast

MINUS = "\u2212"
NOTHING = "\u2013"
"""What stands where a figure is not defined."""

PURE = ("", "1")

NIL = 1e-12
"""What is smaller than this is the rounding of a sum that is 0."""


FEW = "too few seeds for an interval"
"""What stands where an interval would rest on fewer seeds than `lpm.report.folder.LEAST_SEEDS`."""

PER_CENT = "\u202f%"

_ISO = re.compile(r"(?<![\w./-])(\d{4}-\d{2}-\d{2})(?![\w/-]|\.\d)")


def rounded(value: float, digits: int = 3, sign: bool = False) -> str:
    """Return a count with so many significant digits, never with a part of one: 21304 -> 21,300, 2.4 -> 2."""
    if not math.isfinite(value):
        return NOTHING
    places = min(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return _signed(_minus(f"{round(value, places):,.0f}"), value, sign)


def percent(part: float, sign: bool = True) -> str:
    """Return a share in whole per cent, with its sign: 0.24 -> "+24 %"."""
    return _signed(_minus(f"{part * 100:,.0f}"), part, sign) + PER_CENT


def _signed(text: str, value: float, sign: bool) -> str:
    """Return the text with a plus where the value is above 0 and the text does not say 0."""
    return "+" + text if sign and value > 0 and text.strip("0.,") else text


def _minus(text: str) -> str:
    """Return the text with a true minus sign, and none before a zero."""
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.,") else MINUS + text[1:]
    return text


def figure(value: float | None, kind: str = "flow", sign: bool = False, points: bool = False) -> str:
    """Return a metric's value as text.

    Args:
        value: The value, None = undefined.
        kind: Kind of the metric: shares and ratios are told in per cent.
        sign: Put a plus before positive values.
        points: The value is a difference (of percentages: percentage points).
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if kind in ("share", "ratio"):
        places = 1 if abs(value) >= 0.0995 else 2
        text = f"{value * 100:,.{places}f}"
        tail = "\u202fpp" if points else PER_CENT
    elif kind in ("flow", "stock", "people"):
        text, tail = f"{value:,.0f}", ""  # people are whole
    elif kind == "sum":
        places = 0 if abs(value) >= 100 or float(value).is_integer() else 1
        text, tail = f"{value:,.{places}f}", ""
    elif kind in ("days", "reproduction"):
        text, tail = f"{value:,.{1 if kind == 'days' else 2}f}", ""
    else:
        text, tail = f"{value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}", ""
    return _signed(_minus(text), value, sign) + tail


def span(low: float | None, high: float | None, kind: str, points: bool = False) -> str:
    """Return an interval as text: "9,100 to 10,500"."""
    if low is None or high is None:
        return NOTHING
    return f"{figure(low, kind, points=points)} to {figure(high, kind, points=points)}"


def day(value: Any) -> str:
    """Return a date as "29 Feb 2020" (a datetime with its hour and minute); anything else as text."""
    if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-":
        try:
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime) and (value.hour or value.minute):
        return f"{value.day} {value:%b %Y %H:%M}"
    return f"{value.day} {value:%b %Y}" if isinstance(value, date) else str(value)


def dated(text: Any) -> str:
    """Return a text with its ISO dates written as `day` writes them; paths, DOIs and longer numbers stay."""
    return _ISO.sub(lambda found: day(found.group(1)), str(text))


def unit_of(unit: Any) -> str:
    """Return a unit as people read it; pure numbers have none."""
    return "" if str(unit or "") in PURE else str(unit)


def plain(value: Any) -> str:
    """Return a value of run.json as text: numbers with separators, lists with commas, tables as "name: value"."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _minus(f"{value:,}") if abs(value) >= 1_000 else _minus(str(value))
    if isinstance(value, float):
        if abs(value) < NIL:
            return "0"
        if value.is_integer() and abs(value) < 1e15:
            return _minus(f"{value:,.0f}")
        if abs(value) < 1e-4:  # written out, not as 3.28e-05
            return _minus(f"{float(f'{value:.4g}'):.15f}".rstrip("0"))
        return _minus(f"{value:,.2f}") if abs(value) >= 1000 else _minus(f"{value:.4g}")
    if isinstance(value, dict):
        return "; ".join(
            f"{level(str(key))}:\u00a0{plain(item)}" for key, item in cast("dict[str, Any]", value).items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in cast("list[Any]", value))
    return dated(value)


def label(group: str) -> str:
    """Return a group's name for people: "all" -> "All", "borough=Bronx;age=65-74" -> "Bronx, 65–74"."""
    if group == "all":
        return "All"
    return ", ".join(level(part.split("=", 1)[-1]) for part in group.split(";"))


def level(name: str) -> str:
    """Return a level's name with an en dash in ranges of numbers: "65-74" -> "65–74"."""
    left, dash, right = name.partition("-")
    return f"{left}\u2013{right}" if dash and left.isdigit() and right.isdigit() else name


def titled(column: str) -> str:
    """Return a column's name as a heading."""
    return column.replace("_", " ").capitalize()


def step_name(days: float) -> str:
    """Return what a step of so many days is called: "day", "week", "hour", else "step"."""
    named = {"day": 1.0, "week": 7.0, "hour": 1 / 24, "minute": 1 / 1440}
    return next((name for name, length in named.items() if math.isclose(days, length)), "step")


def per(unit: str, step: str) -> str:
    """Return the unit of a flow: "people a day"."""
    every = {"1d": "a day", "1h": "an hour", "7d": "a week", "1w": "a week", "1min": "a minute"}.get(step, "a step")
    return f"{unit} {every}" if unit not in PURE else every


def escaped(value: Any) -> str:
    """Return text that is safe inside HTML, attributes included."""
    return escape(str(value), quote=True)


def brief(values: Iterable[float | None]) -> list[float | int | None]:
    """Return numbers with four significant digits, as JSON writes them shortest."""
    result: list[float | int | None] = []
    for value in values:
        if value is None or not math.isfinite(value):  # not defined: a gap in the chart
            result.append(None)
            continue
        short = float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))
        result.append(int(short) if short.is_integer() else short)
    return result
