"""Intervals of a fit: the components of a simplex are not those of its coordinates' ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.fit import Fit, fit, table
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.types import HostArray
from tests.calibration.models import series
from tests.calibration.test_fit import Curve

TRUTH = np.asarray([0.2, 0.5, 0.3])


def simplex() -> Fit:
    """Return a fit of three shares and a rate, all of which are seen with an error."""

    def shown(theta: Mapping[str, Any], _: Any) -> HostArray:
        return np.concatenate([theta["share"], theta["share"], np.atleast_1d(theta["rate"])])

    space = Space({"share": dist.Dirichlet(jnp.ones(3)), "rate": dist.LogNormal(0.0, 1.0)})
    seen = series("y", np.concatenate([TRUTH, TRUTH, [2.0]]), likelihood=Normal(0.15))
    return fit(Problem(space, Observation((seen,)), Curve(shown)))


def broken(u: HostArray) -> HostArray:
    """Return shares [n, 3] by breaking a stick, written out: the first takes s(u0 - log 2) of it, the next s(u1)."""
    first = 1 / (1 + np.exp(-(u[:, 0] - np.log(2))))
    second = (1 - first) / (1 + np.exp(-u[:, 1]))
    return np.stack([first, second, 1 - first - second], 1)


@pytest.mark.full
def test_shares_have_the_quantiles_of_their_own_distribution():
    """Against 400,000 draws of the same normal through a stick that is broken by hand; 0.01 is 15 standard errors."""
    found = simplex()
    np.testing.assert_allclose(broken(found.u[None])[0], found.theta["share"], atol=1e-5)
    root = np.linalg.cholesky(found.covariance)
    drawn = broken(found.u + np.random.default_rng(9).normal(size=(400_000, 3)) @ root.T)
    low, high = found.interval(0.9)
    expected = np.quantile(drawn, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([low["share"], high["share"]], expected, atol=0.003)
    assert (low["share"] < found.theta["share"]).all() and (found.theta["share"] < high["share"]).all()
    ends = broken(found.u + np.asarray([[-1.645], [1.645]]) * found.spread)
    assert np.abs(np.sort(ends, 0) - expected).max() > 0.05  # what coordinates' ends make of it
    spread = float(found.spread[2])
    assert high["rate"] == pytest.approx(float(np.exp(found.u[2] + 1.644854 * spread)), rel=1e-4)


def test_the_table_tells_the_same_of_every_share():
    found = simplex()
    rows, (low, high) = table(found), found.interval()
    assert [row["name"] for row in rows] == ["share[0]", "share[1]", "share[2]", "rate"]
    np.testing.assert_allclose([row["low"] for row in rows[:3]], low["share"])
    np.testing.assert_allclose([row["high"] for row in rows[:3]], high["share"])
    assert [row["identified"] for row in rows] == [True] * 4 and not any(row["at_bound"] for row in rows)


def test_a_space_knows_which_parameters_mix_their_coordinates():
    space = Space({
        "share": dist.Dirichlet(jnp.ones(3)),
        "rate": dist.LogNormal(0.0, 1.0),
        "several": dist.LogNormal(jnp.zeros(3), 1.0).to_event(1),
        "rising": dist.ImproperUniform(dist.constraints.ordered_vector, (), (3,)),
    })  # fmt: skip
    assert {name: space.mixes(name) for name in space.priors} == {
        "share": True, "rate": False, "several": False, "rising": True,
    }  # fmt: skip
