"""Partial pooling of observed choices: a penalised multinomial likelihood, and its minimum in float64.

With the slots s of the options (an action, or a position where options differ from case to case) and the groups g

    eta_dk = beta z_dk + b_s(d,k) + u_g(d),s(d,k),     p_dk = softmax_k(eta_dk),
    Q = -sum n_dk log p_dk + (beta - 1)^2 / (2 W^2) + sum b^2 / (2 W^2) + sum u^2 / (2 tau^2),

strictly convex, so that Newton's method with halved steps finds the one minimum, the same bits for the same data. A
number that is added to all slots of a case changes nothing; the penalties put the sum over slots that occur together
at 0, of b and of every group's u.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from lpm.archetypes.table import NEVER
from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.types import HostArray

WIDE = 10.0
"""W: standard deviation of the normal priors of beta (around 1) and of b; next to flat on a logit scale."""

SPREADS = (0.005, 5.0)
"""Range in which tau is sought [logits]: at its lower end groups are one, at its upper end nothing is shared."""

ROUNDS = 100
"""Most steps of Newton's method; it takes about 6."""


@dataclass(frozen=True)
class Observed:
    """What people did, beside what the model says of them: D cases of up to K options.

    Attributes:
        logit: The model's logits z, float64 [D, K].
        counts: How many did each, float64 [D, K], from 0 on; a row of zeros says nothing.
        group: Group of each case, int [D].
        slot: Which offset an option has, int [D, K]; -1 = there is no such option in this case.
        unit: Which cases belong together (a question, a survey), int [D]; for robust errors and for what is held out.
        groups: Names of the groups.
        slots: Names of the offsets.
    """

    logit: HostArray
    counts: HostArray
    group: HostArray
    slot: HostArray
    unit: HostArray
    groups: tuple[str, ...]
    slots: tuple[str, ...]

    def __post_init__(self):
        """Refuse what does not fit together.

        Raises:
            CalibrationError: Shapes or indices that do not fit, negative counts, counts of an option that is not there.
            NotFiniteError: A NaN or an infinite number where there is an option.
        """
        shape = self.logit.shape
        if len(shape) != 2 or not (self.counts.shape == self.slot.shape == shape):
            got = f"{shape}, {self.counts.shape} and {self.slot.shape}"
            raise CalibrationError(f"choices: expected logits, counts and slots of one shape [D, K], got {got}")
        if not self.group.shape == self.unit.shape == shape[:1]:
            raise CalibrationError(f"choices: expected a group and a unit for each of {shape[0]} cases")
        for name, index, names in (("group", self.group, self.groups), ("slot", self.slot, self.slots)):
            least = -1 if name == "slot" else 0
            if index.dtype.kind not in "iu" or (index < least).any() or (index >= len(names)).any():
                raise CalibrationError(f"choices: {name}: expected whole numbers {least} to {len(names) - 1}")
        here = self.slot >= 0
        if not (np.isfinite(self.logit[here]).all() and np.isfinite(self.counts).all()):
            raise NotFiniteError("choices: NaN or infinite logits or counts; fill or drop unusable cells first")
        if (self.counts < 0).any() or (self.counts[~here] != 0).any():
            raise CalibrationError("choices: expected counts from 0 on, and 0 where there is no option")
        if (here.sum(1) < 2).any() or self.counts.sum() <= 0:
            raise CalibrationError("choices: expected at least two options in every case, and some counts")
        if any(len(np.unique(row[row >= 0])) != int((row >= 0).sum()) for row in np.unique(self.slot, axis=0)):
            raise CalibrationError("choices: two options of one case have the same slot")

    def chosen(self, rows: HostArray) -> Observed:
        """Return some of the cases (a mask or indices)."""
        fields = ("logit", "counts", "group", "slot", "unit")
        return replace(self, **{name: getattr(self, name)[rows] for name in fields})


