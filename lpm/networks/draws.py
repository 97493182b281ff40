"""Randomness of the network builders: a 64-bit hash of integers, in numba, the same bits on every platform.

A builder's draw is a function of (seed, builder, what it decides about), so that any split of the rows gives the same
graph. The mixer is the output function of SplitMix64 (Steele, Lea & Flood 2014, 10.1145/2660193.2660195); a stream is
its sequence of outputs from a hashed start. Logarithms are computed here, from multiplications and divisions that IEEE
754 rounds one way, because the last bit of a C library's `log` differs between platforms.

Every operation casts its operands: numba turns uint64 mixed with a signed integer into a float. (numba's cache looks
only at the file of the cached function: after a change here, delete `__pycache__` of the builders.)
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
LOW_HALF = np.uint64(0xFFFFFFFF)
ONE = np.uint64(1)
S11, S27, S30, S31, S32 = (np.uint64(bits) for bits in (11, 27, 30, 31, 32))
UNIT = 2.0**-53
LN2 = math.log(2.0)


def stream(seed: int, *names: str) -> np.uint64:
    """Return the 64-bit start of a stream named by a seed and texts (a builder's name, a layer's name)."""
    text = "\0".join((str(int(seed)), *names)).encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def layer_seed(seed: int, layer: str) -> int:
    """Return the seed of a layer, so that two layers made by one builder from one seed differ."""
    return int(stream(seed, "layer", layer) >> np.uint64(1))


@njit(cache=True)
def mixed(x):  # type: ignore[no-untyped-def]
    """Return the mixed bits of a uint64."""
    x = np.uint64(x)
    x = (x ^ (x >> S30)) * FIRST
    x = (x ^ (x >> S27)) * SECOND
    return x ^ (x >> S31)


@njit(cache=True)
def hashed(start, number):  # type: ignore[no-untyped-def]
    """Return draw `number` (an integer >= 0) of the stream that begins at `start`, as a uint64."""
    return mixed(np.uint64(start) + GOLDEN * (np.uint64(number) + ONE))


@njit(cache=True)
def unit(bits):  # type: ignore[no-untyped-def]
    """Return a float64 in (0, 1], a multiple of 2^-53, from a uint64."""
    return np.float64(np.int64(np.uint64(bits) >> S11) + np.int64(1)) * UNIT


@njit(cache=True)
def below(bits, count):  # type: ignore[no-untyped-def]
    """Return an int64 in [0, count) from a uint64; count < 2^32 (the high word of bits x count)."""
    n = np.uint64(count)
    bits = np.uint64(bits)
    return np.int64(((bits >> S32) * n + (((bits & LOW_HALF) * n) >> S32)) >> S32)


@njit(cache=True)
def log_unit(x):  # type: ignore[no-untyped-def]
    """Return ln x of a float64 in (0, 1], to 2 units in the last place: x = m 2^e, ln m = 2 artanh((m-1)/(m+1))."""
    mantissa, exponent = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        exponent -= 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    series = 1.0 / 19.0 + z * (1.0 / 21.0)
    series = 1.0 / 15.0 + z * (1.0 / 17.0 + z * series)
    series = 1.0 / 11.0 + z * (1.0 / 13.0 + z * series)
    series = 1.0 / 7.0 + z * (1.0 / 9.0 + z * series)
    series = 1.0 / 3.0 + z * (1.0 / 5.0 + z * series)
    return np.float64(exponent) * LN2 + 2.0 * s * (1.0 + z * series)


@njit(cache=True)
def log_without(p):  # type: ignore[no-untyped-def]
    """Return ln(1 - p) of a float64 in [0, 1), exact for small p."""
    if p > 0.25:
        return log_unit(1.0 - p)
    s = -p / (2.0 - p)
    z = s * s
    series = 1.0 / 15.0 + z * (1.0 / 17.0 + z * (1.0 / 19.0))
    series = 1.0 / 7.0 + z * (1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0 + z * series)))
    return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * series)))
