"""The derivative of choice by archetype: of its law, and of a run by the gradient check."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.engine import engine
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.estimators.pathwise import Pathwise
from lpm.calibration.gradcheck import gradcheck
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.kernels.decision.archetype_choice import chances, choice_of, expected_shares, given
from lpm.kernels.decision.sources import Friends, Source
from lpm.metrics import Metric

from ..conftest import graph
from .behaving import ACTIONS, ARCHETYPES, CONTEXTS, people, small, table


def test_expected_shares_are_the_law_and_have_its_derivatives():
    """At anchors the table's row; derivatives by beta, b, u and x against differences (float32: 1 %)."""
    z, archetype = jnp.asarray(table().logit), jnp.arange(ARCHETYPES)
    anchors = np.array([list(cell.values()) for cell in CONTEXTS.cells()], np.float32)

    @jax.jit
    def shares(given: Mapping[str, Any]) -> Any:
        p = chances(z, given["beta"], given["b"], given["u"])
        return expected_shares(CONTEXTS, p, archetype, given["x"])

    plain = {"beta": jnp.float32(1), "b": jnp.zeros(3), "u": jnp.zeros((ARCHETYPES, 3))}
    for cell in range(CONTEXTS.size):
        at = shares({**plain, "x": jnp.broadcast_to(anchors[cell], (ARCHETYPES, 2))})
        assert np.allclose(at, table().probability[:, cell], atol=1e-6)
    generator = np.random.default_rng(7)
    point = {
        "beta": np.float32(0.8),
        "b": generator.normal(size=3).astype(np.float32),
        "u": generator.normal(size=(ARCHETYPES, 3)).astype(np.float32),
        "x": np.stack([np.full(ARCHETYPES, 1.7), np.linspace(0.1, 0.9, ARCHETYPES)], -1).astype(np.float32),
    }
    scale = generator.normal(size=(ARCHETYPES, 3)).astype(np.float32)

    def loss(given: Mapping[str, Any]) -> Any:
        return (shares(given) * scale).sum()

    slope = jax.jit(jax.grad(loss))(point)
    for name, values in point.items():
        way = generator.choice([-1.0, 1.0], np.shape(values)).astype(np.float32)
        up, down = (float(loss({**point, name: values + sign * 0.02 * way})) for sign in (1, -1))
        assert float((np.asarray(slope[name]) * way).sum()) == pytest.approx((up - down) / 0.04, rel=1e-2, abs=1e-3)


SPACE = {
    "beta": dist.LogNormal(0.0, 0.5),
    "offset": dist.Normal(jnp.zeros(3), 1.0).to_event(1),
}
AGENTS, STEPS = 1_000, 3


@functools.cache
def hard(friends: bool = False) -> tuple[Problem, Any]:
    """Return the engine's run observed by how many act, and a point; contexts are given, or one is friends' share."""
    columns, sources, network = people(AGENTS), dict[str, Source](), None
    if friends:
        sources["orders"], network = Friends((0, 1)), graph("erdos-renyi", AGENTS, mean_degree=8.0)
    metrics = tuple(Metric(name, "stock", "action", (k,)) for k, name in enumerate(ACTIONS[:2]))
    made = small(choice_of(table(), sources), columns, STEPS, network=network, metrics=metrics)
    model = replace(made.simulation.model, backend="xla")
    member = jax.tree.map(lambda leaf: leaf[0], made.member(0))
    paths = {name: f"archetype-choice.{name}" for name in SPACE}
    run = engine(model, made.agents, member, made.world, STEPS, paths, tables=given(table()), people=AGENTS)
    at = np.arange(STEPS)
    series = [
        Series(name, np.full(STEPS, 300.0), at, at + 1, ("all",) * STEPS, False, Normal(10.0)) for name in ACTIONS[:2]
    ]
    return Problem(Space(SPACE), Observation(tuple(series)), run), np.array([-0.2, 0.3, -0.4, 0.1])


@dataclass(frozen=True)
class Expected:
    """The derivative of `expected_shares` in place of the run's: exact here, as no context depends on actions."""

    name: str = "expected shares"
    biased: bool = False

    def jac(self, problem: Problem, u: Any, seeds: Any) -> Jacobian:
        """Return it; no seed is drawn."""
        columns = people(AGENTS)
        there = columns["archetype"] < ARCHETYPES
        values = np.stack([columns["price"], columns["orders"]], -1)[there]
        static = (jnp.asarray(table().logit), jnp.asarray(columns["archetype"][there], jnp.int32), jnp.asarray(values))

        def function(theta: Any, key: Any, static: Any) -> Any:
            z, archetype, values = static
            shares = expected_shares(CONTEXTS, chances(z, theta["beta"], theta["offset"]), archetype, values).sum(0)
            idle = np.float32(AGENTS - len(values))  # who has no row keeps action 0
            return {n: jnp.full((STEPS, 1), shares[k] + (idle if k == 0 else 0)) for k, n in enumerate(ACTIONS[:2])}

        simulator = Pure(function, {name: ("all",) for name in ACTIONS[:2]}, static, differentiable=True)
        return Pathwise().jac(Problem(problem.space, problem.observation, simulator), u, seeds[:1])


@pytest.mark.full
def test_gradients_through_table_interpolation_and_choice_pass_the_check():
    """Common random numbers of the run, and the exact derivative of the law, against other seeds; jax.grad is refused.

    Offsets that are all moved alike change nothing: their derivatives sum to 0.
    """
    problem, u = hard()
    check = gradcheck(problem, u, [CommonRandomNumbers(), Expected(), Pathwise()], seeds=32, truth_seeds=64)
    print(check)
    assert check.row("common random numbers").passed and check.row("expected shares").passed
    assert check.row("expected shares").bias < check.row("expected shares").floor * 3
    assert "common random numbers" in check.row("pathwise").refused
    exact = Expected().jac(problem, u, np.arange(1)).jacobian
    assert np.abs(exact[:, 1:].sum(1)).max() < 1e-3 * np.abs(exact).max()


@pytest.mark.full
def test_gradients_of_a_run_in_which_friends_feed_back_pass_the_check():
    """What an agent does moves its friends' contexts in the next step: common random numbers hold there too."""
    check = gradcheck(*hard(friends=True), [CommonRandomNumbers()], seeds=32, truth_seeds=64)
    assert check.row("common random numbers").passed
