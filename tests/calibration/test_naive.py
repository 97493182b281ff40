"""Naive forecasts: exact where their rule is, honest where it is not, and the figures known of New York."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.forecasting.lagged import LaggedRatio
from lpm.calibration.forecasting.naive import LogLinear, Persistence, quantiles
from lpm.calibration.score import LEVELS, wape
from tests.benchmarks import naive_nyc


@pytest.mark.parametrize("days", [7, 10])
@pytest.mark.parametrize("growth", [-0.1, 0.0, 0.25])
def test_log_linear_goes_on_with_an_exact_exponential(days: int, growth: float):
    t = np.arange(60)
    series = np.stack([20 * np.exp(growth * t), 7_000 * np.exp(-growth * t)], 1)
    told = quantiles(LogLinear(days), series[:30], 4)
    wanted = series[30:58].reshape(4, 7, 2).sum(1)
    for k in range(5):  # no residual: no width
        assert told[..., k] == pytest.approx(wanted, rel=1e-9)


def test_log_linear_intervals_are_the_prediction_intervals_of_a_regression():
    """One step ahead (intervals of length 1), against numpy's covariance of a fitted line."""
    rng = np.random.default_rng(2)
    series = np.exp(3 + 0.1 * np.arange(12) + 0.2 * rng.normal(size=12))[:, None]
    line, covariance = np.polyfit(np.arange(10), np.log(series[-10:, 0]), 1, cov="unscaled")
    residuals = np.log(series[-10:, 0]) - np.polyval(line, np.arange(10))
    at = np.asarray([11.0, 1.0])
    sd = np.sqrt((residuals**2).sum() / 8 * (1 + at @ covariance @ at))
    wanted = np.exp(line @ at + stats.t.ppf(LEVELS, 8) * sd)
    assert quantiles(LogLinear(10), series, 2, 1)[1, 0] == pytest.approx(wanted)


def test_log_linear_intervals_hold_where_the_line_does():
    """4,000 lines with normal residuals, two steps ahead: 90 % +- 4.5 standard errors (false alarm 7e-6)."""
    rng = np.random.default_rng(4)
    series = np.exp(5 - 0.05 * np.arange(9)[:, None] + 0.3 * rng.normal(size=(9, 4_000)))
    told, later = quantiles(LogLinear(7), series[:7], 2, 1)[1], series[8]
    inside = ((told[:, 0] <= later) & (later <= told[:, 4])).mean()
    assert inside == pytest.approx(0.9, abs=4.5 * np.sqrt(0.09 / 4_000))


def test_persistence_carries_the_last_week_on():
    rng = np.random.default_rng(6)
    series = rng.poisson(40, (30, 3)).astype(float)
    told = quantiles(Persistence(), series, 4)
    assert told[..., 2] == pytest.approx(np.tile(series[-7:].sum(0), (4, 1)))
    assert quantiles(Persistence(1), series, 4)[..., 2] == pytest.approx(np.tile(7 * series[-1], (4, 1)))


def test_persistence_errs_by_its_own_past_errors_times_the_root_of_the_horizon():
    """Weeks that rise by 70 each: one week ahead it was always off by 70, in the middle of the weeks and at the end."""
    series = 100.0 + 10 / 7 * np.arange(40)[:, None]
    told = quantiles(Persistence(), series, 4)
    half = told[:, 0, 4] - told[:, 0, 2]
    assert half == pytest.approx(stats.norm.ppf(0.95) * 70 * np.sqrt([1, 2, 3, 4]))
    assert told[:, 0, 2] - told[:, 0, 0] == pytest.approx(half)


def test_persistence_is_never_negative():
    series = np.r_[np.full(20, 100.0), np.full(10, 1.0)][:, None]
    assert (quantiles(Persistence(), series, 4)[..., 0] == 0).all()


def test_a_forecast_may_be_absurd_but_not_infinite():
    """A series that doubles every day goes on doubling; one that multiplies by 1e12 a day ends in an error by name."""
    series = 2.0 ** np.arange(20)[:, None]
    assert quantiles(LogLinear(7), series, 4)[3, 0, 2] == pytest.approx(2.0**41 * 127)
    with pytest.raises(NotFiniteError, match="loglinear7: the forecast is beyond the largest number"):
        quantiles(LogLinear(7), 10.0 ** (12 * np.arange(8))[:, None], 4)


