"""Whole numbers that meet given totals: apportionment, proportional fitting, controlled rounding.

Everything here is exact in its margins and has no randomness, so that a synthetic population meets published tables
household by household and not only on average.
"""

from __future__ import annotations

import numpy as np

from lpm.errors import InputError
from lpm.types import HostArray

PASSES = 2000  # of proportional fitting; convergence is linear, a hundred are usual
TOLERANCE = 1e-7  # largest difference to a row total, relative to the total of the table


def largest_remainder(weights: HostArray, total: int) -> HostArray:
    """Return whole numbers in proportion to `weights` that sum to `total` (Hamilton's rule; ties go to the first).

    Args:
        weights: float [n], not negative, not all 0 unless `total` is 0.
        total: What the numbers sum to.

    Returns:
        int64 [n]; each differs from its exact share by less than 1.

    Raises:
        InputError: Weights that are negative or all 0.
    """
    given = np.asarray(weights, np.float64)
    if total == 0:
        return np.zeros(given.shape, np.int64)
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise InputError("apportion: expected weights that are not negative and not all 0")
    exact = given * (total / given.sum())
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole


def running(weights: HostArray, total: int) -> HostArray:
    """Return whole numbers in proportion to `weights` whose running sums are each within 1/2 of the exact ones.

    Any group of neighbouring classes (ages in a band) is then within 1 of its exact share, which largest remainders
    of many small classes do not give.

    Args:
        weights: float [n], not negative, not all 0 unless `total` is 0.
        total: What the numbers sum to.

    Returns:
        int64 [n].

    Raises:
        InputError: Weights that are negative or all 0.
    """
    given = np.asarray(weights, np.float64)
    if total == 0:
        return np.zeros(given.shape, np.int64)
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise InputError("apportion: expected weights that are not negative and not all 0")
    ends = np.floor(np.cumsum(given) * (total / given.sum()) + 0.5).astype(np.int64)
    ends[-1] = total
    return np.diff(np.concatenate([[0], np.minimum(ends, total)]))


def proportional_fit(prior: HostArray, rows: HostArray, columns: HostArray, where: str) -> HostArray:
    """Return the table nearest to `prior` (in relative entropy) with the given row and column totals.

    Iterative proportional fitting (Deming and Stephan 1940, doi 10.1214/aoms/1177731829); the last pass meets the
    columns exactly and the rows to `TOLERANCE`.

    Args:
        prior: float [r, c], not negative.
        rows: Row totals [r].
        columns: Column totals [c], with the same sum.
        where: Named in errors.

    Returns:
        float64 [r, c].

    Raises:
        InputError: The totals differ, or the prior's zeros do not allow them.
    """
    row, column = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
    total = float(row.sum())
    if abs(total - float(column.sum())) > 1e-6 * max(total, 1.0):
        raise InputError(f"{where}: rows sum to {total:g}, columns to {float(column.sum()):g}")
    table = np.array(prior, np.float64)
    if total == 0:
        return np.zeros_like(table)
    worst = total
    for _ in range(PASSES):
        have = table.sum(1)
        table *= np.divide(row, have, out=np.zeros_like(row), where=have > 0)[:, None]
        have = table.sum(0)
        table *= np.divide(column, have, out=np.zeros_like(column), where=have > 0)[None, :]
        worst = float(np.abs(table.sum(1) - row).max())
        if worst <= TOLERANCE * total:
            break
    if worst > 1e-3 * total or abs(float(table.sum()) - total) > 1e-6 * total:
        raise InputError(f"{where}: no table has these totals (a row is off by {worst:g} of {total:g})")
    return table


def controlled_rounding(table: HostArray, rows: HostArray, columns: HostArray) -> HostArray:
    """Return whole numbers near `table` that meet whole row and column totals exactly.

    Columns are rounded one after the other: a cell is due what the row's running sum lacks; whole parts are given, and
    what the column still has goes to the largest fractions. A row ends at its last cell above 0.

    Args:
        table: float [r, c] with (nearly) these totals.
        rows: Whole row totals [r].
        columns: Whole column totals [c], with the same sum.

    Returns:
        int64 [r, c]; running sums of rows stay within a few units of the exact ones.
    """
    exact = np.asarray(table, np.float64)
    row, column = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    count = exact.shape[1]
    possible = exact > 0
    last = count - 1 - np.argmax(possible[:, ::-1], axis=1)
    ends: HostArray = np.cumsum(exact, axis=1)
    ends[np.arange(count)[None, :] >= last[:, None]] = 0.0
    ends += (np.arange(count)[None, :] >= last[:, None]) * row[:, None]
    given = np.zeros(exact.shape[0], np.int64)
    out = np.zeros(exact.shape, np.int64)
    for c in range(count):
        left = row - given
        due = np.where(possible[:, c], ends[:, c] - given, 0.0)
        final = possible[:, c] & (last == c)
        cell = np.clip(np.floor(due + 1e-9), 0, left).astype(np.int64)
        cell[final] = left[final]
        short = int(column[c] - cell.sum())
        fraction = due - cell
        if short > 0:
            for i in np.argsort(-fraction, kind="stable"):
                if possible[i, c] and not final[i] and cell[i] < left[i]:
                    cell[i] += 1
                    short -= 1
                    if short == 0:
                        break
        elif short < 0:
            for i in np.argsort(fraction, kind="stable"):
                if cell[i] > 0 and not final[i]:
                    cell[i] -= 1
                    short += 1
                    if short == 0:
                        break
        if short:
            return _repaired(exact, row, column)
        out[:, c] = cell
        given += cell
    return out if (given == row).all() else _repaired(exact, row, column)


def _repaired(exact: HostArray, row: HostArray, column: HostArray) -> HostArray:
    """Return a table with these totals by augmenting paths: floors first, then one unit after the other.

    Raises:
        InputError: The zeros of the table do not allow these totals.
    """
    out = np.floor(exact).astype(np.int64)
    over = np.maximum(out.sum(1) - row, 0)
    for i in np.flatnonzero(over):
        out[i] = largest_remainder(np.maximum(exact[i], 1e-12) * (exact[i] > 0), int(row[i]))
    for c in np.flatnonzero(out.sum(0) > column):
        out[:, c] = np.minimum(out[:, c], largest_remainder(out[:, c], int(column[c])))
    possible = exact > 0
    for i in range(len(row)):
        while out[i].sum() < row[i]:
            path = _path(out, possible, column - out.sum(0), i)
            if not path:
                raise InputError("apportion: the table's zeros do not allow these totals")
            for step, (r, c) in enumerate(path):
                out[r, c] += 1 if step % 2 == 0 else -1
    return out


def _path(out: HostArray, possible: HostArray, free: HostArray, start: int) -> list[tuple[int, int]]:
    """Return cells to raise and lower in turn that lead from row `start` to a column with room; [] = there is none."""
    came: dict[int, tuple[int, int]] = {}  # column -> (row that reaches it, column where that row gives a unit)
    front, seen = [(start, -1)], {start}
    while front:
        r, back = front.pop(0)
        for c in np.flatnonzero(possible[r]):
            if int(c) in came:
                continue
            came[int(c)] = (r, back)
            if free[c] > 0:
                here = int(c)
                cells: list[tuple[int, int]] = []
                while here >= 0:
                    owner, before = came[here]
                    cells.append((owner, here))
                    if before >= 0:
                        cells.append((owner, before))
                    here = before
                return cells
            for other in np.flatnonzero(out[:, c] > 0):
                if int(other) not in seen:
                    seen.add(int(other))
                    front.append((int(other), int(c)))
    return []
