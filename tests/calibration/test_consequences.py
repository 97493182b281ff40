"""What follows from a fit: medians and predictive intervals over draws, of paired differences for effects."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lpm.fitting import consequences
from lpm.results import Trajectory, join
from lpm.scenarios import loader
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray
from tests.inputs import GOOD, write

STEPS = 3


def scenario(folder: Path, draws: int) -> Scenario:
    """Return the small scenario, whose headline are infections, with a seed a draw."""
    tables = copy.deepcopy(GOOD) | {"headline": "infections", "seeds": draws, "steps": 30}
    return loader.load(write(folder, tables))


def trajectory(base: HostArray, less: HostArray) -> pl.DataFrame:
    """Return two arms with these totals by seed, a third of it a step; the second is below the first by a draw."""
    arms = {"as it is": base, "earlier": less}
    return join(
        Trajectory(
            arm, seed, ("all",), {n: np.full((STEPS, 1), total / STEPS) for n in ("infections", "attack_rate")}, None
        ).to_frame()
        for arm, totals in arms.items()
        for seed, total in enumerate(totals)
    )


def test_the_interval_of_an_effect_is_that_of_its_draws(tmp_path: Path) -> None:
    """Effects of 20 draws that differ tenfold, beneath levels that differ more: the pair of a seed is what counts."""
    generator = np.random.default_rng(5)
    effect = generator.lognormal(3.0, 0.8, 20)
    base = 1_000 + generator.normal(0, 300, 20)
    found = consequences.averted(trajectory(base, base - effect), scenario(tmp_path, 20))
    (row,) = found
    assert row["name"] == "infections averted: earlier" and (row["draws"], row["undefined"]) == (20, 0)
    ordered = np.sort(effect)
    assert row["estimate"] == pytest.approx(np.median(effect), rel=1e-9)
    # (n + 1) / 20 = 1.05: just within the smallest and the largest of them
    assert row["low"] == pytest.approx(ordered[0] + 0.05 * (ordered[1] - ordered[0]))
    assert row["high"] == pytest.approx(ordered[-1] - 0.05 * (ordered[-1] - ordered[-2]))
    of_the_mean = 2 * stats.t.ppf(0.95, 19) * effect.std(ddof=1) / np.sqrt(20)
    assert row["high"] - row["low"] > 3 * of_the_mean


def test_a_further_draw_lies_within_the_interval_as_often_as_it_says() -> None:
    """Share of a normal within the interval of 20 others, on average over 2,000 sets: 0.90, standard error 0.0013."""
    generator = np.random.default_rng(9)
    ends = np.asarray([consequences.interval(each) for each in generator.normal(size=(2_000, 20)).tolist()], float)
    inside = stats.norm.cdf(ends[:, 1]) - stats.norm.cdf(ends[:, 0])
    assert inside.mean() == pytest.approx(0.9, abs=0.008)  # by interpolation it is a little less


@pytest.mark.parametrize(("draws", "shown"), [(9, False), (10, True)])
def test_few_draws_have_no_interval_and_their_number_is_told(draws: int, shown: bool, tmp_path: Path) -> None:
    base = np.arange(draws) + 100.0
    (row,) = consequences.averted(trajectory(base, base - np.arange(draws)), scenario(tmp_path, draws))
    assert row["draws"] == draws and row["estimate"] == pytest.approx((draws - 1) / 2)
    assert (row["low"] is not None) == (row["high"] is not None) == shown


def test_draws_without_a_figure_are_counted_and_not_hidden(tmp_path: Path) -> None:
    """The attack rate is not defined in two of twenty draws, in all of them nothing is left to tell."""
    told = trajectory(np.full(20, 30.0), np.full(20, 20.0))
    share = pl.col("attack_rate")
    some = told.with_columns(pl.when(pl.col("seed") < 2).then(None).otherwise(share).alias("attack_rate"))
    (row,) = consequences.levels(some, scenario(tmp_path, 20))
    assert (row["estimate"], row["draws"], row["undefined"]) == (10.0, 20, 2)
    none = told.with_columns(pl.lit(None, pl.Float64).alias("attack_rate"))
    (row,) = consequences.levels(none, scenario(tmp_path, 20))
    assert (row["estimate"], row["low"], row["high"], row["undefined"]) == (None, None, None, 20)


@pytest.mark.parametrize(("asked", "run"), [(20, 20), (200, 20), (300, 30), (2_000, 40)])
def test_twenty_draws_are_run_at_least(asked: int, run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenario(tmp_path, 1)
    pl.DataFrame({"sir.beta": np.full(asked, 0.1)}).write_parquet(tmp_path / "posterior.parquet")
    seeds: list[int] = []

    def executed(drawn: Scenario, *_: object) -> None:
        seeds.extend(drawn.seeds)
        (tmp_path / "run").mkdir()
        trajectory(np.full(run, 3.0), np.full(run, 2.0)).write_parquet(tmp_path / "run" / "trajectory.parquet")

    monkeypatch.setattr(consequences.execution, "run", executed)
    monkeypatch.setattr(consequences, "read_frame", pl.read_parquet)
    rows = consequences.results_of(made, tmp_path, asked, lambda *_: None)
    assert seeds == list(range(run)) and {row["draws"] for row in rows} == {run}
