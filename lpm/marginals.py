"""What is published of a city's people and households, as read from small CSV files.

Every file's header lines (#) name its sources; nothing here is drawn at random.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lpm.contacts import read_square
from lpm.errors import InputError, unknown
from lpm.types import HostArray

AGES = 85  # single years 0 to 83, and 84 for 84 and over, as in the contact matrices of Mistry et al. 2021
CHILD_ROLES = ("child", "elder-child", "middle-child", "younger-child", "late-child")
ALONE = {"alone": (18, AGES), "alone-under-65": (18, 65), "alone-65-over": (65, AGES)}
"""Roles of people who live alone: the ages that take them."""
ADULT = 18  # the age from which people take adult places, and may live alone (published: none under 16 does)
BANDS = ("0-4", "5-12", "13-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65-74", "75+")
BAND_STARTS = (0, 5, 13, 18, 25, 35, 45, 55, 65, 75)  # of the city's health department, COVID-19 data by age
RESIDENCES = ("household", "care home")
COUNTED = (("any", "with anyone under 18"), ("any", "with anyone of 65 and over"), ("people", "in households"))


GROUPS = ("family", "nonfamily")


@dataclass(frozen=True)
class Composition:
    """Who lives together: a role and a window per place, and the composition's weight beside others of its size.

    `kind` is the published kind of household that it belongs to.
    """

    name: str
    kind: str
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
        sizes: Share of households [boroughs, 2, largest size]: families and others, size 1 first; all sum to 1.
        kinds: Names of the kinds of household.
        group: Family (0) or not (1), of each kind [kinds].
        households: Households [boroughs, kinds] as published.
        young: Households with anyone under 18 [boroughs] as published.
        old: Households with anyone of 65 and over [boroughs] as published; compared, not met.
        persons: People per household [boroughs] as published.
        compositions: Who lives in the households; each belongs to a kind.
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
    kinds: tuple[str, ...]
    group: tuple[int, ...]
    households: HostArray
    young: HostArray
    old: HostArray
    persons: HostArray
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


def _sources(path: Path) -> str:
    """Return the comment lines of a file as one text."""
    lines = [line.lstrip("# ").strip() for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    return " ".join(lines)


FILES = {
    "ages": "borough_age.csv",
    "sizes": "household_size.csv",
    "kinds": "household_kinds.csv",
    "compositions": "household_composition.csv",
    "roles": "household_roles.csv",
    "care_homes": "care_homes.csv",
    "home_contacts": "contact_household.csv.gz",
}
"""The files of a city's marginals, as they are called when they stand in one folder."""


def marginals_in(folder: str | Path) -> Marginals:
    """Return the marginals whose files have their usual names in a folder.

    Raises:
        InputError: As `read_marginals`.
    """
    return read_marginals({name: Path(folder) / file for name, file in FILES.items()})


def read_marginals(files: Mapping[str, str | Path]) -> Marginals:
    """Read a city's marginals.

    Args:
        files: `ages` (columns borough, from, to, people), `sizes` (borough, group, size, households), `kinds` (borough,
            group, kind, households: see `_kinds`), `compositions` (kind, size, name, share, places: a role and the
            width of its window, as "parent~0.1 child~0.3"), `roles` (role, then a propensity by age band), `care_homes`
            (borough, from, to, value: residents of a borough; rows "*": share of the residents by age; row "unit":
            most in a unit) and `home_contacts` (relative household contacts by year).

    Raises:
        InputError: A missing file, column, borough or role, or figures that are no numbers.
    """
    path = {name: Path(file) for name, file in files.items()}
    ages = _ages(path["ages"])
    names = tuple(ages)
    kinds, group, counted = _kinds(path["kinds"], names)
    compositions = _compositions(path["compositions"], kinds)
    roles = {**dict.fromkeys(ALONE, np.ones(AGES)), **_roles(path["roles"])}  # alone: its own profile, below
    for composition in compositions:
        for role in composition.roles:
            if role not in roles:
                raise unknown(str(path["compositions"]), "role", role, roles)
    sizes = _sizes(path["sizes"], names, max(len(c.roles) for c in compositions))
    home = read_square(path["home_contacts"], "population.home_contacts")
    if len(home) != AGES:
        raise InputError(f"population.home_contacts: expected {AGES} ages, got {len(home)}")
    alone = np.clip(1 - home.sum(1), 0, 1)  # a person who lives with others has a row that sums to 1
    people = np.array(list(ages.values()))
    residents, resident_ages, unit = _care_homes(path["care_homes"], names, people)
    told = tuple(text for name, file in path.items() if name != "home_contacts" and (text := _sources(file)))
    return Marginals(
        boroughs=names, ages=people, sizes=sizes, kinds=kinds, group=group, compositions=compositions, roles=roles,
        alone=alone, residents=residents, resident_ages=resident_ages, unit=unit, sources=told, **counted,
    )  # fmt: skip


def _borough(row: Mapping[str, str], names: tuple[str, ...], path: Path) -> int:
    if row.get("borough") not in names:
        raise unknown(str(path), "borough", str(row.get("borough")), names)
    return names.index(row["borough"])


