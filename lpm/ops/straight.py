"""Straight through: an exact result with the derivative of the smooth one that it rounds.

Exact sums are taken of integers, which have no derivative, and by loops that JAX cannot look into. What they round is a
smooth function all the same, and its derivative is theirs but for the rounding. Only derivatives are computed from the
smooth result: where none is asked for, the compiler drops it, and the compiled program is that of the exact one alone.
Derivatives are plain float32 sums: their last bits, unlike those of a trajectory, may depend on devices and backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import jaxpr_as_fun  # pyright: ignore[reportUnknownVariableType]

from lpm.types import Array


@jax.custom_jvp
def _straight(exact: Array, smooth: Array) -> Array:
    return exact


@_straight.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:  # pyright: ignore[reportUnusedFunction]
    return primals[0], tangents[1]


def straight(exact: Any, smooth: Any) -> Any:
    """Return `exact` with the derivative of `smooth`, in forward and in reverse mode.

    Args:
        exact: A pytree of arrays; those that are no floats have no derivative and stay as they are.
        smooth: The same pytree, computed from what it is to be differentiated by.
    """

    def one(known: Array, like: Array) -> Array:
        return _straight(known, like) if jnp.issubdtype(known.dtype, jnp.floating) else known

    return jax.tree.map(one, exact, smooth)


COSTLY = "costly"
"""Name of the floats that reverse mode keeps rather than computes again, where it keeps little (`lpm.trajectory`)."""


def kept(values: Any) -> Any:
    """Return a pytree whose floats cost much to compute and little to keep: one an agent from all of its arcs."""
    return jax.tree.map(lambda leaf: checkpoint_name(leaf, COSTLY) if is_float(leaf) else leaf, values)


def is_float(values: Any) -> bool:
    """Return whether an array has a derivative."""
    return bool(jnp.issubdtype(values.dtype, jnp.floating))


def severed(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Return an elementwise function that closes over numbers without their derivatives.

    A loop takes the traced numbers that a function closes over as operands; a derivative by them would look into it.

    Args:
        function: Called with scalars.
        *arguments: What it is given: pytrees of anything with a dtype.
    """
    leaves, structure = jax.tree.flatten(arguments)
    found: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        given, tree = jax.tree.flatten(function(*jax.tree.unflatten(structure, values)))
        found.append(tree)
        return given

    closed = jax.make_jaxpr(flat)(*(jax.ShapeDtypeStruct((), leaf.dtype) for leaf in leaves))
    if not any(isinstance(const, jax.Array) and is_float(const) for const in closed.consts):
        return function
    same = cast("Callable[..., Any]", jaxpr_as_fun(closed.replace(consts=jax.lax.stop_gradient(closed.consts))))

    def without(*values: Any) -> Any:
        return jax.tree.unflatten(found[0], same(*jax.tree.leaves(values)))

    return without
