"""The report of a sweep: one self-contained page, made from the files of its folder alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from lpm.errors import InputError, faults
from lpm.parquet import write_bytes, write_frame
from lpm.report.folder import texts
from lpm.report.page import document
from lpm.report.tables import facts_table, table
from lpm.report.wording import NOTHING, PER_CENT, dated, escaped, plain, unit_of
from lpm.sweeps import findings, pictures, scaling
from lpm.sweeps.outcome import Outcome, Swept, read_outcome
from lpm.sweeps.scaling import Law
from lpm.sweeps.sensitivity import Sensitivity, sensitivity

TO = 1_000_000
"""Agents for which a scaling law is told in the page, where sweep.json does not say `predict`."""

LISTED = 50
"""Most failed runs that the page lists; `runs.parquet` holds all of them."""

KINDS = {
    "grid": "all combinations of a grid",
    "sobol": "a design for Sobol indices",
    "morris": "trajectories for elementary effects",
    "table": "a table of runs",
}


def write_report(folder: Path) -> Path:
    """Write `indices.parquet` (of a Sobol or Morris design) and `report.html` of a sweep; return the page's path.

    Reads `sweep.json`, `design.parquet` and `summary.parquet`.

    Raises:
        InputError: A missing or damaged file, or a sweep of which no run has a result.
        Fault: A file cannot be written.
    """
    folder = Path(folder)
    outcome = read_outcome(folder)
    if not (outcome.jobs["status"] == "ok").any():
        raise InputError(f"{folder}: expected at least one run with a result, got none")
    found = sensitivity(outcome)
    content = page(outcome, found).encode("utf-8")
    with faults():
        if outcome.kind in ("sobol", "morris"):
            write_frame(folder / "indices.parquet", found.frame, {"remarks": "\n".join(found.remarks)})
        return write_bytes(folder / "report.html", content)


def page(outcome: Outcome, found: Sensitivity) -> str:
    """Return the whole page as HTML."""
    laws, why = _laws(outcome)
    data = pictures.data(outcome, found.frame, laws)
    data["grid"] = outcome.kind == "grid"
    parts = [
        ("matters", "What matters most", _matters(outcome, found)),
        ("responses", "How the result answers to each parameter", _responses(outcome, data)),
        ("pairs", "Two parameters together", _pairs(outcome, data)),
        ("sizes", "More agents", _sizes(laws, why)),
        ("failed", "Simulations without a result", _failed(outcome)),
        ("design", "What was swept", _design(outcome)),
        ("making", "How this was computed", _making(outcome)),
    ]
    shown = [(key, heading, body) for key, heading, body in parts if body]
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in shown)
    body = "".join(f'<section id="{key}"><h2>{heading}</h2>{content}</section>' for key, heading, content in shown)
    about = outcome.about
    title = escaped(about.get("title") or about.get("name") or "Sweep")
    question = "".join(f'<p class="question">{escaped(dated(line))}</p>' for line in texts(about.get("description")))
    written = "summary.parquet, design.parquet" + (", indices.parquet" if found.frame.height else "")
    main = f"""
