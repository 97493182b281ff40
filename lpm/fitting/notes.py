"""What a reader of a fit has to know first, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lpm.fitting import free, targets
from lpm.fitting.uncertainty import WAYS, Known
from lpm.scenarios.assembly import Assembly


def of(
    found: Known,
    way: str,
    assembly: Assembly,
    parameters: Sequence[free.Free],
    rows: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return the notes of a fit.

    Args:
        found: The fit to all data.
        way: How sure it is: a key of `lpm.fitting.uncertainty.WAYS`.
        assembly: The scenario as it was fitted.
        parameters: What is free.
        rows: Of `fit.json`, those of all origins: name, origin, at_bound, identified.
    """
    notes = [f"Scores are retrospective: final data, no reporting delay. {WAYS[way]}", *found.notes]
    if assembly.scenario.start == targets.DAY_ZERO:
        notes.append(f"The scenario has no dates: {targets.DAY_ZERO} stands for step 0.")
    before = free.edges(assembly, parameters, {each.path: each.value for each in parameters})
    if before:
        notes.append(f"What is free began at its declared bound in the scenario: {', '.join(before)}.")
    edge: dict[str, list[str]] = {}
    for row in rows:
        if row["at_bound"]:
            edge.setdefault(str(row["name"]), []).append(str(row["origin"]))
    if edge:
        listed = ", ".join(f"{name} ({', '.join(origins)})" for name, origins in edge.items())
        notes.append(f"At the edge of what the prior allows: {listed}. The model asks for more.")
    after = free.edges(assembly, parameters, found.fit.theta)
    if after:
        notes.append(f"At or beyond a declared bound, where it is held: {', '.join(after)}.")
    last = rows[-1]["origin"] if rows else None
    lost = [str(row["name"]) for row in rows if row["origin"] == last and not row["identified"]]
    if lost:
        notes.append(f"Not identified (the data take less than half of the prior's variance): {', '.join(lost)}.")
    return notes
