"""Fits: linear problems whose answer is known in closed form, budgets, flags, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.errors import (
    AtBoundError,
    CalibrationError,
    NotCommonError,
    NotFiniteError,
    UnidentifiedError,
    ZeroGradientError,
)
from lpm.calibration.fit import Fit, LevenbergMarquardt, fit, table
from lpm.calibration.likelihood import NegativeBinomial, Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import series


@dataclass(frozen=True)
class Curve:
    """A simulator in numpy: "y" [B, D, 1] from parameters by name and the generator of a seed."""

    function: Callable[[Mapping[str, Any], np.random.Generator], HostArray]
    groups: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"y": ["all"]})
    ran: list[int] = field(default_factory=list)

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return one curve after the other."""
        self.ran.extend(int(seed) for seed in seeds)
        rows = [{name: np.float64(values[row]) for name, values in theta.items()} for row in range(len(seeds))]
        made = [self.function(each, np.random.default_rng(int(s))) for each, s in zip(rows, seeds, strict=True)]
        return {"y": np.stack(made)[:, :, None]}


def problem(function: Any, y: HostArray, sd: float = 3.0, count: int = 2, **options: Any) -> Problem:
    """Return a problem of x0, x1, ... ~ N(0, sd^2)."""
    space = Space({f"x{i}": dist.Normal(0.0, sd) for i in range(count)})
    options = {"likelihood": Normal(1.0), **options}
    return Problem(space, Observation((series("y", y, **options),)), Curve(function))


A = np.random.default_rng(1).normal(size=(12, 2))
B = 2 * np.random.default_rng(2).normal(size=(12, 2))
Y = A @ [1.5, -0.8] + np.random.default_rng(3).normal(size=12)


