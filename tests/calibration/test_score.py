"""Scores against closed forms and other ways to compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.score import (
    LEVELS,
    coverage,
    crps,
    crps_of_quantiles,
    interval_score,
    mae,
    normalised_deviation,
    rmse,
    wape,
    wis,
)


def pinball(y: float, quantile: float, level: float) -> float:
    return max(level * (y - quantile), (level - 1) * (y - quantile))


@pytest.mark.parametrize("y", [-3.0, 0.1, 0.9, 7.0])
def test_wis_is_twice_the_mean_pinball_loss_of_its_quantiles(y: float):
    """Bracher et al. 2021, equation 2: both are the same sum."""
    quantiles = np.asarray([-1.0, 0.0, 0.5, 2.0, 3.0])
    wanted = 2 * np.mean([pinball(y, q, level) for q, level in zip(quantiles, LEVELS, strict=True)])
    assert wis(y, quantiles) == pytest.approx(wanted)


def test_wis_by_hand():
    """Median 10, [8, 13] and [5, 20], observed 22: (12/2 + 0.25 (5 + 4 * 9) + 0.05 (15 + 20 * 2)) / 2.5."""
    assert wis(22.0, [5.0, 8.0, 10.0, 13.0, 20.0]) == pytest.approx((6 + 0.25 * 41 + 0.05 * 55) / 2.5)


def test_wis_of_the_median_alone_is_the_absolute_error():
    assert wis([3.0, -1.0], [[5.0], [5.0]], (0.5,)) == pytest.approx([2.0, 6.0])


def test_wis_of_many_quantiles_is_the_crps_of_a_normal():
    """It converges to the CRPS, which has a closed form for a normal (Gneiting & Raftery 2007, equation 21)."""
    levels = (np.arange(999) + 1) / 1000
    for y in (-2.0, 0.3, 4.0):
        told = wis(y, stats.norm.ppf(levels, 1, 2), levels.tolist())
        assert told == pytest.approx(normal_crps(y, 1, 2), rel=5e-3)


def normal_crps(y: float, mean: float, sd: float) -> float:
    z = (y - mean) / sd
    return sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


def test_the_expected_wis_of_the_truth_is_the_smallest():
    """Proper: whoever tells another distribution than the one he believes expects a larger score."""
    y = np.linspace(-8, 8, 20_001)

    def expected(mean: float, sd: float) -> float:
        scores = wis(y, np.tile(stats.norm.ppf(LEVELS, mean, sd), (len(y), 1)))
        return float(integrate.trapezoid(scores * stats.norm.pdf(y), y))

    truth = expected(0, 1)
    for mean, sd in ((0.2, 1), (-0.2, 1), (0, 1.2), (0, 0.8)):
        assert expected(mean, sd) > truth + 1e-4


@pytest.mark.parametrize("y", [-1.0, 1.0, 6.0])
def test_crps_of_draws_of_a_normal(y: float):
    """Mean of 200 scores of 60 draws each within 4.5 standard errors of the closed form: false alarm 7e-6 each."""
    draws = np.random.default_rng(3).normal(1, 2, (60, 200))
    told = crps(np.full(200, y), draws)
    assert told.mean() == pytest.approx(normal_crps(y, 1, 2), abs=4.5 * told.std() / np.sqrt(200))


@pytest.mark.parametrize("y", [-1.0, 1.0, 6.0])
def test_crps_of_quantiles_of_a_normal_and_of_a_log_normal(y: float):
    """Both in closed form; of a log-normal: Baran & Lerch 2015, 10.1002/qj.2521, equation 6."""
    levels: Any = stats.norm.cdf(np.linspace(-5, 5, 201))
    told = crps_of_quantiles([y, y], np.tile(stats.norm.ppf(levels, 1, 2), (2, 1)), levels)
    assert told == pytest.approx([normal_crps(y, 1, 2)] * 2, rel=2e-3)
    if y > 0:
        sd, z = 0.8, (np.log(y) - 0.5) / 0.8
        rest = stats.norm.cdf(z - sd) + stats.norm.cdf(sd / np.sqrt(2)) - 1
        wanted = y * (2 * stats.norm.cdf(z) - 1) - 2 * np.exp(0.5 + sd**2 / 2) * rest
        quantiles = np.exp(0.5 + sd * stats.norm.ppf(levels))
        assert crps_of_quantiles(y, quantiles, levels) == pytest.approx(wanted, rel=2e-3)
    with pytest.raises(CalibrationError, match="rising levels"):
        crps_of_quantiles(y, [1.0, 2.0], (0.5, 0.5))


def test_crps_is_the_double_sum():
    generator = np.random.default_rng(5)
    draws, y = generator.gamma(2, 3, (17, 4)), generator.gamma(2, 3, 4)
    pairs = np.abs(draws[:, None] - draws[None]).sum((0, 1)) / (17 * 16)
    assert crps(y, draws) == pytest.approx(np.abs(draws - y).mean(0) - pairs / 2)


def test_crps_does_not_depend_on_the_number_of_draws():
    """The plain estimator of 3 draws would be too large by sd / sqrt(pi) / 3 = 0.19; 5 standard errors here: 0.02."""
    draws = np.random.default_rng(7).normal(0, 1, (3, 40_000))
    assert crps(np.zeros(40_000), draws).mean() == pytest.approx(normal_crps(0, 0, 1), abs=0.02)


def test_an_interval_holds_as_often_as_it_says():
    """20,000 values, share 0.9: 4.5 standard errors are 0.0096, false alarm 7e-6. Ends count as inside."""
    y = np.random.default_rng(11).normal(size=20_000)
    low, high = stats.norm.ppf([0.05, 0.95])
    assert coverage(y, np.full_like(y, low), np.full_like(y, high)) == pytest.approx(0.9, abs=0.0096)
    assert coverage([1.0, 2.0, 3.0], [1.0, 0.0, 4.0], [5.0, 2.0, 9.0]) == pytest.approx(2 / 3)


def test_interval_score_by_hand():
    told = interval_score([5.0, 0.0, 12.0], 2.0, 10.0, 0.8)
    assert told == pytest.approx([8, 8 + 10 * 2, 8 + 10 * 2])


def test_errors_of_points_by_hand():
    y, x = np.asarray([1.0, 2.0, 3.0]), np.asarray([2.0, 2.0, 0.0])
    assert mae(y, x) == pytest.approx(4 / 3)
    assert rmse(y, x) == pytest.approx(np.sqrt(10 / 3))
    assert wape(y, x) == normalised_deviation(y, x) == pytest.approx(4 / 6)
    assert normalised_deviation(-y, -x) == pytest.approx(4 / 6)
    assert wape(0 * y, x) is normalised_deviation(0 * y, x) is None


@pytest.mark.parametrize(
    ("quantiles", "levels", "told"),
    [
        ([1.0, 0.0, 2.0], (0.1, 0.5, 0.9), "cross"),
        ([1.0, 2.0, 3.0], (0.1, 0.5, 0.8), "symmetric"),
        ([1.0, 2.0], (0.1, 0.9), "symmetric"),
        ([1.0, 2.0, 3.0], (0.9, 0.5, 0.1), "rising levels"),
        ([1.0, 2.0, 3.0], LEVELS, "expected quantiles"),
    ],
)
def test_quantiles_that_are_none_are_refused(quantiles: list[float], levels: tuple[float, ...], told: str):
    with pytest.raises(CalibrationError, match=told):
        wis(1.0, quantiles, levels)


def test_nan_is_refused_by_name():
    with pytest.raises(NotFiniteError, match="WIS: NaN"):
        wis(np.nan, [1.0, 2.0, 3.0], (0.1, 0.5, 0.9))
    with pytest.raises(NotFiniteError, match="CRPS: NaN"):
        crps([1.0], [[1.0], [np.inf]])
    with pytest.raises(NotFiniteError, match="coverage: NaN"):
        coverage([1.0], [np.nan], [2.0])
    with pytest.raises(CalibrationError, match="at least 2 draws"):
        crps([1.0], [[1.0]])
    with pytest.raises(CalibrationError, match="got none"):
        mae([], [])
