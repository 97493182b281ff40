"""What the page's charts draw: small tables made in polars, so that the page stays small."""

from __future__ import annotations

from typing import Any

import polars as pl

from lpm.report import structure
from lpm.report.folder import Folder
from lpm.report.wording import brief, escaped, label, level, titled
from lpm.results import PEOPLE
from lpm.score import intervals

MANY = 20
"""From so many seeds on, bands run from the 5 % to the 95 % quantile; with fewer they run from the smallest to the
largest seed (a 5 % quantile of four values would be an invention)."""

POINTS = 400
"""Most points on a curve; longer runs show means over equal pieces of time."""

LISTED = 40
"""Most levels of a column that the page lists; the files hold all of them."""

COLOURS = ("#2b2b2b", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00")
"""Okabe and Ito 2008 ("Color universal design"), told apart by colour-blind readers; the first arm is dark. Their
yellow is darkened for lines on white."""

DASHES = ("solid", "dash", "dot", "dashdot")
"""Line styles, one for each round of the colours."""


def band_rule(seeds: int) -> str:
    """Return what the bands show, as a phrase."""
    if seeds == 1:
        return "one seed: no band"
    if seeds < MANY:
        return f"line: mean of {seeds} seeds; band: from the lowest to the highest of the {seeds} seeds"
    return f"line: mean of {seeds} seeds; band: 5 to 95 % of the seeds"


def _spread(column: str, seeds: int) -> list[pl.Expr]:
    """Return low, middle and high of a column over seeds; null where it is not defined in every one of the `runs`."""
    value, whole = pl.col(column), pl.col(column).count() == pl.col("runs").first()
    low, high = (
        (value.quantile(0.05, "linear"), value.quantile(0.95, "linear"))
        if seeds >= MANY
        else (
            value.min(),
            value.max(),
        )
    )
    rules = (("low", low), ("mid", value.mean()), ("high", high))
    return [pl.when(whole).then(rule).alias(f"{column}|{name}") for name, rule in rules]


def _runs() -> pl.Expr:
    """Return the number of seeds that an arm has (rows in which nothing is defined are not in the files)."""
    return pl.col("seed").n_unique().over("arm").alias("runs")


def listed_groups(folder: Folder) -> list[str]:
    """Return "all" and the single-column groups that the page offers."""
    groups = ["all"] if "all" in folder.groups else []
    for column, levels in folder.levels().items():
        groups += [f"{column}={name}" for name in levels[:LISTED]]
    return groups


def curves(folder: Folder) -> dict[str, Any]:
    """Return the curves of each metric by arm and group: x, and low, mid, high by metric, group and arm."""
    groups, names = listed_groups(folder), [metric.name for metric in folder.metrics]
    steps = folder.trajectory["step"].unique().sort()
    every = -(-len(steps) // POINTS)
    first = int(steps[0])
    frame = folder.trajectory.filter(pl.col("group").is_in(groups)).with_columns(
        ((pl.col("step") - first) // every).alias("piece")
    )
    if every > 1:
        frame = frame.group_by("arm", "seed", "group", "piece", maintain_order=True).agg(
            pl.col("step", "time").first(),
            *(pl.when(pl.col(name).null_count() == 0).then(pl.col(name).mean()).alias(name) for name in names),
        )
    axis = frame.group_by("piece").agg(pl.col("step", "time").first()).sort("piece")
    table = (
        frame.with_columns(_runs())
        .group_by("arm", "group", "piece")
        .agg(*(rule for name in names for rule in _spread(name, folder.seeds)))
        .sort("piece")
    )
    parts = {key: part for key, part in table.partition_by("group", "arm", as_dict=True).items()}
    pieces = axis["piece"].to_list()
    lines: dict[str, dict[str, list[Any]]] = {name: {} for name in names}
    for index, group in enumerate(groups):
        for name in names:
            row: list[Any] = []
            for arm in folder.arms:
                part = parts.get((group, arm))
                if part is None or part[f"{name}|mid"].null_count() == part.height:
                    row.append(None)
                    continue
                full = part if part.height == len(pieces) else axis.select("piece").join(part, on="piece", how="left")
                wanted = ("mid",) if folder.seeds == 1 else ("low", "mid", "high")
                row.append([brief(full[f"{name}|{which}"]) for which in wanted])
            if any(item is not None for item in row):
                lines[name][str(index)] = row
    return {
        "x": [str(value) for value in axis["time"]] if folder.dated else axis["step"].to_list(),
        "every": every,
        "lines": lines,
    }


def weekly(folder: Folder) -> list[dict[str, Any]]:
    """Return simulated weekly bands and observed points, one panel per observed metric and group."""
    if folder.observed is None:
        return []
    table = intervals(folder.trajectory, folder.observed, folder.kinds)
    bands = (
        table.with_columns(_runs())
        .group_by("metric", "group", "arm", "start", "end", "observed")
        .agg(*_spread("simulated", folder.seeds))
        .sort("start")
    )
    panels: list[dict[str, Any]] = []
    for metric in folder.observed["metric"].unique(maintain_order=True):
        about = folder.metric(metric)
        rows = bands.filter(pl.col("metric") == metric)
        found = set(rows["group"])
        for group in [group for group in folder.groups if group in found]:
            mine = rows.filter(pl.col("group") == group)
            one = mine.filter(pl.col("arm") == folder.arms[0])
            panel: dict[str, Any] = {
                "metric": metric,
                "title": escaped(about.title if about else metric),
                "label": escaped(label(group)),
                "x": [str(value) for value in one["start"]],
                "observed": brief(one["observed"]),
                "arms": [],
            }
            for arm in folder.arms:
                part = mine.filter(pl.col("arm") == arm)
                wanted = ("mid",) if folder.seeds == 1 else ("low", "mid", "high")
                panel["arms"].append([brief(part[f"simulated|{which}"]) for which in wanted])
            panels.append(panel)
    return panels


def totals(folder: Folder) -> dict[str, Any]:
    """Return each metric's total (flows) or final value (shares, ratios) by group and arm, with people by group."""
    wanted = {"flow": "total", "share": "final", "ratio": "final"}
    groups = [group for group in folder.groups]
    place = {group: index for index, group in enumerate(groups)}
    result: dict[str, Any] = {}
    for metric in folder.metrics:
        if metric.kind not in wanted:
            continue
        rows = folder.effects.filter(metric=metric.name, summary=wanted[metric.kind]).filter(
            pl.col("arm_mean").is_not_null()
        )
        values: dict[str, list[Any]] = {}
        for arm, group, *figures in rows.select("arm", "group", "arm_mean", "difference", "low", "high").iter_rows():
            if group in place and arm in folder.arms:
                slot = values.setdefault(str(place[group]), [None] * len(folder.arms))
                slot[folder.arms.index(arm)] = brief(figures)
        if values:
            result[metric.name] = values
    people: list[Any] = []
    if PEOPLE in folder.whole.columns:
        first = folder.whole.filter(pl.col("step") == folder.whole["step"].min(), pl.col("arm") == folder.arms[0])
        by_group = dict(first.group_by("group").agg(pl.col(PEOPLE).mean()).iter_rows())
        people = brief([by_group.get(group) for group in groups])
    return {"values": result, "people": people, "groups": [escaped(label(group)) for group in groups]}


def columns(folder: Folder) -> dict[str, Any]:
    """Return which group indices belong to each column and to each pair of columns."""
    place = {group: index for index, group in enumerate(folder.groups)}
    levels = folder.levels()
    singles = [
        {
            "column": escaped(titled(name)),
            "levels": [escaped(level(item)) for item in items[:LISTED]],
            "groups": [place[f"{name}={item}"] for item in items[:LISTED]],
        }
        for name, items in levels.items()
    ]
    pairs: list[dict[str, Any]] = []
    for one in levels:
        for two in levels:
            grid = [[place.get(f"{one}={a};{two}={b}") for a in levels[one][:LISTED]] for b in levels[two][:LISTED]]
            if one != two and any(item is not None for line in grid for item in line):
                pairs.append(
                    {
                        "x": [escaped(level(item)) for item in levels[one][:LISTED]],
                        "y": [escaped(level(item)) for item in levels[two][:LISTED]],
                        "columns": [escaped(titled(one)), escaped(titled(two))],
                        "groups": grid,
                    }
                )
    return {"singles": singles, "pairs": pairs}


def vectors(folder: Folder) -> list[dict[str, Any]]:
    """Return the last step of each vector metric (quantiles, bins) over all agents, low, mid and high by arm."""
    if "all" not in folder.groups:
        return []
    last = folder.trajectory.with_columns(_runs()).filter(
        pl.col("group") == "all", pl.col("step") == pl.col("step").max().over("arm", "seed")
    )
    told = folder.run.get("metrics") or {}
    result: list[dict[str, Any]] = []
    for name, parts in folder.vectors.items():
        table = last.group_by("arm").agg(*(rule for column in parts for rule in _spread(column, folder.seeds)))
        rows = {str(row["arm"]): row for row in table.iter_rows(named=True)}
        wanted = ("mid",) if folder.seeds == 1 else ("low", "mid", "high")
        arms = [
            [brief([rows[arm][f"{column}|{which}"] for column in parts]) for which in wanted] if arm in rows else None
            for arm in folder.arms
        ]
        title = str((told.get(name) or {}).get("title") or titled(name))
        result.append({"title": escaped(title), "x": [escaped(p.split(".", 1)[1]) for p in parts], "arms": arms})
    return result


def data(folder: Folder) -> dict[str, Any]:
    """Return everything that the page's script reads; all texts in it are escaped for HTML."""
    shown = listed_groups(folder)
    return {
        "arms": [escaped(arm) for arm in folder.arms],
        "colours": [COLOURS[i % len(COLOURS)] for i in range(len(folder.arms))],
        "dashes": [DASHES[i // len(COLOURS) % len(DASHES)] for i in range(len(folder.arms))],
        "dated": folder.dated,
        "headline": folder.headline.name if folder.headline else None,
        "groups": [escaped(label(group)) for group in shown],
        "metrics": [
            {"name": m.name, "title": escaped(m.title), "unit": escaped(m.unit), "kind": m.kind, "harm": m.harm}
            for m in folder.metrics
        ],
        "curves": curves(folder),
        "vectors": vectors(folder),
        "calendar": structure.calendar(folder),
        "weekly": weekly(folder),
        "totals": totals(folder),
        "columns": columns(folder),
        "networks": structure.networks(folder),
        "marginals": structure.marginals(folder),
    }
