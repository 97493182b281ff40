"""What people see in a terminal when a sweep has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.text import Text

from lpm.terminal import console, plain_table

TOLD = 12
"""Most paths that are listed; the report has all."""


def show_sweep(folder: Path) -> None:
    """Print how many runs there were, which path matters most for the headline, and where the report is."""
    import polars as pl

    from lpm.sweeps.outcome import read_outcome

    told: dict[str, Any] = json.loads((folder / "sweep.json").read_text("utf-8"))
    screen = console()
    jobs, bad, seconds = int(told["finished"]), int(told["failed"]), float(told["seconds"].get("total", 0.0))
    speed = f", {jobs / seconds:,.1f} a second" if seconds else ""
    screen.print(Text(f"{told['runs']:,} runs, {jobs:,} simulations of {told['name']}{speed}"))
    if bad:
        screen.print(Text(f"{bad:,} of them failed: {folder / 'runs.parquet'} says why", style="bold"))
    indices = folder / "indices.parquet"
    if indices.is_file():
        measure = read_outcome(folder).measure(None, None)
        name, _, summary = measure.rpartition(".")
        found = pl.read_parquet(indices).filter(
            metric=name, summary=summary, group="all", arm=told["arms"][0], index="total"
        )
        if found.height:
            table = plain_table("path", "total index", "95 % interval", title=f"what {measure} depends on")
            for row in found.sort("value", descending=True).head(TOLD).iter_rows(named=True):
                table.add_row(row["path"], f"{row['value']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}")
            screen.print(table)
    law = folder / "scaling.json"
    if law.is_file():
        for each in json.loads(law.read_text("utf-8")):
            screen.print(
                Text(
                    f"{each['measure']} of '{each['arm']}' with {each['to']:,.0f} agents: {each['value']:,.6g} "
                    f"(95 % interval {each['low']:,.6g} to {each['high']:,.6g})"
                )
            )
    screen.print(Text(f"report: {folder / 'report.html'}"))
