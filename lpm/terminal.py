"""What people see in a terminal: tables, and the summary of a run (`lpm.progress` has the bar)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lpm.sources import in_words

if TYPE_CHECKING:
    from lpm.catalogue import Entry, Sheet
    from lpm.data import Dataset

PLAIN_WIDTH = 160
"""Columns of output that goes into a pipe or file."""

LOG_WIDTH = 10_000
"""Columns that the summary of a run may take in a pipe or file."""

SHORT_SOURCE = 40
"""Characters; a longer source becomes a note below the table."""


def console() -> Console:
    """Return the terminal, or plain text of fixed width (COLUMNS, if that is set) where there is none."""
    made = Console(highlight=False)
    if made.is_terminal or os.environ.get("COLUMNS", "").isdigit():  # which rich heeds
        return made
    return Console(highlight=False, width=PLAIN_WIDTH)


def plain_table(*headings: str, title: str | None = None) -> Table:
    """Return a table without lines, with these headings."""
    table = Table(title=title, box=None, header_style="bold", title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def show_catalogue(entries: Sequence[Entry]) -> None:
    """Print scenarios, kernels and builders, a line each."""
    wide = max(len(each.name) for each in entries)
    screen = console()
    for each in entries:
        line = Text.assemble((f"{each.kind:<16}", "dim"), (f"{each.name:<{wide}}  ", "bold"), each.summary)
        line.truncate(screen.width, overflow="ellipsis")
        screen.print(line, no_wrap=True)


def show_sheet(sheet: Sheet) -> None:
    """Print the parameters of a scenario or kernel; long sources stand once below the table, by number."""
    screen = console()
    screen.print(Text(sheet.title, style="bold"))
    for sentence in sheet.sentences:
        screen.print(Text(sentence))
    screen.print()
    notes: dict[str, int] = {}

    def noted(source: str) -> str:
        return f"[{notes.setdefault(source, len(notes) + 1)}]" if len(source) > SHORT_SOURCE else source

    headings = ["parameter", "value", "unit", "bounds", "meaning", "prior", "source"]
    cells = [(r.path, r.value, r.unit, r.bounds, r.meaning, r.prior, noted(r.source)) for r in sheet.rows]
    kept = [index for index, name in enumerate(headings) if name != "prior" or any(row[index] for row in cells)]
    table = plain_table(*(headings[index] for index in kept))
    for row in cells:
        table.add_row(*(Text(row[index]) for index in kept))
    screen.print(table)
    for listing in sheet.listings:
        screen.print()
        screen.print(Text(listing.title, style="bold"))
        table = plain_table(*listing.headings)
        for row in listing.rows:
            told = zip(listing.headings, row, strict=True)
            table.add_row(*(Text(noted(text) if heading == "source" else text) for heading, text in told))
        screen.print(table)
    for source, number in notes.items():
        screen.print(Text(f"[{number}] {source}", style="dim"))


def show_data(datasets: Mapping[str, Dataset]) -> None:
    """Print the data sets: size, beginning of the pinned sum, where they lie here; licences by number below."""
    from lpm.data import here

    screen = console()
    table = plain_table("data set", "size", "sha256", "here", "from")
    origins: dict[str, int] = {}
    for each in datasets.values():
        origin = f"github.com/{each.repository} at {each.commit[:10]}; licence: {each.licence}"
        number = origins.setdefault(origin, len(origins) + 1)
        size = "unknown" if each.size is None else _bytes(each.size)
        cells = (each.name, size, each.sha256[:12], here(each) or "no", f"[{number}]")
        table.add_row(*(Text(text) for text in cells))
    screen.print(table)
    for origin, number in origins.items():
        screen.print(Text(f"[{number}] {origin}", style="dim"), soft_wrap=True)
    told = "Sums are compared when a data set is used. lpm data fetch NAME fetches one; LPM_DATA names a local copy."
    screen.print(Text(told, style="dim"), soft_wrap=True)


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def show_health(found: Mapping[str, Any]) -> None:
    """Print what `lpm doctor` found."""
    table = plain_table("what", "found")
    for name, value in found.items():
        if isinstance(value, Mapping):
            for key, each in cast("Mapping[str, Any]", value).items():
                table.add_row(Text(f"{name}: {key}"), Text(_told(each)))
        else:
            table.add_row(Text(name.replace("_", " ")), Text(_told(value)))
    console().print(table)


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in cast("list[Any]", value)) or "none"
    return str(value)


def show_summary(folder: Path) -> None:
    """Print the summary of a finished run: arms by totals and peaks, effects with intervals, and where it lies."""
    from lpm.report import cascades, worlds
    from lpm.report.folder import read_folder
    from lpm.summary import summary

    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    screen = console()
    whole = not screen.is_terminal and not os.environ.get("COLUMNS", "").isdigit()  # a log: nothing is left out
    made = summary(folder, width=LOG_WIDTH if whole else screen.width)
    screen.print(Text(made.title, style="bold"), soft_wrap=not screen.is_terminal)
    (Console(highlight=False, width=LOG_WIDTH) if whole else screen).print(made.table)
    read = read_folder(folder)
    for line in (*worlds.in_words(read), *cascades.in_words(read)):
        screen.print(Text(line), soft_wrap=not screen.is_terminal)
    notes = [made.remark] if made.remark else []
    notes += [f"Note: {each}" for each in facts.get("notes", [])]
    if not facts.get("calibrated", False):
        told = (str(each.get("source") or "") for each in facts.get("parameters", []))
        notes.append(f"Not calibrated. {in_words(told, str(facts.get('chosen') or ''))}".strip())
    for each in notes:
        screen.print(Text(each, style="dim"), soft_wrap=not screen.is_terminal)
    screen.print(Text(str(folder / "report.html"), style="bold"), soft_wrap=True)


def _beware(row: Mapping[str, Any]) -> list[str]:
    """Return what a reader has to know of an estimate: of a parameter, or of what follows over some draws."""
    told = ["at its bound"] if row.get("at_bound") else []
    told += [] if row.get("identified", True) else ["not identified"]
    if row.get("draws"):
        told.append(f"{row['draws']} draws")
        told += [f"undefined in {row['undefined']} of them"] if row.get("undefined") else []
    return told


def show_fit(folder: Path) -> None:
    """Print what a fit found: estimates with intervals, what follows from them, scores beside the best naive row."""
    from lpm.calibration.forecasting.forecast import means

    facts = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    screen = console()
    screen.print(Text(facts["title"], style="bold"))
    rows = [row for row in facts["parameters"] if row["origin"] == facts["parameters"][-1]["origin"]]
    estimates = Table("parameter", "estimate", "90 % interval", "beware", box=None, header_style="dim")
    for row in (*rows, *facts["results"]):
        low, high = row.get("low"), row.get("high")
        span = "" if low is None or high is None else f"{low:,.4g} to {high:,.4g}"
        middle = "-" if row.get("estimate") is None else f"{row['estimate']:,.4g}"
        estimates.add_row(Text(row["name"]), middle, span, Text(", ".join(_beware(row))))
    screen.print(estimates)
    told = means(json.loads((folder / "score.json").read_text(encoding="utf-8")))
    if told:
        columns = ("series", "WAPE", "best naive", "WIS", "best naive", "within 90 %")
        scores = Table(*columns, box=None, header_style="dim")
        for row in told:
            numbers = [row[key] for key in ("lpm_wape", "naive_wape", "lpm_wis", "naive_wis", "coverage90")]
            scores.add_row(row["series"], *("" if number is None else f"{number:,.3g}" for number in numbers))
        screen.print(scores)
    for each in facts.get("notes", []):
        screen.print(Text(f"Note: {each}", style="dim"), soft_wrap=not screen.is_terminal)
    screen.print(Text(str(folder / "report.html"), style="bold"), soft_wrap=True)
