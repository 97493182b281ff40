"""Pictures of a calibration, as plotly figures: fit and forecast, priors and estimates, scores beside naive rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from lpm.calibration.forecasting.forecast import LPM
from lpm.report.figures import COLOURS, DASHES
from lpm.report.wording import brief, day, escaped, label, titled

INK, SOFT, MODEL, WARN = "#3a4149", "#9aa1a9", "#0072b2", "#d55e00"
BANDS = (("q05", "q95", "rgba(0,114,178,.15)", "90 % interval"), ("q25", "q75", "rgba(0,114,178,.30)", "50 % interval"))
FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif'
LISTED = 12
"""Most groups that are drawn; the files hold all of them."""

COLUMNS = 6
"""Most origins that are drawn: the first, the last, and others evenly between them."""

ABOVE = 3.0
"""A panel ends at this many times its highest observed value or median, where an interval goes further: a guess."""


def _styled(figure: go.Figure, height: int, top: int = 70) -> go.Figure:
    """Return a figure in the style of the page."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 12, "t": top, "b": 40},
        font={"family": FONT, "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"},
        hoverlabel={"bgcolor": "#fff", "bordercolor": "#c9ced3"},
    )
    axis: dict[str, Any] = {"linecolor": SOFT, "ticks": "outside", "ticklen": 4, "tickcolor": SOFT, "fixedrange": True}
    figure.update_xaxes(showgrid=False, zeroline=False, **axis)
    figure.update_yaxes(gridcolor="#e9ebed", zeroline=False, automargin=True, **axis)
    figure.update_annotations(font={"size": 12.5, "color": INK})
    return figure


