"""Households: everyone who lives together is tied, with the contacts per day that a contact matrix gives by age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from lpm import contacts
from lpm.errors import InputError, unknown
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.draws import hashed, stream, unit
from lpm.networks.rows import ends_of, span
from lpm.population import Population
from lpm.types import HostArray

INTENSITY = 64  # of edge column `intensity`: 1/64 contact a day
WHOLE = 1 << 32  # fixed point of 1 / (n - 1), so that sums over households do not depend on their order
PASSES = 500  # of the fit of the age factors; it converges by a constant factor a pass


@builder("households")
class Households:
    """Members i and j of a household of n have c s(a_i) s(a_j) / (n - 1) contacts a day.

    c is `contacts`, what a person who lives with others has in a day at home; 1 / (n - 1) shares it among the others,
    as the household matrices of Mistry et al. 2021 (doi 10.1038/s41467-020-20544-y) are built, whose rows sum to the
    share of people who do not live alone. With a `matrix`, moved to the population's ages (Arregui et al. 2018, doi
    10.1371/journal.pcbi.1006638), the factors s by level of `bands` are fitted until each level's contacts are the
    matrix's: s <- s sqrt(wanted / had). Without one, s = 1. An arc's contacts are kept in 1/64, rounded up or down by a
    draw of the pair's, so that they are right on average also in a large unit of a care home.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of the household layer."""

        column: str = parameter("household", unit="column", meaning="whole numbers: agents of one number live together")
        contacts: float = parameter(
            contacts.SETTINGS["household"],
            unit="contacts/day",
            bounds=(0, 100),
            meaning="contacts at home of a person who lives with others",
            source="Mistry et al. 2021, 10.1038/s41467-020-20544-y",
        )
        matrix: str = parameter("", unit="file", meaning="relative contacts at home by year; '' = all ages alike")
        reference: str = parameter("", unit="file", meaning="people by age where the matrix holds; '' = here")
        years: str = parameter("years", unit="column", meaning="row of the matrix that an agent belongs to")
        bands: str = parameter("age", unit="column", meaning="categorical column whose levels have factors s")

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        where = "households"
        size = population.size
        low, high = span(rows, size, where)
        home = _column(population, params.column, f"{where}.column")
        apart = bool((home[1:] < home[:-1]).any())
        order = np.argsort(home, kind="stable").astype(np.int32) if apart else np.empty(0, np.int32)
        sorted_home = home[order] if apart else home
        starts = np.flatnonzero(np.concatenate([[True], sorted_home[1:] != sorted_home[:-1], [True]])).astype(np.int64)
        band, factor, facts = _factors(params, population, order, starts, where)
        degrees = np.empty(high - low, np.int64)
        _degrees(order, starts, low, high, degrees)
        indptr = ends_of(degrees)
        indices, intensity = np.empty(int(indptr[-1]), np.int32), np.empty(int(indptr[-1]), np.uint16)
        pair = np.outer(factor, factor) * (params.contacts * INTENSITY)
        if pair.max(initial=0.0) >= 65_535:
            raise InputError(f"{where}.contacts: more than 1,023 contacts a day on one arc")
        _fill(stream(seed, where), order, starts, band, pair, low, high, indptr, indices, intensity)
        facts["households"] = len(starts) - 1
        return Network(size, indptr, indices, low, {"intensity": intensity}, facts=facts)


def _column(population: Population, name: str, where: str) -> HostArray:
    """Return a column of whole numbers, one an agent.

    Raises:
        InputError: There is no such column, or it holds something else.
    """
    if name not in population.schema:
        raise unknown(where, "column", name, population.schema)
    values = population.columns[name]
    if values.ndim != 1 or values.dtype.kind not in "ui":
        raise InputError(f"{where}: expected whole numbers in '{name}', got {values.dtype}")
    return values


