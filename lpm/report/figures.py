"""What the page's charts draw: small tables made in polars, so that the page stays small."""

from __future__ import annotations

from typing import Any

import polars as pl

from lpm.report import cascades, structure, worlds
from lpm.report.findings import step_of
from lpm.report.folder import Folder, Metric
from lpm.report.spread import runs, spread
from lpm.report.weekly import weekly
from lpm.report.wording import brief, escaped, label, level, titled
from lpm.results import PEOPLE

POINTS = 400
"""Most points on a curve; longer runs show means over equal pieces of time."""

CLEAR = 100.0
"""Fewest simulated infections a step (mean over seeds and the last week) for which R(t) is drawn in full. The error of
one day's estimate is about 1 / sqrt(infections) of it (Cori et al. 2013, web appendix 1, doi:10.1093/aje/kwt133): 10 %
here, 30 % at the fewest for which it is told at all."""

LISTED = 40
"""Most levels of a column that the page lists; the files hold all of them."""

COLOURS = ("#2b2b2b", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00")
"""Okabe and Ito 2008 ("Color universal design"), told apart by colour-blind readers; the first arm is dark. Their
yellow is darkened for lines on white."""

DASHES = ("solid", "dash", "dot", "dashdot")
"""Line styles, one for each round of the colours."""


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
        frame.with_columns(runs())
        .group_by("arm", "group", "piece")
        .agg(*(rule for name in names for rule in spread(name, folder.seeds)))
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
                wanted = ("low", "mid", "high") if folder.banded else ("mid",)
                row.append([brief(full[f"{name}|{which}"]) for which in wanted])
            if any(item is not None for item in row):
                lines[name][str(index)] = row
    noisy = {metric.name: _noisy(folder, metric, lines) for metric in folder.metrics}
    return {
        "x": [str(value) for value in axis["time"]] if folder.dated else axis["step"].to_list(),
        "every": every,
        "lines": lines,
        "noisy": {name: found for name, found in noisy.items() if found},
    }


def _noisy(folder: Folder, metric: Metric, lines: dict[str, dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """Return the stretches [from, to) of a reproduction number that rest on few infections, by group and arm."""
    source = metric.of[0] if metric.of else "infections"
    if metric.kind != "reproduction" or source not in lines:
        return {}
    weight, middle = float(folder.run.get("weight") or 1.0), int(folder.banded)
    found: dict[str, list[Any]] = {}
    for group, rows in lines[metric.name].items():
        counts = lines[source].get(group) or [None] * len(rows)
        found[group] = []
        for row, count in zip(rows, counts, strict=True):
            if row is None or count is None:
                found[group].append([])
                continue
            week = pl.Series(count[middle], dtype=pl.Float64).fill_null(0.0).rolling_mean(7, min_samples=1)
            few = [value / weight < CLEAR for value in week]
            edges = [i for i in range(len(few) + 1) if (i < len(few) and few[i]) != (i > 0 and few[i - 1])]
            found[group].append([[a, b] for a, b in zip(edges[::2], edges[1::2], strict=True)])
    return found


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
    last = folder.trajectory.with_columns(runs()).filter(
        pl.col("group") == "all", pl.col("step") == pl.col("step").max().over("arm", "seed")
    )
    told = folder.run.get("metrics") or {}
    result: list[dict[str, Any]] = []
    for name, parts in folder.vectors.items():
        table = last.group_by("arm").agg(*(rule for column in parts for rule in spread(column, folder.seeds)))
        rows = {str(row["arm"]): row for row in table.iter_rows(named=True)}
        wanted = ("low", "mid", "high") if folder.banded else ("mid",)
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
        "step": step_of(folder),
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
        "worlds": worlds.data(folder),
        "cascades": cascades.data(folder),
    }
