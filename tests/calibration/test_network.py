"""CalibNN: bounded, smooth, its gradient chained exactly, and what it learns of a known relation.

Deterministic for their seeds. The toy epidemic is a deterministic SIR, so that its pathwise derivative is exact and the
whole can be differentiated by JAX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from flax import nnx

from lpm.calibration.errors import CalibrationError, NotFiniteError, ZeroGradientError
from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.likelihood import Normal
from lpm.calibration.methods.optimise import Regions
from lpm.calibration.network import CalibNN
from lpm.calibration.observation import Observation
from lpm.calibration.panel import Panel, Training, train
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.errors import CheckpointError, InputError

from .models import series

STEPS = 30
SPACE = Space({"beta": dist.LogNormal(float(np.log(0.3)), 0.5), "gamma": dist.LogNormal(float(np.log(0.1)), 0.3)})
KNOTS = dist.LogNormal(jnp.full(3, float(np.log(0.3))), jnp.full(3, 0.5)).to_event(1)


def sir(theta: Any, key: Any, static: Any) -> dict[str, Any]:
    """Return new cases of a deterministic epidemic in 1,000 people, 10 of them infected; beta may be given at knots."""
    beta = jnp.atleast_1d(theta["beta"])
    beta = jnp.interp(jnp.arange(STEPS), jnp.linspace(0, STEPS, len(beta)), beta)

    def step(state: Any, now: Any) -> Any:
        s, i = state
        new = s * -jnp.expm1(-now * i / 1000.0)
        return (s - new, i + new - i * -jnp.expm1(-theta["gamma"])), new

    return {"cases": jax.lax.scan(step, (jnp.float32(990), jnp.float32(10)), beta)[1][:, None]}


SIMULATOR = Pure(sir, {"cases": ["all"]}, batching="vmap", differentiable=True)
"""One for all regions: it is compiled once."""


@jax.jit
def curve(u: Any) -> Any:
    """Return the cases at u = (log beta ..., log gamma) twice, to be differentiated with its value at hand."""
    made = sir({"beta": jnp.exp(u[:-1]), "gamma": jnp.exp(u[-1])}, None, ())["cases"][:, 0]
    return made, made


DERIVATIVE = jax.jit(jax.jacfwd(curve, has_aux=True))


class Tangent:
    """An estimator of somebody else: the derivative of `sir`, compiled once for all regions."""

    name, biased = "tangent", False

    def jac(self, problem: Problem, u: Any, seeds: Any) -> Jacobian:
        """Return the curve and its derivative; the seeds change nothing."""
        slope, mean = (np.asarray(each, np.float64) for each in DERIVATIVE(np.asarray(u, np.float32)))
        return Jacobian(mean, slope, np.zeros((STEPS, STEPS)), slope[None], 1)


def cases(beta: float, gamma: float = 0.1) -> Any:
    """Return the cases in float64: an oracle in plain Python."""
    s, i, told = 990.0, 10.0, []
    for _ in range(STEPS):
        new = s * (1 - np.exp(-beta * i / 1000))
        s, i = s - new, i + new - i * (1 - np.exp(-gamma))
        told.append(new)
    return np.asarray(told)


def problem(values: Any, space: Space = SPACE, simulator: Any = SIMULATOR) -> Problem:
    return Problem(space, Observation((series("cases", values, likelihood=Normal(1.0)),)), simulator)


def panel(regions: int, seed: int = 1) -> tuple[Panel, Any, Any]:
    """Return regions whose log beta is log 0.3 + 0.4 x_0 - 0.3 x_1^2, and betas and covariates of ten others."""
    x = np.random.default_rng(seed).uniform(-1, 1, (regions + 10, 2))
    beta = 0.3 * np.exp(0.4 * x[:, 0] - 0.3 * x[:, 1] ** 2)
    return Panel(tuple(problem(cases(b)) for b in beta[:regions]), x[:regions]), beta, x


def network(gives: tuple[str, ...] = ("beta",), space: Space = SPACE, covariates: int = 2, seed: int = 0) -> CalibNN:
    return CalibNN(covariates, space, gives, nnx.Rngs(seed), (8,))


@pytest.mark.full
def test_it_learns_a_known_relation():
    """Ten regions that it has not seen: beta within 7 % (root mean square), gamma that all share within 5 %."""
    known, beta, x = panel(24)
    how = Training(optax.adam(0.05), 150, minibatch=Regions(8), estimator=Tangent(), patience=75)
    found = train(known, network(), how)
    assert np.sqrt(np.mean(np.log(found.theta(x[24:])["beta"] / beta[24:]) ** 2)) < 0.07
    assert found.theta()["gamma"] == pytest.approx(np.full(24, 0.1), rel=0.05)
    assert np.mean([loss for _, loss in found.trace[-20:]]) < 0.1 * found.trace[0][1]


def filled(made: CalibNN, seed: int = 3) -> CalibNN:
    """Return the network with all weights drawn: at 0 the last layer would hide the others."""
    graph, weights = nnx.split(made, nnx.Param)
    generator = np.random.default_rng(seed)
    return nnx.merge(
        graph, jax.tree.map(lambda w: jnp.asarray(generator.normal(0, 0.5, w.shape), jnp.float32), weights)
    )


def whole(moved: Any, known: Panel, graph: Any, how: Training) -> Any:
    """Return the loss of a panel in one expression of JAX, from the weights to the squares."""
    made, mean, spread = nnx.merge(graph, moved[0]), known.space.mean, known.space.spread
    x = known.rows(known.covariates)
    table, total = made(x), jnp.float32(0)
    for number, each in enumerate(known.problems):
        theta = {"beta": jnp.exp(table[number, :, 0]), "gamma": jnp.exp(moved[1][0])}
        mu = SIMULATOR.function(theta, None, ())["cases"][:, 0]
        total += jnp.sum((jnp.asarray(each.observation.values, jnp.float32) - mu) ** 2)
    total += how.pull * jnp.sum(((table - mean[0]) / spread[0]) ** 2)
    total += how.smooth * jnp.sum(((table[:, 1:] - table[:, :-1]) / spread[0]) ** 2)
    return total + jnp.sum(((moved[1][0] - mean[-1]) / spread[-1]) ** 2)


@pytest.mark.full
def test_the_gradient_is_that_of_the_whole():
    """One step of length 1 down the chained gradient, against jax.grad from the weights to the loss; in float32."""
    space = Space({"beta": KNOTS, "gamma": SPACE.priors["gamma"]})
    x = np.random.default_rng(2).normal(size=(2, 3, 2))
    known = Panel(tuple(problem(cases(b), space) for b in (0.3, 0.4)), x)
    how = Training(optax.sgd(1.0), 1, smooth=2.0, pull=0.5, estimator=Tangent())
    begin = filled(network(space=space))
    graph, weights = nnx.split(begin, nnx.Param)
    moved = (weights, jnp.asarray(space.mean[-1:], jnp.float32))
    found = train(known, begin, how)
    after = (nnx.split(found.network, nnx.Param)[1], jnp.asarray(found.shared, jnp.float32))
    loss, direct = jax.jit(jax.value_and_grad(lambda m: whole(m, known, graph, how)))(moved)
    assert found.trace == ((found.trace[0][0], pytest.approx(float(loss), rel=1e-4)),)
    for a, b, slope in zip(*map(jax.tree.leaves, (moved, after, direct)), strict=True):
        assert np.abs(slope).max() > 1
        assert np.allclose(a - b, slope, rtol=2e-3, atol=2e-3 * float(np.abs(slope).max()))


def test_it_stays_within_the_prior_and_begins_in_its_middle():
    low, high = SPACE.box
    x = 100 * np.random.default_rng(4).normal(size=(50, 1, 2)).astype(np.float32)
    u = np.asarray(filled(network(("beta", "gamma")))(jnp.asarray(x)))
    assert (u >= low - 1e-5).all() and (u <= high + 1e-5).all() and np.ptp(u[..., 0]) > 1
    assert np.allclose(network(("beta", "gamma"))(jnp.asarray(x)), (low + high) / 2, atol=1e-6)


@pytest.mark.full
def test_a_penalty_makes_the_knots_smooth():
    """With much more weight on it, a change from knot to knot is less than half as large."""
    space = Space({"beta": KNOTS, "gamma": SPACE.priors["gamma"]})
    x = np.random.default_rng(5).normal(size=(1, 3, 2))
    known = Panel((problem(cases(0.4), space),), x)
    rough = []
    for smooth in (0.0, 1e6):
        how = Training(optax.adam(0.05), 25, smooth=smooth, estimator=Tangent(), patience=25)
        rough.append(np.ptp(np.log(train(known, filled(network(space=space)), how).theta()["beta"])))
    assert rough[1] < 0.5 * rough[0]


@pytest.mark.full
def test_one_that_was_killed_goes_on_and_ends_the_same(tmp_path: Path):
    known = panel(4)[0]
    how = Training(optax.adam(0.03), 12, minibatch=Regions(2), estimator=Tangent(), every=3)
    straight = train(known, network(), how, seed=5)

    def dies(_: str, step: int, of: int) -> None:
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(known, network(), how, seed=5, folder=tmp_path, progress=dies)
    done: list[int] = []
    again = train(known, network(), how, seed=5, folder=tmp_path, progress=lambda _, step, of: done.append(step))
    assert done[0] == 6
    assert again.trace == straight.trace
    assert np.array_equal(again.u(), straight.u())
    with pytest.raises(CheckpointError, match="of another run"):
        train(known, network(), how, seed=6, folder=tmp_path)


def test_it_stops_on_a_plateau():
    """Values at the prior's own middle: there is nothing to learn, and the loss stays where it is."""
    known = Panel((problem(cases(0.3)),), np.zeros((1, 2)))
    found = train(known, network(), Training(optax.sgd(0.0), 50, patience=3, estimator=Tangent()))
    assert len(found.trace) == 6


