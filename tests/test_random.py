"""Draws: that they are the numbers they are named to be, and that they look like chance along every axis.

Seeds are fixed, so a test here passes or fails for good. The limits are set for the case that a formula is changed on
purpose: each stochastic test states the chance that a perfect generator would fail it; together they are below 1e-6.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from jax import lax
from scipy import special, stats

from lpm import random
from lpm.errors import InputError


def load_battery() -> ModuleType:
    """Import the battery, a program beside the tests, as the second writing of the formulas."""
    path = Path(__file__).parent / "benchmarks" / "random_battery.py"
    spec = importlib.util.spec_from_file_location("random_battery", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


battery = load_battery()
IDS = jnp.arange(100_000, dtype=jnp.uint32)
KEY = random.purpose(random.at_step(random.instance(random.root(1), "kernel"), 9), "draw")
KEY_WORDS = battery.stream(step=9)


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


# ---- the same numbers wherever they are written -------------------------------------------------------------------


@pytest.mark.parametrize(
    "counter, key, expected",
    [  # the known answers published with Random123 (Salmon et al. 2011)
        ("00000000 " * 4, "00000000 " * 4, "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
        ("ffffffff " * 4, "ffffffff " * 4, "2a881696 57012287 f6c7446e a16a6732"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0 082efa98 ec4e6c89",
            "59cd1dbb b8879579 86b5d00c ac8b6d84",
        ),
    ],
)
def test_folding_is_threefry(counter: str, key: str, expected: str) -> None:
    counter_words, key_words = ([np.array([int(w, 16)], np.uint32) for w in t.split()] for t in (counter, key))
    result = battery.threefry(tuple(key_words), tuple(counter_words))
    assert [f"{w[0]:08x}" for w in result] == expected.split()


def test_keys_agree_in_jax_python_and_numpy() -> None:
    words = tuple(int(w) for w in random.root(2**64 - 5).words)
    assert words == random.scalar_fold(random.STREAM_VERSION, *random.ROOT, 2**32 - 5, 2**32 - 1, 0)
    assert random.scalar_fold(0, 0, 0, 0, 0, 0, 0) == (0x9C6CA96A, 0xE17EAE66, 0xFC10ECD4, 0x5256A7D8)
    low, high = random.name_words("kernel")
    key = random.instance(random.root(1), "kernel")
    k0, k1, k2, k3 = random.root(1).words.tolist()
    assert tuple(key.words.tolist()) == random.scalar_fold(k0, k1, k2, k3, low, high, random.TAG_INSTANCE)
    assert [int(w[0]) for w in KEY_WORDS] == KEY.words.tolist()
    for step in (0, 1, 2**31, 2**32 - 1):
        expected = [int(w[0]) for w in battery.stream(step=step)]
        at_step = random.at_step(random.instance(random.root(1), "kernel"), step)
        assert random.purpose(at_step, "draw").words.tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_draws_agree_in_jax_python_and_numpy(n: int) -> None:
    words = np.random.default_rng(n).integers(0, 2**32, (n, 20_000), dtype=np.uint32)
    words[:, :2] = [[0, 2**32 - 1]] * n
    draws = np.asarray(random.bits(KEY, *words))
    assert draws.dtype == np.uint32
    np.testing.assert_array_equal(draws, battery.hashed(KEY_WORDS, *words))
    key = (int(KEY.words[0]), int(KEY.words[1]), int(KEY.words[2]), int(KEY.words[3]))
    scalars = [random.scalar_bits(key, tuple(int(w) for w in words[:, i])) for i in range(500)]
    assert draws[:500].tolist() == scalars


u32 = np.uint32


@numba.njit
def numba_mix(x, multiplier):  # type: ignore[no-untyped-def]
    y = u32(u32(x ^ (x >> u32(16))) * multiplier)
    return u32(y ^ (y >> u32(15)))


@numba.njit
def numba_draws(key, ids, out):  # type: ignore[no-untyped-def]
    """The loop as a numba op writes it: every operation is cast back to uint32."""
    a0 = numba_mix(key[0], u32(0x21F0AAAD))  # the high word 0 is absorbed first
    b0 = numba_mix(u32(u32(key[1] + u32(2 * 0x9E3779B9 % 2**32)) + a0), u32(0xD35A2D97))
    a0 = u32(a0 + b0)
    for i in range(ids.size):
        a = numba_mix(u32(ids[i] ^ a0), u32(0x21F0AAAD))
        b = numba_mix(u32(b0 + a), u32(0xD35A2D97))
        a = numba_mix(u32(u32(a + b) ^ key[2]), u32(0x85EBCA6B))
        b = numba_mix(u32(u32(b ^ key[3]) + a), u32(0xC2B2AE35))
        c = u32(u32(a + b) * u32(0xED5AD4BB))
        out[i] = u32(c ^ (c >> u32(16)))


def test_draws_agree_in_numba() -> None:
    ids = np.arange(1_000_000, dtype=np.uint32) * u32(2654435761)
    out = np.empty_like(ids)
    numba_draws(np.asarray(KEY.words), ids, out)
    np.testing.assert_array_equal(out, np.asarray(random.agent_bits(KEY, jnp.asarray(ids))))


def test_golden_values() -> None:
    """If this fails, every trajectory changes: raise STREAM_VERSION, say so in CHANGELOG.md, pin the new values."""
    assert random.STREAM_VERSION == 1
    assert random.root(0).words.tolist() == GOLDEN["root"]
    assert KEY.words.tolist() == GOLDEN["key"]
    assert random.agent_bits(KEY, jnp.arange(4, dtype=jnp.uint32)).tolist() == GOLDEN["agents"]
    assert [int(random.bits(KEY, *range(1, n + 1))) for n in range(1, 6)] == GOLDEN["tuples"]
    assert random.uniform(KEY, IDS[:3]).tolist() == GOLDEN["uniform"]
    assert random.normal(KEY, IDS[:3]).tolist() == pytest.approx(GOLDEN["normal"], rel=1e-5)


# ---- a draw belongs to its name -----------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [random.agent_bits, random.uniform, random.normal])
def test_growing_a_population_changes_no_draw(draw) -> None:  # type: ignore[no-untyped-def]
    whole = np.asarray(jax.jit(draw)(KEY, IDS))
    for n in (1, 7, 1000, 99_991):
        np.testing.assert_array_equal(np.asarray(jax.jit(draw)(KEY, IDS[:n])), whole[:n])
    np.testing.assert_array_equal(np.asarray(draw(KEY, IDS[::-1])), whole[::-1])


def test_draws_are_the_same_under_jit_vmap_and_scan() -> None:
    inst = random.instance(random.root(7), "kernel")

    def at(step, ids):  # type: ignore[no-untyped-def]
        return random.agent_bits(random.purpose(random.at_step(inst, step), "x"), ids)

    ids = IDS[:1001]
    one_by_one = np.stack([np.asarray(at(step, ids)) for step in range(5)])
    steps = jnp.arange(5, dtype=jnp.int32)
    np.testing.assert_array_equal(one_by_one, jax.vmap(at, (0, None))(steps, ids))
    np.testing.assert_array_equal(one_by_one, jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))(steps, ids))
    np.testing.assert_array_equal(
        one_by_one, jax.jit(lambda ids: lax.scan(lambda c, s: (c, at(s, ids)), 0, steps)[1])(ids)
    )
    np.testing.assert_array_equal(one_by_one, lax.map(lambda s: at(s, ids), steps))
    seeds = jnp.array([[7, 0], [8, 0], [7, 1]], dtype=jnp.uint32)
    words = jax.jit(jax.vmap(random.root))(seeds).words
    for row, seed in zip(words, (7, 8, 7 + 2**32), strict=True):
        assert row.tolist() == random.root(seed).words.tolist()


SHARDED = """
import hashlib, jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from lpm import random
assert len(jax.devices()) == 4
ids = jnp.arange(99_996, dtype=jnp.uint32)
ids = jax.device_put(ids, NamedSharding(Mesh(np.array(jax.devices()), "i"), PartitionSpec("i")))
key = random.purpose(random.at_step(random.instance(random.root(1), "kernel"), 9), "draw")
for draw in (random.agent_bits, random.uniform, random.normal):
    out = jax.jit(draw)(key, ids)
    assert len(out.sharding.device_set) == 4
    print(hashlib.sha256(np.asarray(out).tobytes()).hexdigest())
