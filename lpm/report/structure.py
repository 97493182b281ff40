"""Charts of what was run: population, network, and when interventions begin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lpm.report.folder import Folder
from lpm.report.wording import brief, escaped, level, titled


def calendar(folder: Folder) -> dict[str, Any] | None:
    """Return the dates on which interventions begin, by arm; None where none of them has a date."""
    if not folder.dated:
        return None
    arms: list[dict[str, Any]] = []
    for about in folder.run.get("arms") or []:
        if about.get("name") not in folder.arms:
            continue
        found: dict[str, list[str]] = {}
        for item in about.get("interventions") or []:
            begins = re.search(r"\d{4}-\d{2}-\d{2}", str(item.get("when") or ""))
            if begins:
                found.setdefault(begins.group(), []).append(str(item.get("name") or item.get("label") or ""))
        days = sorted(found)
        names = ["<br>".join(escaped(name) for name in found[day]) for day in days]
        arms.append({"arm": folder.arms.index(about["name"]), "x": days, "text": names})
    times = folder.whole["time"].cast(pl.Date)
    return {"arms": arms, "range": [str(times.min()), str(times.max())]} if any(a["x"] for a in arms) else None


def networks(folder: Folder) -> list[dict[str, Any]]:
    """Return degree distributions (shares of agents) and mixing matrices of the layers."""
    result: list[dict[str, Any]] = []
    for name, about in (folder.run.get("layers") or {}).items():
        entry: dict[str, Any] = {"name": escaped(titled(name))}
        bins, counts = about.get("degree_bins") or [], about.get("degree_counts") or []
        if counts and len(bins) >= len(counts):
            share = np.asarray(counts, np.float64) / max(float(np.sum(counts)), 1.0)
            edges = len(bins) == len(counts) + 1
            entry["names"] = [
                f"{a:,}" if not edges or bins[i + 1] - a <= 1 else f"{a:,}\u2013{bins[i + 1] - 1:,}"
                for i, a in enumerate(bins[: len(counts)])
            ]
            entry["shares"] = brief(list(share))
        mixing = about.get("mixing")
        if mixing and mixing.get("generated"):
            entry["mixing"] = {
                "levels": [escaped(level(str(item))) for item in mixing["levels"]],
                "generated": [brief(row) for row in mixing["generated"]],
                "published": [brief(row) for row in mixing["published"]] if mixing.get("published") else None,
            }
        if len(entry) > 1:
            result.append(entry)
    return result


CROWDED = 20
"""Most levels whose names are readable below one chart; with more, a marginal of two columns gets a chart for each
level of the first."""


def marginals(folder: Folder) -> list[dict[str, Any]]:
    """Return the published and generated marginals of the population, one entry per chart.

    Entries of one marginal stand together, have its name as `family` and the same `top` of the axis.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in (folder.run.get("population") or {}).get("marginals") or []:
        found.setdefault(str(row.get("name")), []).append(row)
    entries: list[dict[str, Any]] = []
    for family, rows in found.items():
        parts = [str(row.get("level")).partition(", ") for row in rows]
        split = len(rows) > CROWDED and all(comma for _, comma, _ in parts)
        charts: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for (head, _, tail), row in zip(parts, rows, strict=True):
            chart, name = (level(head), tail) if split else (titled(family), str(row.get("level")))
            charts.setdefault(chart, []).append((", ".join(map(level, name.split(", "))), row))
        values = [value for row in rows for value in (row.get("published"), row.get("generated")) if value is not None]
        for name, levels in charts.items():
            entries.append(
                {
                    "family": escaped(titled(family)) if split else "",
                    "name": escaped(name),
                    "levels": [escaped(text) for text, _ in levels],
                    "published": brief([row.get("published") for _, row in levels]),
                    "generated": brief([row.get("generated") for _, row in levels]),
                    "measure": measure(rows),
                    "top": max(values, default=0) * 1.06,
                }
            )
    return entries


def measure(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the published figures of a marginal are: "share", "people" (counts), or "mean" (people a household).

    Told by their size: shares are at most 1, and no mean of people in a household reaches 100.
    """
    most = max((row.get("published") or 0 for row in rows), default=0)
    return "share" if most <= 1 else "people" if most >= 100 else "mean"
