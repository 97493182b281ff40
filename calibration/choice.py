r"""Conditional logit with changing choice sets, and with types of choosers that nobody sees.

.. math::
    P_k(j \mid t) = \frac{e^{u_{ktj}}}{\sum_{r \in C_t} e^{u_{ktr}}},\qquad
    \ell_v = \ln \sum_k w_k \prod_{t \in v} P_k(j_t \mid t)

Choice t of chooser v is among the items of C_t only (what it may still take), and u is any function of the parameters
that JAX can derive. All choices of a chooser share one type k: with one type this is the conditional logit (McFadden
1974, in Frontiers in Econometrics), with Gauss-Hermite nodes as types a mixed logit for panels (Revelt & Train 1998,
Review of Economics and Statistics 80:647-657). The gradient is exact, by reverse mode in 64 bits; standard errors are
sandwiches clustered by chooser (Liang & Zeger 1986, Biometrika 73:13-22), so that the choices of one person count as
the dependent observations that they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from lpm.calibration.errors import CalibrationError, NotFiniteError, UnidentifiedError
from lpm.types import Array, HostArray

Utilities = Callable[[Any, Any], tuple[Array, Array]]
"""(parameters, data) -> utilities float64 [types, choices, items] and log weights [types]."""

CONVERGED = 1e-3
"""Largest slope per root of a choice, in any coordinate, that counts as a maximum."""


@dataclass(frozen=True)
class Choices:
    """Who chose what among what.

    Attributes:
        chosen: int32 [T], the item taken.
        available: bool [T, A], the items that it was taken from.
        chooser: int32 [T], 0 .. V - 1.
    """

    chosen: HostArray
    available: HostArray
    chooser: HostArray

    def __post_init__(self):
        """Refuse arrays that do not fit each other, and choices of what was not to be had."""
        count, items = self.available.shape
        if self.chosen.shape != (count,) or self.chooser.shape != (count,):
            raise CalibrationError(
                f"choices: expected {count} of each, got {self.chosen.shape} chosen and {self.chooser.shape} choosers"
            )
        if count == 0 or self.chosen.min() < 0 or self.chosen.max() >= items or self.chooser.min() < 0:
            raise CalibrationError(f"choices: expected at least one, items 0 to {items - 1}, and choosers from 0 up")
        missing = np.flatnonzero(~self.available[np.arange(count), self.chosen])
        if len(missing):
            t = int(missing[0])
            raise CalibrationError(f"choices: item {self.chosen[t]} of choice {t} is not in its choice set")

    @property
    def choosers(self) -> int:
        """How many choosers V there are."""
        return int(self.chooser.max()) + 1

    @property
    def counts(self) -> HostArray:
        """Choices of every chooser, int64 [V]."""
        return np.bincount(self.chooser, minlength=self.choosers)


@dataclass(frozen=True)
class ChoiceFit:
    """The parameters that make the choices most likely.

    Attributes:
        parameters: In the form of the start.
        log_likelihood: float64 [V], of each chooser's choices, without the penalty.
        evaluations: Evaluations of the likelihood and its gradient.
        slope: Largest derivative left, in any coordinate.
    """

    parameters: Any
    log_likelihood: HostArray
    evaluations: int
    slope: float


def untaken(chooser: HostArray, chosen: HostArray, items: int) -> HostArray:
    """Return bool [T, A], the items that the chooser has not taken in the rows above."""
    left = np.ones((int(chooser.max()) + 1, items), bool)
    made = np.empty((len(chosen), items), bool)
    for t, (who, item) in enumerate(zip(chooser, chosen, strict=True)):
        made[t] = left[who]
        left[who, item] = False
    return made


def counts_before(group: HostArray, chosen: HostArray, items: int) -> HostArray:
    """Return int64 [T, A], how often each item was taken in the same group (0, 1, ...) in the rows above."""
    sums = np.zeros((int(group.max()) + 1, items), np.int64)
    made = np.empty((len(chosen), items), np.int64)
    for t, (where, item) in enumerate(zip(group, chosen, strict=True)):
        made[t] = sums[where]
        sums[where, item] += 1
    return made


def normal_nodes(count: int) -> tuple[HostArray, HostArray]:
    """Return the nodes and log weights, float64 [count] each, of a standard normal variable (Gauss-Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, np.log(weights / weights.sum())


def log_likelihood(utilities: Array, log_weights: Array, choices: Any, choosers: int) -> Array:
    """Return float64 [V], the log chance of each chooser's choices.

    Args:
        utilities: [types, T, A]; what is not available may have any finite value.
        log_weights: [types], of the types; they need not add up to 1.
        choices: (chosen, available, chooser) as in `Choices`, as arrays of JAX.
        choosers: V.
    """
    chosen, available, chooser = choices
    masked = jnp.where(available[None], utilities, -jnp.inf)
    taken = jnp.take_along_axis(utilities, chosen[None, :, None], axis=2)[..., 0]
    each = taken - jax.scipy.special.logsumexp(masked, axis=2)
    whole = jax.ops.segment_sum(each.T, chooser, choosers)  # [V, types]
    return jax.scipy.special.logsumexp(whole + jax.nn.log_softmax(log_weights)[None], axis=1)


def score(utilities: Utilities, parameters: Any, data: Any, choices: Choices) -> HostArray:
    """Return float64 [V], the log-likelihood of each chooser's choices, fitted or not."""
    flat, model = _model(utilities, parameters, choices, None)
    with jax.enable_x64(True):
        return _finite(np.asarray(model.each(flat, _wide(data), _rows(choices))), "log-likelihood")


def fit(
    utilities: Utilities,
    start: Any,
    data: Any,
    choices: Choices,
    penalty: Callable[[Any], Array] | None = None,
    iterations: int = 500,
) -> ChoiceFit:
    """Return the parameters with the highest log-likelihood less penalty, by L-BFGS with exact gradients.

    Args:
        utilities: The model.
        start: The parameters to begin with, a pytree of floats and arrays.
        data: What the model needs beside them, a pytree of arrays; an argument, never a closure.
        choices: What was chosen.
        penalty: Minus the log of the parameters' prior.
        iterations: The most that it may take.

    Raises:
        NotFiniteError: The likelihood or its gradient is not finite.
        CalibrationError: No maximum within the iterations.
    """
    flat, model = _model(utilities, start, choices, penalty)
    with jax.enable_x64(True):
        data, rows = _wide(data), _rows(choices)

        def both(u: HostArray) -> tuple[float, HostArray]:
            value, slope = model.slopes(u, data, rows)
            return float(_finite(np.asarray(value), "likelihood")), _finite(np.asarray(slope), "gradient")

        options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-5}
        found: Any = minimize(both, flat, jac=True, method="L-BFGS-B", options=options)
        slope = float(np.abs(found.jac).max())
        if slope > CONVERGED * np.sqrt(len(choices.chosen)):
            raise CalibrationError(f"choices: no maximum in {found.nit} iterations, slope {slope:.3g}: {found.message}")
        each = np.asarray(model.each(found.x, data, rows))
        parameters = jax.tree.map(np.asarray, model.back(jnp.asarray(found.x)))
    return ChoiceFit(parameters, each, int(found.nfev), slope)


