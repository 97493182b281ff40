"""Random numbers that belong to an agent or an edge: each is a pure function of what it is for, and keeps no state.

A draw is named by (seed, stream version, step, kernel instance, purpose, tuple of words). The scalar part of the name
is folded into a `Key` of 128 bits by Threefry-4x32 with 20 rounds (a tree of keyed functions); the tuple, an agent's
64-bit id or an edge's (layer, source, target, multiplicity), is hashed under that key by `bits`, which is short enough
to fuse into the elementwise computation that consumes it. So no draw depends on how many other draws there are, in
which order or on which device they are made: a population can grow, be cut over devices, batched over seeds or run in
chunks, and every agent keeps its numbers.

    key = purpose(at_step(instance(root(seed), "seir"), step), "infection")
    fires = happens(agent_bits(key, ids), threshold(p))

The hash. All arithmetic is modulo 2^32; `k` is the key's words; the state (a, b) starts at (k0, k1 + n G), n being the
number of words. A word w is absorbed by

    a <- X(a ^ w, M0);  b <- X(b + a, M1);  a <- a + b           where X(x, M) = y ^ (y >> 15), y = (x ^ (x >> 16)) M

in the order last, first, then the others (so that a high word, a layer and a multiplicity that are the same for all
are absorbed once, outside the loop). The state is a one-to-one function of any two words, so two agents, or two edges
of a layer, never share it. It ends with

    a <- X(a ^ k2, M2);  b <- X((b ^ k3) + a, M3);  c <- (a + b) M4;  draw = c ^ (c >> 16)

Taking 32 of 64 bits makes id -> draw a random function, not a permutation: repeats are as frequent as chance has them.
M0 and M1 are the multipliers of the mixer "lowbias32" (C. Wellons, 2018, "Prospecting for hash functions"), M4 is one
of his "triple32", M2 and M3 are those of "fmix32" in MurmurHash3 (A. Appleby, 2011). Threefry: J. Salmon, M. Moraes,
R. Dror and D. Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3", doi:10.1145/2063384.2063405. The batteries
that the draws were put through are in tests/benchmarks/RANDOM.md. Not for cryptography.

`scalar_fold` and `scalar_bits` are the same formulas on Python integers, for a host without JAX and as an oracle;
`bits` rewritten for numba needs every operation cast back to uint32.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lpm.errors import InputError
from lpm.types import Array, HostArray

STREAM_VERSION = 1
"""Named in every key: raised whenever a formula in this file changes, because every trajectory changes with it."""

Word: TypeAlias = "Array | HostArray | int"

# What a key was folded with, so that step 3 and a name whose hash is 3 lead to different keys.
TAG_STEP, TAG_INSTANCE, TAG_PURPOSE = 1, 2, 3
# Key of the root fold next to the version: the first hexadecimal digits of pi, numbers with nothing up the sleeve.
ROOT = (0x243F6A88, 0x85A308D3, 0x13198A2E)
# Rotation distances and parity constant of Threefry-4x32 (Salmon et al. 2011; the constant is Skein's, 1.3).
ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
PARITY = 0x1BD11BDA
GOLDEN = 0x9E3779B9  # 2^32 / golden ratio
M0, M1, M2, M3, M4 = 0x21F0AAAD, 0xD35A2D97, 0x85EBCA6B, 0xC2B2AE35, 0xED5AD4BB
MASK = 0xFFFFFFFF
ALWAYS = 0xFFFFFFFF  # the threshold that every draw is below
U = np.uint32


@functools.partial(jax.tree_util.register_dataclass, data_fields=["words"], meta_fields=[])
@dataclass(frozen=True)
class Key:
    """The name of one stream of draws.

    Attributes:
        words: uint32[4]; 128 bits.
    """

    words: Array


def root(seed: int | Array) -> Key:
    """Return the key of a seed under this stream version.

    Args:
        seed: An integer in [0, 2^64), or uint32[2] as (low word, high word), which may be traced.

    Raises:
        InputError: If the seed is out of range, or an array of another shape or dtype.
    """
    if isinstance(seed, (bool, float)):
        raise InputError(f"seed: expected an integer in [0, 2^64) or uint32[2], got {seed!r}")
    if isinstance(seed, (int, np.integer)):
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed: expected an integer in [0, 2^64), got {seed}")
        low, high = U(int(seed) & MASK), U(int(seed) >> 32)
    else:
        if np.shape(seed) != (2,) or seed.dtype != jnp.uint32:
            raise InputError(f"seed: expected an integer in [0, 2^64) or uint32[2], got {seed!r}")
        low, high = seed[0], seed[1]
    return Key(_fold(np.array((STREAM_VERSION, *ROOT), U), low, high, U(0)))


def instance(key: Key, name: str) -> Key:
    """Return the key of a kernel's instance (two strains of one kernel have two names, and so two streams)."""
    low, high = name_words(name)
    return Key(_fold(key.words, U(low), U(high), U(TAG_INSTANCE)))


