"""A synthetic population beside the marginals that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.allocation import plan
from lpm.marginals import ADULT, AGES, BAND_STARTS, BANDS, Marginals
from lpm.population import Population
from lpm.types import HostArray

OLD = 65  # the age from which the census counts the old of a household


@dataclass(frozen=True)
class Entry:
    """One figure of a table: what is published, and what the population has, in people or as a share."""

    table: str
    level: str
    published: float
    generated: float


def compare(m: Marginals, population: Population) -> list[Entry]:
    """Return every marginal: published, and as the population has it.

    Everything is counted from the columns of the population. Living alone by age is published for another population
    (its profile), so its column "published" is what the profile gives at the city's number of people living alone; so
    are residents of care homes by age. Of the tables, "share of households by borough and size" is met as nearly as
    the published persons per household allow, and "with anyone of 65 and over" is not met but compared.

    Args:
        m: What the population was made from.
        population: All rows of a population made by `synthesize`.
    """
    people = float(m.ages.sum())
    worth = people / population.size
    column = population.columns
    home = column["residence"] == 0
    entries: list[Entry] = []

    def add(table: str, levels: list[str], published: HostArray, generated: HostArray) -> None:
        for row in zip(levels, np.ravel(published).tolist(), np.ravel(generated).tolist(), strict=True):
            entries.append(Entry(table, *row))

    boroughs, count = list(m.boroughs), len(m.boroughs)
    add("people by borough", boroughs, m.ages.sum(1), np.bincount(column["borough"], minlength=count) * worth)
    bands = np.add.reduceat(m.ages, BAND_STARTS, axis=1)
    pair = np.bincount(column["borough"] * np.uint8(len(BANDS)) + column["age"], minlength=count * len(BANDS)) * worth
    add("people by borough and age", [f"{b}, {a}" for b in boroughs for a in BANDS], bands, pair)
    first = np.flatnonzero(np.diff(column["household"], prepend=-1))
    lived = home[first]
    of, first_size = column["borough"][first][lived].astype(np.int64), column["household_size"][first][lived]

    def by_borough(level: HostArray, levels: int) -> HostArray:
        """Return the share of households by level [boroughs, levels]."""
        table = np.bincount(of * levels + level, minlength=count * levels).reshape(count, levels)
        return table / np.maximum(table.sum(1, keepdims=True), 1)

    households = np.bincount(of, minlength=count)
    add("people per household", boroughs, m.persons, np.bincount(column["borough"][home], minlength=count) / households)
    kinds = column["household_kind"][first][lived].astype(np.int64)
    add(
        "share of households by borough and kind",
        [f"{b}, {k}" for b in boroughs for k in m.kinds],
        m.households / m.households.sum(1, keepdims=True),
        by_borough(kinds, len(m.kinds)),
    )
    largest = m.sizes.shape[2]
    add(
        "share of households by borough and size",
        [f"{b}, {s}" for b in boroughs for s in range(1, largest + 1)],
        m.sizes.sum(1),
        by_borough(np.minimum(first_size, largest).astype(np.int64) - 1, largest),
    )
    youngest = np.minimum.reduceat(column["years"], first)[lived]
    eldest = np.maximum.reduceat(column["years"], first)[lived]
    for name, some, published in (
        ("with anyone under 18", youngest < ADULT, m.young),
        ("with anyone of 65 and over", eldest >= OLD, m.old),
    ):
        add(
            f"share of households {name}",
            boroughs,
            published / m.households.sum(1),
            by_borough(some.astype(np.int64), 2)[:, 1],
        )
    full = plan(m, int(round(people)))
    ages = np.diff(full.ends, axis=2, prepend=0).sum(0)
    single = [int(full.first[t]) for t, c in enumerate(m.compositions) if len(c.roles) == 1]
    alone = home & (column["household_size"] == 1)
    for table, kept, lists in (
        ("people living alone by age", alone, ages[single]),
        ("people in care homes by age", ~home, ages[full.first[full.care] :]),
    ):
        published = np.add.reduceat(lists.sum(0).reshape(AGES), BAND_STARTS)
        add(table, list(BANDS), published, np.bincount(column["age"][kept], minlength=len(BANDS)) * worth)
    return entries
