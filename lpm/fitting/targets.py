"""The data that a scenario is fitted to: frames of dated figures, and how each scatters.

Figures of single days are added up to blocks of seven, counted back from the last day that is known: a fit to daily
counts would take the rhythm of the week for news.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from lpm import foreign
from lpm.calibration.likelihood import Likelihood, NegativeBinomial, Normal, Poisson
from lpm.calibration.observation import Observation, series_of
from lpm.errors import InputError, unknown
from lpm.scenarios import tables
from lpm.scenarios.schema import Scenario

COLUMNS = ("metric", "start", "end", "group", "value")
"""Columns of a file of data: as `observed.parquet` of a run."""

WEEK = 7


def frame_of(scenario: Scenario, file: str | None) -> pl.DataFrame:
    """Return the observed figures: of `--data`, else those that the scenario has.

    Raises:
        InputError: None at all, a missing column, a metric that the scenario does not measure, or dates that are none.
    """
    if file is None:
        found = tables.observed(scenario)
        if found is None:
            raise InputError(
                f"{scenario.label}: there is nothing to fit: expected [data], or --data FILE with the columns "
                f"{', '.join(COLUMNS)}"
            )
        return found.select(COLUMNS)
    path = Path(file)
    where = f"--data: {path.name}"
    if not path.is_file():
        raise InputError(f"--data: '{file}' cannot be read: no such file")
    frame = foreign.read(path, where)
    for name in COLUMNS:
        tables.need(frame, name, where)
    tables.numbers(frame, "value", where)
    for name in frame["metric"].unique().to_list():
        if name not in scenario.metrics:
            raise unknown(f"{where}: metric", "metric", str(name), scenario.metrics)
    for name in ("start", "end"):
        if frame[name].dtype != pl.Date and frame[name].dtype != pl.Datetime:
            raise InputError(f"{where}: column '{name}': expected dates (2020-03-01), got {frame[name].dtype}")
    return frame.select(COLUMNS).with_columns(pl.col("start", "end").cast(pl.Date), pl.col("value").cast(pl.Float64))


def blocked(frame: pl.DataFrame, last: dt.date) -> pl.DataFrame:
    """Return the figures with those of single days added up to weeks that end on `last`, or whole weeks from it.

    A metric whose intervals are not days stays as it is. A week of which a day is missing is left out.
    """
    parts: list[pl.DataFrame] = []
    for _, rows in frame.group_by("metric", maintain_order=True):
        days = (rows["end"] - rows["start"]).dt.total_days()
        if not (days == 0).all():
            parts.append(rows)
            continue
        # -1 // 7 = -1: the week that ends on `last` is week 0, the one before it week -1
        week = ((pl.col("end") - pl.lit(last)).dt.total_days() - 1).floordiv(WEEK) + 1
        summed = (
            rows.with_columns(week.alias("week"))
            .group_by("metric", "group", "week", maintain_order=True)
            .agg(pl.col("start").min(), pl.col("end").max(), pl.col("value").sum(), pl.len().alias("days"))
            .filter(pl.col("days") == WEEK)
        )
        parts.append(summed.select(COLUMNS).sort("group", "start"))
    return pl.concat(parts)


def observation_of(scenario: Scenario, frame: pl.DataFrame, steps: int) -> Observation:
    """Return the figures (whole intervals within the first `steps` steps) as an observation.

    Raises:
        InputError: A scenario without a start date, or figures that are all outside the run.
    """
    if scenario.start is None:
        raise InputError(f"{scenario.label}: to fit dated figures, expected a key 'start'")
    begin = scenario.start if not isinstance(scenario.start, dt.datetime) else scenario.start.date()
    end = begin + dt.timedelta(days=round(steps * scenario.step_days) - 1)
    made: list[Any] = []
    for (name,), rows in frame.group_by("metric", maintain_order=True):
        table, metric = scenario.data.get(str(name)), scenario.metrics[str(name)]
        since = begin if table is None or table.fit_from is None else table.fit_from
        if table is not None and not table.fit:
            continue
        inside = rows.filter((pl.col("start") >= max(begin, since)) & (pl.col("end") <= end)).sort("group", "start")
        if "group" in inside.columns and inside["group"].n_unique() > 1:
            inside = inside.filter(pl.col("group") != "all")  # the groups alone count: "all" is their sum
        if inside.is_empty():
            continue
        options: dict[str, Any] = {"flow": metric.kind == "flow", "likelihood": _likelihood(table)}
        if table is not None and table.delay:
            options["delay"] = table.delay
        made.append(series_of(inside, str(name), begin, scenario.step_days, **options))
    if not made:
        raise InputError(f"{scenario.label}: no observed figure lies within the run ({begin} to {end})")
    return Observation(tuple(made))


def _likelihood(table: Any) -> Likelihood:
    if table is None or table.likelihood == "negative binomial":
        return NegativeBinomial()
    return Poisson() if table.likelihood == "poisson" else Normal(table.sd)
