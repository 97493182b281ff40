"""Dynamic message passing: exact on trees, the same in both modes, within its memory; what it refuses."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.contagion import Contagion
from lpm.calibration.errors import UnusableError
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.estimators.message_passing import MessagePassing, arcs_of, expected, spans
from lpm.calibration.likelihood import Normal, Poisson
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.network import Network

from ..conftest import graph
from ..kernels.spreading import of_pairs
from .chains import TREE, contacts_of, tallies

STEPS, SIZE = 6, 5
AGENTS = tuple("abcde")
WEIGHT = np.array([0.9, 0.1, 0.3, 0.0, 0.2])
VALUES = {"beta": (0.5, 0.9), "gamma": 0.3, "initial": 0.7}


def watched(metric: str, steps: int, groups: tuple[str, ...] = ("all",), **more: Any) -> Series:
    """Return a series that looks at every step of some groups."""
    at, names = np.tile(np.arange(steps), len(groups)), tuple(np.repeat(groups, steps))
    options: dict[str, Any] = {"flow": metric == "incidence", "likelihood": Normal(1.0)} | more
    return Series(metric, np.zeros(len(at)), at, at + 1, names, **options)


def on_tree(kernel: str, network: Network | None = None) -> Problem:
    """Return a problem that observes every agent of the tree, with two transmission rates, one after the other."""
    network = of_pairs(SIZE, TREE) if network is None else network
    space = {"beta": dist.LogNormal(jnp.zeros(2), 1.0).to_event(1)}
    space |= {"gamma": dist.LogNormal(0.0, 1.0)} if kernel != "si" else {}
    simulator = Contagion(kernel, network, STEPS, group=np.arange(SIZE), names=AGENTS, weight=WEIGHT, dt=0.5)
    metrics = ("susceptible", "prevalence", "incidence")
    observation = Observation(tuple(watched(metric, STEPS, AGENTS) for metric in metrics))
    return Problem(Space({**space, "initial": dist.Uniform(0.0, 1.0)}), observation, simulator)


def exact(kernel: str, problem: Problem, u: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """Return what the problem observes, from the Markov chain."""
    theta = {name: np.asarray(value, np.float64) for name, value in problem.space.constrain(u).items()}
    beta = np.repeat(theta["beta"], STEPS // 2)
    gamma = np.full(STEPS, theta.get("gamma", 0.0))
    made = tallies(kernel, contacts, beta, gamma, theta["initial"] * WEIGHT, dt=0.5)
    return np.concatenate([made[:, which].T.ravel() for which in range(3)])


def slopes(function: Any, u: np.ndarray, h: float = 2e-2) -> np.ndarray:
    """Return central differences [D, P], free of their error of order h^2 (float32 coordinates forbid a small h)."""

    def differences(width: float) -> np.ndarray:
        steps = width * np.eye(len(u))
        return np.stack([(function(u + step) - function(u - step)) / (2 * width) for step in steps], -1)

    return (4 * differences(h / 2) - differences(h)) / 3


@pytest.mark.parametrize("kernel", [pytest.param("si", marks=pytest.mark.full), "sir"])
def test_curve_and_derivative_of_every_agent_of_a_tree_are_exact(kernel):
    problem, contacts = on_tree(kernel), contacts_of(SIZE, TREE)
    u = np.asarray(problem.space.unconstrain({name: VALUES[name] for name in problem.space.priors}), np.float64)
    found = MessagePassing(simulate=False).jac(problem, u, np.arange(0))
    assert np.allclose(found.mean, exact(kernel, problem, u, contacts), atol=2e-6)
    assert np.allclose(found.jacobian, slopes(lambda at: exact(kernel, problem, at, contacts), u), atol=3e-5)
    assert not found.covariance.any() and found.simulations == 0 and found.each.shape == (1, *found.jacobian.shape)


def test_arcs_of_one_direction_and_of_other_contacts_are_exact_on_a_tree():
    """3 hears 1 twice a day and is not heard; 0 and 1 meet a quarter of a day; a tie that occurs twice counts twice."""
    contacts = np.zeros((SIZE, SIZE))  # receiver, source
    for receiver, source, days in (
        (0, 1, 0.25),
        (1, 0, 0.25),
        (1, 2, 1.0),
        (2, 1, 1.0),
        (3, 1, 2.0),
        (3, 4, 2.0),
        (4, 3, 1.0),
    ):
        contacts[receiver, source] = days
    receivers, sources = np.nonzero(contacts)
    given = contacts[receivers, sources] * 64
    twice = np.repeat(np.arange(len(receivers)), np.where((receivers == 3) & (sources == 4), 2, 1))
    given[(receivers == 3) & (sources == 4)] /= 2
    ends = np.concatenate([[0], np.cumsum(np.bincount(receivers[twice], minlength=SIZE))])
    intensity = given[twice].astype(np.uint16)
    network = Network(SIZE, ends, sources[twice].astype(np.int32), columns={"intensity": intensity})
    problem = on_tree("sir", network)
    u = np.asarray(problem.space.unconstrain(VALUES), np.float64)
    found = MessagePassing(simulate=False).jac(problem, u, np.arange(0))
    assert np.allclose(found.mean, exact("sir", problem, u, contacts), atol=2e-6)


@pytest.mark.full
def test_sis_is_exact_for_one_step_and_close_on_a_random_graph():
    """Its closure is an approximation: the endemic share is that of simulations within 3 % (chance moves it by 1 %)."""
    problem = on_tree("sis")
    u = np.asarray(problem.space.unconstrain(VALUES), np.float64)
    made = exact("sis", problem, u, contacts_of(SIZE, TREE)).reshape(3, SIZE, STEPS)
    found = MessagePassing(simulate=False).jac(problem, u, np.arange(0)).mean.reshape(3, SIZE, STEPS)
    assert np.allclose(found[:, :, 0], made[:, :, 0], atol=1e-6)
    simulator = Contagion(
        "sis", graph("watts-strogatz", 4_000, neighbours=10, rewiring=1.0), 60, initial=0.1, gamma=0.2
    )
    observation = Observation((watched("prevalence", 60),))
    endemic = Problem(Space({"beta": dist.LogNormal(-3.0, 0.5)}), observation, simulator)
    u = np.log([0.05])
    told = MessagePassing(simulate=False).jac(endemic, u, np.arange(0)).mean[-1]
    assert abs(told / endemic.curves(np.repeat(u[None], 4, 0), np.arange(4))[:, -20:].mean() - 1) < 0.03


def on_regular(size: int, steps: int, **more: Any) -> Problem:
    """Return a problem on a random graph that observes weeks of incidence, with an ascertainment."""
    network = graph("watts-strogatz", size, neighbours=10, rewiring=1.0)
    space = Space(
        {"beta": dist.LogNormal(-3.5, 0.5), "gamma": dist.LogNormal(-2.3, 0.5), "seen": dist.Uniform(0.0, 1.0)}
    )
    begin = np.arange(0, steps - 6, 7)
    series = Series("incidence", begin * 0.0, begin, begin + 7, ("all",) * len(begin), ascertainment="seen")
    return Problem(space, Observation((series,)), Contagion("sir", network, steps, initial=0.02, **more))


@pytest.mark.full
def test_reverse_mode_is_forward_mode_and_that_of_differences():
    problem, method = on_regular(300, 23), MessagePassing(simulate=False)
    u = np.asarray(problem.space.unconstrain({"beta": 0.04, "gamma": 0.1, "seen": 0.4}), np.float64)
    found = method.jac(problem, u, np.arange(0))
    weights = np.linspace(-1, 2, len(found.mean))
    curve, gradient = method.pull(problem, u, weights)
    assert np.allclose(curve, found.mean, rtol=1e-5)
    assert np.allclose(gradient, weights @ found.jacobian, rtol=2e-4)
    by_differences = slopes(lambda at: method.pull(problem, at, weights)[0], u)
    assert np.allclose(found.jacobian, by_differences, atol=2e-3 * np.abs(by_differences).max())


def test_the_curve_of_simulations_comes_with_the_derivative_of_messages():
    problem = on_regular(300, 23)
    u = np.asarray(problem.space.unconstrain({"beta": 0.04, "gamma": 0.1, "seen": 0.4}), np.float64)
    curves = problem.curves(np.repeat(u[None], 3, 0), np.arange(3))
    plain, found = (MessagePassing(simulate=on).jac(problem, u, np.arange(3)) for on in (False, True))
    assert np.array_equal(found.mean, curves.mean(0)) and np.array_equal(found.covariance, np.cov(curves, rowvar=False))
    assert found.simulations == 3 and np.array_equal(found.jacobian, plain.jacobian)
    assert isinstance(MessagePassing(), Estimator)


def test_certain_infection_has_finite_chances_and_derivatives():
    """Hazards of up to 15, everybody infectious at the start, nobody recovers: nothing underflows to 0 / 0."""
    simulator = Contagion("sir", of_pairs(SIZE, TREE), 60, initial=1.0, weight=np.array([1.0, 0, 0, 0, 1]))
    law, place, arcs = simulator.law, simulator.place, arcs_of(simulator.network)
    both = jax.jit(
        lambda c: (expected(law, c, place, arcs), jax.vjp(_of(law, place, arcs), c)[1](jnp.ones((60, 3, 1))))
    )
    for beta in (40.0, 15.0, 0.0):
        made, slope = both(law.course({"beta": jnp.float32(beta), "gamma": jnp.float32(0)}))
        assert jnp.isfinite(made).all() and all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
        assert np.allclose(made[-1, 1, 0], 5 if beta else 2, atol=1e-5)


def _of(law: Any, place: Any, arcs: Any) -> Any:
    return lambda course: expected(law, course, place, arcs, reverse=True)


@pytest.mark.full
def test_memory_of_reverse_mode_is_that_of_two_levels():
    """At most 250 bytes an arc at T = 50 (34 a step would be 1,700)."""
    assert spans(50) == (5, 10) or spans(50) == (10, 5)
    assert _bytes(on_regular(2_000, 50)) <= 250


def _bytes(problem: Problem) -> float:
    simulator: Any = problem.simulator
    law, place, arcs = simulator.law, simulator.place, arcs_of(simulator.network)
    course = law.course({"beta": jnp.float32(0.04), "gamma": jnp.float32(0.1)})
    compiled = _reverse(law).lower(course, jnp.ones((law.steps, 3, 1)), place, arcs).compile()
    return compiled.memory_analysis().temp_size_in_bytes / simulator.network.arcs


def _reverse(law: Any) -> Any:
    return jax.jit(lambda course, weights, place, arcs: jax.vjp(_of(law, place, arcs), course)[1](weights)[0])


@pytest.mark.full
def test_reverse_mode_costs_at_most_eight_forward_runs():
    """CPU time at N = 10,000, T = 50, the least of five; it was found to be 5.4."""
    simulator: Any = on_regular(10_000, 50).simulator
    law, place, arcs = simulator.law, simulator.place, arcs_of(simulator.network)
    course = law.course({"beta": jnp.float32(0.04), "gamma": jnp.float32(0.1)})
    weights = jnp.ones((50, 3, 1))
    forward, backward = jax.jit(lambda c, p, a: expected(law, c, p, a)), _reverse(law)

    def least(run: Any) -> float:
        run()
        found: list[float] = []
        for _ in range(5):
            begun = time.process_time()
            jax.block_until_ready(run())
            found.append(time.process_time() - begun)
        return min(found)

    once = least(lambda: forward(course, place, arcs))
    assert least(lambda: backward(course, weights, place, arcs)) <= 8 * once


def test_another_simulator_and_complete_mixing_are_refused_by_name():
    space = Space({"beta": dist.LogNormal(0.0, 1.0)})
    observation = Observation((watched("x", 2, likelihood=Poisson()),))
    other = Pure(lambda theta, key, static: {"x": jnp.full((2, 1), theta["beta"])}, {"x": ("all",)})
    with pytest.raises(UnusableError, match="message passing: needs the law of a contagion .* has a Pure"):
        MessagePassing().jac(Problem(space, observation, other), np.zeros(1), np.arange(2))
    mixed = Network(5, np.zeros(6, np.int64), np.zeros(0, np.int32), complete=True, facts={"contacts": 3.0})
    simulator = Contagion("si", mixed, 2, initial=0.5)
    with pytest.raises(UnusableError, match="needs a network with arcs"):
        MessagePassing().jac(
            Problem(space, Observation((watched("prevalence", 2),)), simulator), np.zeros(1), np.arange(2)
        )
