"""Draws: that they are the numbers they are named to be, wherever they are written. Nothing here is left to chance."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import islice

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from jax import lax

from lpm import random
from lpm.errors import InputError

from .battery import IDS, KEY, KEY_WORDS, battery

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
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=4")  # compiled as here
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
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