def _ages(path: Path) -> dict[str, HostArray]:
    boroughs: dict[str, HostArray] = {}
    for row in _table(path):
        low, high = int(_number(row, "from", path)), int(_number(row, "to", path))
        if low > high:
            raise InputError(f"{path}: ages {low} to {high}")
        years = np.arange(low, high + 1) if low < AGES - 1 else np.array([AGES - 1])
        ages = boroughs.setdefault(row.get("borough", ""), np.zeros(AGES))
        np.add.at(ages, np.minimum(years, AGES - 1), _number(row, "people", path) / len(years))
    return boroughs


def _kinds(path: Path, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...], dict[str, HostArray]]:
    """Return the kinds of household, whether each is a family, and what is counted by borough.

    Rows of the groups "family" and "nonfamily" are kinds, which together are all households. Rows of the group "any"
    count households "with anyone under 18" and "with anyone of 65 and over", of the group "people" people "in
    households".

    Raises:
        InputError: An unknown group or row, or a borough without a figure.
    """
    group: dict[str, int] = {}
    found: dict[tuple[str, str], HostArray] = {}
    for row in _table(path):
        of, kind = row.get("group") or "", row.get("kind") or ""
        if of in GROUPS:
            group[kind] = GROUPS.index(of)
        elif (of, kind) not in COUNTED:
            raise unknown(str(path), "group and kind", f"{of} {kind}", [*GROUPS, *(" ".join(key) for key in COUNTED)])
        counts = found.setdefault((of, kind), np.full(len(names), np.nan))
        counts[_borough(row, names, path)] = _number(row, "households", path)
    for key in COUNTED:
        found.setdefault(key, np.full(len(names), np.nan))
    for (of, kind), counts in found.items():
        if np.isnan(counts).any():
            raise InputError(f"{path}: no figure for '{of}, {kind}' in {names[int(np.isnan(counts).argmax())]}")
    households = np.array([found[GROUPS[g], kind] for kind, g in group.items()]).reshape(len(group), len(names)).T
    if not (households.sum(1) > 0).all():
        raise InputError(f"{path}: expected households of some kind in every borough")
    young, old, people = (found[key] for key in COUNTED)
    counted = {"households": households, "young": young, "old": old, "persons": people / households.sum(1)}
    return tuple(group), tuple(group.values()), counted


def _sizes(path: Path, names: tuple[str, ...], largest: int) -> HostArray:
    """Return shares [boroughs, 2, largest] of households by group and size; size 1 first.

    Raises:
        InputError: A size that no composition has, an unknown group, or a borough without households.
    """
    sizes = np.zeros((len(names), len(GROUPS), largest))
    for row in _table(path):
        size = int(_number(row, "size", path))
        if not 1 <= size <= largest:
            raise InputError(f"{path}: no household of size {size} has a composition")
        if row.get("group") not in GROUPS:
            raise unknown(str(path), "group", str(row.get("group")), GROUPS)
        sizes[_borough(row, names, path), GROUPS.index(row["group"]), size - 1] = _number(row, "households", path)
    if not (sizes.sum((1, 2)) > 0).all():
        raise InputError(f"{path}: expected households in every borough")
    return sizes / sizes.sum((1, 2), keepdims=True)


def _compositions(path: Path, kinds: tuple[str, ...]) -> tuple[Composition, ...]:
    found: list[Composition] = []
    for row in _table(path):
        places = [place.partition("~") for place in (row.get("places") or "").split()]
        if len(places) != int(_number(row, "size", path)):
            raise InputError(f"{path}: '{row.get('name')}' has {len(places)} places and size {row.get('size')}")
        if row.get("kind") not in kinds:
            raise unknown(str(path), "kind", str(row.get("kind")), kinds)
        windows = tuple(_number({"window": width or "1"}, "window", path) for _, _, width in places)
        share, roles = _number(row, "share", path), tuple(role for role, _, _ in places)
        if any(role in ALONE for role in roles) != (len(roles) == 1):
            raise InputError(
                f"{path}: '{row['name']}' has the places {' '.join(roles)}; one person takes {list(ALONE)}"
            )
        found.append(Composition(row["name"], row["kind"], share, roles, windows))
    if not any(len(c.roles) == 1 for c in found):
        raise InputError(f"{path}: expected a composition of size 1")
    return tuple(found)


def _roles(path: Path) -> dict[str, HostArray]:
    middle = [(a + b - 1) / 2 for a, b in zip(BAND_STARTS, (*BAND_STARTS[1:], AGES), strict=True)]
    return {
        row["role"]: np.interp(np.arange(AGES), middle, [_number(row, band, path) for band in BANDS])
        for row in _table(path)
    }


def _care_homes(path: Path, names: tuple[str, ...], people: HostArray) -> tuple[HostArray, HostArray, int]:
    """Return residents by borough, their shares by age, and the most in a unit."""
    residents, ages, unit = np.zeros(len(names)), np.zeros(AGES), 1
    for row in _table(path):
        value = _number(row, "value", path)
        if row.get("borough") == "*":
            low, high = int(_number(row, "from", path)), min(int(_number(row, "to", path)), AGES - 1)
            of = people[:, low : high + 1].sum(0)
            ages[low : high + 1] += value * of / of.sum()
        elif row.get("borough") == "unit":
            unit = max(int(value), 1)
        else:
            residents[_borough(row, names, path)] = value
    if residents.any() and ages[:ADULT].any():
        raise InputError(f"{path}: expected residents of {ADULT} and over")
    return residents, ages if ages.any() else np.ones(AGES), unit
