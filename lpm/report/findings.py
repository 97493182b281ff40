"""The first screen: what was asked, what came out, how sure that is."""

from __future__ import annotations

from typing import Any

import polars as pl

from lpm import sources
from lpm.durations import days
from lpm.errors import InputError
from lpm.report.folder import LEAST_SEEDS, Folder, Metric
from lpm.report.wording import FEW, PER_CENT, dated, day, escaped, figure, percent, rounded, step_name

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
    if folder.dated:
        return f"{day(first)} to {day(last)}"
    name = step_of(folder)
    return f"{name} {first} to {name} {last}"


def step_of(folder: Folder) -> str:
    """Return what a step of the run is called: "day", or "step"."""
    try:
        return step_name(days(str(folder.run.get("step")), "run.json: step"))
    except InputError:  # a run.json that says nothing of it
        return "step"


def _noun(metric: Metric) -> str:
    """Return the metric's title inside a sentence: "deaths", but "R(t)" as it is."""
    title = metric.title
    return title[0].lower() + title[1:] if len(title) > 1 and title[1].islower() else title


def key_findings(folder: Folder) -> str:
    """Return the paragraph of key findings: what the first arm gives, then every other arm against it."""
    metric = folder.headline
    if metric is None:
        return ""
    summary, noun = folder.main_summary(metric), escaped(_noun(metric))
    first = folder.effect(folder.arms[0], metric.name, summary)
    if first is None:
        return ""
    what = {"total": f"{noun} in total", "peak": f"{noun} at the peak", "final": f"{noun} at the end"}[summary]
    sentences = [
        f"In the arm <b>{escaped(folder.arms[0])}</b> the model gives <b>{_told(first['arm_mean'], metric.kind)}</b> "
        f"{what} ({period(folder)})."
    ]
    rows = [(arm, folder.effect(arm, metric.name, summary)) for arm in folder.arms[1:]]
    clauses = [_clause(arm, row, metric, noun, what) for arm, row in rows if row is not None]
    if clauses:
        sentences.append(f"Against it, {'; '.join(clauses)}.")
    if any(row is not None and row["low"] is not None for _, row in rows):
        sentences.append(
            f"Per cent: of the mean of \u201c{escaped(folder.arms[0])}\u201d. Intervals: 95{PER_CENT}, over "
            f"{first['seeds']} seeds, {escaped(first['interval'])}."
        )
    if any(row is not None and _beyond(row, metric) for _, row in rows):
        sentences.append(
            f"Ends below {percent(-1)} cannot happen: the interval is symmetric and the seeds differ too much for it."
        )
    return " ".join(sentences)


def _beyond(row: dict[str, Any], metric: Metric) -> bool:
    """Return whether an interval promises to avert more than there is."""
    return row["low"] is not None and bool(relative(row, metric)) and row["low"] < -row["baseline_mean"]


def _told(value: float, kind: str, points: bool = False, sign: bool = False) -> str:
    """Return a value for prose: counts with three significant digits."""
    if kind in ("flow", "stock"):
        return rounded(value, sign=sign)
    return figure(value, kind, points=points, sign=sign)


def sure(row: dict[str, Any]) -> bool:
    """Return whether the interval of an effect is there and leaves out 0."""
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def unchanged(row: dict[str, Any]) -> bool:
    """Return whether every seed is the same in both arms."""
    return row["difference"] == 0 and not row["se"]


def relative(row: dict[str, Any], metric: Metric) -> list[str]:
    """Return a change and the ends of its interval in per cent of the first arm's mean, [] where that means nothing."""
    base = row["baseline_mean"]
    if metric.kind not in COUNTED or not base or base < 0:
        return []
    return [percent(row[key] / base) for key in ("difference", "low", "high") if row[key] is not None]


