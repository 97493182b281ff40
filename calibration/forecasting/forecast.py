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
from scipy.stats import norm

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.forecasting.history import history, later
from lpm.calibration.forecasting.lagged import LaggedRatio
from lpm.calibration.forecasting.naive import LogLinear, Persistence, Rule, quantiles
from lpm.calibration.observation import Series
from lpm.calibration.score import LEVELS, coverage, crps, crps_of_quantiles, normalised_deviation, wape, wis
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
    "crps": pl.Float64,
}
"""Columns of `forecast.parquet`; `date` is the last day of the interval, `observed` null where it is not known, and
`crps` the score of the whole distribution, null where it has none."""

FINE = tuple(float(share) for share in norm.cdf(np.linspace(-5, 5, 201)))
"""Probabilities of the quantiles that the CRPS of a naive rule is told by: evenly spaced for a normal."""

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
    told = [None] * count if observed is None else list(observed)
    came = [None if y is None else float(y) for y in told]
    there = [y is not None for y in came]
    scored: list[float | None] = [None] * count
    if any(there):
        each = iter(crps(np.asarray([y for y in came if y is not None]), samples[:, there]).tolist())
        scored = [next(each) if known else None for known in there]
    return _frame(origin, series, groups, dates, np.quantile(samples, LEVELS, 0).T, came, scored)


def _frame(
    origin: dt.date,
    series: str,
    groups: Sequence[str],
    dates: Sequence[dt.date],
    told: HostArray,
    observed: Sequence[float | None],
    scored: Sequence[float | None],
) -> pl.DataFrame:
    data: dict[str, Any] = {"origin": [origin] * len(groups), "series": [series] * len(groups)}
    data |= {"group": list(groups), "date": list(dates)}
    data |= {name: told[:, k].astype(np.float64) for k, name in enumerate(QUANTILES)}
    data["observed"] = list(observed)
    data["in_fit"] = [day <= origin for day in dates]
    data["crps"] = list(scored)
    return pl.DataFrame(data, schema=FORECAST)


def standard(days: int) -> tuple[Rule, ...]:
    """Return the naive rules for figures of every so many days: of a week and ten days, or of whole intervals.

    Daily: persistence of the last 7 days, log-linear on the last 7 and 10 days. Else: persistence of the last interval,
    log-linear on the last 3 and 4 intervals ("loglinear3x7": 3 of 7 days), since a line needs three points.
    """
    if days == 1:
        return Persistence(7), LogLinear(7), LogLinear(10)
    return Persistence(1), *(LogLinear(n, f"loglinear{n}x{days}") for n in (3, 4))


def _levels(rule: Rule) -> tuple[float, ...]:
    """Return the levels of a rule's quantiles, without `FINE` where its CRPS is infinite: a log-t has no mean."""
    return LEVELS if rule.logarithmic and np.isfinite(rule.freedom) else (*LEVELS, *FINE)


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
    histories = {name: history(observed.filter(pl.col("metric") == name), until) for name in metrics}
    for name, (days, last, groups, values) in histories.items():
        length = max(1, 7 // days)
        chosen = [rule for rule in rules or standard(days) if rule.least(length) <= len(values)]
        told = {rule.name: quantiles(rule, values, weeks, length, _levels(rule)) for rule in chosen}
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
                    levels = (*LEVELS, *FINE)
                    told[lagged.name] = lagged.quantiles(values[-size:], leading[-size:], weeks, length, levels)
        if not told:
            raise CalibrationError(
                f"naive: {name}: {len(values)} figures by {until} are too few for any naive forecast"
            )
        ends = [last + dt.timedelta(days=days * length * (week + 1)) for week in range(weeks)]
        came = later(observed.filter(pl.col("metric") == name), last, groups, ends)
        dates = [end for end in ends for _ in groups]
        for predictor, made in told.items():
            table, fine = np.split(made.reshape(len(dates), -1), [len(LEVELS)], -1)
            scored = [
                None if y is None or not fine.size else float(crps_of_quantiles(y, row, FINE))
                for y, row in zip(came, fine, strict=True)
            ]
            frame = _frame(origin, name, groups * weeks, dates, table, came, scored)
            parts.append(frame.with_columns(pl.lit(False).alias("in_fit"), pl.lit(predictor).alias("predictor")))
    if not parts:
        raise CalibrationError("naive: there are no observed figures")
    return pl.concat(parts)


def scores(forecast: pl.DataFrame, naive: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `score.json`: series, origin, predictor and those of `score`, the naive ones beside "lpm".

    Over the values after the origin that are known by now. Where there are groups besides "all", they alone count. All
    predictors are scored on the same values: those that the naive rows tell (four weeks, say, of a forecast that goes
    on).

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
    """Return the scores of rows of a forecast.

    wape = sum |q50 - observed| / sum observed, None where nothing was observed or values are negative; wis and crps:
    means in the unit of the values, crps None for a rule whose distribution has none; normalised_deviation = sum |q50 -
    observed| / sum |observed|; coverage90 = share of the values inside [q05, q95].
    """
    y, told = rows["observed"].to_numpy(), rows.select(QUANTILES).to_numpy()
    return {
        "wape": wape(y, told[:, 2]) if (y >= 0).all() else None,
        "wis": float(wis(y, told).mean()),
        "crps": None if rows["crps"].null_count() else float(rows["crps"].to_numpy().mean()),
        "normalised_deviation": normalised_deviation(y, told[:, 2]),
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
