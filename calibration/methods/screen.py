"""Where a fit begins: the best points of a screen that covers the prior evenly, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

from lpm.calibration.problem import Problem
from lpm.types import HostArray

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how many."""


def silent(_what: str, _done: int, _of: int) -> None:
    """Tell nobody."""


def sobol(problem: Problem, count: int, seed: int) -> HostArray:
    """Return points u [count, P] spread evenly over the prior (scrambled Sobol' sequence)."""
    sequence = qmc.Sobol(problem.space.size, rng=np.random.default_rng(seed))
    return problem.space.quantile(sequence.random_base2(max(count - 1, 0).bit_length())[:count])
