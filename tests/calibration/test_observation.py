"""Observations: delay, ascertainment and intervals against a plain loop, and what is known when."""

from __future__ import annotations

import datetime as dt
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from lpm.calibration.errors import AfterAsOfError, CalibrationError
from lpm.calibration.likelihood import Multinomial, NegativeBinomial, Normal, Poisson
from lpm.calibration.observation import Observation, Series, series_of
from lpm.errors import InputError

GROUPS = {"cases": ["north", "south"]}
DAY = dt.date(2020, 3, 1)


def weekly(**options: Any) -> Series:
    """Return three values of two groups, over intervals of 3, 4 and 2 steps."""
    begin, end = np.asarray([0, 3, 5]), np.asarray([3, 7, 7])
    return Series("cases", np.asarray([4.0, 5, 6]), begin, end, ("south", "north", "south"), **options)


def looped(x: Any, series: Series, share: Any, scale: float = 1.0) -> Any:
    """Return the expectations [D] of x [steps, groups] by the sum in the module's docstring, one term at a time."""
    made = []
    for begin, end, group in zip(series.begin, series.end, series.groups, strict=True):
        total, column = 0.0, GROUPS["cases"].index(group)
        for t in range(begin, end):
            for lag, part in enumerate(series.delay or (1.0,)):
                if t - lag >= 0:
                    total += part * share[t - lag] * x[t - lag, column]
        made.append(scale * total / (1 if series.flow else end - begin))
    return np.asarray(made)


@pytest.mark.parametrize("flow", [True, False])
@pytest.mark.parametrize("delay", [(), (0.2, 0.5, 0.1), tuple([0.05] * 12)])
def test_expectations_are_the_sums_of_a_loop(flow: bool, delay: tuple[float, ...]):
    generator = np.random.default_rng(3)
    x, ramp = generator.gamma(2, 10, (2, 8, 2)), np.linspace(0.1, 0.9, 9)
    for share, given in ((ramp, tuple(ramp)), (np.full(9, 0.4), 0.4), (np.full(9, 0.4), "seen")):
        series = weekly(flow=flow, delay=delay, ascertainment=given, scale="unit" if given == "seen" else 3.0)
        theta = {"seen": np.asarray([0.4, 0.4]), "unit": np.asarray([3.0, 3.0])}
        expected = [looped(each, series, share, 3.0) for each in x]
        assert np.allclose(series.expected({"cases": x}, GROUPS, theta), expected)
        on_jax = series.expected({"cases": jnp.asarray(x)}, GROUPS, {n: jnp.asarray(v) for n, v in theta.items()})
        assert np.allclose(on_jax, expected, rtol=1e-5)


def test_a_share_by_parameter_set_belongs_to_its_set():
    x = np.ones((2, 8, 2))
    found = weekly(ascertainment="seen").expected({"cases": x}, GROUPS, {"seen": np.asarray([0.5, 0.25])})
    assert np.allclose(found, [[1.5, 2, 1], [0.75, 1, 0.5]])


def test_series_are_joined_and_parted():
    observation = Observation((weekly(), weekly(likelihood=Normal(2.0))))
    x = np.random.default_rng(1).gamma(2, 10, (5, 8, 2))
    mu = observation.expected({"cases": x}, GROUPS, {})
    first, second = observation.split(mu)
    assert observation.size == 6 and mu.shape == (5, 6) and np.array_equal(first, second)
    assert np.allclose(observation.stabilised(mu)[:, 3:], second / 2)
    one, two = (each.log_prob(weekly().values, first).sum(-1) for each in (Poisson(), Normal(2.0)))
    assert np.allclose(observation.log_prob(mu), one + two)
    assert np.allclose(observation.target, [*(2 * np.sqrt(np.asarray([4, 5, 6]) + 0.375)), 2, 2.5, 3])
    assert observation.draw(np.random.default_rng(2), mu).shape == (5, 6)


