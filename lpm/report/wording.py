"""Numbers, dates and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime
from html import escape
from typing import Any, cast

MINUS = "\u2212"
NOTHING = "\u2013"
"""What stands where a figure is not defined."""

PURE = ("", "1")


def rounded(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and thousands separators: 21304 -> 21,300."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else NOTHING
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return _minus(text)


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
        tail = "\u202fpp" if points else "\u202f%"
    elif kind in ("flow", "stock", "sum", "people"):
        places = 0 if abs(value) >= 100 or float(value).is_integer() else 1
        text, tail = f"{value:,.{places}f}", ""
    elif kind in ("days", "reproduction"):
        text, tail = f"{value:,.{1 if kind == 'days' else 2}f}", ""
    else:
        text, tail = f"{value:,.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}", ""
    text = _minus(text)
    if sign and value > 0 and text.strip("0.,"):
        text = "+" + text
    return text + tail


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


def plain(value: Any) -> str:
    """Return a value of run.json as text: numbers with separators, lists with commas, tables as "name: value"."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _minus(f"{value:,}") if abs(value) >= 10_000 else _minus(str(value))
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return _minus(f"{value:,.0f}")
        return _minus(f"{value:,.2f}") if abs(value) >= 1000 else _minus(f"{value:.4g}")
    if isinstance(value, dict):
        return "; ".join(
            f"{level(str(key))}:\u00a0{plain(item)}" for key, item in cast("dict[str, Any]", value).items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in cast("list[Any]", value))
    return day(value) if isinstance(value, str) and len(value) == 10 else str(value)


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
