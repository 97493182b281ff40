"""Configuration model: a random graph with given degrees (Molloy & Reed 1995, 10.1002/rsa.3240060204)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from lpm.errors import InputError, unknown
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.draws import below, hashed, stream, unit
from lpm.networks.rows import ends_of, simple, span
from lpm.population import Population
from lpm.types import HostArray

ROUNDS = (6, 24)
"""Rounds (even) of the permutation of many and of few stubs: 4 pass for random when the halves of a Feistel network
have many values (Luby & Rackoff 1988, 10.1137/0217022); of 6 stubs, 6 rounds still prefer some matchings, 24 do not."""

MANY = 65_536
"""Stubs above which the first number of rounds does."""


@njit(cache=True)
def _place(keys, stub, stubs, tall, wide):  # type: ignore[no-untyped-def]
    """Return the place of a stub under a keyed permutation of 0 .. stubs - 1.

    A Feistel network on pairs (L, R) of a tall x wide table that just holds the stubs; places outside walk on.
    """
    x = stub
    while True:
        left = x // wide
        right = x - left * wide
        for step in range(0, keys.shape[0], 2):
            left += below(hashed(keys[step], right), tall)
            left -= tall if left >= tall else 0
            right += below(hashed(keys[step + 1], left), wide)
            right -= wide if right >= wide else 0
        x = left * wide + right
        if x < stubs:
            return x


@njit(cache=True)
def _stub(keys, place, stubs, tall, wide):  # type: ignore[no-untyped-def]
    """Return the stub of a place: the inverse of `_place`."""
    x = place
    while True:
        left = x // wide
        right = x - left * wide
        for step in range(keys.shape[0] - 2, -1, -2):
            right -= below(hashed(keys[step + 1], left), wide)
            right += wide if right < 0 else 0
            left -= below(hashed(keys[step], right), tall)
            left += tall if left < 0 else 0
        x = left * wide + right
        if x < stubs:
            return x


@njit(parallel=True, cache=True)
def _partners(keys, owners, begin, tall, wide, out):  # type: ignore[no-untyped-def]
    """Write the agent at the other stub of each stub's tie; -1 for the one stub left over when their number is odd."""
    stubs = np.int64(owners.shape[0])
    for k in prange(out.shape[0]):
        place = _place(keys, np.int64(begin) + np.int64(k), stubs, tall, wide)
        other = place ^ np.int64(1)
        out[k] = owners[_stub(keys, other, stubs, tall, wide)] if other < stubs else -1


@njit(parallel=True, cache=True)
def _drawn(key, cumulative, smallest, out):  # type: ignore[no-untyped-def]
    for v in prange(out.shape[0]):
        out[v] = smallest + np.searchsorted(cumulative, unit(hashed(key, v)))


