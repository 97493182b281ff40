"""The posterior predictive: weights of draws, a Kalman filter of what the model lacks, counts around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.calibration.errors import NotFiniteError
from lpm.calibration.forecasting.predictive import Discrepancy, filtered, most_likely, predictive, ratios, weights
from lpm.calibration.likelihood import NegativeBinomial, Normal
from lpm.calibration.observation import Observation, Series


def test_weights_are_the_likelihood_where_enough_draws_are_effective() -> None:
    log_likelihood = np.log([0.1, 0.2, 0.3, 0.4]) - 700  # far below what exp can hold
    assert weights(log_likelihood, 0.1) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_weights_are_tempered_to_the_effective_number() -> None:
    log_likelihood = np.random.default_rng(1).normal(0, 50, 200)
    made = weights(log_likelihood, 0.1)
    assert 1 / np.sum(made**2) == pytest.approx(20, rel=1e-3) and made.sum() == pytest.approx(1)
    assert (np.argsort(made) == np.argsort(log_likelihood)).all()
    with pytest.raises(NotFiniteError, match="NaN"):
        weights(np.asarray([0.0, np.nan]))


def test_the_filter_is_the_conditional_normal() -> None:
    """Against the joint normal of (b_1..b_T, r_1..r_T), conditioned by linear algebra."""
    about, y = Discrepancy(0.8, 0.3, 0.1), np.asarray([5.0, 20.0, 80.0, 40.0, 3.0])
    r, steps = np.asarray([0.3, -0.2, np.nan, 0.5, 0.1]), np.arange(5)
    joint = about.first * about.phi ** np.abs(steps[:, None] - steps)
    noise = np.diag(about.noise**2 + 1 / (y + 1))
    mean, variance, told = filtered(r, y, about)
    for t in steps:
        seen = steps[: t + 1][~np.isnan(r[: t + 1])]
        gain = joint[t, seen] @ np.linalg.inv((joint + noise)[np.ix_(seen, seen)])
        assert mean[t] == pytest.approx(gain @ r[seen]) and variance[t] == pytest.approx(
            joint[t, t] - gain @ joint[seen, t]
        )
    seen = steps[~np.isnan(r)]
    covariance: Any = (joint + noise)[np.ix_(seen, seen)]
    whole = stats.multivariate_normal(np.zeros(len(seen)), covariance)
    assert told == pytest.approx(whole.logpdf(r[seen]))


def test_drift_and_noise_are_told_apart() -> None:
    """Of 12 groups of 30 counts each the grid's neighbours of the truth at most are found (fixed seed)."""
    generator, truth = np.random.default_rng(5), Discrepancy(0.9, 0.2, 0.05)
    groups: list[Any] = []
    for _ in range(12):
        b = [generator.normal(0, np.sqrt(truth.first))]
        for _ in range(29):
            b.append(truth.phi * b[-1] + truth.drift * generator.normal())
        y = generator.poisson(2_000 * np.exp(np.asarray(b) + truth.noise * generator.normal(size=30))).astype(float)
        groups.append((ratios(y, np.full(30, 2_000.0)), y))
    found = most_likely(groups)
    assert found.phi in (0.8, 0.9, 0.95) and found.drift in (0.15, 0.2, 0.3) and found.noise in (0.02, 0.05, 0.1)


def observed(values: np.ndarray, likelihood: Any = None) -> Series:
    weeks, groups = np.arange(len(values)), ("all",) * len(values)
    return Series("cases", values, weeks, weeks + 1, groups, likelihood=likelihood or NegativeBinomial(20.0))


def test_a_model_that_is_half_too_high_is_mended_and_comes_back() -> None:
    """Known counts are half of the model's: the next one is near the half, a far one near the model again."""
    values = np.concatenate([np.full(8, 500.0), np.zeros(30)])
    mask = np.arange(38) < 8
    mu = np.full((50, 38), 1_000.0)
    told, about = predictive(Observation((observed(values),)), [mask], mu, 4_000)
    assert about is not None and about.phi < 1
    middle = np.median(told, 0)
    assert 450 < middle[8] < 700 and 850 < middle[37] < 1_150
    width = np.quantile(told, 0.95, 0) - np.quantile(told, 0.05, 0)
    assert width[20] > width[8] > width[7]


def test_draws_that_fit_what_is_known_carry_the_forecast() -> None:
    """Two kinds of epidemics, one of which made the known counts: its future is told."""
    low, high = np.r_[np.full(4, 100.0), 50.0], np.r_[np.full(4, 400.0), 2_000.0]
    mu = np.concatenate([np.tile(low, (50, 1)), np.tile(high, (50, 1))])
    values = np.r_[np.full(4, 400.0), 0.0]
    told, _ = predictive(Observation((observed(values),)), [np.arange(5) < 4], mu, 2_000)
    assert 1_500 < np.median(told[:, 4]) < 2_600


def test_shares_scatter_as_their_likelihood_says() -> None:
    """Standard error of the standard deviation of 20,000 draws: 0.5 %; 3 % are 6 of them."""
    series = observed(np.asarray([0.2, 0.2]), Normal(0.03))
    told, about = predictive(Observation((series,)), [np.asarray([True, False])], np.full((10, 2), 0.2), 20_000)
    assert about is None and told[:, 1].std() == pytest.approx(0.03, rel=0.03)
