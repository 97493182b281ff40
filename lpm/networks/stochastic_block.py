"""Stochastic block model: two agents are tied with a probability that their blocks give.

Holland, Laskey & Leinhardt 1983, 10.1016/0378-8733(83)90021-7.
"""

from __future__ import annotations

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
from lpm.networks.mixing import reconcile, square
from lpm.networks.rows import span
from lpm.population import Population


@builder("stochastic-block")
class StochasticBlock:
    """Blocks are the levels of a column; an agent of block a has on average `mean_degrees[a][b]` ties into block b.

    The totals mean_degrees[a][b] N[a] and mean_degrees[b][a] N[b] are averaged where they differ (named in the facts).
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of the stochastic block model."""

        column: str = parameter("", unit="column", meaning="categorical column whose levels are the blocks")
        mean_degrees: Any = parameter(
            (), unit="1", meaning="square table, or a file of it: mean ties of an agent of a row's block by block"
        )

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        where = "stochastic-block"
        low, high = span(rows, population.size, where)
        known = [name for name, column in population.schema.items() if column.levels]
        if params.column not in known:
            raise unknown(f"{where}.column", "categorical column", params.column, known)
        levels = population.schema[params.column].levels
        block = population.columns[params.column].astype(np.uint16)
        people = np.bincount(block, minlength=len(levels))
        table = params.mean_degrees
        if isinstance(table, str):
            table = contacts.read_square(table, f"{where}.mean_degrees")
        table, gap = reconcile(square(table, len(levels), f"{where}.mean_degrees"), people)
        room = people[None, :] - np.eye(len(levels))
        probabilities = np.divide(table, room, out=np.zeros_like(table), where=(room > 0) & (people[:, None] > 0))
        if probabilities.max(initial=0.0) > 1 or (table[room <= 0] > 0).any():
            a, b = np.argwhere((probabilities > 1) | ((room <= 0) & (table > 0)))[0]
            raise InputError(
                f"{where}.mean_degrees: expected at most {max(room[a, b], 0):g} ties of '{levels[a]}' into "
                f"'{levels[b]}' (its agents), got {table[a, b]:g}"
            )
        probabilities = (probabilities + probabilities.T) / 2  # equal but for rounding
        members = np.argsort(block, kind="stable").astype(np.int32)
        indptr, indices = cell_rows(stream(seed, where), people, members, probabilities, low, high)
        facts = {"reciprocity gap averaged": gap, "mean degrees": table.tolist()}
        return Network(population.size, indptr, indices, low, facts=facts)
