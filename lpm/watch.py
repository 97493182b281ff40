"""Watching over a run: a number that is none, or beyond what its column declares, does not go unseen.

Every step looks at the float columns that it makes anew, as it finds them: those of agents who are present and those of
other tables. A look at the last ones follows at the end of a chunk. (To look at what a step has just made would change
what XLA fuses, and with it last bits.) What was wrong once is remembered, so that neither a kernel that mends it later
nor an exact sum, in which NaN counts as 0, hides it, and so that it does not matter when the host looks.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from lpm.model import Model, State
from lpm.ops.collective import add_shards
from lpm.types import Array

FINITE = float(np.finfo(np.float32).max)


def begun(model: Model, state: State) -> dict[str, Array]:
    """Return a flag for each watched column, "table.column": nothing is wrong yet."""
    return {name: jnp.bool_(False) for name in _limits(model) if _column(state, name) is not None}


def went_on(model: Model, before: State, after: State) -> dict[str, Array]:
    """Return the flags of a step from what it found; this device's rows only."""
    made = {name for name in before.faults if _column(before, name) is not _column(after, name)}
    return {name: flag | _wrong(model, before, name) if name in made else flag for name, flag in before.faults.items()}


def ended(model: Model, state: State) -> dict[str, Array]:
    """Return the flags at the end of a chunk of steps, which hold for the rows of all devices."""
    flags = {name: flag | _wrong(model, state, name) for name, flag in state.faults.items()}
    return {name: add_shards(flag.astype(jnp.int32), model.shards) > 0 for name, flag in flags.items()}


def told(model: Model, state: State, members: int = 1) -> list[str]:
    """Return what is wrong with each of the first members of a batch, in words; "" where nothing is.

    It waits for the state.
    """
    limits, why = _limits(model), [""] * members
    for name, flags in state.faults.items():
        low, high = limits[name]
        within = f"a finite number from {low:g} to {high:g}" if np.isfinite([low, high]).any() else "a finite number"
        for member in np.flatnonzero(np.asarray(flags)[:members]):
            why[member] = why[member] or f"{name}: expected {within}, got NaN or values beyond"
    for name, ties in state.ties.items():
        for member in np.flatnonzero(np.asarray(ties.overflow)[:members]):
            slots = ties.ends.shape[1]
            why[member] = why[member] or f"layer '{name}' ran out of its {slots} tie slots; give it a larger capacity"
    return why


def _limits(model: Model) -> dict[str, tuple[float, float]]:
    """Return smallest and largest value of every float column that is declared, by "table.column"."""
    declared = [("agents", column) for column in model.schema]
    declared += [(t, c) for b in model.behaviours for t, columns in b.kernel.tables.items() for c in columns]
    return {f"{t}.{c.name}": c.limits() for t, c in declared if np.dtype(c.dtype).kind == "f"}


def _column(state: State, name: str) -> Any:
    table, column = name.split(".", 1)
    return (state.agents if table == "agents" else state.tables.get(table, {})).get(column)


def _wrong(model: Model, state: State, name: str) -> Array:
    """Return bool, whether a column holds what it may not; this device's rows only."""
    values, present = _column(state, name), state.agents["present"]
    low, high = (np.float32(np.clip(limit, -FINITE, FINITE)) for limit in _limits(model)[name])
    wrong = ~((values >= low) & (values <= high))  # which NaN is as well
    if name.startswith("agents."):
        wrong &= present.reshape(*present.shape, *[1] * (values.ndim - 1))
    return wrong.any()
