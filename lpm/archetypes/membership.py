"""Which archetype of a finished table an agent belongs to, in a population that the table was not made of.

Archetypes that are exact groups are looked up by their values. Those of a clustering are told by their modal values and
means; an agent goes to the nearest, with the distance of Z. Huang, 1998, 10.1023/A:1009769707641: squared differences
of numbers in units of the standard deviation of the people whom the table was made of, 1 for every category that
differs; a tie goes to the archetype of more people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from lpm.archetypes.clustering import numeric
from lpm.errors import InputError, unknown
from lpm.types import HostArray

BLOCK = 4_000_000
"""Distances that are held at once."""


def members(frame: pl.DataFrame, archetypes: pl.DataFrame, columns: Sequence[str], where: str = "table") -> HostArray:
    """Return the archetype of each agent, int32 [N].

    Args:
        frame: One row an agent, with the columns.
        archetypes: Those of a table, numbered 0 .. A - 1.
        columns: By which people are alike.
        where: Named in errors.

    Raises:
        InputError: A column is missing on either side, or some agents have a combination of values that no exact group
            has: they are counted.
    """
    for name in columns:
        if name not in archetypes.columns:
            raise unknown(where, "column of the archetypes", name, archetypes.columns)
        if name not in frame.columns:
            raise unknown(where, "column of the agents", name, frame.columns)
    people = frame.select(_plain(frame[name]) for name in columns)
    kinds = archetypes.select("archetype", *(_plain(archetypes[name]) for name in columns))
    if any(f"{name}{end}" in archetypes.columns for name in columns for end in (".share", ".sd")):
        return _nearest(people, kinds, {name: _spread(archetypes, name) for name in columns if numeric(frame[name])})
    found = kinds.with_columns(pl.col("archetype").cast(pl.Int32))
    try:
        own = people.join(found, on=list(columns), how="left", maintain_order="left")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{where}: its archetypes are of other columns: {str(error).splitlines()[0]}") from None
    missing = own.filter(pl.col("archetype").is_null())
    if missing.height:
        first = ", ".join(f"{name} = {missing[name][0]}" for name in columns)
        raise InputError(
            f"{where}: {missing.height:,} of {frame.height:,} agents belong to no archetype of the table (the first: "
            f"{first}); lpm archetypes build makes a table of this population"
        )
    return own["archetype"].to_numpy()


def _plain(series: pl.Series) -> pl.Series:
    """Return categories as text, numbers as float64."""
    kind = pl.Float64 if numeric(series) else pl.String
    return series.cast(kind)


def _spread(archetypes: pl.DataFrame, name: str) -> float:
    """Return the standard deviation of a number over all people: that between archetypes with that within."""
    share = archetypes["weight"].to_numpy() / archetypes["weight"].sum()
    mean, within = archetypes[name].to_numpy(), archetypes[f"{name}.sd"].to_numpy()
    return float(np.sqrt(share @ (within**2 + (mean - share @ mean) ** 2))) or 1.0


def _nearest(people: pl.DataFrame, kinds: pl.DataFrame, spread: Mapping[str, float]) -> HostArray:
    rows = max(1, BLOCK // kinds.height)
    nearest: list[HostArray] = []
    for part in (people[low : low + rows] for low in range(0, people.height, rows)):
        distance = np.zeros((part.height, kinds.height))
        for name in people.columns:
            own, theirs = part[name].to_numpy()[:, None], kinds[name].to_numpy()[None]
            distance += ((own - theirs) / spread[name]) ** 2 if name in spread else own != theirs
        nearest.append(distance.argmin(1))
    return np.concatenate(nearest).astype(np.int32)
