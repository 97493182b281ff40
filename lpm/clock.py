"""Time: the length of a step, the number of the step, and durations as people write them."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field

import jax

from lpm.errors import InputError
from lpm.types import Array

DAYS = {"s": 1 / 86_400, "min": 1 / 1_440, "h": 1 / 24, "d": 1.0, "w": 7.0}
"""Days in one unit of a written duration."""

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
        InputError: The duration is not a whole number of steps.
    """
    if isinstance(written, int):
        return written
    count = days(written, where) / step_days
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clock:
    """What a kernel knows of time and of how the simulation is laid out.

    Attributes:
        step: int32 scalar, 0 for the first step (traced).
        dt: Length of a step in days (static).
        shards: Number of devices over which agents are spread (static); reducers need it.
    """

    step: Array
    dt: float = field(default=1.0, metadata={"static": True})
    shards: int = field(default=1, metadata={"static": True})
