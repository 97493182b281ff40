"""What the memory of the machine at hand allows: seconds of a look-up and of a byte, by how much memory they go over.

Plain compiled loops on all cores, as `lpm bench` measures them, but in seconds of all processors together, so that
other work on the machine shows little; on an accelerator in seconds of the clock. They go over arrays from what fits
the first cache to what fits none: beyond the caches a look-up at random costs many times as much.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

SIZES = tuple(2**power for power in range(14, 29, 2))
"""Bytes of the tables that are looked up, 16 KB to 256 MB."""

STREAMS = tuple(2**power for power in range(20, 29, 2))
"""Bytes of the arrays that are read in order, 1 MB to 256 MB."""

LOOKUPS = 1 << 20
"""Look-ups that are timed at once."""

REPEATS = 3


@numba.njit(parallel=True, cache=True)
def _gather(indices: Any, values: Any) -> Any:
    total = 0
    for e in numba.prange(len(indices)):
        total += np.int64(values[indices[e]])
    return total


@numba.njit(parallel=True, cache=True)
def _stream(block: Any, turns: Any) -> Any:
    total = 0
    for turn in range(turns):
        for i in numba.prange(len(block)):
            total += block[i] ^ turn
    return total


@dataclass(frozen=True)
class Rooflines:
    """Measured curves.

    Attributes:
        tables: Bytes of a table, rising.
        lookup: Seconds of one look-up at random in it, with the reading of its 4-byte index, by width of the value.
        arrays: Bytes of an array, rising.
        byte: Seconds of reading one byte in order from it.
    """

    tables: tuple[int, ...]
    lookup: dict[int, tuple[float, ...]]
    arrays: tuple[int, ...]
    byte: tuple[float, ...]

    def lookup_seconds(self, table: float, width: int) -> float:
        """Return seconds of a look-up in a table of so many bytes; beyond what was measured it goes on rising."""
        curve = self.lookup[1 if width < 4 else 4]
        if table <= self.tables[-1]:
            return float(np.interp(np.log2(max(table, 1)), np.log2(self.tables), curve))
        slope = max((curve[-1] - curve[-2]) / np.log2(self.tables[-1] / self.tables[-2]), 0.0)
        return float(curve[-1] + slope * np.log2(table / self.tables[-1]))

    def byte_seconds(self, array: float) -> float:
        """Return seconds of a byte read in order from an array of so many bytes."""
        return float(np.interp(np.log2(max(array, 1)), np.log2(self.arrays), self.byte))


@functools.cache
def measured() -> Rooflines:
    """Return the curves of the machine at hand; measured once in a process, in some seconds."""
    import jax

    gather, stream = _loops() if jax.default_backend() == "cpu" else _programs()
    chance = np.random.default_rng(1)
    lookup: dict[int, tuple[float, ...]] = {}
    for width, kind in ((1, np.uint8), (4, np.float32)):
        curve: list[float] = []
        for size in SIZES:
            values = np.ones(size // width, kind)
            indices = chance.integers(0, len(values), LOOKUPS, dtype=np.int32)
            curve.append(min(gather(indices, values) for _ in range(REPEATS)) / LOOKUPS)
        lookup[width] = tuple(np.maximum.accumulate(curve))
    byte: list[float] = []
    for size in STREAMS:
        block = np.ones(size // 4, np.int32)
        turns = max(1, (1 << 26) // size)
        byte.append(min(stream(block, turns) for _ in range(REPEATS)) / (turns * block.nbytes))
    return Rooflines(SIZES, lookup, STREAMS, tuple(np.maximum.accumulate(byte)))


Timed = Callable[[Any, Any], float]
"""Seconds that a loop takes."""


def _loops() -> tuple[Timed, Timed]:
    """Return the look-up and the reading on a CPU, compiled."""
    for kind in (np.uint8, np.float32):
        _gather(np.zeros(8, np.int32), np.ones(8, kind))
    _stream(np.ones(8, np.int32), 1)
    return (lambda indices, values: _timed(_gather, indices, values)), (lambda block, n: _timed(_stream, block, n))


def _programs() -> tuple[Timed, Timed]:
    """Return the look-up and the reading on an accelerator, in seconds of the clock."""
    import jax
    import jax.numpy as jnp

    def seconds(function: Callable[..., Any], *arguments: Any) -> float:
        given = [jax.device_put(each) for each in arguments]
        jax.block_until_ready(function(*given))  # compiles
        clock = time.perf_counter()
        jax.block_until_ready(function(*given))
        return time.perf_counter() - clock

    gather = jax.jit(lambda indices, values: values[indices].astype(jnp.int32).sum())
    stream = jax.jit(lambda block, n: jax.lax.fori_loop(0, n, lambda i, s: s + (block ^ i).sum(), jnp.int32(0)))
    return (lambda i, v: seconds(gather, i, v)), (lambda b, n: seconds(stream, b, np.int32(n)))


def _timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds of all processors together."""
    clock = time.process_time()
    function(*arguments)
    return time.process_time() - clock
