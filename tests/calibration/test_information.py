"""What a few seeds of a Jacobian say: its own noise is no information, and its last steps are as narrow as documented.

The models are linear, so that what the data say is known in closed form. Seeds are fixed; where a rate is claimed it is
told beside its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpyro.distributions as dist
import optax
import pytest

from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Jacobian, covariance_of
from lpm.calibration.fit import LevenbergMarquardt, Optax, fit
from lpm.calibration.likelihood import Normal
from lpm.calibration.methods.information import Information, freedom, grown, information
from lpm.calibration.methods.weights import whitener
from lpm.calibration.observation import Observation
from lpm.calibration.posteriors.identifiability import identifiability
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import series
from tests.calibration.test_fit import A, Curve, Y, line, problem

SIZE = 12


def found(each: HostArray) -> Jacobian:
    """Return a Jacobian of derivatives [S, D, P]."""
    curve = np.zeros((len(each), each.shape[1]))
    return Jacobian(curve[0], each.mean(0), covariance_of(curve), each, 0)


def of(each: HostArray) -> Information:
    return information(found(each), np.eye(each.shape[1]), np.ones(each.shape[2]))


def smooth(columns: int, count: int, generator: np.random.Generator) -> HostArray:
    """Return noise [count, SIZE, 1] of so many degrees of freedom, mean square length 30 of each."""
    basis, _ = np.linalg.qr(generator.normal(size=(SIZE, columns)))
    return np.sqrt(30 / columns) * (generator.normal(size=(count, columns)) @ basis.T)[:, :, None]


def test_the_noise_of_a_jacobian_is_taken_off_on_average():
    """Pure noise, 4 seeds, 2,000 times: J'J is 30 / 4 = 7.5 on average and what is left is 0, +- 3 of its errors."""
    generator = np.random.default_rng(1)
    made = [of(smooth(3, 4, generator)) for _ in range(2000)]
    left = np.asarray([each.matrix[0, 0] for each in made])
    raw = left + [each.noise[0, 0] for each in made]
    assert raw.mean() == pytest.approx(7.5, rel=0.05) and abs(left.mean()) < 3 * left.std() / np.sqrt(2000)


@pytest.mark.parametrize("columns", [1, 3, 10])
@pytest.mark.parametrize("count", [2, 4, 16])
def test_pure_noise_is_hardly_ever_called_information(columns: int, count: int):
    """In at most 23 % of 500 (the 80 % point, and two errors); J'J alone says so in 43 to 100 % of them."""
    generator = np.random.default_rng([columns, count])
    made = [of(smooth(columns, count, generator)) for _ in range(500)]
    naive = np.mean([each.matrix[0, 0] + each.noise[0, 0] >= 1 for each in made])
    assert np.mean([each.surely[0, 0] >= 1 for each in made]) < 0.23 < 0.4 < naive


@pytest.mark.parametrize("columns", [1, 3, 10])
def test_the_degrees_of_freedom_of_noise_are_found(columns: int):
    """Of 16 seeds, 120 pairs: within a quarter; of a single vector nothing is known."""
    each = smooth(columns, 16, np.random.default_rng(columns))
    assert freedom(each) == pytest.approx(columns, rel=0.25) and freedom(each[:2]) == 1


def test_information_without_noise_is_that_of_the_textbook():
    each = np.repeat(A[None], 3, 0)
    made = information(found(each), np.eye(SIZE), np.asarray([2.0, 3.0]))
    np.testing.assert_allclose(made.matrix, A.T @ A * np.outer([2, 3], [2, 3]))
    assert made.settled and np.abs(made.noise).max() < 1e-20 and of(each[:1]).settled
    np.testing.assert_allclose(made.covariance, np.linalg.inv(A.T @ A + np.diag([1 / 4, 1 / 9])))


def test_seeds_are_added_until_noise_no_longer_matters():
    generator = np.random.default_rng(5)
    noise = smooth(3, 64, generator)
    every = np.concatenate([A[None, :, :1] * 3 + noise], 0)

    def jac(seeds: HostArray) -> Jacobian:
        return found(every[seeds])

    def enough(made: Jacobian) -> bool:
        return information(made, np.eye(SIZE), np.ones(1)).settled

    made = grown(jac(np.arange(2)), jac, np.arange(64), enough)
    assert len(made.each) in (4, 8, 16, 32) and enough(made)
    np.testing.assert_array_equal(made.each, every[: len(made.each)])
    held = grown(jac(np.arange(2)), jac, np.arange(64), enough, room=lambda: 0)
    assert len(held.each) == 2


