"""What is told when pairs of arm and seed have ended: the cascades of each, and how far the seeds of an arm differ.

What a pair leaves is kept beside it (`checkpoints/finished`), so that a resumed run tells the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.scenarios import registries, tables
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl

    from lpm.scenarios.assembly import Assembly

CASCADES, WORLDS, PUBLISHED = "cascades.parquet", "unpredictability.parquet", "published.parquet"
"""Files of a run's folder."""


def check(scenario: Scenario) -> None:
    """Refuse unpredictability of what is not there, and two kernels that keep their cascades in one column.

    Raises:
        InputError: Either of them.
    """
    from lpm.kernels.diffusion.ancestry import AT, BY

    kernels = registries.kernels_of(scenario)
    for name, worlds in scenario.unpredictability.items():
        where = f"{scenario.label}: unpredictability.{name}"
        if name in scenario.metrics:
            raise InputError(f"{where}: a metric is called '{name}' too; choose another name")
        if worlds.table == "agents":
            raise InputError(
                f"{where}.table: expected a table of what agents choose from, such as songs, got 'agents': "
                "unpredictability is that of the shares of items"
            )
        if worlds.table not in scenario.tables:
            raise unknown(f"{where}.table", "table", worlds.table, scenario.tables)
        there = {c.name: c for kernel in kernels.values() for c in kernel.tables.get(worlds.table, ())}
        if worlds.column not in there:
            raise unknown(f"{where}.column", f"column of table '{worlds.table}'", worlds.column, there)
        if np.dtype(there[worlds.column].dtype).kind != "u" or there[worlds.column].shape:
            raise InputError(f"{where}.column: expected a column of counts, got '{worlds.column}'")
    taken: dict[str, str] = {}
    for number, each in enumerate(scenario.kernels):
        for name in (BY, AT) if each.cascades else ():
            column = each.columns.get(name, name)
            if taken.setdefault(column, each.name) != each.name:
                raise InputError(
                    f"{scenario.label}: kernels[{number}].cascades: '{taken[column]}' keeps its cascades in column "
                    f"'{column}' too; declare one in [population] and name it with columns = {{ {name} = \"...\" }}"
                )


def looks_at_agents(scenario: Scenario) -> bool:
    """Return whether `keep` needs the agents' columns."""
    return any(each.cascades for each in scenario.kernels)


def keep(folder: Path, assembly: Assembly, index: int, seed: int, state: Mapping[str, Any]) -> None:
    """Write what a finished pair leaves behind.

    Args:
        folder: The run's folder.
        assembly: The run.
        index: Position of the arm.
        seed: The seed.
        state: The last state: columns by name under "agents", columns by table and name under "tables".
    """
    import polars as pl

    from lpm import results

    scenario, place = assembly.scenario, results.finished_path(folder, index, seed)
    keys = (pl.lit(assembly.arms[index].name).alias("arm"), pl.lit(seed, dtype=pl.Int64).alias("seed"))
    found = [
        cascades_of(state["agents"], each.columns, each.kernel).select(
            *keys, pl.lit(each.name).alias("kernel"), pl.all()
        )
        for each in scenario.kernels
        if each.cascades
    ]
    if found:
        results.write_frame(place.with_suffix(".cascades.parquet"), pl.concat(found))
    counted = [
        pl.DataFrame({"count": np.asarray(state["tables"][worlds.table][worlds.column], np.float64)})
        .with_row_index("item")
        .select(*keys, pl.lit(name).alias("metric"), pl.col("item").cast(pl.Int64), "count")
        for name, worlds in scenario.unpredictability.items()
    ]
    if counted:
        results.write_frame(place.with_suffix(".counts.parquet"), pl.concat(counted))


