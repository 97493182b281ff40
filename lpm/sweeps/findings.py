"""The first screen of a sweep's page: what matters most, how far it goes, and what failed, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from lpm.report.wording import PER_CENT, escaped, figure, percent, plain, span, unit_of
from lpm.sweeps import pictures, responses, scaling
from lpm.sweeps.outcome import Outcome, Swept
from lpm.sweeps.scaling import Law

NAMED = 3
"""Most parameters that the findings name beside the first one."""


def key_findings(outcome: Outcome, indices: pl.DataFrame, laws: Sequence[Law]) -> str:
    """Return the paragraph of key findings, as HTML."""
    measure = outcome.headline
    told: list[str] = []
    if measure is not None:
        told += _matters(outcome, indices, measure)
        told += _along(outcome, indices, measure)
        told += [_predicted(outcome, law) for law in laws if law.measure == measure and law.arm == outcome.arms[0]]
    return " ".join([*told, _failures(outcome)])


def cards(outcome: Outcome, indices: pl.DataFrame, laws: Sequence[Law]) -> str:
    """Return the cards of the first screen, as HTML."""
    bad = int((outcome.jobs["status"] != "ok").sum())
    parts = [("<b>Simulations</b> that ended", f"{outcome.jobs.height - bad:,}", f"of {outcome.jobs.height:,}")]
    measure = outcome.headline
    if measure is not None:
        name = f"<b>{escaped(pictures.titled(outcome, measure))}</b>"
        rows = ranked(outcome, indices, measure, outcome.arms[0])
        for row in rows[:3]:
            value, low, high = _index(outcome, row, measure)
            what = "share of the differences, with all it does jointly" if outcome.kind == "sobol" else "mean effect"
            parts.append((f"{name}: <code>{escaped(row['path'])}</code>, {what}", value, f"{low} to {high}"))
        for law in laws:
            if law.measure == measure and law.arm == outcome.arms[0]:
                kind = pictures.kind(outcome, measure)
                note = f"{span(law.low, law.high, kind)}, predicted"
                parts.append((f"{name} with {law.to:,.0f} agents", figure(law.value, kind), note))
        if not rows:
            parts += _widest(outcome, measure, name)
    return '<div class="cards">' + "".join(_card(*part) for part in parts) + "</div>"


def _card(name: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><div class="card-name">{name}</div><div class="card-figure">{value}</div>'
        f'<div class="card-note">{note}</div></div>'
    )


def _widest(outcome: Outcome, measure: str, name: str) -> list[tuple[str, str, str]]:
    kind = pictures.kind(outcome, measure)
    made: list[tuple[str, str, str]] = []
    for path, found, _ in _changes(outcome, measure)[:3]:
        note = span(found.low, found.high, kind, True) if np.isfinite(found.low) else "highest less lowest mean"
        told = figure(found.size, kind, points=True)
        made.append((f"{name}: along <code>{escaped(path.path)}</code> it changes by", told, note))
    return made


def ranked(outcome: Outcome, indices: pl.DataFrame, measure: str, arm: str) -> list[dict[str, Any]]:
    """Return the rows of the main index (total, or mu*) of a measure over all people, the largest first."""
    metric, _, summary = measure.rpartition(".")
    index = "total" if outcome.kind == "sobol" else "mu_star"
    rows = indices.filter(arm=arm, metric=metric, summary=summary, group="all", index=index).drop_nulls("value")
    return list(rows.sort("value", descending=True).iter_rows(named=True))


def _index(outcome: Outcome, row: dict[str, Any], measure: str) -> list[str]:
    """Return an index and its interval as text: shares in per cent, effects in the measure's unit."""
    if outcome.kind == "sobol":
        return [percent(row[key], sign=False) for key in ("value", "low", "high")]
    kind = pictures.kind(outcome, measure)
    return [figure(row[key], kind, points=True) for key in ("value", "low", "high")]


def _matters(outcome: Outcome, indices: pl.DataFrame, measure: str) -> list[str]:
    """Return sentences on the indices of the headline in the first arm, and whether other arms differ."""
    arm = outcome.arms[0]
    rows = ranked(outcome, indices, measure, arm)
    if not rows:
        return []
    title = _spoken(outcome, measure)
    where = f" in the arm \u201c{escaped(arm)}\u201d" if len(outcome.arms) > 1 else ""
    first, rest = rows[0], rows[1 : 1 + NAMED]
    alike = [row for row in rest if row["high"] is not None and row["high"] > (first["low"] or 0.0)]
    ends = {row["path"]: " to ".join(_index(outcome, row, measure)[1:]) for row in rows}
    value, interval = _index(outcome, first, measure)[0], f"(95{PER_CENT} interval {ends[first['path']]})"
    what = "part in the differences between runs" if outcome.kind == "sobol" else "mean effect over the whole range"
    if alike:
        *names, last = [f"<b>{escaped(row['path'])}</b> ({ends[row['path']]})" for row in [first, *alike]]
        told = [
            f"For {title}{where}, {', '.join(names)} and {last} cannot be told apart as what matters most (in "
            f"brackets: {what}, 95{PER_CENT} interval)."
        ]
    elif outcome.kind == "sobol":
        metric, _, summary = measure.rpartition(".")
        own = indices.filter(arm=arm, metric=metric, summary=summary, group="all", index="first", path=first["path"])
        alone = float(own.item(0, "value"))
        split = f"{percent(alone, sign=False)} on its own and the rest jointly with other parameters"
        told = [
            f"<b>{escaped(first['path'])}</b> matters most for {title}{where}: its {what} is <b>{value}</b> "
            f"{interval}, {split if alone < first['value'] else 'all of it on its own, as far as can be told'}."
        ]
    else:
        told = [
            f"<b>{escaped(first['path'])}</b> matters most for {title}{where}: moved across its whole range, with the "
            f"others where they are, it changes the result by <b>{value}</b> on average {interval}."
        ]
    rest = [f"{escaped(row['path'])} {ends[row['path']]}" for row in rest if row not in alike]
    if rest:
        told.append(f"{'Others' if alike else 'The others'}: {', '.join(rest)}.")
    others = [(each, ranked(outcome, indices, measure, each)) for each in outcome.arms[1:]]
    differing = [
        f"{escaped(r[0]['path'])} in \u201c{escaped(arm)}\u201d"
        for arm, r in others
        if r and r[0]["path"] != first["path"]
    ]
    if differing:
        told.append(f"It is {', '.join(differing)}.")
    return told


