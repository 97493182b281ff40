"""The data that a scenario is fitted to: frames of dated figures, and how each scatters.

Daily flows are added up to blocks of seven, counted back from the last day that is known: a fit to daily counts would
take the rhythm of the week for news. Stocks, shares and what else is no flow stay as they are: a sum of them is none.

Flows and stocks are counts, and scatter as counts do unless a standard deviation is told; anything else (a share, a
mean opinion) needs one: the key `sd` of its [data], or a column `sd` of the file of `--data`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lpm import foreign
from lpm.calibration.likelihood import Likelihood, NegativeBinomial, Normal, Poisson
from lpm.calibration.observation import Observation, series_of
from lpm.errors import InputError, unknown
from lpm.scenarios import tables
from lpm.scenarios.schema import Observed, Scenario

COLUMNS = ("metric", "start", "end", "group", "value")
"""Columns of a file of data: as `observed.parquet` of a run."""

SD = "sd"
"""Column that a file of data may have besides: the standard deviation of a metric's figures, one number a metric."""

COUNTS = ("flow", "stock")
"""Kinds of metrics that are counts of people."""

WEEK = 7

DAY_ZERO = dt.date(2000, 1, 1)
"""Day of step 0 of a scenario that has no dates, whose figures are told by step."""


def read(scenario: Scenario, file: str | None) -> tuple[Scenario, pl.DataFrame]:
    """Return the scenario and its observed figures by date: those of `--data`, else those that it has.

    Figures of `--data` may be told by step (whole numbers in the place of dates). A scenario without a start then gets
    one, `DAY_ZERO`.

    Returns:
        The scenario, and the columns `COLUMNS` and `SD` (null = what the scenario says).

    Raises:
        InputError: None at all, a missing column, a metric that the scenario does not measure, dates that are none,
            standard deviations that are not above 0 and one a metric or of what is no count missing, or counts below 0.
    """
    if file is None:
        found = tables.observed(scenario)
        if found is None:
            raise InputError(
                f"{scenario.label}: there is nothing to fit: expected [data], or --data FILE with the columns "
                f"{', '.join(COLUMNS)}"
            )
        return scenario, _scattering(scenario, found.select(*COLUMNS, pl.lit(None, pl.Float64).alias(SD)))
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
    if SD not in frame.columns:
        frame = frame.with_columns(pl.lit(None, pl.Float64).alias(SD))
    elif frame[SD].null_count() < frame.height:
        _one_a_metric(frame, where)
    kinds = pl.col("start", "end").cast(pl.Date), pl.col("value", SD).cast(pl.Float64)
    return scenario, _scattering(scenario, frame.select(*COLUMNS, SD).with_columns(*kinds))


def _scattering(scenario: Scenario, frame: pl.DataFrame) -> pl.DataFrame:
    """Return figures of which it is known how they scatter.

    Raises:
        InputError: Counts below 0, or no standard deviation of what is no count.
    """
    for (name,), rows in frame.group_by("metric", maintain_order=True):
        below = rows.filter(pl.col("value") < 0)
        if below.height and scenario.metrics[str(name)].kind in COUNTS:
            raise InputError(
                f"{scenario.label}: '{name}' counts people: expected figures of at least 0, got "
                f"{below['value'][0]:g} on {below['end'][0]}"
            )
        table = scenario.data.get(str(name))
        if table is None or table.fit:
            _likelihood(scenario, str(name), rows)
    return frame


def _one_a_metric(frame: pl.DataFrame, where: str) -> None:
    """Refuse standard deviations that are none, or of which a metric has several."""
    for (name,), rows in frame.group_by("metric", maintain_order=True):
        told = rows[SD].unique()
        if told.null_count() == len(told):
            continue
        found = told.drop_nulls()
        if told.null_count() or len(found) > 1 or not found.dtype.is_numeric() or not float(found[0]) > 0:
            got = ", ".join("none" if value is None else str(value) for value in told.sort().to_list()[:3])
            raise InputError(f"{where}: column '{SD}': expected one number above 0 for all of '{name}', got {got}")


def check_origins(frame: pl.DataFrame, origins: Sequence[dt.date], where: str) -> None:
    """Refuse origins after which nothing was observed.

    Raises:
        InputError: There is no figure of a later day.
    """
    last = max(frame["end"].to_list())
    for origin in origins:
        if origin >= last:
            raise InputError(
                f"{where}: {origin}: expected a day before {last}, the last one of the figures: a forecast from there "
                "could be compared with nothing"
            )


def _dated(frame: pl.DataFrame, scenario: Scenario, where: str) -> pl.DataFrame:
    """Return figures by step (first and last, both counted in) as figures by date."""
    length = scenario.step_days
    if length != round(length):
        raise InputError(f"{where}: expected dates: steps of {length:g} days do not begin with a day")
    begin = scenario.start
    day = pl.lit(begin.date() if isinstance(begin, dt.datetime) else begin)
    days = {"start": pl.col("start") * round(length), "end": (pl.col("end") + 1) * round(length) - 1}
    return frame.with_columns(**{name: day + pl.duration(days=value) for name, value in days.items()})


