"""Spaces: every family's bijector there and back, densities against scipy and by quadrature, units and bounds.

Drawn numbers have fixed seeds.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from lpm.calibration.errors import CalibrationError
from lpm.calibration.space import WIDEST, Space, Truncated, prior_of
from lpm.errors import InputError

st: Any = scipy.stats

FAMILIES = {
    "normal": (dist.Normal(1.0, 2.0), st.norm(1, 2)),
    "lognormal": (dist.LogNormal(-1.2, 0.5), st.lognorm(0.5, scale=np.exp(-1.2))),
    "uniform": (dist.Uniform(-1.0, 3.0), st.uniform(-1, 4)),
    "log-stretched": (dist.Uniform(0.001, 1.0), st.uniform(0.001, 0.999)),
    "beta": (dist.Beta(2.0, 5.0), st.beta(2, 5)),
    "half-normal": (dist.HalfNormal(0.3), st.halfnorm(0, 0.3)),
    "gamma": (dist.Gamma(2.0, 4.0), st.gamma(2, scale=0.25)),
    "truncated": (Truncated(dist.Normal(0.5, 0.3), 0.0, 1.0), st.truncnorm(-0.5 / 0.3, 0.5 / 0.3, 0.5, 0.3)),
    "truncated above": (Truncated(dist.Normal(0.0, 1.0), -np.inf, 0.5), st.truncnorm(-np.inf, 0.5, 0, 1)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_and_the_density(family: str):
    """Back from theta to u; and log p(u) = log p(theta) + log dtheta/du, p of scipy, the slope by differences."""
    prior, oracle = FAMILIES[family]
    space, u = Space({"x": prior}), np.linspace(-2, 2, 9)[:, None]
    theta = np.asarray(space.constrain(u)["x"], np.float64)
    assert np.allclose(space.unconstrain({"x": theta}), u, atol=2e-3)
    up, down = (np.asarray(space.constrain(u + h)["x"], np.float64) for h in (0.01, -0.01))
    assert np.allclose(space.log_prob(u), oracle.logpdf(theta) + np.log(np.abs(up - down) / 0.02), atol=2e-3)


@pytest.mark.parametrize("family", ["truncated", "truncated above", "log-stretched"])
def test_a_density_of_u_adds_up_to_one(family: str):
    u = np.linspace(-15, 15, 6001)
    density = np.exp(np.asarray(Space({"x": FAMILIES[family][0]}).log_prob(u[:, None]), np.float64))
    assert np.trapezoid(density, u) == pytest.approx(1, abs=2e-3)


def test_truncated_draws_follow_their_distribution():
    """Kolmogorov-Smirnov on 2,000 draws; false alarm: 0.1 %."""
    prior, oracle = FAMILIES["truncated"]
    drawn = np.asarray(prior.sample(jax.random.key(3), (2000,)))
    assert st.kstest(drawn, oracle.cdf).pvalue > 0.001
    assert float(prior.log_prob(jnp.float32(1.1))) == -np.inf


def test_vectors_and_simplexes_stand_in_one_vector_with_scalars():
    three = dist.Dirichlet(jnp.asarray([2.0, 3.0, 4.0]))
    several = dist.Normal(jnp.zeros(2), jnp.asarray([1.0, 3.0])).to_event(1)
    space = Space({"a": dist.LogNormal(0.0, 1.0), "p": three, "x": several})
    assert space.names == ("a", "p[0]", "p[1]", "x[0]", "x[1]") and space.size == 5
    u = np.random.default_rng(1).normal(size=(7, 5))
    steps = 0.01 * np.stack([np.zeros(5), *np.eye(5)[1:3], *-np.eye(5)[1:3]])
    moved = jax.jit(space.constrain)(u + steps[:, None])  # [5, 7, ...]
    theta = {name: np.asarray(each[0], np.float64) for name, each in moved.items()}
    assert theta["p"].shape == (7, 3) and np.allclose(theta["p"].sum(-1), 1, atol=1e-6) and (theta["p"] > 0).all()
    assert np.allclose(space.unconstrain(theta), u, atol=1e-3)
    shares = np.asarray(moved["p"], np.float64)[..., :2]
    slope = np.moveaxis((shares[1:3] - shares[3:]) / 0.02, 0, -1)  # [7, 2, 2]
    expected = st.lognorm(1).logpdf(theta["a"]) + np.log(theta["a"])
    expected += [st.dirichlet([2, 3, 4]).logpdf(each / each.sum()) for each in theta["p"]]
    expected += np.log(np.abs(np.linalg.det(slope)))
    expected += st.norm(0, [1, 3]).logpdf(theta["x"]).sum(-1)
    assert np.allclose(jax.jit(space.log_prob)(u), expected, atol=1e-3)


def test_its_box_and_spread_are_those_of_the_prior():
    """A log-normal is normal in u; 4,096 draws: standard errors 0.008 and 0.006, the tolerance is five of them."""
    space = Space({"a": dist.LogNormal(-1.0, 0.5)})
    assert space.mean[0] == pytest.approx(-1, abs=0.04) and space.spread[0] == pytest.approx(0.5, abs=0.03)
    assert space.box[0][0] < -1 - 2.3 * 0.5 and space.box[1][0] > -1 + 2.3 * 0.5
    assert space.at_bound(space.box[0]) == ("a",) and space.at_bound(space.mean) == ()


def test_the_unit_of_a_difference_changes_a_number_alike():
    """Positive: 1, a relative change; unbounded: the prior's spread; an interval: longer towards its ends, to a limit.

    At share s of an interval ds/du = s (1 - s), so the unit 1 / (4 s (1 - s)) moves s by a quarter wherever it is.
    """
    space = Space({"a": dist.LogNormal(0.0, 1.0), "b": dist.Normal(0.0, 7.0), "c": dist.Uniform(-1.0, 1.0)})
    for share in (0.5, 0.1, 0.02):
        u = np.asarray([0.3, 1.0, np.log(share / (1 - share))])
        widths = space.widths(u)
        assert widths[0] == 1 and widths[1] == pytest.approx(7, rel=0.06)
        assert widths[2] * share * (1 - share) == pytest.approx(0.25)
    assert space.widths(np.asarray([0, 0, -9.0]))[2] == WIDEST


def test_declared_priors():
    assert prior_of("lognormal", 0.3, 0.5, (0.0, np.inf)).log_prob(0.3) == pytest.approx(
        st.lognorm(0.5, scale=0.3).logpdf(0.3), abs=1e-5
    )
    held = prior_of("normal", 0.9, 0.5, (0.0, 1.0))
    assert held.log_prob(0.7) == pytest.approx(st.truncnorm(-1.8, 0.2, 0.9, 0.5).logpdf(0.7), abs=1e-5)
    assert prior_of("uniform", -1, 2, (0.0, 1.0)).high == 1.0
    with pytest.raises(CalibrationError, match="spread above 0"):
        prior_of("normal", 1, 0)
    with pytest.raises(CalibrationError, match="low below high"):
        prior_of("uniform", 2, 3, (0.0, 1.0))
    with pytest.raises(InputError, match="did you mean 'lognormal'"):
        prior_of("lognorml", 1, 1)


def test_what_is_no_space_is_refused():
    space = Space({"beta": dist.Beta(2.0, 2.0)})
    with pytest.raises(InputError, match="did you mean 'beta'"):
        space.unconstrain({"bta": 0.5})
    with pytest.raises(InputError, match="'beta', it is missing"):
        space.unconstrain({})
    with pytest.raises(InputError, match="outside or at the edge"):
        space.unconstrain({"beta": 1.0})
    for bad in ({}, {"n": dist.Poisson(3.0)}, {"n": dist.Normal(jnp.zeros(2), jnp.ones(2))}):
        with pytest.raises(InputError, match="expected"):
            Space(bad)
