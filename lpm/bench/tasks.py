"""The tasks: a kernel with its parameters on a network of ten arcs an agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GRAPHS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "er": ("erdos-renyi", {"mean_degree": 10.0}),
    "ba": ("barabasi-albert", {"ties": 5}),
    "ws": ("watts-strogatz", {"neighbours": 10, "rewiring": 0.1}),
}
"""Networks by name: builder and parameters."""

HAZARD = {p: -math.log1p(-p) for p in (0.05, 0.1)}
"""Rates per day whose chance in a step of a day is p."""


@dataclass(frozen=True)
class Task:
    """One kernel that is timed.

    Attributes:
        kernel: Registered name.
        values: Parameters.
        width: Bytes of the value that is gathered along each arc (or that each agent looks up once).
        arcs: Whether every arc is looked at; else one an agent.
        steps: Steps that are timed where `--steps` says nothing.
        levels: Levels of the kernel's first categorical column that are counted as stock and flow, () = nothing.
        rows: Rows of other tables.
    """

    kernel: str
    values: Mapping[str, float]
    width: int
    arcs: bool = True
    steps: int = 50
    levels: tuple[int, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict[str, int])


TASKS: Mapping[str, Task] = {
    "sir": Task("sir", {"beta": HAZARD[0.05], "gamma": HAZARD[0.1], "initial": 0.01}, 1),
    "hk": Task("hegselmann-krause", {"epsilon": 0.4, "weight": 1.0}, 4),  # 0.2 of opinions from 0 to 1
    "ic": Task("independent-cascade", {"p": 0.05, "initial": 0.001}, 1, steps=20, levels=(1,)),
    "deffuant": Task("deffuant", {"epsilon": 0.4, "mu": 0.5, "meetings": 1.0}, 4),
    "voter": Task("voter", {"revision": 1.0, "initial": 0.5}, 1, arcs=False),
    "threshold": Task("linear-threshold", {"mean": 0.18, "initial": 0.01, "review": 1.0}, 1),
    "market": Task("music-market", {}, 4, arcs=False, steps=20, rows={"items": 48}),
    "network": Task("", {}, 0),
}
"""`network` times the building alone."""
