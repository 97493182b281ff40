"""Fits: the parameters whose simulations come nearest to the data.

`fit` takes a method: multi-start Levenberg-Marquardt (the default, for up to some tens of parameters) or any optimiser
of optax, with minibatches over regions (`Optax`).
"""

from __future__ import annotations

from lpm.calibration.methods.estimate import Direction, Fit, table
from lpm.calibration.methods.levenberg_marquardt import LevenbergMarquardt, levenberg_marquardt
from lpm.calibration.methods.optimise import Optax, Regions, optimise
from lpm.calibration.methods.screen import Progress, silent, sobol
from lpm.calibration.problem import Problem
from lpm.types import HostArray

__all__ = ["Direction", "Fit", "LevenbergMarquardt", "Optax", "Progress", "Regions", "fit", "silent", "sobol", "table"]


def fit(
    problem: Problem,
    method: LevenbergMarquardt | Optax | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
    begin: HostArray | None = None,
) -> Fit:
    """Return the parameters that minimise Q (`lpm.calibration.methods.descent`).

    Args:
        problem: What to fit.
        method: How; None = `LevenbergMarquardt()`.
        seed: Names the screen and the seeds of all runs.
        progress: Told how far it is.
        begin: Where to begin: points u [n, P] to refine besides those of the screen, or for `Optax` one [P] in its
            place.

    Raises:
        CalibrationError: A method that cannot be carried out, as of a budget that does not reach.
        BiasedError: A gradient too far from the truth.
        NotCommonError: The simulation is not a function of parameters and seed.
        ZeroGradientError: Nothing moves with a parameter.
        NotFiniteError: A NaN.
    """
    if isinstance(method, Optax):
        return optimise(problem, method, seed=seed, progress=progress, begin=begin)
    return levenberg_marquardt(problem, method or LevenbergMarquardt(), seed=seed, progress=progress, begin=begin)
