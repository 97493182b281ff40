"""A synthetic population beside the marginals that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.allocation import plan
from lpm.marginals import AGES, BAND_STARTS, BANDS, Marginals
from lpm.population import Population
from lpm.types import HostArray


@dataclass(frozen=True)
class Entry:
    """One figure of a table: what is published, and what the population has, in people or as a share."""

    table: str
    level: str
    published: float
    generated: float


def compare(m: Marginals, population: Population) -> list[Entry]:
    """Return every marginal: published, and as the population has it.

    Living alone by age is published for another population (its profile), so its column "published" is what the
    profile gives at the city's number of one-person households; so are residents of care homes by age.

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
    largest = m.sizes.shape[1]
    cell = column["borough"] * np.uint16(largest + 1) + np.minimum(column["household_size"], np.uint16(largest))
    sizes = np.bincount(cell[home], minlength=count * (largest + 1)).reshape(count, largest + 1)[:, 1:]
    households: HostArray = sizes / np.arange(1, largest + 1)
    add(
        "share of households by borough and size",
        [f"{b}, {s}" for b in boroughs for s in range(1, largest + 1)],
        m.sizes,
        households / np.maximum(households.sum(1, keepdims=True), 1),
    )
    full = plan(m, int(round(people)))
    ages = np.diff(full.ends, axis=2, prepend=0).sum(0)
    single = [len(c.roles) for c in m.compositions].index(1)
    alone = home & (column["household_size"] == 1)
    for table, kept, lists in (
        ("people living alone by age", alone, ages[full.first[single] : full.first[single] + 1]),
        ("people in care homes by age", ~home, ages[full.first[full.care] :]),
    ):
        published = np.add.reduceat(lists.sum(0).reshape(AGES), BAND_STARTS)
        add(table, list(BANDS), published, np.bincount(column["age"][kept], minlength=len(BANDS)) * worth)
    return entries
