"""Draws: that they look like chance along every axis, and follow their distributions.

Seeds are fixed, so a test here passes or fails for good. The limits are set for the case that a formula is changed on
purpose: each stochastic test states the chance that a perfect generator would fail it; together they are below 1e-6.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from lpm import random

from .battery import IDS, KEY, battery


@functools.cache
def axis(name: str, draws: int) -> np.ndarray:
    """Return the first draws of an axis of the battery, uint32[draws]."""
    got, parts = 0, []
    for batch in battery.AXES[name](1):
        parts.append(np.ravel(batch))
        got += parts[-1].size
        if got >= draws:
            break
    return np.concatenate(parts)[:draws]


def test_events_happen_as_often_as_they_should() -> None:
    """Counts of 100 000 draws at 9 probabilities, each within 7 binomial standard deviations (2.6e-12 each)."""
    draws = random.agent_bits(KEY, IDS)
    for p in (1e-3, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
        count = int(random.happens(draws, random.threshold(p)).sum())
        assert abs(count - p * IDS.size) < 7 * np.sqrt(p * (1 - p) * IDS.size)


# ---- distributions ------------------------------------------------------------------------------------------------


def test_uniform_draws_are_uniform() -> None:
    """Range, 4 moments within 7 standard errors (2.6e-12 each), Kolmogorov-Smirnov p above 1e-9."""
    u = np.asarray(random.uniform(KEY, jnp.arange(1_000_000, dtype=jnp.uint32)), np.float64)
    assert u.min() >= 0 and u.max() < 1 and (u * 2**24 == np.floor(u * 2**24)).all()
    for k in (1, 2, 3, 4):
        sd = np.sqrt(1 / (2 * k + 1) - 1 / (k + 1) ** 2)
        assert abs((u**k).mean() - 1 / (k + 1)) < 7 * sd / 1000 + 2.0**-24
    assert stats.kstest(u, "uniform").pvalue > 1e-9


def test_normal_draws_are_normal() -> None:
    """4 moments within 7 standard errors (2.6e-12 each), KS p above 1e-9, counts beyond 4 sd (Poisson, 1e-9)."""
    z = np.asarray(random.normal(KEY, jnp.arange(1_000_000, dtype=jnp.uint32)), np.float64)
    for k, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**k).mean() - moment) < 7 * np.sqrt(variance / z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-9
    expected = 2 * stats.norm.sf(4) * z.size
    assert 1e-9 < stats.poisson.cdf((abs(z) > 4).sum(), expected) and abs(z).max() < 5.4200
    assert 1e-9 < stats.poisson.sf((abs(z) > 4).sum() - 1, expected)
    u = np.asarray(random.agent_bits(KEY, jnp.arange(1_000_000, dtype=jnp.uint32)) >> 8, np.float64)
    np.testing.assert_allclose(z, special.ndtri((u + 0.5) / 2**24), rtol=1e-5, atol=1e-7)  # an independent inverse


# ---- chance along every axis --------------------------------------------------------------------------------------

AXES = list(battery.AXES)
CROSSED = [each if each in ("agent", "step") else pytest.param(each, marks=pytest.mark.full) for each in AXES]


DRAWS = 1 << 20


@pytest.mark.parametrize("name", AXES)
def test_bytes_and_bits_are_equally_frequent(name: str) -> None:
    """Chi-square of 4 byte positions and 2 tables of adjacent bytes; 32 bit counts (|z| < 7): 6.1e-9 an axis."""
    x = axis(name, DRAWS)
    low = (x & 0xFF).astype(np.int64)
    top = (x >> 24).astype(np.int64)
    tables = [np.bincount((x >> s) & 0xFF, minlength=256) for s in (0, 8, 16, 24)]
    tables += [np.bincount(b[:-1:2] * 256 + b[1::2], minlength=65536) for b in (low, top)]
    for table in tables:
        p = stats.chisquare(table).pvalue
        assert 5e-10 < p < 1 - 5e-10
    ones = np.array([((x >> s) & 1).sum() for s in range(32)], np.float64)
    assert (abs(ones - DRAWS / 2) < 7 * np.sqrt(DRAWS) / 2).all()


@pytest.mark.parametrize("name", CROSSED)
def test_neighbours_are_uncorrelated(name: str) -> None:
    """Serial correlation at 10 lags, and of each bit with each bit of the next draw: |z| < 7, 1034 z: 3e-9 an axis."""
    x = axis(name, DRAWS)
    centred = x / 2.0**32 - 0.5
    for lag in (1, 2, 3, 8, 16, 64, 1000, 1024, 4096, 65536):
        z = 12 * (centred[lag:] * centred[:-lag]).sum() / np.sqrt(DRAWS - lag)
        assert abs(z) < 7, (lag, z)
    x = x[: DRAWS // 4]
    signs = (np.unpackbits(x.view(np.uint8).reshape(-1, 4), axis=1).astype(np.float32) - 0.5) * 2
    z = signs[1:].T @ signs[:-1] / np.sqrt(x.size - 1)
    assert abs(z).max() < 7, np.argwhere(abs(z) >= 7)


@pytest.mark.parametrize("name", AXES)
def test_draws_repeat_as_often_as_chance(name: str) -> None:
    """Repeats among 2^20 draws are Poisson with mean 2^40 / 2^33 = 128; a permutation has none. 2e-9 an axis."""
    x = axis(name, DRAWS)
    x = np.sort(x)
    repeats = int((x[1:] == x[:-1]).sum())
    assert 1e-9 < stats.poisson.cdf(repeats, 128) < 1 - 1e-9, repeats


def flips(name: str, n: int) -> np.ndarray:
    """Return how n draws change with each input bit, uint32[n, input bits]; what they are named by is adjacent."""
    i = np.arange(n, dtype=np.uint32)
    one = np.uint32(1) << np.arange(32, dtype=np.uint32)
    tall, key = i[:, None], battery.stream()
    if name == "id":
        return battery.hashed(key, tall, 0) ^ np.hstack(
            [battery.hashed(key, tall ^ one, 0), battery.hashed(key, tall, one)]
        )
    if name == "edge":
        edge = [np.uint32(1), tall >> np.uint32(6), tall & np.uint32(63), np.uint32(0)]
        changed = [battery.hashed(key, *(w ^ one if j == k else w for k, w in enumerate(edge))) for j in range(4)]
        return battery.hashed(key, *edge) ^ np.hstack(changed)
    if name == "key":
        keys = tuple(k[:, None] for k in battery.stream(step=i))
        changed = [battery.hashed(tuple(w ^ one if j == k else w for k, w in enumerate(keys)), 5, 0) for j in range(4)]
        return battery.hashed(keys, 5, 0) ^ np.hstack(changed)
    if name == "step":
        return battery.hashed(battery.stream(step=tall), 5, 0) ^ battery.hashed(battery.stream(step=tall ^ one), 5, 0)
    assert name == "seed"
    return battery.hashed(battery.stream(seed=tall), 5, 0) ^ battery.hashed(battery.stream(seed=tall ^ one), 5, 0)


@pytest.mark.parametrize("name", ["id", "edge", "key", "step", "seed"])
def test_one_changed_bit_changes_half_of_the_draw(name: str) -> None:
    """Each input bit turns each output bit, and each pair of adjacent ones, every other time: |z| < 7, 9e-9 each."""
    n = 1 << 14
    changed = flips(name, n)
    assert changed.shape[0] == n
    for s in range(32):
        turned = (changed >> np.uint32(s)) & np.uint32(1)
        beside = turned ^ ((changed >> np.uint32((s + 1) % 32)) & np.uint32(1))
        for count in (turned.sum(axis=0, dtype=np.int64), beside.sum(axis=0, dtype=np.int64)):
            z = (count - n / 2) / (np.sqrt(n) / 2)
            assert abs(z).max() < 7, (s, int(abs(z).argmax()), z.max())
