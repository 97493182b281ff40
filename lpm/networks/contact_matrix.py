"""Contacts by level: a random graph whose mean contacts between ages (and places) are those of a contact matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm import contacts
from lpm.errors import InputError, unknown
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.cells import cell_rows
from lpm.networks.draws import stream
from lpm.networks.mixing import counted, meeting, read_flows, reconcile, spread, square
from lpm.networks.rows import span
from lpm.population import Population
from lpm.types import HostArray

CELLS = 8192
"""Most cells (levels x groups): a square table of them is held, 8 bytes a pair."""


@builder("contact-matrix")
class ContactMatrix:
    """Persons of levels a and b are tied with p = M'[a, b] / N[b], each tie one contact a day (or `contacts_per_arc`).

    M' = factor x matrix, moved from the reference's ages to the population's, and made reciprocal by averaging the
    totals of both sides. With `mixing`, contacts between groups follow it while every level keeps its contacts.
    Ties are independent, so a person's contacts are Poisson-like around the level's mean. Where a cell is so small
    that its pairs cannot hold its contacts, they go to other groups of the same levels; what still has no room is
    named in the facts.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of a contact layer."""

        column: str = parameter("age", unit="column", meaning="categorical, or whole numbers such as years of age")
        matrix: str = parameter("", unit="file", meaning="square, no header; row = the person asked")
        factor: float = parameter(1.0, unit="contacts/day", meaning="multiplies the matrix", bounds=(0, 1e4))
        reference: str = parameter(
            "", unit="file", meaning="people by level where the matrix holds (last column; no header); '' = here"
        )
        groups: str = parameter("", unit="column", meaning="categorical column of `mixing`; '' = none")
        mixing: Any = parameter(
            (), unit="1", bounds=(0, 1e9), meaning="square table of relative contact rates of groups; () = all alike"
        )
        commuting: str = parameter(
            "", unit="file", meaning="people by home and place of work (labelled): they meet at places; '' = none"
        )
        bands: str = parameter("", unit="column", meaning="categorical column of the facts' mixing table; '' = none")
        contacts_per_arc: float = parameter(
            1.0, unit="contacts/day", meaning="contacts a day that one tie stands for", bounds=(1 / 64, 1000)
        )

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        where = "contact-matrix"
        size = population.size
        low, high = span(rows, size, where)
        matrix = contacts.read_square(params.matrix, f"{where}.matrix") * params.factor
        level = _levels(population, params.column, len(matrix), where)
        names, group = _groups(population, params.groups, f"{where}.groups")
        people = np.bincount(level * len(names) + group, minlength=len(matrix) * len(names))
        counts = people.reshape(len(matrix), len(names)).astype(np.float64)
        if params.reference:
            ages = contacts.read_matrix(params.reference, f"{where}.reference")[:, -1]
            matrix = contacts.rebalance(matrix, ages, counts.sum(1))
        matrix, gap = reconcile(matrix, counts.sum(1))
        intensity = round(params.contacts_per_arc * 64)
        totals = matrix * counts.sum(1)[:, None] * (64 / intensity)
        affinity = _affinity(params, names, where)
        arcs = spread(totals, counts, affinity, f"{where}.mixing").reshape(people.size, people.size)
        pairs = np.outer(people, people).astype(np.float64) - np.diag(people)
        placed = _placed(arcs, pairs, len(matrix), len(names))
        probabilities = np.divide(placed, pairs, out=np.zeros_like(placed), where=pairs > 0)
        cell = (level * len(names) + group).astype(np.uint16)
        members = np.argsort(cell, kind="stable").astype(np.int32)
        indptr, indices = cell_rows(stream(seed, where), people, members, probabilities, low, high)
        wanted = float(totals.sum())
        facts: dict[str, Any] = {
            "contacts per day wanted": wanted * intensity / 64 / size,
            "reciprocity gap averaged": gap,
            "contacts without room": 1 - float(placed.sum()) / wanted if wanted else 0.0,
        }
        columns = {} if intensity == 64 else {"intensity": np.full(len(indices), intensity, np.uint16)}
        network = Network(size, indptr, indices, low, columns, facts=facts)
        if params.bands:
            facts["mixing"] = _mixing(network, population, params.bands, level, matrix, where)
        return network


def _levels(population: Population, name: str, count: int, where: str) -> HostArray:
    """Return int64 [size], the matrix row of every agent; whole numbers above the last row belong to it."""
    if name not in population.schema:
        raise unknown(f"{where}.column", "column", name, population.schema)
    declared, values = population.schema[name], population.columns[name]
    if declared.levels and len(declared.levels) != count:
        raise InputError(f"{where}.matrix: expected {len(declared.levels)} rows (levels of '{name}'), got {count}")
    if values.ndim != 1 or values.dtype.kind not in "ui" or values.min() < 0:
        raise InputError(f"{where}.column: expected whole numbers >= 0 in '{name}', got {values.dtype}")
    return np.minimum(values, count - 1).astype(np.int64)


def _groups(population: Population, name: str, where: str) -> tuple[Sequence[str], HostArray]:
    """Return the groups' names and int64 [size], the group of every agent; one group where none is named."""
    if not name:
        return ("all",), np.zeros(population.size, np.int64)
    known = [c for c, column in population.schema.items() if column.levels]
    if name not in known:
        raise unknown(where, "categorical column", name, known)
    return population.schema[name].levels, population.columns[name].astype(np.int64)


