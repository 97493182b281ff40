"""The first screen: what was asked, what came out, how sure that is."""

from __future__ import annotations

from typing import Any

import polars as pl

from lpm.report.folder import Folder, Metric
from lpm.report.wording import day, escaped, figure, rounded

COUNTED = ("flow", "stock", "sum")
"""Kinds whose values are counts."""


def averted(row: dict[str, Any], metric: Metric) -> tuple[float, float | None, float | None]:
    """Return an effect and its interval, with the sign turned where a fall is what counts as a gain."""
    if not metric.harm:
        return row["difference"], row["low"], row["high"]
    return -row["difference"], _turned(row["high"]), _turned(row["low"])


def _turned(value: float | None) -> float | None:
    return None if value is None else -value + 0.0


def period(folder: Folder) -> str:
    """Return the reported period: "29 Feb 2020 to 30 Jun 2020", or steps."""
    key = "time" if folder.dated else "step"
    first, last = folder.trajectory[key].min(), folder.trajectory[key].max()
    return f"{day(first)} to {day(last)}" if folder.dated else f"step {first} to step {last}"


def main_summary(metric: Metric) -> str:
    """Return the summary by which a metric is told in one number."""
    return {"flow": "total", "stock": "peak"}.get(metric.kind, "final")


def _noun(metric: Metric) -> str:
    """Return the metric's title inside a sentence: "deaths", but "R(t)" as it is."""
    title = metric.title
    return title[0].lower() + title[1:] if len(title) > 1 and title[1].islower() else title


def key_findings(folder: Folder) -> str:
    """Return the paragraph of key findings: what the first arm gives, then every other arm against it."""
    metric = folder.headline
    if metric is None:
        return ""
    summary, noun = main_summary(metric), escaped(_noun(metric))
    first = folder.effect(folder.arms[0], metric.name, summary)
    if first is None:
        return ""
    what = {"total": f"{noun} in total", "peak": f"{noun} at the peak", "final": f"{noun} at the end"}[summary]
    sentences = [
        f"In the arm <b>{escaped(folder.arms[0])}</b> the model gives <b>{_told(first['arm_mean'], metric.kind)}</b> "
        f"{what} ({period(folder)})."
    ]
    rows = [(arm, folder.effect(arm, metric.name, summary)) for arm in folder.arms[1:]]
    clauses = [_clause(arm, row, metric, noun) for arm, row in rows if row is not None]
    if clauses:
        sentences.append(f"Against it, {'; '.join(clauses)}.")
    if any(row is not None and row["low"] is not None for _, row in rows):
        sentences.append(
            f"In brackets: the change in per cent and its 95\u202f% interval over {first['seeds']} seeds, "
            f"{escaped(first['interval'])}."
        )
    return " ".join(sentences)


def _told(value: float, kind: str, points: bool = False) -> str:
    """Return a value for prose: counts with three significant digits."""
    return rounded(value) if kind in COUNTED else figure(value, kind, points=points)


def _clause(arm: str, row: dict[str, Any], metric: Metric, noun: str) -> str:
    """Return what an arm does, as a clause: "two weeks earlier averts 9,310 deaths (90 %; 8,320 to 10,300)"."""
    change, low, high, kind = row["difference"], row["low"], row["high"], metric.kind
    name = f"<b>{escaped(arm)}</b>"
    if change == 0 and not row["se"]:
        return f"{name} changes nothing"
    brackets: list[str] = []
    if kind in COUNTED and row["baseline_mean"]:
        brackets.append(f"{abs(change) / row['baseline_mean']:.0%}".replace("%", "\u202f%"))
    sure = low is None or low > 0 or high < 0
    if low is not None:
        ends = sorted((abs(low), abs(high))) if sure else [low, high]
        brackets.append(" to ".join(_told(end, kind, points=True) for end in ends))
    told = f" ({'; '.join(brackets)})" if brackets else ""
    if not sure:
        return f"{name} makes no difference that {row['seeds']} seeds tell from chance{told}"
    size = f"<b>{_told(abs(change), kind, points=True)}</b>"
    if metric.harm and kind == "flow":
        return f"{name} {'averts' if change < 0 else 'costs'} {size} {'' if change < 0 else 'more '}{noun}{told}"
    return f"{name} {'lowers' if change < 0 else 'raises'} {noun} by {size}{told}"


