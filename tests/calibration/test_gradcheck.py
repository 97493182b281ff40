"""The gradient check: estimators whose error is known by construction are found to have it.

Estimators are made of the derivative that can be written down, times a known error plus known noise. Seeds are fixed;
where an estimate is random the tolerance is five of its standard errors (false alarms 6e-7).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import polars as pl
import pytest

from lpm.calibration.check import Check, Row
from lpm.calibration.errors import BiasedError, CalibrationError, UnusableError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Jacobian, covariance_of
from lpm.calibration.estimators.pathwise import Pathwise
from lpm.calibration.gradcheck import choose, gradcheck
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.errors import InputError

from .opinions import GROUPS, observed

STEPS = 5
T = np.arange(STEPS)


def decay(theta: Any, key: Any, static: Any) -> Any:
    noise = 0.05 * jax.random.normal(key)
    return {"spread": (theta["a"] * jnp.exp(-theta["b"] * static) + noise)[:, None]}


def problem() -> tuple[Problem, Any]:
    """Return a e^(-b t) + z, whose derivative by (log a, log b) has no noise, and a point off its data."""
    space = Space({"a": dist.LogNormal(0.0, 1.0), "b": dist.LogNormal(-1.0, 1.0)})
    made = Pure(decay, GROUPS, jnp.asarray(T, jnp.float32), differentiable=True)
    return Problem(space, observed(np.linspace(1.0, 0.5, STEPS), sd=1.0), made), np.log([2.0, 0.3])


def slope(u: Any) -> Any:
    """Return the derivative [D, P] by hand."""
    a, b = np.exp(u)
    value = a * np.exp(-b * T)
    return np.stack([value, -b * T * value], -1)


@dataclass(frozen=True)
class Made:
    """The derivative by hand, times a factor by coordinate, plus noise; it may take its time."""

    name: str = "made"
    factor: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0
    burns: float = 0.0
    biased: bool = False
    draws: bool = True

    def jac(self, problem: Problem, u: Any, seeds: Any) -> Jacobian:
        """Return it, noise by seed."""
        until = time.process_time() + self.burns * len(seeds)
        while time.process_time() < until:
            pass
        generators = [np.random.default_rng(int(seed)) for seed in (seeds if self.draws else seeds[:1])]
        exact = slope(u) * self.factor if len(u) == 2 else np.eye(STEPS, len(u)) * self.factor[0]
        each = np.stack([exact + self.noise * g.normal(size=exact.shape) for g in generators])
        curve = np.zeros((len(each), STEPS))
        return Jacobian(curve[0], each.mean(0), covariance_of(curve), each, 0)


def checked(*estimators: Any, **more: Any) -> Check:
    given: dict[str, Any] = {"seeds": 8, "truth_seeds": 64} | more
    return gradcheck(*problem(), estimators, **given)


def test_known_errors_are_found():
    """Bias, cosine and ratio of g = J' r against the same written out in float64, r by the mean of the truth's noise.

    Differences over 0.025 of values of 2 in float32 are off by 2^-23 x 2 / 0.025 = 1e-5, a curve of 64 seeds by
    0.05 / 8 in r, which truth and estimator share.
    """
    given, u = problem()
    wrong = {"even": (1.1, 1.1), "one": (-1.0, 1.0), "long": (1.5, 1.5)}
    check = checked(*(Made(name, factor) for name, factor in wrong.items()))
    curve = given.curves(np.repeat(u[None], 64, 0), 8 + np.arange(64)).mean(0)
    star = slope(u).T @ (curve - given.observation.target)
    assert np.allclose(check.truth, star, rtol=1e-3)
    for name, factor in wrong.items():
        g, row = star * factor, check.row(name)
        length = np.linalg.norm
        assert row.bias == pytest.approx(length(g - star) / length(star), abs=1e-3)
        assert row.cosine == pytest.approx(g @ star / length(g) / length(star), abs=1e-3)
        assert row.ratio == pytest.approx(length(g) / length(star), abs=1e-3)
        whole, exact = (slope(u) * factor).ravel(), slope(u).ravel()
        assert row.jacobian_bias == pytest.approx(length(whole - exact) / length(exact), abs=1e-3)
        assert row.jacobian_cosine == pytest.approx(whole @ exact / length(whole) / length(exact), abs=1e-3)
        assert row.noise < 1e-6 and row.replicates == 8
    assert [row.passed for row in check.rows] == [True, False, False]
    assert "norm ratio" in check.row("long").verdict and "cosine" in check.row("one").verdict


def test_weights_are_those_of_the_loss():
    """Only the first value counts: then b, which it does not know, has no part in the gradient."""
    w = np.eye(STEPS)[0]
    one, two = checked(Made(), weights=w), checked(Made(), weights=np.diag(w))
    assert one.truth[0] != 0 and abs(one.truth[1]) < 1e-4 * abs(one.truth[0])
    assert np.array_equal(one.truth, two.truth)


def test_noise_and_standard_errors_are_those_of_the_noise():
    """256 replicates of noise 0.2: noise of g is 0.2 |r| sqrt(P) / |g*|, known to 1 / sqrt(2 S P) = 3 %."""
    given, u = problem()
    count, sd = 256, 0.2
    check = checked(Made("noisy", noise=sd), seeds=count, truth_seeds=count + np.arange(64))
    row = check.row("noisy")
    residual = given.curves(np.repeat(u[None], 64, 0), count + np.arange(64)).mean(0) - given.observation.target
    expected = sd * np.linalg.norm(residual) / np.linalg.norm(check.truth)
    assert row.noise == pytest.approx(expected * np.sqrt(2), rel=0.16)
    assert row.floor == pytest.approx(row.noise / np.sqrt(count), rel=1e-3)
    assert row.ratio_se == pytest.approx(expected / np.sqrt(count), rel=0.4)  # one direction of noise; 400 draws of 256
    assert abs(row.ratio - 1) < 5 * row.ratio_se and row.bias < row.floor + 5 * row.bias_se


def test_the_default_is_found_right_and_costs_are_told():
    """Pathwise and plain differences of the same smooth function; differences of h = 5 % are off by h^2 / 6."""
    check = checked(Pathwise(), CommonRandomNumbers())
    pathwise, plain = check.rows
    assert pathwise.bias < 2e-3 and plain.bias < 3e-3 and pathwise.passed and plain.passed
    assert (pathwise.simulations, plain.simulations) == (8, 8 * 5)
    assert pathwise.megabytes is not None and pathwise.megabytes < 1
    assert pathwise.seconds >= 0 and check.truth_seeds == 64


def test_what_is_too_wrong_is_refused_unless_overridden():
    check = checked(Made("long", (1.5, 1.5), biased=True), Made("fine"))
    with pytest.raises(BiasedError, match="'long' has cosine 1.000 and norm ratio 1.5"):
        check.require("long")
    assert check.require("long", override=True).name == "long" and check.require("fine").passed
    with pytest.raises(InputError, match="did you mean 'fine'"):
        check.require("fin")


def test_an_estimator_that_cannot_be_used_has_a_row_that_says_why():
    given, u = problem()
    hard = Problem(given.space, given.observation, Pure(decay, GROUPS, jnp.asarray(T, jnp.float32)))
    check = gradcheck(hard, u, [Pathwise(), Made()], seeds=2, truth_seeds=4)
    row = check.row("pathwise")
    assert not row.passed and "differentiable" in row.verdict and check.cheapest == "made"
    with pytest.raises(UnusableError, match="differentiable"):
        check.require("pathwise", override=True)
    assert "refused" in str(check)


def test_tables_and_pictures_show_every_row():
    check = checked(Made("long", (1.5, 1.5), biased=True), Made("still", draws=False), Pathwise(mode="reverse"))
    assert check.row("still").replicates == 1
    frame = check.frame
    assert frame["name"].to_list() == ["long", "still", "pathwise"] and frame["passed"].to_list() == [False, True, True]
    assert frame.schema["bias"] == pl.Float64 and not frame["bias_se"].has_nulls()
    text = str(check)
    assert "long (biased)" in text and "norm ratio outside" in text and "64 seeds" in text
    shown: Any = check.figure().data
    assert {trace.name for trace in shown if trace.type == "bar"} == {"truth", "long", "still", "pathwise"}


def test_what_cannot_be_checked_is_refused():
    given, u = problem()
    with pytest.raises(CalibrationError, match="seeds of the truth that no estimator gets"):
        gradcheck(given, u, [Made()], seeds=np.arange(4), truth_seeds=np.arange(3, 9))
    with pytest.raises(CalibrationError, match="different names"):
        gradcheck(given, u, [Made(), Made()], seeds=2, truth_seeds=2)
    mean = CommonRandomNumbers(richardson=True).jac(given, u, 2 + np.arange(2)).mean
    with pytest.raises(CalibrationError, match="no gradient here"):
        gradcheck(given, u, [Made()], seeds=2, truth_seeds=2, target=mean)


def test_auto_takes_differences_for_few_parameters_and_the_cheapest_that_passes_for_many():
    given, u = problem()
    assert isinstance(choose(given, u, [Made("quick")]), CommonRandomNumbers)

    def first(theta: Any, key: Any, static: Any) -> Any:
        return {"spread": theta["many"][:STEPS, None]}

    space = Space({"many": dist.Normal(jnp.zeros(40), 1.0).to_event(1)})
    many = Problem(space, observed(np.ones(STEPS), sd=1.0), Pure(first, GROUPS))
    wrong, slow, quick = Made("wrong", (2.0, 2.0)), Made("slow", burns=0.02), Made("quick", burns=0.001)
    assert choose(many, np.zeros(40), [wrong, slow, quick], check=faked(many, wrong, slow, quick)) is quick
    assert isinstance(choose(many, np.zeros(40), [wrong], check=faked(many, wrong)), CommonRandomNumbers)


def test_the_cheapest_is_one_that_surely_passes():
    """Cheaper ones that fail, that are refused or that more seeds might fail are not chosen, whatever they cost."""
    good = Row("good", True, cosine=0.99, cosine_se=0.005, ratio=1.1, ratio_se=0.02, replicates=8, seconds=8.0, noise=0)
    unsure = replace(good, name="unsure", ratio=1.2, ratio_se=0.04, seconds=0.1)
    off = replace(good, name="off", cosine=0.94, cosine_se=0.001, seconds=0.1)
    long = replace(good, name="long", ratio=1.26, ratio_se=0.001, seconds=0.1)
    refused = Row("refused", False, refused="it cannot be used")
    dear = replace(good, name="dear", seconds=9.0)
    noisy = replace(good, name="noisy", seconds=1.0, noise=0.5)  # 100 times the seeds for the same error
    rows = (refused, off, long, unsure, noisy, dear, good)
    check = Check(rows, np.ones(2), 0.01, 32, ("a", "b"), {})
    assert check.cheapest == "good" and replace(check, rows=rows[:4]).cheapest is None
    assert "more seeds" in unsure.verdict and unsure.passed
    given, u = problem()
    among = [Made(row.name) for row in rows]
    assert choose(given, u, among, check=check).name == "good"
    usual = CommonRandomNumbers(h=0.1)
    assert choose(given, u, among, check=replace(check, rows=rows[:4]), usual=usual) is usual


def faked(many: Problem, *estimators: Any) -> Check:
    """Return a check against a truth that is known: the first values are the first parameters."""
    each = np.repeat(np.eye(STEPS, 40)[None], 2, 0)
    truth = Jacobian(np.zeros(STEPS), each[0], np.zeros((STEPS, STEPS)), each, 0)
    return gradcheck(many, np.zeros(40), estimators, seeds=4, truth=truth)