def covariance(
    utilities: Utilities,
    parameters: Any,
    data: Any,
    choices: Choices,
    penalty: Callable[[Any], Array] | None = None,
) -> HostArray:
    """Return float64 [P, P], the sandwich covariance of fitted parameters, in the order of `names`.

    H^-1 (V / (V - 1) sum_v g_v g_v') H^-1, H the Hessian of the penalised likelihood, g_v the slope of chooser v's
    log-likelihood: right when the choices of one chooser depend on each other in ways that the model does not know.

    Raises:
        UnidentifiedError: The likelihood does not curve in a direction, which is named.
    """
    flat, model = _model(utilities, parameters, choices, penalty)
    with jax.enable_x64(True):
        found = model.curves(jnp.asarray(flat), _wide(data), _rows(choices))
        hessian, slopes = (_finite(np.asarray(each), "Hessian") for each in found)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    if values[0] <= 1e-9 * values[-1]:
        flatly = names(parameters)[int(np.abs(vectors[:, 0]).argmax())]
        raise UnidentifiedError(
            f"choices: they say nothing about a direction, mostly '{flatly}'; fix it or penalise it"
        )
    inverse = vectors / values @ vectors.T
    count = choices.choosers
    if count < 2:
        raise CalibrationError("choices: a clustered standard error needs two choosers")
    return inverse @ (slopes @ slopes.T * count / (count - 1)) @ inverse


