"""Tables of the page: effects, arms, population, parameters, versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from lpm.report.findings import averted, sure, unchanged
from lpm.report.folder import Folder, Metric
from lpm.report.structure import measure
from lpm.report.wording import (
    NOTHING,
    PER_CENT,
    day,
    escaped,
    figure,
    level,
    per,
    percent,
    plain,
    span,
    titled,
    unit_of,
)
from lpm.score import score
from lpm.sources import NO_SOURCE


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), kind: str = "") -> str:
    """Return an HTML table of cells that are HTML already.

    Args:
        head: Headings.
        rows: Cells.
        numeric: Columns that hold numbers (aligned to the right).
        kind: CSS class.
    """
    style = ['class="n"' if index in numeric else "" for index in range(len(head))]
    top = "".join(f"<th {s}>{name}</th>" for s, name in zip(style, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {s}>{cell}</td>" for s, cell in zip(style, row, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def two(first: str, second: str) -> str:
    """Return a cell of a figure and, below it, its interval."""
    return f'{first}<span class="under">{second}</span>' if second and second != NOTHING else first


def effect_tables(folder: Folder) -> str:
    """Return one table per metric: what each arm changes against the first."""
    if len(folder.arms) < 2:
        return "<p>There is one arm: nothing to compare.</p>"
    parts = [_effect_table(folder, metric) for metric in folder.ordered()]
    return "".join(part for part in parts if part)


def _effect_table(folder: Folder, metric: Metric) -> str:
    harm, kind = metric.harm, metric.kind
    points = kind in ("share", "ratio")
    gain = "averted" if harm and kind == "flow" else "lower by" if harm else "change"
    every = "" if kind != "flow" else f" ({per('', str(folder.run.get('step', '')))})"
    head = ["Arm"]
    summaries: list[tuple[str, str]] = []
    if kind == "flow":
        head += ["Total", f"Total {gain}", "Change"]
        summaries.append(("total", kind))
    if kind not in ("share", "ratio") and not (kind != "flow" and folder.rises(metric)):
        head += [f"Peak{every}", f"Peak {'lower by' if harm else 'change'}", "Day of peak", "Later by (days)"]
        summaries += [("peak", kind), ("day_of_peak", "days")]
    if kind != "flow":
        head += ["At the end", f"At the end, {'lower by' if harm else 'change'}"]
        summaries.append(("final", kind))
    head.append("Error: paired / unpaired")
    rows: list[list[str]] = []
    for arm in folder.arms:
        cells = [f'<span class="chip-dot" data-arm="{folder.arms.index(arm)}"></span>{escaped(arm)}']
        ratios: list[float] = []
        for summary, shown in summaries:
            row = folder.effect(arm, metric.name, summary)
            if row is None:
                cells += [NOTHING] * (3 if summary == "total" else 2)
                continue
            cells += _effect_cells(folder, row, metric, summary, shown, points, first=arm == folder.arms[0])
            if row["se_ratio"] is not None and arm != folder.arms[0]:
                ratios.append(row["se_ratio"])
        cells.append(f"{ratios[0]:.2f}" if ratios else NOTHING)
        rows.append(cells)
    if all(cell == NOTHING for row in rows for cell in row[1:]):
        return ""
    unit = f' <span class="unit">{escaped(metric.unit)}</span>' if metric.unit not in ("", "1") else ""
    body = table(head, rows, range(1, len(head)), "effects")
    return f"<h3>{escaped(metric.title)}{unit}</h3>{body}"


def _effect_cells(
    folder: Folder, row: dict[str, Any], metric: Metric, summary: str, shown: str, points: bool, first: bool
) -> list[str]:
    value = figure(row["arm_mean"], shown)
    if summary == "day_of_peak":
        value = _day_of(folder, row["arm_mean"])
        change = NOTHING if first else figure(row["difference"], "days", sign=True)
        return [value, change if first else _soft(two(change, span(row["low"], row["high"], "days")), row)]
    if first:
        return [value, NOTHING, NOTHING] if summary == "total" else [value, NOTHING]
    size, low, high = averted(row, metric)
    told = two(figure(size, shown, sign=not metric.harm, points=points), span(low, high, shown, points))
    cell = _soft(told, row)
    if summary != "total":
        return [value, cell]
    base = row["baseline_mean"]
    if not base:
        return [value, cell, NOTHING]
    ends = "" if row["low"] is None else f"{percent(row['low'] / base)} to {percent(row['high'] / base)}"
    return [value, cell, _soft(two(percent(row["difference"] / base), ends), row)]


def _soft(cell: str, row: dict[str, Any]) -> str:
    """Return a cell in grey where the figure cannot be told apart from chance."""
    return cell if sure(row) or unchanged(row) else f'<span class="unsure">{cell}</span>'


def _day_of(folder: Folder, days: float) -> str:
    """Return the mean day of peak as a date, or as days after the start."""
    from datetime import date, timedelta

    start = folder.run.get("start")
    if not (folder.dated and start):
        return figure(days, "days")
    return day(date.fromisoformat(str(start)[:10]) + timedelta(days=round(days)))


def score_table(folder: Folder) -> str:
    """Return the table of errors against the observed figures."""
    told = folder.run.get("score")
    if folder.observed is not None and not (told and all("first" in row for row in told)):
        told = score(folder.trajectory, folder.observed, folder.kinds)
    body: list[list[str]] = []
    for row in told or []:
        if row.get("wape") is None or row.get("arm") != folder.arms[0]:
            continue  # the other arms are not meant to be like what was observed
        metric = folder.metric(str(row.get("metric")))
        name = metric.title if metric else str(row.get("metric"))
        sums = [row.get(key) for key in ("simulated", "observed")]
        kind = "flow" if metric is None else metric.kind
        told_sums = [figure(None if v is None else float(v), kind) for v in sums]
        if kind not in ("flow", "stock") and (row.get("weeks"), row.get("groups")) != (1, 1):
            told_sums = [NOTHING] * 2  # a sum of shares says nothing
        days = f"{day(row['first'])} to {day(row['last'])}" if row.get("first") and row.get("last") else NOTHING
        error = f"<b>{float(row['wape']):.2f}</b>"
        body.append([escaped(name), escaped(row.get("arm")), escaped(days), error, *told_sums])
    if not body:
        return ""
    head = ["Measure", "Arm", "Days compared", "WAPE", "Simulated in these days", "Observed"]
    return table(head, body, (3, 4, 5), "narrow")


def facts_table(facts: Mapping[str, Any]) -> str:
    """Return name and value, one a row."""
    return table(
        ["", ""], [[escaped(titled(str(key))), escaped(plain(value))] for key, value in facts.items()], kind="facts"
    )


def layers_table(folder: Folder) -> str:
    """Return the layers of the network."""
    layers = folder.run.get("layers") or {}
    rows = [
        [
            escaped(titled(name)),
            plain(about.get("arcs")),
            f"{float(about['mean_degree']):.2f}" if about.get("mean_degree") is not None else NOTHING,
            two(escaped(plain(about.get("source") or NO_SOURCE)), escaped(plain(about.get("facts") or {}))),
        ]
        for name, about in layers.items()
    ]
    return table(["Layer", "Arcs", "Mean degree", "Made from"], rows, (1, 2), "wide") if rows else ""


def marginals_table(folder: Folder) -> str:
    """Return how far the generated marginals are from the published ones, one row per marginal."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in (folder.run.get("population") or {}).get("marginals") or []:
        if row.get("published") is not None and row.get("generated") is not None:
            found.setdefault(str(row.get("name")), []).append(row)
    rows: list[list[str]] = []
    for name, items in found.items():
        worst = max(items, key=lambda row: abs(float(row["generated"]) - float(row["published"])))
        gap = abs(float(worst["generated"]) - float(worst["published"]))
        kind = measure(items)
        told_of = sum(float(row["published"]) for row in items) if kind == "people" else float(worst["published"])
        size = f"{gap * 100:.2f}\u202fpp" if kind == "share" else NOTHING
        if kind != "share" and told_of:
            size = f"{gap / told_of * 100:.2f}{PER_CENT}{' of all' if kind == 'people' else ''}"
        told = [figure(float(worst[which]), kind) for which in ("published", "generated")]
        rows.append(
            [
                escaped(titled(name)),
                str(len(items)),
                size,
                f"{escaped(', '.join(map(level, str(worst['level']).split(', '))))}: {told[0]} published, "
                f"{told[1]} generated",
            ]
        )
    head = ["Marginal", "Levels", "Largest difference", "Where"]
    return table(head, rows, (1, 2)) if rows else ""


