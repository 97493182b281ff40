"""Corrections of a table that are fitted through a simulation: of a formula, and of agents who draw their actions."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.special import softmax

from lpm.calibration.archetypes import Correction
from lpm.calibration.engine import engine
from lpm.calibration.fit import fit
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.calibration.structured import structured
from lpm.kernels.decision.archetype_choice import choice_of, given
from lpm.metrics import Metric

from ..kernels.behaving import ACTIONS, small, table


@pytest.mark.full
def test_a_table_is_fitted_through_a_simulation():
    """Weekly shares of 6 archetypes for 4 steps with noise of sd 0.01: beta within 0.1 of its truth (seed fixed).

    The error of beta is about 0.02 (24 shares, slopes of about 0.4), so that a false alarm has chance below 1e-5.
    """
    rng = np.random.default_rng(16)
    z = (2 * rng.normal(size=(6, 4, 2))).astype(np.float32)
    group = np.array([0, 0, 0, 1, 1, 1])
    correction = Correction("table", z, group, 2, 0.5)
    names = tuple(f"archetype {i}" for i in range(6))

    def acts(theta, key, static):
        return {"acts": jax.nn.softmax(theta["table"], -1)[..., 1].T}  # contexts are steps

    u = np.array([[-0.2, 0.2], [0.2, -0.2]])
    truth = softmax(0.5 * z + np.array([-0.3, 0.3]) + u[group][:, None], -1)[..., 1].T
    steps = np.repeat(np.arange(4), 6)
    values = truth.ravel() + rng.normal(0, 0.01, 24)
    seen = Series("acts", values, steps, steps + 1, names * 4, flow=False, likelihood=Normal(0.01))
    simulator = structured(Pure(acts, {"acts": names}), correction)
    found = fit(Problem(Space(correction.entries), Observation((seen,)), simulator), seed=1)
    assert abs(float(found.theta["table.beta"]) - 0.5) < 0.1
    made = softmax(correction.values(found.theta), -1)[..., 1].T
    np.testing.assert_allclose(made, truth, atol=0.03)


@pytest.mark.full
def test_a_table_is_fitted_through_a_run_of_the_engine():
    """Agents draw their actions: beta and differences of b within 3.5 standard errors (3 numbers: 2e-3 of seeds).

    Its error is that of 2 x 2,000 agents of 3 archetypes in 4 steps; without the data beta is known to 1, b to 2.
    """
    size, steps, rng = 6_000, 4, np.random.default_rng(18)
    archetype = np.arange(size) % 3
    known = table(3)
    columns = {
        "archetype": archetype.astype(np.uint16),
        "group": archetype.astype(np.uint8),
        "price": rng.uniform(0, 3, size).astype(np.float32),
        "orders": rng.uniform(0, 1, size).astype(np.float32),
    }
    metrics = tuple(Metric(name, "stock", "action", (k,), by=("group",)) for k, name in enumerate(ACTIONS[:2]))
    made = small(choice_of(known), columns, steps, metrics=metrics)
    member = jax.tree.map(lambda leaf: leaf[0], made.member(0))
    model = replace(made.simulation.model, backend="xla")
    inner = engine(model, made.agents, member, made.world, steps, {}, tables=given(known), people=size)

    def run(theta, key, static):
        agents, member, world, tables, ties = static
        rows = {**tables["archetypes"], "logit": theta["table"]}
        return inner.function({}, key, (agents, member, world, {**tables, "archetypes": rows}, ties))

    correction = Correction("table", known.logit, np.zeros(3, int), 1, 0.0)
    simulator = structured(Pure(run, inner.groups, inner.static), correction)
    truth = {"table.beta": np.array([0.5], np.float32), "table.offset": np.array([[0.6, -0.4, -0.2]], np.float32)}
    told, at = simulator.run(truth, np.array([99])), np.arange(steps)
    names = [name for name in inner.groups[ACTIONS[0]] if "=" in name]
    seen = []
    for action in ACTIONS[:2]:
        which = [list(inner.groups[action]).index(name) for name in names]
        values = told[action][0][:, which]
        steps_of, groups_of = np.repeat(at, 3), tuple(names) * steps
        seen.append(Series(action, values.ravel(), steps_of, steps_of + 1, groups_of, False, Normal(20.0)))
    found = fit(Problem(Space(correction.entries), Observation(tuple(seen)), simulator), seed=2)
    contrasts = np.array([[1, 0, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]])
    errors = np.sqrt(np.diag(contrasts @ found.covariance @ contrasts.T))
    right = contrasts @ np.array([0.5, 0.6, -0.4, -0.2])
    estimate = contrasts @ np.append(found.theta["table.beta"], found.theta["table.offset"])
    np.testing.assert_allclose(estimate, contrasts @ found.u, atol=1e-5)
    assert (errors < 0.1).all() and (np.abs(estimate - right) < 3.5 * errors).all()
