"""Registering a loop as a function that XLA calls.

A loop is `work(frame, stage, part, parts)`: it does part `part` of `parts` of a stage; parts of a stage may run at the
same time, stages follow each other. It is compiled once per process, and kept on disk by numba. Several devices may
call one loop from several threads, so that only a threading layer that allows it is used; else parts follow each other.
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
from numba import extending, types

from lpm.ops.loops.frame import answered
from lpm.types import Array

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context

WORK = types.void(types.uint64, types.int64, types.int64, types.int64)
PARTS_PER_THREAD = 4  # so that a part that takes longer does not keep the other threads waiting for long


@intrinsic
def _call(_: Any, loop: Any, frame: Any, stage: Any, part: Any, parts: Any) -> Any:
    """Call the compiled loop at address `loop`."""
    from llvmlite import ir

    def codegen(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        long = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [long] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return ir.Constant(long, 0)

    given = (types.uint64, types.uint64, types.int64, types.int64, types.int64)
    return types.int64(*given), codegen


@numba.njit("void(uint64, uint64, int64, int64)", parallel=True, cache=True)
def _together(loop: Any, frame: Any, stages: Any, parts: Any) -> None:
    for stage in range(stages):
        for part in numba.prange(parts):
            _call(loop, frame, np.int64(stage), np.int64(part), parts)


@numba.njit("void(uint64, uint64, int64, int64)", cache=True)
def _in_turn(loop: Any, frame: Any, stages: Any, parts: Any) -> None:
    for stage in range(stages):
        for part in range(parts):
            _call(loop, frame, np.int64(stage), np.int64(part), parts)


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
def _target(make: Callable[[str], Callable[..., None]], text: str, stages: int) -> str:
    """Compile the loop that `make` returns for `text`, register it with XLA, and return the name it has there."""
    name = f"lpm.{make.__module__}.{make.__qualname__}.{hashlib.sha256(text.encode()).hexdigest()[:24]}.{stages}"
    loop = numba.cfunc(WORK, cache=True, error_model="numpy")(make(f"{text}#{digest()}"))
    drive, where, parts = _together if threads() > 1 else _in_turn, loop.address or 0, parts_at_once()

    @numba.cfunc(types.uint64(types.uint64))
    def handle(frame: Any) -> Any:
        if not answered(frame):
            drive(np.uint64(where), frame, stages, parts)
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

    Args:
        make: Module-level function that returns the loop for `text` (which it may bind, and nothing else).
        results: Shapes and dtypes of what the loop writes.
        operands: What it reads.
        text: What the loop is specialised for.
        stages: Number of stages.
    """
    name = _target(make, text, stages)
    return list(jax.ffi.ffi_call(name, list(results), vmap_method="sequential")(*operands))
