"""Figures that a scenario is fitted to: which are added up to weeks, and how each kind of metric scatters."""

from __future__ import annotations

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.calibration.likelihood import NegativeBinomial, Normal, Poisson
from lpm.errors import InputError
from lpm.fitting import targets
from lpm.scenarios import loader
from lpm.scenarios.schema import Observed, Scenario
from tests.inputs import GOOD, write

START = dt.date(2020, 2, 1)
LAST = dt.date(2020, 2, 20)
"""Day 19: 20 days, two whole weeks before it and six days more."""


def day(number: int) -> dt.date:
    return START + dt.timedelta(days=number)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """Return a scenario that measures flows, a stock, a share and a mean."""
    tables: dict[str, Any] = copy.deepcopy(GOOD)
    tables["metrics"] |= {"ill": {"stock": "infectious", "by": ["age"]}, "savings": {"mean": "wealth"}}
    return loader.load(write(tmp_path_factory.mktemp("targets"), tables))


def figures(metric: str, values: Any, first: int = 0, length: int = 1, **columns: Any) -> pl.DataFrame:
    """Return figures of intervals that follow each other."""
    begins = [first + length * i for i in range(len(values))]
    data = {
        "metric": [metric] * len(values),
        "start": [day(at) for at in begins],
        "end": [day(at + length - 1) for at in begins],
        "group": ["all"] * len(values),
        "value": np.asarray(values, np.float64),
    }
    return pl.DataFrame(data | columns)


def read(scenario: Scenario, folder: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the figures as `lpm calibrate --data` takes them."""
    frame.write_csv(folder / "figures.csv")
    return targets.read(scenario, str(folder / "figures.csv"))[1]


def test_daily_flows_are_added_up_and_stocks_and_shares_are_not(scenario: Scenario, tmp_path: Path) -> None:
    """Fitted are the numbers that were told: a stock of 50 people is 50, not 350."""
    parts = [figures("infections", range(20)), figures("ill", [50.0] * 20), figures("attack_rate", [0.2] * 20, sd=0.01)]
    frame = read(scenario, tmp_path, pl.concat(parts, how="diagonal"))
    made = targets.blocked(scenario, frame, LAST)
    weeks = made.filter(metric="infections")
    assert weeks["value"].to_list() == [sum(range(6, 13)), sum(range(13, 20))] and weeks["end"].to_list()[-1] == LAST
    for name in ("ill", "attack_rate"):
        assert made.filter(metric=name).equals(frame.filter(metric=name))
    assert targets.left_out(frame, made) == {"infections": 6}
    assert targets.remarks(frame, made) == ["Daily figures that make no whole week are left out: 6 of infections."]
    fitted = {series.metric: series for series in targets.observation_of(scenario, made, 30).series}
    ill, share = fitted["ill"], fitted["attack_rate"]
    assert (ill.values == 50).all() and len(ill.values) == 20 and not ill.flow
    assert (share.values == 0.2).all() and len(share.values) == 20 and share.likelihood == Normal(0.01)


def test_single_days_stay(scenario: Scenario, tmp_path: Path) -> None:
    """A flow that was told of one day, or of a day here and there, is kept and was lost before."""
    frame = read(scenario, tmp_path, pl.concat([figures("infections", [9.0], first=at) for at in (3, 11, 12)]))
    made = targets.blocked(scenario, frame, LAST)
    assert made.equals(frame) and targets.left_out(frame, made) == {}


def test_what_comes_after_the_last_known_day_does_not_say_how_figures_are_blocked(
    scenario: Scenario, tmp_path: Path
) -> None:
    daily, weekly = figures("infections", range(20)), figures("infections", [70.0], first=20, length=7)
    frame = read(scenario, tmp_path, pl.concat([daily, weekly]))
    made = targets.blocked(scenario, frame, LAST)
    alone = targets.blocked(scenario, frame.filter(pl.col("end") <= LAST), LAST)
    assert made.filter(pl.col("end") <= LAST).equals(alone) and made["value"].to_list()[-1] == 70


def test_flows_with_a_standard_deviation_of_their_own_stay_daily(scenario: Scenario, tmp_path: Path) -> None:
    frame = read(scenario, tmp_path, figures("infections", range(20), sd=2.5))
    made = targets.blocked(scenario, frame, LAST)
    assert made.equals(frame)
    (series,) = targets.observation_of(scenario, made, 30).series
    assert series.likelihood == Normal(2.5) and series.flow


def test_counts_scatter_as_counts_and_means_need_a_standard_deviation(scenario: Scenario, tmp_path: Path) -> None:
    frame = read(scenario, tmp_path, figures("ill", [5.0]))
    assert targets.observation_of(scenario, frame, 30).series[0].likelihood == NegativeBinomial()
    frame = read(scenario, tmp_path, figures("savings", [-0.3, 0.1], sd=0.2))
    (series,) = targets.observation_of(scenario, frame, 30).series
    assert series.likelihood == Normal(0.2) and series.values.tolist() == [-0.3, 0.1]
    assert np.isfinite(np.asarray(series.likelihood.log_prob(series.values, series.values))).all()


def test_what_the_scenario_says_holds_unless_the_file_says_otherwise(scenario: Scenario, tmp_path: Path) -> None:
    table = Observed(file="x.csv", column="value", likelihood="poisson")
    told = scenario.model_copy(update={"data": {"ill": table}})
    for columns, wanted in (({}, Poisson()), ({"sd": 4}, Normal(4.0))):
        frame = read(scenario, tmp_path, figures("ill", [5.0], **columns))
        assert targets.observation_of(told, frame, 30).series[0].likelihood == wanted


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (figures("savings", [-0.3, 0.1]), "'savings' is a mean, no count: say how its figures scatter, in a column"),
        (figures("attack_rate", [0.1]), "'attack_rate' is a share, no count"),
        (figures("infections", [4.0, -2.0]), "'infections' counts people: expected figures of at least 0, got -2"),
        (figures("infections", [9.0, -1, *[9.0] * 18]), "got -1 on 2020-02-02"),
        (figures("ill", [-1.0]), "'ill' counts people: expected figures of at least 0, got -1"),
        (figures("savings", [0.1, 0.2], sd=[0.1, 0.3]), "'sd': expected one number above 0 for all of 'savings'"),
        (figures("savings", [0.1, 0.2], sd=[0.1, None]), "for all of 'savings', got none, 0.1"),
        (figures("savings", [0.1], sd=0), "for all of 'savings', got 0"),
        (figures("savings", [0.1], sd="wide"), "for all of 'savings', got wide"),
    ],
    ids=["mean", "share", "flow below 0", "day below 0", "stock below 0", "two", "half", "zero", "text"],
)
def test_figures_that_cannot_scatter_so_are_refused(
    frame: pl.DataFrame, told: str, scenario: Scenario, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        made = targets.blocked(scenario, read(scenario, tmp_path, frame), LAST)
        targets.observation_of(scenario, made, 30)
    assert told in str(caught.value) and "\n" not in str(caught.value)
