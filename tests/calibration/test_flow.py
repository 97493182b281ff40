"""Conditional flows: exact inverses and Jacobians, densities that integrate to 1, and a known conditional density."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.posteriors.flow import Shape, density, first_weights, train, transform
from lpm.calibration.posteriors.spline import BOUND, spline


def moved(shape: Shape, seed: int = 0, size: float = 0.3):
    """Weights away from the identity, of one member."""
    weights = first_weights(shape, np.random.default_rng(seed))
    leaves, tree = jax.tree.flatten(weights)
    generator = np.random.default_rng(seed + 1)
    moved = [leaf + jnp.asarray(size * generator.normal(size=leaf.shape), jnp.float32) for leaf in leaves]
    return jax.tree.map(lambda leaf: leaf[0], jax.tree.unflatten(tree, moved))


def test_a_spline_and_its_inverse_undo_each_other_and_the_slope_is_the_derivative() -> None:
    generator = np.random.default_rng(1)
    x = jnp.asarray(np.concatenate([generator.uniform(-3.9, 3.9, 200), [-7.0, 5.0]]), jnp.float32)
    numbers = jnp.asarray(generator.normal(size=(len(x), 14)), jnp.float32)
    y, slope = jax.jit(spline)(x, numbers)
    back, negative = jax.jit(partial(spline, inverse=True))(y, numbers)
    np.testing.assert_allclose(back, x, atol=2e-4)
    np.testing.assert_allclose(negative, -slope, atol=2e-3)
    derivative = jax.jit(jax.vmap(jax.grad(lambda one, own: spline(one, own)[0])))(x, numbers)
    np.testing.assert_allclose(np.log(derivative), slope, atol=1e-4)
    assert np.array_equal(y[-2:], x[-2:]) and not slope[-2:].any()


def test_a_spline_of_zeros_is_the_identity() -> None:
    x = jnp.linspace(-BOUND - 1, BOUND + 1, 41)
    y, slope = jax.jit(spline)(x, jnp.zeros((41, 8)))
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(slope, 0, atol=1e-5)


@pytest.mark.parametrize("bins", [0, pytest.param(4, marks=pytest.mark.full)])
def test_the_density_is_that_of_what_the_flow_makes_of_normal_numbers(bins: int) -> None:
    shape = Shape(3, 2, layers=3, hidden=12, bins=bins, members=1)
    weights = moved(shape)
    generator = np.random.default_rng(2)
    z = jnp.asarray(generator.normal(size=(6, 3)), jnp.float32)
    c = jnp.asarray(generator.normal(size=(6, 2)), jnp.float32)
    x = jax.jit(partial(transform, shape))(weights, z, c)
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda a, b: transform(shape, weights, a[None], b[None])[0])))(z, c)
    expected = -0.5 * (z**2).sum(1) - 1.5 * np.log(2 * np.pi) - np.linalg.slogdet(np.asarray(slopes, np.float64))[1]
    np.testing.assert_allclose(jax.jit(partial(density, shape))(weights, x, c), expected, atol=5e-3)
    assert float(jnp.abs(x - z).max()) > 0.1  # not the identity


@pytest.mark.parametrize("bins", [0, pytest.param(4, marks=pytest.mark.full)])
def test_the_density_of_one_number_integrates_to_one_whatever_the_condition(bins: int) -> None:
    shape = Shape(1, 2, layers=2, hidden=8, bins=bins, members=1)
    weights = moved(shape, 5)
    x = jnp.linspace(-40, 40, 20_001)[:, None]
    for row in ([0.0, 0.0], [1.5, -1.0]):
        c = jnp.broadcast_to(jnp.asarray(row), (len(x), 2))
        assert float(jnp.exp(density(shape, weights, x, c)).sum() * 80 / 20_000) == pytest.approx(1, abs=2e-3)


def test_a_coordinate_moves_only_with_those_before_it() -> None:
    """Three coordinates through one layer: x_i may depend on z_i and the earlier of the layer's order only."""
    shape = Shape(3, 1, layers=1, hidden=12, members=1)
    weights = moved(shape)
    slope = jax.jacfwd(lambda z: transform(shape, weights, z[None], jnp.ones((1, 1)))[0])(jnp.asarray([0.3, -0.2, 0.5]))
    in_order = np.asarray(slope)[:, ::-1]  # the layer sees z backwards
    assert np.array_equal(np.triu(in_order, 1), np.zeros((3, 3)))
    assert (np.abs(np.diag(in_order)) > 0.05).all() and np.abs(np.tril(in_order, -1)).max() > 1e-3


@pytest.mark.full
def test_a_known_conditional_density_is_learned() -> None:
    """X = c / 2 + |c| e with e normal: mean and width both follow c. One run, fixed seeds."""
    generator = np.random.default_rng(3)

    def pairs(count: int):
        c = generator.choice([-2.0, -1.0, 1.0, 2.0], size=(count, 1))
        return c / 2 + np.abs(c) * generator.normal(size=(count, 1)), c

    x, c = pairs(1500)
    found = train(Shape(1, 1, layers=2, hidden=16, members=1), x, c[None], epochs=60, rate=5e-3)
    x, c = pairs(2000)
    exact = -0.5 * ((x - c / 2) / c)[:, 0] ** 2 - np.log(np.abs(c[:, 0]) * np.sqrt(2 * np.pi))
    assert 0 <= float((exact - found.log_prob(x, c)).mean()) < 0.03  # Kullback-Leibler divergence, in nats
    drawn = found.draw(jax.random.key(0), np.asarray([[-2.0], [1.0]]), 3000)[..., 0]
    np.testing.assert_allclose(drawn.mean(1), [-1, 0.5], atol=0.15)
    np.testing.assert_allclose(drawn.std(1), [2, 1], rtol=0.1)


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(CalibrationError, match="flow: hidden: expected at least 5, got 3"):
        Shape(5, 1, hidden=3)
    with pytest.raises(CalibrationError, match="at least 20 pairs to learn from, got 5"):
        train(Shape(1, 1), np.zeros((5, 1)), np.zeros((1, 5, 1)))
    with pytest.raises(NotFiniteError, match="NaN or infinite pairs"):
        train(Shape(1, 1), np.full((30, 1), np.nan), np.zeros((1, 30, 1)))
