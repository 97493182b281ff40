"""The cascades of a run: how many, how large, how deep, how broad, and how far from one broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lpm.report.folder import Folder
from lpm.report.wording import NOTHING, brief, escaped, figure

POINTS = 120
"""Most points of a curve of sizes."""


def summaries(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row per (kernel, arm, seed): number of cascades, and mean, largest and deepest of them.

    Args:
        frame: The content of `cascades.parquet`.

    Returns:
        Columns kernel, arm, seed, cascades, alone (share that reached nobody), size (mean), largest, depth (most),
        breadth (most), virality (mean over cascades of two or more, null without any).
    """
    return frame.group_by("kernel", "arm", "seed", maintain_order=True).agg(
        pl.len().cast(pl.Float64).alias("cascades"),
        (pl.col("size") == 1).mean().alias("alone"),
        pl.col("size").mean().alias("mean"),
        pl.col("size").max().cast(pl.Float64).alias("largest"),
        pl.col("depth").max().cast(pl.Float64).alias("deepest"),
        pl.col("breadth").max().cast(pl.Float64).alias("broadest"),
        pl.col("virality").mean().alias("viral"),
    )


def section(folder: Folder) -> str:
    """Return the section of cascades, "" without any."""
    from lpm.report.tables import table, two

    if folder.cascades is None:
        return ""
    told = summaries(folder.cascades)
    names = told["kernel"].unique(maintain_order=True).to_list()
    charts = "".join(
        f"<figure><h4>{'' if len(names) == 1 else escaped(name) + ': '}share of cascades of at least a size "
        f'<span class="unit">agents</span></h4><div class="chart" id="cascade-{index}"></div></figure>'
        for index, name in enumerate(names)
    )
    wanted = {"cascades": "flow", "alone": "share", "mean": "mean", "largest": "flow", "deepest": "days",
              "broadest": "flow", "viral": "mean"}  # fmt: skip
    rows: list[list[str]] = []
    for name in names:
        for arm in folder.arms:
            part = told.filter(kernel=name, arm=arm)
            cells = [escaped(arm) if len(names) == 1 else two(escaped(arm), escaped(name))]
            for column, kind in wanted.items():
                values = part[column].drop_nulls()
                low, mid, high = (values.min(), values.mean(), values.max()) if len(values) else (None, None, None)
                told_mid, told_low, told_high = (figure(_number(value), kind) for value in (mid, low, high))
                cells.append(two(told_mid, f"{told_low} to {told_high}" if len(values) > 1 else NOTHING))
            rows.append(cells)
    head = [
        "Arm",
        "Cascades",
        "Reached nobody",
        "Mean size",
        "Largest",
        "Deepest",
        "Broadest level",
        "Virality",
    ]
    return (
        '<p class="lede">Every agent that was reached points to the neighbour that reached it, one of those that '
        "passed it on in that step, drawn by their hazards; an agent whom nobody reached begins a cascade. Mean over "
        "seeds, below it the lowest and the highest seed. Sizes are agents. Virality: mean distance of two members, "
        "over cascades of two or more (below 2 for one broadcast, more for chains).</p>"
        f'<div class="grid two">{charts}</div>'
        f"{table(head, rows, range(1, len(head)), 'effects')}"
    )


def in_words(folder: Folder) -> list[str]:
    """Return a line a kernel for the terminal: cascades of each arm, means over seeds."""
    if folder.cascades is None:
        return []
    told = summaries(folder.cascades).group_by("kernel", "arm", maintain_order=True).mean()
    lines: list[str] = []
    for name in told["kernel"].unique(maintain_order=True):
        rows = {row["arm"]: row for row in told.filter(kernel=name).iter_rows(named=True)}
        parts = [
            f"{arm} {row['cascades']:,.0f} of mean size {row['mean']:.3g}, the largest {row['largest']:,.0f} and the "
            f"deepest {row['deepest']:.3g}"
            for arm, row in rows.items()
        ]
        lines.append(f"Cascades of {name} (agents, means over seeds): {'; '.join(parts)}.")
    return lines


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def data(folder: Folder) -> list[list[Any]]:
    """Return by kernel and arm the curve (sizes, share of cascades at least as large), all seeds together."""
    if folder.cascades is None:
        return []
    found: list[list[Any]] = []
    for name in folder.cascades["kernel"].unique(maintain_order=True):
        curves: list[Any] = []
        for arm in folder.arms:
            sizes = np.sort(folder.cascades.filter(kernel=name, arm=arm)["size"].to_numpy())
            if not len(sizes):
                curves.append(None)
                continue
            at, first = np.unique(sizes, return_index=True)
            if len(at) > POINTS:
                pick = np.unique(np.searchsorted(at, np.geomspace(at[0], at[-1], POINTS)))
                at, first = at[pick], first[pick]
            curves.append([at.tolist(), brief(1 - first / len(sizes))])
        found.append(curves)
    return found
