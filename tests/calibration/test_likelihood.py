"""Likelihoods: densities against scipy, and the scale on which their scatter is 1.

Variances are of 20,000 draws with fixed seeds: a standard deviation near 1 has a standard error of 0.005 (0.5 %). The
tolerance is what the transform itself is off by (known expansions: O(1 / mu)) plus five standard errors: false alarm
below 1e-6 a case.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lpm.calibration.errors import CalibrationError
from lpm.calibration.likelihood import Multinomial, NegativeBinomial, Normal, Poisson

st: Any = scipy.stats

Y = np.asarray([0.0, 1.0, 4.0, 30.0, 500.0])
MU = np.asarray([0.5, 2.0, 3.0, 40.0, 450.0])
CASES = {
    "poisson": (Poisson(), st.poisson(MU).logpmf(Y)),
    "negative binomial": (NegativeBinomial(5.0), st.nbinom(5, 5 / (5 + MU)).logpmf(Y)),
    "normal": (Normal(3.0), st.norm(MU, 3).logpdf(Y)),
}


@pytest.mark.parametrize("family", CASES)
def test_the_density_is_that_of_scipy(family: str):
    likelihood, expected = CASES[family]
    assert np.allclose(likelihood.log_prob(Y, MU), expected, rtol=1e-9)
    assert np.allclose(likelihood.log_prob(jnp.asarray(Y), jnp.asarray(MU)), expected, rtol=1e-4, atol=2e-3)


def test_a_multinomial_adds_up_over_its_categories():
    """Two times, three categories, in the place of shares whatever is in proportion to them."""
    counts, mu = np.asarray([2.0, 5, 13, 7, 7, 6]), np.asarray([1.0, 2, 7, 30, 30, 40])
    found = Multinomial(20, 3).log_prob(counts, mu).reshape(2, 3).sum(1)
    expected = [
        st.multinomial(20, p / p.sum()).logpmf(y) for y, p in zip(counts.reshape(2, 3), mu.reshape(2, 3), strict=True)
    ]
    assert np.allclose(found, expected)


@pytest.mark.parametrize("mu", [5.0, 20.0, 1000.0])
@pytest.mark.parametrize(
    "likelihood", [Poisson(), NegativeBinomial(10.0), NegativeBinomial(50.0), Normal(7.0)], ids=str
)
def test_stabilised_values_scatter_by_one(likelihood: Poisson | NegativeBinomial | Normal, mu: float):
    """Poisson: 3 % off at 5. Negative binomial: sqrt(k psi'(k)) for large means, 5 % at k = 10 and 1 % at 50."""
    drawn = likelihood.draw(np.random.default_rng(7), np.full(20_000, mu))
    assert np.std(likelihood.stabilised(drawn)) == pytest.approx(1, abs=0.06 + 0.025)


def test_a_stabilised_multinomial_scatters_by_what_is_left():
    """Variance 1 - p of a category; 20,000 times of 400 answers, standard error of a variance 1 %."""
    likelihood, shares = Multinomial(400, 3), np.asarray([0.1, 0.3, 0.6])
    drawn = likelihood.draw(np.random.default_rng(8), np.tile(shares, 20_000))
    table = drawn.reshape(-1, 3)
    assert (table.sum(1) == 400).all() and np.allclose(table.mean(0), 400 * shares, rtol=0.01)
    spread = np.var(likelihood.stabilised(drawn).reshape(-1, 3), 0)
    assert np.allclose(spread, 1 - shares, rtol=0.07)


def test_draws_have_the_moments_of_their_family():
    """Mean and variance within five standard errors (variance of the negative binomial's: 2 %)."""
    drawn = NegativeBinomial(4.0).draw(np.random.default_rng(9), np.full(20_000, 30.0))
    assert drawn.mean() == pytest.approx(30, abs=5 * np.sqrt((30 + 900 / 4) / 20_000))
    assert drawn.var() == pytest.approx(30 + 900 / 4, rel=0.1)


def test_an_expectation_of_zero_has_a_finite_density():
    for likelihood in (Poisson(), NegativeBinomial()):
        assert np.isfinite(likelihood.log_prob(np.asarray([3.0]), np.asarray([0.0]))).all()


def test_what_is_no_spread_is_refused():
    with pytest.raises(CalibrationError, match="concentration above 0"):
        NegativeBinomial(0.0)
    with pytest.raises(CalibrationError, match="standard deviation above 0"):
        Normal(-1.0)