def parameters_table(folder: Folder) -> str:
    """Return the parameters with unit, meaning and source."""
    rows = [
        [
            f"<code>{escaped(row.get('path'))}</code>",
            _value(row.get("value")),
            escaped(unit_of(row.get("unit"))),
            escaped(row.get("meaning") or ""),
            escaped(plain(row.get("source") or NO_SOURCE)),
        ]
        for row in folder.run.get("parameters") or []
    ]
    return table(["Parameter", "Value", "Unit", "Meaning", "Source"], rows, kind="wide") if rows else ""


def _value(value: Any) -> str:
    """Return a parameter's value; numbers by level stand one below the other, each with its level."""
    if isinstance(value, Mapping):
        numbers = cast("Mapping[str, Any]", value)
        return "<br>".join(f"{escaped(level(str(key)))}:\u00a0{escaped(plain(item))}" for key, item in numbers.items())
    return escaped(plain(value))


def _of(step: Any) -> str:
    """Return the length of a step behind their number: " of 1 d"."""
    length = str(step or "").lstrip("0123456789.")
    return f" of {str(step).removesuffix(length)} {length}" if step else ""


def making_table(folder: Folder) -> str:
    """Return versions, devices, timings and memory."""
    run = folder.run
    facts: dict[str, Any] = {}
    seconds = cast("dict[str, Any]", run.get("seconds") or {})
    names = {"per_step": "per step", "total": "in all"}
    if seconds:
        facts["Time"] = "; ".join(
            f"{names.get(key, key)} {float(value):.3g} s" for key, value in seconds.items() if value is not None
        )
    if run.get("peak_memory_mb"):
        facts["Peak memory"] = f"{float(run['peak_memory_mb']) / 1024:.2f} GiB"
    facts["Devices"] = ", ".join(str(item) for item in run.get("devices") or []) or NOTHING
    backend = run.get("backend")
    if backend:
        facts["Backend"] = plain(backend)
    facts["Seeds"] = ", ".join(str(seed) for seed in run.get("seeds") or folder.whole["seed"].unique().sort())
    facts["Steps"] = f"{run.get('steps', folder.whole['step'].n_unique())}{_of(run.get('step'))}"
    facts["Versions"] = "; ".join(f"{name} {number}" for name, number in (run.get("versions") or {}).items())
    return facts_table(facts)
