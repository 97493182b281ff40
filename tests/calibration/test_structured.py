"""Hierarchies and knots: what they expand to, their moments against closed forms, and their place in a simulation.

Moments are of 4,000 draws with fixed seeds, within five standard errors (false alarm below 1e-6 each).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.pathwise import Pathwise
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.calibration.structured import Expanded, Hierarchy, Knots, expanded, structured
from lpm.errors import InputError

from .models import series

REGIONS = ("north", "south", "west")


def drawn(made: Any, count: int = 4000) -> dict[str, Any]:
    space = Space(made.entries)
    return {name: np.asarray(each) for name, each in space.constrain(space.draw(jax.random.key(4), count)).items()}


def hierarchy(log: bool = False, spread: Any = 0.4) -> Hierarchy:
    mean = dist.LogNormal(-1.0, 0.3) if log else dist.Normal(2.0, 0.3)
    return Hierarchy("beta", REGIONS, mean, spread, log)


def knots(log: bool = False, walk: Any = 0.2) -> Knots:
    first = dist.LogNormal(-1.0, 0.3) if log else dist.Normal(2.0, 0.3)
    return Knots("beta", (3, 10, 24), first, walk, 30, log=log)


@pytest.mark.parametrize("log", [False, True])
def test_regions_vary_together_and_apart(log: bool):
    """On the scale that varies: variance 0.3^2 + 0.4^2 of each, covariance 0.3^2 between two."""
    values = hierarchy(log).values(drawn(hierarchy(log)))
    x = np.log(values) if log else values
    found, error = np.cov(x, rowvar=False), 5 * 0.25 * np.sqrt(2 / 4000)
    assert x.shape == (4000, 3) and np.allclose(x.mean(0), -1 if log else 2, atol=5 * 0.5 / np.sqrt(4000))
    assert np.allclose(found, 0.09 + 0.16 * np.eye(3), atol=error)


def test_the_spread_between_regions_may_be_fitted():
    made = hierarchy(spread=dist.HalfNormal(0.5))
    assert list(made.entries) == ["beta.mean", "beta.spread", "beta.offset"]
    theta = {
        "beta.mean": np.asarray([2.0]),
        "beta.spread": np.asarray([0.5]),
        "beta.offset": np.asarray([[1.0, 0, -2]]),
    }
    assert made.values(theta).tolist() == [[2.5, 2.0, 1.0]] and made.value(theta, "west") == [1.0]
    assert Space(made.entries).size == 5
    with pytest.raises(InputError, match="did you mean 'west'"):
        made.value(theta, "wst")


@pytest.mark.parametrize("log", [False, True])
def test_a_walk_widens_with_time(log: bool):
    """Knots 7 and 14 steps apart, walk 0.2 in 7: variances 0.09, then 0.04 and 0.08 more; changes do not correlate."""
    values = knots(log).at_knots(drawn(knots(log)))
    x = np.log(values) if log else values
    changes = np.stack([x[:, 0], x[:, 1] - x[:, 0], x[:, 2] - x[:, 1]])
    expected = np.diag([0.09, 0.04, 0.08])
    assert np.allclose(np.cov(changes), expected, atol=5 * 0.09 * np.sqrt(2 / 4000))


@pytest.mark.parametrize("log", [False, True])
def test_between_knots_it_is_linear_and_constant_outside(log: bool):
    made = knots(log)
    theta = {name: each[:5] for name, each in drawn(made, 5).items()}
    at = np.log(made.at_knots(theta)) if log else made.at_knots(theta)
    expected = np.stack([np.interp(np.arange(30), made.at, each) for each in at])
    assert np.allclose(made.values(theta), np.exp(expected) if log else expected, rtol=1e-5)
    on_jax = made.values({name: jnp.asarray(each) for name, each in theta.items()})
    assert np.allclose(on_jax, made.values(theta), rtol=1e-5)


def test_the_size_of_a_walk_may_be_fitted():
    made = knots(walk=dist.HalfNormal(0.3))
    assert list(made.entries) == ["beta.first", "beta.walk", "beta.moves"]
    theta = {"beta.first": np.asarray([1.0]), "beta.walk": np.asarray([0.5]), "beta.moves": np.asarray([[2.0, -1.0]])}
    assert np.allclose(made.at_knots(theta), [[1, 2, 2 - 0.5 * np.sqrt(2)]])


def test_means_around_knots_are_a_weighted_sum():
    """A constant stays itself; each mean is sum_t hat_m(t) x_t / sum_t hat_m(t), in a loop."""
    made = knots()
    table = np.stack([np.full(30, 2.0), np.random.default_rng(1).normal(size=30)], 1)
    found = made.averaged(table)
    assert np.allclose(found[:, 0], 2)
    for m, unit in enumerate(np.eye(3)):
        hat = [np.interp(t, made.at, unit) for t in range(30)]
        assert found[m, 1] == pytest.approx(sum(h * x for h, x in zip(hat, table[:, 1], strict=True)) / sum(hat))


class Plain:
    """A simulator in numpy that reads beta by step."""

    groups = {"y": ["all"]}

    def run(self, theta: Any, seeds: Any) -> Any:
        """Return float64 [B, 30, 1]."""
        assert set(theta) == {"beta", "c"} and theta["beta"].shape[1:] == (30,)
        return {"y": (theta["beta"] * theta["c"][:, None])[:, :, None].astype(np.float64)}


def test_a_simulation_reads_values_where_the_space_has_entries():
    """In numpy, and as a pure function of JAX, whose derivative stays exact: dy/dc = beta, dy/dfirst = c."""
    made = knots()
    space = Space({**made.entries, "c": dist.Normal(0.0, 1.0)})
    observation = Observation((series("y", np.zeros(30), likelihood=Normal(1.0)),))
    pure = Pure(lambda t, key, static: {"y": (t["beta"] * t["c"])[:, None]}, Plain.groups, differentiable=True)
    u = np.asarray([2.0, 0.5, -1.0, 3.0])
    plain, on_jax = (Problem(space, observation, structured(each, made)) for each in (Plain(), pure))
    assert isinstance(plain.simulator, Expanded)
    curve = plain.curves(u[None], np.zeros(1, int))[0]
    assert np.allclose(curve, 3 * made.values({"beta.first": u[:1], "beta.moves": u[None, 1:3]})[0], rtol=1e-5)
    found = Pathwise().jac(on_jax, u, np.zeros(1, int))
    assert np.allclose(found.mean, curve, rtol=1e-5)
    assert np.allclose(found.jacobian[:, 3], curve / 3, rtol=1e-5) and np.allclose(found.jacobian[:, 0], 3, rtol=1e-5)
    with pytest.raises(InputError, match="put the structure's entries into it"):
        expanded({"c": np.zeros(1)}, (made,))


def test_what_is_no_structure_is_refused():
    with pytest.raises(CalibrationError, match="different names"):
        Hierarchy("beta", ("a", "a"), dist.Normal(0.0, 1.0), 1.0)
    with pytest.raises(CalibrationError, match="number above 0"):
        hierarchy(spread=0)
    with pytest.raises(CalibrationError, match="spread: expected the prior of one positive number"):
        hierarchy(spread=dist.Normal(0.0, 1.0))
    with pytest.raises(CalibrationError, match="mean: expected the prior of one positive number"):
        Hierarchy("beta", REGIONS, dist.Normal(0.0, 1.0), 1.0, log=True)
    with pytest.raises(CalibrationError, match="two ascending steps"):
        Knots("beta", (3, 3), dist.Normal(0.0, 1.0), 1.0, 30)
    with pytest.raises(CalibrationError, match="table of 30 steps"):
        knots().averaged(np.zeros((29, 1)))
    with pytest.raises(CalibrationError, match="before the end at step 24, and per above 0, got a knot at 24"):
        Knots("beta", (3, 10, 24), dist.Normal(0.0, 1.0), 1.0, 24)
