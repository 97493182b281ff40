r"""Gradient check: how far each estimator is from the truth, on the user's own problem.

Bias is a property of estimator, network and horizon together, so it is measured and not cited. The truth J* are common
random numbers, extrapolated (Richardson), from seeds that no estimator gets. With W the weights of the loss
:math:`\tfrac12 (m - y)' W (m - y)`, m* the truth's mean curve and :math:`g = J' W (m^* - y)`, the residual being the
truth's for everybody,

.. math:: \text{bias} = \frac{|g - g^*|}{|g^*|},\quad \cos = \frac{g \cdot g^*}{|g| |g^*|},\quad
    \text{ratio} = \frac{|g|}{|g^*|},\quad \text{noise} = \frac{\sqrt{\mathrm{tr}\,\mathrm{Cov}\,g_s}}{|g^*|}

with g_s of one seed, and bias and cosine of the whole Jacobian in the Frobenius norm. Standard errors are those of a
bootstrap over seeds, of the estimator's and the truth's at once. A bias is a length: with noise alone it would still be
`floor` on average, sqrt(tr Cov g + tr Cov g*) / |g*| of the means, and nothing below that is told apart from 0.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from lpm.calibration.check import Check, Row
from lpm.calibration.errors import CalibrationError, NotFiniteError, UnusableError, ZeroGradientError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, Jacobian, covariance_of
from lpm.calibration.problem import Problem
from lpm.types import HostArray

DRAWS = 400
"""Bootstrap samples: a standard error is off by 4 % of itself."""

EVERY_COORDINATE = 32
"""Most parameters for which common random numbers are taken without asking: two runs for each and seed."""


def gradcheck(
    problem: Problem,
    u: HostArray,
    estimators: Sequence[Estimator],
    *,
    target: HostArray | None = None,
    weights: HostArray | None = None,
    seeds: HostArray | int = 64,
    truth_seeds: HostArray | int = 256,
    truth: Jacobian | None = None,
) -> Check:
    """Return how far estimators are from common random numbers.

    Args:
        problem: The problem.
        u: The point [P].
        estimators: What is checked; one that cannot be used here gets a row that says why.
        target: The curve y [D] of the loss, on the stabilised scale; None = what was observed.
        weights: W, [D] or [D, D]; None = 1.
        seeds: Those of the estimators, or how many (from 0 on).
        truth_seeds: Those of the truth, or how many (behind the others).
        truth: A truth that is at hand already, from seeds that are not among `seeds`; it has to be extrapolated.

    Raises:
        CalibrationError: Seeds of both overlap, fewer than two of the truth, two estimators of one name, or a residual
            of 0, of which there is no gradient.
    """
    u = np.asarray(u, np.float64)
    own = np.arange(seeds) if isinstance(seeds, int) else np.asarray(seeds)
    if isinstance(truth_seeds, int):
        truth_seeds = (int(own.max()) if len(own) else 0) + 1 + np.arange(truth_seeds)
    if truth is None and np.intersect1d(own, truth_seeds).size:
        raise CalibrationError("gradient check: expected seeds of the truth that no estimator gets")
    names = [each.name for each in estimators]
    if len(set(names)) != len(names):
        raise CalibrationError(f"gradient check: expected estimators of different names, got {', '.join(names)}")
    known = truth or CommonRandomNumbers(richardson=True).jac(problem, u, truth_seeds)
    if len(known.each) < 2:
        raise CalibrationError("gradient check: expected at least two seeds of the truth, to know how sure it is")
    residual = known.mean - (problem.observation.target if target is None else np.asarray(target))
    size = len(residual)
    matrix = np.eye(size) if weights is None else np.diag(weights) if np.ndim(weights) == 1 else np.asarray(weights)
    pull = matrix @ residual
    star = known.jacobian.T @ pull
    if not np.linalg.norm(star) > 0:
        raise CalibrationError("gradient check: the loss has no gradient here: the curve is the target; move u")
    rows: list[Row] = []
    gradients: dict[str, HostArray] = {}
    for each in estimators:
        row, gradient = _checked(problem, u, each, own, known, pull)
        rows.append(row)
        if gradient is not None:
            gradients[each.name] = gradient
    spread = np.sqrt(np.trace(covariance_of(known.each.transpose(0, 2, 1) @ pull)) / len(known.each))
    relative = float(spread / np.linalg.norm(star))
    return Check(tuple(rows), star, relative, len(known.each), problem.space.names, gradients)


def _checked(
    problem: Problem, u: HostArray, estimator: Estimator, seeds: HostArray, truth: Jacobian, pull: HostArray
) -> tuple[Row, HostArray | None]:
    """Return an estimator's row, and its loss gradient [P]."""
    try:
        found, seconds = _timed(problem, u, estimator, seeds)
    except (UnusableError, ZeroGradientError, NotFiniteError) as told:
        return Row(estimator.name, estimator.biased, refused=str(told)), None
    told_by: Any = getattr(estimator, "memory", None)
    memory = told_by(problem, u) / 2**20 if told_by is not None else None
    gradients, star = found.each.transpose(0, 2, 1) @ pull, truth.each.transpose(0, 2, 1) @ pull
    loss = _compared(gradients, star)
    whole = _compared(found.each.reshape(len(found.each), -1), truth.each.reshape(len(truth.each), -1))
    length = np.linalg.norm(star.mean(0))
    noise = float(np.sqrt(np.trace(covariance_of(gradients))) / length)
    floor = np.sqrt(noise**2 / len(gradients) + np.trace(covariance_of(star)) / len(star) / length**2)
    row = Row(
        estimator.name, estimator.biased, *loss[0], float(floor), *loss[1], *loss[2], noise, *whole[0], *whole[1],
        replicates=len(found.each), simulations=found.simulations, seconds=seconds, megabytes=memory,
    )  # fmt: skip
    return row, gradients.mean(0)


