"""Problems: what is simulated, what is counted, what is kept, and what is refused by name. All deterministic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.archive import Archive
from lpm.calibration.errors import NotCommonError, NotFiniteError, ZeroGradientError
from lpm.calibration.estimators.jacobian import Jacobian, checked, covariance_of, finite
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.errors import CheckpointError

from .models import linear, series

SPACE = Space({"a": dist.Normal(0.0, 1.0), "b": dist.Normal(0.0, 1.0)})


class Recorded:
    """A simulator in numpy: values a + b t + a small part of the seed; it keeps what it was asked."""

    groups = {"y": ["all"]}

    def __init__(self, broken: str = ""):
        """Take what is wrong with it."""
        self.broken, self.asked, self.calls = broken, [], 0

    asked: list[int]

    def run(self, theta: Any, seeds: Any) -> Any:
        """Return float64 [B, 3, 1]."""
        self.asked += list(seeds)
        self.calls += 1
        made = theta["a"][:, None] + theta["b"][:, None] * np.arange(3) + 0.001 * np.asarray(seeds)[:, None]
        if self.broken == "nan":
            made[1, 2] = np.nan
        if self.broken == "clock":  # what differs from row to row of a batch is not a function of the seed
            made += np.arange(len(made))[:, None]
        return {"y": made[:, :, None].astype(np.float64)}


def problem(simulator: Any, **options: Any) -> Problem:
    values = Observation((series("y", np.zeros(3), likelihood=Normal(2.0)),))
    return Problem(SPACE, values, simulator, **options)


def test_curves_are_stabilised_expectations_and_runs_are_counted():
    made = problem(Recorded())
    u = np.asarray([[1.0, 2.0], [0.5, 0.0], [0.0, 1.0]])
    found = made.curves(u, np.asarray([0, 0, 1000]))
    assert np.allclose(found, [[0.5, 1.5, 2.5], [0.25, 0.25, 0.25], [0.5, 1.0, 1.5]])
    assert made.simulations == 3 and made.theta(u)["b"].tolist() == [2, 0, 1]


def test_a_batch_is_its_members_one_by_one():
    """Three sets of a pure function in a batch, filled up to four, and each alone: the same bit for bit."""

    def function(theta: Any, key: Any, static: Any) -> Any:
        return {"y": theta["a"] + theta["b"] * jax.random.uniform(key, (3, 1))}

    made = problem(Pure(function, {"y": ["all"]}, batching="vmap"))
    u, seeds = np.random.default_rng(1).normal(size=(3, 2)), np.asarray([1, 2, 1])
    together = made.curves(u, seeds)
    assert np.array_equal(together, np.concatenate([made.curves(u[i : i + 1], seeds[i : i + 1]) for i in range(3)]))


def test_randomness_that_is_not_common_is_named():
    with pytest.raises(NotCommonError, match="two different trajectories"):
        problem(Recorded("clock")).check_common(np.zeros(2))
    problem(Recorded()).check_common(np.zeros(2))


def test_what_is_not_finite_is_named_with_its_parameters_and_seed():
    with pytest.raises(NotFiniteError, match=r"y is NaN or infinite at a = 0.5, b = 0.25, seed 9"):
        problem(Recorded("nan")).outputs(np.asarray([[0, 0], [0.5, 0.25]]), np.asarray([8, 9]))
    with pytest.raises(NotFiniteError, match="parameters"):
        problem(Recorded()).curves(np.asarray([[np.nan, 0]]), np.zeros(1))


def test_a_derivative_that_is_zero_or_not_finite_is_named():
    made = problem(Recorded())

    def found(slope: Any) -> Jacobian:
        return Jacobian(np.zeros(3), np.asarray(slope, float), np.zeros((3, 3)), np.zeros((1, 3, 2)), 0)

    with pytest.raises(ZeroGradientError, match="moves with b;"):
        checked(made, found([[1, 0], [1, 0], [0, 0]]))
    with pytest.raises(NotFiniteError, match="gradient"):
        finite(found([[1, 0], [1, np.inf], [0, 0]]))
    assert checked(made, found([[1, 0], [1, 0], [0, 1e-9]])).simulations == 0


def test_the_covariance_of_curves():
    curves = np.random.default_rng(2).normal(size=(5, 3))
    rest = curves - curves.mean(0)
    assert np.allclose(covariance_of(curves), rest.T @ rest / 4)
    assert not covariance_of(curves[:1]).any()


def test_what_is_archived_is_not_run_again(tmp_path: Path):
    """Nine runs of which six are different, written every four; read again by another archive of the same folder."""
    u = np.repeat(np.asarray([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2]]), 3, 0)
    seeds = np.tile([1, 2, 3], 3)
    plain = problem(Recorded()).curves(u, seeds)
    first = Recorded()
    made = problem(first, archive=Archive(tmp_path, "one", every=4))
    assert np.array_equal(made.curves(u[:6], seeds[:6]), plain[:6])
    assert np.array_equal(made.curves(u, seeds), plain)
    assert len(first.asked) == 6 and made.simulations == 15
    assert made.archive is not None and len(made.archive) == 6
    made.archive.write()
    again = Recorded()
    assert np.array_equal(problem(again, archive=Archive(tmp_path, "one")).curves(u, seeds), plain)
    assert not again.asked
    with pytest.raises(CheckpointError, match="of another run"):
        Archive(tmp_path, "two")


def test_the_linear_model_of_these_tests_is_what_it_says():
    model = linear(4, 2)
    made = model.problem()
    u = np.asarray([[0.5, -1.0]])
    many = made.curves(np.repeat(u, 4000, 0), np.arange(4000))
    assert np.allclose(many.mean(0), model.a @ u[0], atol=5 * np.sqrt(np.diag(model.covariance).max() / 4000))
