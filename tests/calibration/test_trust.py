"""Which gradient a fit follows: a biased one only where it passes, "auto" the cheapest that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

from lpm.calibration.check import Row
from lpm.calibration.errors import BiasedError, CalibrationError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.fit import LevenbergMarquardt, Optax, fit
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import series
from tests.calibration.test_fit import Curve

SLOPES = np.random.default_rng(1).normal(size=(60, 40))


@dataclass
class Scaled:
    """Common random numbers, every column multiplied: off by a factor that is known."""

    factor: float
    name: str = "scaled"
    biased: bool = True
    asked: int = 0
    spread: float = 0.0

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
        """Return J times the factor, `spread` more for even seeds and as much less for odd ones."""
        self.asked += 1
        found = CommonRandomNumbers().jac(problem, u, seeds)
        factor = self.factor + self.spread * (1 - 2 * (seeds % 2))
        each = found.each * factor[:, None, None]
        return replace(found, jacobian=each.mean(0), each=each)


def linear(count: int) -> Problem:
    """Return y = A x + 1 % noise, x ~ N(0, 1), that was seen at x = 1."""
    slopes = SLOPES[:, :count]

    def curve(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
        return slopes @ theta["x"] + 0.01 * generator.normal(size=len(slopes))

    space = Space({"x": dist.Normal(jnp.zeros(count), 1.0).to_event(1)})
    seen = series("y", slopes.sum(1), likelihood=Normal(0.5))
    return Problem(space, Observation((seen,)), Curve(curve))


QUICK: dict[str, Any] = {"starts": 2, "refined": 1, "iterations": 4, "last_seeds": 2, "last_steps": 1}


@pytest.mark.parametrize(
    "factor", [pytest.param(0.7, marks=pytest.mark.full), 1.4, pytest.param(-1.0, marks=pytest.mark.full)]
)
def test_a_biased_gradient_is_refused_outside_its_bounds(factor: float):
    with pytest.raises(BiasedError, match="norm ratio|cosine"):
        fit(linear(3), LevenbergMarquardt(gradient=Scaled(factor), **QUICK))
    with pytest.raises(BiasedError):
        fit(linear(3), Optax(optax.sgd(1e-3), 2, starts=2, gradient=Scaled(factor), last_seeds=2))


def test_one_within_them_is_followed_and_one_that_is_overridden_too():
    near, far = Scaled(1.1), Scaled(1.4)
    found = fit(linear(3), LevenbergMarquardt(gradient=near, **QUICK))
    assert near.asked > 3 and np.allclose(found.u, 1.0, atol=0.3)  # three calls are those of the check
    other = fit(linear(3), LevenbergMarquardt(gradient=far, override=True, **QUICK))
    assert 1 <= far.asked and np.allclose(other.u, 1.0, atol=0.3)


def test_auto_is_common_random_numbers_for_few_parameters_and_the_cheapest_that_passes_for_many():
    unused = Scaled(1.0)
    fit(linear(3), LevenbergMarquardt(gradient="auto", among=(unused,), **QUICK))
    assert unused.asked == 0
    wrong, right = Scaled(2.0, "wrong"), Scaled(1.0, "right")
    found = fit(linear(40), Optax(optax.sgd(1e-3), 5, starts=2, gradient="auto", among=(wrong, right), last_seeds=2))
    assert right.asked > wrong.asked > 0 and found.simulations > 0
    with pytest.raises(CalibrationError, match="expected an estimator or 'auto'"):
        fit(linear(3), LevenbergMarquardt(gradient="adam"))  # pyright: ignore[reportArgumentType]


def test_auto_passes_over_what_is_not_sure_and_says_so():
    """A norm ratio of 1.2 +- 0.08 is within its bounds, and more seeds might find it outside."""
    near = Scaled(1.2, "near", spread=0.3)
    method = Optax(optax.sgd(1e-3), 2, starts=2, gradient="auto", among=(near,), last_seeds=2)
    found = fit(linear(40), method)
    assert near.asked == 2  # by the halves of the check alone
    (note,) = found.notes
    assert note.startswith("gradient 'auto' follows common random numbers; passed over, as 16 seeds are too few")
    assert "'near' (cosine 1.000 ± 0.000, norm ratio 1.2" in note
    sure = fit(linear(40), replace(method, among=(Scaled(1.0, "right"),)))
    assert sure.notes == ("gradient 'auto' follows right",)


def test_one_that_is_asked_for_and_passes_without_being_sure_is_followed_and_told():
    found = fit(linear(3), LevenbergMarquardt(gradient=Scaled(1.2, "near", spread=0.3), **QUICK))
    assert len(found.notes) == 1 and "passes its check, but 16 seeds are not sure" in found.notes[0]
    assert fit(linear(3), LevenbergMarquardt(gradient=Scaled(1.1), **QUICK)).notes == ()


def test_a_verdict_near_a_bound_says_that_more_seeds_are_needed():
    near = Row("made", True, cosine=0.96, cosine_se=0.01, ratio=1.0, ratio_se=0.01, replicates=16)
    assert near.passed and not near.sure and "more seeds" in near.verdict
    assert replace(near, cosine_se=0.004).verdict == "passes"
    assert "more seeds" in replace(near, cosine_se=0.001, ratio=1.26).verdict
