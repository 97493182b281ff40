"""Which way a batch goes: members side by side (vmap), or one after the other (map).

Side by side one call of every operation serves all members, which is what small populations gain by. But where members
differ in whether a branch is taken, all take every branch; and where they differ in how often a loop runs, each turn
copies what the loop carries for all of them, which turns an event that costs one agent into one that costs the whole
population. Both can be read from the program before it is compiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


def divided(function: Callable[..., Any], *members: Any) -> list[str]:
    """Return where the members of a batch would hold each other up side by side; nothing: let them go side by side.

    Args:
        function: What is done for one member.
        *members: Its arguments for a batch: pytrees of arrays, or of shapes and dtypes, with a leading axis.

    Returns:
        One line for every kind of place: branches that all would take, loops whose turns would copy.
    """
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), members)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batch)
    alone = Counter(name for name, _ in _places(jax.make_jaxpr(function)(*one).jaxpr))
    beside = list(_places(jax.make_jaxpr(jax.vmap(function))(*batch).jaxpr))
    told: list[str] = []
    if lost := alone["cond"] - sum(name == "cond" for name, _ in beside):
        told.append(f"{lost} choices of which all members would take every branch")
    if copying := sum(copies for name, copies in beside if name == "while"):
        told.append(f"{copying} loops that run as often as a member needs")
    return told


def _places(jaxpr: Any) -> Iterator[tuple[str, bool]]:
    """Yield every branch and loop of a program, and whether a loop goes on while any member needs it."""
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "cond":
            yield name, False
        elif name == "while":
            yield name, params["cond_jaxpr"].out_avals[0].shape != ()
        for value in jax.tree.leaves(list(params.values()), is_leaf=_is_program):
            if _is_program(value):
                yield from _places(getattr(value, "jaxpr", value))


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
