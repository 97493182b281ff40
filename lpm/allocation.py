"""How many households of each kind a city has, and how its ages are divided among the places in them.

1. Boroughs get agents by largest remainder, ages within a borough by running apportionment.
2. Care homes get their residents; the others live in households. Households by size follow the borough's shares, and
   are divided into compositions ("couple and two children"); the compositions with children are tilted, by one number
   per borough, and single households changed at last, until the places for children are as many as the children.
3. Every place in a composition has a role; how the ages of a borough are divided among the places is the table nearest
   to the roles' propensities by age with the right totals (`apportion.proportional_fit`), rounded with exact totals.

Nothing here is drawn at random: the `Plan` depends on the marginals and the size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.apportion import controlled_rounding, largest_remainder, proportional_fit, running
from lpm.errors import InputError
from lpm.marginals import ADULT, AGES, CHILD_ROLES, Marginals
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
    alike = (size[:, None] == size[None, :]).astype(np.float64)
    of_size = alike @ share
    base = share / of_size * m.sizes[borough][size - 1]
    total = agents / float((base * size).sum())
    low, high, exact = -20.0, 20.0, base * total
    for _ in range(60):  # bisection on the tilt exp(tilt * children), which keeps the shares of the sizes
        tilt = (low + high) / 2
        odds = share * np.exp(np.clip(tilt * children, -200, 200))
        exact = odds / (alike @ odds) * m.sizes[borough][size - 1] * total
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
    kinds = range(len(size))
    pairs = [(a, b) for a in kinds for b in kinds if size[a] == size[b] and children[a] < children[b]]
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
    """Return float [adult lists, 67]: adults of each list by age, residents and people living alone by their profiles.

    The profile of living alone is a probability p by age at another level of living alone; its odds are scaled until
    the one-person households of the borough are full. The last two lists are the residents'.
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
    low, high, taken = -60.0, 60.0, people
    for _ in range(100):
        level = np.exp((low + high) / 2) * odds
        taken = people * level / (1 + level)
        low, high = (low, (low + high) / 2) if taken.sum() > total else ((low + high) / 2, high)
    return taken * (total / taken.sum())