def blocked(scenario: Scenario, frame: pl.DataFrame, last: dt.date) -> pl.DataFrame:
    """Return the figures with daily flows added up to weeks that end on `last`, or whole weeks from it.

    A flow is daily if all its figures by `last` are of single days, and seven of them make a whole week; then a week of
    which a day is missing is left out (`left_out` tells how many). Everything else stays as it is: what is no flow,
    flows of other intervals or of a day here and there, and those whose standard deviation is told (it is that of a
    figure as it stands).
    """
    parts: list[pl.DataFrame] = []
    for (name,), rows in frame.group_by("metric", maintain_order=True):
        table, known = scenario.data.get(str(name)), rows.filter(pl.col("end") <= last)
        free = scenario.metrics[str(name)].kind == "flow" and _sd(rows, table) is None
        single = known["start"].equals(known["end"]) and _weeks(known, last).height
        if not (free and single):
            parts.append(rows)
            continue
        alone = pl.col("start") == pl.col("end")
        summed = _weeks(rows.filter(alone), last).with_columns(pl.lit(None, pl.Float64).alias(SD))
        parts.append(pl.concat([summed, rows.filter(~alone).select(summed.columns)]).sort("group", "start"))
    return pl.concat(parts)


def _weeks(rows: pl.DataFrame, last: dt.date) -> pl.DataFrame:
    """Return the sums [`COLUMNS`] over whole weeks of figures of single days."""
    # -1 // 7 = -1: the week that ends on `last` is week 0, the one before it week -1
    week = ((pl.col("end") - pl.lit(last)).dt.total_days() - 1).floordiv(WEEK) + 1
    return (
        rows.with_columns(week.alias("week"))
        .group_by("metric", "group", "week", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max(), pl.col("value").sum(), pl.len().alias("days"))
        .filter(pl.col("days") == WEEK)
        .select(COLUMNS)
    )


def left_out(frame: pl.DataFrame, blocks: pl.DataFrame) -> dict[str, int]:
    """Return by metric how many daily figures are in no whole week, where there are some.

    Args:
        frame: The figures.
        blocks: What `blocked` made of them.
    """
    days = ((pl.col("end") - pl.col("start")).dt.total_days() + 1).sum()
    before, after = (dict(each.group_by("metric").agg(days).iter_rows()) for each in (frame, blocks))
    return {name: count - after[name] for name, count in sorted(before.items()) if count > after[name]}


def remarks(frame: pl.DataFrame, blocks: pl.DataFrame) -> list[str]:
    """Return what a reader has to know of figures that are not fitted."""
    lost = [f"{count} of {name}" for name, count in left_out(frame, blocks).items()]
    return [f"Daily figures that make no whole week are left out: {', '.join(lost)}."] if lost else []


def observation_of(scenario: Scenario, frame: pl.DataFrame, steps: int) -> Observation:
    """Return the figures (whole intervals within the first `steps` steps) as an observation.

    Raises:
        InputError: A scenario without a start date, figures that are all outside the run, or no standard deviation of
            what is no count.
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
        likelihood = _likelihood(scenario, str(name), inside)
        options: dict[str, Any] = {"flow": metric.kind == "flow", "likelihood": likelihood}
        if table is not None and table.delay:
            options["delay"] = table.delay
        made.append(series_of(inside, str(name), begin, scenario.step_days, **options))
    if not made:
        raise InputError(f"{scenario.label}: no observed figure lies within the run ({begin} to {end})")
    return Observation(tuple(made))


def _sd(rows: pl.DataFrame, table: Observed | None) -> float | None:
    """Return the standard deviation that is told of a metric's figures: in the file, else in the scenario."""
    told = rows[SD].drop_nulls()
    if len(told):
        return float(told[0])
    return None if table is None else table.sd


def _likelihood(scenario: Scenario, name: str, rows: pl.DataFrame) -> Likelihood:
    """Return how the figures of a metric scatter.

    Raises:
        InputError: No standard deviation of what is no count.
    """
    table, kind = scenario.data.get(name), scenario.metrics[name].kind
    sd = _sd(rows, table)
    if sd is not None:
        return Normal(sd)
    if kind not in COUNTS:
        raise InputError(
            f"{scenario.label}: '{name}' is a {kind.replace('_', ' ')}, no count: say how its figures scatter, in a "
            f"column '{SD}' of the file of --data, or with likelihood = \"normal\" and sd = ... in data.{name}"
        )
    return NegativeBinomial() if table is None or table.likelihood != "poisson" else Poisson()
