"""Derivatives that a kernel does not claim are refused, not returned as zero.

A draw compared with a threshold ends in an integer, whose derivative is 0: an optimiser would stand still on it, or
follow the few floats that do move. So every registered kernel has a guard around `prepare`, `init` and `step`, which
raises where JAX differentiates by

- a parameter, or float column that it reads, of a kernel whose rule is not in `lpm.kernel.DIFFERENTIABLE`,
- a parameter that a differentiable kernel declares as `hard`.

Where nothing is differentiated the guard is nothing: compiled programs are the same with and without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import DIFFERENTIABLE, Kernel
from lpm.types import Array, Tables


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _refused(value: Array, told: str) -> Array:
    return value


@_refused.defjvp
def _(told: str, primals: tuple[Array], tangents: tuple[Array]) -> Any:  # pyright: ignore[reportUnusedFunction]
    raise InputError(told)


def held(values: Any, told: str) -> Any:
    """Return a pytree whose floats cannot be differentiated by: JAX raises `InputError(told)` where it would."""

    def one(leaf: Any) -> Any:
        floating = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return _refused(leaf, told) if floating else leaf

    return jax.tree.map(one, values)


class _Held(dict[str, Any]):
    """The columns of a table, guarded when they are looked at."""

    def __init__(self, columns: Mapping[str, Array], told: str):
        super().__init__(columns)
        self._columns, self._told = columns, told

    def __getitem__(self, name: str) -> Any:
        return held(self._columns[name], f"{self._told} by column '{name}'")


def guard(kernel: type[Kernel]) -> None:
    """Put the guard around a kernel's methods."""
    if kernel.gradient in DIFFERENTIABLE and not kernel.hard:
        return
    for name in ("prepare", "init", "step"):
        setattr(kernel, name, classmethod(_guarded(getattr(kernel, name).__func__, kernel)))


def _guarded(method: Callable[..., Any], kernel: type[Kernel]) -> Callable[..., Any]:
    """Return a method that takes (tables, params) among its arguments, with these guarded."""
    keyed = method.__name__ != "prepare"

    @wraps(method)
    def inner(cls: type[Kernel], *given: Any) -> Any:
        # prepare(params, tables, clock), init(key, tables, params, clock), step(key, tables, networks, params, clock)
        values, at = list(given), len(given) - 2 if keyed else 0
        values[at] = _parameters(values[at], kernel)
        if kernel.gradient not in DIFFERENTIABLE:
            values[1] = _tables(values[1], kernel)
        return method(cls, *values)

    return inner


def _parameters(params: Any, kernel: type[Kernel]) -> Any:
    told = f"kernel '{kernel.name}': no derivative"
    if kernel.gradient not in DIFFERENTIABLE:
        return held(params, f"{told} by its parameters (its gradient rule is '{kernel.gradient}'); {HINT}")
    if not isinstance(params, kernel.Params):
        return params  # what `prepare` made of guarded parameters
    fixed = {
        name: held(getattr(params, name), f"{told} by '{name}', which acts through draws or thresholds; {HINT}")
        for name in kernel.hard
    }
    return dataclasses.replace(params, **fixed)


def _tables(tables: Tables, kernel: type[Kernel]) -> Tables:
    told = f"kernel '{kernel.name}' (its gradient rule is '{kernel.gradient}'): no derivative"
    return {name: _Held(columns, told) for name, columns in tables.items()}


HINT = "take finite differences under common random numbers, or hold it by jax.lax.stop_gradient"
