"""The summary that a run prints: arms by totals, peaks and what they avert, as wide as the terminal and no wider."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lpm.errors import InputError
from lpm.report.folder import HARMS, read_folder
from lpm.report.wording import MINUS, NOTHING, figure, per

WIDTH = 80
"""Columns of a terminal that is no wider than usual."""

ARM = 26
"""Most columns for the names of arms; a longer one goes on in a second line."""

HEADING = 12
"""Columns after which the title of a metric goes on in a second line."""


@dataclass(frozen=True)
class Summary:
    """What is told of a run's arms.

    Attributes:
        title: What the figures are.
        table: One row an arm.
        remark: What is not in the table and where it is, and what "peak" means; "" = nothing to say.
    """

    title: str
    table: Table
    remark: str


@dataclass(frozen=True)
class _Part:
    """One column: its heading (lines by newline) and its cells."""

    heading: str
    cells: tuple[Text, ...]


def summary(
    source: Path | pl.DataFrame,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    group: str = "all",
    *,
    width: int = WIDTH,
    step: str = "",
) -> Summary:
    """Return the terminal's summary: one row an arm, for each metric its main figure and the effect on it.

    The main figure, as mean over seeds, is the total of a flow, the peak of a stock (its last value where it only
    rises), the last value of anything else.
    The run's headline, or deaths, come first, then the other flows; metrics that do not fit are left out and named in
    the remark, as are vector metrics (histograms, quantiles). With one arm there are no effects.

    Args:
        source: A run's folder, or the frame of its effects.
        metrics: What run.json says of the metrics (name -> title, kind, unit); taken from the folder where `source` is
            one.
        group: Group that is told.
        width: Columns of the terminal.
        step: Length of a step ("1d"), which a flow's peak is told by; taken from the folder where `source` is one.

    Raises:
        InputError: A damaged folder, or effects of which none belongs to the group.
    """
    headline = "deaths"
    if isinstance(source, Path):
        folder = read_folder(source)
        headline = folder.headline.name if folder.headline else headline
        effects, step = folder.effects, str(folder.run.get("step") or "")
        told_of: Mapping[str, Mapping[str, Any]] = folder.run.get("metrics") or {}
        metrics = {name: told_of.get(name) or {} for name in folder.vectors}
        metrics |= {m.name: {"title": m.title, "kind": m.kind, "harm": m.harm} for m in folder.metrics}
    else:
        effects = source
    known = metrics or {}
    rows = effects.filter(pl.col("group") == group)
    if not rows.height:
        raise InputError(f"summary: there are no effects for the group '{group}'")
    told = {(r["arm"], r["metric"], r["summary"]): r for r in rows.iter_rows(named=True)}
    arms = [str(arm) for arm in rows["arm"].unique(maintain_order=True)]
    every = rows["metric"].unique(maintain_order=True).to_list()
    present = [name for name in every if "." not in name]
    vectors = dict.fromkeys(name.split(".", 1)[0] for name in every if "." in name)
    kinds = {name: str((known.get(name) or {}).get("kind") or _kind(rows, name)) for name in present}
    # what the run is about first: its headline or deaths, then the other flows
    ordered = sorted(present, key=lambda name: (name != headline, kinds[name] != "flow", present.index(name)))
    seeds = max(rows["seeds"].to_list())
    banded = rows["low"].null_count() < rows.height
    shown: list[_Part] = []
    left_out: list[str] = []
    for name in ordered:
        about = known.get(name) or {}
        title = str(about.get("title") or name.replace("_", " "))
        harm = bool(about.get("harm", name in HARMS))
        parts = _parts(told, arms, name, kinds[name], title, harm, banded)
        if kinds[name] == "flow" and not shown:
            more = [*parts, _peak(told, arms, name, title, step)]
            parts = more if _fits(arms, more, width) else parts
        if not shown or _fits(arms, [*shown, *parts], width):
            shown += parts
        else:
            left_out.append(title)
    remark = f"Not shown for want of width: {', '.join(left_out)}; see report.html." if left_out else ""
    if vectors:
        titles = [str((known.get(name) or {}).get("title") or name.replace("_", " ")) for name in vectors]
        remark += f"{' ' if remark else ''}In report.html, several values each: {', '.join(titles)}."
    interval = str(rows["interval"][0]) if banded else ""
    return Summary(_title(arms, seeds, interval), _table(arms, shown), remark)


def _title(arms: Sequence[str], seeds: int, interval: str) -> str:
    of = "One seed" if seeds == 1 else f"Means over {seeds} seeds"
    if len(arms) == 1:
        return f"{of}; one arm, so nothing to compare it with"
    return f"{of}, against '{arms[0]}'" + (
        f"; \u00b1 95 % interval, {interval}" if interval else "; too few seeds for intervals"
    )


def _table(arms: Sequence[str], parts: Sequence[_Part]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    table.add_column("arm", overflow="fold", max_width=ARM, vertical="bottom")
    for part in parts:
        table.add_column(Text(part.heading, justify="right"), justify="right", no_wrap=True, vertical="bottom")
    for row, arm in enumerate(arms):
        table.add_row(Text(arm), *(part.cells[row] for part in parts))
    return table


def _fits(arms: Sequence[str], parts: Sequence[_Part], width: int) -> bool:
    screen = Console(width=10 * WIDTH)
    return Measurement.get(screen, screen.options, _table(arms, parts)).maximum <= width


def _kind(rows: pl.DataFrame, name: str) -> str:
    """Return "flow" where the effects hold totals, else "stock"."""
    return "flow" if rows.filter(metric=name, summary="total").height else "stock"


def _headed(title: str, last: str) -> str:
    return "\n".join([*textwrap.wrap(title, HEADING), last])


def _parts(
    told: Mapping[Any, Mapping[str, Any]],
    arms: Sequence[str],
    name: str,
    kind: str,
    title: str,
    harm: bool,
    banded: bool,
) -> list[_Part]:
    """Return the columns of a metric: its main figure, and the effect on it where there is more than one arm."""
    which = {"flow": "total", "stock": "peak"}.get(kind, "final")
    if which == "peak" and all(_highest_at_the_end(told, arm, name) for arm in arms):
        which = "final"
    found = [told.get((arm, name, which)) for arm in arms]
    values = tuple(Text(NOTHING if row is None else short(row["arm_mean"], kind)) for row in found)
    main = _Part(_headed(title, {"final": "at the end"}.get(which, which)), values)
    if len(arms) == 1:
        return [main]
    gain = "averted" if harm and kind == "flow" else "lower by" if harm else "change"
    effects = (Text(""), *(_effect(row, kind, harm) for row in found[1:]))
    return [main, _Part(f"{gain}\n\u00b1 95 %" if banded else gain, effects)]


def _highest_at_the_end(told: Mapping[Any, Mapping[str, Any]], arm: str, name: str) -> bool:
    """Return whether the mean of the peaks is that of the last values, so that each seed's peak is its last value."""
    peak, final = told.get((arm, name, "peak")), told.get((arm, name, "final"))
    return peak is not None and final is not None and peak["arm_mean"] == final["arm_mean"]


