"""Forecast tables: quantiles of draws, what the fit knew, naive rows of the same values, scores beside them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.forecasting.forecast import (
    FORECAST,
    LPM,
    NAIVE,
    best_naive,
    forecast,
    means,
    naive,
    rows,
    scores,
    write,
)
from lpm.calibration.forecasting.naive import LogLinear, Persistence, quantiles
from lpm.calibration.observation import Series
from lpm.calibration.score import coverage, crps, wis
from lpm.errors import InputError
from lpm.parquet import read_frame

START = dt.date(2021, 1, 1)
ORIGIN = dt.date(2021, 2, 4)
"""35 days are known."""


def daily(days: int = 70) -> pl.DataFrame:
    """Two groups of admissions, and of deaths six days later; `days` of them."""
    t = np.arange(days)
    admissions = {"a": np.round(80 * np.exp(-(((t - 30) / 14) ** 2))) + 5, "b": 20.0 + t}
    tables: list[pl.DataFrame] = []
    for group, values in admissions.items():
        later = np.r_[np.full(6, values[0]), values[:-6]] * 0.2
        for metric, told in (("admissions", values), ("deaths", later)):
            dates = [START + dt.timedelta(days=int(day)) for day in t]
            columns = {"metric": [metric] * days, "start": dates, "end": dates, "group": [group] * days, "value": told}
            tables.append(pl.DataFrame(columns))
    return pl.concat(tables)


def weekly(frame: pl.DataFrame) -> pl.DataFrame:
    """Weeks from the first day on, with a last half week."""
    week = ((pl.col("start") - START).dt.total_days() // 7).alias("week")
    summed = frame.group_by("metric", "group", week, maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("value").sum()
    )
    return summed.select("metric", "start", "end", "group", "value")


def model(frame: pl.DataFrame, off: float = 1.1, weeks: int = 5) -> pl.DataFrame:
    """A model that is off by a factor, with draws that spread by 20 %."""
    rng = np.random.default_rng(1)
    parts: list[pl.DataFrame] = []
    for metric in ("admissions", "deaths"):
        table = weekly(frame).filter((pl.col("metric") == metric) & (pl.col("end") <= ORIGIN + dt.timedelta(7 * weeks)))
        y = table["value"].to_numpy()
        samples = off * y * np.exp(0.2 * rng.normal(size=(501, 1)))
        parts.append(rows(ORIGIN, metric, table["group"].to_list(), table["end"].to_list(), samples, y))
    return pl.concat(parts)


def test_rows_are_quantiles_of_the_draws():
    samples = np.linspace(0, 100, 101)[:, None] * [1.0, 2.0, 3.0]
    dates = [ORIGIN - dt.timedelta(1), ORIGIN, ORIGIN + dt.timedelta(1)]
    told = rows(ORIGIN, "deaths", ["a"] * 3, dates, samples, [4.0, 5.0, None])
    assert told.schema == pl.Schema(FORECAST)
    assert told["in_fit"].to_list() == [True, True, False]
    assert told["observed"].to_list() == [4.0, 5.0, None]
    assert told.select("q05", "q25", "q50", "q75", "q95").rows()[1] == pytest.approx((10, 50, 100, 150, 190))


def test_a_series_keeps_its_dates_groups_and_values():
    values, dates = np.asarray([3.0, 4.0]), (ORIGIN, ORIGIN + dt.timedelta(7))
    series = Series("deaths", values, np.asarray([0, 7]), np.asarray([7, 14]), ("a", "b"), dates=dates)
    told = forecast(ORIGIN, series, np.ones((9, 2)))
    assert told["group"].to_list() == ["a", "b"] and told["observed"].to_list() == [3.0, 4.0]
    assert told["date"].to_list() == list(dates)
    with pytest.raises(CalibrationError, match="values with dates"):
        forecast(ORIGIN, Series("deaths", values, np.asarray([0, 7]), np.asarray([7, 14]), ("a", "b")), np.ones((9, 2)))


def test_naive_rows_are_the_rules_on_what_was_known():
    frame = daily()
    told = naive(frame, ORIGIN, leads={"deaths": "admissions"})
    predictors = ["persistence", "loglinear7", "loglinear10"]
    assert told.filter(series="admissions")["predictor"].unique(maintain_order=True).to_list() == predictors
    lagged = [*predictors, *(f"lagged {name}" for name in predictors)]
    assert told.filter(series="deaths")["predictor"].unique(maintain_order=True).to_list() == lagged
    values = frame.filter(metric="admissions", group="a")["value"].to_numpy()
    mine = told.filter(series="admissions", group="a", predictor="loglinear7").sort("date")
    wanted = quantiles(LogLinear(7), values[:35, None], 4)[:, 0]
    assert mine.select("q05", "q25", "q50", "q75", "q95").to_numpy() == pytest.approx(wanted)
    assert mine["observed"].to_list() == pytest.approx(values[35:63].reshape(4, 7).sum(1).tolist())
    assert mine["date"].to_list() == [ORIGIN + dt.timedelta(7 * week) for week in (1, 2, 3, 4)]
    assert not told["in_fit"].any() and (told["origin"] == ORIGIN).all()


def test_naive_rows_know_nothing_of_later_days():
    frame = daily()
    late = pl.when(pl.col("end") > ORIGIN).then(1e6).otherwise(pl.col("value")).alias("value")
    told, other = (naive(each, ORIGIN).drop("observed", "crps") for each in (frame, frame.with_columns(late)))
    assert told.equals(other)


def test_weekly_figures_are_carried_on_by_the_week():
    """The half week at the end is no week, and what a week lacks is not observed."""
    frame = weekly(daily(66))
    told = naive(frame, ORIGIN)
    assert told["predictor"].unique(maintain_order=True).to_list() == ["persistence", "loglinear3x7", "loglinear4x7"]
    values = frame.filter(metric="admissions", group="b")["value"].to_numpy()
    mine = told.filter(series="admissions", group="b", predictor="persistence").sort("date")
    wanted = quantiles(Persistence(1), values[:5, None], 4, 1)[:, 0]
    assert mine.select("q05", "q25", "q50", "q75", "q95").to_numpy() == pytest.approx(wanted)
    assert naive(daily(60), ORIGIN).filter(group="a")["observed"].is_null().sum() == 2 * 3  # the fourth week of each


def test_a_gap_ends_what_is_known_and_a_short_history_leaves_rules_out():
    frame = daily().filter(pl.col("start") != ORIGIN - dt.timedelta(8))  # eight days are left
    told = naive(frame, ORIGIN)
    assert told["predictor"].unique().to_list() == ["loglinear7"]
    with pytest.raises(CalibrationError, match="8 figures by 2021-02-04 are too few"):
        naive(frame, ORIGIN, rules=[Persistence()])
    with pytest.raises(CalibrationError, match="no figures of the days until 2020"):
        naive(frame, dt.date(2020, 1, 1))
    with pytest.raises(InputError, match="did you mean 'admissions'"):
        naive(daily(), ORIGIN, leads={"deaths": "admission"})


def test_scores_stand_beside_naive_rows_of_the_same_values():
    frame = daily()
    mine, others = model(frame), naive(frame, ORIGIN, leads={"deaths": "admissions"})
    told = scores(mine, others)
    assert [row["predictor"] for row in told[:4]] == [LPM, "persistence", "loglinear7", "loglinear10"]
    keys = ("series", "origin", "predictor", "wape", "wis", "crps", "normalised_deviation", "coverage90")
    assert {tuple(row) for row in told} == {keys}
    used = mine.filter((pl.col("series") == "admissions") & ~pl.col("in_fit") & (pl.col("date") <= dt.date(2021, 3, 4)))
    y, q = used["observed"].to_numpy(), used.select("q05", "q25", "q50", "q75", "q95").to_numpy()
    assert len(y) == 8  # four weeks, though the model goes on for five
    assert told[0]["wape"] == pytest.approx(np.abs(q[:, 2] - y).sum() / y.sum())
    assert told[0]["wis"] == pytest.approx(wis(y, q).mean())
    assert told[0]["coverage90"] == coverage(y, q[:, 0], q[:, 4])
    assert told[0]["normalised_deviation"] == told[0]["wape"]
    assert told[0]["crps"] == pytest.approx(used["crps"].to_numpy().mean()) and told[0]["crps"] > 0


def test_the_crps_of_naive_rows_is_of_their_own_distribution():
    """Persistence is normal: a closed form. A log-linear rule's t distribution of the logarithm has none."""
    frame = daily()
    told = naive(frame, ORIGIN, leads={"deaths": "admissions"})
    mine = told.filter(series="admissions", group="b", predictor="persistence")
    middle, sd = mine["q50"].to_numpy(), (mine["q75"] - mine["q50"]).to_numpy() / stats.norm.ppf(0.75)
    z = (mine["observed"].to_numpy() - middle) / sd
    wanted = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert (mine["q05"] > 0).all() and mine["crps"].to_numpy() == pytest.approx(wanted, rel=2e-3)
    for name in ("loglinear7", "loglinear10"):
        assert told.filter(predictor=name)["crps"].is_null().all()
        assert told.filter(predictor=f"lagged {name}")["crps"].is_not_null().all()
    rows_of = {(row["series"], row["predictor"]): row for row in scores(model(frame), told)}
    assert rows_of["deaths", "loglinear7"]["crps"] is None and rows_of["deaths", "persistence"]["crps"] > 0


