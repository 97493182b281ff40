"""A table of behaviour as a picture: for every action a map of chances, archetypes down and contexts across."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lpm.archetypes.table import Table
from lpm.parquet import write_bytes

ROW = 14
"""Height of an archetype [px]."""

LONGEST = 70
"""Characters of an archetype's label."""

MOST = 200
"""Archetypes that are drawn: those of most people."""


def figure(table: Table, title: str = "Chance by archetype and context") -> Any:
    """Return the picture as a figure of plotly; cells without a usable answer stay empty.

    Args:
        table: The table.
        title: Heading.
    """
    from plotly.graph_objects import Figure, Heatmap
    from plotly.subplots import make_subplots

    chance = table.probability
    rows = np.argsort(-table.weight, kind="stable")[:MOST]
    across = [", ".join(f"{name} {value:g}" for name, value in cell.items()) for cell in table.contexts.cells()]
    down = [f"{row}: {_short(table, int(row))}" for row in rows]
    known = chance[np.isfinite(chance)]
    span = {"cmin": float(known.min()), "cmax": float(known.max())} if known.size else {"cmin": 0.0, "cmax": 1.0}
    made: Figure = make_subplots(rows=1, cols=len(table.actions), subplot_titles=table.actions, shared_yaxes=True)
    for k in range(len(table.actions)):
        made.add_trace(
            Heatmap(
                z=chance[rows][:, :, k], x=across or ["everywhere"], y=down, coloraxis="coloraxis",
                hovertemplate="%{y}<br>%{x}<br>chance %{z:.2f}<extra></extra>",
            ),
            row=1, col=k + 1,
        )  # fmt: skip
    made.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 10})
    made.update_xaxes(tickangle=-60, automargin=True, tickfont={"size": 10})
    made.update_layout(
        title=title, coloraxis={"colorscale": "Viridis", **span, "colorbar": {"title": "chance"}},
        height=260 + ROW * max(len(rows), 12), template="plotly_white",
    )  # fmt: skip
    return made


def write_picture(table: Table, path: Path) -> Path:
    """Write the picture as one page that opens without a network, and return its path.

    Raises:
        InputError: It cannot be written.
    """
    told = {name: value for name, value in table.provenance.items() if name in ("provider", "model", "date")}
    title = "Chance by archetype and context (" + ", ".join(f"{k} {v}" for k, v in told.items()) + ")"
    return write_bytes(path, figure(table, title).to_html(include_plotlyjs=True).encode())


def _short(table: Table, row: int) -> str:
    """Return the values of the columns by which an archetype differs, or the beginning of its card."""
    own = [n for n in table.archetypes.columns if n not in ("archetype", "weight", "agents", "card") and "." not in n]
    told = ", ".join(_value(table.archetypes[name][row]) for name in own)
    line = " ".join((told or str(table.archetypes["card"][row])).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
