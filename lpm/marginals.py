"""What is published of a city's people and households, as read from small CSV files.

Every file's header lines (#) name its sources; nothing here is drawn at random.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.types import HostArray

AGES = 85  # single years 0 to 83, and 84 for 84 and over, as in the contact matrices of Mistry et al. 2021
CHILD_ROLES = ("child", "elder-child", "middle-child", "younger-child", "late-child")
ADULT, ALONE_FROM = 18, 18  # the age from which people take adult places, and may live alone (published: none under 16)
BANDS = ("0-4", "5-12", "13-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65-74", "75+")
BAND_STARTS = (0, 5, 13, 18, 25, 35, 45, 55, 65, 75)  # of the city's health department, COVID-19 data by age
RESIDENCES = ("household", "care home")


@dataclass(frozen=True)
class Composition:
    """Who lives in one kind of household: `share` of the households of its size, and a role and a window per place."""

    name: str
    share: float
    roles: tuple[str, ...]
    windows: tuple[float, ...]

    @property
    def children(self) -> int:
        """Number of places for people under 18."""
        return sum(role in CHILD_ROLES for role in self.roles)


@dataclass(frozen=True)
class Marginals:
    """What is known of a city's people and households.

    Attributes:
        boroughs: Names, in the order of the column's levels.
        ages: People [boroughs, 85] by single year.
        sizes: Share of households [boroughs, largest size], size 1 first.
        compositions: Every kind of household.
        roles: Propensity [85] of a role by age, relative to other roles at that age.
        alone: Propensity of living alone by age [85]; its level is fitted to the number of one-person households.
        residents: People in care homes [boroughs].
        resident_ages: Share of the residents by age [85].
        unit: Most agents in a care-home unit.
        sources: Where the figures come from.
    """

    boroughs: tuple[str, ...]
    ages: HostArray
    sizes: HostArray
    compositions: tuple[Composition, ...]
    roles: Mapping[str, HostArray]
    alone: HostArray
    residents: HostArray
    resident_ages: HostArray
    unit: int
    sources: tuple[str, ...] = ()


def _table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV; lines that begin with # are comments.

    Raises:
        InputError: The file is missing or has no rows.
    """
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    rows = list(csv.DictReader(lines))
    if not rows:
        raise InputError(f"{path}: expected a header and rows, got none")
    return rows


def _number(row: Mapping[str, str], name: str, path: Path) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: expected a number in column '{name}', got {row.get(name)!r}") from None
    if not np.isfinite(value) or value < 0:
        raise InputError(f"{path}: expected a number of at least 0 in column '{name}', got {value}")
    return value


def read_marginals(folder: Path | Any) -> Marginals:
    """Read a city's marginals.

    Args:
        folder: Holds borough_age.csv (borough, from, to, people), household_size.csv (borough, size, share),
            household_composition.csv (size, name, share, places), household_roles.csv (role, then a propensity by age
            band) and care_homes.csv (borough, residents; and rows `age,from,to,share`).

    Raises:
        InputError: A missing file, column, borough or role.
    """
    root = Path(str(folder))
    path = root / "borough_age.csv"
    boroughs: dict[str, HostArray] = {}
    for row in _table(path):
        low, high = int(_number(row, "from", path)), int(_number(row, "to", path))
        if not 0 <= low <= high:
            raise InputError(f"{path}: ages {low} to {high}")
        ages = boroughs.setdefault(row["borough"], np.zeros(AGES))
        years = np.minimum(np.arange(low, high + 1), AGES - 1) if low < AGES else np.array([AGES - 1])
        np.add.at(ages, years, _number(row, "people", path) / len(years))
    names = tuple(boroughs)

    def borough(row: Mapping[str, str], where: Path) -> int:
        if row["borough"] not in names:
            raise InputError(f"{where}: unknown borough '{row['borough']}'; there are: {', '.join(names)}")
        return names.index(row["borough"])

    path = root / "household_composition.csv"
    compositions: list[Composition] = []
    for row in _table(path):
        places = [place.partition("~") for place in row["places"].split()]
        windows = tuple(float(width or 1.0) for _, _, width in places)
        compositions.append(
            Composition(row["name"], _number(row, "share", path), tuple(role for role, _, _ in places), windows)
        )
    path = root / "household_size.csv"
    sizes = np.zeros((len(names), max(len(c.roles) for c in compositions)))
    for row in _table(path):
        sizes[borough(row, path), int(_number(row, "size", path)) - 1] = _number(row, "share", path)
    path = root / "household_roles.csv"
    middle = [(a + b - 1) / 2 for a, b in zip(BAND_STARTS, (*BAND_STARTS[1:], AGES), strict=True)]
    roles = {
        row["role"]: np.interp(np.arange(AGES), middle, [_number(row, band, path) for band in BANDS])
        for row in _table(path)
    }
    for composition in compositions:
        for role in composition.roles:
            if role not in roles:
                raise InputError(f"{path}: no propensities for role '{role}'; there are: {', '.join(roles)}")
    path = root / "care_homes.csv"
    residents, resident_ages, unit = np.zeros(len(names)), np.zeros(AGES), 0
    for row in _table(path):
        if row["borough"] == "*":
            low, high = int(_number(row, "from", path)), min(int(_number(row, "to", path)), AGES - 1)
            people = np.array([a[low : high + 1] for a in boroughs.values()]).sum(0)
            resident_ages[low : high + 1] += _number(row, "value", path) * people / people.sum()
        elif row["borough"] == "unit":
            unit = int(_number(row, "value", path))
        else:
            residents[borough(row, path)] = _number(row, "value", path)
    return Marginals(
        names, np.array(list(boroughs.values())), sizes, tuple(compositions), roles, roles["alone"],
        residents, resident_ages, max(unit, 1),
    )  # fmt: skip