<header><div class="kicker">{_kicker(outcome)}</div><h1>{title}: a sweep</h1>{question}</header>
<p class="findings">{findings.key_findings(outcome, found.frame, laws)}</p>
{findings.cards(outcome, found.frame, laws)}
<nav aria-label="Sections">{links}</nav>
{_controls(outcome, data)}
{body}
<footer>Every figure of this page is in the files {written} beside it, or follows from them.</footer>
"""
    return document(f"{title}: a sweep", main, data, files("lpm.sweeps").joinpath("report.js").read_text("utf-8"))


def _laws(outcome: Outcome) -> tuple[list[Law], str]:
    """Return the scaling laws of all measures and arms over all people, and why the headline has none."""
    if scaling.SIZE not in [path.path for path in outcome.paths]:
        return [], ""
    made: list[Law] = []
    why, to = "", float(outcome.about.get("predict") or TO)
    for measure in pictures.ordered(outcome):
        for arm in outcome.arms:
            try:
                made.append(scaling.of_outcome(outcome, to, arm, measure))
            except InputError as error:
                why = why or str(error).removeprefix(f"{outcome.folder}: ")
    return made, why


def _kicker(outcome: Outcome) -> str:
    parts = [KINDS.get(outcome.kind, outcome.kind), f"{outcome.runs:,} run{'s' * (outcome.runs != 1)}"]
    parts.append(f"{len(outcome.arms)} arm{'s' * (len(outcome.arms) != 1)}")
    parts.append(f"{len(outcome.seeds)} seed{'s' * (len(outcome.seeds) != 1)} each")
    return " \u00b7 ".join([parts[0][0].upper() + parts[0][1:], *parts[1:]])


def _controls(outcome: Outcome, data: dict[str, Any]) -> str:
    """Return the selects for measure, group and arm."""
    options = "".join(
        f'<option value="{escaped(n)}">{about["title"]}</option>' for n, about in data["measures"].items()
    )
    parts = [f'<label>Measure <select id="measure">{options}</select></label>']
    for name, told, names in (("group", "Group", data["groups"]), ("arm", "Arm", data["arms"])):
        if len(names) > 1:
            options = "".join(f'<option value="{number}">{each}</option>' for number, each in enumerate(names))
            parts.append(f'<label>{told} <select id="{name}">{options}</select></label>')
    if len(outcome.groups) > len(data["groups"]):
        parts.append(f'<span class="caption">{len(data["groups"])} of {len(outcome.groups)} groups</span>')
    return f'<div class="controls">{"".join(parts)}</div>'


def _matters(outcome: Outcome, found: Sensitivity) -> str:
    remarks = "".join(f"<li>{escaped(line)}</li>" for line in found.remarks)
    told = f"<ul class='small'>{remarks}</ul>" if remarks else ""
    if outcome.kind not in ("sobol", "morris") or not (found.frame.height or told):
        return ""
    if not found.frame.height:
        return told
    sobol = outcome.kind == "sobol"
    lede = (
        "Left: which part of the differences between runs a parameter explains on its own (first-order Sobol index), "
        "and with all that it does jointly with others (total index). "
        if sobol
        else "Left: by how much a parameter moved across its whole range changes the result, on average (\u03bc*). "
    )
    lede += (
        "Right: effects of a parameter moved alone, over its whole range. To the right: large effects. High up: "
        "effects that differ from place to place, by interaction or curvature; above the dotted line they differ by "
        f"more than their size. Bars: 95{PER_CENT} intervals, from resamples of the design; results are means over "
        "the seeds."
    )
    return (
        f'<p class="lede">{lede}</p><div class="grid two">'
        '<figure><h3>Importance <span class="unit"><span class="measure-name"></span> '
        '<span class="arm-name"></span></span></h3><div class="chart" id="bars"></div></figure>'
        '<figure><h3>Elementary effects <span class="unit"><span class="measure-name"></span></span></h3>'
        f'<div class="chart" id="effects-chart"></div></figure></div>{told}'
    )


def _responses(outcome: Outcome, data: dict[str, Any]) -> str:
    smooth = bool(data["smooth"]["curves"])
    if outcome.kind == "grid" and not smooth:
        lede = "Line: mean over all values of the other parameters and over the seeds"
        lede += (
            f"; band: its 95{PER_CENT} interval over the seeds (chance only)."
            if outcome.banded
            else "; no band (too few seeds for an interval)."
        )
        lede += " A gap: a run failed there, or the measure is not defined in it." if outcome.failed().any() else ""
    elif smooth:
        lede = (
            f"Line and band: a smooth surface through the runs (Gaussian process), averaged over the other parameters, "
            f"with its 95{PER_CENT} interval, of all people and for the first measures. Points: means of the runs in "
            "each piece of the range. With another group or measure the points have bars: their 95\u202f% interval."
        )
        lede += " Runs in which a measure has no value are not part of its surface." if data["smooth"]["left"] else ""
    else:
        lede = f"Points: means of the runs in each piece of the range; bars: their 95{PER_CENT} interval."
    click = ' <span class="screen">Click an arm to hide or show it.</span>' if len(outcome.arms) > 1 else ""
    chips = "".join(
        f'<button type="button" class="chip" aria-pressed="true" data-arm="{number}"><i></i>{arm}</button>'
        for number, arm in enumerate(data["arms"])
    )
    told = f'<div class="chips" role="group" aria-label="Arms shown">{chips}</div>' if len(outcome.arms) > 1 else ""
    charts = "".join(
        f'<figure><h3><code>{path["name"]}</code> <span class="unit">{escaped(swept.meaning)}</span></h3>'
        f'<div class="chart" id="curve-{number}"></div></figure>'
        for number, (path, swept) in enumerate(zip(data["paths"], outcome.paths, strict=True))
    )
    return (
        f'<p class="lede">{lede} All panels share one scale.{click}</p>{told}'
        f'<h3><span class="measure-name"></span></h3><div class="grid two">{charts}</div>'
    )


def _pairs(outcome: Outcome, data: dict[str, Any]) -> str:
    if not data["pairs"]:
        return ""
    every = len(outcome.paths) * (len(outcome.paths) - 1) // 2
    few = f" {len(data['pairs'])} of {every} pairs." if every > len(data["pairs"]) else ""
    what = "The surface" if data["smooth"]["pairs"] else "Each cell: the mean"
    grey = " Grey: a run failed there, or the measure is not defined." if not data["smooth"]["pairs"] else ""
    charts = "".join(
        f'<figure><div class="chart" id="map-{number}"></div></figure>' for number in range(len(data["pairs"]))
    )
    rest = ", averaged over the other parameters" if len(outcome.paths) > 2 else ""
    return (
        f'<p class="lede">{what} for two parameters{rest}, on one scale of colours; hover for the 95{PER_CENT} '
        f'interval.{grey}{few}</p><h3><span class="measure-name"></span> <span class="unit arm-name"></span></h3>'
        f'<div class="grid two">{charts}</div>'
    )


def _sizes(laws: list[Law], why: str) -> str:
    if not laws:
        return f'<p class="lede">No law of sizes: {escaped(why)}.</p>' if why else ""
    misfit = [law for law in laws if law.fit.lack < 0.01]
    told = ""
    if misfit:
        names = ", ".join(dict.fromkeys(escaped(law.measure) for law in misfit))
        told = f'<p class="note">The law does not fit {names}: the intervals there are widened by the misfit.</p>'
    return (
        f'<p class="lede">y(N) = a + b N<sup>\u2212c</sup>, fitted to the sizes up to {scaling.MOST:,} and averaged '
        f"over c from 0.2 to 2; points: means over the seeds with their 95{PER_CENT} interval, hollow where they were "
        f'not fitted.</p>{told}<h3><span class="measure-name"></span> <span class="unit arm-name"></span></h3>'
        '<div class="chart" id="law"></div>'
    )


def _failed(outcome: Outcome) -> str:
    bad = outcome.jobs.filter(pl.col("status") != "ok")
    if not bad.height:
        return ""
    rows = bad.group_by("run", "status", maintain_order=True).agg(pl.len(), pl.col("arm").unique(maintain_order=True))
    body: list[list[str]] = []
    for row in rows.head(LISTED).iter_rows(named=True):
        values = outcome.design.row(row["run"], named=True)
        told = [escaped(plain(values[path.path])) for path in outcome.paths]
        body.append([f"{row['run']:,}", *told, escaped(", ".join(row["arm"])), f"{row['len']}", escaped(row["status"])])
    head = ["Run", *(f"<code>{escaped(path.path)}</code>" for path in outcome.paths), "Arms", "Simulations", "Why"]
    numeric = [0, *(1 + n for n, path in enumerate(outcome.paths) if not path.names), len(head) - 2]
    more = f'<p class="caption">The first {LISTED} of {rows.height:,}.</p>' if rows.height > LISTED else ""
    lede = f"{bad.height:,} of {outcome.jobs.height:,} simulations. They are in no mean and no index of this page."
    return f'<p class="lede">{lede}</p>{table(head, body, numeric)}{more}'


def _design(outcome: Outcome) -> str:
    rows = [
        [
            f"<code>{escaped(path.path)}</code>",
            *_range(path),
            escaped(unit_of(path.unit)),
            str(outcome.design.filter(outcome.first)[path.path].n_unique()),
            {"log": "even in the logarithm", "linear": "even", "values": "listed"}.get(path.scale, escaped(path.scale)),
            escaped(path.meaning),
        ]
        for path in outcome.paths
    ]
    head = ["Parameter", "From", "To", "Unit", "Values", "Spacing", "Meaning"]
    more = outcome.runs - int(outcome.first.sum())
    told = f'<p class="lede">{more:,} of the {outcome.runs:,} runs were added where the surface was least sure.</p>'
    return table(head, rows, (1, 2, 4)) + (told if more else "")


def _range(path: Swept) -> tuple[str, str]:
    if path.names:
        return escaped(", ".join(map(str, path.values))), NOTHING
    return escaped(plain(path.low)), escaped(plain(path.high))


def _making(outcome: Outcome) -> str:
    about = outcome.about
    facts: dict[str, Any] = {"Design": KINDS.get(outcome.kind, outcome.kind)}
    for key, name in (("base", "Base points"), ("agents", "Agents"), ("people", "People"), ("steps", "Steps")):
        if about.get(key) is not None:
            facts[name] = about[key]
    facts |= {"Seeds": list(outcome.seeds), "Simulations": outcome.jobs.height}
    for key, name in (("seconds", "Seconds"), ("versions", "Versions"), ("fingerprint", "Fingerprint")):
        if about.get(key):
            facts[name] = about[key]
    return facts_table(facts)
