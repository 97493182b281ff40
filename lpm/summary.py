"""The summary that a run prints: arms by totals, peaks and what they avert."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from lpm.errors import InputError
from lpm.report.folder import HARMS, read_folder
from lpm.report.wording import NOTHING, figure

MOST = 3
"""Metrics that fit beside each other in a terminal."""


def summary_table(
    source: Path | pl.DataFrame, metrics: Mapping[str, Mapping[str, Any]] | None = None, group: str = "all"
) -> Table:
    """Return the terminal's table: one row an arm, for each metric its main figure and the effect on it.

    The main figure is the total of a flow, the peak of a stock, the last value of anything else, as mean over seeds.
    Deaths come first, then the other flows; at most three metrics are shown. "peak" is the largest value in a step.

    Args:
        source: A run's folder, or the frame of its effects.
        metrics: What run.json says of the metrics (name -> title, kind, unit); taken from the folder where `source` is
            one.
        group: Group that is told.

    Raises:
        InputError: A damaged folder, or effects of which none belongs to the group.
    """
    if isinstance(source, Path):
        folder = read_folder(source)
        effects = folder.effects
        metrics = {m.name: {"title": m.title, "kind": m.kind, "harm": m.harm} for m in folder.metrics}
    else:
        effects = source
    known = metrics or {}
    rows = effects.filter(pl.col("group") == group)
    if not rows.height:
        raise InputError(f"summary: there are no effects for the group '{group}'")
    told = {(r["arm"], r["metric"], r["summary"]): r for r in rows.iter_rows(named=True)}
    arms = rows["arm"].unique(maintain_order=True).to_list()
    present = rows["metric"].unique(maintain_order=True).to_list()
    kinds = {name: str((known.get(name) or {}).get("kind") or _kind(rows, name)) for name in present}
    # what the run is about first: deaths, then the other flows
    shown = sorted(present, key=lambda name: (name != "deaths", kinds[name] != "flow", present.index(name)))[:MOST]
    label, seeds = str(rows["interval"][0]), rows["seeds"].max()
    about = f"means over {seeds} seeds, \u00b1 95 % interval, {label}" if seeds != 1 else "one seed: no interval"
    table = Table(title=f"Against '{arms[0]}' ({about})", title_justify="left", title_style="bold")
    table.add_column("arm", overflow="fold")
    for index, name in enumerate(shown):
        title = str((known.get(name) or {}).get("title") or name.replace("_", " "))
        harm = bool((known.get(name) or {}).get("harm", name in HARMS))
        table.add_column(Text(title), justify="right", overflow="fold")
        gain = "averted" if harm and kinds[name] == "flow" else "lower by" if harm else "change"
        table.add_column(Text(gain), justify="right", overflow="fold")
        if index == 0 and kinds[name] == "flow":
            table.add_column(Text("peak"), justify="right", overflow="fold")
    for arm in arms:
        cells: list[Text] = [Text(str(arm))]
        for index, name in enumerate(shown):
            summary = {"flow": "total", "stock": "peak"}.get(kinds[name], "final")
            harm = bool((known.get(name) or {}).get("harm", name in HARMS))
            cells += _cells(told.get((arm, name, summary)), kinds[name], harm, arm == arms[0])
            if index == 0 and kinds[name] == "flow":
                peak = told.get((arm, name, "peak"))
                cells.append(Text(figure(peak["arm_mean"] if peak else None, "flow")))
        table.add_row(*cells)
    return table


def _kind(rows: pl.DataFrame, name: str) -> str:
    """Return "flow" where the effects hold totals, else "stock"."""
    return "flow" if rows.filter(metric=name, summary="total").height else "stock"


def _cells(row: Mapping[str, Any] | None, kind: str, harm: bool, first: bool) -> list[Text]:
    """Return a metric's figure and the effect with half the width of its interval."""
    if row is None or row["arm_mean"] is None:
        return [Text(NOTHING), Text(NOTHING)]
    value = Text(figure(row["arm_mean"], kind))
    if first:
        return [value, Text("")]
    change = -row["difference"] + 0.0 if harm else row["difference"]
    points = kind in ("share", "ratio")
    effect = Text(figure(change, kind, sign=not harm, points=points), style="bold")
    if row["low"] is not None:
        effect.append(f" \u00b1 {figure((row['high'] - row['low']) / 2, kind, points=points)}", style="not bold dim")
    return [value, effect]
