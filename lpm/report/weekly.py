"""Simulated sums beside observed ones over the same days; only intervals of the usual length are drawn."""

from __future__ import annotations

from typing import Any

import polars as pl

from lpm.report.folder import Folder
from lpm.report.spread import runs, spread
from lpm.report.wording import brief, day, escaped, label
from lpm.score import intervals


def weekly(folder: Folder) -> list[dict[str, Any]]:
    """Return simulated bands and observed points, one panel per observed metric and group.

    A part of a week beside whole ones would look like a fall, so intervals of another length than most of the metric's
    are left out (`left_out` says which).
    """
    if folder.observed is None:
        return []
    table = intervals(folder.trajectory, folder.observed, folder.kinds)
    bands = (
        table.with_columns(runs())
        .group_by("metric", "group", "arm", "start", "end", "observed")
        .agg(*spread("simulated", folder.seeds))
        .sort("start")
    )
    wanted = ("low", "mid", "high") if folder.banded else ("mid",)
    panels: list[dict[str, Any]] = []
    for metric in folder.observed["metric"].unique(maintain_order=True):
        about = folder.metric(metric)
        rows, days = whole(bands.filter(pl.col("metric") == metric))
        if rows["start"].n_unique() < 2:  # a curve of one point says nothing: it stands in the table of errors
            continue
        found = set(rows["group"])
        for group in [group for group in folder.groups if group in found]:
            mine = rows.filter(pl.col("group") == group)
            one = mine.filter(pl.col("arm") == folder.arms[0])
            panel: dict[str, Any] = {
                "metric": metric,
                "title": escaped(about.title if about else metric),
                "label": escaped(label(group)),
                "days": days,
                "x": [str(value) for value in one["start"]],
                "observed": brief(one["observed"]),
                "arms": [],
            }
            for arm in folder.arms:
                part = mine.filter(pl.col("arm") == arm)
                panel["arms"].append([brief(part[f"simulated|{which}"]) for which in wanted])
            panels.append(panel)
    return panels


def whole(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the rows whose interval has the length that most intervals have, and that length in days."""
    length = (pl.col("end") - pl.col("start")).dt.total_days() + 1
    told = rows.select("start", "end").unique().select(length.alias("days"))["days"]
    if not len(told):
        return rows, 7
    days = int(told.mode().max())  # type: ignore[arg-type]
    return rows.filter(length == days), days


def in_words(folder: Folder) -> str:
    """Return which days the charts show, and which observed intervals they leave out, in sentences."""
    if folder.observed is None:
        return ""
    table = intervals(folder.trajectory, folder.observed, folder.kinds)
    drawn, left, single = dict[str, list[str]](), dict[str, None](), list[str]()
    for metric in folder.observed["metric"].unique(maintain_order=True):
        about = folder.metric(metric)
        title = about.title if about else str(metric)
        mine = table.filter(pl.col("metric") == metric).select("start", "end").unique()
        shown, days = whole(mine)
        if shown.height < 2:
            single += [title] * (shown.height > 0)
            continue
        unit = "week" if days == 7 else f"{days} days"
        what = "sums" if folder.kinds.get(str(metric)) == "flow" else "means"
        span = f"{what} over each {unit} from {day(shown['start'].min())} to {day(shown['end'].max())}"
        drawn.setdefault(span, []).append(title)
        rest = mine.join(shown, on=["start", "end"], how="anti").sort("start")
        left |= {(day(a) if a == b else f"{day(a)} to {day(b)}"): None for a, b in rest.iter_rows()}
    told = [f"{', '.join(titles)}: {span}." for span, titles in drawn.items()]
    if len(drawn) == 1 and not single:
        told = [f"Drawn: {next(iter(drawn))}."]
    if left:
        told.append(f"Not drawn, because shorter: {'; '.join(left)} (counted in the error below).")
    if single:
        told.append(f"Observed once, and in the table below alone: {', '.join(single)}.")
    return " ".join(told)
