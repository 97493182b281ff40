"""Differences under common random numbers: exact on lines, of order h^2 on curves, h^4 with Richardson."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space

from .models import linear, series


class Curve:
    """sin(3 a) and exp(2 b) in float64, with noise of the seed that does not hang on them."""

    groups = {"y": ["all"]}

    def run(self, theta: Any, seeds: Any) -> Any:
        """Return float64 [B, 2, 1]."""
        noise = np.asarray([np.random.default_rng(int(seed)).normal(size=2) for seed in seeds])
        made = np.stack([np.sin(3 * theta["a"].astype(float)), np.exp(2 * theta["b"].astype(float))], -1)
        return {"y": (made + noise)[:, :, None]}


class Persons:
    """300 persons, 15 of them infected and soon well again; every person has one draw a step: in numpy."""

    groups = {"cases": ["all"]}

    def run(self, theta: Any, seeds: Any) -> Any:
        """Return float64 [B, 20, 1]."""
        return {"cases": np.stack([self._cases(b, s) for b, s in zip(theta["beta"], seeds, strict=True)])[:, :, None]}

    def _cases(self, beta: float, seed: int) -> Any:
        draws, told = np.random.default_rng(int(seed)).random((20, 2, 300)), []
        susceptible, infected = np.arange(300) >= 15, np.arange(300) < 15
        for catches, recovers in draws:
            caught = susceptible & (catches < 1 - np.exp(-beta * infected.mean()))
            infected, susceptible = (infected & (recovers > 0.1)) | caught, susceptible & ~caught
            told.append(float(caught.sum()))
        return np.asarray(told)


def curved() -> Problem:
    space = Space({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})
    return Problem(space, Observation((series("y", np.zeros(2), likelihood=Normal(1.0)),)), Curve())


def test_it_is_exact_on_a_line():
    """A u + B e: noise of any size cancels in every pair; float32."""
    model = linear()
    found = CommonRandomNumbers().jac(model.problem(), np.asarray([0.4, -0.7]), np.arange(6))
    assert np.allclose(found.each, model.a[None], atol=1e-4)
    assert found.simulations == 6 * (1 + 2 * 2) and found.jacobian.shape == (12, 2)
    assert isinstance(CommonRandomNumbers(), Estimator)


def test_mean_and_covariance_are_those_of_the_curves():
    model = linear(4, 2)
    problem, u, seeds = model.problem(), np.asarray([0.4, -0.7]), np.arange(40)
    curves = problem.curves(np.repeat(u[None], 40, 0), seeds)
    found = CommonRandomNumbers().jac(problem, u, seeds, curves)
    assert found.simulations == 40 * 4
    assert np.array_equal(found.mean, curves.mean(0)) and np.allclose(found.covariance, np.cov(curves, rowvar=False))


@pytest.mark.parametrize(("richardson", "order"), [(False, 2), (True, 4)])
def test_its_error_falls_with_a_power_of_the_step(richardson: bool, order: int):
    """Leading terms of Taylor's series: d^3/6 h^2, and -d^5/480 h^4 with Richardson; parameters pass in float32."""
    problem, u = curved(), np.asarray([0.2, 0.1])
    exact = np.diag([3 * np.cos(0.6), 2 * np.exp(0.2)])
    spread = problem.space.spread
    errors = []
    for h in (0.4, 0.2):
        found = CommonRandomNumbers(h, richardson).jac(problem, u, np.arange(2))
        errors.append(np.diag(found.jacobian - exact))
        assert np.allclose(found.jacobian - np.diag(np.diag(found.jacobian)), 0, atol=1e-6)
    ratio = np.log2(np.asarray(errors[0]) / errors[1])
    assert np.allclose(ratio, order, atol=0.25)
    third = np.asarray([-27 * np.cos(0.6), 8 * np.exp(0.2)]) / 6
    fifth = -np.asarray([243 * np.cos(0.6), 32 * np.exp(0.2)]) / 480
    assert np.allclose(errors[1], (fifth if richardson else third) * (0.2 * spread) ** order, rtol=0.1)


def test_common_numbers_cancel_the_noise_of_an_epidemic():
    """Derivative of 30 seeds, each with its own partner: variance over seeds at least three times lower in pairs.

    Deterministic for its seeds; the ratio of variances of 30 by 30 is below 3 by chance with probability 1e-3 when it
    is 10, which is what 100 seeds give.
    """
    space = Space({"beta": dist.LogNormal(float(np.log(0.4)), 0.3)})
    values = Observation((series("cases", np.ones(20)),))
    problem = Problem(space, values, Persons())
    u, seeds, h = np.log([0.4]), np.arange(30), 0.05
    paired = CommonRandomNumbers(h).jac(problem, u, seeds).each[:, :, 0].sum(1)
    shift = np.asarray([h])
    up, down = (problem.curves(np.repeat(v[None], 30, 0), s) for v, s in ((u + shift, seeds), (u - shift, seeds + 99)))
    assert np.var(paired) < np.var((up - down).sum(1) / (2 * h)) / 3


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(CalibrationError, match="step h above 0"):
        CommonRandomNumbers(0.0)

    class Broken(Curve):
        def run(self, theta: Any, seeds: Any) -> Any:
            made = super().run(theta, seeds)["y"]
            return {"y": np.where(theta["a"][:, None, None] > 0.2, np.inf, made)}

    problem = Problem(curved().space, curved().observation, Broken())
    with pytest.raises(NotFiniteError, match="seed 0"):
        CommonRandomNumbers().jac(problem, np.asarray([0.2, 0.1]), np.arange(1))