def line(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
    return A @ [theta["x0"], theta["x1"]] + 0 * generator.random()


def noisy(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
    return A @ [theta["x0"], theta["x1"]] + B @ generator.normal(size=2)


def answer(space: Space, covariance: HostArray) -> tuple[HostArray, HostArray]:
    """Return mean and covariance of the posterior, as textbooks have them."""
    inverse, prior = np.linalg.inv(covariance), np.diag(space.spread**-2.0)
    width = np.linalg.inv(A.T @ inverse @ A + prior)
    return width @ (A.T @ inverse @ Y + prior @ space.mean), width


def test_a_linear_problem_without_chance_has_its_closed_form():
    found = fit(problem(line, Y))
    mean, width = answer(found.problem.space, np.eye(12))
    np.testing.assert_allclose(found.u, mean, atol=2e-3)  # parameters are float32
    np.testing.assert_allclose(found.covariance, width, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.jacobian.jacobian, A, atol=1e-4)
    q = np.sum((Y - A @ mean) ** 2) + np.sum(((mean - found.problem.space.mean) / found.problem.space.spread) ** 2)
    assert found.objective == pytest.approx(q, rel=1e-4) and not found.process.any()


def test_a_linear_problem_with_chance_of_its_own_has_it_too():
    found = fit(problem(noisy, Y), LevenbergMarquardt(last_seeds=400))
    mean, width = answer(found.problem.space, np.eye(12) + B @ B.T)
    plain, narrow = answer(found.problem.space, np.eye(12))
    error = np.abs(found.u - mean) / np.sqrt(np.diag(width) / 400)
    assert (error < 4).all()  # as far as the mean of 400 runs is known; false alarm 1e-4, and the seeds are fixed
    assert (np.abs(plain - mean) / np.sqrt(np.diag(width) / 400)).max() > 8  # the weight matters
    np.testing.assert_allclose(found.covariance, width, rtol=0.15, atol=0.05 * width.max())
    assert np.sqrt(np.diag(width) / np.diag(narrow)).max() > 1.2  # and the interval with it
    np.testing.assert_allclose(found.process, B @ B.T, atol=0.35 * np.abs(B @ B.T).max())


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    one, two, other = (fit(problem(noisy, Y), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.u, two.u)
    np.testing.assert_array_equal(one.covariance, two.covariance)
    assert one.trace == two.trace and not np.array_equal(one.u, other.u)


def test_several_starts_find_the_lower_of_two_valleys():
    def valleys(theta: Mapping[str, Any], _: Any) -> HostArray:
        return np.asarray([10 * theta["x0"] ** 2, 4 * theta["x0"]])

    low = problem(valleys, np.asarray([40.0, 8.0]), sd=2.0, count=1)
    found = fit(low, LevenbergMarquardt(starts=32, refined=1), begin=np.asarray([[-2.5]]))
    assert len(found.trace) == 2 and found.u[0] == pytest.approx(2.0, abs=0.05)
    assert found.trace[0][-1][1] > 200  # the start that was given ends in the other one


@pytest.mark.parametrize("budget", [115, 172, 400])
def test_the_budget_is_kept(budget: int):
    def grown(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return 50 * np.exp((theta["x0"] + 0.1 * generator.normal()) * np.linspace(0, 2, 12)) + theta["x1"] ** 2

    given = problem(grown, 50 * np.exp(np.linspace(0, 2, 12)), sd=1.0, likelihood=NegativeBinomial())
    found = fit(given, LevenbergMarquardt(simulations=budget))
    assert isinstance(given.simulator, Curve)
    assert found.simulations == given.simulations == len(given.simulator.ran) <= budget
    assert found.u[0] == pytest.approx(1.0, abs=0.2)
    counts = [done for start in found.trace for done, _ in start]
    assert counts == sorted(counts) and all(np.diff([q for _, q in found.trace[0]]) < 0)


def test_a_budget_that_cannot_do_is_refused():
    with pytest.raises(CalibrationError, match=r"expected at least \d+ simulations for this method, got 40"):
        fit(problem(line, Y), LevenbergMarquardt(simulations=40))
    with pytest.raises(CalibrationError, match="expected last_seeds of at least 2"):
        LevenbergMarquardt(last_seeds=1)


def test_a_direction_of_which_the_data_say_nothing_is_named():
    def together(theta: Mapping[str, Any], _: Any) -> HostArray:
        return A[:, 0] * (theta["x0"] + theta["x1"]) + A[:, 1] * theta["x2"]

    found = fit(problem(together, Y, count=3))
    (loose,) = found.unidentified
    assert loose.left == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(list(loose.weights.values()), np.sqrt(0.5) * np.asarray([1, -1, 0]), atol=0.03)
    assert found.identified == {"x0": False, "x1": False, "x2": True}
    with pytest.raises(UnidentifiedError, match=r"the data leave \d+% of .* along \+0.7\d x0 -0.7\d x1 \(in spreads"):
        found.check()
    assert [row["identified"] for row in table(found)] == [False, False, True]


def test_an_estimate_at_the_edge_of_its_prior_is_told():
    found = fit(problem(line, A @ [100.0, 0.5]))
    assert found.at_bound == ("x0",) and [row["at_bound"] for row in table(found)] == [True, False]
    with pytest.raises(AtBoundError, match=r"fit: x0 = \d+.* lies at the edge of its prior"):
        found.check()


def test_a_fit_in_good_order_passes_its_check():
    found = fit(problem(line, Y))
    assert found.check() is found and not found.unidentified and not found.at_bound
    low, high = found.interval(0.9)
    drawn = found.draws(4000)
    inside = (drawn[:, 0] > low["x0"]) & (drawn[:, 0] < high["x0"])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)  # four standard errors


def test_a_parameter_that_moves_nothing_is_refused_by_name():
    def still(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return A[:, 0] * theta["x0"] + generator.normal()

    with pytest.raises(ZeroGradientError, match="nothing that is observed moves with x1; observe"):
        fit(problem(still, Y))


def alive(rare: int) -> Any:
    """Return a curve that x1 moves in one seed of `rare`: in the others the epidemic has died out."""

    def function(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return A[:, 0] * theta["x0"] + A[:, 1] * theta["x1"] * rare * (generator.integers(rare) == 0)

    return function


def test_a_parameter_that_moves_something_in_a_few_of_the_last_runs_is_fitted() -> None:
    found: list[Fit] = [fit(problem(alive(4), Y), seed=seed) for seed in range(4)]
    used = [len(each.jacobian.each) for each in found]
    assert 16 in used  # runs of all last seeds, where the first two had died out
    assert all(np.isfinite(each.covariance).all() for each in found)
    with pytest.raises(ZeroGradientError):
        fit(problem(alive(10**9), Y))


def test_nan_is_refused_with_where_it_came_from():
    def broken(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return line(theta, generator) * (np.nan if theta["x0"] > 1 else 1)

    with pytest.raises(NotFiniteError, match=r"y is NaN or infinite at x0 = [\d.]+, x1 = .*, seed \d+"):
        fit(problem(broken, Y))


def test_chance_that_is_not_common_is_refused():
    own = np.random.default_rng(0)

    def forgetful(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return line(theta, generator) + own.normal()

    with pytest.raises(NotCommonError, match="the same parameters and seed gave two different trajectories"):
        fit(problem(forgetful, Y))
