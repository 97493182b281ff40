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

DAY_ZERO = dt.date(2000, 1, 1)
"""Day of step 0 of a scenario that has no dates, whose figures are told by step."""


def read(scenario: Scenario, file: str | None) -> tuple[Scenario, pl.DataFrame]:
    """Return the scenario and its observed figures by date: those of `--data`, else those that it has.

    Figures of `--data` may be told by step (whole numbers in the place of dates). A scenario without a start then gets
    one, `DAY_ZERO`.

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
        return scenario, found.select(COLUMNS)
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
    if frame["start"].dtype.is_integer() and frame["end"].dtype.is_integer():
        if scenario.start is None:
            scenario = scenario.model_copy(update={"start": DAY_ZERO})
        frame = _dated(frame, scenario, where)
    for name in ("start", "end"):
        if frame[name].dtype != pl.Date and frame[name].dtype != pl.Datetime:
            raise InputError(
                f"{where}: column '{name}': expected dates (2020-03-01) or numbers of steps, got {frame[name].dtype}"
            )
    kinds = pl.col("start", "end").cast(pl.Date), pl.col("value").cast(pl.Float64)
    return scenario, frame.select(COLUMNS).with_columns(*kinds)


def _dated(frame: pl.DataFrame, scenario: Scenario, where: str) -> pl.DataFrame:
    """Return figures by step (first and last, both counted in) as figures by date."""
    length = scenario.step_days
    if length != round(length):
        raise InputError(f"{where}: expected dates: steps of {length:g} days do not begin with a day")
    begin = scenario.start
    day = pl.lit(begin.date() if isinstance(begin, dt.datetime) else begin)
    days = {"start": pl.col("start") * round(length), "end": (pl.col("end") + 1) * round(length) - 1}
    return frame.with_columns(**{name: day + pl.duration(days=value) for name, value in days.items()})


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
        raise InputError(f"{scenario.label}: to fit dated figures, expected a key 'start' (or --set start=2020-02-01)")
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
