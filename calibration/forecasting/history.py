"""Observed figures as a history without a gap, and the sums that came after it: what naive rules carry on."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from lpm.calibration.errors import CalibrationError
from lpm.types import HostArray


def history(frame: pl.DataFrame, until: dt.date) -> tuple[int, dt.date, list[str], HostArray]:
    """Return the days of an interval, the last known day, the groups, and the values [T, groups] without a gap."""
    where = f"naive: {frame['metric'][0]}"
    frame = frame.with_columns(((pl.col("end") - pl.col("start")).dt.total_days() + 1).alias("days"))
    days = int(frame["days"].mode().max())  # type: ignore[arg-type]
    wide = (
        frame.filter((pl.col("days") == days) & (pl.col("end") <= until))
        .pivot("group", index=["start", "end"], values="value", aggregate_function="first")
        .sort("start")
    )
    if not wide.height:
        raise CalibrationError(f"{where}: no figures of the days until {until}")
    breaks = (wide["start"].diff().dt.total_days() != days).fill_null(True)
    wide = wide[int(breaks.arg_true()[-1]) :]
    groups = wide.columns[2:]
    values = wide.select(groups)
    if sum(values.null_count().row(0)):
        raise CalibrationError(f"{where}: figures of some groups are missing")
    return days, wide["end"][-1], groups, values.to_numpy().astype(np.float64)


def later(frame: pl.DataFrame, last: dt.date, groups: list[str], ends: list[dt.date]) -> list[float | None]:
    """Return the observed sums over the forecast's intervals by end and group, None where a day of them is missing."""
    made: list[float | None] = []
    for begin, end in zip([last, *ends], ends, strict=False):
        inside = frame.filter((pl.col("start") > begin) & (pl.col("end") <= end))
        days = pl.col("end") - pl.col("start") + pl.duration(days=1)
        sums = inside.group_by("group").agg(pl.col("value").sum(), days.sum().alias("days"))
        told = {group: value for group, value, span in sums.iter_rows() if span == end - begin}
        made += [told.get(group) for group in groups]
    return made
