"""Durations and moments as people write them: "1d", "12h", a date, a number of steps."""

from __future__ import annotations

import datetime as dt
import re

from lpm.errors import InputError

DAYS = {"s": 1 / 86_400, "min": 1 / 1_440, "h": 1 / 24, "d": 1.0, "w": 7.0}
"""Days in one unit of a written duration."""

MOST_STEPS = 10_000_000
"""Longest duration in steps: step numbers are 32-bit, and what is looked up by step is as long. A guess."""

_WRITTEN = re.compile(r"(-?\d+(?:\.\d+)?)\s*(s|min|h|d|w)")


def days(written: str, where: str) -> float:
    """Return a written duration ("1d", "12h", "3min", "-1w") in days.

    Raises:
        InputError: Not a number followed by s, min, h, d or w.
    """
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        raise InputError(f"{where}: expected a duration such as '1d', '12h' or '3min', got '{written}'")
    return float(match[1]) * DAYS[match[2]]


def steps(written: str | int, step_days: float, where: str) -> int:
    """Return a duration as a whole number of steps; a number is already in steps.

    Raises:
        InputError: The duration is not a whole number of steps, or longer than `MOST_STEPS` either way.
    """
    if isinstance(written, int):
        return written
    count = days(written, where) / step_days
    if not abs(count) <= MOST_STEPS:
        raise InputError(f"{where}: '{written[:40]}' is {count:g} steps; expected at most {MOST_STEPS:,}")
    if abs(count - round(count)) > 1e-9:
        raise InputError(f"{where}: '{written}' is {count:g} steps; expected a whole number of steps")
    return round(count)


def time_of(start: dt.date | None, step: int, step_days: float) -> dt.date | dt.datetime | None:
    """Return the date (steps of whole days) or time at which step `step` begins, None without a start."""
    if start is None:
        return None
    moment = start if isinstance(start, dt.datetime) else dt.datetime.combine(start, dt.time())
    moment += dt.timedelta(days=step * step_days)
    whole = float(step_days).is_integer() and not isinstance(start, dt.datetime)
    return moment.date() if whole else moment
