"""Totals of contacts between levels and groups: made reciprocal, spread over places, counted in a network.

With M[a, b] contacts per day of a person of level a with persons of level b, and N[a] persons, the total
T[a, b] = M[a, b] N[a] counts every contact from both sides, so T is symmetric.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np
from numba import njit

from lpm.errors import InputError
from lpm.network import Network
from lpm.types import HostArray

FITTED = 1e-9
"""Relative error of row totals at which proportional fitting stops."""

PASSES = 2000
"""Passes of proportional fitting before totals are called impossible."""


def square(given: object, count: int, where: str) -> HostArray:
    """Return a square table given as nested lists or an array as float64 [count, count].

    Raises:
        InputError: Not numbers of at least 0, or another shape.
    """
    try:
        table = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: expected a square table of numbers, got {given}") from None
    if table.shape != (count, count) or not np.isfinite(table).all() or (table < 0).any():
        raise InputError(f"{where}: expected {count} x {count} numbers >= 0, got shape {table.shape}")
    return table


def read_flows(path: str, levels: Sequence[str], where: str) -> HostArray:
    """Return a labelled table (home by place) as float64 [levels, levels].

    The first row names the places, the first column the homes. Places that are no level (work outside the modelled
    area) are left out: who works there meets no modelled person there.

    Raises:
        InputError: No such file, a level without a row or a column, or a cell that is no number of at least 0.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            table = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where}: cannot read '{path}': {error}") from None
    head = table[0] if table else []
    homes = {row[0]: row for row in table[1:]}
    flows = np.zeros((len(levels), len(levels)))
    for i, home in enumerate(levels):
        for j, place in enumerate(levels):
            if home not in homes or place not in head[1:] or len(homes[home]) != len(head):
                raise InputError(f"{where}: expected a cell for home '{home}' and place '{place}' in '{path}'")
            text = homes[home][head.index(place)]
            try:
                flows[i, j] = float(text)
            except ValueError:
                raise InputError(f"{where}: expected a number for '{home}', '{place}', got '{text}'") from None
    if not np.isfinite(flows).all() or (flows < 0).any():
        raise InputError(f"{where}: expected finite numbers that are not negative in '{path}'")
    return flows


def meeting(flows: HostArray) -> HostArray:
    """Return who meets whom when people meet at places: K[g, h] = sum over w of C[g, w] C[h, w] / C[., w].

    Args:
        flows: C [homes, places], people who live in g and are at w.

    Returns:
        float64 [homes, homes], symmetric; its row sums are those of C.
    """
    total = flows.sum(0)
    return (flows * np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)) @ flows.T


def reconcile(matrix: HostArray, people: HostArray) -> tuple[HostArray, float]:
    """Return the matrix whose totals are the mean of both sides' reports, and how far apart these were.

    Args:
        matrix: float [n, n], contacts per day.
        people: [n], persons of each level.

    Returns:
        The reciprocal matrix (rows and columns without people are 0), and the summed distance of the totals from their
        mean over the sum of the means (0 = it was reciprocal).
    """
    counts = people.astype(np.float64)
    totals = matrix * counts[:, None]
    both = (totals + totals.T) / 2 * np.outer(counts > 0, counts > 0)
    gap = float(np.abs(totals - both).sum() / max(float(both.sum()), 1e-300))
    return both * np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)[:, None], gap


def spread(totals: HostArray, people: HostArray, affinity: HostArray, where: str) -> HostArray:
    """Return totals by level and group, such that everybody of a level has the level's contacts whatever the group.

    For every pair of levels (a, b), the table over groups nearest to affinity[g, h] people[a, g] people[b, h] whose
    rows are people[a, g] / people[a] of T[a, b] and whose columns are people[b, h] / people[b] of it (iterative
    proportional fitting, Deming & Stephan 1940, 10.1214/aoms/1177731829). Only the odds ratios of `affinity` matter:
    rates of pairs and shares of contacts give the same table.

    Args:
        totals: float [n, n], symmetric.
        people: float [n, groups].
        affinity: float [groups, groups], made symmetric by the geometric mean.
        where: Named in the error.

    Returns:
        float64 [n, groups, n, groups], symmetric under exchange of the two persons.

    Raises:
        InputError: Zeros of `affinity` that leave no table with these totals.
    """
    kinship = np.sqrt(affinity * affinity.T)
    level = people.sum(1)
    share = np.divide(people, level[:, None], out=np.zeros_like(people), where=level[:, None] > 0)
    wanted = totals[:, None, :] * share[:, :, None]  # [a, g, b]; columns want the same with the roles exchanged
    columns = np.transpose(wanted, (2, 0, 1))
    largest = max(float(wanted.max(initial=0.0)), 1e-300)
    table = kinship[None, :, None, :] * people[:, :, None, None] * people[None, None, :, :]
    worst = np.inf
    for _ in range(PASSES):
        have = table.sum(3)
        worst = float(np.abs(have - wanted).max(initial=0.0)) / largest
        if worst < FITTED:
            break
        table *= np.divide(wanted, have, out=np.zeros_like(have), where=have > 0)[:, :, :, None]
        have = table.sum(1)  # [a, b, h]
        table *= np.divide(columns, have, out=np.zeros_like(have), where=have > 0)[:, None, :, :]
    if worst > 1e-3:
        raise InputError(f"{where}: no contacts between groups have these totals (off by {worst:.2g}); zeros forbid it")
    return (table + np.transpose(table, (2, 3, 0, 1))) / 2


@njit(cache=True)
def _met(indptr, indices, intensity, low, codes, out):  # type: ignore[no-untyped-def]
    for r in range(indptr.shape[0] - 1):
        a = np.int64(codes[low + r])
        for k in range(indptr[r], indptr[r + 1]):
            out[a, np.int64(codes[indices[k]])] += np.int64(intensity[k]) if intensity.shape[0] else np.int64(64)


def counted(network: Network, codes: HostArray, levels: int) -> HostArray:
    """Return the mean contacts per day of a person of level a with persons of level b in the rows of a network.

    Rows without people are 0.

    Args:
        network: Its column `intensity` (1/64 contact a day) counts where there is one.
        codes: Whole numbers [size], level of every agent.
        levels: Number of levels.

    Returns:
        float64 [levels, levels].
    """
    return per_person(met_in(network, codes, levels), codes[network.low : network.low + network.rows])


def met_in(network: Network, codes: HostArray, levels: int) -> HostArray:
    """Return int64 [levels, levels], the contacts of `counted` in all, in 1/64 a day."""
    met = np.zeros((levels, levels), np.int64)
    intensity = network.columns.get("intensity", np.empty(0, np.uint16))
    _met(network.indptr, network.indices, intensity, network.low, codes, met)
    return met


def per_person(met: HostArray, codes: HostArray) -> HostArray:
    """Return float64 [levels, levels], contacts per person of `codes`, from what `met_in` returns."""
    people = np.bincount(codes.astype(np.int64), minlength=len(met)).astype(np.float64)
    return met / 64 * np.divide(1.0, people, out=np.zeros(len(met)), where=people > 0)[:, None]
