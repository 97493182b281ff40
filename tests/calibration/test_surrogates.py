"""Surrogates: the hard simulation to the bit, weights as they are written down, right for one event only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.contagion import Contagion
from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.estimators.surrogates import GumbelSoftmax, SmoothedTriple, StraightThrough, Surrogate, simulated
from lpm.calibration.likelihood import Normal, Poisson
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.network import Network

from ..conftest import graph

ALL = (StraightThrough(), GumbelSoftmax(), SmoothedTriple())


def on_graph(kernel: str, network: Network, steps: int, initial: float | str = 0.05) -> Problem:
    """Return a problem that observes the prevalence of every step."""
    at = np.arange(steps)
    every = Series("prevalence", np.zeros(steps), at, at + 1, ("all",) * steps, False, Normal(1.0))
    space = {"beta": dist.LogNormal(-2.5, 0.5)} | ({"gamma": dist.LogNormal(-2.0, 0.5)} if kernel != "si" else {})
    space = space if isinstance(initial, float) else {"initial": dist.Uniform(0.0, 1.0)}
    more: dict[str, Any] = {} if isinstance(initial, float) else {"beta": 0.0, "gamma": 0.0}
    return Problem(Space(space), Observation((every,)), Contagion(kernel, network, steps, initial=initial, **more))


@pytest.mark.full
@pytest.mark.parametrize(
    "kernel", [pytest.param("si", marks=pytest.mark.full), "sis", pytest.param("sir", marks=pytest.mark.full)]
)
def test_what_is_simulated_is_the_hard_simulation(kernel):
    problem = on_graph(kernel, graph("erdos-renyi", 400, mean_degree=6.0), 15)
    u = np.log([0.1, 0.2])[: problem.space.size]
    curves = problem.curves(np.repeat(u[None], 3, 0), np.arange(3))
    for method in ALL:
        before = problem.simulations
        found = method.jac(problem, u, np.arange(3))
        assert np.array_equal(found.mean, curves.mean(0)) and np.array_equal(found.covariance, np.cov(curves.T))
        assert found.each.shape == (3, 15, problem.space.size) and found.each[:, -1].all()
        assert found.simulations == problem.simulations - before == 3
        assert method.biased and isinstance(method, Estimator)


def test_weights_are_the_derivatives_that_they_say():
    """Against differences of the smooth step in float64, and by hand."""
    draws, p = np.array([0.02, 0.3, 0.31, 0.9, 0.5]), np.array([0.3, 0.3, 0.3, 0.05, 0.999])

    def smooth(chance: Any, temperature: float) -> Any:
        logit = lambda x: np.log(x / (1 - x))  # noqa: E731
        return 1 / (1 + np.exp(-(logit(chance) - logit(draws)) / temperature))

    for temperature in (0.1, 0.5, 1.0):
        slope = (smooth(p + 1e-6, temperature) - smooth(p - 1e-6, temperature)) / 2e-6
        found = GumbelSoftmax(temperature=temperature).weight(jnp.asarray(draws), jnp.asarray(p))
        assert np.allclose(found, slope, rtol=2e-3, atol=1e-6)
    found = SmoothedTriple().weight(jnp.asarray(draws), jnp.asarray(p))
    assert np.allclose(found, [0.5 / 0.3, 0.5 / 0.7, 0.5 / 0.7, 0.5 / 0.95, 0.5 / 0.999])
    assert np.array_equal(GumbelSoftmax().weight(jnp.asarray([0.5]), jnp.zeros(1)), [0.0])


@pytest.mark.full
def test_one_event_each_has_the_right_derivative_on_average():
    """Nobody meets anybody: d E[infectious] / d share = N. Straight through is exact, the triple within 5 s.e."""
    size, nobody = 2_000, np.zeros(2_001, np.int64)
    problem = on_graph("si", Network(size, nobody, np.zeros(0, np.int32)), 1, initial="initial")
    u = np.asarray(problem.space.unconstrain({"initial": 0.3}), np.float64)
    chain = 0.3 * 0.7  # d share / d u
    assert np.allclose(StraightThrough().jac(problem, u, np.arange(1)).jacobian, size * chain, rtol=1e-5)
    found = SmoothedTriple().jac(problem, u, np.arange(20))
    error = size * chain * np.sqrt((0.25 / 0.3 + 0.25 / 0.7 - 1) / (20 * size))
    assert abs(found.jacobian[0, 0] - size * chain) <= 5 * error


@pytest.mark.full
def test_reverse_mode_is_forward_mode():
    problem = on_graph("sir", graph("erdos-renyi", 200, mean_degree=6.0), 8)
    simulator: Any = problem.simulator
    law, place = simulator.law, simulator.place
    seed = jnp.array([3, 0], jnp.uint32)

    @jax.jit
    def both(beta: Any) -> Any:
        def total(x: Any) -> Any:
            course = law.course({"beta": x, "gamma": jnp.float32(0.2)})
            return simulated(law, GumbelSoftmax(), seed, course, place)[:, 1].sum()

        return jax.jvp(total, (beta,), (jnp.float32(1),))[1], jax.grad(total)(beta)

    forward, reverse = both(jnp.float32(0.1))
    assert forward != 0 and np.allclose(forward, reverse, rtol=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(CalibrationError, match="expected a temperature above 0"):
        GumbelSoftmax(temperature=0.0)
    with pytest.raises(CalibrationError, match="use StraightThrough"):
        Surrogate().weight(jnp.zeros(1), jnp.zeros(1))
    at = np.arange(1)
    observation = Observation((Series("x", np.zeros(1), at, at + 1, ("all",), likelihood=Poisson()),))
    other = Pure(lambda theta, key, static: {"x": jnp.full((1, 1), theta["x"])}, {"x": ("all",)})
    for method in ALL:
        with pytest.raises(UnusableError, match=f"{method.name}: needs the law of a contagion"):
            method.jac(Problem(Space({"x": dist.Normal(0.0, 1.0)}), observation, other), np.zeros(1), np.arange(2))
