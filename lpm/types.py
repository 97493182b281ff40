"""Aliases of the arrays that pass between the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import jax
    import numpy.typing as npt

    Array: TypeAlias = jax.Array
    HostArray: TypeAlias = npt.NDArray[Any]
else:
    Array = HostArray = Any

Columns: TypeAlias = Mapping[str, Array]
"""The columns of one table, by name; every array is [rows, ...]."""

Tables: TypeAlias = Mapping[str, Columns]
"""The tables of a simulation: "agents" and where a model needs them "items", "places", "globals", "ties"."""
