"""Which implementation of an op runs: the XLA reference, or a faster backend that gives the same bits.

An op's file defines its reference and registers it; another backend registers itself under the same name. The choice is
made while a step is traced, so that it costs nothing when the step runs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import lpm.ops
from lpm.errors import InputError, unknown

BACKENDS = ("xla", "numba", "pallas")
"""Names that `--backend` takes beside "auto"."""

PREFERENCE = {"cpu": ("numba", "xla"), "gpu": ("pallas", "xla"), "tpu": ("xla",)}
"""What "auto" tries on a platform, in this order."""

Implementation = TypeVar("Implementation", bound=Callable[..., Any])
_TABLE: dict[str, dict[str, Callable[..., Any]]] = {}
_CHOSEN: ContextVar[str] = ContextVar("backend", default="auto")


def implement(op: str, backend: str) -> Callable[[Implementation], Implementation]:
    """Register the decorated function as the implementation of `op` on `backend`."""

    def register(function: Implementation) -> Implementation:
        _TABLE.setdefault(op, {})[backend] = function
        return function

    return register


@contextmanager
def using(backend: str) -> Generator[None]:
    """Force a backend for what is traced inside; "auto" prefers the fastest that exists.

    Raises:
        InputError: There is no such backend.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise unknown("backend", "backend", backend, ("auto", *BACKENDS))
    token = _CHOSEN.set(backend)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def forced() -> bool:
    """Return whether a backend was named, rather than left to be chosen."""
    return _CHOSEN.get() != "auto"


def unavailable(backend: str) -> str:
    """Return why a backend cannot be used here, "" where it can."""
    if backend != "numba":
        return ""
    from lpm.ops.loops.trust import verdict

    return verdict()


def chosen(op: str, platform: str | None = None) -> tuple[str, str]:
    """Return the backend that `op` would run on, and why.

    Raises:
        InputError: The forced backend has no implementation of this op, or does not work here.
    """
    import jax

    have, wanted = _TABLE[op], _CHOSEN.get()
    if wanted != "auto":
        if wanted not in have:
            raise InputError(f"backend '{wanted}': op '{op}' has no such implementation; it has {', '.join(have)}")
        if reason := unavailable(wanted):
            raise InputError(f"backend '{wanted}' does not work here: {reason}")
        return wanted, "forced"
    platform = platform or jax.default_backend()
    passed: list[str] = []
    for name in PREFERENCE.get(platform, ("xla",)):
        if name not in have:
            passed.append(f"{name}: none for this op")
        elif reason := unavailable(name):
            passed.append(f"{name}: {reason}")
        elif name != "xla" and have[name] is have["xla"]:
            passed.append(f"{name}: no loop of its own, none is faster")
        else:
            return name, "; ".join([f"first choice on {platform}" if not passed else f"on {platform}", *passed])
    raise AssertionError(f"op '{op}' lost its XLA reference")


def implementation(op: str) -> Callable[..., Any]:
    """Return the function that runs `op` now."""
    return _TABLE[op][chosen(op)[0]]


def table() -> dict[str, tuple[str, ...]]:
    """Return every op and the backends that it has."""
    for module in pkgutil.iter_modules(lpm.ops.__path__):  # registers every op
        if not module.ispkg:
            importlib.import_module(f"lpm.ops.{module.name}")
    return {op: tuple(have) for op, have in sorted(_TABLE.items())}
