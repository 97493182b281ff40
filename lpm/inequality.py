r"""Gini coefficient of a count over the rows of a table, as downloads over songs, exactly and without a sort.

.. math:: G = \frac{\sum_i \sum_j |x_i - x_j|}{2 n \sum_i x_i}

Source: M. J. Salganik, P. S. Dodds and D. J. Watts 2006, doi:10.1126/science.1121066, of market shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError, unknown
from lpm.metric import Metric
from lpm.ops.groups import limbs
from lpm.statistic import Seen, quotient
from lpm.types import Array, HostArray

MOST_ROWS = 4_096
"""Rows of a table whose pairs are all compared in every step."""

AT_ONCE = 64
"""Rows compared with all others at once."""


@dataclass(frozen=True)
class Items:
    """Sum of all differences, sum of all counts, and number of rows of a table.

    Attributes:
        table: The table.
        column: A column of unsigned integers of at most 32 bits.
    """

    table: str
    column: str

    @property
    def name(self) -> str:
        """Name of the sums."""
        return f"gini:{self.table}.{self.column}"

    @property
    def by_cell(self) -> bool:
        """Only for everybody: rows of the table belong to no group of agents."""
        return False

    def shape(self, cells: int) -> tuple[int, ...]:
        """Return [1, differences and counts and rows, 2]."""
        return 1, 3, 2

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs; every device has the whole table.

        Raises:
            InputError: No such table or column, no integers, or too many rows.
        """
        where = f"metrics: {self.name}"
        if self.table not in seen.tables:
            raise unknown(where, "table", self.table, seen.tables)
        table = seen.tables[self.table]
        if self.column not in table:
            raise unknown(where, "column", self.column, table)
        counts = table[self.column]
        if counts.ndim != 1 or not jnp.issubdtype(counts.dtype, jnp.unsignedinteger):
            raise InputError(f"{where}: expected one count a row, got {counts.dtype}{list(counts.shape[1:])}")
        if counts.shape[0] > MOST_ROWS:
            raise InputError(f"{where}: expected at most {MOST_ROWS} rows, got {counts.shape[0]}")
        with jax.enable_x64(True):
            whole = counts.astype(jnp.int64)
            here = table["present"] if "present" in table else jnp.ones(whole.shape, bool)

            def apart(row: tuple[Array, Array]) -> Array:
                return jnp.where(here & row[1], jnp.abs(whole - row[0]), 0).sum()

            apart_of = jax.lax.map(apart, (whole, here), batch_size=min(AT_ONCE, whole.shape[0]))
            total = jnp.where(here, whole, 0).sum()
            return limbs(jnp.stack([apart_of.sum(), total, here.sum(dtype=jnp.int64)]))[None]

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return the coefficient, NaN as long as all counts are 0."""
        apart, total, rows = (sums[..., position].astype(object) for position in range(3))
        return [quotient(apart, 2 * rows * total)]


def gini(counts: HostArray, where: str = "gini") -> HostArray:
    """Return float64 [...], the coefficient of the last axis (0 = all equal), on the host.

    Args:
        counts: Counts [..., rows], at least 0, none of them all 0.
        where: Named in errors.

    Raises:
        InputError: No rows, a count that is negative or no number, or counts that are all 0.
    """
    ordered = np.sort(np.asarray(counts, np.float64), -1)
    rows = ordered.shape[-1] if ordered.ndim else 0
    if not rows or not np.isfinite(ordered).all() or (ordered < 0).any() or (ordered.sum(-1) == 0).any():
        raise InputError(f"{where}: expected counts of at least 0 that are not all 0, of shape [..., rows]")
    rank = 2.0 * np.arange(1, rows + 1) - rows - 1
    return (ordered * rank).sum(-1) / (rows * ordered.sum(-1))