@builder("configuration")
class Configuration:
    """Every agent has a degree; its stubs are matched at random; loops and repeated ties are erased.

    Degrees are drawn (poisson, negative-binomial with variance m + m^2 / k, power-law P(d) ~ d^-exponent) or stand in
    a column of the population. The matching is s -> partner of s's place under a keyed permutation, an involution, so
    a row needs no other row. An odd number of stubs leaves one unmatched.
    """

    @dataclass(frozen=True)
    class Params:
        """Parameters of the configuration model."""

        degrees: str = parameter(
            "poisson",
            unit="1",
            meaning="distribution of degrees, or where they stand",
            choices=("poisson", "negative-binomial", "power-law", "column"),
        )
        mean_degree: float = parameter(
            10.0, unit="1", meaning="mean of poisson and negative-binomial", bounds=(0, 1e5), source="guess"
        )
        dispersion: float = parameter(
            1.0, unit="1", meaning="k of negative-binomial (smaller = more spread)", bounds=(1e-3, 1e6), source="guess"
        )
        exponent: float = parameter(2.5, unit="1", meaning="exponent of power-law", bounds=(1, 10), source="guess")
        minimum: int = parameter(2, unit="1", meaning="smallest degree of power-law", bounds=(1, 1e6), source="guess")
        maximum: int = parameter(1000, unit="1", meaning="largest degree of power-law", bounds=(1, 1e6), source="guess")
        column: str = parameter("", unit="column", meaning="column that holds the degrees (degrees = column)")

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        size = population.size
        low, high = span(rows, size, "configuration")
        degrees = _degrees(seed, params, population)
        ends = ends_of(degrees)
        stubs = int(ends[-1])
        if stubs >= 2**32:
            raise InputError(f"configuration.degrees: expected fewer than 2^32 stubs (sum of degrees), got {stubs}")
        owners = np.repeat(np.arange(size, dtype=np.int32), degrees)
        tall = max(math.isqrt(max(stubs - 1, 0)) + 1, 1)
        wide = max(-(-stubs // tall), 1)
        found = np.empty(int(ends[high] - ends[low]), np.int32)
        _partners(_keys(seed, stubs), owners, int(ends[low]), tall, wide, found)
        indptr, indices = simple(low, ends[low : high + 1] - ends[low], found)
        facts = {"ties wanted": stubs // 2, "mean degree wanted": stubs / size}
        return Network(size, indptr, indices, low, facts=facts)


def _keys(seed: int, stubs: int) -> HostArray:
    """Return uint64 [rounds], the keys of the permutation's rounds."""
    rounds = ROUNDS[0] if stubs > MANY else ROUNDS[1]
    return np.array([stream(seed, "configuration", f"round {step}") for step in range(rounds)], np.uint64)


def _degrees(seed: int, params: Configuration.Params, population: Population) -> HostArray:
    """Return int64 [size], the wanted degree of every agent."""
    most = population.size - 1
    if params.degrees == "column":
        if params.column not in population.schema:
            raise unknown("configuration.column", "column", params.column, population.schema)
        given = population.columns[params.column]
        if given.ndim != 1 or given.dtype.kind not in "ui" or given.min() < 0 or given.max() > most:
            raise InputError(
                f"configuration.column: expected whole numbers 0 to N - 1 = {most} in '{params.column}', got "
                f"{given.dtype} from {given.min()} to {given.max()}"
            )
        return given.astype(np.int64)
    smallest, logs = _logs(params)
    weights = np.exp(logs - logs.max())[: most - smallest + 1]
    if not len(weights):
        raise InputError(f"configuration.minimum: expected less than N = {most + 1}, got {smallest}")
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    out = np.empty(population.size, np.int64)
    _drawn(stream(seed, "configuration", "degrees"), cumulative, smallest, out)
    return out


def _logs(params: Configuration.Params) -> tuple[int, HostArray]:
    """Return the smallest degree and the log probability (up to a constant) of each degree from there on."""
    mean, k = float(params.mean_degree), float(params.dispersion)
    if params.degrees == "power-law":
        if params.maximum < params.minimum:
            raise InputError(f"configuration.maximum: expected at least minimum {params.minimum}, got {params.maximum}")
        return int(params.minimum), -params.exponent * np.log(np.arange(params.minimum, params.maximum + 1))
    if params.degrees not in ("poisson", "negative-binomial"):
        raise unknown(
            "configuration.degrees", "choice", params.degrees, ("poisson", "negative-binomial", "power-law", "column")
        )
    if mean == 0:
        return 0, np.zeros(1)
    if params.degrees == "poisson":
        below_this = np.arange(1, int(mean + 12 * math.sqrt(mean)) + 40)
        steps = math.log(mean) - np.log(below_this)
    else:
        tail = 40 * max(1.0, mean / k)  # the ratio of the tail is m / (m + k): e^-40 is left out
        below_this = np.arange(1, int(mean + 12 * math.sqrt(mean + mean * mean / k) + tail) + 40)
        steps = np.log((below_this - 1 + k) / below_this) + math.log(mean / (mean + k))
    return 0, np.concatenate([[0.0], np.cumsum(steps)])
