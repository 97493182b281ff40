"""The synthetic likelihood against a posterior that is known exactly, and on an epidemic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lpm.calibration.errors import CalibrationError
from lpm.calibration.likelihood import Multinomial, Poisson
from lpm.calibration.observation import Observation
from lpm.calibration.posteriors.coverage import coverage
from lpm.calibration.posteriors.neural_posterior import NeuralPosterior
from lpm.calibration.posteriors.surrogate import Surrogate, terms
from lpm.calibration.posteriors.synthetic_likelihood import SyntheticLikelihood, masked, noise_of
from lpm.types import HostArray
from tests.calibration.models import Linear, epidemic_problem, linear, series

QUICK = SyntheticLikelihood(draws=400, warmup=200)

MODEL = linear()


def origin(values: HostArray) -> HostArray:
    """Begin at the prior's mean."""
    return np.zeros((len(values), 2))


@pytest.mark.full
def test_mean_and_width_are_those_of_the_exact_posterior() -> None:
    """30 sets of data, fixed seeds, process noise larger than that of the data; errors in exact posterior spreads."""
    _, values = MODEL.drawn(30, 1)
    mean, covariance = MODEL.exact(values)
    width = np.sqrt(np.diag(covariance))
    drawn = QUICK.method(MODEL.problem(), origin).sample(values, 400)
    assert (np.sqrt((((drawn.mean(1) - mean) / width) ** 2).mean(0)) < 0.25).all()
    assert (np.abs(drawn.std(1).mean(0) / width - 1) < 0.08).all()


@pytest.mark.full
def test_the_process_noise_is_in_the_posterior() -> None:
    """Chance acts as the parameters do; with noise of the data alone the posterior would be far narrower."""
    model = Linear(MODEL.a, 0.8 * MODEL.a)
    alone = np.sqrt(np.diag(np.linalg.inv(np.eye(2) + model.a.T @ model.a)))
    exact = np.sqrt(np.diag(model.exact(np.zeros(12))[1]))
    assert (exact / alone > 1.7).all()
    found = QUICK.posterior(model.problem(), np.zeros(2), model.drawn(1, 2)[1][0])
    assert (found.u.std(0) > 0.85 * exact).all()
    assert found.notes == () and found.log_prob is not None


@pytest.mark.full
def test_a_start_far_away_ends_at_the_same_posterior() -> None:
    _, values = MODEL.drawn(1, 3)
    mean, covariance = MODEL.exact(values[0])
    found = QUICK.posterior(MODEL.problem(), np.asarray([2.5, -2.5]), values[0], seed=4)
    assert (np.abs(found.u.mean(0) - mean) < 0.6 * np.sqrt(np.diag(covariance))).all()


def test_the_mode_of_a_surrogate_is_that_of_a_normal_model() -> None:
    """T = 2 v0 + v1, v1 with unit scatter and a normal prior: the mode is ridge regression's."""
    slope = np.asarray([[2.0, 1.0], [0.0, 1.0]])
    mean = np.zeros((6, 2))
    mean[1:3] = slope.T
    made = Surrogate(np.zeros(2), np.eye(2), mean, np.asarray([1.0, -1.0]), np.eye(2), np.zeros((6, 6)), 100.0)
    expected = np.linalg.solve(slope.T @ slope + np.eye(2) / 4, slope.T @ [1.0, -1.0])
    np.testing.assert_allclose(made.mode(np.zeros(2), np.full(2, 2.0)), expected, atol=1e-6)
    np.testing.assert_allclose(terms(np.asarray([2.0, 3.0])), [1, 2, 3, 4, 6, 9])


def test_noise_is_that_of_the_likelihood_and_only_answers_of_one_time_hang_together() -> None:
    answers = Multinomial(200, 3)
    observation = Observation((
        series("a", np.full(2, 50.0), likelihood=Poisson()),
        series("b", np.full(6, 60.0), likelihood=answers),
    ))  # fmt: skip
    mu = np.asarray([[400.0, 900.0, *[1.0] * 6]])
    found = noise_of(observation, mu, np.random.default_rng(0))
    np.testing.assert_allclose(np.diag(found)[:2], 1, atol=0.3)  # 400 draws: 4 standard errors
    share = 1 / 3
    np.testing.assert_allclose(np.diag(found)[2:], 1 - share, atol=0.25)
    assert found[2, 3] == pytest.approx(-share, abs=0.2) and found[2, 5] == found[0, 1] == found[1, 2] == 0
    assert np.array_equal(masked(observation, np.ones((8, 8))).sum(1), [1, 1, 3, 3, 3, 3, 3, 3])


def test_too_few_simulations_are_refused() -> None:
    with pytest.raises(CalibrationError, match="at least 18 simulations a round"):
        replace(QUICK, simulations=10).posterior(MODEL.problem(), np.zeros(2))
    with pytest.raises(CalibrationError, match="expected 2 rounds, 2 seeds"):
        SyntheticLikelihood(rounds=1)


@pytest.mark.full
def test_coverage_on_an_epidemic() -> None:
    """SIR with beta, gamma and i0; 150 sets, 4 standard errors around 90 % and 50 %: p < 1e-3. About 100 CPU s."""
    problem = epidemic_problem()
    start = NeuralPosterior.fit(problem, 1000, seed=0, layers=2, hidden=32, members=1)
    method = SyntheticLikelihood(draws=400).method(problem, lambda values: start.sample(values, 100).mean(1))
    found = coverage(method, problem, 150, 199)
    assert (np.abs(found.covered(0.9) - 0.9) < 0.1).all(), found.table
    assert (np.abs(found.covered(0.5) - 0.5) < 0.16).all(), found.table