def test_values_below_0_have_a_deviation_and_no_wape():
    """Of opinions of either sign: their sum, by which WAPE divides, says nothing."""
    y = np.asarray([-0.5, 0.25, -0.25])
    dates = [ORIGIN + dt.timedelta(days) for days in (1, 2, 3)]
    table = rows(ORIGIN, "opinion", ["all"] * 3, dates, y + np.linspace(0.0, 0.2, 11)[:, None], y)
    (told,) = scores(table, pl.DataFrame(schema=NAIVE))
    assert told["wape"] is None and told["normalised_deviation"] == pytest.approx(0.3)
    assert told["crps"] == pytest.approx(crps(y, y + np.linspace(0.0, 0.2, 11)[:, None]).mean())


def test_groups_count_and_their_sum_does_not_besides():
    frame = daily()
    mine, others = model(frame), naive(frame, ORIGIN)
    whole = mine.with_columns(pl.lit("all").alias("group"), (pl.col("q50") * 9).alias("q50"))
    assert scores(pl.concat([mine, whole]), others) == scores(mine, others)


def test_forecasts_of_other_values_are_refused():
    frame = daily()
    mine, others = model(frame), naive(frame, ORIGIN)
    with pytest.raises(CalibrationError, match="admissions from 2021-02-04: lpm is a forecast of other values"):
        scores(model(frame, weeks=3), others)
    with pytest.raises(CalibrationError, match="forecast of other values"):
        scores(mine.with_columns(pl.col("observed") + 1), others)