def observed(
    logit: Any, counts: Any, group: Any, actions: Sequence[str], groups: Sequence[str], unit: Any = None
) -> Observed:
    """Return the cases of a table: every archetype in every context.

    An action whose logit is `NEVER` is no option of its case; a case with a single option says nothing (it counts 0).

    Args:
        logit: The model's logits [A, C, K].
        counts: How many people of archetype a did k in context c, [A, C, K]; zeros where nothing was observed. Observed
            rates enter as rate x number of people asked.
        group: Group of each archetype, int [A].
        actions: Names of the K actions.
        groups: Names of the groups.
        unit: Unit of each archetype and context, int [A, C]; None = every case is its own.

    Raises:
        CalibrationError, NotFiniteError: As `Observed`; or counts of an action that the model says is never done.
    """
    z, n = np.asarray(logit, np.float64), np.asarray(counts, np.float64)
    if z.ndim != 3 or n.shape != z.shape or z.shape[2] != len(actions) or np.shape(group) != z.shape[:1]:
        got = f"{z.shape}, {n.shape} and {np.shape(group)}"
        raise CalibrationError(f"choices: expected logits and counts [A, C, {len(actions)}], groups [A], got {got}")
    never = z <= NEVER
    if (n[never] != 0).any():
        a, c, k = np.argwhere(never & (n != 0))[0]
        told = f"'{actions[k]}' of archetype {a} in cell {c} was observed {n[a, c, k]:g} times"
        raise CalibrationError(f"choices: {told}, and the model says that it is never done; give it a chance")
    size = z.shape[0] * z.shape[1]
    certain = (~never).sum(-1, keepdims=True) < 2
    n = np.where(certain, 0, n)
    slot = np.where(never & ~certain, -1, np.arange(len(actions))).reshape(size, -1)
    own = np.arange(size) if unit is None else np.asarray(unit).reshape(-1)
    return Observed(
        z.reshape(size, -1), n.reshape(size, -1), np.repeat(np.asarray(group), z.shape[1]), slot, own,
        tuple(groups), tuple(actions),
    )  # fmt: skip


@dataclass(frozen=True)
class Minimum:
    """Where Q is least.

    Attributes:
        theta: (beta, b [S], u [G x S]; without u where tau is 0), float64 [M].
        free: Which of them were fitted, bool [M].
        hessian: Second derivatives of Q [M, M].
        deviance: -2 log likelihood.
        evidence: Log marginal likelihood by Laplace's approximation, but for a constant.
        design: d eta / d theta, sparse [D K, M].
        probability: p [D, K].
    """

    theta: HostArray
    free: HostArray
    hessian: HostArray
    deviance: float
    evidence: float
    design: Any
    probability: HostArray


def log_softmax(eta: HostArray) -> HostArray:
    """Return eta - log sum exp(eta) along the last axis; -infinity stays."""
    return eta - logsumexp(eta, axis=-1, keepdims=True)


def design(data: Observed, groups: bool) -> Any:
    """Return d eta / d theta of every option of every case, sparse [D K, M]; a row of zeros where there is none."""
    options, slots = data.slot.shape[1], len(data.slots)
    row = np.flatnonzero(data.slot >= 0)
    slot = data.slot.ravel()[row]
    parts = [(np.zeros_like(slot), data.logit.ravel()[row]), (1 + slot, np.ones(len(row)))]
    if groups:
        parts.append((1 + slots + np.repeat(data.group, options)[row] * slots + slot, np.ones(len(row))))
    columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    size = 1 + slots * (1 + (len(data.groups) if groups else 0))
    return csr_array((values, (np.tile(row, len(parts)), columns)), shape=(data.slot.size, size))


def minimum(data: Observed, tau: float, beta: float | None) -> Minimum:
    """Return the minimum of Q for a spread tau (0 = no u) and a temperature (None = fitted)."""
    cases, options = data.slot.shape
    x = design(data, tau > 0)
    here, people = data.slot >= 0, data.counts.sum(1, keepdims=True)
    centre, precision = np.zeros(x.shape[1]), np.full(x.shape[1], WIDE**-2.0)
    centre[0] = 1.0 if beta is None else beta
    if tau > 0:
        precision[1 + len(data.slots) :] = tau**-2.0
    free = np.ones(len(centre), bool)
    free[0] = beta is None
    square = np.ix_(free, free)

    def at(theta: HostArray) -> tuple[float, HostArray]:
        logs = log_softmax(np.where(here, (x @ theta).reshape(cases, options), -np.inf))
        told = -np.sum(data.counts[here] * logs[here]) + 0.5 * np.sum(precision * (theta - centre) ** 2)
        return float(told), np.exp(logs)

    def curvature(p: HostArray) -> HostArray:
        ends = np.arange(0, p.size + 1, options)
        mean = csr_array(((p * np.sqrt(people)).ravel(), np.arange(p.size), ends), shape=(cases, p.size)) @ x
        return (x.T @ x.multiply((p * people).reshape(-1, 1)) - mean.T @ mean).toarray() + np.diag(precision)

    theta = centre.copy()
    least, p = at(theta)
    hessian = curvature(p)
    for _ in range(ROUNDS):
        gradient = x.T @ (people * p - data.counts).ravel() + precision * (theta - centre)
        step = np.zeros(len(theta))
        step[free] = cho_solve(cho_factor(hessian[square]), gradient[free])
        if float(gradient @ step) <= 1e-13 * (1 + abs(least)):
            break
        for _ in range(50):
            tried, q = at(theta - step)
            if tried < least:
                break
            step = step / 2
        else:  # no shorter step goes down: this is the minimum in float64
            break
        theta, least, p = theta - step, tried, q
        hessian = curvature(p)
    else:
        raise CalibrationError(f"choices: no minimum after {ROUNDS} steps; are the counts or logits huge?")
    penalty = 0.5 * float(np.sum(precision * (theta - centre) ** 2))
    evidence = -least + 0.5 * np.sum(np.log(precision[free])) - 0.5 * np.linalg.slogdet(hessian[square])[1]
    return Minimum(theta, free, hessian, 2 * (least - penalty), float(evidence), x, p)