"""


def test_draws_are_the_same_on_four_devices() -> None:
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run([sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if jax.default_backend() != "cpu":
        pytest.skip("the other side of the comparison needs the CPU backend")
    here = [jax.jit(draw)(KEY, IDS[:99_996]) for draw in (random.agent_bits, random.uniform, random.normal)]
    assert done.stdout.split() == [hashlib.sha256(np.asarray(x).tobytes()).hexdigest() for x in here]


def test_every_part_of_the_name_counts() -> None:
    root = random.root(3)
    low, high = random.name_words("a")
    assert high != 0
    keys = {
        "seed": random.root(4),
        "high seed": random.root(3 + (1 << 32)),
        "instance": random.instance(root, "a"),
        "purpose": random.purpose(root, "a"),
        "step": random.at_step(root, low),
        "step 0": random.at_step(root, 0),
        "order": random.instance(random.purpose(root, "a"), "b"),
        "other order": random.purpose(random.instance(root, "b"), "a"),
        "twice": random.instance(random.instance(root, "a"), "a"),
        "empty": random.purpose(root, ""),
    }
    tuples = [(1,), (1, 0), (0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0, 0), (0, 0, 0, 1), (1, 0, 0, 0, 0)]
    ids = IDS[1:1001]  # 0 would make the words of different places the same
    rows = [np.asarray(random.agent_bits(k, ids)) for k in (root, *keys.values())]
    rows += [np.asarray(random.bits(root, *(ids if w else 0 for w in t))) for t in tuples if t != (1, 0)]
    for i, first in enumerate(rows):  # 171 pairs of 1000 draws: a chance of 4e-5 for one agreement, 1e-9 for two
        assert sum(int((first == other).sum()) for other in rows[:i]) < 2


def test_words_of_other_integer_types_are_the_same_words() -> None:
    small = np.arange(100)
    expected = random.agent_bits(KEY, IDS[:100])
    for dtype in (np.int32, np.uint16, np.uint8, np.int8):
        np.testing.assert_array_equal(random.agent_bits(KEY, jnp.asarray(small.astype(dtype))), expected)
    np.testing.assert_array_equal(random.bits(KEY, jnp.int32(-1), 0), random.bits(KEY, 2**32 - 1, 0))
    with jax.enable_x64(True):
        draws = random.uniform(KEY, IDS[:100])
        assert draws.dtype == jnp.float32
        assert random.normal(KEY, IDS[:100]).dtype == jnp.float32
        assert random.threshold(0.5).dtype == jnp.uint32
    np.testing.assert_array_equal(draws, random.uniform(KEY, IDS[:100]))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: random.root(-1), "seed: expected"),
        (lambda: random.root(1 << 64), "seed: expected"),
        (lambda: random.root(True), "seed: expected"),
        (lambda: random.root(1.0), "seed: expected"),  # type: ignore[arg-type]
        (lambda: random.root(jnp.zeros(3, jnp.uint32)), "seed: expected"),
        (lambda: random.at_step(KEY, -1), "step: expected"),
        (lambda: random.at_step(KEY, jnp.float32(1)), "step: expected"),
        (lambda: random.bits(KEY), "1 to 5 words"),
        (lambda: random.bits(KEY, 1, 2, 3, 4, 5, 6), "1 to 5 words"),
        (lambda: random.bits(KEY, 1 << 32), "word 0: expected"),
        (lambda: random.bits(KEY, 0, np.arange(3, dtype=np.int64)), "word 1: expected"),
        (lambda: random.bits(KEY, IDS > 5), "word 0: expected"),
        (lambda: random.uniform(KEY, jnp.ones(3)), "word 0: expected"),
        (lambda: random.threshold(1.5), "threshold: expected"),
        (lambda: random.threshold(float("nan")), "threshold: expected"),
        (lambda: random.threshold(np.array([0.5, -1e-9])), "threshold: expected"),
    ],
)
def test_bad_input_is_refused(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=text):
        call()


# ---- thresholds ---------------------------------------------------------------------------------------------------


def test_probability_one_always_happens_and_zero_never() -> None:
    edge = jnp.array([0, 1, 2**31, 2**32 - 2, 2**32 - 1], dtype=jnp.uint32)
    assert random.happens(edge, random.threshold(1.0)).all()
    assert not random.happens(edge, random.threshold(0.0)).any()
    assert random.happens(edge, random.threshold(1.0 - 2.0**-24)).tolist() == [True, True, True, False, False]
    assert random.happens(edge, random.threshold(2.0**-32)).tolist() == [True, False, False, False, False]
    assert random.happens(edge, jnp.uint32(2**32 - 2)).tolist() == [True, True, True, False, False]
    beside = jnp.array([-0.5, 1.5, jnp.nan, 2.0, jnp.inf, -jnp.inf, 1e-45, -0.0], dtype=jnp.float32)
    assert jax.jit(random.threshold)(beside).tolist() == [0, 2**32 - 1, 0, 2**32 - 1, 2**32 - 1, 0, 0, 0]


def test_a_threshold_is_its_probability() -> None:
    p = np.random.default_rng(0).random(100_000).astype(np.float32) ** np.arange(1, 9, dtype=np.float32)[:, None]
    p = np.append(p, np.nextafter(np.float32(1), np.float32(0)))
    t = np.asarray(random.threshold(p), np.float64)
    assert (t <= p * 2.0**32).all() and (t > p.astype(np.float64) * 2.0**32 - 1).all()


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


@pytest.mark.parametrize("name", AXES)
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
    repeats = x.size - np.unique(x).size
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


def test_the_battery_writes_the_axis(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["random_battery.py", "agent", "--gib", str(4000 / 2**30)])
    battery.main()
    out = np.frombuffer(capfdbinary.readouterr().out, "<u4")
    np.testing.assert_array_equal(out, next(islice(battery.agent(1), 1))[:1000])


GOLDEN: dict[str, list] = {
    "root": [1882935806, 2788819729, 1565192671, 1365645972],
    "key": [876578459, 1061902467, 2412855509, 1332291868],
    "agents": [4104171814, 1675815394, 3206725365, 3743183774],
    "tuples": [856139778, 3506167446, 1749487470, 780577652, 575154548],
    "uniform": [0.9555769562721252, 0.39018112421035767, 0.7466238737106323],
    "normal": [1.7015165090560913, -0.27884694933891296, 0.6639033555984497],
}
