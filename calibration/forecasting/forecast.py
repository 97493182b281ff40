"""Forecasts as tables: quantiles by origin, series, group and date, their scores, and the naive ones beside them.

A *forecast* is a frame with the columns `FORECAST`; one of naive rules has a column `predictor` besides. The *origin*
is the last day whose figures were known; what comes after it is predicted, what came by then is `in_fit`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.forecasting.lagged import LaggedRatio
from lpm.calibration.forecasting.naive import LogLinear, Persistence, Rule, quantiles
from lpm.calibration.observation import Series
from lpm.calibration.score import LEVELS, coverage, wape, wis
from lpm.errors import unknown
from lpm.parquet import write_bytes, write_frame
from lpm.types import HostArray

QUANTILES = ("q05", "q25", "q50", "q75", "q95")
"""Columns of the quantiles at `LEVELS`."""

FORECAST: dict[str, Any] = {
    "origin": pl.Date,
    "series": pl.String,
    "group": pl.String,
    "date": pl.Date,
    **dict.fromkeys(QUANTILES, pl.Float64),
    "observed": pl.Float64,
    "in_fit": pl.Boolean,
}
"""Columns of `forecast.parquet`; `date` is the last day of the interval, `observed` null where it is not known."""

NAIVE = {**FORECAST, "predictor": pl.String}
"""Columns of `naive.parquet`."""

LPM = "lpm"
"""The predictor that is not naive."""

KEY = ("series", "origin", "group", "date")


def forecast(origin: dt.date, series: Series, samples: HostArray) -> pl.DataFrame:
    """Return the rows of one series from simulated values.

    Args:
        origin: Last day that the fit knew of.
        series: Observed values with dates, those after the origin too (they are compared with, not fitted to).
        samples: [draws, D] of what could have been observed: parameters, chance and counting errors all drawn.

    Raises:
        CalibrationError: Values without dates, or other shapes.
        NotFiniteError: NaN or infinite draws.
    """
    if not series.dates:
        raise CalibrationError(f"forecast: {series.metric}: expected values with dates")
    return rows(origin, series.metric, series.groups, series.dates, samples, series.values)


def rows(
    origin: dt.date,
    series: str,
    groups: Sequence[str],
    dates: Sequence[dt.date],
    samples: HostArray,
    observed: Sequence[float | None] | HostArray | None = None,
) -> pl.DataFrame:
    """Return a forecast from draws [draws, D]; `observed` is None where a figure is not known."""
    count = len(groups)
    if samples.ndim != 2 or samples.shape[0] < 2 or {samples.shape[1], len(dates)} != {count}:
        raise CalibrationError(f"forecast: {series}: expected at least 2 draws of {count} values, got {samples.shape}")
    if not np.isfinite(samples).all():
        raise NotFiniteError(f"forecast: {series}: NaN or infinite draws")
    return _frame(origin, series, groups, dates, np.quantile(samples, LEVELS, 0).T, observed)


def _frame(
    origin: dt.date, series: str, groups: Sequence[str], dates: Sequence[dt.date], told: HostArray, observed: Any
) -> pl.DataFrame:
    data: dict[str, Any] = {"origin": [origin] * len(groups), "series": [series] * len(groups)}
    data |= {"group": list(groups), "date": list(dates)}
    data |= {name: told[:, k].astype(np.float64) for k, name in enumerate(QUANTILES)}
    data["observed"] = [None] * len(groups) if observed is None else [None if y is None else float(y) for y in observed]
    data["in_fit"] = [day <= origin for day in dates]
    return pl.DataFrame(data, schema=FORECAST)


def standard(days: int) -> tuple[Rule, ...]:
    """Return the naive rules for figures of every so many days: of a week and ten days, or of whole intervals.

    Daily: persistence of the last 7 days, log-linear on the last 7 and 10 days. Else: persistence of the last interval,
    log-linear on the last 3 and 4 intervals ("loglinear3x7": 3 of 7 days), since a line needs three points.
    """
    if days == 1:
        return Persistence(7), LogLinear(7), LogLinear(10)
    return Persistence(1), *(LogLinear(n, f"loglinear{n}x{days}") for n in (3, 4))


def naive(
    observed: pl.DataFrame,
    origin: dt.date,
    weeks: int = 4,
    leads: Mapping[str, str] | None = None,
    known: dt.date | None = None,
    rules: Sequence[Rule] | None = None,
) -> pl.DataFrame:
    """Return the naive forecasts of counts in the next weeks, from figures of days (or of other intervals of a length).

    Daily figures make much better naive forecasts than weekly ones do: whoever has them should pass them here, whatever
    the model was fitted to.

    Args:
        observed: Columns metric, start, end (both inclusive), group and value. Of each metric the intervals of its
            usual length are used as far as they follow each other without a gap until `known`; figures of later days
            are only compared with. A rule that needs a longer history is left out.
        origin: Told in the rows.
        weeks: How many; they begin on the day after the last known interval.
        leads: By metric the one that comes before it (deaths: admissions), for the lagged ratio.
        known: Last day whose figures are used; the origin where it is None.
        rules: Instead of `standard`'s.

    Returns:
        The columns `NAIVE`, all rows with `in_fit` false.

    Raises:
        InputError: A metric that is not there, figures that are missing, or too few of them.
    """
    until, parts = known or origin, list[pl.DataFrame]()
    metrics = [str(name) for name in observed["metric"].unique(maintain_order=True)]
    histories = {name: _history(observed.filter(pl.col("metric") == name), until) for name in metrics}
    for name, (days, last, groups, values) in histories.items():
        length = max(1, 7 // days)
        chosen = [rule for rule in rules or standard(days) if rule.least(length) <= len(values)]
        told = {rule.name: quantiles(rule, values, weeks, length) for rule in chosen}
        if leads and name in leads:
            if leads[name] not in histories:
                raise unknown(f"naive: {name}", "leading metric", leads[name], histories)
            *about, leading = histories[leads[name]]
            if about != [days, last, groups]:
                raise CalibrationError(f"naive: {name}: expected the days and groups that {leads[name]} has")
            size = min(len(leading), len(values))
            for rule in chosen:
                lagged = LaggedRatio(rule, max(2, 14 // days), 21 // days)
                if lagged.least(length) <= size:
                    told[lagged.name] = lagged.quantiles(values[-size:], leading[-size:], weeks, length)
        if not told:
            raise CalibrationError(
                f"naive: {name}: {len(values)} figures by {until} are too few for any naive forecast"
            )
        ends = [last + dt.timedelta(days=days * length * (week + 1)) for week in range(weeks)]
        later = _later(observed.filter(pl.col("metric") == name), last, groups, ends)
        dates = [end for end in ends for _ in groups]
        for predictor, made in told.items():
            frame = _frame(origin, name, groups * weeks, dates, made.reshape(-1, len(LEVELS)), later)
            parts.append(frame.with_columns(pl.lit(False).alias("in_fit"), pl.lit(predictor).alias("predictor")))
    if not parts:
        raise CalibrationError("naive: there are no observed figures")
    return pl.concat(parts)


def _history(frame: pl.DataFrame, until: dt.date) -> tuple[int, dt.date, list[str], HostArray]:
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


def _later(frame: pl.DataFrame, last: dt.date, groups: list[str], ends: list[dt.date]) -> list[float | None]:
    """Return the observed sums over the forecast's intervals by end and group, None where a day of them is missing."""
    made: list[float | None] = []
    for begin, end in zip([last, *ends], ends, strict=False):
        inside = frame.filter((pl.col("start") > begin) & (pl.col("end") <= end))
        days = pl.col("end") - pl.col("start") + pl.duration(days=1)
        sums = inside.group_by("group").agg(pl.col("value").sum(), days.sum().alias("days"))
        told = {group: value for group, value, span in sums.iter_rows() if span == end - begin}
        made += [told.get(group) for group in groups]
    return made