@pytest.mark.parametrize("rule", [Persistence(), LogLinear(7)])
def test_a_group_without_a_count_is_a_poisson_rate_of_which_nothing_was_seen(rule: Persistence | LogLinear):
    """Seven days without an event: next week's count is below 2 with 95 %, by drawing rate and count (0.003)."""
    series = np.c_[np.zeros(21), np.full(21, 5.0)]
    told = quantiles(rule, series, 4)
    rng = np.random.default_rng(8)
    drawn = rng.poisson(7 * rng.gamma(0.5, 1 / 7, 100_000))
    assert told[0, 0].tolist() == np.quantile(drawn, LEVELS).tolist()
    assert told[0, 1, 2] == pytest.approx(35)


def test_lagged_ratio_finds_lag_and_ratios():
    t = np.arange(50)
    leading = np.stack([np.exp(5 - ((t - 25) / 9) ** 2), np.exp(6 - ((t - 22) / 8) ** 2)], 1) * 10
    later = np.r_[np.zeros((8, 2)), leading[:-8] * [0.4, 0.3]]
    rule = LaggedRatio(Persistence())
    lag, ratio, _ = rule.fitted(later[:30], leading[:30])
    assert lag == 8 and ratio == pytest.approx([0.4, 0.3])
    told = rule.quantiles(later[:30], leading[:30], 2)
    assert told[0, :, 2] == pytest.approx(later[30:37].sum(0))  # what leads is known for eight days
    ahead = 6 * leading[23:30].mean(0)  # of the second week one day
    assert told[1, :, 2] == pytest.approx(later[37] + [0.4, 0.3] * ahead)
    assert ((told[1, :, 4] - told[1, :, 0]) > (told[0, :, 4] - told[0, :, 0])).all()


def test_histories_that_are_none_are_refused():
    with pytest.raises(CalibrationError, match="loglinear10: expected a history of at least 10 steps, got 9"):
        quantiles(LogLinear(10), np.ones((9, 1)), 4)
    with pytest.raises(CalibrationError, match="persistence: expected a history of at least 14 steps, got 13"):
        quantiles(Persistence(), np.ones((13, 1)), 4)
    for wrong in (np.nan, -1.0):
        with pytest.raises(NotFiniteError, match="counts"):
            quantiles(LogLinear(7), np.full((20, 1), wrong), 4)
    with pytest.raises(CalibrationError, match="at least 3 steps"):
        LogLinear(2)


def city(data_folder: Path) -> tuple[pl.DataFrame, np.ndarray, list[dt.date]]:
    counts = naive_nyc.daily(data_folder)
    wide = counts.filter(pl.col("metric") == "admissions").pivot("group", index="end", values="value").sort("end")
    return counts, wide.drop("end").to_numpy(), wide["end"].to_list()


def test_known_errors_of_new_york(data_folder: Path):
    """The figures that the data's own description tells: lines of 7, 10 and 14 days to the end of June."""
    _, values, days = city(data_folder)
    known = {dt.date(2020, 4, 15): (0.24, 0.17, 0.45), dt.date(2020, 4, 5): (0.44, 4.2, 12.9)}
    for origin, wanted in known.items():
        at = days.index(origin) + 1
        weeks = (len(days) - at) // 7
        later = values[at : at + 7 * weeks].reshape(weeks, 7, 5).sum(1)
        told = [wape(later, quantiles(LogLinear(n), values[:at], weeks)[..., 2]) for n in (7, 10, 14)]
        assert told == pytest.approx(wanted, abs=0.006, rel=0.01)


def test_the_bar_of_new_york(data_folder: Path):
    """What the calibration's forecasts have to beat, so that it cannot move unnoticed."""
    counts = naive_nyc.daily(data_folder)
    wanted = {"from the origin": (0.289, 0.178), "epi weeks": (0.417, 0.223)}
    for weeks, before in naive_nyc.WEEKS.items():
        rows = naive_nyc.scored(naive_nyc.forecasts(counts, before))
        for series, bar in zip(naive_nyc.COUNTS, wanted[weeks], strict=True):
            best = [row["wape"] for row in naive_nyc.best_naive(rows) if row["series"] == series]
            assert len(best) == 4 and np.mean(best) == pytest.approx(bar, abs=6e-4)