def _factors(
    params: Households.Params, population: Population, order: HostArray, starts: HostArray, where: str
) -> tuple[HostArray, HostArray, dict[str, object]]:
    """Return the level of every agent, the factor s of every level, and facts for the report."""
    size = population.size
    if not params.matrix:
        return np.zeros(size, np.uint8), np.ones(1), {}
    levels = population.schema[params.bands].levels if params.bands in population.schema else ()
    if not levels:
        known = [name for name, column in population.schema.items() if column.levels]
        raise unknown(f"{where}.bands", "categorical column", params.bands, known)
    if len(levels) > 256:
        raise InputError(f"{where}.bands: expected at most 256 levels, '{params.bands}' has {len(levels)}")
    band = population.columns[params.bands].astype(np.uint8)
    matrix = contacts.read_square(params.matrix, f"{where}.matrix") * params.contacts
    years = np.minimum(_column(population, params.years, f"{where}.years"), len(matrix) - 1)
    ages = np.bincount(years, minlength=len(matrix)).astype(np.float64)
    if params.reference:
        reference = contacts.read_matrix(params.reference, f"{where}.reference")[:, -1]
        matrix = contacts.rebalance(matrix, reference, ages)
    people = np.bincount(band.astype(np.int64) * len(ages) + years, minlength=len(levels) * len(ages))
    member = people.reshape(len(levels), len(ages)).astype(np.float64)
    count = member.sum(1)
    share = np.divide(member, member.sum(0), out=np.zeros_like(member), where=member.sum(0) > 0)
    published = member @ matrix @ share.T / np.maximum(count, 1)[:, None]
    met = np.zeros((len(levels), len(levels)), np.int64)
    _meetings(order, starts, band, met)
    mixing = met / WHOLE / np.maximum(count, 1)[:, None]
    factor = np.ones(len(levels))
    wanted = published.sum(1)
    for _ in range(PASSES):
        had = params.contacts * factor * (mixing @ factor)
        change = np.sqrt(np.divide(wanted, had, out=np.ones_like(wanted), where=(had > 0) & (wanted > 0)))
        factor *= change
        if np.abs(change - 1).max() < 1e-9:
            break
    generated = params.contacts * factor[:, None] * mixing * factor[None, :]
    facts: dict[str, object] = {
        "contacts per day": float((generated.sum(1) * count).sum() / size),
        "age factors": dict(zip(levels, factor.tolist(), strict=True)),
        "mixing": {"levels": list(levels), "generated": generated.tolist(), "published": published.tolist()},
    }
    return band, factor, facts


@njit(cache=True)
def _meetings(order: HostArray, starts: HostArray, band: HostArray, met: HostArray) -> None:
    """Add 2^32 / (n - 1) for every ordered pair of members, by their levels."""
    for h in range(starts.shape[0] - 1):
        n = starts[h + 1] - starts[h]
        if n < 2:
            continue
        part = np.int64(WHOLE) // (n - 1)
        for i in range(starts[h], starts[h + 1]):
            a = band[order[i]] if order.shape[0] else band[i]
            for j in range(starts[h], starts[h + 1]):
                if i != j:
                    met[a, band[order[j]] if order.shape[0] else band[j]] += part


@njit(parallel=True, cache=True)
def _degrees(order: HostArray, starts: HostArray, low: int, high: int, degrees: HostArray) -> None:
    """Write how many others live in the household of every row."""
    for h in prange(starts.shape[0] - 1):
        n = starts[h + 1] - starts[h]
        for i in range(starts[h], starts[h + 1]):
            agent = np.int64(order[i]) if order.shape[0] else np.int64(i)
            if low <= agent < high:
                degrees[agent - low] = n - 1


@njit(parallel=True, cache=True)
def _fill(
    key: np.uint64, order: HostArray, starts: HostArray, band: HostArray, pair: HostArray, low: int, high: int,
    indptr: HostArray, indices: HostArray, intensity: HostArray,
) -> None:  # fmt: skip
    """Write the other members of every row's household, in ascending order, and the contacts with them."""
    for h in prange(starts.shape[0] - 1):
        n = starts[h + 1] - starts[h]
        for i in range(starts[h], starts[h + 1]):
            agent = np.int64(order[i]) if order.shape[0] else np.int64(i)
            if agent < low or agent >= high:
                continue
            arc = indptr[agent - low]
            for j in range(starts[h], starts[h + 1]):
                if i == j:
                    continue
                other = np.int64(order[j]) if order.shape[0] else np.int64(j)
                exact = pair[band[agent], band[other]] / np.float64(n - 1)
                draw = unit(hashed(hashed(key, min(agent, other)), max(agent, other)))
                indices[arc] = np.int32(other)
                intensity[arc] = np.uint16(max(np.int64(np.ceil(exact - draw)), np.int64(0)))
                arc += 1
