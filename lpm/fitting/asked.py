"""What `lpm calibrate` is asked for beyond the scenario."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lpm.errors import InputError

DRAWS = 200
"""Draws of the parameters behind a forecast; each is a simulation of its own seed."""


@dataclass(frozen=True)
class Asked:
    """What `lpm calibrate` is asked for beyond the scenario.

    Attributes:
        folder: Where to.
        fit: Paths of the free parameters; () = what the scenario marks as free.
        until: Origins: last days of the data, one fit and forecast each; () = the scenario's.
        data: A file of figures; None = the scenario's.
        seeds: Runs that are averaged at every point of the fit.
        starts: Points of the screen.
        draws: Draws behind a forecast.
        posterior: How sure the fit is: a key of `lpm.fitting.uncertainty.WAYS`.
        diagnose: Check the draws, too.
        resume: Go on with what the folder holds.
    """

    folder: Path
    fit: tuple[str, ...] = ()
    until: tuple[dt.date, ...] = ()
    data: str | None = None
    seeds: int = 2
    starts: int = 64
    draws: int = DRAWS
    posterior: str = "normal"
    diagnose: bool = False
    resume: bool = False


def default_folder(name: str) -> Path:
    """Return the first of runs/NAME-fit-1, -2, ... that is not there."""
    number = 1
    while (Path("runs") / f"{name}-fit-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-fit-{number}"


def origins_of(texts: Sequence[str]) -> tuple[dt.date, ...]:
    """Return the dates of `--until`.

    Raises:
        InputError: Something that is no date, or one that comes twice.
    """
    try:
        made = tuple(dt.date.fromisoformat(text.strip()) for text in texts)
    except ValueError:
        raise InputError(f"--until: expected dates such as 2020-03-29,2020-04-05, got '{','.join(texts)}'") from None
    if len({*made}) != len(made):
        raise InputError(f"--until: a date comes twice in '{','.join(texts)}'")
    return tuple(sorted(made))