def cascades_of(agents: Mapping[str, HostArray], names: Mapping[str, str], kernel: str) -> pl.DataFrame:
    """Return the cascades of one kernel: columns root, reached_at, size, people, depth, breadth, virality.

    An agent that is no longer unreached, though the kernel has not seen it since (it came after the kernel's last
    turn), is a cascade of its own that begins with the last step.

    Args:
        agents: Columns of table "agents" at the end.
        names: What columns of the kernel are called there.
        kernel: Registered name of the kernel.
    """
    import polars as pl

    from lpm.cascades import cascades
    from lpm.kernels.diffusion.ancestry import AT, BY, SPREADS
    from lpm.population import WEIGHT_UNIT

    ids, at, by = (np.asarray(agents[names.get(name, name)]) for name in ("id", AT, BY))
    state = np.asarray(agents[names.get(SPREADS[kernel].column, SPREADS[kernel].column)])
    late = (at < 0) & (state != 0) & np.asarray(agents["present"])
    inside = (at >= 0) | late
    ids, by, at = ids[inside], np.where(late, ids, by)[inside], np.where(late, at.max(initial=0), at)[inside]
    people = np.asarray(agents["weight"])[inside].astype(np.float64) / WEIGHT_UNIT
    reached = by != ids
    found = cascades(ids[reached], by[reached], ids[~reached], f"cascades of {kernel}", people=(ids, people))
    begun = pl.DataFrame({"root": ids[~reached].astype(np.int64), "reached_at": at[~reached].astype(np.int64)})
    told = found.to_frame().join(begun, on="root", how="left")
    return told.select("root", "reached_at", "size", "people", "depth", "breadth", "virality")


def write(assembly: Assembly, folder: Path) -> None:
    """Write the files of a run's folder from what its finished pairs left: those that the scenario asks for.

    Raises:
        InputError: A file that cannot be read or written.
    """
    import polars as pl

    from lpm import results

    scenario = assembly.scenario
    pairs = [(index, seed) for index in range(len(assembly.arms)) for seed in scenario.seeds]
    there = [results.finished_path(folder, *pair) for pair in pairs if results.finished_path(folder, *pair).exists()]
    if any(each.cascades for each in scenario.kernels):
        parts = [results.read_frame(path.with_suffix(".cascades.parquet")) for path in there]
        results.write_frame(folder / CASCADES, pl.concat(parts))
    if scenario.unpredictability:
        counts = pl.concat([results.read_frame(path.with_suffix(".counts.parquet")) for path in there])
        results.write_frame(folder / WORLDS, between_worlds(counts))
    figures = tables.published(scenario)
    if figures is not None:
        results.write_frame(folder / PUBLISHED, figures)


def between_worlds(counts: pl.DataFrame) -> pl.DataFrame:
    """Return how far seeds differ, one row per (metric, arm).

    Args:
        counts: Columns arm, seed, metric, item, count, in declared order.

    Returns:
        Columns metric, arm, seeds, unpredictability and its standard error (null with fewer than two seeds; the error
        needs three), gini (mean over seeds) and its standard error.
    """
    import polars as pl

    from lpm.inequality import gini
    from lpm.unpredictability import standard_error, unpredictability

    rows: list[dict[str, Any]] = []
    for (metric, arm), part in counts.group_by("metric", "arm", maintain_order=True):
        items = part["item"].n_unique()
        worlds = part.sort("seed", "item")["count"].to_numpy().reshape(-1, items)
        chosen = worlds[worlds.sum(1) > 0]  # where nothing was chosen there are no shares
        row: dict[str, Any] = {"metric": metric, "arm": arm, "seeds": len(worlds)}
        whole = len(chosen) == len(worlds)
        uneven = gini(chosen) if whole else np.zeros(0)
        enough = len(uneven)
        row["unpredictability"] = unpredictability(chosen) if enough > 1 else None
        row["unpredictability_se"] = standard_error(chosen) if enough > 2 else None
        row["gini"] = float(uneven.mean()) if enough else None
        row["gini_se"] = float(uneven.std(ddof=1) / enough**0.5) if enough > 1 else None
        rows.append(row)
    kinds = {"metric": pl.String, "arm": pl.String, "seeds": pl.Int64}
    numbers = ("unpredictability", "unpredictability_se", "gini", "gini_se")
    return pl.DataFrame(rows, {**kinds, **dict.fromkeys(numbers, pl.Float64)})