def cards(folder: Folder) -> str:
    """Return the key numbers as cards: the first arm, then every other arm's effect on the headline metric."""
    metric = folder.headline
    if metric is None:
        return ""
    summary, title, boxes = main_summary(metric), escaped(metric.title), ""
    for index, arm in enumerate(folder.arms[:7]):
        row = folder.effect(arm, metric.name, summary)
        if row is None:
            continue
        if index == 0:
            heading, value, note = title, _told(row["arm_mean"], metric.kind), _first_note(folder, metric)
        else:
            heading, value, note = _gain(row, metric)
            heading = f"{title} {heading}"
        boxes += (
            f'<div class="card" data-arm="{index}"><div class="card-name">{heading}<br><b>{escaped(arm)}</b></div>'
            f'<div class="card-figure">{value}</div><div class="card-note">{note}</div></div>'
        )
    return f'<div class="cards">{boxes}</div>' if boxes else ""


def _gain(row: dict[str, Any], metric: Metric) -> tuple[str, str, str]:
    """Return heading, figure and interval of an effect; a loss is told as "added", not as a negative gain."""
    points = metric.kind in ("share", "ratio")
    change, low, high = averted(row, metric)
    heading, sign = "change", True
    if metric.harm:
        words = ("averted", "added") if metric.kind == "flow" else ("lower by", "higher by")
        heading, sign = words[change < 0], False
        if change < 0:
            change, low, high = row["difference"], row["low"], row["high"]
    value = _told(change, metric.kind, points)
    value = f"+{value}" if sign and change > 0 else value
    if low is None or high is None:
        return heading, value, "one seed: no interval"
    return heading, value, f"95\u202f%: {_told(low, metric.kind, points)} to {_told(high, metric.kind, points)}"


def _first_note(folder: Folder, metric: Metric) -> str:
    """Return what stands under the first card: the observed total where there is one, else the peak."""
    for row in folder.run.get("score") or []:
        if row.get("metric") == metric.name and row.get("arm") == folder.arms[0] and row.get("observed"):
            seeds = _over_seeds(folder, metric)
            return f"{seeds}observed: {figure(float(row['observed']))}"
    peak = folder.effect(folder.arms[0], metric.name, "peak")
    return f"at most {rounded(peak['arm_mean'])} in one step" if peak and metric.kind == "flow" else "mean over seeds"


def _over_seeds(folder: Folder, metric: Metric) -> str:
    """Return the lowest and highest total of the first arm's seeds, as the beginning of a note."""
    rows = folder.trajectory.filter(arm=folder.arms[0], group="all")
    totals = rows.group_by("seed").agg(pl.col(metric.name).sum())[metric.name]
    if metric.kind != "flow" or len(totals) < 2:
        return ""
    low, high = float(totals.min() or 0), float(totals.max() or 0)  # type: ignore[arg-type]
    return f"{figure(low)} to {figure(high)} over {len(totals)} seeds; "


def notes(folder: Folder) -> str:
    """Return the banner and the notes that stand before any chart."""
    run = folder.run
    boxes: list[str] = []
    if run.get("calibrated") is False:
        boxes.append(
            '<div class="banner"><b>Literature values, not calibrated yet.</b> Parameters are published values or '
            "guesses, each with its source below; none was fitted here. Read differences between arms, not "
            "levels.</div>"
        )
    if run.get("interrupted"):
        boxes.append(
            '<div class="banner"><b>This run was interrupted.</b> The page shows the pairs of arm and seed that were '
            "finished.</div>"
        )
    lines: list[str] = []
    weight, agents, people = run.get("weight"), run.get("agents"), run.get("people")
    if weight and agents and people and abs(float(weight) - 1) > 1e-6:
        lines.append(
            f"All counts are people. {float(agents):,.0f} agents stand for {float(people):,.0f} people: each for "
            f"{float(weight):.3g}, so the spread by chance is wider than at full size "
            f"(about {float(weight) ** 0.5:.2g} times)."
        )
    elif agents:
        lines.append(f"All counts are people: {float(agents):,.0f} agents, each standing for one person.")
    if folder.seeds == 1:
        lines.append("One seed was run: there is no interval, and a difference may be chance.")
    elif run.get("draws") is None:
        paired = ", paired between arms" if len(folder.arms) > 1 else ""
        lines.append(
            f"Intervals are <b>chance only</b>: {folder.seeds} seeds of the same parameters{paired}. They "
            "say nothing about parameters that may be wrong."
        )
    else:
        lines.append(
            f"Intervals hold <b>chance and parameters</b>: each of {folder.seeds} seeds has its own draw of the "
            f"parameters ({escaped(run['draws'])}), the same in every arm."
        )
    return "".join(boxes) + "".join(f'<p class="note">{line}</p>' for line in lines)
