"""Hand-written loops: the peers that an expert writes in an afternoon, parallel, with a counter-based uniform draw."""
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(inline="always")
def uniform(i: Any, step: Any) -> Any:
    """Return a uniform float32 of (agent, step): the finaliser of splitmix64 (S. Vigna, 2015, public domain)."""
    z = np.uint64(i) * np.uint64(0x9E3779B97F4A7C15) + step * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((z ^ (z >> np.uint64(31))) >> np.uint64(40)) * np.float32(2.0**-24)


@numba.njit(parallel=True, fastmath=True)
def epidemic(
    starts: Any, indices: Any, before: Any, after: Any, chances: Any, leave: Any, step: Any
) -> None:  # 0 never, 1 now, 2 past: SIR, or a cascade where all leave at once
    """Write the states after a step; `chances[c]` is that of infection by c neighbours."""
    for i in numba.prange(len(before)):
        state = before[i]
        if state == 0:
            near = 0
            for arc in range(starts[i], starts[i + 1]):
                near += before[indices[arc]] == 1
            if near > 0 and uniform(i, step) < chances[near]:
                state = 1
        elif state == 1 and uniform(i, step) < leave:
            state = 2
        after[i] = state


@numba.njit
def frontier(starts: Any, indices: Any, state: Any, active: Any, count: Any, following: Any, chance: Any) -> Any:
    """Move a cascade by one step from its list of active agents, and return the length of the list that follows."""
    found = 0
    for place in range(count):
        i = active[place]
        state[i] = 2
        for arc in range(starts[i], starts[i + 1]):
            j = indices[arc]
            if state[j] == 0 and np.random.random() < chance:
                state[j] = 1
                following[found] = j
                found += 1
    return found


@numba.njit(parallel=True, fastmath=True)
def bounded_confidence(starts: Any, indices: Any, before: Any, after: Any, epsilon: Any, step: Any) -> None:
    """Write the mean of the opinions within `epsilon`, the own one among them."""
    for i in numba.prange(len(before)):
        own = before[i]
        total, count = own, np.float32(1)
        for arc in range(starts[i], starts[i + 1]):
            other = before[indices[arc]]
            near = np.float32(abs(other - own) < epsilon)
            total += near * other
            count += near
        after[i] = total / count


@numba.njit(parallel=True, fastmath=True)
def deffuant(starts: Any, indices: Any, before: Any, after: Any, best: Any, epsilon: Any, mu: Any, step: Any) -> None:
    """Pair agents over three rounds by the random priorities of their ties, and move pairs that are near."""
    size = len(before)
    for i in numba.prange(size):
        best[1, i] = -1
        after[i] = before[i]
    for _ in range(3):
        for i in numba.prange(size):
            best[0, i] = -1
            if best[1, i] < 0:
                least = np.float32(2)
                for arc in range(starts[i], starts[i + 1]):
                    j = indices[arc]
                    if best[1, j] < 0:
                        low, high = min(i, j), max(i, j)
                        draw = uniform(np.int64(low) * size + high, step)
                        if draw < least:
                            least = draw
                            best[0, i] = j
        for i in numba.prange(size):
            j = best[0, i]
            if j >= 0 and best[0, j] == i:
                best[1, i] = j
    for i in numba.prange(size):
        j = best[1, i]
        if j >= 0 and abs(before[i] - before[j]) < epsilon:
            after[i] = before[i] + mu * (before[j] - before[i])


@numba.njit(parallel=True, fastmath=True)
def voter(starts: Any, indices: Any, before: Any, after: Any, step: Any) -> None:
    """Write the vote of one neighbour, drawn uniformly."""
    for i in numba.prange(len(before)):
        degree = starts[i + 1] - starts[i]
        after[i] = before[indices[starts[i] + int(uniform(i, step) * degree)]] if degree > 0 else before[i]


@numba.njit(parallel=True, fastmath=True)
def threshold(starts: Any, indices: Any, before: Any, after: Any, level: Any, step: Any) -> None:
    """Write who is active: those who were, and those of whose neighbours a share of `level` was."""
    for i in numba.prange(len(before)):
        state = before[i]
        if state == 0:
            near = 0
            for arc in range(starts[i], starts[i + 1]):
                near += before[indices[arc]]
            if near > 0 and near >= level * np.float32(starts[i + 1] - starts[i]):
                state = 1
        after[i] = state


@numba.njit(parallel=True, fastmath=True)
def market(taken: Any, weights: Any, step: Any) -> Any:
    """Let every visitor take one song that it has not, in proportion to the weights, and return the counts."""
    songs, parts = len(weights), 8
    counts = np.zeros((parts, songs), np.int64)
    for part in numba.prange(parts):
        for i in range(len(taken) * part // parts, len(taken) * (part + 1) // parts):
            mask = taken[i]
            whole = np.float32(0)
            for s in range(songs):
                if not (mask >> np.uint64(s)) & np.uint64(1):
                    whole += weights[s]
            if whole > 0:
                left, chosen = uniform(i, step) * whole, -1
                for s in range(songs):
                    if not (mask >> np.uint64(s)) & np.uint64(1):
                        chosen = s
                        left -= weights[s]
                        if left < 0:
                            break
                taken[i] = mask | (np.uint64(1) << np.uint64(chosen))
                counts[part, chosen] += 1
    return counts.sum(0)
