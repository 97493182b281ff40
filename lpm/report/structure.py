"""Charts of what was run: population, network, and when interventions begin."""

from __future__ import annotations

import re
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


def marginals(folder: Folder) -> list[dict[str, Any]]:
    """Return the published and generated marginals of the population, one entry per marginal."""
    found: dict[str, dict[str, Any]] = {}
    for row in (folder.run.get("population") or {}).get("marginals") or []:
        name = str(row.get("name"))
        entry = found.setdefault(name, {"name": escaped(titled(name)), "levels": [], "published": [], "generated": []})
        entry["levels"].append(escaped(level(str(row.get("level")))))
        entry["published"].append(row.get("published"))
        entry["generated"].append(row.get("generated"))
    for entry in found.values():
        entry["published"], entry["generated"] = brief(entry["published"]), brief(entry["generated"])
    return list(found.values())