def names(parameters: Any) -> list[str]:
    """Return one name for every number of a parameter tree, as "appeal[3]", in the order of `covariance`."""
    made: list[str] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(parameters)[0]:
        name = ".".join(str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part)))) for part in path)
        made += [name + "".join(f"[{i}]" for i in place) for place in np.ndindex(np.shape(leaf))]
    return made


def gain(better: HostArray, worse: HostArray, counts: HostArray) -> tuple[float, float]:
    """Return by how much a choice is likelier under one model than under another, with its standard error.

    Args:
        better: Log-likelihoods of the one, float64 [V], a chooser each.
        worse: Of the other.
        counts: Choices of each chooser [V]; those without any count for nothing.

    Returns:
        The mean difference in log-likelihood per choice, and its standard error clustered by chooser, that of a ratio
        of sums: sqrt(V / (V - 1) sum_v (d_v - n_v mean)^2) / sum_v n_v.
    """
    kept = counts > 0
    if kept.sum() < 2:
        raise CalibrationError("choices: a clustered standard error needs two choosers")
    difference, n = (better - worse)[kept], counts[kept]
    mean = difference.sum() / n.sum()
    spread = ((difference - n * mean) ** 2).sum() * len(n) / (len(n) - 1)
    return float(mean), float(np.sqrt(spread) / n.sum())


@dataclass(frozen=True)
class _Compiled:
    """A model's compiled functions of (flat parameters, data, choices)."""

    back: Any
    each: Any
    slopes: Any
    curves: Any


@functools.lru_cache(maxsize=16)
def _compiled(utilities: Utilities, penalty: Any, choosers: int, form: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    with jax.enable_x64(True):
        _, back = ravel_pytree(jax.tree.unflatten(form, [jnp.zeros(shape, jnp.float64) for shape in shapes]))

    def each(u: Array, data: Any, rows: Any) -> Array:
        return log_likelihood(*utilities(back(u), data), rows, choosers)

    def total(u: Array, data: Any, rows: Any) -> Array:
        return (0.0 if penalty is None else penalty(back(u))) - each(u, data, rows).sum()

    def curves(u: Array, data: Any, rows: Any) -> tuple[Array, Array]:
        def column(way: Array) -> tuple[Array, Array]:
            second = jax.jvp(lambda u: jax.grad(total)(u, data, rows), (u,), (way,))[1]
            return second, jax.jvp(lambda u: each(u, data, rows), (u,), (way,))[1]

        return jax.lax.map(column, jnp.eye(len(u)))  # a direction at a time: the memory of one

    return _Compiled(back, jax.jit(each), jax.jit(jax.value_and_grad(total)), jax.jit(curves))


def _model(utilities: Utilities, start: Any, choices: Choices, penalty: Any) -> tuple[HostArray, _Compiled]:
    """Return the parameters in a row, and the compiled model."""
    leaves, form = jax.tree.flatten(start)
    arrays = [np.asarray(leaf, np.float64) for leaf in leaves]
    flat = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0)
    return flat, _compiled(utilities, penalty, choices.choosers, form, tuple(array.shape for array in arrays))


def _wide(tree: Any) -> Any:
    """Return a tree of arrays, floats in 64 bits."""
    arrays = jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64 if np.issubdtype(x.dtype, np.floating) else None), arrays)


def _rows(choices: Choices) -> tuple[Array, Array, Array]:
    return jnp.asarray(choices.chosen), jnp.asarray(choices.available), jnp.asarray(choices.chooser)


def _finite(value: HostArray, what: str) -> HostArray:
    if not np.isfinite(value).all():
        raise NotFiniteError(f"choices: the {what} is not finite; look at the utilities of the available items")
    return value
