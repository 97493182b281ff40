"""Worlds of a cultural market: downloads one after the other, and how unequal and unpredictable the songs become."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit
def run_worlds(seed, chooser, world, worlds, base, popularity, a):
    """Return the counts [worlds, songs] after downloads by `chooser` in `world`, one after the other.

    Utility base [V, songs] + popularity [V] ln(count + a) of the songs that the visitor has not taken yet.
    """
    np.random.seed(seed)
    visitors, songs = base.shape
    counts = np.zeros((worlds, songs))
    logs = np.full((worlds, songs), np.log(a))
    taken = np.zeros((visitors, songs), np.bool_)
    upto = np.empty(songs)
    for t in range(len(chooser)):
        v, w = chooser[t], world[t]
        utility = base[v] + popularity[v] * logs[w]
        top, total = utility.max(), 0.0
        for s in range(songs):
            if not taken[v, s]:
                total += np.exp(utility[s] - top)
            upto[s] = total
        place, s = np.random.random() * total, 0
        while upto[s] <= place or taken[v, s]:
            s += 1
        taken[v, s] = True
        counts[w, s] += 1
        logs[w, s] = np.log(counts[w, s] + a)
    return counts


def gini(counts):
    """Return the Gini coefficient of each row."""
    ranked = np.sort(counts, axis=-1)
    songs = ranked.shape[-1]
    return ((2 * np.arange(1, songs + 1) - songs - 1) * ranked).sum(-1) / (songs * ranked.sum(-1))


def unpredictability(counts):
    """Return U: the mean over songs and pairs of worlds of the absolute difference of market shares."""
    shares = counts / counts.sum(1, keepdims=True)
    pairs = [(i, j) for i in range(len(shares)) for j in range(i)]
    return np.mean([np.abs(shares[i] - shares[j]).mean() for i, j in pairs])