def test_nothing_is_known_before_it_has_happened():
    days = tuple(DAY + dt.timedelta(days=n) for n in (2, 6, 6))
    series = weekly(dates=days)
    with pytest.raises(AfterAsOfError, match="2020-03-07 cannot have been known on 2020-03-04"):
        weekly(dates=days, as_of=DAY + dt.timedelta(days=3))
    early = Observation((series,)).until(DAY + dt.timedelta(days=3))
    assert early.size == 1 and early.series[0].as_of == DAY + dt.timedelta(days=3)
    assert early.series[0].groups == ("south",) and early.values.tolist() == [4]
    assert Observation((series,)).until(days[-1]).size == 3
    with pytest.raises(CalibrationError, match="no value of the days until"):
        Observation((series,)).until(DAY)
    with pytest.raises(CalibrationError, match="values with dates"):
        weekly().until(DAY)


def test_a_frame_becomes_a_series():
    frame = pl.DataFrame({
        "start": [DAY, DAY + dt.timedelta(days=7)],
        "end": [DAY + dt.timedelta(days=6), DAY + dt.timedelta(days=13)],
        "group": ["north", "south"],
        "value": [3.0, 8.0],
    })  # fmt: skip
    found = series_of(frame, "cases", DAY - dt.timedelta(days=2), delay=(0.5, 0.5))
    assert found.begin.tolist() == [2, 9] and found.end.tolist() == [9, 16] and found.delay == (0.5, 0.5)
    assert found.dates == tuple(frame["end"]) and found.groups == ("north", "south")
    assert series_of(frame, "cases", DAY, 7.0).end.tolist() == [1, 2]
    with pytest.raises(InputError, match="within a step of 2 days"):
        series_of(frame, "cases", DAY, 2.0)
    with pytest.raises(InputError, match="did you mean"):
        series_of(frame.rename({"value": "values"}), "cases", DAY)
    with pytest.raises(InputError, match="1 values are missing"):
        series_of(frame.with_columns(pl.Series("value", [None, 1.0])), "cases", DAY)


def test_what_does_not_fit_is_refused():
    x = {"cases": np.ones((8, 2))}
    for options, told in (
        ({"delay": (0.8, 0.3)}, "add up to at most 1"),
        ({"dates": (DAY,)}, "begin, end, groups and dates of 3"),
    ):
        with pytest.raises(CalibrationError, match=told):
            weekly(**options)
    with pytest.raises(CalibrationError, match="NaN"):
        Series("cases", np.asarray([np.nan]), np.asarray([0]), np.asarray([1]), ("all",))
    below = np.asarray([2.0, -1.0]), np.arange(2), np.arange(1, 3), ("all", "all")
    for likelihood in (Poisson(), NegativeBinomial(), Multinomial(3, 2)):
        with pytest.raises(CalibrationError, match="expected counts of at least 0, got -1"):
            Series("cases", *below, likelihood=likelihood)
    assert Series("cases", *below, likelihood=Normal(1.0)).values.min() == -1
    with pytest.raises(CalibrationError, match="at least one step"):
        Series("cases", np.ones(1), np.asarray([1]), np.asarray([1]), ("all",))
    with pytest.raises(CalibrationError, match="simulation of 7 steps, got 5"):
        weekly().expected({"cases": np.ones((5, 2))}, GROUPS, {})
    with pytest.raises(CalibrationError, match="ascertainment of 8 steps"):
        weekly(ascertainment=(0.5,)).expected(x, GROUPS, {})
    with pytest.raises(InputError, match="did you mean 'nort'"):
        weekly().expected(x, {"cases": ["nort", "south"]}, {})
    with pytest.raises(InputError, match="'cases'"):
        weekly().expected({"case": np.ones((8, 2))}, GROUPS, {})
    with pytest.raises(InputError, match="'seen'"):
        weekly(ascertainment="seen").expected(x, GROUPS, {"sen": np.ones(1)})
