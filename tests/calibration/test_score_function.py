"""The score function: unbiased on a contagion small enough to be enumerated, where other estimators are not."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.contagion import Contagion
from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.estimators.message_passing import MessagePassing
from lpm.calibration.estimators.score_function import ScoreFunction, ends
from lpm.calibration.likelihood import Normal, Poisson
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space

from ..kernels.spreading import of_pairs
from .chains import contacts_of, tallies
from .test_message_passing import slopes

SIZE, STEPS, SEEDS = 4, 4, 6_000
TIES = np.array([[0, 1], [1, 2], [2, 0], [2, 3]])
"""A triangle with a tail: loops, on which message passing is not exact."""

VALUES = {"beta": (0.4, 0.8), "gamma": 0.5, "initial": 0.4, "seen": 0.6}
WEIGHT = np.array([1.0, 0.5, 0.0, 0.8])


def small(kernel: str) -> Problem:
    """Return a problem of two transmission rates: incidence in two intervals, seen in part, and the last prevalence."""
    begin, end = np.array([0, 2]), np.array([2, 4])
    new = Series("incidence", np.zeros(2), begin, end, ("all",) * 2, likelihood=Normal(1.0), ascertainment="seen")
    last = Series("prevalence", np.zeros(1), end[1:] - 1, end[1:], ("all",), flow=False, likelihood=Normal(1.0))
    space: dict[str, Any] = {"beta": dist.LogNormal(jnp.zeros(2), 1.0).to_event(1), "seen": dist.Uniform(0.0, 1.0)}
    space |= {"initial": dist.Uniform(0.0, 1.0)} | ({"gamma": dist.LogNormal(0.0, 1.0)} if kernel != "si" else {})
    simulator = Contagion(kernel, of_pairs(SIZE, TIES), STEPS, weight=WEIGHT)
    return Problem(Space(space), Observation((new, last)), simulator)


def exact(kernel: str, problem: Problem, u: np.ndarray) -> np.ndarray:
    theta = {name: np.asarray(value, np.float64) for name, value in problem.space.constrain(u).items()}
    gamma = np.full(STEPS, theta.get("gamma", 0.0))
    made = tallies(kernel, contacts_of(SIZE, TIES), np.repeat(theta["beta"], 2), gamma, theta["initial"] * WEIGHT)
    new = made[:, 2].sum(1)
    return np.array([theta["seen"] * new[:2].sum(), theta["seen"] * new[2:].sum(), made[-1, 1].sum()])


@pytest.mark.parametrize(
    "kernel", [pytest.param("si", marks=pytest.mark.full), "sis", pytest.param("sir", marks=pytest.mark.full)]
)
def test_it_is_unbiased_where_the_gradient_can_be_enumerated(kernel):
    """None of at most 15 entries lies 4.5 standard errors off, but for 1 in 10,000 sets of seeds."""
    problem = small(kernel)
    u = np.asarray(problem.space.unconstrain({name: VALUES[name] for name in problem.space.priors}), np.float64)
    found = ScoreFunction().jac(problem, u, np.arange(SEEDS))
    error = found.each.std(0, ddof=1) / np.sqrt(SEEDS)
    truth = slopes(lambda at: exact(kernel, problem, at), u)
    assert (np.abs(found.jacobian - truth) <= 4.5 * error + 1e-5).all()
    assert (error <= 0.1).all() and np.abs(truth).max() > 0.5  # close enough for a wrong sign or factor to be seen
    assert (
        np.abs(found.mean - exact(kernel, problem, u)).max() < 0.1 and found.simulations == SEEDS == problem.simulations
    )


def test_it_tells_what_message_passing_gets_wrong_on_a_triangle():
    problem = small("sir")
    u = np.asarray(problem.space.unconstrain(VALUES), np.float64)
    truth = slopes(lambda at: exact("sir", problem, at), u)
    assert np.abs(MessagePassing(simulate=False).jac(problem, u, np.arange(0)).jacobian - truth).max() > 0.01
    assert MessagePassing().biased and not ScoreFunction().biased and isinstance(ScoreFunction(), Estimator)


def test_a_value_is_credited_with_nothing_that_is_drawn_after_it():
    """The first interval's derivative by what acts in the second half alone is 0, seed by seed."""
    problem = small("sir")
    assert ends(problem).tolist() == [2, 4, 4]
    u = np.asarray(problem.space.unconstrain(VALUES), np.float64)
    found = ScoreFunction().jac(problem, u, np.arange(50))
    second = problem.space.names.index("beta[1]")
    assert not found.each[:, 0, second].any() and found.each[:, 1, second].any()


@pytest.mark.full
def test_curves_are_those_of_the_problem():
    problem = small("sir")
    u = np.asarray(problem.space.unconstrain(VALUES), np.float64)
    found = ScoreFunction().jac(problem, u, np.arange(20))
    curves = problem.curves(np.repeat(u[None], 20, 0), np.arange(20))
    assert np.allclose(found.mean, curves.mean(0), rtol=1e-6) and np.allclose(found.covariance, np.cov(curves.T))


def test_one_seed_and_another_simulator_are_refused():
    with pytest.raises(CalibrationError, match="expected at least two seeds, got 1"):
        ScoreFunction().jac(small("si"), np.zeros(4), np.arange(1))
    at = np.arange(1)
    observation = Observation((Series("x", np.zeros(1), at, at + 1, ("all",), likelihood=Poisson()),))
    other = Pure(lambda theta, key, static: {"x": jnp.full((1, 1), theta["x"])}, {"x": ("all",)})
    with pytest.raises(UnusableError, match="score function: needs the law of a contagion"):
        ScoreFunction().jac(Problem(Space({"x": dist.Normal(0.0, 1.0)}), observation, other), np.zeros(1), np.arange(2))