def test_what_does_not_fit_is_refused():
    known = panel(2)[0]
    two = Space({"beta": dist.LogNormal(jnp.zeros(2), jnp.ones(2)).to_event(1), "gamma": dist.LogNormal(0.0, 1.0)})
    with pytest.raises(InputError, match="did you mean 'beta'"):
        network(("betta",))
    with pytest.raises(CalibrationError, match="parameters of one size"):
        network(("beta", "gamma"), two)
    with pytest.raises(CalibrationError, match="expected covariates"):
        Panel(known.problems, known.covariates[:1])
    with pytest.raises(NotFiniteError, match="covariates"):
        Panel(known.problems, np.full((2, 2), np.nan))
    with pytest.raises(CalibrationError, match="one space"):
        Panel((known.problems[0], problem(cases(0.3), two)), known.covariates)
    with pytest.raises(CalibrationError, match="1 rows of 3 covariates"):
        train(known, network(covariates=3))
    with pytest.raises(CalibrationError, match="at most the 2 regions"):
        train(known, network(), Training(minibatch=Regions(3)))


def test_a_parameter_that_moves_nothing_is_named():
    idle = Space({**SPACE.priors, "idle": dist.Normal(0.0, 1.0)})
    known = Panel((problem(cases(0.3), idle),), np.zeros((1, 2)))
    with pytest.raises(ZeroGradientError, match="idle"):
        train(known, network(space=idle))
