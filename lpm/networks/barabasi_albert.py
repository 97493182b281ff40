"""Barabási–Albert graph: newcomers tie themselves in proportion to degree (1999, 10.1126/science.286.5439.509)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.draws import below, hashed, stream
from lpm.networks.rows import span, undirected
from lpm.population import Population

LARGEST = 1024
"""Most ties of a newcomer (they are held in one small array a thread)."""


@njit(cache=True)
def _raw(key, size, newcomer, tie, attempt):  # type: ignore[no-untyped-def]
    """Return the end that tie number `tie` of `newcomer` copies, followed back to a newcomer's own end.

    The list of ends holds 2 e for the newcomer of tie e and 2 e + 1 for its target; a target is a uniform draw from
    the ends of all earlier newcomers, retraced by hashing while it lands on a target (Sanders & Schulz 2016).
    """
    kernel = size * (size + 1) // 2  # ties of the first size + 1 agents, who are all tied to each other
    v, k, t = newcomer, tie, attempt
    while True:
        earlier = kernel + (v - size - 1) * size
        start = hashed(hashed(key, earlier + k), t)
        end = below(start, 2 * earlier)
        e = end >> 1
        if e < kernel:  # tie e of the complete beginning: newcomer u, target e - u (u - 1) / 2
            u = np.int64((1.0 + np.sqrt(np.float64(8 * e + 1))) * 0.5)
            while u * (u - 1) // 2 > e:
                u -= 1
            while u * (u + 1) // 2 <= e:
                u += 1
            return u if end & 1 == 0 else e - u * (u - 1) // 2
        u = size + 1 + (e - kernel) // size
        if end & 1 == 0:
            return u
        v, k, t = u, (e - kernel) % size, 0


@njit(parallel=True, cache=True)
def _ties(key, size, agents, first, second):  # type: ignore[no-untyped-def]
    for v in prange(agents):
        if v <= size:
            for u in range(v):
                first[v * (v - 1) // 2 + u] = v
                second[v * (v - 1) // 2 + u] = u
        else:
            base = size * (size + 1) // 2 + (v - size - 1) * size
            for k in range(size):
                attempt = 0
                while True:
                    target = _raw(key, size, np.int64(v), k, attempt)
                    taken = False
                    for other in range(k):
                        taken = taken or second[base + other] == target
                    if not taken:
                        break
                    attempt += 1
                first[base + k] = v
                second[base + k] = target


@builder("barabasi-albert")
class BarabasiAlbert:
    """Agents arrive in order of id; each ties itself to `ties` earlier agents with probability proportional to degree.

    The first `ties` + 1 agents are all tied to each other. Targets are retraced by hashing and need no shared state
    (Sanders & Schulz 2016, 10.1016/j.ipl.2016.02.004). A target that a newcomer has already is drawn again; later
    copies of that tie copy its first draw, which concerns of the order of (ln N)^2 ties of the whole graph.
    The graph of N agents is the beginning of that of more.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of the Barabási–Albert graph."""

        ties: int = parameter(5, unit="1", meaning="ties of each newcomer (m)", bounds=(1, LARGEST), source="guess")

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        size, ties = population.size, int(params.ties)
        low, high = span(rows, size, "barabasi-albert")
        if not 1 <= ties <= LARGEST or size <= ties:
            raise InputError(f"barabasi-albert.ties: expected 1 to {min(LARGEST, size - 1)} (below N), got {ties}")
        total = ties * (ties + 1) // 2 + (size - ties - 1) * ties
        if 2 * total >= 2**32:
            raise InputError(f"barabasi-albert.ties: expected fewer than 2^31 ties, got {total}")
        first, second = np.empty(total, np.int32), np.empty(total, np.int32)
        _ties(stream(seed, "barabasi-albert"), ties, size, first, second)
        indptr, indices = undirected(first, second, low, high)
        return Network(size, indptr, indices, low, facts={"ties of a newcomer": ties})
