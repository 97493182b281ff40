"""What is told of an arm's seeds together: inequality and unpredictability at the end, beside published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from lpm.report.folder import Folder
from lpm.report.wording import NOTHING, brief, escaped, figure

WORDS = {"unpredictability": "unpredictability U", "gini": "Gini coefficient"}
"""What is told of the counts of every seed."""


@dataclass(frozen=True)
class Measure:
    """One figure of the end of a run, by arm.

    Attributes:
        title: What it is.
        simulated: By arm: the figure and its standard error over seeds, None where it is not told.
        published: By arm: the published figure and its standard error, None where there is none.
    """

    title: str
    simulated: tuple[tuple[float, float | None] | None, ...]
    published: tuple[tuple[float, float | None] | None, ...]


def measures(folder: Folder) -> list[Measure]:
    """Return the figures of the seeds together, and those that published ones stand beside."""
    found: list[Measure] = []
    told: dict[str, Any] = folder.run.get("unpredictability") or {}
    metrics = [] if folder.worlds is None else folder.worlds["metric"].unique(maintain_order=True).to_list()
    for metric in metrics:
        title = str((told.get(metric) or {}).get("title") or metric)
        for which, words in WORDS.items():
            if which == "gini" and any(each.kind == "gini" for each in folder.metrics):
                continue  # it is told as a metric of its own
            assert folder.worlds is not None
            rows = {row["arm"]: row for row in folder.worlds.filter(metric=metric).iter_rows(named=True)}
            row_of = [rows.get(arm, {which: None, f"{which}_se": None}) for arm in folder.arms]
            pairs = [(row[which], row[f"{which}_se"]) for row in row_of]
            beside = _published(folder, metric) if which == "unpredictability" else (None,) * len(folder.arms)
            made = tuple(None if value is None else (value, error) for value, error in pairs)
            found.append(Measure(f"{title}: {words}", made, beside))
    if folder.published is not None:
        for metric in folder.published["metric"].unique(maintain_order=True):
            about = folder.metric(metric)
            if about is not None:
                found.append(Measure(about.title, _last(folder, metric), _published(folder, metric)))
    return found


def _published(folder: Folder, metric: str) -> tuple[tuple[float, float | None] | None, ...]:
    if folder.published is None:
        return (None,) * len(folder.arms)
    rows = {row["arm"]: row for row in folder.published.filter(metric=metric).iter_rows(named=True)}
    return tuple((rows[arm]["value"], rows[arm]["se"]) if arm in rows else None for arm in folder.arms)


def _last(folder: Folder, metric: str) -> tuple[tuple[float, float | None] | None, ...]:
    """Return each arm's mean of the last step over seeds and its standard error, None where a seed has no value."""
    last = folder.trajectory.filter(pl.col("group") == "all", pl.col("step") == pl.col("step").max())
    found: list[tuple[float, float | None] | None] = []
    for arm in folder.arms:
        values = last.filter(arm=arm)[metric]
        mean, spread, count = values.mean(), values.std(), len(values)
        if values.null_count() or not isinstance(mean, float):
            found.append(None)
        else:
            found.append((mean, float(spread) / count**0.5 if isinstance(spread, float) else None))
    return tuple(found)


def apart(one: tuple[float, float | None] | None, other: tuple[float, float | None] | None) -> float | None:
    """Return the difference of two figures in standard errors of it, None where one or its error is not told."""
    if one is None or other is None or one[1] is None or other[1] is None:
        return None
    error = (one[1] ** 2 + other[1] ** 2) ** 0.5
    return (one[0] - other[0]) / error if error > 0 else None


def with_error(told: tuple[float, float | None] | None) -> str:
    """Return a figure with its standard error: "0.340 ± 0.016"."""
    if told is None:
        return NOTHING
    value, error = told
    if error is None or error <= 0:
        return figure(value, "mean")
    places = max(0, min(6, 1 - int(f"{error:e}".split("e")[1])))  # two digits of the error
    return f"{value:.{places}f} \u00b1 {error:.{places}f}"


def heading(folder: Folder) -> str:
    """Return the heading of the section."""
    return "How far the seeds differ" if folder.published is None else "Beside published figures"


def section(folder: Folder) -> str:
    """Return the section of the figures of an arm's seeds together, "" where there are none."""
    from lpm.report.tables import table

    found = measures(folder)
    if not found:
        return ""
    charts, rows = "", list[list[str]]()
    for index, measure in enumerate(found):
        charts += f'<figure><h4>{escaped(measure.title)}</h4><div class="chart" id="worlds-{index}"></div></figure>'
        for arm, name in enumerate(folder.arms):
            beyond = apart(measure.simulated[arm], measure.published[arm])
            told = NOTHING if beyond is None else f"{beyond:+.1f}".replace("-", "\u2212")
            simulated, published = with_error(measure.simulated[arm]), with_error(measure.published[arm])
            rows.append([escaped(measure.title) if arm == 0 else "", escaped(name), simulated, published, told])
    head = ["Measure", "Arm", "Simulated", "Published", "Difference in standard errors"]
    beside = " Hollow points: published figures." if folder.published is not None else ""
    unpredictable = (
        " Unpredictability U: mean difference of an item's share of all choices between two seeds, averaged over pairs "
        "of seeds and items; its error by the jackknife over seeds."
        if folder.worlds is not None
        else ""
    )
    return (
        f'<p class="lede">Figures of the end of the run over {folder.seeds} seeds \u00b1 one standard error; bars: two.'
        f'{beside}{unpredictable}</p><div class="grid two">{charts}</div>{table(head, rows, (2, 3, 4), "narrow")}'
    )


def in_words(folder: Folder) -> list[str]:
    """Return a line a figure for the terminal, the published ones in brackets."""
    lines: list[str] = []
    for measure in measures(folder):
        parts = [
            f"{arm} {with_error(told)}" + (f" ({with_error(beside)})" if beside is not None else "")
            for arm, told, beside in zip(folder.arms, measure.simulated, measure.published, strict=True)
            if told is not None
        ]
        if parts:
            told_beside = ", published in brackets" if any(measure.published) else ""
            lines.append(f"{measure.title}, \u00b1 one standard error{told_beside}: {'; '.join(parts)}.")
    return lines


def data(folder: Folder) -> list[dict[str, Any]]:
    """Return what the charts of the section show."""
    return [
        {
            "simulated": [None if told is None else brief(told) for told in measure.simulated],
            "published": [None if told is None else brief(told) for told in measure.published],
        }
        for measure in measures(folder)
    ]
