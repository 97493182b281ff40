"""SIR on an undirected network as a plain loop with draws of its own: a second code path to compare gradients with.

Nothing of lpm is in it: draws are splitmix64 of (seed, agent, step) (Steele, Lea & Flood 2014,
10.1145/2660193.2660195), chances are float64, and one compiled loop runs a seed.
"""

from __future__ import annotations

import numba
import numpy as np

Values = np.ndarray


@numba.njit(inline="always")
def _mixed(x):  # type: ignore[no-untyped-def]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit
def _prevalence(starts, sources, beta, gamma, initial, seed, steps):  # type: ignore[no-untyped-def]
    size = len(initial)
    golden = np.uint64(0x9E3779B97F4A7C15)
    root = _mixed(np.uint64(seed) * golden + golden)
    state, met = np.zeros(size, np.uint8), np.zeros(size, np.int64)
    missed = np.exp(-beta * np.arange(np.diff(starts).max() + 1))
    kept = np.exp(-gamma)
    counts = np.zeros(steps)
    for step in range(-1, steps):
        key = _mixed(root + np.uint64(step + 2) * golden)
        met[:] = 0
        for j in range(size):
            if state[j] == 1:
                for k in range(starts[j], starts[j + 1]):
                    met[sources[k]] += 1
        for i in range(size):
            if state[i] == 2 or (step >= 0 and state[i] == 0 and met[i] == 0):
                continue
            chance = initial[i] if step < 0 else 1.0 - (kept if state[i] == 1 else missed[met[i]])
            draw = _mixed(key + np.uint64(i) * golden) >> np.uint64(11)
            if draw * 2.0**-53 < chance:
                state[i] += 1
            if step >= 0:
                counts[step] += state[i] == 1
    return counts


def prevalence(network, theta: Values, initial: Values, seed: int, steps: int) -> Values:  # type: ignore[no-untyped-def]
    """Return float64 [T], how many are infectious after each step; theta is (beta, gamma), 1/day at steps of a day."""
    starts, sources = network.indptr.astype(np.int64), network.indices.astype(np.int64)
    return _prevalence(starts, sources, theta[0], theta[1], initial.astype(np.float64), seed, steps)


def differences(network, theta: Values, initial: Values, seeds, steps: int, h: float = 0.1):  # type: ignore[no-untyped-def]
    """Return the curves [S, T] and their derivatives by (log beta, log gamma), [S, T, 2].

    Central differences of half width h / 2 and h with common draws, joined to remove the error of order h^2.
    """
    curves, slopes = [], []
    for seed in seeds:

        def run(shift: Values, seed: int = seed) -> Values:
            return prevalence(network, theta * np.exp(shift), initial, seed, steps)

        def half(width: float) -> Values:
            return np.stack([(run(width * e) - run(-width * e)) / (2 * width) for e in np.eye(2)], -1)  # noqa: B023

        curves.append(run(np.zeros(2)))
        slopes.append((4 * half(h / 2) - half(h)) / 3)
    return np.array(curves), np.array(slopes)
