"""Complete mixing: everybody meets everybody, no arcs are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.rows import span
from lpm.population import Population


@builder("complete")
class Complete:
    """A layer without arcs and with `complete` set: group sums take the place of neighbour sums.

    Everybody meets `contacts` agents a day on average, each other agent with the same probability.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameter of complete mixing."""

        contacts: float = parameter(
            10.0, unit="contacts/day", meaning="mean contacts of an agent", bounds=(0, 1e6), source="guess"
        )

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the (empty) rows; see `lpm.networks.Builder.build`."""
        low, high = span(rows, population.size, "complete")
        indptr = np.zeros(high - low + 1, np.int64)
        facts = {"contacts": params.contacts}
        return Network(population.size, indptr, np.empty(0, np.int32), low, complete=True, facts=facts)
