"""Fits by optax: where they end on models with a known optimum, minibatches, plateaus, going on after a kill.

All are deterministic for their seeds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import optax
import pytest

from lpm.calibration.archive import Archive
from lpm.calibration.errors import CalibrationError, NotCommonError, NotFiniteError, ZeroGradientError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.fit import Optax, Regions, fit
from lpm.calibration.likelihood import Normal
from lpm.calibration.methods.optimise import Plateau, gradient, objective
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space

REGIONS = ("north", "east", "south", "west")


class Line:
    """y = (a + b t) by region, the seed's noise on top: in numpy, without a compilation."""

    groups = {"y": REGIONS}

    def __init__(self, noise: float = 0.0):
        """Take the noise's standard deviation."""
        self.noise, self.runs = noise, 0

    def run(self, theta: Any, seeds: Any) -> Any:
        """Return float64 [B, 5, 4]."""
        self.runs += len(seeds)
        line = theta["a"][:, None].astype(float) + theta["b"][:, None] * np.linspace(-1, 1, 5)
        noise = [np.random.default_rng(int(seed)).normal(0, self.noise, (5, 4)) for seed in seeds]
        return {"y": np.repeat(line[:, :, None], 4, 2) + np.asarray(noise)}


def problem(simulator: Any = None, **options: Any) -> Problem:
    """Return a line of 20 values, sd 0.5, that is not quite the same in all regions."""
    space = Space({"a": dist.Normal(0.0, 2.0), "b": dist.Normal(0.0, 2.0)})
    step, region = np.arange(20) // 4, np.arange(20) % 4
    values = 1.5 - 0.8 * np.linspace(-1, 1, 5)[step] + 0.1 * region
    told = Series("y", values, step, step + 1, tuple(REGIONS[r] for r in region), likelihood=Normal(0.5))
    return Problem(space, Observation((told,)), simulator or Line(), **options)


