"""People and their households from marginals: any size, any rows, every quota met by whole numbers.

1. Boroughs get agents by largest remainder, ages within a borough by running apportionment.
2. Care homes get their residents; the others live in households. Households by size follow the borough's shares, and
   are divided into compositions ("couple + 2 children"); the compositions with children are tilted, by one number per
   borough, and single households changed at last, until the places for children are as many as the children.
3. Every place in a composition has a role; how the ages of a borough are divided among the places is the table nearest
   to the roles' propensities by age with the right totals (`apportion.proportional_fit`), rounded with exact totals.
4. A household draws its position in its composition by a keyed permutation. Each place then takes the age at that
   position of its own list of ages in ascending order, after a shuffle within a window: a narrow window keeps partners
   together and children behind their parents by a generation, and no shuffle can change how many have each age.

Steps 1 to 3 are the `Plan`, which depends on the size alone; step 4 is a pure function of (seed, plan, household), so any
split of the rows gives the same people. Agents of a household, and of a borough, stand next to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from lpm.apportion import controlled_rounding, largest_remainder, proportional_fit, running
from lpm.errors import InputError
from lpm.marginals import ADULT, AGES, BAND_STARTS, BANDS, CHILD_ROLES, RESIDENCES, Marginals
from lpm.population import WEIGHT_UNIT, Column, Population
from lpm.random import M0, M1, MASK, ROOT, STREAM_VERSION, TAG_PURPOSE, name_words, scalar_fold, scalar_mix
from lpm.types import HostArray

@dataclass(frozen=True)
class Plan:
    """Whole-number tables from which every household is made; types are compositions, then two sizes of care unit.

    Attributes:
        agents: int64 [boroughs].
        counts: int64 [boroughs, types], households of each type.
        sizes: int64 [boroughs, types], agents in a household of the type.
        first: int64 [types + 1], first list of ages of each type; a care type has one list for all its places.
        windows: float64 [lists], width of the shuffle as a share of the type's households.
        ends: int64 [boroughs, lists, 85], running sums of agents by age of each list.
        care: Index of the first care type.
    """

    agents: HostArray
    counts: HostArray
    sizes: HostArray
    first: HostArray
    windows: HostArray
    ends: HostArray
    care: int


def _households(m: Marginals, borough: int, agents: int, minors: int) -> HostArray:
    """Return int64 [compositions]: households whose places are `agents`, `minors` of them for children."""
    size = np.array([len(c.roles) for c in m.compositions])
    children = np.array([c.children for c in m.compositions])
    share = np.array([c.share for c in m.compositions])
    of_size = np.array([share[size == s].sum() for s in size])
    base = share / of_size * m.sizes[borough][size - 1]
    total = agents / float((base * size).sum())
    low, high = -20.0, 20.0
    for _ in range(60):  # bisection on the tilt exp(tilt * children), which keeps the shares of the sizes
        tilt = (low + high) / 2
        odds = share * np.exp(np.clip(tilt * children, -200, 200))
        within = np.array([odds[size == s].sum() for s in size])
        exact = odds / within * m.sizes[borough][size - 1] * total
        low, high = (tilt, high) if float((exact * children).sum()) < minors else (low, tilt)
    order = sorted(range(len(size)), key=lambda t: (-size[t], t))
    counts, due, given = np.zeros(len(size), np.int64), 0.0, 0
    for t in order:  # largest first; what rounding leaves is carried on, and people living alone take the rest
        due += exact[t] * size[t]
        counts[t] = max(0, min(int((due - given) / size[t] + 0.5), (agents - given) // size[t]))
        given += int(counts[t] * size[t])
    alone = int(np.flatnonzero(size == 1)[0])
    counts[alone] += agents - given
    return _with_children(counts, size, children, exact, minors, m.boroughs[borough])


def _with_children(
    counts: HostArray, size: HostArray, children: HostArray, exact: HostArray, minors: int, where: str
) -> HostArray:
    """Return counts after changing households to another composition of their size until the children have places.

    Raises:
        InputError: There are more children than places.
    """
    pairs = [(a, b) for a in range(len(size)) for b in range(len(size)) if size[a] == size[b] and children[a] < children[b]]
    while (lack := minors - int((counts * children).sum())) != 0:
        moves = [(a, b) if lack > 0 else (b, a) for a, b in pairs]
        moves = [(a, b) for a, b in moves if counts[a] > 0 and abs(children[b] - children[a]) <= abs(lack)]
        if not moves:
            raise InputError(f"population: {where} has {minors} children, which its households have no room for")
        a, b = max(moves, key=lambda ab: (counts[ab[0]] - exact[ab[0]]) - (counts[ab[1]] - exact[ab[1]]))
        counts[a] -= 1
        counts[b] += 1
    return counts


def plan(m: Marginals, size: int) -> Plan:
    """Return the tables from which a population of `size` agents is made.

    Raises:
        InputError: The marginals contradict each other.
    """
    agents = largest_remainder(m.ages.sum(1), size)
    types = len(m.compositions)
    places = np.array([len(c.roles) for c in m.compositions])
    first = np.concatenate([[0], np.cumsum(np.concatenate([places, [1, 1]]))])
    roles = [role for c in m.compositions for role in c.roles] + ["resident", "resident"]
    child = np.array([role in CHILD_ROLES for role in roles])
    windows = np.array([w for c in m.compositions for w in c.windows] + [1.0, 1.0])
    counts, sizes = np.zeros((len(agents), types + 2), np.int64), np.zeros((len(agents), types + 2), np.int64)
    ends = np.zeros((len(agents), len(roles), AGES), np.int64)
    sizes[:, :types] = places
    for b, people in enumerate(agents):
        where = f"population: {m.boroughs[b]}"
        ages = running(m.ages[b], int(people))
        residents = int(m.residents[b] * size / m.ages.sum() + 0.5)
        units = -(-residents // m.unit)
        if units:
            small = residents // units
            sizes[b, types:] = small, small + 1
            counts[b, types:] = units - residents % units, residents % units
        minors = int(ages[:ADULT].sum())
        counts[b, :types] = _households(m, b, int(people) - residents, minors)
        rows = np.concatenate([np.repeat(counts[b, :types], places), counts[b, types:] * sizes[b, types:]])
        exact = np.zeros((len(roles), AGES))
        prior = np.array([m.roles[role] for role in roles[:-2]])
        exact[:-2][child[:-2], :ADULT] = proportional_fit(
            prior[child[:-2], :ADULT] + 1e-9, rows[child], ages[:ADULT], f"{where}: children"
        )
        adults = _adults(m, b, rows[~child], ages[ADULT:], prior[~child[:-2], ADULT:], where)
        exact[~child, ADULT:] = adults
        ends[b] = np.cumsum(controlled_rounding(exact, rows, ages), axis=1)
    return Plan(agents, counts, sizes, first, windows, ends, types)


def _adults(m: Marginals, b: int, rows: HostArray, ages: HostArray, prior: HostArray, where: str) -> HostArray:
    """Return float [adult lists, 67]: adults of each list by age, residents and people living alone by their own profile.

    The profile of living alone is a probability p by age at another level of living alone; its odds are scaled until the
    one-person households of the borough are full. The last two lists are the residents'.
    """
    single = int(np.flatnonzero([len(c.roles) == 1 for c in m.compositions])[0])
    index = sum(len(c.roles) - c.children for c in m.compositions[:single])
    left = ages.astype(np.float64)
    wanted = np.divide(m.resident_ages[ADULT:], left, out=np.zeros_like(left), where=left > 0)
    residents = _filled(wanted, left, float(rows[-2:].sum()), where)
    left -= residents
    chance = np.clip(m.alone[ADULT:], 1e-6, 0.999)
    alone = _filled(chance / (1 - chance), left, float(rows[index]), where)
    others = np.arange(len(rows)) < len(rows) - 2
    others[index] = False
    out = np.zeros((len(rows), AGES - ADULT))
    out[others] = proportional_fit(prior[others[:-2]] + 1e-9, rows[others], left - alone, f"{where}: adults")
    out[index] = alone
    out[-2:] = residents[None, :] * (rows[-2:] / max(int(rows[-2:].sum()), 1))[:, None]
    return out


def _filled(odds: HostArray, people: HostArray, total: float, where: str) -> HostArray:
    """Return people * s odds / (1 + s odds), with the s at which they sum to `total`.

    Raises:
        InputError: There are not so many people.
    """
    if total <= 0:
        return np.zeros_like(people)
    if float(people[odds > 0].sum()) < total:
        raise InputError(f"{where}: {total:g} places for {float(people.sum()):g} people")
    low, high = -60.0, 60.0
    for _ in range(100):
        level = np.exp((low + high) / 2) * odds
        taken = people * level / (1 + level)
        low, high = (low, (low + high) / 2) if taken.sum() > total else ((low + high) / 2, high)
    return taken * (total / taken.sum())


_mix = numba.njit(cache=True, inline="always")(scalar_mix)


@numba.njit(cache=True)
def shuffled(i: int, n: int, k0: int, k1: int) -> int:
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
def nearby(i: int, n: int, window: float, k0: int, k1: int) -> int:
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
    words: HostArray, years: HostArray, household: HostArray, size: HostArray, where: HostArray, residence: HostArray,
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


def columns_of(m: Marginals) -> tuple[Column, ...]:
    """Return the declarations of the columns that `synthesize` makes."""
    return (
        Column("borough", "uint8", "borough of residence", levels=m.boroughs),
        Column("age", "uint8", "age band", unit="years", levels=BANDS),
        Column("years", "uint8", "age; 84 stands for 84 and over", unit="years", bounds=(0, AGES - 1)),
        Column("household", "int32", "household, or unit of a care home; its members stand next to each other"),
        Column("household_size", "uint16", "agents in the household or unit", bounds=(1, 65_535), default=1),
        Column("residence", "uint8", "kind of residence", levels=RESIDENCES),
    )


def weights(people: int, size: int, rows: tuple[int, int]) -> HostArray:
    """Return uint32 [rows], the agents' weights in 1/65536 person, whose sum over all agents is exactly `people`.

    w_i = floor((i + 1) W / N) - floor(i W / N) with W = 65536 people.

    Raises:
        InputError: More than 65,535 people an agent, or so many people that 63 bits do not hold W N.
    """
    whole = people * WEIGHT_UNIT
    if people < 1 or people > 65_535 * size or whole * size >= 1 << 63:
        raise InputError(f"population.people: {people} people cannot be shared by {size} agents")
    edges = np.arange(rows[0], rows[1] + 1, dtype=np.int64) * np.int64(whole) // size
    return np.diff(edges).astype(np.uint32)


def synthesize(
    seed: int, m: Marginals, size: int, people: int | None = None, rows: tuple[int, int] | None = None
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
    total = int(round(float(m.ages.sum()))) if people is None else people
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
    members, where, residence = np.empty(n, np.uint16), np.empty(n, np.uint8), np.empty(n, np.uint8)
    _fill(
        low, high, begin, kind[here], position[here], borough[here], offset[here], made.counts, made.sizes, made.first,
        made.windows, made.ends, made.care, words, years, household, members, where, residence,
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
    }
    return Population.build(n, columns_of(m), values)
