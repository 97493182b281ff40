"""People and their households from marginals: any size, any rows, every quota met by whole numbers.

`lpm.allocation` says how many households of each kind there are and which ages their places have. Here a household
draws its position among those of its kind by a keyed permutation. Each of its places then takes the age at that
position of the place's own list of ages in ascending order, after a shuffle within a window: a narrow window keeps
partners together and children behind their parents by a generation, and no shuffle can change how many have each age.

A household is a pure function of (seed, plan, number), so any split of the rows gives the same people. Agents of a
household, and of a borough, stand next to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numba
import numpy as np

from lpm.allocation import plan
from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.marginals import AGES, BAND_STARTS, BANDS, FILES, RESIDENCES, Marginals, read_marginals
from lpm.population import IDENTITY, WEIGHT_UNIT, Column, Population
from lpm.random import M0, M1, MASK, ROOT, STREAM_VERSION, TAG_PURPOSE, name_words, scalar_fold, scalar_mix
from lpm.types import HostArray

_mix = numba.njit(cache=True, inline="always")(scalar_mix)


@numba.njit(cache=True)
def shuffled(i: Any, n: Any, k0: Any, k1: Any) -> Any:
    """Return where a keyed permutation of 0 .. n-1 sends i.

    A Feistel network of 4 rounds over the least number of bits that holds n - 1, walked until it lands below n
    (Black and Rogaway 2002, doi 10.1007/3-540-45760-7_9).
    """
    if n <= 1:
        return 0
    bits = 1
    while (1 << bits) < n:
        bits += 1
    low = bits // 2
    right, left = (1 << low) - 1, (1 << (bits - low)) - 1
    x = i
    while True:
        a, b = x >> low, x & right
        for turn in range(2):
            a ^= _mix((_mix((b ^ k0) & MASK, M0) + k1 + turn) & MASK, M1) & left
            b ^= _mix((_mix((a ^ k1) & MASK, M0) + k0 + turn) & MASK, M1) & right
        x = (a << low) | b
        if x < n:
            return x


@numba.njit(cache=True)
def nearby(i: Any, n: Any, window: Any, k0: Any, k1: Any) -> Any:
    """Return where a permutation of 0 .. n-1 that moves nothing by more than 1.5 windows sends i.

    Blocks of `window` n places are shuffled, then the blocks that lie half a block further.
    """
    block = int(window * n)
    if block < 2:
        return i
    if block >= n:
        return shuffled(i, n, k0, k1)
    for offset in (0, block // 2):
        start = (i + block - offset) // block * block - block + offset
        end = min(start + block, n)
        start = max(start, 0)
        i = start + shuffled(i - start, end - start, (k0 ^ (start * 0x9E3779B9)) & MASK, (k1 + offset) & MASK)
    return i


@numba.njit(cache=True, parallel=True)
def _types(counts: HostArray, words: HostArray) -> tuple[HostArray, HostArray]:
    """Return the type (int16) and the position within the type (int32) of every household, borough after borough."""
    boroughs, types = counts.shape
    ends = np.zeros((boroughs, types + 1), np.int64)
    starts = np.zeros(boroughs + 1, np.int64)
    for b in range(boroughs):
        for t in range(types):
            ends[b, t + 1] = ends[b, t] + counts[b, t]
        starts[b + 1] = starts[b] + ends[b, types]
    kind = np.empty(starts[boroughs], np.int16)
    position = np.empty(starts[boroughs], np.int32)
    for b in range(boroughs):
        n = ends[b, types]
        for i in numba.prange(n):
            drawn = shuffled(np.int64(i), n, words[0] ^ np.int64(b), words[1])
            t = np.searchsorted(ends[b], drawn, side="right") - 1
            kind[starts[b] + i] = t
            position[starts[b] + i] = drawn - ends[b, t]
    return kind, position


@numba.njit(cache=True, parallel=True)
def _fill(
    low: int, high: int, at: int, kind: HostArray, position: HostArray, borough: HostArray, offset: HostArray,
    counts: HostArray, sizes: HostArray, first: HostArray, windows: HostArray, ends: HostArray, care: int,
    kinds: HostArray, words: HostArray, years: HostArray, household: HostArray, size: HostArray, where: HostArray,
    residence: HostArray, sort: HostArray,
) -> None:  # fmt: skip
    """Write the agents `low` to `high` of the households that begin with number `at`."""
    for i in numba.prange(len(kind)):
        b, t = np.int64(borough[i]), np.int64(kind[i])
        n, members = counts[b, t], sizes[b, t]
        for j in range(members):
            agent = offset[i] + j
            if low <= agent < high:
                if t >= care:
                    row, total, rank = first[t], n * members, np.int64(position[i]) * members + j
                else:
                    row, total, rank = first[t] + j, n, np.int64(position[i])
                rank = nearby(rank, total, windows[row], words[2] ^ (row * 8 + b), words[3])
                years[agent - low] = np.searchsorted(ends[b, row], rank, side="right")
                household[agent - low] = at + i
                size[agent - low] = members
                where[agent - low] = b
                residence[agent - low] = t >= care
                sort[agent - low] = kinds[t]


def columns_of(boroughs: tuple[str, ...], kinds: tuple[str, ...]) -> tuple[Column, ...]:
    """Return the declarations of the columns that `synthesize` makes."""
    return (
        Column("borough", "uint8", "borough of residence", levels=boroughs),
        Column("age", "uint8", "age band", unit="years", levels=BANDS),
        Column("years", "uint8", "age; 84 stands for 84 and over", unit="years", bounds=(0, AGES - 1)),
        Column("household", "int32", "household, or unit of a care home; its members stand next to each other"),
        Column("household_size", "uint16", "agents in the household or unit", bounds=(1, 65_535), default=1),
        Column("residence", "uint8", "kind of residence", levels=RESIDENCES),
        Column(
            "household_kind", "uint8", "kind of household, as the census counts them", levels=(*kinds, RESIDENCES[1])
        ),
    )


def weights(people: float, size: int, rows: tuple[int, int]) -> HostArray:
    """Return uint32 [rows], the agents' weights in 1/65536 person, whose sum over all agents is exactly `people`.

    w_i = floor((i + 1) W / N) - floor(i W / N) with W = 65536 people.

    Raises:
        InputError: More than 65,535 people an agent, or so many people that 63 bits do not hold W N.
    """
    whole = round(people * WEIGHT_UNIT)
    if people < 1 or people > 65_535 * size or whole * size >= 1 << 63:
        raise InputError(f"population.people: {people:.0f} people cannot be shared by {size} agents")
    edges = np.arange(rows[0], rows[1] + 1, dtype=np.int64) * np.int64(whole) // size
    return np.diff(edges).astype(np.uint32)


def synthesize(
    seed: int, m: Marginals, size: int, people: float | None = None, rows: tuple[int, int] | None = None
) -> Population:
    """Return the agents `rows` of a population of `size` agents.

    Args:
        seed: Names the draws: 0 to 2^64 - 1.
        m: The city's marginals.
        size: Agents of the whole population, at least 1,000 or so for every marginal to be meant.
        people: People that they stand for; absent = the marginals' total.
        rows: First agent and the one after the last; absent = all.

    Returns:
        A population whose ids are its row numbers in the whole.

    Raises:
        InputError: Rows outside the population, or marginals that contradict each other.
    """
    low, high = rows or (0, size)
    if size < 1 or not 0 <= low < high <= size:
        raise InputError(f"population: rows {low} to {high} of {size} agents")
    total = float(m.ages.sum().round()) if people is None else people
    made = plan(m, size)
    key = scalar_fold(STREAM_VERSION, *ROOT, seed & MASK, seed >> 32, 0)
    words = np.array(scalar_fold(*key, *name_words("households"), TAG_PURPOSE), np.int64)
    kind, position = _types(made.counts, words)
    borough = np.repeat(np.arange(len(made.agents), dtype=np.uint8), made.counts.sum(1))
    offset = np.zeros(len(kind) + 1, np.int64)
    np.cumsum(made.sizes[borough, kind], out=offset[1:])
    begin, end = int(np.searchsorted(offset, low, "right")) - 1, int(np.searchsorted(offset, high, "left"))
    here, n = slice(begin, end), high - low
    years, household = np.empty(n, np.uint8), np.empty(n, np.int32)
    members, where = np.empty(n, np.uint16), np.empty(n, np.uint8)
    residence, sort = np.empty(n, np.uint8), np.empty(n, np.uint8)
    kinds = np.array([m.kinds.index(c.kind) for c in m.compositions] + [len(m.kinds)] * 2, np.uint8)
    _fill(
        low, high, begin, kind[here], position[here], borough[here], offset[here], made.counts, made.sizes, made.first,
        made.windows, made.ends, made.care, kinds, words, years, household, members, where, residence, sort,
    )  # fmt: skip
    values = {
        "id": np.arange(low, high, dtype=np.uint32),
        "weight": weights(total, size, (low, high)),
        "borough": where,
        "age": np.repeat(np.arange(len(BANDS), dtype=np.uint8), np.diff([*BAND_STARTS, AGES]))[years],
        "years": years,
        "household": household,
        "household_size": members,
        "residence": residence,
        "household_kind": sort,
    }
    declared = {column.name: column for column in (*IDENTITY, *columns_of(m.boroughs, m.kinds))}
    values["present"] = np.ones(n, np.bool_)
    facts = {"agents": size, "people": total, "households": int(made.counts[:, : made.care].sum())}
    # made in the declared dtypes and bounds: the checks of Population.build would take longer than the making
    return Population(declared, {name: values[name] for name in declared}, facts)


_GENERATORS: dict[str, type[Any]] = {}


def generators() -> dict[str, type[Any]]:
    """Return the registered generators of populations by name: classes with `Params`, `columns()` and `generate`."""
    import lpm.communities as _  # registers its generator  # noqa: F401

    return dict(sorted(_GENERATORS.items()))


def register(name: str) -> Callable[[type[Any]], type[Any]]:
    """Return a class decorator that registers a generator under `name`."""

    def add(generator: type[Any]) -> type[Any]:
        if _GENERATORS.setdefault(name, generator).__qualname__ != generator.__qualname__:
            raise InputError(f"generator '{name}': the name is taken by {_GENERATORS[name].__module__}")
        return generator

    return add


@register("nyc")
class NewYork:
    """New York City in its five boroughs: households and care homes of any size from 1,000 agents to everybody."""

    least: ClassVar[int] = 1_000  # agents; with fewer, small cells of the marginals stay empty: a guess
    boroughs: ClassVar[tuple[str, ...]] = ("Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island")
    kinds: ClassVar[tuple[str, ...]] = (
        "married couple with own children",
        "married couple without own children",
        "other family with own children",
        "other family without own children",
        "alone under 65",
        "alone 65 and over",
        "nonfamily of two or more",
    )

    @dataclass(frozen=True)
    class Params:
        """The files of marginals, each with its sources in its head; beside the scenario."""

        ages: str = parameter("", unit="file", meaning="people by borough and age")
        sizes: str = parameter("", unit="file", meaning="families and others by borough and size")
        kinds: str = parameter("", unit="file", meaning="households by borough and kind")
        compositions: str = parameter("", unit="file", meaning="who lives in households of each kind, a role per place")
        roles: str = parameter("", unit="file", meaning="propensity to take a place, by age band")
        care_homes: str = parameter("", unit="file", meaning="residents by borough and age")
        home_contacts: str = parameter("", unit="file", meaning="household matrix: 1 - row sum = lives alone")

    @staticmethod
    def columns() -> tuple[Column, ...]:
        """Return the declarations of the columns that `generate` makes."""
        return columns_of(NewYork.boroughs, NewYork.kinds)

    @staticmethod
    def generate(seed: int, params: Params, size: int, people: float | None = None) -> Population:
        """Return the whole population with its marginals among its facts.

        Raises:
            InputError: Files that cannot be read, other boroughs or kinds, or marginals that contradict each other.
        """
        from lpm.census import compare

        for name in FILES:
            if not getattr(params, name):
                raise InputError(f"population.{name}: expected the name of a file of marginals, it is missing")
        m = read_marginals({name: getattr(params, name) for name in FILES})
        if m.boroughs != NewYork.boroughs:
            raise InputError(f"population.ages: expected {', '.join(NewYork.boroughs)}, got {', '.join(m.boroughs)}")
        if m.kinds != NewYork.kinds:
            raise InputError(f"population.kinds: expected {', '.join(NewYork.kinds)}, got {', '.join(m.kinds)}")
        made = synthesize(seed, m, size, people)
        told = [
            {"name": e.table, "level": e.level, "published": e.published, "generated": e.generated}
            for e in compare(m, made)
        ]
        return Population(made.schema, made.columns, {**made.facts, "marginals": told, "sources": list(m.sources)})
