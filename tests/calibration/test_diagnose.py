"""Diagnosis: right posteriors pass, narrow ones, wrong models and parameters that nothing tells apart do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.diagnose import Report, diagnose, predictive
from lpm.calibration.errors import CalibrationError, NotFiniteError, UnidentifiedError
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.posterior import Posterior
from lpm.calibration.posteriors.coverage import Coverage, coverage
from lpm.calibration.posteriors.identifiability import identifiability, in_words
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import Linear, linear, series

MODEL = linear()


@dataclass(frozen=True)
class Exact:
    """The exact posterior of a linear model, its width multiplied and its mean moved (in spreads)."""

    model: Linear
    width: float = 1.0
    shift: float = 0.0

    def sample(self, values: HostArray, count: int, seed: int = 0) -> HostArray:
        """Return draws u [B, count, P]."""
        mean, covariance = self.model.exact(values)
        root = np.linalg.cholesky(covariance)
        noise = np.random.default_rng(seed).normal(size=(len(values), count, len(root)))
        return (mean + self.shift * np.sqrt(np.diag(covariance)))[:, None] + self.width * noise @ root.T


def covered(width: float = 1.0, shift: float = 0.0) -> Coverage:
    return coverage(Exact(MODEL, width, shift), MODEL.problem(), 1000, 99)


def test_the_exact_posterior_passes() -> None:
    """A right posterior fails by chance in about 1 % of seeds, which the rank test alone makes up."""
    found = covered()
    assert found.passed
    np.testing.assert_allclose(found.table["z_sd"], 1, atol=0.1)
    assert found.ranks.min() == 0 and found.ranks.max() == 99


@pytest.mark.parametrize("width, shift", [(0.8, 0.0), (1.25, 0.0), (1.0, 0.4)])
def test_posteriors_that_are_too_narrow_too_wide_or_moved_fail(width: float, shift: float) -> None:
    found = covered(width, shift)
    assert not found.passed and not found.fits.any()
    expected = {0.8: 0.812, 1.25: 0.960}  # of a normal posterior: 2 Phi(1.645 width) - 1
    if width in expected:
        np.testing.assert_allclose(found.covered(0.9), expected[width], atol=0.045)


def posterior(problem: Problem, model: Linear, values: HostArray) -> Posterior:
    return Posterior(problem.space, Exact(model).sample(values[None], 500, 2)[0])


def test_data_of_the_model_pass_the_predictive_check_and_others_do_not() -> None:
    _, values = MODEL.drawn(1, 8)
    problem = MODEL.problem(values[0])
    (found,) = predictive(problem, posterior(problem, MODEL, values[0]))
    assert found.passed and found.cover90 > 0.6
    odd = values[0] + 12 * np.where(np.arange(12) % 2, 1, -1)
    (found,) = predictive(MODEL.problem(odd), posterior(problem, MODEL, values[0]))
    assert not found.passed and found.p < 0.005 and found.cover90 < 0.5
    with pytest.raises(CalibrationError, match="at least 20 simulations"):
        predictive(problem, posterior(problem, MODEL, values[0]), 3)


def test_the_information_is_that_of_the_linear_model() -> None:
    """Eigenvalues of s A' (I + B B')^-1 A s; the covariance is told from 400 seeds."""
    model = Linear(MODEL.a, MODEL.b, prior=0.5)
    found = identifiability(model.problem(), np.zeros(2), np.arange(400))
    exact = np.linalg.eigvalsh(0.25 * model.a.T @ np.linalg.inv(model.covariance) @ model.a)[::-1]
    np.testing.assert_allclose([each.information for each in found.directions], exact, rtol=0.15)
    assert found.rank == 2 and found.unidentified == ()
    found.require()


def product() -> tuple[Problem, HostArray]:
    """Only beta * gamma is seen, and next to nothing of delta: y = beta gamma t + noise."""
    times = np.arange(1.0, 9.0)
    values = 0.5 * 2.0 * times

    def function(theta: Mapping[str, Any], key: Any, static: Any) -> dict[str, Any]:
        return {"y": (theta["beta"] * theta["gamma"] * static + 1e-3 * theta["delta"])[:, None]}

    space = Space({
        "beta": dist.LogNormal(float(np.log(0.5)), 0.4),
        "gamma": dist.LogNormal(float(np.log(2.0)), 0.4),
        "delta": dist.LogNormal(0.0, 0.4),
    })  # fmt: skip
    simulator = Pure(function, {"y": ["all"]}, jnp.asarray(times, jnp.float32), batching="vmap")
    problem = Problem(space, Observation((series("y", values, likelihood=Normal(0.2)),)), simulator)
    return problem, np.log([0.5, 2.0, 1.0])


def test_a_direction_that_nothing_tells_is_named_and_followed() -> None:
    """The profile is flat along log beta = -log gamma: the product stays, and what depends on beta alone moves."""
    problem, at = product()
    effects = {"averted": lambda u: float(100 * np.exp(u[0])), "product": lambda u: float(np.exp(u[0] + u[1]))}
    found = identifiability(problem, at, np.arange(4), effects=effects)
    assert found.rank == 1
    assert {each.words for each in found.unidentified} == {"beta up and gamma down together", "delta alone"}
    (line,) = [each for each in found.unidentified if "beta" in each.words]
    assert line.profile is not None and line.profile.allowed.all() and line.left > 0.99
    low, high = line.profile.span("averted")
    reach = 1.5 * problem.space.spread[0] * np.sqrt(0.5)
    np.testing.assert_allclose([low, high], [50 * np.exp(-reach), 50 * np.exp(reach)], rtol=0.05)
    np.testing.assert_allclose(line.profile.span("product"), 1.0, rtol=0.06)
    with pytest.raises(UnidentifiedError, match="the data do not tell: .*beta up and gamma down together"):
        found.require()
    with pytest.raises(NotFiniteError, match="the effect 'lost' is NaN"):
        identifiability(problem, at, np.arange(4), effects={"lost": lambda u: float("nan")})


def test_words_name_what_moves() -> None:
    names = ("beta", "gamma", "i0")
    assert in_words(np.asarray([0.7, 0.7, 0.05]), names) == "beta up and gamma up together"
    assert in_words(np.asarray([-0.6, 0.5, -0.6]), names) == "beta up, gamma down and i0 up together"
    assert in_words(np.asarray([0.1, -1.0, 0.0]), names) == "gamma alone"


@pytest.mark.full
def test_a_report_says_what_holds_and_what_does_not() -> None:
    _, values = MODEL.drawn(1, 8)
    problem = MODEL.problem(values[0])
    made = posterior(problem, MODEL, values[0])
    found = diagnose(problem, made, Exact(MODEL))
    assert isinstance(found, Report) and found.passed, found.text
    assert found.table.columns == ["check", "of", "value", "low", "high", "passed"]
    assert found.table.height == 2 * 3 + 1 + 2 and "rank test, x0:" in found.text
    unchecked = replace(found, coverage=None)
    assert not unchecked.passed and unchecked.text.startswith("coverage was not checked")
    assert not replace(found, notes=("the chains disagree",)).passed
    narrow = replace(found, coverage=covered(0.7))
    assert not narrow.passed and "FAILED" in narrow.text
    problem, at = product()
    lost = replace(found, identifiability=identifiability(problem, at, np.arange(4), effects={"own": lambda u: u[0]}))
    assert not lost.passed and "along it the effect 'own' goes from" in lost.text


def test_a_posterior_tells_its_draws_in_natural_units() -> None:
    space = Space({"seir.beta": dist.LogNormal(0.0, 1.0), "share": dist.Dirichlet(jnp.ones(3))})
    u = np.random.default_rng(0).normal(size=(400, 3))
    found = Posterior(space, u, np.zeros(400))
    frame = found.frame({"share": ["car", "bus", "foot"]})
    assert frame.columns == ["seir.beta", "share.car", "share.bus", "share.foot"]
    np.testing.assert_allclose(frame["seir.beta"], np.exp(u[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(frame.select("share.car", "share.bus", "share.foot").sum_horizontal(), 1, atol=1e-5)
    row = found.table().row(0, named=True)
    assert row["parameter"] == "seir.beta" and row["q50"] == pytest.approx(np.median(np.exp(u[:, 0])), rel=1e-5)
    assert list(found.theta()) == ["seir.beta", "share"] and found.thinned(40).size == 40
    with pytest.raises(NotFiniteError, match="NaN or infinite draws"):
        Posterior(space, np.full((2, 3), np.nan))
    with pytest.raises(CalibrationError, match=r"expected draws \[n, 3\], got \[2, 2\]"):
        Posterior(space, np.zeros((2, 2)))
    with pytest.raises(CalibrationError, match="share: expected 3 levels, got 1"):
        found.frame({"share": ["car"]})