def scores(forecast: pl.DataFrame, naive: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `score.json`: series, origin, predictor, wape, wis, coverage90, the naive ones beside "lpm".

    Over the values after the origin that are known by now: wape = sum |q50 - observed| / sum observed over groups and
    weeks (None where nothing was observed), wis = mean WIS in the unit of the values, coverage90 = share of the values
    inside [q05, q95]. Where there are groups besides "all", they alone count. All predictors are scored on the same
    values: those that the naive rows tell (four weeks, say, of a forecast that goes on).

    Raises:
        CalibrationError: A predictor lacks some of these values, or was compared with others.
    """
    told = pl.concat([naive.select(*NAIVE), forecast.select(*FORECAST).with_columns(pl.lit(LPM).alias("predictor"))])
    told = told.filter(~pl.col("in_fit") & pl.col("observed").is_not_null())
    result: list[dict[str, Any]] = []
    for (series, origin), part in told.group_by("series", "origin", maintain_order=True):
        if part["group"].n_unique() > 1:
            part = part.filter(pl.col("group") != "all")
        names = part["predictor"].unique(maintain_order=True).to_list()
        wanted = part.filter(pl.col("predictor") == names[0]).sort(KEY)
        for predictor in sorted(names, key=lambda name: name != LPM):
            mine = part.filter(pl.col("predictor") == predictor).join(wanted, KEY, "semi").sort(KEY)
            if len(mine) != len(wanted) or not np.allclose(mine["observed"], wanted["observed"]):
                raise CalibrationError(f"scores: {series} from {origin}: {predictor} is a forecast of other values")
            result.append({"series": series, "origin": str(origin), "predictor": predictor, **score(mine)})
    return result


def score(rows: pl.DataFrame) -> dict[str, float | None]:
    """Return wape, wis and coverage90 of rows of a forecast."""
    y, told = rows["observed"].to_numpy(), rows.select(QUANTILES).to_numpy()
    return {
        "wape": wape(y, told[:, 2]),
        "wis": float(wis(y, told).mean()),
        "coverage90": coverage(y, told[:, 0], told[:, -1]),
    }


def best_naive(rows: Iterable[Mapping[str, Any]], measure: str = "wape") -> list[dict[str, Any]]:
    """Return the naive row with the smallest score of each series and origin: chosen with hindsight."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (str(row["series"]), str(row["origin"]))
        if row["predictor"] != LPM and row[measure] is not None:
            if key not in best or row[measure] < best[key][measure]:
                best[key] = dict(row)
    return list(best.values())


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return by series the means over the origins of lpm's scores and of the best naive row's of each origin.

    Keys: series, origins, lpm_wape, naive_wape, lpm_wis, naive_wis (each measure has its own best row), coverage90 (of
    lpm; pooled, since every origin has as many values); lpm's are None without rows of lpm.
    """
    result: list[dict[str, Any]] = []
    for series in dict.fromkeys(str(row["series"]) for row in rows):
        mine = [row for row in rows if row["series"] == series]
        own = [row for row in mine if row["predictor"] == LPM]
        made: dict[str, Any] = {"series": series, "origins": len({row["origin"] for row in mine})}
        for measure in ("wape", "wis"):
            made[f"lpm_{measure}"] = _mean([row[measure] for row in own])
            made[f"naive_{measure}"] = _mean([row[measure] for row in best_naive(mine, measure)])
        result.append(made | {"coverage90": _mean([row["coverage90"] for row in own])})
    return result


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def write(folder: Path, forecast: pl.DataFrame, naive: pl.DataFrame) -> list[dict[str, Any]]:
    """Write `forecast.parquet`, `naive.parquet` and `score.json` into a folder and return the scores."""
    told = scores(forecast, naive)
    write_frame(folder / "forecast.parquet", forecast.select(*FORECAST))
    write_frame(folder / "naive.parquet", naive.select(*NAIVE))
    write_bytes(folder / "score.json", (json.dumps(told, indent=1, allow_nan=False) + "\n").encode())
    return told
