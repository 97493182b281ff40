"""Fits that are stopped and begun again: the same to the last bit as if they had never been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm.calibration.archive import Archive
from lpm.calibration.fit import Fit, LevenbergMarquardt, fit
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray
from tests.calibration.test_fit import problem as curve_problem

HOW = LevenbergMarquardt(starts=16, refined=2, last_seeds=8, simulations=200)


class Stopped:
    """A simulator that is interrupted after a number of runs."""

    def __init__(self, inner: Any, most: int):
        """Take the simulator, and how many runs it is given."""
        self.inner, self.groups, self.left = inner, inner.groups, most

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Run, or be interrupted."""
        self.left -= len(seeds)
        if self.left < 0:
            raise KeyboardInterrupt
        return self.inner.run(theta, seeds)


def grown(theta: Mapping[str, Any], generator: np.random.Generator) -> HostArray:
    return np.exp(theta["x0"] * np.linspace(0, 2, 12) + 0.1 * generator.normal()) + theta["x1"] * np.arange(12)


def problem() -> Problem:
    """Return a curve of two parameters and of chance, and what one of its runs showed."""
    made = curve_problem(grown, np.ones(12))
    return curve_problem(grown, made.expected(np.asarray([[1.1, -0.4]]), np.asarray([99]))[0])


def same(one: Fit, two: Fit) -> None:
    """Refuse two fits that differ in a bit."""
    np.testing.assert_array_equal(one.u, two.u)
    np.testing.assert_array_equal(one.covariance, two.covariance)
    assert (one.objective, one.trace, one.simulations) == (two.objective, two.trace, two.simulations)


def test_a_fit_that_was_stopped_in_the_middle_goes_on_to_the_same_bits(tmp_path: Path):
    given = problem()
    whole = fit(given, HOW)
    stopped = replace(given, simulator=Stopped(given.simulator, 50), archive=Archive(tmp_path, "one", 8), ran=[0])
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, HOW)
    kept = Archive(tmp_path, "one", 8)
    assert 30 <= len(kept) <= 50
    counted = Stopped(given.simulator, 10**6)
    again = fit(replace(given, simulator=counted, archive=kept, ran=[0]), HOW)
    same(whole, again)
    assert (
        10**6 - counted.left <= whole.simulations - len(Archive(tmp_path, "one", 8)) + 60
    )  # the past was not run again
    kept.write()
    rerun = Stopped(given.simulator, 2)  # the check of common random numbers is all that is run
    same(whole, fit(replace(given, simulator=rerun, archive=Archive(tmp_path, "one", 8), ran=[0]), HOW))


def test_what_another_problem_left_is_refused(tmp_path: Path):
    archive = Archive(tmp_path, "one", 1)
    archive.get(np.zeros((1, 2)), np.zeros(1, int), lambda u, _: u)
    with pytest.raises(InputError):
        Archive(tmp_path, "two")
    with pytest.raises(InputError, match="expected at least 1 simulation between checkpoints"):
        Archive(tmp_path, "one", 0)


def test_nothing_is_written_twice_or_asked_twice(tmp_path: Path):
    asked: list[int] = []

    def run(u: HostArray, seeds: HostArray) -> HostArray:
        asked.extend(int(seed) for seed in seeds)
        return u * seeds[:, None]

    archive, u = Archive(tmp_path, "one", 3), np.arange(10.0).reshape(5, 2)
    told = archive.get(u, np.arange(5), run)
    np.testing.assert_array_equal(told, u * np.arange(5)[:, None])
    np.testing.assert_array_equal(archive.get(u[::-1], np.arange(5)[::-1], run), told[::-1])
    archive.get(u[:1], np.asarray([7]), run)  # the same point with another seed
    assert asked == [0, 1, 2, 3, 4, 7]


@pytest.mark.full
def test_a_fit_whose_process_was_killed_goes_on_to_the_same_bits(tmp_path: Path):
    script = """
        import os, signal, sys
        from dataclasses import replace
        from pathlib import Path
        from lpm.calibration.archive import Archive
        from lpm.calibration.fit import fit
        from tests.calibration.test_archive import HOW, Stopped, problem

        class Killed(Stopped):
            def run(self, theta, seeds):
                if self.left < len(seeds):
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().run(theta, seeds)

        given = problem()
        archive = Archive(Path(sys.argv[1]), "one", 8)
        fit(replace(given, simulator=Killed(given.simulator, 50), archive=archive, ran=[0]), HOW)
    """
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    ended = subprocess.run(command, env=environment, cwd=root, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL
    given, kept = problem(), Archive(tmp_path, "one", 8)
    assert 30 <= len(kept) <= 50
    same(fit(given, HOW), fit(replace(given, archive=kept, ran=[0]), HOW))
