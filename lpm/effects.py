"""Effects: what an arm changes against the first arm, paired over seeds (common random numbers)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import numpy as np
import polars as pl
from scipy.special import stdtrit

from lpm.errors import InputError, unknown

SUMMARIES = ("total", "peak", "day_of_peak", "final")
"""Summaries of a series: sum over the steps (flows only), largest value, day on which it is first reached (days after
the scenario's start), value of the last step."""

LEVEL = 0.95
"""Level of the intervals."""

CHANCE, BOTH = "chance only", "chance and parameters"
"""What an interval holds: with seeds alone, chance; with a parameter draw per seed, the parameters' uncertainty too."""

COLUMNS = {
    "arm": pl.String,
    "metric": pl.String,
    "group": pl.String,
    "summary": pl.String,
    "seeds": pl.Int64,
    "baseline_mean": pl.Float64,
    "arm_mean": pl.Float64,
    "difference": pl.Float64,
    "se": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "se_ratio": pl.Float64,
    "interval": pl.String,
}
"""The columns of `effects.parquet`."""


def effects(
    trajectory: pl.DataFrame,
    kinds: Mapping[str, str],
    report_from: date | datetime | int | None = None,
    draws: str | None = None,
    dt: float = 1.0,
) -> pl.DataFrame:
    """Return the paired effects of every arm against the first one.

    For the seeds i = 1 .. n that both arms have, d_i = x_i(arm) - x_i(first arm), where x is the summary of the series:
    difference = mean(d), se = sd(d) / sqrt(n) with n - 1 in the variance, interval = difference -+ t(0.975, n - 1) se,
    se_ratio = se / sqrt((var x(arm) + var x(first)) / n), the gain of pairing. With one seed se, interval and ratio are
    null; the ratio is also null where the unpaired error is 0. Where a summary is undefined in some seed (R(t) that is
    never told, the day of peak of a series that is always 0), the row's figures are null: no seed is left out.

    Args:
        trajectory: The frame of the contract; the arm of its first row is the first arm.
        kinds: Kind by metric: "flow", "stock", "mean", "sum", "share", "ratio" or "reproduction"; a vector metric
            `name.q05` has the kind of `name`. Metrics not named here get no effects.
        report_from: First date, datetime or step that counts; None = all.
        draws: What the seeds' parameter draws are, None = every seed has the same parameters.
        dt: Length of a step [days].

    Returns:
        A frame with `COLUMNS`, ordered by arm, metric, group, summary.

    Raises:
        InputError: An empty trajectory, a named metric without a column, or nothing left after `report_from`.
    """
    if not trajectory.height:
        raise InputError("effects: the trajectory has no rows")
    for name in kinds:
        if not _columns_of(trajectory, name):
            raise unknown("effects", "metric", name, trajectory.columns[5:])
    frame = reported(trajectory, report_from)
    order = {
        key: {value: rank for rank, value in enumerate(trajectory[key].unique(maintain_order=True))}
        for key in ("arm", "group")
    }
    first = trajectory["arm"][0]
    label = CHANCE if draws is None else BOTH
    parts: list[pl.DataFrame] = []
    for name, kind in kinds.items():
        for column in _columns_of(trajectory, name):
            wanted = [summary for summary in SUMMARIES if summary != "total" or kind == "flow"]
            parts.append(_paired(_summaries(frame, column, wanted, dt), column, first, label))
    if not parts:
        return pl.DataFrame(schema=COLUMNS)
    ranks = {"metric": {name: rank for rank, name in enumerate(trajectory.columns)}, **order}
    table = pl.concat(parts).with_columns(
        *(pl.col(key).replace_strict(rank, return_dtype=pl.Int64).alias(f"_{key}") for key, rank in ranks.items()),
        pl.col("summary").replace_strict({name: i for i, name in enumerate(SUMMARIES)}).alias("_summary"),
    )
    return table.sort("_arm", "_metric", "_group", "_summary").select(list(COLUMNS))


def reported(trajectory: pl.DataFrame, report_from: date | datetime | int | None) -> pl.DataFrame:
    """Return the rows from `report_from` on: a date or datetime, or the number of a step.

    Raises:
        InputError: A date for a trajectory without dates, or nothing is left.
    """
    if report_from is None:
        return trajectory
    if isinstance(report_from, int):
        frame = trajectory.filter(pl.col("step") >= report_from)
    else:
        if trajectory["time"].null_count() == trajectory.height:
            raise InputError(f"report_from: expected a step (the scenario has no start date), got {report_from}")
        kind = trajectory.schema["time"]
        frame = trajectory.filter(pl.col("time") >= pl.lit(report_from).cast(kind))
    if not frame.height:
        raise InputError(f"report_from: nothing is left from {report_from} on; the run ends before it")
    return frame


def _columns_of(trajectory: pl.DataFrame, metric: str) -> list[str]:
    """Return the metric's column, or those of a vector metric (`name.q05`, ...)."""
    if metric in trajectory.columns:
        return [metric]
    return [column for column in trajectory.columns if column.startswith(f"{metric}.")]


def _summaries(frame: pl.DataFrame, column: str, wanted: list[str], dt: float) -> pl.DataFrame:
    """Return rows (arm, seed, group, summary, x) of one metric; groups for which it is not declared are left out.

    The trajectory leaves out rows in which nothing is defined, so a step or a whole seed that is not there is null.
    """
    last, steps = frame["step"].max(), frame["step"].n_unique()
    value = pl.col(column)
    defined = pl.col(column).drop_nulls()
    rules = {
        "total": pl.when(value.count() == steps).then(value.sum()),
        "peak": defined.max(),
        # the largest value may stand for "never": a series that is always 0 has no day of peak
        "day_of_peak": pl.when(defined.min() < defined.max()).then(
            pl.col("step").filter(value == defined.max()).first() * dt
        ),
        "final": value.filter(pl.col("step") == last).first(),
    }
    groups = frame.filter(value.is_not_null()).select(pl.col("group").unique(maintain_order=True))
    told = frame.group_by("arm", "seed", "group").agg(rules[name].alias(name) for name in wanted)
    return (
        frame.select(pl.struct("arm", "seed").unique(maintain_order=True).alias("pair"))
        .unnest("pair")
        .join(groups, how="cross")
        .join(told, on=["arm", "seed", "group"], how="left", maintain_order="left")
        .unpivot(wanted, index=["arm", "seed", "group"], variable_name="summary", value_name="x")
    )


def _paired(rows: pl.DataFrame, metric: str, first: str, label: str) -> pl.DataFrame:
    """Return the effect of each (arm, group, summary) from its values x by seed."""
    x, y, d = pl.col("x"), pl.col("y"), pl.col("x") - pl.col("y")
    baseline = rows.filter(pl.col("arm") == first).select("seed", "group", "summary", pl.col("x").alias("y"))
    pairs = rows.join(baseline, on=["seed", "group", "summary"], how="inner", maintain_order="left")
    table = (
        pairs.group_by("arm", "group", "summary", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("seeds"),
            (x.null_count() + y.null_count() == 0).alias("whole"),
            y.mean().alias("baseline_mean"),
            x.mean().alias("arm_mean"),
            d.mean().alias("difference"),
            (d.var() / pl.len()).sqrt().alias("se"),
            ((x.var() + y.var()) / pl.len()).sqrt().alias("unpaired"),
        )
        .with_columns(pl.lit(metric).alias("metric"), pl.lit(label).alias("interval"))
    )
    width = pl.col("se") * _quantiles(table["seeds"])
    table = table.with_columns(
        (pl.col("difference") - width).alias("low"),
        (pl.col("difference") + width).alias("high"),
        pl.when(pl.col("unpaired") > 0).then(pl.col("se") / pl.col("unpaired")).alias("se_ratio"),
    )
    figures = ("baseline_mean", "arm_mean", "difference", "se", "low", "high", "se_ratio")
    whole = pl.col("whole")
    return table.with_columns(pl.when(whole).then(pl.col(name)).alias(name) for name in figures).select(list(COLUMNS))


def _quantiles(seeds: pl.Series) -> pl.Series:
    """Return the two-sided t quantile for each number of seeds, null for one seed."""
    freedom = seeds.to_numpy().astype(np.float64) - 1.0
    quantile = stdtrit(np.maximum(freedom, 1.0), 0.5 + LEVEL / 2)
    return pl.Series("t", np.where(freedom > 0, quantile, np.nan)).fill_nan(None)
