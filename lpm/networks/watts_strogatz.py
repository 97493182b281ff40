"""Watts–Strogatz graph: a ring of near neighbours, some ties rewired (Watts & Strogatz 1998, 10.1038/30918)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.draws import below, hashed, stream, unit
from lpm.networks.rows import span, undirected
from lpm.population import Population


@njit(parallel=True, cache=True)
def _ties(key, size, half, rewiring, first, second):  # type: ignore[no-untyped-def]
    for v in prange(size):
        own = hashed(key, v)
        base = np.int64(v) * half
        for k in range(half):
            first[base + k] = v
            target = (np.int64(v) + k + 1) % size
            if unit(hashed(own, 2 * k)) <= rewiring:
                start = hashed(own, 2 * k + 1)
                attempt = 0
                while True:  # a new end beyond the ring's neighbourhood that v has not drawn already
                    target = (np.int64(v) + half + 1 + below(hashed(start, attempt), size - 2 * half - 1)) % size
                    taken = False
                    for other in range(k):
                        taken = taken or second[base + other] == target
                    if not taken:
                        break
                    attempt += 1
            second[base + k] = target


@builder("watts-strogatz")
class WattsStrogatz:
    """Each agent is tied to `neighbours` / 2 agents on either side of a ring; each tie's far end moves with `rewiring`.

    A moved end is uniform over the agents outside the ring's neighbourhood. Two ties that come to join the same pair
    are one: about (neighbours x rewiring)^2 / 8 ties of the whole graph.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of the Watts–Strogatz graph."""

        neighbours: int = parameter(10, unit="1", meaning="ties of an agent on the ring (even)", bounds=(2, 1024))
        rewiring: float = parameter(0.1, unit="1", meaning="probability that a tie is rewired", bounds=(0, 1))

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        size, near = population.size, int(params.neighbours)
        low, high = span(rows, size, "watts-strogatz")
        if near < 2 or near % 2 or size < 2 * near + 1:
            raise InputError(
                f"watts-strogatz.neighbours: expected even, 2 to {(size - 1) // 2} (half of N), got {near}"
            )
        first, second = np.empty(size * near // 2, np.int32), np.empty(size * near // 2, np.int32)
        _ties(stream(seed, "watts-strogatz"), size, near // 2, float(params.rewiring), first, second)
        indptr, indices = undirected(first, second, low, high)
        return Network(size, indptr, indices, low)
