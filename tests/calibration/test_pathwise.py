"""Pathwise derivatives of simulators that have one: closed forms, differences, and who is refused.

Closed form: without noise, a value that decays as a e^(-b t) has derivatives by log a and log b that can be written
down. Everything is deterministic for a seed.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.errors import CalibrationError, UnusableError, ZeroGradientError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.estimators.pathwise import Pathwise
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space

from .opinions import GROUPS, observed, problem_of, simulated

T = np.arange(6)
RATE = {"weight": dist.Beta(5, 5)}


def decay(theta: Any, key: Any, static: Any) -> Any:
    """Return a e^(-b t) (1 + z), z a normal number of mean 0 that the derivative takes along."""
    noise = 1 + 0.1 * jax.random.normal(key)
    return {"spread": (theta["a"] * jnp.exp(-theta["b"] * static) * noise)[:, None]}


def decaying(differentiable: bool = True) -> Any:
    simulator = Pure(decay, GROUPS, jnp.asarray(T, jnp.float32), differentiable=differentiable)
    space = Space({"a": dist.LogNormal(0.0, 1.0), "b": dist.LogNormal(-1.0, 1.0)})
    return Problem(space, observed(np.ones(6), sd=1.0), simulator), np.log([2.0, 0.3])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_closed_form(mode: str):
    """d/d log a = value, d/d log b = -b t value, for each seed; in float32."""
    problem, u = decaying()
    seeds = np.arange(3)
    found = Pathwise(mode=mode).jac(problem, u, seeds)
    curves = problem.curves(np.repeat(u[None], 3, 0), seeds)
    expected = np.stack([curves, -0.3 * T * curves], -1)
    assert np.allclose(found.each, expected, rtol=1e-5, atol=1e-6)
    assert np.allclose(found.mean, curves.mean(0), rtol=1e-6)
    assert np.allclose(found.covariance, np.cov(curves, rowvar=False), rtol=1e-4)
    assert found.simulations == 3 and problem.simulations == 6
    pulled = Pathwise(mode=mode).gradient(problem, u, seeds, np.arange(6.0))
    assert np.allclose(pulled, np.arange(6.0) @ expected.mean(0), rtol=1e-5)


def test_many_coordinates_go_backwards():
    """Nine coordinates, which are too many for forward mode; one value is the sum of their exponentials."""

    def total(theta: Any, key: Any, static: Any) -> Any:
        return {"spread": jnp.sum(theta["many"])[None, None]}

    space = Space({"many": dist.LogNormal(jnp.zeros(9), 1.0).to_event(1)})
    problem = Problem(space, observed([1.0], sd=1.0), Pure(total, GROUPS, differentiable=True))
    u = np.linspace(-1, 1, 9)
    found = Pathwise().jac(problem, u, np.asarray([0]))
    assert np.allclose(found.jacobian[0], np.exp(u), rtol=1e-5)
    assert np.allclose(Pathwise().gradient(problem, u, np.asarray([0, 1]), np.asarray([2.0])), 2 * np.exp(u), rtol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "path", "estimator"),
    [
        ("degroot", "degroot.weight", Pathwise()),
        pytest.param("biased-assimilation", "biased-assimilation.bias", Pathwise(), marks=pytest.mark.full),
        pytest.param("friedkin-johnsen", "friedkin-johnsen.weight", Pathwise(mode="reverse"), marks=pytest.mark.full),
    ],
)
def test_an_exact_kernel_has_the_derivative_of_differences(kernel: str, path: str, estimator: Any):
    """The same seeds on both sides, so that nothing is left to chance: 0.2 % of the extrapolated difference.

    Variances of 0.05 to 0.3 are rounded by 1e-8, values in units of 0.01 by 1e-6, differences over 0.05 by 2e-5.
    """
    simulator = simulated(kernel, {"weight": path})
    priors = RATE if kernel != "biased-assimilation" else {"weight": dist.LogNormal(0.0, 0.5)}
    problem, u = problem_of(simulator, priors, {"weight": 0.4 if kernel != "biased-assimilation" else 1.2})
    seeds = np.arange(2)
    found = estimator.jac(problem, u, seeds)
    truth = CommonRandomNumbers(h=0.1, richardson=True).jac(problem, u, seeds)
    assert np.allclose(found.each, truth.each, atol=2e-3 * np.abs(truth.each).max())
    assert np.allclose(found.mean, truth.mean, rtol=1e-6)
    assert 0 < estimator.memory(problem, u) < 400 * 300
    assert isinstance(estimator, Estimator) and not estimator.biased


@pytest.mark.full
def test_a_kernel_between_choices_is_asked_for_and_marked():
    simulator = simulated("deffuant", {"mu": "deffuant.mu"}, steps=3)
    problem, u = problem_of(simulator, {"mu": dist.Beta(2, 2)}, {"mu": 0.3})
    with pytest.raises(UnusableError, match="kernel 'deffuant' has the gradient rule 'between choices'"):
        Pathwise().jac(problem, u, np.arange(1))
    taken = Pathwise(between_choices=True)
    assert taken.biased and taken.name == "pathwise between choices"
    assert taken.jac(problem, u, np.arange(1)).jacobian.any()


def test_what_cannot_be_differentiated_is_refused_by_name():
    """By the rule of its kernel, by a hard parameter, by a word that is missing, and what is no function of JAX."""
    near = {"e": dist.LogNormal(-1.0, 0.5)}
    hard = simulated("deffuant", {"e": "deffuant.epsilon"}, steps=2)
    problem, u = problem_of(hard, near, {"e": 0.3})
    with pytest.raises(UnusableError, match="'epsilon', which acts through draws"):
        Pathwise(between_choices=True).jac(problem, u, np.arange(1))
    problem, u = decaying(differentiable=False)
    with pytest.raises(UnusableError, match="does not say that it is differentiable"):
        Pathwise().jac(problem, u, np.arange(1))

    class Counting:
        """A simulator of the engine that is no function."""

        groups, kernel = GROUPS, "sir"

        def run(self, theta: Any, seeds: Any) -> Any:
            return {"spread": np.ones((len(seeds), 6, 1))}

    with pytest.raises(UnusableError, match="kernel 'sir' has the gradient rule 'common random numbers'"):
        Pathwise().jac(Problem(problem.space, problem.observation, Counting()), u, np.arange(1))
    with pytest.raises(CalibrationError, match="expected mode"):
        Pathwise(mode="sideways")


def test_nothing_that_moves_is_an_error():
    """A parameter that nothing observed depends on."""
    space = Space({"a": dist.LogNormal(0.0, 1.0), "b": dist.LogNormal(0.0, 1.0), "idle": dist.Normal(0.0, 1.0)})
    problem, _ = decaying()
    with pytest.raises(ZeroGradientError, match="idle"):
        Pathwise().jac(Problem(space, problem.observation, problem.simulator), np.zeros(3), np.arange(1))
