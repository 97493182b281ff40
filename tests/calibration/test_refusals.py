"""Parameters that a kernel refuses: points that are left out and told once, and no end of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

from lpm.calibration.archive import Archive
from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.fit import LevenbergMarquardt, Optax, fit
from lpm.calibration.methods.screen import screened
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray
from tests.calibration.test_fit import A, Curve, Y, line, problem


@dataclass(frozen=True)
class Refusing(Curve):
    """The line, for x0 up to a bound: beyond it a batch is refused as a kernel does."""

    most: float = 2.5
    error: type[Exception] = InputError

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return one curve after the other."""
        if (theta["x0"] > self.most).any():
            raise self.error(f"kernel: x0: expected at most {self.most:g}, got {theta['x0'].max():.3g}")
        return super().run(theta, seeds)


def given(most: float = 2.5, error: type[Exception] = InputError, **options: Any) -> Problem:
    whole = problem(line, Y)
    return Problem(
        whole.space, Observation(whole.observation.series), Refusing(line, most=most, error=error), **options
    )


METHODS = {
    "steps": LevenbergMarquardt(),
    "optax": Optax(optax.adam(0.1), 60, patience=10, tolerance=1e-3),
}


@pytest.mark.parametrize("name", METHODS)
def test_points_of_the_screen_that_are_refused_are_left_out_and_told_once(name: str):
    told: list[tuple[str, int, int]] = []
    made = given()
    found = fit(made, METHODS[name], progress=lambda *each: told.append(each))
    full = fit(problem(line, Y), METHODS[name])
    assert np.abs(found.u - full.u).max() < (3e-3 if name == "steps" else 0.1)
    (note,) = found.notes
    assert "of 32 points of the screen were refused" in note and "kernel: x0: expected at most 2.5, got" in note
    assert sum("refused" in what for what, _, _ in told) == 1 and full.notes == ()
    assert isinstance(made.simulator, Refusing)
    assert found.simulations == len(made.simulator.ran)  # what is refused has not run


@pytest.mark.parametrize("name", METHODS)
def test_a_simulation_that_refuses_every_point_is_one_clear_error(name: str):
    with pytest.raises(CalibrationError, match="refuses all 32 points of the screen, the first because: kernel: x0"):
        fit(given(-100.0), METHODS[name])


def test_a_nan_and_a_fault_of_the_machine_are_no_refusals():
    class Full(InputError):
        def __init__(self, *told: str):
            super().__init__(*told)
            self.__cause__ = OSError("No space left on device")

    with pytest.raises(NotFiniteError):
        fit(given(error=NotFiniteError))
    with pytest.raises(Full):
        fit(given(error=Full))
    with pytest.raises(KeyError):
        fit(given(error=KeyError))


def bent(theta: Mapping[str, Any], _: Any) -> HostArray:
    return A[:, 0] * np.exp(theta["x0"]) + A[:, 1] * theta["x1"]


def test_a_step_too_far_is_made_shorter_and_a_difference_at_the_edge_is_one_sided():
    """The answer is 1.4 and the bound 1.7: a first step along the slope at -1 goes beyond it."""
    whole = problem(bent, A @ [np.exp(1.4), 0.5])
    made = Problem(whole.space, whole.observation, Refusing(bent, most=1.7))
    found = fit(made, LevenbergMarquardt(starts=4, refined=1), begin=np.asarray([[-1.0, 0.0]]))
    assert found.u[0] == pytest.approx(1.4, abs=0.2)
    u, seeds = np.asarray([1.65, 0.0]), np.arange(2)
    edge = CommonRandomNumbers().jac(made, u, seeds).jacobian
    unit = float(made.space.widths(u)[0])
    backward = (np.exp(1.65) - np.exp(1.65 - 0.05 * unit)) / (0.05 * unit)
    np.testing.assert_allclose(edge, np.stack([A[:, 0] * backward, A[:, 1]], 1), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="kernel: x0"):
        CommonRandomNumbers().jac(made, np.asarray([3.0, 0.0]), seeds, np.zeros((2, 12)))


def test_kept_simulations_are_those_of_points_that_ran(tmp_path: Path):
    made = given(archive=Archive(tmp_path, "refusing"))
    points = np.asarray([[0.0, 0.0], [5.0, 0.0], [1.0, 1.0]])
    found = screened(made, points, 7)
    np.testing.assert_array_equal(found.points, points[[0, 2]])
    np.testing.assert_allclose(found.curves, points[[0, 2]] @ A.T, atol=1e-6)
    assert made.archive is not None and len(made.archive) == 2 and made.simulations == 2