def _timed(problem: Problem, u: HostArray, estimator: Estimator, seeds: HostArray) -> tuple[Jacobian, float]:
    """Return the Jacobian, and the CPU seconds of all seeds: those of the second half, in which nothing compiles."""
    half = max(1, len(seeds) // 2)
    first = estimator.jac(problem, u, seeds[:half])
    begun = time.process_time()
    second = estimator.jac(problem, u, seeds[half : 2 * half] if len(seeds) > 1 else seeds)
    seconds = time.process_time() - begun
    if len(first.each) != half or len(seeds) < 2:  # it draws no seed, or there is one
        return second, seconds
    parts = [first, second]
    if 2 * half < len(seeds):
        parts.append(estimator.jac(problem, u, seeds[2 * half :]))
    each = np.concatenate([part.each for part in parts])
    counts = [len(part.each) for part in parts]
    mean = np.average([part.mean for part in parts], 0, counts)
    spread = np.average([part.covariance for part in parts], 0, counts)
    runs = sum(part.simulations for part in parts)
    return Jacobian(mean, each.mean(0), spread, each, runs), seconds * len(seeds) / half


def _compared(each: HostArray, truth: HostArray) -> list[tuple[float, float]]:
    """Return relative bias, cosine and norm ratio of the means of [S, K] and [R, K], each with its standard error."""

    def three(one: HostArray, other: HostArray) -> HostArray:
        lengths = np.linalg.norm(one, axis=-1), np.linalg.norm(other, axis=-1)
        bias = np.linalg.norm(one - other, axis=-1) / lengths[1]
        product = np.maximum(lengths[0] * lengths[1], np.finfo(float).tiny)
        return np.stack([bias, (one * other).sum(-1) / product, lengths[0] / lengths[1]])

    generator = np.random.default_rng(1)

    def drawn(values: HostArray) -> HostArray:
        count = len(values)
        shares = generator.multinomial(count, np.full(count, 1 / count), DRAWS) / count
        mean = values.mean(0)
        wider = np.sqrt(count / (count - 1)) if count > 1 else 0.0  # a bootstrap of few is too narrow
        return mean + wider * (shares @ values - mean)

    value = three(each.mean(0), truth.mean(0))
    errors = three(drawn(each), drawn(truth)).std(1)
    return [(float(v), float(e)) for v, e in zip(value, errors, strict=True)]


def choose(
    problem: Problem,
    u: HostArray,
    estimators: Sequence[Estimator] = (),
    *,
    check: Check | None = None,
    seeds: HostArray | int = 16,
    truth_seeds: HostArray | int = 32,
    usual: Estimator | None = None,
    **more: Any,
) -> Estimator:
    """Return the estimator that `gradient="auto"` stands for.

    Up to `EVERY_COORDINATE` parameters, and where there is no choice, common random numbers; beyond, the cheapest of
    those that pass a check (cosine at least 0.95, norm ratio 0.8 to 1.25) by more than two of its standard errors, and
    common random numbers where none does.

    Args:
        problem: The problem.
        u: The point [P].
        estimators: What there is to choose from beside common random numbers.
        check: A check of them that is at hand already.
        seeds: See `gradcheck`.
        truth_seeds: See `gradcheck`.
        usual: The common random numbers that are taken; None = `CommonRandomNumbers()`.
        more: Further arguments of `gradcheck`.
    """
    if check is None and (problem.space.size <= EVERY_COORDINATE or not estimators):
        return usual or CommonRandomNumbers()
    found = check or gradcheck(problem, u, estimators, seeds=seeds, truth_seeds=truth_seeds, **more)
    return next((each for each in estimators if each.name == found.cheapest), usual or CommonRandomNumbers())
