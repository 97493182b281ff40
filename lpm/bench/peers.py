"""What lpm is compared with: loops as an expert writes them in an afternoon, naive JAX, and packages where installed.

Every peer runs the same law on the same network from the same share at first; none keeps its draws with its agents.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lpm.bench import Runner
from lpm.bench.tasks import TASKS
from lpm.network import Network

Step = Callable[[int], None]
Maker = Callable[[Network], Callable[[], Step]]
"""Compiles for a network and returns what makes a fresh state and the step from it."""


def peers_of(task: str, network: Network, steps: int) -> list[Runner]:
    """Return the peers of a task that are installed, compiled."""
    found: list[Runner] = []
    for (name, which, package), make in _MAKERS.items():
        if which == task and importlib.util.find_spec(package) is not None:
            fresh = make(network)
            fresh()(0)  # compiles
            found.append(Runner(name, _timed(fresh, steps)))
    return found


def _timed(fresh: Callable[[], Step], steps: int) -> Callable[[], float]:
    def run() -> float:
        step = fresh()
        begin = time.perf_counter()
        for number in range(steps):
            step(number)
        return time.perf_counter() - begin

    return run


def _csr(network: Network) -> tuple[Any, Any]:
    return network.indptr.astype(np.int32), network.indices


def _seeded(size: int, share: float) -> np.ndarray[Any, Any]:
    state = np.zeros(size, np.uint8)
    state[np.random.default_rng(3).choice(size, max(1, int(size * share)), replace=False)] = 1
    return state


def _swapping(loop: Callable[..., Any], network: Network, first: Callable[[], Any], *more: Any) -> Callable[[], Step]:
    """Return what makes steps of a loop(starts, indices, before, after, *more, step) between two arrays."""
    starts, indices = _csr(network)

    def fresh() -> Step:
        states = [first(), first()]

        def step(number: int) -> None:
            loop(starts, indices, states[0], states[1], *more, np.uint64(number + 1))
            states.reverse()

        return step

    return fresh


def _epidemic(recover: bool) -> Maker:
    def make(network: Network) -> Callable[[], Step]:
        from lpm.bench.loops import epidemic

        name, share = ("sir", 0.01) if recover else ("ic", 0.001)
        chances = (1 - 0.95 ** np.arange(int(network.degrees().max()) + 1)).astype(np.float32)
        leave = np.float32(0.1 if recover else 1.0)
        assert TASKS[name].values["initial"] == share
        return _swapping(epidemic, network, lambda: _seeded(network.size, share), chances, leave)

    return make


def _frontier(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import frontier

    starts, indices = _csr(network)

    def fresh() -> Step:
        state = _seeded(network.size, 0.001)
        lists = [np.flatnonzero(state).astype(np.int32), np.empty(network.size, np.int32)]
        held = [np.resize(lists[0], network.size), lists[1]]
        count = [len(lists[0])]

        def step(number: int) -> None:
            count[0] = frontier(starts, indices, state, held[0], count[0], held[1], 0.05)
            held.reverse()

        return step

    return fresh


def _opinions(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import bounded_confidence

    first = np.random.default_rng(5).random(network.size, dtype=np.float32)
    return _swapping(bounded_confidence, network, first.copy, np.float32(0.2))


def _pairs(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import deffuant

    first = np.random.default_rng(5).random(network.size, dtype=np.float32)
    best = np.empty((2, network.size), np.int32)
    return _swapping(deffuant, network, first.copy, best, np.float32(0.2), np.float32(0.5))


def _votes(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import voter

    return _swapping(voter, network, lambda: _seeded(network.size, 0.5))


def _crowd(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import threshold

    return _swapping(threshold, network, lambda: _seeded(network.size, 0.01), np.float32(0.18))


def _market(network: Network) -> Callable[[], Step]:
    from lpm.bench.loops import market

    songs = TASKS["market"].rows["items"]

    def fresh() -> Step:
        taken = np.zeros(network.size, np.uint64)
        counts = np.zeros(songs, np.int64)

        def step(number: int) -> None:
            weights = np.exp(0.58 * np.log1p(counts)).astype(np.float32)
            counts[:] += market(taken, weights, np.uint64(number + 1))

        return step

    return fresh


def _naive(task: str) -> Maker:
    def make(network: Network) -> Callable[[], Step]:
        from lpm.bench.naive import steps_of

        return steps_of(task, network)

    return make


_MAKERS: Mapping[tuple[str, str, str], Maker] = {
    ("hand-written numba", "sir", "numba"): _epidemic(True),
    ("hand-written numba", "ic", "numba"): _epidemic(False),
    ("hand-written numba, active list", "ic", "numba"): _frontier,
    ("hand-written numba", "hk", "numba"): _opinions,
    ("hand-written numba", "deffuant", "numba"): _pairs,
    ("hand-written numba", "voter", "numba"): _votes,
    ("hand-written numba", "threshold", "numba"): _crowd,
    ("hand-written numba", "market", "numba"): _market,
    ("naive JAX", "sir", "jax"): _naive("sir"),
    ("naive JAX", "hk", "jax"): _naive("hk"),
    ("naive JAX", "ic", "jax"): _naive("ic"),
}
"""Peers by (name, task, package that must be installed)."""