def _clause(arm: str, row: dict[str, Any], metric: Metric, noun: str, what: str) -> str:
    """Return what an arm does, as a clause.

    "two weeks earlier averts 9,310 deaths (-90 %, 95 % interval -98 % to -82 %; 8,320 to 10,300 deaths)"; where the
    interval contains 0 no direction is told, and without an interval none but the mean's.
    """
    change, low, high, kind = row["difference"], row["low"], row["high"], metric.kind
    name, part = f"<b>{escaped(arm)}</b>", relative(row, metric)
    if unchanged(row):
        return f"{name} does not change {what}"
    if low is None:
        if kind == "flow":
            mean = f"has {_told(abs(change), kind)} {'fewer' if change < 0 else 'more'} {noun}"
        else:
            mean = f"differs by {_told(change, kind, True, sign=True)}"
        return f"{name} {mean} on average ({', '.join([*part, FEW])})"
    clear, counted = sure(row), f" {noun}" if kind == "flow" else ""
    brackets = [f"{part[0]}, 95{PER_CENT} interval {part[1]} to {part[2]}"] if part else []
    turned = clear and metric.harm and kind == "flow"  # "averts" and "costs" take their sign into the word
    ends = sorted((abs(low), abs(high))) if turned else [low, high]
    brackets.append(" to ".join(_told(end, kind, True, sign=not turned) for end in ends) + counted)
    told = f" ({'; '.join(brackets)})"
    if not clear:
        return f"{name} cannot be told apart from chance with {row['seeds']} seeds{told}"
    size = f"<b>{_told(abs(change), kind, points=True)}</b>"
    if turned:
        return f"{name} {'averts' if change < 0 else 'costs'} {size} {'' if change < 0 else 'more '}{noun}{told}"
    return f"{name} {'lowers' if change < 0 else 'raises'} {noun} by {size}{told}"


def cards(folder: Folder) -> str:
    """Return the key numbers as cards: the first arm, then every other arm's effect on the headline metric."""
    metric = folder.headline
    if metric is None:
        return ""
    summary, title, boxes = folder.main_summary(metric), escaped(metric.title), ""
    for index, arm in enumerate(folder.arms[:7]):
        row = folder.effect(arm, metric.name, summary)
        if row is None:
            continue
        if index == 0:
            heading, value, note = title, _told(row["arm_mean"], metric.kind), _first_note(folder, metric)
        else:
            heading, value, note = _gain(row, metric)
            heading = f"{title}{',' if heading == 'change' or 'average' in heading else ''} {heading}"
        soft = " unsure" if index and not sure(row) else ""
        boxes += (
            f'<div class="card" data-arm="{index}"><div class="card-name">{heading}<br><b>{escaped(arm)}</b></div>'
            f'<div class="card-figure{soft}">{value}</div><div class="card-note">{note}</div></div>'
        )
    return f'<div class="cards">{boxes}</div>' if boxes else ""


def _gain(row: dict[str, Any], metric: Metric) -> tuple[str, str, str]:
    """Return heading, figure and note of an effect.

    A loss is told as "added", not as a negative gain; where the interval contains 0 the card says that and no
    direction.
    """
    change, low, high, kind = row["difference"], row["low"], row["high"], metric.kind
    points, part = kind in ("share", "ratio"), relative(row, metric)
    if unchanged(row):
        return "change", "0", "the same in every seed"
    if low is None or high is None:
        note = ", ".join([*part[:1], FEW])
        if kind == "flow":
            return "fewer on average" if change < 0 else "more on average", _told(abs(change), kind), note
        return "change", _told(change, kind, points, sign=True), note
    between = f"95{PER_CENT} interval {_told(low, kind, points, sign=True)} to {_told(high, kind, points, sign=True)}"
    between += f" ({part[1]} to {part[2]})" if part else ""
    if not sure(row):
        return "change", "not clear", f"cannot be told apart from chance with {row['seeds']} seeds; {between}"
    if not metric.harm:
        return "change", _told(change, kind, points, sign=True), between
    words = ("averted", "added") if kind == "flow" else ("lower by", "higher by")
    ends = " to ".join(_told(end, kind, points) for end in sorted((abs(low), abs(high))))
    tail = f" ({part[0]}, {part[1]} to {part[2]})" if part else ""
    return words[change > 0], _told(abs(change), kind, points), f"95{PER_CENT} interval {ends}{tail}"


