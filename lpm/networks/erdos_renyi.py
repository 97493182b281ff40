"""Erdős–Rényi graph G(n, p): every pair is tied independently (Gilbert 1959, 10.1214/aoms/1177706098)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.cells import cell_rows
from lpm.networks.draws import stream
from lpm.networks.rows import span
from lpm.population import Population


@builder("erdos-renyi")
class ErdosRenyi:
    """Every pair of agents is tied with p = mean degree / (N - 1); degrees are Binomial(N - 1, p)."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of G(n, p)."""

        mean_degree: float = parameter(
            10.0, unit="1", meaning="mean number of ties of an agent", bounds=(0, 1e6), source="guess"
        )

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        size = population.size
        low, high = span(rows, size, "erdos-renyi")
        if params.mean_degree > max(size - 1, 0):
            raise InputError(
                f"erdos-renyi.mean_degree: expected at most N - 1 = {size - 1}, got {params.mean_degree:g}"
            )
        p = np.full((1, 1), params.mean_degree / max(size - 1, 1))
        indptr, indices = cell_rows(stream(seed, "erdos-renyi"), np.array([size]), None, p, low, high)
        return Network(size, indptr, indices, low, facts={"mean degree asked for": params.mean_degree})