def test_the_best_naive_row_is_chosen_with_hindsight():
    def row(origin: str, predictor: str, wape: float, wis: float) -> dict[str, Any]:
        told: dict[str, Any] = {"series": "deaths", "origin": origin, "predictor": predictor}
        return told | {"wape": wape, "wis": wis, "coverage90": 0.8}

    table = [row("1", LPM, 0.1, 5), row("1", "x", 0.4, 9), row("1", "y", 0.3, 10), row("2", LPM, 0.3, 7)]
    table += [row("2", "x", 0.2, 8), row("2", "y", 0.9, 90)]
    assert [(each["origin"], each["predictor"]) for each in best_naive(table)] == [("1", "y"), ("2", "x")]
    assert [each["predictor"] for each in best_naive(table, "wis")] == ["x", "x"]
    wanted = {"series": "deaths", "origins": 2, "lpm_wape": 0.2, "naive_wape": 0.25, "lpm_wis": 6, "naive_wis": 8.5}
    assert means(table) == [pytest.approx(wanted | {"coverage90": 0.8})]


def test_the_files_are_the_contract(tmp_path: Path):
    frame = daily()
    told = write(tmp_path, model(frame), naive(frame, ORIGIN))
    assert read_frame(tmp_path / "forecast.parquet").schema == pl.Schema(FORECAST)
    assert read_frame(tmp_path / "naive.parquet").schema == pl.Schema({**FORECAST, "predictor": pl.String})
    assert json.loads((tmp_path / "score.json").read_text("utf-8")) == told


def test_draws_that_are_none_are_refused():
    with pytest.raises(NotFiniteError, match="deaths: NaN"):
        rows(ORIGIN, "deaths", ["a"], [ORIGIN], np.asarray([[1.0], [np.nan]]))
    with pytest.raises(CalibrationError, match="expected at least 2 draws of 1 values"):
        rows(ORIGIN, "deaths", ["a"], [ORIGIN], np.ones((1, 1)))