def _first_note(folder: Folder, metric: Metric) -> str:
    """Return what stands under the first card: the observed total where there is one, else the peak."""
    for row in folder.run.get("score") or []:
        if row.get("metric") == metric.name and row.get("arm") == folder.arms[0] and row.get("observed"):
            days = f" ({day(row['first'])} to {day(row['last'])})" if row.get("first") and row.get("last") else ""
            return f"{_over_seeds(folder, metric)}observed: {figure(float(row['observed']))}{escaped(days)}"
    peak = folder.effect(folder.arms[0], metric.name, "peak")
    return f"at most {rounded(peak['arm_mean'])} in one step" if peak and metric.kind == "flow" else "mean over seeds"


def _over_seeds(folder: Folder, metric: Metric) -> str:
    """Return the lowest and highest total of the first arm's seeds, as the beginning of a note."""
    rows = folder.trajectory.filter(arm=folder.arms[0], group="all")
    totals = rows.group_by("seed").agg(pl.col(metric.name).sum())[metric.name]
    if metric.kind != "flow" or len(totals) < LEAST_SEEDS:
        return ""
    low, high = float(totals.min() or 0), float(totals.max() or 0)  # type: ignore[arg-type]
    return f"{figure(low)} to {figure(high)} over {len(totals)} seeds; "


def drawn_from(draws: Any) -> str:
    """Return in plain words where a run's parameter draws are from ("prior", or a file as run.json names it)."""
    name = str(draws).removeprefix("given:").rsplit("/", 1)[-1]
    return "from their priors" if name == "prior" else f"from the file {name}"


def notice(folder: Folder) -> str:
    """Return what the run itself says a reader must know first, "" where it says nothing."""
    lines = "".join(f"<p>{escaped(dated(line))}</p>" for line in folder.notes)
    return f'<div class="banner notice">{lines}</div>' if lines else ""


def reminder(folder: Folder) -> str:
    """Return a reference to it in small print, for the head of the section with the bands."""
    return '<p class="caption">Mind the notes at the head of this page.</p>' if folder.notes else ""


def _values(folder: Folder) -> str:
    """Return what is true of the values of the parameters, as the run has them."""
    told = (str(row.get("source") or "") for row in folder.run.get("parameters") or [])
    return sources.in_words(told, str(folder.run.get("chosen") or ""))


def notes(folder: Folder) -> str:
    """Return the banner and the notes that stand before any chart."""
    run = folder.run
    boxes: list[str] = []
    if run.get("calibrated") is False:
        boxes.append(
            f'<div class="banner"><b>Not calibrated yet.</b> {escaped(dated(_values(folder)))} Read differences '
            "between arms, not levels.</div>"
        )
    if run.get("interrupted"):
        boxes.append(
            '<div class="banner"><b>This run was interrupted.</b> The page shows the pairs of arm and seed that were '
            "finished.</div>"
        )
    lines: list[str] = []
    weight, agents, people = run.get("weight"), run.get("agents"), run.get("people")
    if folder.notes:
        lines.append("All counts are people.")
    elif weight and agents and people and abs(float(weight) - 1) > 1e-6:
        lines.append(
            f"All counts are people. {float(agents):,.0f} agents stand for {float(people):,.0f} people: each for "
            f"{float(weight):.3g}, so the spread by chance is wider than at full size "
            f"(about {float(weight) ** 0.5:.2g} times)."
        )
    elif agents:
        lines.append(f"All counts are people: {float(agents):,.0f} agents, each standing for one person.")
    if not folder.banded:
        ran = "One seed was" if folder.seeds == 1 else f"{folder.seeds} seeds were"
        lines.append(f"{ran} run: {FEW}, and every difference may be chance. Run at least {LEAST_SEEDS}.")
    elif run.get("draws") is None:
        paired = ", paired between arms" if len(folder.arms) > 1 else ""
        lines.append(
            f"Intervals are <b>chance only</b>: {folder.seeds} seeds of the same parameters{paired}. They "
            "say nothing about parameters that may be wrong."
        )
    else:
        lines.append(
            f"Intervals hold <b>chance and parameters</b>: each of {folder.seeds} seeds has its own draw of the "
            f"parameters ({escaped(drawn_from(run['draws']))}), the same in every arm."
        )
    return "".join(boxes) + "".join(f'<p class="note">{line}</p>' for line in lines)
