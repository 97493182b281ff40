"""The report of a calibration: one self-contained page, made from the files of its folder alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from lpm.calibration import pictures
from lpm.calibration import report_tables as tables
from lpm.calibration.forecasting.forecast import FORECAST, LPM, NAIVE, best_naive, means
from lpm.calibration.space import Space
from lpm.errors import InputError, faults
from lpm.parquet import read_frame, write_bytes
from lpm.report.folder import texts
from lpm.report.page import document
from lpm.report.tables import facts_table, table, two
from lpm.report.wording import NOTHING, dated, day, escaped, percent, titled

SCRIPT = """"use strict";
for (const [id, figure] of Object.entries(JSON.parse(document.getElementById("data").textContent))) {
  Plotly.newPlot(id, figure.data, figure.layout, { displayModeBar: false, responsive: true });
}
"""


def write_report(folder: Path) -> Path:
    """Write `report.html` into a calibration's folder and return its path.

    Reads `fit.json`, and where they are there `forecast.parquet`, `naive.parquet` and `score.json`. `fit.json` is an
    object with `parameters` (rows of name, estimate, low, high, at_bound, identified; where known origin, prior, unit),
    `simulations` and `seconds`; and if there is something to say `title`, `description`, `notes` (what a reader must
    know first), `results` (rows of name, estimate, low, high; where known origin, unit), `misfit` (rows of series,
    figures, q, concentration, at_limit; where known origin), `diagnosis` (rows of check, of, value, low, high, passed)
    and `facts` (name: value).

    Raises:
        InputError: A missing or damaged file.
        Fault: The page cannot be written.
    """
    folder = Path(folder)
    content = page(folder).encode("utf-8")
    with faults():
        return write_bytes(folder / "report.html", content)


def page(folder: Path) -> str:
    """Return the whole page as HTML."""
    fit = _json(folder / "fit.json", dict)
    for key in ("parameters", "simulations", "seconds"):
        if key not in fit:
            raise InputError(f"{folder / 'fit.json'}: expected a key '{key}', got {', '.join(fit) or 'none'}")
    told = cast("list[dict[str, Any]]", _json(folder / "score.json", list) if (folder / "score.json").exists() else [])
    forecast, naive = (_frame(folder / f"{n}.parquet", s) for n, s in (("forecast", FORECAST), ("naive", NAIVE)))
    drawn: dict[str, Any] = {}
    parts = [
        ("forecasts", "Fit and forecast", _forecasts(forecast, naive, drawn)),
        ("scores", "Scores beside naive forecasts", _scores(told, drawn)),
        ("parameters", "Parameters", _parameters(fit["parameters"], drawn)),
        ("results", "What follows", _results(fit.get("results") or [])),
        (
            "diagnosis",
            "Can it be believed?",
            tables.misfit(fit.get("misfit") or []) + tables.diagnosis(fit.get("diagnosis") or []),
        ),
        ("making", "How this was computed", _making(fit)),
    ]
    shown = [(key, heading, body) for key, heading, body in parts if body]
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in shown)
    body = "".join(f'<section id="{key}"><h2>{heading}</h2>{content}</section>' for key, heading, content in shown)
    title = escaped(fit.get("title") or "Calibration")
    notes = "".join(f"<p>{escaped(dated(line))}</p>" for line in texts(fit.get("notes")))
    banner = f'<div class="banner notice">{notes}</div>' if notes else ""
    question = "".join(f'<p class="question">{escaped(dated(line))}</p>' for line in texts(fit.get("description")))
    found = f'<p class="findings">{_findings(told)}</p>' if told else ""
    main = f"""