def ridge(made: Problem) -> Any:
    """Return the u that minimises Q, by the normal equations, and the inverse of half of Q's second derivative."""
    slope = np.stack([np.ones(20), np.linspace(-1, 1, 5)[np.arange(20) // 4]], 1) / 0.5
    matrix = slope.T @ slope + np.diag(made.space.spread**-2)
    right = slope.T @ made.observation.target + made.space.mean / made.space.spread**2
    return np.linalg.solve(matrix, right), np.linalg.inv(matrix)


@pytest.mark.parametrize(
    ("optimiser", "minibatch"),
    [(None, None), (optax.sgd(0.002, momentum=0.5), None), (None, Regions(2))],
    ids=["adam", "sgd", "two regions"],
)
def test_it_ends_where_the_normal_equations_do(optimiser: Any, minibatch: Regions | None):
    """Within a tenth of a standard error with all regions; batches of two go to and fro: within one."""
    made = problem()
    expected, covariance = ridge(made)
    found = fit(made, Optax(optimiser, 120, minibatch=minibatch, patience=20, tolerance=1e-4, starts=4))
    assert (np.abs(found.u - expected) < (0.1 if minibatch is None else 1) * np.sqrt(np.diag(covariance))).all()
    assert np.allclose(found.covariance, covariance, rtol=0.02)
    assert found.simulations == made.simulations and found.trace[0][-1][1] < found.trace[0][0][1] + 1e-9


def test_the_gradient_is_the_slope_of_the_objective():
    """Central differences of Q on some rows with a weight; a line's Q is a parabola, so they are exact."""
    made, u, rows = problem(), np.asarray([0.3, -0.4]), np.asarray([1, 4, 5, 13])
    weight = np.tril(np.random.default_rng(3).normal(size=(4, 4)))
    seeds = np.arange(1)

    def value(at: Any) -> float:
        return objective(made, at, made.curves(at[None], seeds)[0], weight, rows, 2.5)

    slope = gradient(made, u, CommonRandomNumbers(0.5).jac(made, u, seeds), weight, rows, 2.5)
    direct = [(value(u + step) - value(u - step)) / 0.5 for step in np.diag([0.25, 0.25])]
    assert np.allclose(slope, direct, rtol=1e-4)


def test_minibatches_take_every_region_once_a_pass_and_are_not_biased():
    batches = [Regions(3).batch(7, step, seed=5) for step in range(6)]
    for first in (0, 3):
        assert sorted(np.concatenate(batches[first : first + 3])) == list(range(7))
    assert [len(each) for each in batches] == [3, 3, 1, 3, 3, 1]
    assert not all(np.array_equal(a, b) for a, b in zip(batches[:3], batches[3:], strict=True))
    assert np.array_equal(Regions(3).batch(7, 4, 5), batches[4])


def test_a_plateau_is_a_mean_that_no_longer_falls():
    falling, flat = Plateau(3, 0.01), Plateau(3, 0.01)
    assert not any(falling.reached(0.9**n) for n in range(40))
    assert [flat.reached(value) for value in (2, 1, 3, 2, 3, 1)] == [False] * 5 + [True]


def test_it_stops_early_and_tells_how_far_it_is():
    told: list[tuple[str, int, int]] = []
    method = Optax(optax.sgd(0.005), 400, patience=5, starts=2)
    found = fit(problem(), method, progress=lambda *each: told.append(each))
    assert 10 < len(found.trace[0]) < 100
    assert told[0] == ("screen", 0, 2) and told[-1] == ("steps", 400, 400)


def test_one_that_was_killed_goes_on_and_ends_the_same(tmp_path: Path):
    """Killed at step 20: what was kept is not run again, and the end is the same bit for bit."""
    method = Optax(None, 30, minibatch=Regions(2), starts=4, last_seeds=4)
    straight = fit(problem(Line(0.3)), method, seed=2)

    def dies(_: str, step: int, of: int) -> None:
        if step == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(problem(Line(0.3), archive=Archive(tmp_path, "line", every=10)), method, seed=2, progress=dies)
    simulator = Line(0.3)
    kept = Archive(tmp_path, "line", every=10)
    before = len(kept)
    again = fit(problem(simulator, archive=kept), method, seed=2)
    assert np.array_equal(again.u, straight.u) and again.trace == straight.trace
    assert before >= 90 and simulator.runs == 2 + len(kept) - before  # 2: the check of common numbers
    assert len(Archive(tmp_path, "line")) == len(kept)


def test_process_noise_comes_into_the_weight():
    """Noise of sd 1 beside data of sd 0.5: errors are those of sd sqrt(1.25), of 200 runs; shrunken, within 15 %."""
    made = problem(Line(1.0))
    found = fit(made, Optax(None, 4, starts=2, last_seeds=200))
    slope = np.stack([np.ones(20), np.linspace(-1, 1, 5)[np.arange(20) // 4]], 1)
    expected = np.linalg.inv(slope.T @ slope / 1.25 + np.diag(made.space.spread**-2))
    assert np.allclose(found.spread, np.sqrt(np.diag(expected)), rtol=0.15)


def test_what_cannot_be_fitted_is_named():
    class Chance(Line):
        def run(self, theta: Any, seeds: Any) -> Any:
            self.runs += 1
            made = super().run(theta, seeds)["y"]
            return {"y": made + np.arange(len(seeds))[:, None, None]}

    class Broken(Line):
        def run(self, theta: Any, seeds: Any) -> Any:
            return {"y": super().run(theta, seeds)["y"] + np.nan}

    idle = Space({**problem().space.priors, "idle": dist.Normal(0.0, 1.0)})
    with pytest.raises(NotCommonError):
        fit(problem(Chance()), Optax())
    with pytest.raises(NotFiniteError):
        fit(problem(Broken()), Optax())
    with pytest.raises(ZeroGradientError, match="idle"):
        fit(replace(problem(), space=idle), Optax())
    with pytest.raises(CalibrationError, match="a line search cannot call a simulation"):
        fit(problem(), Optax(optax.lbfgs()))
    with pytest.raises(CalibrationError, match="at most the 4 regions, got 5"):
        fit(problem(), Optax(minibatch=Regions(5)))
    with pytest.raises(CalibrationError, match="expected an optimiser of optax"):
        Optax("adam")
    with pytest.raises(CalibrationError, match="steps of at least 1"):
        Optax(steps=0)