def _peak(told: Mapping[Any, Mapping[str, Any]], arms: Sequence[str], name: str, title: str, step: str) -> _Part:
    rows = [told.get((arm, name, "peak")) for arm in arms]
    cells = tuple(Text(NOTHING if row is None else short(row["arm_mean"], "flow")) for row in rows)
    return _Part(_headed(title, f"peak {per('1', step)}"), cells)


def _effect(row: Mapping[str, Any] | None, kind: str, harm: bool) -> Text:
    """Return the effect with half the width of its interval."""
    if row is None or row["arm_mean"] is None:
        return Text(NOTHING)
    change = -row["difference"] + 0.0 if harm else row["difference"]
    points = kind in ("share", "ratio")
    effect = Text(short(change, kind, sign=not harm, points=points), style="bold")
    if row["low"] is not None:
        half = short((row["high"] - row["low"]) / 2, kind, points=points)
        if points:  # the unit once, behind both
            effect.right_crop(len("\u202fpp"))
        effect.append(f" \u00b1 {half}", style="not bold dim")
    return effect


def short(value: float | None, kind: str, sign: bool = False, points: bool = False) -> str:
    """Return a figure as `lpm.report.wording.figure`, counts from 10,000 on with three digits: 16.9k, 1.23M."""
    if value is None or kind not in ("flow", "stock", "sum", "people") or not 10_000 <= abs(value) < float("inf"):
        return figure(value, kind, sign=sign, points=points)
    kept = float(f"{abs(value):.3g}")
    by, letter = next((by, letter) for by, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")) if kept >= by)
    before, places = MINUS if value < 0 else "+" if sign else "", 2 - len(str(int(kept / by))) + 1
    return f"{before}{kept / by:.{places}f}{letter}"
