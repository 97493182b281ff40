"""The neural posterior against a posterior that is known exactly, and on an epidemic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm.calibration.errors import CalibrationError
from lpm.calibration.posteriors.coverage import Coverage, coverage
from lpm.calibration.posteriors.neural_posterior import NeuralPosterior, summary_of
from lpm.errors import InputError
from tests.calibration.models import epidemic_problem, linear

SMALL: dict[str, Any] = {"layers": 2, "hidden": 24, "members": 2, "epochs": 60, "rate": 4e-3}

MODEL = linear()


@pytest.fixture(scope="module")
def learned() -> NeuralPosterior:
    return NeuralPosterior.fit(MODEL.problem(), 800, seed=0, **SMALL)


def test_mean_and_width_are_those_of_the_exact_posterior(learned: NeuralPosterior) -> None:
    """300 sets of data, fixed seeds; the error of a posterior mean is measured in exact posterior spreads."""
    _, values = MODEL.drawn(300, 1)
    mean, covariance = MODEL.exact(values)
    width = np.sqrt(np.diag(covariance))
    drawn = learned.sample(values, 400)
    assert (np.sqrt((((drawn.mean(1) - mean) / width) ** 2).mean(0)) < 0.3).all()
    assert (np.abs(drawn.std(1).mean(0) / width - 1) < 0.1).all()
    correlation = np.corrcoef((drawn - drawn.mean(1, keepdims=True)).reshape(-1, 2), rowvar=False)[0, 1]
    assert correlation == pytest.approx(covariance[0, 1] / width.prod(), abs=0.12)


@pytest.mark.full
def test_intervals_cover_what_they_say(learned: NeuralPosterior) -> None:
    """400 sets: a right posterior leaves these bars of 4 standard errors with p < 2e-4."""
    found = coverage(learned, MODEL.problem(), 400, 99)
    assert (np.abs(found.covered(0.9) - 0.9) < 0.06).all()
    assert (np.abs(found.covered(0.5) - 0.5) < 0.1).all()


@pytest.mark.full
def test_the_density_is_that_of_the_draws(learned: NeuralPosterior) -> None:
    _, values = MODEL.drawn(1, 4)
    mean, covariance = MODEL.exact(values[0])
    found = learned.posterior(500, values[0])
    assert found.log_prob is not None
    off = found.u - mean
    exact = -0.5 * (off @ np.linalg.inv(covariance) * off).sum(1) - np.log(
        2 * np.pi * np.sqrt(np.linalg.det(covariance))
    )
    assert float((found.log_prob - exact).mean()) == pytest.approx(0, abs=0.15)
    assert found.notes == ()


@pytest.mark.full
def test_data_unlike_every_simulation_are_told(learned: NeuralPosterior) -> None:
    far = learned.posterior(50, MODEL.a @ [30.0, 30.0])
    assert far.notes == ("the data lie outside of what the prior simulates: the neural posterior extrapolates",)
    basis = np.linalg.svd(np.concatenate([MODEL.a, MODEL.b], 1), full_matrices=True)[0][:, 4:]
    odd = learned.posterior(50, 20 * basis[:, 0])
    assert odd.notes == ("the data differ from every simulation in a way that the parameters do not produce",)


@pytest.mark.full
def test_a_saved_posterior_answers_as_before(learned: NeuralPosterior, tmp_path: Path) -> None:
    file = tmp_path / "posterior.npz"
    learned.save(file)
    again = NeuralPosterior.load(file, MODEL.problem())
    _, values = MODEL.drawn(3, 6)
    assert np.array_equal(learned.sample(values, 20), again.sample(values, 20))
    assert again.summary.strange(MODEL.a @ [30.0, 30.0]) is not None
    with pytest.raises(
        InputError, match="expected parameters beta, gamma, i0 and 40 observed values, got x0, x1 and 12"
    ):
        NeuralPosterior.load(file, epidemic_problem())
    file.write_bytes(b"no file of numpy")
    with pytest.raises(InputError, match="expected a neural posterior that was saved"):
        NeuralPosterior.load(file, MODEL.problem())


def test_the_summary_keeps_what_stands_out_from_the_noise() -> None:
    """Two strong directions in noise of variance 1: two are kept, whatever their scale in the data."""
    generator = np.random.default_rng(0)
    strong = np.linalg.qr(generator.normal(size=(30, 2)))[0] * [5.0, 3.0]
    curves = generator.normal(size=(1000, 2)) @ strong.T + generator.normal(size=(1000, 30))
    made = summary_of(curves, np.ones(30))
    assert made.directions.shape == (30, 2)
    np.testing.assert_allclose(made.spread**2, [26, 10], rtol=0.15)


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(CalibrationError, match="expected at most 10 coordinates, got 11"):
        NeuralPosterior.fit(linear(parameters=11).problem(), 100)
    with pytest.raises(CalibrationError, match="do not differ beyond the data's noise"):
        summary_of(np.random.default_rng(0).normal(size=(500, 8)), np.full(8, 1.2))


@pytest.mark.full
def test_coverage_on_an_epidemic_meets_the_bar() -> None:
    """SIR with beta, gamma and i0; 1,000 sets; a right posterior fails with p < 1.5 %. About 40 CPU seconds."""
    problem = epidemic_problem(people=2000, steps=50)
    found: Coverage = coverage(NeuralPosterior.fit(problem, 4000, seed=0), problem, 1000, 199)
    assert found.passed, found.table
