"""How many households of each kind a city has, and how its ages are divided among the places in them.

1. Boroughs get agents by largest remainder, ages within a borough by running apportionment.
2. Care homes get their residents; the others live in households, as many as the published persons per household say.
   Kinds of household ("married couple with own children") have their published shares. They are divided into
   compositions ("couple and two children") by the table nearest to three others, one after the other (`_households`):
   the compositions' weights, families and others by size, and the places for as many people and children as there are.
3. Every place in a composition has a role; how the ages of a borough are divided among the places is the table nearest
   to the roles' propensities by age with the right totals (`apportion.proportional_fit`), rounded with exact totals.

Nothing here is drawn at random: the `Plan` depends on the marginals and the size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.apportion import controlled_rounding, largest_remainder, proportional_fit, running
from lpm.errors import InputError
from lpm.marginals import ADULT, AGES, ALONE, CHILD_ROLES, Marginals
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
    """Return int64 [compositions]: households whose places are `agents`, `minors` of them for children.

    First the weights are fitted to kinds and to sizes of families and others (`apportion.proportional_fit`). The sizes
    that surveys publish do not hold the people that they publish; so the table is then tilted, by the least relative
    entropy, to the kinds (again), the households with anyone under 18, the people and the children.

    Raises:
        InputError: No table has these totals.
    """
    size = np.array([len(c.roles) for c in m.compositions])
    children = np.array([c.children for c in m.compositions])
    kind = np.array([m.kinds.index(c.kind) for c in m.compositions])
    where = f"population: {m.boroughs[borough]}"
    total = agents / m.persons[borough]
    kinds = m.households[borough] / m.households[borough].sum() * total
    sizes = m.sizes[borough]
    column = np.array(m.group)[kind] * sizes.shape[1] + size - 1
    weight = np.zeros((len(m.kinds), sizes.size))
    np.add.at(weight, (kind, column), [c.share for c in m.compositions])
    fitted = proportional_fit(weight, kinds, _of_group(m, sizes, kinds), f"{where}: kinds and sizes of households")
    share = np.array([c.share for c in m.compositions])
    prior = fitted[kind, column] * share / np.where(share > 0, weight[kind, column], 1)
    tests = np.concatenate([kind[None, :] == np.arange(len(m.kinds))[:, None], [children > 0, size, children]])
    young = m.young[borough] / m.households[borough].sum() * total
    exact = _tilted(prior, tests.astype(np.float64), np.array([*kinds, young, agents, minors]))
    if exact is None:
        raise InputError(f"{where} has {agents} people and {minors} children, which its households have no room for")
    counts = np.zeros(len(size), np.int64)
    for k, whole in enumerate(largest_remainder(kinds, round(total))):
        of = kind == k
        counts[of] = largest_remainder(exact[of], int(whole))
    return _repaired(counts, exact, (kind, size, children), agents, minors, where)


def _of_group(m: Marginals, sizes: HostArray, kinds: HostArray) -> HostArray:
    """Return households by group and size [2 sizes] with as many families and others as the kinds have."""
    families = np.bincount(m.group, kinds, minlength=len(sizes))
    of = sizes.sum(1, keepdims=True)
    return (np.divide(sizes, of, out=np.zeros_like(sizes), where=of > 0) * families[:, None]).ravel()


def _tilted(prior: HostArray, tests: HostArray, wanted: HostArray) -> HostArray | None:
    """Return the table x nearest to `prior` in relative entropy with tests @ x = wanted, or None if there is none.

    x = prior exp(tests.T @ a), where a minimises sum(x) - wanted @ a: Newton's method with step halving.
    """
    a, x = np.zeros(len(wanted)), prior
    value = float(x.sum())
    for _ in range(100):
        lack = wanted - tests @ x
        if np.abs(lack).max() <= 1e-9 * max(float(wanted.max()), 1.0):
            return x
        step = np.linalg.lstsq((tests * x) @ tests.T, lack, rcond=None)[0]
        length = min(1.0, 20 / max(float(np.abs(step @ tests).max()), 1e-300))
        for _ in range(60):
            x = prior * np.exp(np.minimum((a + length * step) @ tests, 200.0))
            new = float(x.sum() - wanted @ (a + length * step))
            if new <= value - 1e-4 * length * float(lack @ step):
                break
            length /= 2
        else:
            return x if np.abs(wanted - tests @ x).max() <= 1e-4 else None
        a, value = a + length * step, new
    return None


def _repaired(
    counts: HostArray, exact: HostArray, types: tuple[HostArray, ...], agents: int, minors: int, where: str
) -> HostArray:
    """Return counts after changing single households until the people and the children have places.

    A household becomes another of its kind, with or without children as before, if one helps; or else another.

    Raises:
        InputError: No change helps.
    """
    kind, size, children = types
    more, young = size[None, :] - size[:, None], children[None, :] - children[:, None]
    alike = kind[None, :] == kind[:, None]
    both = alike & ((children[None, :] > 0) == (children[:, None] > 0))
    while True:
        lack, short = agents - int((counts * size).sum()), minors - int((counts * children).sum())
        if not lack and not short:
            return counts
        gain = abs(lack) + abs(short) - np.abs(lack - more) - np.abs(short - young)
        over = counts - exact
        order = over[:, None] - over[None, :]
        for allowed in (both, alike, np.ones_like(alike)):
            useful = allowed & (gain > 0) & (counts > 0)[:, None]
            if useful.any():
                break
        else:
            raise InputError(f"{where} has {agents} people and {minors} children, which its households do not hold")
        best = np.where(useful, gain * 1e9 + order, -np.inf)
        i, j = np.unravel_index(int(best.argmax()), best.shape)
        counts[i] -= 1
        counts[j] += 1


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
    the one-person households of the borough are full, those of the old and of others by themselves. The last two lists
    are the residents'.
    """
    roles = [role for c in m.compositions for role in c.roles if role not in CHILD_ROLES]
    left = ages.astype(np.float64)
    wanted = np.divide(m.resident_ages[ADULT:], left, out=np.zeros_like(left), where=left > 0)
    residents = _filled(wanted, left, float(rows[-2:].sum()), where)
    left -= residents
    chance = np.clip(m.alone[ADULT:], 1e-6, 0.999)
    out = np.zeros((len(rows), AGES - ADULT))
    others = np.arange(len(rows)) < len(rows) - 2
    for index in (i for i, role in enumerate(roles) if role in ALONE):
        low, high = ALONE[roles[index]]
        odds = np.where((np.arange(ADULT, AGES) >= low) & (np.arange(ADULT, AGES) < high), chance / (1 - chance), 0.0)
        out[index] = _filled(odds, left, float(rows[index]), where)
        others[index] = False
        left -= out[index]
    out[others] = proportional_fit(prior[others[:-2]] + 1e-9, rows[others], left, f"{where}: adults")
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