<header><div class="kicker">{_kicker(fit, forecast)}</div><h1>{title}</h1>{question}</header>
{banner}
{found}
{_cards(told)}
<nav aria-label="Sections">{links}</nav>
{body}
<footer>Every figure of this page is in the files fit.json, score.json, forecast.parquet and naive.parquet beside \
it.</footer>
"""
    return document(title, main, drawn, SCRIPT)


def prior_intervals(space: Space, level: float = 0.9) -> dict[str, dict[str, float]]:
    """Return low, median and high of each parameter's prior, by the names that `fit.table` gives (the key `prior`)."""
    shares = np.asarray([(1 - level) / 2, 0.5, (1 + level) / 2])
    values = space.constrain(space.quantile(np.repeat(shares[:, None], space.size, 1)))
    made: dict[str, dict[str, float]] = {}
    for name, each in values.items():
        table = np.sort(np.asarray(each, np.float64).reshape(3, -1), 0)
        for number, (low, median, high) in enumerate(table.T):
            told = name if table.shape[1] == 1 else f"{name}[{number}]"
            made[told] = {"low": float(low), "median": float(median), "high": float(high)}
    return made


def _json(path: Path, kind: type) -> Any:
    try:
        made = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(made, kind):
        raise InputError(f"{path}: expected JSON of a {kind.__name__}, got {type(made).__name__}")
    return made


