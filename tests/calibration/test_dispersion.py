"""Concentrations told from residuals, on counts that were drawn with a known one."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.calibration.likelihood import NegativeBinomial, Poisson
from lpm.calibration.methods.dispersion import HIGHEST, LOWEST, concentration, learned
from lpm.calibration.observation import Observation
from lpm.types import HostArray
from tests.calibration.models import series

MEAN = np.exp(np.random.default_rng(0).uniform(np.log(5), np.log(500), 2000))


def counts(k: float, seed: int, mean: HostArray = MEAN) -> HostArray:
    """Return negative binomial counts by numpy's own generator."""
    return np.random.default_rng(seed).negative_binomial(k, k / (k + mean)).astype(np.float64)


@pytest.mark.parametrize("k", [1.0, 5.0, 40.0])
def test_it_is_recovered(k: float):
    found = concentration(counts(k, 1), MEAN[None], len(MEAN))
    assert found == pytest.approx(k, rel=0.25)  # 4 standard errors or more: false alarm < 1e-4


def test_counts_of_poisson_have_none_and_wild_ones_the_least():
    even = np.random.default_rng(2).poisson(MEAN).astype(np.float64)
    assert concentration(even, MEAN[None], len(MEAN)) > 300
    assert concentration(MEAN, MEAN[None], len(MEAN)) == HIGHEST
    assert concentration(MEAN * np.where(np.arange(len(MEAN)) % 9, 0, 9), MEAN[None], len(MEAN)) == LOWEST


def test_the_noise_of_the_simulation_is_not_taken_for_scatter_of_the_counts():
    generator = np.random.default_rng(3)
    runs = MEAN * np.exp(0.3 * generator.normal(size=(21, len(MEAN))))  # every run, and what happened, is one of these
    y = counts(10.0, 4, runs[0])
    told = concentration(y, runs[1:], len(MEAN))
    assert told == pytest.approx(10.0, rel=0.35)  # four standard errors: false alarm 1e-4
    assert concentration(y, runs[1:].mean(0)[None], len(MEAN)) < 6  # 1 / k = 1 / 10 + 0.3^2


def test_fitted_parameters_count():
    mean, fitted, found = np.full(8, 200.0), [], []
    for seed in range(300):
        y = counts(5.0, seed, mean)
        fitted.append(concentration(y, np.full((1, 8), y.mean()), 7))
        found.append(concentration(y, np.full((1, 8), y.mean()), 8))
    # The scatter of 1 / k about its mean: three standard errors of the mean, false alarm 0.3 %
    inverse = 1 / np.asarray(fitted)
    assert inverse.mean() == pytest.approx(0.2, abs=3 * inverse.std() / np.sqrt(300) + 0.01)
    assert np.all(np.asarray(found) >= fitted)


def test_only_what_was_left_open_is_learned():
    y = counts(5.0, 6)
    fixed, even = NegativeBinomial(3.0), Poisson()
    given = Observation(
        (
            series("a", y, likelihood=NegativeBinomial()),
            series("b", y, likelihood=fixed),
            series("c", y, likelihood=even),
        )
    )
    made = learned(given, np.tile(MEAN, 3)[None], 3)
    first = made.series[0].likelihood
    assert isinstance(first, NegativeBinomial) and first.concentration == pytest.approx(5.0, rel=0.25)
    assert made.series[1].likelihood == fixed and made.series[2].likelihood == even
    assert made.target.shape == (3 * len(y),) and not np.array_equal(made.target, given.target)