def at_step(key: Key, step: Word) -> Key:
    """Return the key of a step.

    Args:
        key: The key to fold the step into.
        step: int32 or uint32 scalar, which may be traced, or an integer in [0, 2^32).
    """
    return Key(_fold(key.words, _word(step, "step"), U(0), U(TAG_STEP)))


def purpose(key: Key, name: str) -> Key:
    """Return the key of a purpose ("infection", "recovery"); draws for two purposes are unrelated."""
    low, high = name_words(name)
    return Key(_fold(key.words, U(low), U(high), U(TAG_PURPOSE)))


def bits(key: Key, *words: Word) -> Array:
    """Return one uniform 32-bit integer for each tuple of words.

    Args:
        key: Names the stream.
        words: One to five integer arrays of at most 32 bits, or integers in [0, 2^32), broadcast against each other.
            Agents: (low word of the id, high word). Edges: (layer, source, target, multiplicity). Tuples of different
            length are different names, so (3,) and (3, 0) draw differently. int32 is read as its bit pattern.

    Returns:
        uint32 of the words' common shape.

    Raises:
        InputError: If there are no words or more than five, or one is not an integer of at most 32 bits.
    """
    n = len(words)
    if not 1 <= n <= 5:
        raise InputError(f"bits: expected 1 to 5 words, got {n}")
    given = [_word(w, f"bits: word {i}") for i, w in enumerate(words)]
    k0, k1, k2, k3 = (key.words[i] for i in range(4))
    a, b = k0, k1 + U(n * GOLDEN & MASK)
    for i in absorption_order(n):
        a = _mix(a ^ given[i], M0)
        b = _mix(b + a, M1)
        a = a + b
    a = _mix(a ^ k2, M2)
    b = _mix((b ^ k3) + a, M3)
    c = (a + b) * U(M4)
    return c ^ (c >> U(16))


def agent_bits(key: Key, ids: Array, hi: Word = 0) -> Array:
    """Return one uniform uint32 per agent; `ids` are the low words of the 64-bit ids, `hi` the high words."""
    return bits(key, ids, hi)


def uniform(key: Key, ids: Array, hi: Word = 0) -> Array:
    """Return one float32 per agent, uniform on the multiples of 2^-24 in [0, 1)."""
    return (agent_bits(key, ids, hi) >> U(8)).astype(jnp.float32) * np.float32(2.0**-24)


def normal(key: Key, ids: Array, hi: Word = 0) -> Array:
    """Return one standard normal float32 per agent, the inverse of the distribution function at one draw.

    z = sqrt(2) erfinv(x), where x = (2 m + 1) / 2^24 - 1 for the upper 24 bits m of the draw: an exact float32,
    symmetric about 0. The tails end at +-5.42 standard deviations (chance of more: 6e-8). The float32 erfinv is off by
    at most 6e-6 of z. The draw agrees between backends to the bit, z only as closely as their erfinv do.
    """
    m = (agent_bits(key, ids, hi) >> U(8)).astype(jnp.int32)
    x = (2 * m + (1 - (1 << 24))).astype(jnp.float32) * np.float32(2.0**-24)
    return lax.erf_inv(x) * np.float32(np.sqrt(2.0))


def threshold(p: Array | HostArray | float) -> Array:
    """Return the uint32 that a draw is below with probability p; compare with `happens`.

    The threshold is floor(p 2^32) for the float32 nearest to p: the probability is low by less than 2^-32 of that
    float32. p = 0 never fires. p = 1 has its own threshold, `ALWAYS`, which `happens` lets every draw pass.

    Args:
        p: Probabilities. A number or NumPy array is checked. A JAX array cannot be (it may be traced): there values
            above 1 count as 1, those below 0 and NaN as 0; check parameters against their bounds before.

    Raises:
        InputError: If a number or NumPy array holds something outside [0, 1], or NaN.
    """
    if isinstance(p, (int, float, np.ndarray, np.generic)) and not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise InputError(f"threshold: expected probabilities in [0, 1], got {p}")
    q = jnp.asarray(p, jnp.float32)
    inside = jnp.where((q > 0) & (q < 1), q, np.float32(0))  # the conversion of anything else is not defined
    return jnp.where(q >= 1, U(ALWAYS), (inside * np.float32(2.0**32)).astype(jnp.uint32))


def happens(draws: Array, limit: Array) -> Array:
    """Return whether each draw is below its threshold; `ALWAYS` is passed by all 2^32 draws, 0 by none.

    The draw 2^32 - 1 counts as 2^32 - 2; every threshold t below `ALWAYS` passes exactly t of the 2^32 draws. A hot
    loop in numba says the same as `draw < t or t == ALWAYS`.
    """
    return jnp.minimum(draws, U(ALWAYS - 1)) < limit


