"""Registering a loop as a function that XLA calls.

A loop is `work(frame, stage, part, parts)`: it does part `part` of `parts` of a stage; parts of a stage may run at the
same time, stages follow each other (`drive` sees to both, and to the members of a batch). It is compiled once per
process, and kept on disk by numba. Several devices may call one loop from several threads, so that only a threading
layer that allows it is used; else parts follow each other.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numba
import numpy as np
from numba import types

from lpm.ops.loops.drive import in_turn, together
from lpm.ops.loops.frame import answered
from lpm.types import Array

WORK = types.void(types.uint64, types.int64, types.int64, types.int64)
PARTS_PER_THREAD = 4  # so that a part that takes longer does not keep the other threads waiting for long


@functools.cache
def threads() -> int:
    """Return how many threads a loop runs on: 1 where no threading layer is safe to call from several threads."""
    settings: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]
    settings.THREADING_LAYER = "threadsafe"  # no effect if another layer already runs in this process
    try:
        _warm(np.zeros(2))
        layer = numba.threading_layer()  # pyright: ignore[reportPrivateImportUsage]
    except ValueError:
        return 1
    return numba.get_num_threads() if layer in ("omp", "tbb") else 1


@numba.njit(parallel=True, cache=True)
def _warm(values: Any) -> None:
    for i in numba.prange(len(values)):
        values[i] = i


def parts_at_once() -> int:
    """Return into how many parts a stage is cut."""
    return threads() * PARTS_PER_THREAD if threads() > 1 else 1


@functools.cache
def digest() -> str:
    """Return a digest of these loops' source: part of every name on disk, because numba looks at one file only."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


@functools.cache
def _target(make: Callable[[str], Callable[..., None]], text: str, stages: int, rank: int) -> str:
    """Compile the loop that `make` returns for `text`, register it with XLA, and return the name it has there.

    The first result of a call that is no batch has `rank` dimensions.
    """
    told = f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.{stages}.{rank}"
    name = f"lpm.{make.__module__}.{make.__qualname__}.{told}"
    loop = numba.cfunc(WORK, cache=True, error_model="numpy")(make(f"{text}#{digest()}"))
    drive, where, parts = together if threads() > 1 else in_turn, loop.address or 0, parts_at_once()

    @numba.cfunc(types.uint64(types.uint64))
    def handle(frame: Any) -> Any:
        if not answered(frame):
            drive(np.uint64(where), frame, stages, parts, rank)
        return np.uint64(0)

    _KEPT.append((loop, handle))
    pointer = ctypes.pythonapi.PyCapsule_New
    pointer.restype, pointer.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    jax.ffi.register_ffi_target(name, pointer(handle.address, None, None), platform="cpu", api_version=1)
    return name


_KEPT: list[Any] = []
"""Compiled functions whose addresses XLA holds."""


def call(
    make: Callable[[str], Callable[..., None]],
    results: Sequence[jax.ShapeDtypeStruct],
    *operands: Array,
    text: str = "",
    stages: int = 1,
) -> list[Array]:
    """Return the results of a loop inside a traced function.

    Under `jax.vmap` one call runs the loop for all members; what they share is passed once, and not copied.

    Args:
        make: Module-level function that returns the loop for `text` (which it may bind, and nothing else).
        results: Shapes and dtypes of what the loop writes.
        operands: What it reads.
        text: What the loop is specialised for.
        stages: Number of stages.
    """
    name = _target(make, text, stages, len(results[0].shape))
    return list(jax.ffi.ffi_call(name, list(results), vmap_method="expand_dims")(*operands))
