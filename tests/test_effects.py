"""Effects, scores and derived metrics against figures computed by hand and closed forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lpm.derived import generation_interval, ratio, reproduction, share
from lpm.effects import COLUMNS, effects
from lpm.errors import InputError
from lpm.results import Trajectory, join
from lpm.score import score

START = date(2020, 3, 1)


def runs(
    series: Mapping[str, Sequence[Sequence[float]]], metric: str = "deaths", start: date | None = START
) -> pl.DataFrame:
    """Return a trajectory from the series of each arm, one list a seed, of the group "all"."""
    return join(
        Trajectory(arm, seed, ("all",), {metric: np.array(values, np.float64)[:, None]}, start).to_frame()
        for arm, seeds in series.items()
        for seed, values in enumerate(seeds, 1)
    )


def row(table: pl.DataFrame, arm: str, summary: str, group: str = "all") -> dict[str, float]:
    return table.filter(arm=arm, summary=summary, group=group).row(0, named=True)


def test_paired_effects_are_the_hand_computed_ones() -> None:
    base = [[1, 5, 4], [2, 8, 4], [3, 6, 9]]  # totals 10, 14, 18; peaks 5, 8, 9; days of peak 1, 1, 2
    less = [[1, 3, 2], [1, 5, 3], [2, 5, 4]]  # totals 6, 9, 11; peaks 3, 5, 5; days of peak 1, 1, 1
    table = effects(runs({"base": base, "less": less}), {"deaths": "flow"})
    assert dict(table.schema) == COLUMNS
    total = row(table, "less", "total")
    # differences -4, -5, -7: mean -16/3, variance 7/3, standard error sqrt(7/9)
    assert total["difference"] == pytest.approx(-16 / 3, rel=1e-14)
    assert total["se"] == pytest.approx(np.sqrt(7) / 3, rel=1e-14)
    assert total["baseline_mean"] == 14
    assert total["arm_mean"] == pytest.approx(26 / 3)
    width = stats.t.ppf(0.975, 2) * np.sqrt(7) / 3
    assert total["low"] == pytest.approx(-16 / 3 - width, rel=1e-12)
    assert total["high"] == pytest.approx(-16 / 3 + width, rel=1e-12)
    # unpaired: variances 16 and 19/3, over 3 seeds
    assert total["se_ratio"] == pytest.approx(np.sqrt((7 / 9) / ((16 + 19 / 3) / 3)), rel=1e-12)
    assert row(table, "less", "peak")["difference"] == pytest.approx(-3)
    assert row(table, "less", "day_of_peak")["difference"] == pytest.approx(-1 / 3)
    assert row(table, "less", "final")["difference"] == pytest.approx(-(2 + 1 + 5) / 3)
    assert set(table["interval"]) == {"chance only"}


@pytest.mark.parametrize("seeds", [2, 5, 40])
def test_the_interval_is_that_of_a_paired_t_test(seeds: int) -> None:
    rng = np.random.default_rng(5)
    base, other = rng.poisson(30, (seeds, 6)).astype(float), rng.poisson(25, (seeds, 6)).astype(float)
    table = effects(runs({"a": base.tolist(), "b": other.tolist()}), {"deaths": "flow"})
    wanted = stats.ttest_rel(other.sum(1), base.sum(1)).confidence_interval(0.95)
    found = row(table, "b", "total")
    assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), rel=1e-10)
    assert found["seeds"] == seeds


def test_an_arm_that_changes_nothing_has_an_effect_of_exactly_0() -> None:
    rng = np.random.default_rng(2)
    same = (rng.random((4, 50)) * 1e6 / 3).tolist()
    table = effects(runs({"a": same, "b": same}), {"deaths": "flow"}).filter(arm="b")
    assert table.height == 4
    for name in ("difference", "se", "low", "high", "se_ratio"):
        assert (table[name] == 0.0).all(), name


def test_one_seed_has_a_difference_and_no_interval() -> None:
    table = effects(runs({"a": [[1, 2, 3]], "b": [[1, 1, 1]]}), {"deaths": "flow"})
    total = row(table, "b", "total")
    assert total["difference"] == -3
    assert [total[name] for name in ("se", "low", "high", "se_ratio")] == [None] * 4


def test_a_stock_has_no_total_and_draws_name_the_interval() -> None:
    table = effects(runs({"a": [[1, 2], [2, 3]], "b": [[0, 2], [1, 1]]}, "beds"), {"beds": "stock"}, draws="prior")
    assert table["summary"].unique(maintain_order=True).to_list() == ["peak", "day_of_peak", "final"]
    assert set(table["interval"]) == {"chance and parameters"}


def test_effects_begin_at_report_from_and_days_count_from_the_start() -> None:
    frame = runs({"a": [[9, 1, 2, 4]] * 2, "b": [[9, 1, 3, 2]] * 2})
    for begin in (2, START + timedelta(2)):
        table = effects(frame, {"deaths": "flow"}, begin)
        assert row(table, "a", "total")["arm_mean"] == 6
        assert row(table, "a", "day_of_peak")["arm_mean"] == 3
        assert row(table, "b", "day_of_peak")["arm_mean"] == 2
    assert row(effects(frame, {"deaths": "flow"}, 2, dt=0.5), "a", "day_of_peak")["arm_mean"] == 1.5
    with pytest.raises(InputError, match="nothing is left"):
        effects(frame, {"deaths": "flow"}, 9)
    with pytest.raises(InputError, match="no start date"):
        effects(runs({"a": [[1.0]]}, start=None), {"deaths": "flow"}, START)


def test_what_is_undefined_in_one_seed_is_null_and_not_left_out() -> None:
    frame = runs({"a": [[0, 0, 0], [1, 2, 1]], "b": [[0, 1, 0], [0, 0, 1]]})
    table = effects(frame, {"deaths": "flow"})
    assert row(table, "b", "total")["difference"] == -1
    assert row(table, "b", "day_of_peak")["difference"] is None
    nan = np.nan

    def run(arm: str, seed: int, r_t: list[float]) -> pl.DataFrame:
        both = np.array([r_t, r_t]).T  # the rows of group "g=x" in which R(t) is undefined are not in the trajectory
        deaths = np.array([[1.0, nan]] * 3)
        return Trajectory(arm, seed, ("all", "g=x"), {"r_t": both, "deaths": deaths}, START).to_frame()

    pairs = [run("a", 1, [nan, 4, 2]), run("a", 2, [nan, 5, 3]), run("b", 1, [nan, 3, 1]), run("b", 2, [nan] * 3)]
    table = effects(join([*pairs, run("c", 1, [nan, 1, nan]), run("c", 2, [nan, 1, 1])]), {"r_t": "reproduction"})
    for group in ("all", "g=x"):
        assert row(table, "a", "final", group)["arm_mean"] == 2.5
        assert row(table, "a", "peak", group)["arm_mean"] == 4.5
        assert row(table, "b", "final", group)["arm_mean"] is None
        assert row(table, "b", "peak", group)["arm_mean"] is None
        assert row(table, "c", "peak", group)["difference"] == -3.5
        assert row(table, "c", "final", group)["arm_mean"] is None


def test_unknown_metrics_are_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'deaths'"):
        effects(runs({"a": [[1.0]]}), {"death": "flow"})


def test_wape_adds_absolute_errors_over_groups_and_whole_weeks() -> None:
    days = 16
    values = np.tile([3.0, 1.0, 2.0], (days, 1))
    pairs = [
        Trajectory("base", seed, ("all", "b=x", "b=y"), {"deaths": values * scale}, START)
        for seed, scale in ((1, 0.5), (2, 1.5))
    ]
    frame = join(pair.to_frame() for pair in pairs)
    rows = [("b=x", 0, 10.0), ("b=x", 7, 4.0), ("b=y", 0, 12.0), ("b=y", 7, 14.0), ("b=y", 14, 99.0), ("all", 0, 1.0)]
    observed = pl.DataFrame(
        {
            "metric": ["deaths"] * len(rows),
            "start": [START + timedelta(day) for _, day, _ in rows],
            "end": [START + timedelta(day + 6) for _, day, _ in rows],
            "group": [group for group, _, _ in rows],
            "value": [value for _, _, value in rows],
        }
    )
    # means over seeds: x 7 a week, y 14 a week; the third week of y is not whole; "all" gives way to the groups
    (found,) = score(frame, observed, {"deaths": "flow"})
    assert found["wape"] == pytest.approx((3 + 3 + 2 + 0) / (10 + 4 + 12 + 14))
    assert (found["arm"], found["weeks"], found["groups"]) == ("base", 2, 2)
    assert (found["observed"], found["simulated"]) == (40, 42)
    assert (found["first"], found["last"]) == (str(START), str(START + timedelta(13)))  # as far as anything is compared
    with pytest.raises(InputError, match="unknown group 'b=z'"):
        score(frame, observed.with_columns(group=pl.lit("b=z")), {"deaths": "flow"})
    with pytest.raises(InputError, match="values are missing"):
        score(frame, observed.with_columns(value=pl.lit(None, pl.Float64)), {"deaths": "flow"})


def test_shares_and_ratios_are_cumulative_and_undefined_without_a_denominator() -> None:
    flow, people = np.array([[1.0], [2.0], [0.0]]), np.array([[10.0], [10.0], [12.0]])
    assert share(flow, people)[:, 0] == pytest.approx([0.1, 0.3, 0.25])
    deaths, infections = np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [4.0], [4.0]])
    assert np.isnan(ratio(deaths, infections)[0, 0])
    assert ratio(deaths, infections)[1:, 0] == pytest.approx([0.0, 0.125])


@pytest.mark.parametrize(("mean", "shape", "dt"), [(5.5, 4.0, 1.0), (6.4, 2.3, 1.0), (5.5, 4.0, 0.25), (3.0, 8.0, 0.5)])
def test_the_discrete_generation_interval_keeps_its_mean(mean: float, shape: float, dt: float) -> None:
    weights = generation_interval(mean, shape, dt)
    lags = np.arange(1, len(weights) + 1) * dt
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    # the hat functions keep the mean but for w_0, which is the mass they give to lag 0
    grid = np.linspace(0, dt, 20_001)
    lost = np.trapezoid((1 - grid / dt) * stats.gamma.pdf(grid, shape, scale=mean / shape), grid)
    assert weights @ lags == pytest.approx(mean / (1 - lost), rel=1e-4)


@pytest.mark.parametrize("growth", [-0.1, 0.0, 0.2, 0.33])
def test_r_of_an_exponential_series_is_that_of_euler_and_lotka(growth: float) -> None:
    mean, shape = 5.5, 4.0
    infections = 1e4 * np.exp(growth * np.arange(80))[:, None]
    weights = generation_interval(mean, shape)
    discrete = 1 / (weights @ np.exp(-growth * np.arange(1, len(weights) + 1)))
    found = reproduction(infections, mean, shape, least=0.0)
    assert found[len(weights) :, 0] == pytest.approx(discrete, rel=1e-12)
    # in continuous time a gamma interval gives R = (1 + r mean / shape)^shape (Wallinga and Lipsitch 2007)
    assert found[-1, 0] == pytest.approx((1 + growth * mean / shape) ** shape, rel=0.03)
    assert np.isnan(found[:6, 0]).all()
    windowed = reproduction(infections, mean, shape, window=7, least=0.0)
    assert windowed[-1, 0] == pytest.approx(discrete, rel=1e-12)


def test_r_is_not_told_where_few_infections_are_expected() -> None:
    infections = np.full((40, 2), 10.0)
    infections[:, 1] = 12.0
    found = reproduction(infections, 4.0, 3.0)
    assert np.isnan(found[:, 0]).all()
    assert found[-1, 1] == pytest.approx(1.0)
    with pytest.raises(InputError, match="mean of the generation interval"):
        reproduction(infections, 0.0, 3.0)