def naive_style(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour and dash of each naive rule's line."""
    palette = COLOURS[2:]
    found = enumerate(name for name in names if name != LPM)
    return {n: {"color": palette[i % len(palette)], "dash": DASHES[(i // len(palette) + 1) % 4]} for i, n in found}


def curves(forecast: pl.DataFrame, naive: pl.DataFrame | None, series: str) -> go.Figure:
    """Return fit and forecast of one series: a row of panels per group, one column per origin.

    Points: observed, hollow where the fit did not know them. Line and bands: the median and the central 50 % and 90 %
    of the forecast. Thin lines: medians of the naive rules. Dotted: the origin. Every row has one axis, which ends at
    `ABOVE` times the farthest observed value or median of the row: what goes further leaves the panel.
    """
    mine = forecast.filter(pl.col("series") == series).sort("date")
    others = None if naive is None else naive.filter(pl.col("series") == series).sort("date")
    origins, groups = mine["origin"].unique().sort().to_list(), mine["group"].unique(maintain_order=True).to_list()
    groups = groups[:LISTED]
    if len(origins) > COLUMNS:
        origins = [origins[round(i * (len(origins) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
    figure = make_subplots(
        rows=len(groups),
        cols=len(origins),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.015,
        vertical_spacing=min(0.03, 0.3 / len(groups)),
        column_titles=[f"known until {day(origin)}" for origin in origins],
    )
    styles = naive_style([] if others is None else others["predictor"].unique(maintain_order=True).to_list())
    marks: list[dict[str, Any]] = []
    for row, group in enumerate(groups, 1):
        part = mine.filter(pl.col("group") == group)
        low, high = _ends(part)
        for column, origin in enumerate(origins, 1):
            at: dict[str, Any] = {"row": row, "col": column}
            first = row == column == 1
            panel = part.filter(pl.col("origin") == origin)
            _bands(figure, panel, first, at)
            if others is not None:
                rest = others.filter((pl.col("group") == group) & (pl.col("origin") == origin))
                for name, style in styles.items():
                    line = rest.filter(pl.col("predictor") == name)
                    figure.add_scatter(
                        x=_days(line["date"]),
                        y=brief(line["q50"]),
                        mode="lines",
                        line={"width": 1.2, **style},
                        name=escaped(name),
                        legendgroup=name,
                        showlegend=first,
                        hovertemplate="%{y:,.0f}<extra>" + escaped(name) + "</extra>",
                        **at,
                    )
            _points(figure, panel, first, at)
            number = (row - 1) * len(origins) + column
            panel_of = "" if number == 1 else str(number)
            marks.append(
                {"type": "line", "x0": str(origin), "x1": str(origin), "y0": 0, "y1": 1, "xref": f"x{panel_of}"}
                | {"yref": f"y{panel_of} domain", "line": {"color": INK, "width": 1, "dash": "dot"}}
            )
        figure.update_yaxes(range=[low, high], row=row)
        figure.update_yaxes(title={"text": escaped(label(group)), "font": {"size": 12.5}}, row=row, col=1)
    top = 64 if len(styles) < 5 else 92  # lines of the legend
    figure = _styled(figure, 40 + top + 160 * len(groups), top)
    figure.update_layout(shapes=marks)
    figure.update_xaxes(type="date", tickformat="%-d %b", nticks=5)
    return figure


def _ends(part: pl.DataFrame) -> tuple[float, float]:
    """Return the ends of a panel: 0, or the lowest value where there are negative ones, and the highest one.

    Either is at most `ABOVE` times as far from 0 as the farthest observed value or median.
    """
    solid = part.select(pl.col("observed", "q50").abs().max()).max_horizontal()[0] or 1.0
    inside = [part.select(pl.col("observed", "q05", "q50", "q95").max()).max_horizontal()[0]]
    inside.append(part.select(pl.col("observed", "q05", "q50", "q95").min()).min_horizontal()[0])
    high, low = (min(max(float(end or 0.0), -ABOVE * solid), ABOVE * solid) for end in inside)
    return 1.08 * min(low, 0.0), 1.08 * (max(high, 0.0) if high > 0 or low < 0 else solid)


def _days(days: pl.Series) -> list[str]:
    return [str(value) for value in days]


def _bands(figure: go.Figure, panel: pl.DataFrame, first: bool, at: Mapping[str, Any]) -> None:
    x = _days(panel["date"])
    for low, high, colour, name in BANDS:
        figure.add_scatter(
            x=x + x[::-1],
            y=brief(panel[high]) + brief(panel[low])[::-1],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=colour,
            name=name,
            legendgroup=low,
            showlegend=first,
            hoverinfo="skip",
            **at,
        )
    figure.add_scatter(
        x=x,
        y=brief(panel["q50"]),
        mode="lines",
        line={"color": MODEL, "width": 2},
        name="model, median",
        legendgroup="q50",
        showlegend=first,
        customdata=[list(pair) for pair in zip(brief(panel["q05"]), brief(panel["q95"]), strict=True)],
        hovertemplate="%{y:,.0f} (%{customdata[0]:,.0f} to %{customdata[1]:,.0f})<extra>model</extra>",
        **at,
    )


def _points(figure: go.Figure, panel: pl.DataFrame, first: bool, at: Mapping[str, Any]) -> None:
    for known, fill, name in ((True, INK, "observed, fitted to"), (False, "#fff", "observed later")):
        part = panel.filter((pl.col("in_fit") == known) & pl.col("observed").is_not_null())
        figure.add_scatter(
            x=_days(part["date"]),
            y=brief(part["observed"]),
            mode="markers",
            marker={"size": 6, "color": fill, "line": {"color": INK, "width": 1.4}},
            name=name,
            legendgroup=name,
            showlegend=first,
            hovertemplate="%{y:,.0f}<extra>observed</extra>",
            **at,
        )


def parameters(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return one panel per parameter: the prior's interval in grey, the estimates' below it, one an origin.

    Args:
        rows: As `fit.json` has them: name, estimate, low, high, at_bound, identified; where known origin and prior
            ({low, median, high}, the same share as the estimate's interval). Orange: at its bound; hollow: not
            identified.
    """
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    columns = min(3, len(names))
    deep = -(-len(names) // columns)
    figure = make_subplots(
        rows=deep,
        cols=columns,
        subplot_titles=[escaped(name) for name in names],
        horizontal_spacing=0.09,
        vertical_spacing=0.42 / (deep + 1),
    )
    most = 1
    for index, name in enumerate(names):
        at: dict[str, Any] = {"row": index // columns + 1, "col": index % columns + 1}
        mine = [row for row in rows if row["name"] == name]
        prior: Any = next((row["prior"] for row in mine if isinstance(row.get("prior"), Mapping)), None)
        ends: list[float] = []
        if prior is not None:
            ends += _interval(figure, "prior", prior["low"], prior["median"], prior["high"], SOFT, SOFT, at)
        for row in mine:
            colour = WARN if row.get("at_bound") else MODEL
            fill = colour if row.get("identified", True) else "#fff"
            told = day(row["origin"]) if row.get("origin") else "estimate"
            ends += _interval(figure, told, row.get("low"), row["estimate"], row.get("high"), colour, fill, at)
        low, high = min(ends), max(ends)
        wide = low > 0 and high > 20 * low  # a logarithmic axis over more than a factor of 20: a guess
        low, high = (math.log10(low), math.log10(high)) if wide else (low, high)
        pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        figure.update_xaxes(type="log" if wide else "linear", range=[low - pad, high + pad], **at)
        most = max(most, len(mine) + (prior is not None))
    figure = _styled(figure, 60 + deep * (70 + 24 * most), 34)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", type="category")
    figure.update_xaxes(nticks=5, exponentformat="none")
    return figure


def _interval(figure: go.Figure, name: str, low: Any, middle: Any, high: Any, colour: str, fill: str, at: Any) -> Any:
    """Draw an interval with its middle, and return its finite ends."""
    known = low is not None and high is not None
    if known:
        line = {"color": colour, "width": 5 if name == "prior" else 2.5}
        figure.add_scatter(
            x=[low, high], y=[name, name], mode="lines", line=line, showlegend=False, hoverinfo="skip", **at
        )
    told = f" ({low:.4g} to {high:.4g})" if known else ""
    figure.add_scatter(
        x=[middle],
        y=[name],
        mode="markers",
        marker={"size": 9, "color": fill, "line": {"color": colour, "width": 2}},
        showlegend=False,
        hovertemplate=f"{middle:.4g}{told}<extra>{escaped(name)}</extra>",
        **at,
    )
    return [float(end) for end in (low, middle, high) if end is not None and math.isfinite(end)]


def scores(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return WAPE and WIS by origin (on logarithmic axes), one column a series: the model beside the naive rules."""
    series = list(dict.fromkeys(str(row["series"]) for row in rows))
    names = list(dict.fromkeys(str(row["predictor"]) for row in rows))
    styles = naive_style(names)
    measures = {"wape": "WAPE", "wis": "mean WIS"}
    listed: set[str] = set()
    figure = make_subplots(
        rows=2,
        cols=len(series),
        shared_xaxes=True,
        vertical_spacing=0.08,
        horizontal_spacing=0.09,
        column_titles=[escaped(titled(name)) for name in series],
    )
    for column, one in enumerate(series, 1):
        for row, (measure, told) in enumerate(measures.items(), 1):
            for name in sorted(names, key=lambda name: name == LPM):  # the model on top
                mine = [each for each in rows if each["series"] == one and each["predictor"] == name]
                mine = [each for each in mine if each[measure]]
                model = name == LPM
                figure.add_scatter(
                    x=[day(str(each["origin"])) for each in mine],
                    y=[each[measure] for each in mine],
                    mode="lines+markers",
                    line={"color": MODEL, "width": 2.5} if model else {"width": 1, **styles[name]},
                    marker={"size": 10 if model else 6, "symbol": "circle" if model else "circle-open"},
                    name="model" if model else escaped(name),
                    legendgroup=name,
                    showlegend=bool(mine) and name not in listed,
                    hovertemplate="%{y:.3g}<extra>" + escaped(name) + "</extra>",
                    row=row,
                    col=column,
                )
                listed |= {name} if mine else set()
            if column == 1:
                figure.update_yaxes(title={"text": told}, row=row, col=1)
    figure = _styled(figure, 500, 64)
    figure.update_yaxes(type="log", dtick=1, tickformat=",~r", minor={"showgrid": True, "gridcolor": "#f3f4f5"})
    figure.update_xaxes(type="category")
    return figure
