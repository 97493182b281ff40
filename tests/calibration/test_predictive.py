"""The posterior predictive: weights of draws, a Kalman filter of what the model lacks, counts around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.calibration.errors import NotFiniteError
from lpm.calibration.forecasting.predictive import Discrepancy, filtered, most_likely, predictive, ratios, weights
from lpm.calibration.likelihood import NegativeBinomial, Normal, Poisson
from lpm.calibration.methods.estimate import Fit
from lpm.calibration.observation import Observation, Series
from lpm.calibration.posterior import Posterior
from lpm.fitting.predicted import drawn
from tests.calibration.models import Linear, linear


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
    told, about = predictive(Observation((observed(values),)), [mask], mu, 4_000, log_ratio=None)
    assert about is not None and about.phi < 1
    middle = np.median(told, 0)
    assert 450 < middle[8] < 700 and 850 < middle[37] < 1_150
    width = np.quantile(told, 0.95, 0) - np.quantile(told, 0.05, 0)
    assert width[20] > width[8]
    assert 900 < middle[7] < 1_100  # what was known is told as the model has it: half too high


def test_known_values_do_not_draw_the_band_to_themselves() -> None:
    """One known count is five times what all others and the model are: its band is that of the others."""
    values = np.full(12, 1_000.0)
    values[5] = 5_000.0
    told, _ = predictive(
        Observation((observed(values),)), [np.ones(12, bool)], np.full((50, 12), 1_000.0), 4_000, log_ratio=None
    )
    bands = np.quantile(told, (0.05, 0.5, 0.95), 0)
    assert bands[:, 5] == pytest.approx(bands[:, 4], rel=0.1) and bands[2, 5] < 2_000


@pytest.mark.parametrize("exact", [False, True], ids=["normal approximation", "posterior"])
def test_the_data_count_once(exact: bool) -> None:
    """A rate with a gamma prior and 8 Poisson counts: 90 % intervals hold it in 90 % of 1,000 replicates.

    A binomial standard error is 0.0095: 0.04 are four of them, false alarm 1e-4 for each way. Draws of the posterior
    weighed by the likelihood once more hold it in 75 %.
    """
    generator, shape, rate, count = np.random.default_rng(7), 4.0, 4.0 / 50, 8
    inside, twice = 0, 0
    for _ in range(1_000):
        truth = generator.gamma(shape, 1 / rate)
        y = generator.poisson(truth, count).astype(float)
        a, b = shape + y.sum(), rate + count
        if exact:
            u = np.log(generator.gamma(a, 1 / b, 400))
            log_q = a * u - b * np.exp(u)
        else:  # around the mode of log lambda
            u = np.log(a / b) + generator.normal(size=400) / np.sqrt(a)
            log_q = -0.5 * a * (u - np.log(a / b)) ** 2
        told = Poisson().log_prob(y, np.exp(u)[:, None]).sum(1)
        for log_ratio in (shape * u - rate * np.exp(u) - log_q, 0.0):
            low, high = np.quantile(generator.choice(u, 2_000, p=weights(log_ratio + told)), (0.05, 0.95))
            if np.ndim(log_ratio):
                inside += low <= np.log(truth) <= high
            else:
                twice += low <= np.log(truth) <= high
    assert inside / 1_000 == pytest.approx(0.9, abs=0.04) and twice < 820


def test_a_forecast_knows_the_chance_that_has_happened() -> None:
    """Normal data of which a run's own chance is a large part: mean and spread are the exact ones given what is known.

    Draws are of the exact posterior of the parameters, so that weights condition on chance alone. Over 200 data sets
    of four values to come, 90 % intervals hold 90 %: the four hang together, so a standard error is at most 0.021, and
    0.085 are four of them (false alarm 1e-4). The mean squared error is the exact one's within 15 %.
    """
    model, known, generator = linear(12, 2), np.arange(12) < 8, np.random.default_rng(3)
    past = Linear(model.a[known], model.b[known])
    _, data = model.drawn(200, 5)
    whole = model.a @ model.a.T + model.covariance
    gain = whole[np.ix_(~known, known)] @ np.linalg.inv(whole[np.ix_(known, known)])
    inside, errors, exact = list[bool](), list[float](), list[float]()
    for y in data:
        mean, width = past.exact(y[known])
        u = generator.multivariate_normal(mean, width, 4_000)
        mu = u @ model.a.T + generator.normal(size=(4_000, 2)) @ model.b.T
        off = u - mean
        log_ratio = -0.5 * (u**2).sum(1) + 0.5 * np.einsum("np,pq,nq->n", off, np.linalg.inv(width), off)
        every = Observation((observed(y, Normal(1.0)),))
        told, _ = predictive(every, [known], mu, 2_000, log_ratio=log_ratio)
        low, middle, high = np.quantile(told[:, ~known], (0.05, 0.5, 0.95), 0)
        inside += list((low <= y[~known]) & (y[~known] <= high))
        errors += list((middle - y[~known]) ** 2)
        exact += list((gain @ y[known] - y[~known]) ** 2)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.085)
    assert np.mean(errors) < 1.15 * np.mean(exact)


def test_draws_come_with_the_density_that_drew_them() -> None:
    """Weighed by p / q, draws of the fit's normal approximation (or of a posterior) have the moments of the prior."""
    model = linear()
    problem, u = model.problem(), np.asarray([0.3, -0.2])
    covariance = np.asarray([[1.5, 0.4], [0.4, 1.2]])
    fit: Any = Fit(problem, u, 0.0, covariance, None, None, (), 0, 0.0)  # type: ignore[arg-type]
    draws = np.random.default_rng(1).multivariate_normal(u, covariance, 60_000)
    given: Any = covariance
    density = stats.multivariate_normal(u, given).logpdf(draws)
    for posterior in (None, Posterior(problem.space, draws, density)):
        made, log_ratio = drawn(fit, posterior, 50_000, seed=2)
        assert log_ratio is not None
        weight = np.exp(log_ratio - log_ratio.max())
        weight /= weight.sum()
        assert weight @ made == pytest.approx([0, 0], abs=0.03)  # 5 standard errors or more, as below
        assert np.cov(made, rowvar=False, aweights=weight) == pytest.approx(np.eye(2), abs=0.05)
    assert drawn(fit, Posterior(problem.space, draws), 10, seed=2)[1] is None


def test_draws_that_fit_what_is_known_carry_the_forecast() -> None:
    """Two kinds of epidemics, one of which made the known counts: its future is told."""
    low, high = np.r_[np.full(4, 100.0), 50.0], np.r_[np.full(4, 400.0), 2_000.0]
    mu = np.concatenate([np.tile(low, (50, 1)), np.tile(high, (50, 1))])
    values = np.r_[np.full(4, 400.0), 0.0]
    told, _ = predictive(Observation((observed(values),)), [np.arange(5) < 4], mu, 2_000, log_ratio=np.zeros(len(mu)))
    assert 1_500 < np.median(told[:, 4]) < 2_600


def test_shares_scatter_as_their_likelihood_says() -> None:
    """Standard error of the standard deviation of 20,000 draws: 0.5 %; 3 % are 6 of them."""
    series, mu = observed(np.asarray([0.2, 0.2]), Normal(0.03)), np.full((10, 2), 0.2)
    told, about = predictive(Observation((series,)), [np.asarray([True, False])], mu, 20_000, log_ratio=None)
    assert about is None and told[:, 1].std() == pytest.approx(0.03, rel=0.03)
