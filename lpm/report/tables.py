"""Tables of the page: effects, arms, population, parameters, versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from lpm.report.findings import averted
from lpm.report.folder import Folder, Metric
from lpm.report.wording import NOTHING, day, escaped, figure, level, per, plain, span, titled
from lpm.score import score


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


def _two(first: str, second: str) -> str:
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
        head += ["Total", f"Total {gain}", "Share"]
        summaries.append(("total", kind))
    if kind not in ("share", "ratio"):
        head += [f"Peak{every}", f"Peak {'lower by' if harm else 'change'}", "Day of peak", "Later by (days)"]
        summaries += [("peak", kind), ("day_of_peak", "days")]
    if kind != "flow":
        head += ["At the end", f"At the end, {'lower by' if harm else 'change'}"]
        summaries.append(("final", kind))
    head.append("Error, paired / unpaired")
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
        return [value, change if first else _two(change, span(row["low"], row["high"], "days"))]
    if first:
        return [value, NOTHING, NOTHING] if summary == "total" else [value, NOTHING]
    size, low, high = averted(row, metric)
    cell = _two(figure(size, shown, sign=not metric.harm, points=points), span(low, high, shown, points))
    if summary != "total":
        return [value, cell]
    part = (
        f"{size / row['baseline_mean']:.0%}".replace("-", "\u2212").replace("%", "\u202f%")
        if row["baseline_mean"]
        else NOTHING
    )
    return [value, cell, part]


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
    if not told and folder.observed is not None:
        told = score(folder.trajectory, folder.observed, folder.kinds)
    body: list[list[str]] = []
    for row in told or []:
        if row.get("wape") is None or row.get("arm") != folder.arms[0]:
            continue  # the other arms are not meant to be like what was observed
        metric = folder.metric(str(row.get("metric")))
        name = metric.title if metric else str(row.get("metric"))
        sums = [row.get(key) for key in ("simulated", "observed")]
        told_sums = [NOTHING if value is None else f"{float(value):,.0f}" for value in sums]
        body.append([escaped(name), escaped(row.get("arm")), f"<b>{float(row['wape']):.2f}</b>", *told_sums])
    if not body:
        return ""
    head = ["Measure", "Arm", "WAPE", "Simulated in these weeks", "Observed"]
    return table(head, body, (2, 3, 4), "narrow")


def arms_table(folder: Folder) -> str:
    """Return the arms, each with its interventions."""
    costs = folder.run.get("costs") or {}
    told: list[dict[str, Any]] = folder.run.get("arms") or [{"name": arm} for arm in folder.arms]
    parts: list[str] = []
    for arm in told:
        name = str(arm.get("name"))
        number = folder.arms.index(name) if name in folder.arms else 0
        bills = [f"{float(bill['total']):,.0f} {escaped(bill.get('unit', ''))}" for bill in costs.get(name) or []]
        priced = f" Cost: {', '.join(bills)} (mean over seeds)." if bills else ""
        parts.append(
            f'<h3><span class="chip-dot" data-arm="{number}"></span>{escaped(name)}</h3>'
            f"<p>{escaped(arm.get('description') or '')}{priced}</p>"
        )
        rows = [
            [
                escaped(item.get("name") or item.get("label") or ""),
                escaped(_when(item.get("when"))),
                escaped(plain(item.get("whom")) if item.get("whom") else "everybody"),
                escaped(plain(item.get("what"))),
                escaped(plain(item.get("source")) if item.get("source") else ""),
            ]
            for item in arm.get("interventions") or []
        ]
        if rows:
            parts.append(table(["Intervention", "When", "Whom", "What", "Source"], rows, kind="wide"))
        else:
            parts.append("<p>No interventions.</p>")
    return "".join(parts)


def _when(value: Any) -> str:
    return day(value) if isinstance(value, str) else plain(value)


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
            _two(escaped(plain(about.get("source") or "")), escaped(plain(about.get("facts") or {}))),
        ]
        for name, about in layers.items()
    ]
    return table(["Layer", "Arcs", "Mean degree", "Made from"], rows, (1, 2), "wide") if rows else ""


def marginals_table(folder: Folder) -> str:
    """Return how far the generated marginals are from the published ones, one row per marginal."""
    found: dict[str, list[tuple[float, str, float, float]]] = {}
    for row in (folder.run.get("population") or {}).get("marginals") or []:
        published, generated = row.get("published"), row.get("generated")
        if published is None or generated is None:
            continue
        gap = abs(float(generated) - float(published))
        found.setdefault(str(row.get("name")), []).append((gap, str(row.get("level")), published, generated))
    rows: list[list[str]] = []
    for name, items in found.items():
        worst = max(items)
        total = sum(float(item[2]) for item in items)
        scale = 1.0 if abs(total - 1) < 0.02 else total
        rows.append(
            [
                escaped(titled(name)),
                str(len(items)),
                f"{worst[0] / scale * 100:.2f}\u202fpp" if scale else NOTHING,
                f"{escaped(level(worst[1]))}: {plain(worst[2])} published, {plain(worst[3])} generated",
            ]
        )
    return table(["Marginal", "Levels", "Largest difference", "Where"], rows, (1, 2)) if rows else ""


def parameters_table(folder: Folder) -> str:
    """Return the parameters with unit, meaning and source."""
    rows = [
        [
            f"<code>{escaped(row.get('path'))}</code>",
            escaped(plain(row.get("value"))),
            escaped(row.get("unit") or ""),
            escaped(row.get("meaning") or ""),
            escaped(row.get("source") or ""),
        ]
        for row in folder.run.get("parameters") or []
    ]
    return table(["Parameter", "Value", "Unit", "Meaning", "Source"], rows, kind="wide") if rows else ""


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
    facts["Steps"] = f"{run.get('steps', folder.whole['step'].n_unique())} of {run.get('step', '1 step')}"
    facts["Versions"] = "; ".join(f"{name} {number}" for name, number in (run.get("versions") or {}).items())
    return facts_table(facts)