def covariance(data: Observed, found: Minimum, robust: bool) -> HostArray:
    """Return the covariance of theta [M, M]: of the likelihood with its penalties, or from the scatter between units.

    Of b and u it is that of their differences from their mean over the slots that occur together: the mean itself is
    no property of the data.
    """
    size = len(found.theta)
    inverse = np.zeros((size, size))
    square = np.ix_(found.free, found.free)
    inverse[square] = cho_solve(cho_factor(found.hessian[square]), np.eye(int(found.free.sum())))
    made = inverse
    if robust:
        residual = found.probability * data.counts.sum(1, keepdims=True) - data.counts
        labels, unit = np.unique(data.unit, return_inverse=True)
        each = np.repeat(unit, data.slot.shape[1])
        ones = csr_array((residual.ravel(), (each, np.arange(residual.size))), shape=(len(labels), residual.size))
        score = (ones @ found.design).toarray()
        made = inverse @ (score.T @ score * (len(labels) / max(len(labels) - 1, 1))) @ inverse
    projection = np.eye(size)
    together = _together(data)
    slots = len(data.slots)
    for begin in range(1, size, slots):
        for label in np.unique(together):
            index = begin + np.flatnonzero(together == label)
            projection[np.ix_(index, index)] -= 1 / len(index)
    return projection @ made @ projection.T


def by_evidence(data: Observed, beta: float | None) -> float:
    """Return the spread tau at which the marginal likelihood is largest."""
    return _sought(lambda tau: -minimum(data, tau, beta).evidence)


def by_held_out(data: Observed, beta: float | None, folds: int) -> float:
    """Return the spread tau with which units that were left out are predicted best.

    Raises:
        CalibrationError: Fewer units than folds, or fewer than two folds.
    """
    labels, unit = np.unique(data.unit, return_inverse=True)
    if not 2 <= folds <= len(labels):
        raise CalibrationError(f"choices: expected 2 to {len(labels)} folds (the units), got {folds}")

    def lost(tau: float) -> float:
        total = 0.0
        for fold in range(folds):
            out = unit % folds == fold
            theta, rest = minimum(data.chosen(~out), tau, beta).theta, data.chosen(out)
            here = rest.slot >= 0
            logs = log_softmax(np.where(here, (design(rest, True) @ theta).reshape(here.shape), -np.inf))
            total -= float(np.sum(rest.counts[here] * logs[here]))
        return total

    return _sought(lost)


def _sought(loss: Callable[[float], float]) -> float:
    """Return where a function of the spread is least: of seven on a log scale, then between the best's neighbours."""
    grid = np.linspace(np.log(SPREADS[0]), np.log(SPREADS[1]), 7)
    values = [loss(float(np.exp(each))) for each in grid]
    best = int(np.argmin(values))
    ends = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found: Any = minimize_scalar(
        lambda at: loss(float(np.exp(at))), bounds=ends, method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x if found.fun < values[best] else grid[best]))


def _together(data: Observed) -> HostArray:
    """Return a label for every slot; slots that occur in one case have the same, [S]."""
    rows, columns = np.nonzero(data.slot >= 0)
    there = csr_array((np.ones(len(rows)), (rows, data.slot[rows, columns])), shape=(len(data.slot), len(data.slots)))
    return connected_components(there.T @ there, directed=False)[1]