def _mixing(
    network: Network, population: Population, bands: str, level: HostArray, matrix: HostArray, where: str
) -> dict[str, Any]:
    """Return mean contacts per day between the levels of a column: as counted (in all rows), as the matrix has them."""
    names, band = _groups(population, bands, f"{where}.bands")
    people = np.bincount(band * len(matrix) + level, minlength=len(names) * len(matrix))
    member = people.reshape(len(names), len(matrix)).astype(np.float64)
    everyone, mine = member.sum(0), member.sum(1)
    share = np.divide(member, everyone, out=np.zeros_like(member), where=everyone > 0)
    rows = np.divide(member, mine[:, None], out=np.zeros_like(member), where=mine[:, None] > 0)
    told = {"levels": list(names), "published": (rows @ matrix @ share.T).tolist()}
    return told | ({"generated": counted(network, band, len(names)).tolist()} if network.rows == network.size else {})


def _affinity(params: ContactMatrix.Params, names: Sequence[str], where: str) -> HostArray:
    """Return float64 [groups, groups], how much more often than at random persons of two groups meet."""
    count = len(names)
    given = len(params.mixing) > 0
    if not params.groups and (given or params.commuting):
        raise InputError(f"{where}.groups: expected the column that mixing or commuting is over, got none")
    if given and params.commuting:
        raise InputError(f"{where}.commuting: expected mixing or commuting, got both")
    if params.commuting:
        return meeting(read_flows(params.commuting, names, f"{where}.commuting"))
    return square(params.mixing, count, f"{where}.mixing") if given else np.ones((count, count))


def _placed(arcs: HostArray, pairs: HostArray, levels: int, groups: int) -> HostArray:
    """Return float64 [cells, cells], the expected arcs that the pairs of agents have room for."""
    if len(arcs) > CELLS:
        raise InputError(f"contact-matrix: expected at most {CELLS} cells (levels x groups), got {len(arcs)}")
    shape = (levels, groups, levels, groups)
    wanted = arcs.reshape(shape).sum((1, 3))
    room = pairs.reshape(shape)
    placed = np.minimum(arcs.reshape(shape), room)
    for _ in range(50):  # each pass fills at least one group or ends
        short = wanted - placed.sum((1, 3))
        free = np.where(placed < room, placed, 0.0)
        held = free.sum((1, 3))
        grown = np.divide(short, held, out=np.zeros_like(short), where=held > 0)
        if grown.max(initial=0.0) < 1e-9:
            break
        placed = np.minimum(placed + free * grown[:, None, :, None], room)
    return placed.reshape(len(arcs), len(arcs))