def chance(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
    """x1 moves every single curve and not their mean: all that is seen of it is noise."""
    return A[:, 0] * theta["x0"] + SMOOTH @ generator.normal(size=2) * (1 + theta["x1"])


SMOOTH = 1.5 * np.random.default_rng(8).normal(size=(SIZE, 2))


@pytest.mark.parametrize(
    "method", [LevenbergMarquardt(starts=8), Optax(optax.sgd(0.01), 6, starts=4)], ids=["steps", "optax"]
)
def test_a_parameter_of_which_only_noise_is_seen_is_not_identified(method: Any):
    """Of 8 fits at most two say that it is; J'J of the first two seeds says so of most by steps, of half by optax."""
    fits = [fit(problem(chance, Y), method, seed=seed) for seed in range(8)]
    assert sum(each.identified["x1"] for each in fits) <= 2
    assert sum(each.identified["x0"] for each in fits) >= 4
    plain = [whitener(each.process) @ each.jacobian.each[:2].mean(0) * each.problem.space.spread for each in fits]
    named = sum(np.linalg.inv(e.T @ e + np.eye(2))[1, 1] < 0.5 for e in plain)
    assert named >= (6 if isinstance(method, LevenbergMarquardt) else 4)


def test_a_fit_and_identifiability_say_the_same_with_the_same_jacobian():
    fitted = fit(problem(chance, Y), seed=3)

    @dataclass(frozen=True)
    class Same:
        name: str = "same"
        biased: bool = False

        def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
            return fitted.jacobian

    last = 3500 + np.arange(16)
    told = identifiability(fitted.problem, fitted.u, last, Same(), offsets=(0.0,))
    values = np.linalg.eigvalsh(fitted.information.matrix)[::-1]
    np.testing.assert_allclose([each.information for each in told.directions], values, rtol=1e-6, atol=1e-9)


@dataclass(frozen=True)
class Kept(Curve):
    """A curve that keeps where it was asked for."""

    asked: list[tuple[int, float]] = field(default_factory=list)

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return one curve after the other."""
        self.asked.extend((int(seed), float(value)) for seed, value in zip(seeds, theta["x"], strict=True))
        return super().run(theta, seeds)


def test_the_first_steps_take_wide_differences_and_the_last_ones_those_that_are_documented():
    """Of y = e^(x t): a relative error of (h t)^2 / 6, at t = 3 of 3.4 % for h = 0.15 and of 0.4 % for 0.05."""
    t = np.linspace(0, 3, SIZE)

    def grown(theta: Mapping[str, Any], _: Any) -> HostArray:
        return np.exp(theta["x"] * t)

    space = Space({"x": dist.Normal(0.0, 0.5)})
    seen = series("y", np.exp(0.7 * t), likelihood=Normal(0.1))
    simulator = Kept(grown)
    given = Problem(space, Observation((seen,)), simulator)
    fitted = fit(given)
    exact = 10 * t * np.exp(fitted.u[0] * t)  # in sd of the data
    off = np.abs(fitted.jacobian.jacobian[1:, 0] / exact[1:] - 1)
    assert off.max() < 0.006
    unit = float(space.widths(fitted.u)[0])
    for first, h in ((True, 0.15), (False, 0.05)):
        points = np.asarray([value for seed, value in simulator.asked[34:] if (seed < 500) == first])
        apart = np.abs(points[:, None] - points[None]) / 2 / unit
        assert np.isclose(apart, h, atol=1e-4).any(), h
        assert not np.isclose(apart, 0.05 if first else 0.15, atol=1e-6).any() or not first
    explicit = fit(problem(line, Y), LevenbergMarquardt(gradient=CommonRandomNumbers(h=0.1)))
    assert np.allclose(explicit.u, fit(problem(line, Y)).u, atol=2e-3)


def test_where_narrow_differences_move_nothing_wide_ones_are_taken_and_it_is_told():
    """A curve that x1 moves by whole steps of 0.24: +- 0.15 always crosses the middle of one, +- 0.05 of some."""

    def steps(theta: Mapping[str, Any], _: Any) -> HostArray:
        return A[:, 0] * theta["x0"] + A[:, 1] * 0.24 * np.round(theta["x1"] / 0.24)

    told: list[tuple[str, ...]] = []
    for at in (0.0, 0.24, 0.48, 0.72):
        found = fit(problem(steps, A @ [0.4, at], sd=1.0), LevenbergMarquardt(starts=8, refined=1))
        assert found.jacobian.jacobian.any(0).all()
        told.append(found.notes)
    wide = ("derivatives are of differences 0.15 apart: with 0.05 a parameter moved nothing",)
    assert wide in told and set(told) <= {wide, ()}
