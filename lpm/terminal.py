"""What people see in a terminal: tables, the progress bar, the summary of a run."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lpm.catalogue import Entry, Sheet
    from lpm.data import Dataset
    from lpm.scenarios.options import Progress as Told

PLAIN_WIDTH = 160
"""Columns of output that goes into a pipe or file."""

SHORT_SOURCE = 40
"""Characters; a longer source becomes a note below the table."""


def console() -> Console:
    """Return the terminal, or plain text of fixed width where there is none."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def _table(*headings: str, title: str | None = None) -> Table:
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
    table = _table("parameter", "value", "unit", "bounds", "meaning", "source")
    notes: dict[str, int] = {}
    for row in sheet.rows:
        source = row.source
        if len(source) > SHORT_SOURCE:
            source = f"[{notes.setdefault(source, len(notes) + 1)}]"
        table.add_row(*(Text(text) for text in (row.path, row.value, row.unit, row.bounds, row.meaning, source)))
    screen.print(table)
    for source, number in notes.items():
        screen.print(Text(f"[{number}] {source}", style="dim"))


def show_data(datasets: Mapping[str, Dataset]) -> None:
    """Print the data sets."""
    table = _table("data set", "licence", "repository", "commit")
    for each in datasets.values():
        table.add_row(*(Text(text) for text in (each.name, each.licence, each.repository, each.commit[:10])))
    console().print(table)


def show_health(found: Mapping[str, Any]) -> None:
    """Print what `lpm doctor` found."""
    table = _table("what", "found")
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


@contextlib.contextmanager
def bar(quiet: bool) -> Generator[Told]:
    """Yield what a run tells its progress to: a bar with the remaining time on stderr, or nothing when quiet.

    Without a terminal a line is printed for every tenth of the running steps, and none before: what is wrong with the
    input shows until then, and its message stays the only line.
    """
    screen = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda stage, done, total: None
    elif not screen.is_terminal:
        yield _log(screen)
    else:
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=screen, transient=True) as shown:
            yield _moves(shown)


def _log(screen: Console) -> Told:
    began = time.monotonic()
    tenth = -1

    def line(stage: str, done: int, total: int) -> None:
        nonlocal tenth
        if stage.startswith("warning"):
            screen.print(Text(stage), soft_wrap=True)
        elif stage == "running" and total and done * 10 // total > tenth:
            tenth = done * 10 // total
            spent = time.monotonic() - began
            left = f", about {spent * (total - done) / done:.0f} s left" if 0 < done < total else ""
            screen.print(Text(f"running: {tenth * 10} % after {spent:.0f} s{left}"), soft_wrap=True)

    return line


def _moves(shown: Progress) -> Told:
    tasks: dict[str, TaskID] = {}

    def move(stage: str, done: int, total: int) -> None:
        if stage.startswith("warning"):
            shown.console.print(Text(stage))
            return
        if stage not in tasks:
            tasks[stage] = shown.add_task(stage.replace("[", "\\["), total=total or None)
        shown.update(tasks[stage], completed=done, total=total or None)

    return move


def show_summary(folder: Path) -> None:
    """Print the summary of a finished run: arms by totals and peaks, effects with intervals, and where it lies."""
    from lpm.summary import summary_table

    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    screen = console()
    screen.print(summary_table(folder))
    if not facts.get("calibrated", False):
        screen.print(Text("Not calibrated: parameters are literature values or guesses.", style="dim"))
    screen.print(Text(str(folder / "report.html"), style="bold"), soft_wrap=True)