def _frame(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame | None:
    if not path.exists():
        return None
    frame = read_frame(path)
    for name, kind in schema.items():
        if frame.schema.get(name) != kind:
            raise InputError(f"{path}: {name}: expected {kind}, got {frame.schema.get(name)}")
    return frame


def _chart(drawn: dict[str, Any], name: str, figure: Any, caption: str) -> str:
    """Keep a figure for the script, and return the place where it is drawn."""
    drawn[f"chart-{name}"] = json.loads(figure.to_json())  # sections have names of their own
    return f'<figure><div class="chart" id="chart-{name}"></div><p class="caption">{caption}</p></figure>'


def _kicker(fit: Mapping[str, Any], forecast: pl.DataFrame | None) -> str:
    parts = ["Calibration"]
    if forecast is not None:
        origins = forecast["origin"].unique().sort()
        count = f"{len(origins)} origins, {day(origins[0])} to " if len(origins) > 1 else "known until "
        parts.append(f"{count}{day(origins[-1])}")
    parts += [f"{int(fit['simulations']):,} simulations", f"{float(fit['seconds']):,.0f} s"]
    return " \u00b7 ".join(parts)


def _findings(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in sentences how the model does beside the best naive row of each origin."""
    sentences: list[str] = []
    for each in means(rows):
        if each["lpm_wape"] is None or each["naive_wape"] is None:
            continue
        change = each["lpm_wape"] / each["naive_wape"] - 1 if each["naive_wape"] else 0.0
        over = f"over {each['origins']} origins" if each["origins"] > 1 else "from one origin"
        sentences.append(
            f"<b>{escaped(titled(each['series']))}</b>: {over} the forecasts are off by <b>{each['lpm_wape']:.2f}</b> "
            f"of what was observed (WAPE); the best naive forecast of each origin, chosen with hindsight, by "
            f"{each['naive_wape']:.2f} (the model: {percent(change)}). Mean WIS {tables.number(each['lpm_wis'])} "
            f"against {tables.number(each['naive_wis'])}."
        )
    return " ".join(sentences)


def _cards(rows: Sequence[Mapping[str, Any]]) -> str:
    cards: list[str] = []
    for each in means(rows):
        name = escaped(titled(each["series"]))
        if each["lpm_wape"] is not None:
            note = f"best naive {each['naive_wape']:.2f}" if each["naive_wape"] is not None else ""
            cards.append(_card(f"<b>{name}</b>: WAPE of the forecasts", f"{each['lpm_wape']:.2f}", note))
        if each["coverage90"] is not None:
            covered = percent(each["coverage90"], sign=False)
            cards.append(_card(f"<b>{name}</b>: values inside the 90 % interval", covered, "90 % would be right"))
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _card(name: str, figure: str, note: str) -> str:
    told = f'<div class="card-note">{note}</div>' if note else ""
    return f'<div class="card"><div class="card-name">{name}</div><div class="card-figure">{figure}</div>{told}</div>'


def _forecasts(forecast: pl.DataFrame | None, naive: pl.DataFrame | None, drawn: dict[str, Any]) -> str:
    if forecast is None or not forecast.height:
        return ""
    parts: list[str] = []
    for index, series in enumerate(forecast["series"].unique(maintain_order=True)):
        mine = forecast.filter(pl.col("series") == series)
        if mine["date"].n_unique() == 1:  # a curve of one point says nothing
            parts.append(f"<h3>{escaped(titled(series))}</h3>" + tables.single(mine))
            continue
        groups, origins = mine["group"].n_unique(), mine["origin"].n_unique()
        few = f" The first {pictures.LISTED} of {groups} groups." if groups > pictures.LISTED else ""
        few += f" {pictures.COLUMNS} of {origins} origins." if origins > pictures.COLUMNS else ""
        caption = (
            "Each value stands at the last day of its interval. Dotted: the last day that was known; up to it the "
            "bands are of the fitted model and the scatter of its figures, after it also of how figures have drifted "
            f"from the model. A row of panels ends at no more than {pictures.ABOVE:g} times its highest observed value "
            f"or median: what goes further leaves the panel.{few}"
        )
        figure = pictures.curves(forecast, naive, series)
        parts.append(f"<h3>{escaped(titled(series))}</h3>" + _chart(drawn, f"forecast-{index}", figure, caption))
    return "".join(parts)


def _scores(rows: Sequence[Mapping[str, Any]], drawn: dict[str, Any]) -> str:
    if not rows:
        return ""
    caption = "Logarithmic. A naive line on a steep rise can be off by a factor of hundreds: that is what it is."
    parts = [_chart(drawn, "scores", pictures.scores(rows), caption)]
    for series in dict.fromkeys(str(row["series"]) for row in rows):
        mine = [row for row in rows if row["series"] == series]
        origins = list(dict.fromkeys(str(row["origin"]) for row in mine))
        best = {(row["origin"], row["predictor"]) for row in best_naive(mine)}
        body: list[list[str]] = []
        for name in dict.fromkeys(str(row["predictor"]) for row in mine):
            found = {str(row["origin"]): row for row in mine if row["predictor"] == name}
            cells = ["<b>model</b>" if name == LPM else escaped(name)]
            for origin in origins:
                row = found.get(origin)
                told = NOTHING if row is None else tables.number(row["wape"])
                told = f"<b>{told}</b>" if name == LPM or (origin, name) in best else told
                cells.append(two(told, "" if row is None else f"WIS {tables.number(row['wis'])}"))
            whole = list(found.values()) if len(found) == len(origins) else []
            cells += [tables.number(tables.mean(whole, key)) for key in ("wape", "normalised_deviation", "wis", "crps")]
            cells.append(percent(sum(row["coverage90"] for row in found.values()) / len(found), sign=False))
            body.append(cells)
        head = ["", *(day(origin) for origin in origins), "Mean WAPE", "Deviation", "WIS", "CRPS", "Inside 90 %"]
        parts.append(f"<h3>{escaped(titled(series))}</h3>" + table(head, body, range(1, len(head)), "narrow"))
    parts.append(
        '<p class="note">WAPE: sum of |median \u2212 observed| over groups and weeks by the sum of what was observed. '
        "Deviation: the same by the sum of sizes, for values that may be negative. WIS: weighted interval score "
        "(Bracher et al. 2021), mean over the same values, in their unit. CRPS: continuous ranked probability score "
        "(Gneiting &amp; Raftery 2007), of the whole distribution; a dash where that has no finite one, as a line "
        "through logarithms with errors of Student's t. Bold: the model, and the naive row with the smallest WAPE of "
        "each origin, chosen with hindsight.</p>"
    )
    return "".join(parts)


def _parameters(rows: Sequence[Mapping[str, Any]], drawn: dict[str, Any]) -> str:
    if not rows:
        return ""
    caption = (
        "Point and bar: estimate and 90 % interval, by the last day that was known; grey: the prior. Orange: at its "
        "bound. Hollow: the data say nothing of it."
    )
    return _chart(drawn, "parameters", pictures.parameters(rows), caption) + tables.intervals(rows, True)


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    return tables.intervals(rows, False) if rows else ""


def _making(fit: Mapping[str, Any]) -> str:
    facts = {"simulations": fit["simulations"], "seconds": round(float(fit["seconds"]), 1), **(fit.get("facts") or {})}
    return facts_table(facts)
