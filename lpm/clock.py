"""The clock: what a kernel knows of time."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from lpm.types import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clock:
    """What a kernel knows of time and of how the simulation is laid out.

    Attributes:
        step: int32 scalar, 0 for the first step (traced).
        dt: Length of a step in days (static).
        shards: Number of devices over which agents are spread (static); reducers need it.
    """

    step: Array
    dt: float = field(default=1.0, metadata={"static": True})
    shards: int = field(default=1, metadata={"static": True})
