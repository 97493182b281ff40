"""Score: how far the simulated weekly counts are from the observed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lpm.errors import InputError, unknown
from lpm.types import HostArray

OBSERVED = {"metric": pl.String, "start": pl.Date, "end": pl.Date, "group": pl.String, "value": pl.Float64}
"""Columns of `observed.parquet` (and `source`): people over the days start to end, both inclusive."""


def intervals(trajectory: pl.DataFrame, observed: pl.DataFrame, kinds: Mapping[str, str]) -> pl.DataFrame:
    """Return the simulated values over the observed intervals, one row per (arm, seed, metric, group, interval).

    A flow is summed over the days of the interval, anything else averaged. Intervals that the run does not cover day by
    day are left out (a half week against a week would be an error that is not the model's).

    Args:
        trajectory: The frame of the contract.
        observed: The observed figures, with the columns `OBSERVED`.
        kinds: Kind by metric.

    Returns:
        Columns arm, seed, metric, group, start, end, observed, simulated.

    Raises:
        InputError: A missing column, an unknown metric or group, a NaN, or a trajectory without dates.
    """
    for name, kind in OBSERVED.items():
        if observed.schema.get(name) != kind:
            raise InputError(f"observed: {name}: expected {kind}, got {observed.schema.get(name)}")
        if observed[name].null_count():
            raise InputError(f"observed: {name}: {observed[name].null_count()} values are missing")
    if not observed["value"].is_finite().all():
        raise InputError("observed: value: NaN or infinite values")
    if trajectory["time"].null_count():
        raise InputError("observed: figures with dates need a scenario with a start date")
    days = trajectory.with_columns(pl.col("time").cast(pl.Date).alias("day"))
    first, last = days.select(pl.col("day").min().alias("a"), pl.col("day").max().alias("b")).row(0)
    parts: list[pl.DataFrame] = []
    for (metric,), rows in observed.group_by("metric", maintain_order=True):
        if metric not in trajectory.columns:
            raise unknown("observed", "metric", str(metric), trajectory.columns[5:])
        for group in rows["group"].unique(maintain_order=True):
            if group not in set(days["group"].unique()):
                raise unknown(f"observed: {metric}", "group", group, days["group"].unique().to_list())
        inside = rows.filter((pl.col("start") >= first) & (pl.col("end") <= last)).sort("group", "start")
        value = pl.col(str(metric))
        summary = value.sum() if kinds.get(str(metric)) == "flow" else value.mean()
        joined = days.select("arm", "seed", "group", "day", str(metric)).join_where(
            inside.select(pl.col("group").alias("of"), "start", "end", pl.col("value").alias("observed")),
            pl.col("day") >= pl.col("start"),
            pl.col("day") <= pl.col("end"),
            pl.col("group") == pl.col("of"),
        )
        parts.append(
            joined.group_by("arm", "seed", "group", "start", "end", "observed")
            .agg(pl.when(value.null_count() == 0).then(summary).alias("simulated"))
            .with_columns(pl.lit(str(metric)).alias("metric"))
        )
    columns = ["arm", "seed", "metric", "group", "start", "end", "observed", "simulated"]
    if not parts:
        raise InputError("observed: there are no rows")
    return pl.concat(parts).select(columns).sort("metric", "arm", "seed", "group", "start")


def wape(observed: HostArray, told: HostArray) -> float | None:
    """Return sum |told - observed| / sum observed over all values, None where nothing was observed (a sum of 0)."""
    total = float(observed.sum())
    return float(abs(told - observed).sum()) / total if total > 0 else None


def score(trajectory: pl.DataFrame, observed: pl.DataFrame, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the weighted absolute percentage error of each arm and metric.

    WAPE = sum |mean over seeds of the simulated count - observed count| / sum of observed counts, both sums over groups
    and weeks: errors of two boroughs do not cancel. Where a metric is observed for "all" and for groups, the groups
    alone count.

    Returns:
        One dict per (metric, arm), in the trajectory's order of arms: metric, arm, wape [1] (None where nothing was
        observed), weeks (intervals, parts of a week included), first and last (the first and the last day compared, as
        ISO dates, None where nothing is), groups, observed and simulated [people].

    Raises:
        InputError: As `intervals`.
    """
    table = intervals(trajectory, observed, kinds)
    arms = trajectory["arm"].unique(maintain_order=True).to_list()
    result: list[dict[str, Any]] = []
    for metric in observed["metric"].unique(maintain_order=True):
        rows = table.filter(pl.col("metric") == metric)
        if rows["group"].n_unique() > 1:
            rows = rows.filter(pl.col("group") != "all")
        means = rows.group_by("arm", "group", "start", "end", maintain_order=True).agg(  # the sums' order is fixed
            pl.col("simulated").mean(), pl.col("observed").first()
        )
        for arm in arms:
            mine = means.filter(pl.col("arm") == arm)
            observations, simulations = mine["observed"].to_numpy(), mine["simulated"].to_numpy()
            result.append(
                {
                    "metric": metric,
                    "arm": arm,
                    "wape": wape(observations, simulations),
                    "weeks": mine["start"].n_unique(),
                    "first": None if mine.is_empty() else str(mine["start"].min()),
                    "last": None if mine.is_empty() else str(mine["end"].max()),
                    "groups": mine["group"].n_unique(),
                    "observed": float(observations.sum()),
                    "simulated": float(simulations.sum()),
                }
            )
    return result
