"""Tables of a calibration's report: parameters with their intervals, checks, and series that were observed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import polars as pl

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
    optional = [key for key in ("origin", "unit", "source") if any(row.get(key) for row in rows)]
    body: list[list[str]] = []
    for row in rows:
        at = [escaped(dated(row.get("origin") or ""))] if "origin" in optional else []
        cells = [escaped(row["name"]), *at, f"<b>{plain(row['estimate'])}</b>", _span(row.get("low"), row.get("high"))]
        if fitted:
            flags = ["at its bound"] if row.get("at_bound") else []
            flags += [] if row.get("identified", True) else ["not identified"]
            cells += [_prior(row.get("prior")), escaped(", ".join(flags))]
        body.append(cells + [escaped(dated(row.get(key) or "")) for key in optional if key != "origin"])
    head = ["Parameter" if fitted else "", *(["Known until"] if "origin" in optional else [])]
    head += ["Estimate", "90 % interval", *(["Prior", "Beware"] if fitted else [])]
    head += [titled(key) for key in optional if key != "origin"]
    first = head.index("Estimate")
    return table(head, body, (first, first + 1), "narrow")


def _span(low: Any, high: Any) -> str:
    return NOTHING if low is None or high is None else f"{plain(low)} to {plain(high)}"


def _prior(prior: Any) -> str:
    if isinstance(prior, Mapping):
        about = cast("Mapping[str, Any]", prior)
        return two(plain(about.get("median")), _span(about.get("low"), about.get("high")))
    return NOTHING if prior is None else escaped(prior)