def name_words(name: str) -> tuple[int, int]:
    """Return the first 64 bits of SHA-256 of the UTF-8 name as (low word, high word)."""
    digest = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")
    return digest & MASK, digest >> 32


def absorption_order(n: int) -> tuple[int, ...]:
    """Return the order in which `bits` absorbs n words: last, first, then the others."""
    return (0,) if n == 1 else (n - 1, *range(n - 1))


def scalar_fold(k0: int, k1: int, k2: int, k3: int, low: int, high: int, tag: int) -> tuple[int, int, int, int]:
    """Return the words of a folded key: Threefry-4x32-20 of the counter (low, high, tag, 0) under the key."""
    s0, s1, s2, s3, s4 = k0, k1, k2, k3, (PARITY ^ k0 ^ k1 ^ k2 ^ k3) & MASK
    x0, x1, x2, x3 = (low + s0) & MASK, (high + s1) & MASK, (tag + s2) & MASK, s3
    for r in range(20):
        p, q = ROTATIONS[r % 8]
        even = r % 2 == 0  # odd rounds pair the lanes (0, 3) and (2, 1)
        y, z = (x1, x3) if even else (x3, x1)
        x0, x2 = (x0 + y) & MASK, (x2 + z) & MASK
        y, z = (y << p | y >> (32 - p)) & MASK ^ x0, (z << q | z >> (32 - q)) & MASK ^ x2
        x1, x3 = (y, z) if even else (z, y)
        if r % 4 == 3:
            s0, s1, s2, s3, s4 = s1, s2, s3, s4, s0
            x0, x1, x2, x3 = (x0 + s0) & MASK, (x1 + s1) & MASK, (x2 + s2) & MASK, (x3 + s3 + (r + 1) // 4) & MASK
    return x0, x1, x2, x3


def scalar_bits(key: tuple[int, int, int, int], words: tuple[int, ...]) -> int:
    """Return `bits` of one tuple of words, in [0, 2^32), from the key's four words."""
    n = len(words)
    a, b = key[0], (key[1] + n * GOLDEN) & MASK
    for j in range(n):
        i = n - 1 if j == 0 else j - 1
        a = scalar_mix(a ^ words[i], M0)
        b = scalar_mix((b + a) & MASK, M1)
        a = (a + b) & MASK
    a = scalar_mix(a ^ key[2], M2)
    b = scalar_mix(((b ^ key[3]) + a) & MASK, M3)
    c = ((a + b) & MASK) * M4 & MASK
    return c ^ (c >> 16)


def scalar_mix(x: int, multiplier: int) -> int:
    """Return X(x, multiplier), the step of the hash, for x in [0, 2^32)."""
    y = (x ^ (x >> 16)) * multiplier & MASK
    return y ^ (y >> 15)


def _mix(x: Array, multiplier: int) -> Array:
    y = (x ^ (x >> U(16))) * U(multiplier)
    return y ^ (y >> U(15))


def _word(value: Word, where: str) -> Array | np.uint32:
    """Return the value as uint32, refusing what would lose bits."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if not 0 <= value <= MASK:
            raise InputError(f"{where}: expected an integer in [0, 2^32), got {value}; give a 64-bit id as two words")
        return U(value)
    dtype = np.dtype(getattr(value, "dtype", object))
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        raise InputError(f"{where}: expected integers of at most 32 bits, got {dtype}; give 64-bit ids as two words")
    return jnp.asarray(value).astype(jnp.uint32)


@jax.jit
def _fold(words: Array, low: Array, high: Array, tag: Array) -> Array:
    """Return uint32[4]: Threefry-4x32-20 of (low, high, tag, 0) under the key `words`."""
    s = [words[i] for i in range(4)]
    s.append(s[0] ^ s[1] ^ s[2] ^ s[3] ^ U(PARITY))
    x = [low + s[0], high + s[1], tag + s[2], s[3]]
    for r in range(20):
        lanes = ((0, 1), (2, 3)) if r % 2 == 0 else ((0, 3), (2, 1))
        for (i, j), turn in zip(lanes, ROTATIONS[r % 8], strict=True):
            x[i] = x[i] + x[j]
            x[j] = ((x[j] << U(turn)) | (x[j] >> U(32 - turn))) ^ x[i]
        if r % 4 == 3:
            d = r // 4 + 1
            x = [x[i] + s[(d + i) % 5] for i in range(4)]
            x[3] = x[3] + U(d)
            # The barrier keeps XLA from computing the key again for every element that uses it (50 times slower on a
            # CPU); one every four rounds, not only at the end, makes it compile three times faster.
            words = lax.optimization_barrier(jnp.stack(x))
            x = [words[i] for i in range(4)]
    return words
