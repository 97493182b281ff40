"""Where a fit begins: the best points of a screen that covers the prior evenly, and whom it tells how far it is.

A kernel may refuse parameters (a rate that is too high for the step, say), and a prior may reach where it does. Such a
point is left out, and the fit says so (`Screen.notes`); a fit ends with an error only where all points are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from lpm.calibration.errors import CalibrationError
from lpm.calibration.problem import Problem
from lpm.errors import InputError
from lpm.types import HostArray

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how many."""


def silent(_what: str, _done: int, _of: int) -> None:
    """Tell nobody."""


def sobol(problem: Problem, count: int, seed: int) -> HostArray:
    """Return points u [count, P] spread evenly over the prior (scrambled Sobol' sequence)."""
    sequence = qmc.Sobol(problem.space.size, rng=np.random.default_rng(seed))
    return problem.space.quantile(sequence.random_base2(max(count - 1, 0).bit_length())[:count])


@dataclass(frozen=True)
class Screen:
    """Points of the prior, with a curve each.

    Attributes:
        points: float64 [n, P], those that the simulation takes.
        curves: float64 [n, D].
        notes: What has to be told of those that it refused.
    """

    points: HostArray
    curves: HostArray
    notes: tuple[str, ...] = ()


def screened(problem: Problem, points: HostArray, seed: int, progress: Progress = silent) -> Screen:
    """Return the curves of points u [n, P], one run each with one seed, without points that are refused.

    Raises:
        CalibrationError: All points are refused.
        NotFiniteError: A NaN: it is an error wherever it comes up, and no refusal.
    """
    count = len(points)
    progress("screen", 0, count)
    every = problem.attempted(lambda: problem.curves(points, np.full(count, seed)))
    notes: tuple[str, ...] = ()
    if isinstance(every, InputError):  # one after the other, to see whose fault it was
        each = [problem.attempted(lambda u=u: problem.curves(u[None], np.asarray([seed]))) for u in points]
        told = [str(one) for one in each if isinstance(one, InputError)]
        if len(told) == count:
            raise CalibrationError(
                f"fit: the simulation refuses all {count} points of the screen, the first because: {told[0]}"
            ) from every
        kept = [row for row, one in enumerate(each) if not isinstance(one, InputError)]
        every = np.concatenate([one for one in each if not isinstance(one, InputError)])
        points = points[kept]
        if told:
            notes = (f"{len(told)} of {count} points of the screen were refused and left out, the first: {told[0]}",)
    progress("screen" if not notes else f"screen ({count - len(points)} points refused)", count, count)
    return Screen(points, every, notes)
