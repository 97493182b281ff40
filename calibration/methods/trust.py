"""Which gradient a fit follows: the one asked for where it can be trusted, else an error that says how wrong it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.jacobian import Estimator
from lpm.calibration.gradcheck import EVERY_COORDINATE, choose, gradcheck
from lpm.calibration.problem import Problem
from lpm.types import HostArray

Gradient = Estimator | Literal["auto"]
"""An estimator, or "auto": see `lpm.calibration.gradcheck.choose`."""

SEEDS, TRUTH_SEEDS = 16, 32
"""Seeds of an estimator, and of the truth, in the check that a biased one has to pass before a fit follows it."""


def trusted(
    problem: Problem, u: HostArray, gradient: Gradient, among: Sequence[Estimator], override: bool, usual: Estimator
) -> tuple[Estimator, tuple[str, ...]]:
    """Return the estimator that a fit follows, and what has to be told of the choice.

    One that says that it is biased is checked where the fit begins, against common random numbers from seeds that it
    does not get, and refused below a cosine of 0.95 or outside a norm ratio of 0.8 to 1.25. Where more seeds might have
    turned the verdict, the fit says so; "auto" takes none of which that is so.

    Args:
        problem: The problem.
        u: Where the fit begins [P].
        gradient: What was asked for.
        among: What "auto" has to choose from beside common random numbers.
        override: Take a biased one without a check.
        usual: What "auto" takes where nothing in `among` is better.

    Raises:
        BiasedError: It is biased, and too far from the truth.
        UnusableError: It cannot be used here.
        CalibrationError: A word that is not "auto".
    """
    seeds = 1_000_000_000 + np.arange(SEEDS + TRUTH_SEEDS)  # no fit's
    if isinstance(gradient, str):
        if gradient != "auto":
            raise CalibrationError(f"gradient: expected an estimator or 'auto', got '{gradient}'")
        if problem.space.size <= EVERY_COORDINATE or not among:
            return usual, ()
        check = gradcheck(problem, u, among, seeds=seeds[:SEEDS], truth_seeds=seeds[SEEDS:])
        chosen = choose(problem, u, among, check=check, usual=usual)
        left = [f"'{row.name}' {row.told}" for row in check.rows if row.passed and not row.sure]
        doubt = f"; passed over, as {SEEDS} seeds are too few to be sure: {', '.join(left)}" if left else ""
        return chosen, (f"gradient 'auto' follows {chosen.name}{doubt}",)
    if gradient.biased and not override:
        check = gradcheck(problem, u, [gradient], seeds=seeds[:SEEDS], truth_seeds=seeds[SEEDS:])
        row = check.require(gradient.name)
        if not row.sure:
            return gradient, (f"gradient '{row.name}' {row.told} passes its check, but {SEEDS} seeds are not sure",)
    return gradient, ()
