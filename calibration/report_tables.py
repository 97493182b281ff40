"""Tables of a calibration's report: parameters with their intervals, checks, and series that were observed once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import polars as pl

from lpm.calibration.forecasting.misfit import POOR
from lpm.report.tables import table, two
from lpm.report.wording import NOTHING, dated, day, escaped, plain, titled


def single(rows: pl.DataFrame) -> str:
    """Return a table of a series that was observed once: what was observed beside the model's median and interval."""
    body = [
        [
            day(row["date"]),
            escaped(row["group"]),
            day(row["origin"]),
            NOTHING if row["observed"] is None else plain(row["observed"]),
            f"<b>{plain(row['q50'])}</b>",
            _span(row["q05"], row["q95"]),
            "fitted" if row["in_fit"] else "forecast",
        ]
        for row in rows.sort("origin", "group").iter_rows(named=True)
    ]
    return table(["Day", "Group", "Known until", "Observed", "Model", "90 % interval", ""], body, (3, 4, 5), "narrow")


def number(value: Any) -> str:
    """Return a figure with two decimals where it is small, a dash where there is none."""
    if value is None:
        return NOTHING
    return f"{float(value):,.2f}" if abs(float(value)) < 10 else f"{float(value):,.0f}"


def mean(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the mean of a score over rows, None where one of them has none or there are no rows."""
    values = [row.get(key) for row in rows]
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def misfit(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of how far the model is from what it was fitted to, by series."""
    if not rows:
        return ""
    body: list[list[str]] = []
    for row in rows:
        k = row.get("concentration")
        scatter = NOTHING if k is None else f"{100 / math.sqrt(float(k)):,.0f} %"
        flags = ["misses the data"] if row["q"] > POOR else []
        flags += ["at its limit"] if row.get("at_limit") else []
        q = f"{float(row['q']):,.2f}"
        cells = [escaped(titled(row["series"])), escaped(dated(row.get("origin") or "")), plain(row["figures"])]
        body.append([*cells, f"<b>{q}</b>" if row["q"] > POOR else q, scatter, ", ".join(flags)])
    note = (
        f'<p class="note">Q: mean squared residual per figure by its own scatter; 1 would be right, above {POOR:g} the '
        "model misses the data. Scatter beyond chance: 1 / sqrt of the estimated concentration, the standard deviation "
        "of a large count as a share of it. It takes up what the model lacks, so that Q stays near 1 until it comes to "
        "its limit.</p>"
    )
    head = ["Series", "Known until", "Figures", "Q", "Scatter beyond chance", "Beware"]
    return table(head, body, (2, 3, 4), "narrow") + note


def diagnosis(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the checks of the draws."""
    if not rows:
        return ""
    body = [
        [
            escaped(titled(row["check"])),
            escaped(row["of"]),
            f"<b>{plain(row['value'])}</b>",
            _span(row["low"], row["high"]),
            "passed" if row["passed"] else "<b>failed</b>",
        ]
        for row in rows
    ]
    note = (
        '<p class="note">Posterior predictive: share of simulated data at least as far from the prediction as what was '
        "observed. Spread left: how much of the prior's spread along a direction of the parameters the data leave. "
        "Coverage was not checked here.</p>"
    )
    return table(["Check", "Of", "Value", "Bar", ""], body, (2, 3), "narrow") + note


def intervals(rows: Sequence[Mapping[str, Any]], fitted: bool) -> str:
    """Return a table of estimates with their intervals, with columns only for what some row has."""
    optional = [key for key in ("origin", "unit", "draws", "source") if any(row.get(key) for row in rows)]
    body: list[list[str]] = []
    for row in rows:
        at = [escaped(dated(row.get("origin") or ""))] if "origin" in optional else []
        cells = [escaped(row["name"]), *at, f"<b>{plain(row['estimate'])}</b>", _span(row.get("low"), row.get("high"))]
        if fitted:
            flags = ["at its bound"] if row.get("at_bound") else []
            flags += [] if row.get("identified", True) else ["not identified"]
            flags += ["outside its prior"] if row.get("outside_prior") else []
            cells += [_prior(row.get("prior")), escaped(", ".join(flags))]
        rest = {key: _draws(row) if key == "draws" else row.get(key) or "" for key in optional if key != "origin"}
        body.append(cells + [escaped(dated(each)) for each in rest.values()])
    head = ["Parameter" if fitted else "", *(["Known until"] if "origin" in optional else [])]
    head += ["Estimate", "90 % interval", *(["Prior", "Beware"] if fitted else [])]
    head += [titled(key) for key in optional if key != "origin"]
    first = head.index("Estimate")
    return table(head, body, (first, first + 1), "narrow")


def _draws(row: Mapping[str, Any]) -> str:
    """Return over how many draws a figure is told, and in how many of these there is none."""
    lost = row.get("undefined")
    return f"{row.get('draws') or ''}" + (f", undefined in {lost}" if lost else "")


def _span(low: Any, high: Any) -> str:
    return NOTHING if low is None or high is None else f"{plain(low)} to {plain(high)}"


def _prior(prior: Any) -> str:
    if isinstance(prior, Mapping):
        about = cast("Mapping[str, Any]", prior)
        return two(plain(about.get("median")), _span(about.get("low"), about.get("high")))
    return NOTHING if prior is None else escaped(prior)