def _changes(outcome: Outcome, measure: str) -> list[tuple[Swept, responses.Change, responses.Cells]]:
    """Return how far a measure goes along each path in the first arm, the farthest first."""
    values = outcome.values(outcome.arms[0], measure)[outcome.first]
    made: list[tuple[Swept, responses.Change, responses.Cells]] = []
    for path in outcome.paths:
        if path.path == scaling.SIZE and scaling.counted(outcome, measure):
            continue  # that counts grow with the agents says nothing
        over = responses.cells(outcome, path)
        found = responses.change(outcome, values, over)
        if found is not None:
            made.append((path, found, over))
    return sorted(made, key=lambda each: -each[1].size)


def _along(outcome: Outcome, indices: pl.DataFrame, measure: str) -> list[str]:
    """Return a sentence on the path along which the measure goes farthest (of the one that matters most, if known)."""
    changes = _changes(outcome, measure)
    rows = ranked(outcome, indices, measure, outcome.arms[0])
    if rows:
        changes = [each for each in changes if each[0].path == rows[0]["path"]]
    if not changes:
        return []
    path, found, over = changes[0]
    kind = pictures.kind(outcome, measure)
    means = responses.response(outcome, outcome.values(outcome.arms[0], measure)[outcome.first], [over]).mean
    ends = [f"{figure(float(means[at]), kind)} (at {_at(path, over.at[at])})" for at in (found.least, found.most)]
    title = _spoken(outcome, measure)
    mean = ", as a mean over the other parameters" if len(outcome.paths) > 1 else ""
    if not found.clear:
        return [f"Along <b>{escaped(path.path)}</b>, {title} does not change beyond chance{mean}."]
    interval = ", where no run failed" if np.isnan(means).any() else ""
    if np.isfinite(found.low):
        interval += (
            f" (difference {figure(found.size, kind, points=True)}, 95{PER_CENT} interval "
            f"{span(found.low, found.high, kind, True)}, over {len(outcome.seeds)} seeds, chance only)"
        )
    much = " most" if not rows and len(outcome.paths) > 1 else ""
    told = [f"Along <b>{escaped(path.path)}</b>, {title} changes{much}{mean}: from {ends[0]} to {ends[1]}{interval}."]
    if not rows and len(changes) > 1:
        parts = [f"{escaped(p.path)} {figure(c.size, kind, points=True)}" for p, c, _ in changes[1 : 1 + NAMED]]
        told.append(f"Along the others it changes by: {', '.join(parts)}.")
    return told


def _spoken(outcome: Outcome, measure: str) -> str:
    """Return a measure inside a sentence: "infections in total"; a title that is a name or a symbol stays as it is."""
    title = str(outcome.metric(measure)["title"])
    noun = escaped(title[0].lower() + title[1:] if title[1:2].islower() else title)
    summary = measure.rpartition(".")[2]
    ends = {"total": "in total", "peak": "at the peak", "final": "at the end"}
    return f"the day of the peak of {noun}" if summary == "day_of_peak" else f"{noun} {ends[summary]}"


def _at(path: Swept, value: Any) -> str:
    return f"{escaped(plain(value))} {escaped(unit_of(path.unit))}".strip()


def _predicted(outcome: Outcome, law: Law) -> str:
    kind = pictures.kind(outcome, law.measure)
    return (
        f"With {law.to:,.0f} agents the sizes up to {law.fit.sizes[-1]:,.0f} let expect "
        f"<b>{figure(law.value, kind)}</b> (95{PER_CENT} interval {span(law.low, law.high, kind)})."
    )


def _failures(outcome: Outcome) -> str:
    """Return a sentence on the simulations that failed or are not finished."""
    total = outcome.jobs.height
    bad = outcome.jobs.filter(pl.col("status") != "ok")
    if not bad.height:
        return f"All {total:,} simulations ended."
    counts = bad.group_by("status").len().sort("len", descending=True)
    why = "; ".join(f"{escaped(status)} ({count:,})" for status, count in counts.head(2).iter_rows())
    more = f" and {counts.height - 2} other reasons" if counts.height > 2 else ""
    return f"<b>{bad.height:,} of {total:,} simulations</b> have no result: {why}{more}."
