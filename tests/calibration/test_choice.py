"""Conditional logit with changing choice sets: recovery, exact gradients, clustered errors, and what it refuses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.calibration import choice
from lpm.calibration.errors import CalibrationError, NotFiniteError, UnidentifiedError

ITEMS = 7


def logit(parameters: Any, data: Any):
    """One type: appeal of the items and weight of a feature."""
    worth = parameters["appeal"][None] + parameters["slope"] * data
    return worth[None], jnp.zeros(1)


def mixed(parameters: Any, data: Any):
    """Types: the weight of the feature is normal over choosers."""
    nodes, weights = choice.normal_nodes(9)
    slope = parameters["slope"] + parameters["spread"] * nodes
    return parameters["appeal"][None, None] + slope[:, None, None] * data[None], jnp.asarray(weights)


def simulated(seed: int, choosers: int, each: int, spread: float = 0.0):
    """Choices by exponential races, nothing taken twice: no code in common with the likelihood."""
    rng = np.random.default_rng(seed)
    appeal, slope = np.linspace(-1, 1, ITEMS), 0.8 + spread * rng.standard_normal(choosers)
    chooser = np.repeat(np.arange(choosers), each)
    feature = rng.standard_normal((choosers * each, ITEMS))
    chosen, left = np.empty(len(chooser), np.int64), np.ones((choosers, ITEMS), bool)
    for t, who in enumerate(chooser):
        arrival = rng.exponential(size=ITEMS) / np.exp(appeal + slope[who] * feature[t])
        chosen[t] = np.where(left[who], arrival, np.inf).argmin()
        left[who, chosen[t]] = False
    return choice.Choices(chosen, choice.untaken(chooser, chosen, ITEMS), chooser), feature


def weak(parameters: Any):
    """A prior that fixes the level of the appeals."""
    return 0.5 * (parameters["appeal"] ** 2).sum() / 3.0**2


START = {"appeal": np.zeros(ITEMS), "slope": 0.0}


def test_choice_sets_and_counts_are_those_of_the_rows_above():
    chooser, chosen, group = np.array([0, 1, 0, 0]), np.array([2, 2, 0, 1]), np.array([0, 0, 1, 0])
    assert choice.untaken(chooser, chosen, 3).tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 0], [0, 1, 0]]
    assert choice.counts_before(group, chosen, 3).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 2]]


def test_log_likelihood_is_the_product_of_shares_by_hand():
    """Two types, two choosers; the sums are written out."""
    worth = np.array(
        [[[0.0, 1.0, 2.0], [0.5, 0.0, -1.0], [1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0, 2, 0]]]
    )
    sets = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    given = choice.Choices(np.array([2, 0, 1]), sets, np.array([0, 0, 1]))
    weights = np.log([0.3, 0.7])
    found = choice.score(lambda p, d: (d, jnp.asarray(weights)), {}, worth, given)
    e = np.exp
    first = 0.3 * e(2) / (1 + e(1) + e(2)) * e(0.5) / (e(0.5) + e(-1)) + 0.7 * 1 / (e(1) + 2) * 0.5
    second = 0.3 * 0.5 + 0.7 * e(2) / (1 + e(2))
    np.testing.assert_allclose(found, np.log([first, second]), rtol=1e-12)


def test_parameters_are_recovered_within_their_errors():
    """Nine estimates within 3.5 clustered standard errors: fails by chance in 0.4 % of seeds; the seed is fixed."""
    given, feature = simulated(1, 400, 4)
    made = choice.fit(logit, START, feature, given, weak)
    errors = np.sqrt(np.diag(choice.covariance(logit, made.parameters, feature, given, weak)))
    found = np.append(made.parameters["appeal"], made.parameters["slope"])
    truth = np.append(np.linspace(-1, 1, ITEMS), 0.8)
    assert choice.names(START) == [*(f"appeal[{i}]" for i in range(ITEMS)), "slope"]
    assert errors[-1] < 0.05 and (abs(found - truth)[-1] < 3.5 * errors[-1])
    contrast = (found - found[0] - truth + truth[0])[1:ITEMS]  # the level of the appeals is only the prior's
    assert (abs(contrast) < 3.5 * np.hypot(errors[1:ITEMS], errors[0])).all()


@pytest.mark.full
def test_the_spread_between_choosers_is_recovered_and_is_worth_likelihood():
    """The spread 1.0 within 0.3 (3 standard errors), and a gain above 3 errors: both fail by chance below 0.5 %."""
    given, feature = simulated(2, 250, 5, spread=1.0)
    made = choice.fit(mixed, {**START, "spread": 0.5}, feature, given, weak)
    plain = choice.fit(logit, START, feature, given, weak)
    assert abs(abs(float(made.parameters["spread"])) - 1) < 0.3
    mean, error = choice.gain(made.log_likelihood, plain.log_likelihood, given.counts)
    assert mean > 3 * error > 0


def test_the_gradient_is_exact():
    """Central differences in 64 bits: they are off by some 1e-10, and may be by 1e-7."""
    given, feature = simulated(3, 20, 3)

    def total(u: Any) -> Any:
        parameters = {"appeal": u[:ITEMS], "slope": u[ITEMS], "spread": u[ITEMS + 1]}
        rows = (jnp.asarray(given.chosen), jnp.asarray(given.available), jnp.asarray(given.chooser))
        return choice.log_likelihood(*mixed(parameters, jnp.asarray(feature)), rows, given.choosers).sum()

    with jax.enable_x64(True):
        u = np.append(np.linspace(0.3, -0.5, ITEMS), [0.4, 0.7])
        slope = np.asarray(jax.jit(jax.grad(total))(jnp.asarray(u)))
        ways = 1e-5 * np.eye(len(u))
        value = jax.jit(total)
        differences = [(float(value(jnp.asarray(u + h))) - float(value(jnp.asarray(u - h)))) / 2e-5 for h in ways]
    np.testing.assert_allclose(slope, differences, rtol=1e-7, atol=1e-7)


def test_what_is_not_available_has_no_gradient_and_no_chance():
    given, feature = simulated(4, 10, 4)
    moved = np.where(given.available, feature, 50.0)
    at = {"appeal": np.zeros(ITEMS), "slope": 1.0}
    assert (choice.score(logit, at, feature, given) == choice.score(logit, at, moved, given)).all()


@pytest.mark.full
def test_clustered_errors_are_those_of_a_bootstrap_over_choosers():
    """Choosers differ, the model does not know it: the sandwich within 25 % of 100 resamplings (error 7 %)."""
    given, feature = simulated(5, 300, 6, spread=1.5)
    made = choice.fit(logit, START, feature, given, weak)
    error = np.sqrt(choice.covariance(logit, made.parameters, feature, given, weak)[-1, -1])
    rng, slopes = np.random.default_rng(6), []
    for _ in range(100):
        drawn = rng.integers(0, given.choosers, given.choosers)
        rows = (drawn[:, None] * 6 + np.arange(6)).ravel()  # choosers stand in order, six rows each
        again = choice.Choices(given.chosen[rows], given.available[rows], np.repeat(np.arange(given.choosers), 6))
        slopes.append(float(choice.fit(logit, made.parameters, feature[rows], again, weak).parameters["slope"]))
    assert error == pytest.approx(np.std(slopes), rel=0.25)
    # choices of one chooser depend on each other: errors that took them as independent would be too small
    alone = choice.Choices(given.chosen, given.available, np.arange(len(given.chosen)))
    naive = np.sqrt(choice.covariance(logit, made.parameters, feature, alone, weak)[-1, -1])
    assert naive < 0.9 * error


def test_the_error_of_a_gain_is_that_of_a_bootstrap_over_choosers():
    """2,000 resamplings have an error of 1.6 %: within 8 %."""
    rng = np.random.default_rng(7)
    counts = rng.geometric(0.25, 400)
    counts[:5] = 0  # of no weight
    difference = 0.05 * counts + rng.normal(0, np.sqrt(np.maximum(counts, 1) ** 1.5))
    difference[:5] = 0
    mean, error = choice.gain(difference, np.zeros(400), counts)
    drawn = rng.integers(5, 400, (2000, 395))
    means = difference[drawn].sum(1) / counts[drawn].sum(1)
    assert mean == pytest.approx(difference.sum() / counts.sum())
    assert error == pytest.approx(means.std(), rel=0.08)


def test_what_is_wrong_is_named():
    ones = np.ones((2, 3), bool)
    with pytest.raises(CalibrationError, match="item 1 of choice 1 is not in its choice set"):
        choice.Choices(np.array([0, 1]), np.array([[1, 1, 1], [1, 0, 1]], bool), np.array([0, 0]))
    with pytest.raises(CalibrationError, match="expected 2 of each"):
        choice.Choices(np.array([0]), ones, np.array([0, 0]))
    with pytest.raises(CalibrationError, match="items 0 to 2"):
        choice.Choices(np.array([0, 3]), ones, np.array([0, 0]))
    given, feature = simulated(8, 30, 3)
    with pytest.raises(UnidentifiedError, match="appeal"):  # without a prior only differences of appeals are known
        choice.covariance(logit, START, feature, given)
    with pytest.raises(NotFiniteError, match="not finite"):
        choice.fit(logit, START, feature * np.nan, given, weak)
    with pytest.raises(CalibrationError, match="no maximum in 1 iterations"):
        choice.fit(logit, START, feature, given, weak, iterations=1)
    with pytest.raises(CalibrationError, match="two choosers"):
        choice.gain(np.ones(1), np.zeros(1), np.ones(1))
