"""Parameter spaces: priors by name, and the unconstrained coordinates in which a fit moves.

Every prior is a distribution of numpyro. Its support fixes a bijector f from the real line (or R^k) onto the allowed
values: theta = f(u). A space strings the coordinates of all its parameters together into one vector u of length P.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import ComposeTransform, ExpTransform

from lpm.calibration.errors import CalibrationError
from lpm.errors import InputError, unknown
from lpm.types import Array, HostArray

DRAWS = 4096
"""Draws of the prior by which its spread in unconstrained coordinates is told (0.1 % quantiles from four of them)."""

EDGE = 0.001
"""Share of a prior's mass beyond which an estimate counts as being at its bound."""

WIDEST = 20.0
"""Most by which a finite difference is widened at the end of an interval."""

ALLOWED = jax.numpy_rank_promotion("allow")
"""numpyro's own arithmetic broadcasts vectors, which a project may have forbidden to its own."""


class Truncated(dist.Distribution):
    """A distribution of one number, given that it lies between two bounds.

    log p(x) = log p_base(x) - log(F(high) - F(low)); it needs `cdf` and, for drawing, `icdf` of the base.
    """

    arg_constraints = {}  # infinite bounds are allowed, which numpyro counts as not real
    reparametrized_params: list[str] = []

    def __init__(self, base: Any, low: float, high: float):
        """Truncate `base`; infinite bounds are allowed."""
        self.base, self.low, self.high = base, low, high
        self._support = (
            constraints.interval(low, high)
            if np.isfinite([low, high]).all()
            else constraints.greater_than(low)
            if np.isfinite(low)
            else constraints.less_than(high)
            if np.isfinite(high)
            else base.support
        )
        super().__init__(base.batch_shape, base.event_shape)

    @constraints.dependent_property(is_discrete=False, event_dim=0)  # pyright: ignore[reportArgumentType]
    def support(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The interval between the bounds."""
        return self._support

    def _ends(self) -> tuple[Any, Any]:
        low = self.base.cdf(jnp.float32(self.low)) if np.isfinite(self.low) else jnp.float32(0)
        high = self.base.cdf(jnp.float32(self.high)) if np.isfinite(self.high) else jnp.float32(1)
        return low, high

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Return draws: F^-1 of a uniform number between F(low) and F(high)."""
        low, high = self._ends()
        share = jax.random.uniform(key, (*sample_shape, *self.batch_shape), minval=1e-6, maxval=1 - 1e-6)
        return jnp.clip(self.base.icdf(low + (high - low) * share), self.low, self.high)

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        """Return the log density, -inf beyond the bounds."""
        low, high = self._ends()
        inside = (value >= self.low) & (value <= self.high)
        return jnp.where(inside, self.base.log_prob(value) - jnp.log(high - low), -jnp.inf)


@dataclass(frozen=True)
class Space:
    """Priors by name.

    Attributes:
        priors: A numpyro distribution of a scalar or vector by the parameter's name.
    """

    priors: Mapping[str, Any]

    def __post_init__(self):
        """Refuse a space of nothing, and what is no distribution of numbers."""
        if not self.priors:
            raise InputError("space: expected at least one parameter, got none")
        for name, prior in self.priors.items():
            if not isinstance(prior, dist.Distribution) or prior.is_discrete or prior.batch_shape:
                raise InputError(
                    f"space: {name}: expected a numpyro distribution of real numbers without a batch, got {prior!r}"
                )

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of unconstrained coordinates by parameter."""
        return {name: int(np.prod(self._inverse_shape(name), dtype=int)) for name in self.priors}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name a coordinate: "beta", or "share[0]" for those of a vector."""
        return tuple(
            name if not self._inverse_shape(name) else f"{name}[{i}]"
            for name, size in self.sizes.items()
            for i in range(size)
        )

    @property
    def size(self) -> int:
        """Number of coordinates P."""
        return len(self.names)

    @ALLOWED
    def constrain(self, u: Any) -> dict[str, Array]:
        """Return theta by name from unconstrained coordinates [..., P]."""
        u = jnp.asarray(u, jnp.float32)
        made: dict[str, Array] = {}
        at = 0
        for name, size in self.sizes.items():
            part = u[..., at : at + size].reshape(*u.shape[:-1], *self._inverse_shape(name))
            made[name] = bijector(self.priors[name])(part)
            at += size
        return made

    @ALLOWED
    def unconstrain(self, theta: Mapping[str, Any]) -> Array:
        """Return u [..., P] of allowed values by name.

        Raises:
            InputError: A name that is missing or unknown, or a value that the prior's support does not allow.
        """
        for name in theta:
            if name not in self.priors:
                raise unknown("space", "parameter", name, self.priors)
        parts: list[Array] = []
        for name, prior in self.priors.items():
            if name not in theta:
                raise InputError(f"space: expected a value of '{name}', it is missing")
            value = jnp.asarray(theta[name], jnp.float32)
            part = bijector(prior)._inverse(value)
            if not bool(jnp.all(jnp.isfinite(part))):
                raise InputError(f"space: {name}: {np.asarray(value)} is outside or at the edge of what is allowed")
            lead = value.shape[: value.ndim - len(prior.event_shape)]
            parts.append(part.reshape(*lead, -1))
        return jnp.concatenate(parts, -1)

    @ALLOWED
    def log_prob(self, u: Any) -> Array:
        """Return the prior's log density of u [..., P]: log p(f(u)) + log |det f'(u)|."""
        u = jnp.asarray(u, jnp.float32)
        total, at = jnp.zeros(u.shape[:-1], jnp.float32), 0
        for name, size in self.sizes.items():
            part = u[..., at : at + size].reshape(*u.shape[:-1], *self._inverse_shape(name))
            transform = bijector(self.priors[name])
            value = transform(part)
            jacobian = transform.log_abs_det_jacobian(part, value)
            total += self.priors[name].log_prob(value) + jacobian.reshape(u.shape[:-1])
            at += size
        return total

    @ALLOWED
    def draw(self, key: Any, count: int) -> Array:
        """Return draws of the prior as u [count, P]."""
        keys = jax.random.split(key, len(self.priors))
        return self.unconstrain(
            {name: prior.sample(each, (count,)) for (name, prior), each in zip(self.priors.items(), keys, strict=True)}
        )

    @cached_property
    def _sorted(self) -> HostArray:
        """Draws of the prior, every coordinate sorted, float64 [DRAWS, P]."""
        return np.sort(np.asarray(self.draw(jax.random.key(20_231), DRAWS), np.float64), axis=0)

    @property
    def mean(self) -> HostArray:
        """Mean of the prior in unconstrained coordinates, [P]."""
        return self._sorted.mean(0)

    @property
    def spread(self) -> HostArray:
        """Standard deviation of the prior in unconstrained coordinates, [P]."""
        return self._sorted.std(0)

    @property
    def box(self) -> tuple[HostArray, HostArray]:
        """Quantiles `EDGE` and 1 - `EDGE` of every coordinate's prior, between which a fit moves."""
        return self.quantile(np.full(self.size, EDGE)), self.quantile(np.full(self.size, 1 - EDGE))

    def quantile(self, share: HostArray) -> HostArray:
        """Return u whose coordinates lie at these shares [..., P] of their marginal priors."""
        at = (np.arange(DRAWS) + 0.5) / DRAWS
        columns = [np.interp(share[..., p], at, self._sorted[:, p]) for p in range(self.size)]
        return np.stack(columns, -1)

    def widths(self, u: HostArray) -> HostArray:
        """Return the unit of a finite difference by coordinate at u [P].

        1 where numbers are positive (a relative change); the prior's standard deviation where they are not bounded;
        and in an interval 1 / (4 s (1 - s)), at most `WIDEST`, where s is the share of the interval below: towards its
        ends, where the bijector is flat, a step has to be longer to change the number as much.
        """
        made = np.ones(self.size)
        at = 0
        for name, size in self.sizes.items():
            low, high = ends(self.priors[name])
            if not self.priors[name].event_shape:
                share = 1 / (1 + np.exp(-np.clip(u[at], -30, 30)))
                if np.isfinite([low, high]).all():
                    made[at] = min(WIDEST, 1 / (4 * share * (1 - share)))
                elif not np.isfinite([low, high]).any():
                    made[at] = self.spread[at]
            at += size
        return made

    @ALLOWED
    def mixes(self, name: str) -> bool:
        """Return whether a number of this parameter follows from several coordinates, as in a simplex."""
        prior = self.priors[name]
        if not prior.event_shape:
            return False
        shape, size = self._inverse_shape(name), self.sizes[name]
        if shape != tuple(prior.event_shape):
            return True
        points = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape)
        values = np.asarray(bijector(prior)(jnp.asarray(points, jnp.float32))).reshape(size + 1, size)
        return bool((np.abs(values[1:] - values[0]) * ~np.eye(size, dtype=bool) > 0).any())

    def at_bound(self, u: HostArray) -> tuple[str, ...]:
        """Return the coordinates of u [P] that lie at or beyond the edge of their prior."""
        low, high = self.box
        margin = 1e-3 * (high - low)
        return tuple(
            n for n, x, a, b, m in zip(self.names, u, low, high, margin, strict=True) if x < a + m or x > b - m
        )

    def _inverse_shape(self, name: str) -> tuple[int, ...]:
        prior = self.priors[name]
        return bijector(prior).inverse_shape(tuple(prior.event_shape))


def bijector(prior: Any) -> Any:
    """Return the map from unconstrained coordinates onto what a prior allows.

    It is numpyro's for the prior's support, but an interval of positive numbers is stretched by its logarithm: near the
    lower end of 0.001 to 1 a step of 0.05 still changes the number by some per cent.
    """
    low, high = ends(prior)
    if not prior.event_shape and 0 < low < high < np.inf:
        interval = biject_to(constraints.interval(float(np.log(low)), float(np.log(high))))
        return ComposeTransform([interval, ExpTransform()])
    return biject_to(prior.support)


def ends(prior: Any) -> tuple[float, float]:
    """Return the smallest and largest allowed value of a scalar prior, infinite where there is none."""
    support = prior.support
    low = getattr(support, "lower_bound", float("-inf"))
    high = getattr(support, "upper_bound", float("inf"))
    return (float(np.min(low)), float(np.max(high)))


def prior_of(family: str, a: float, b: float, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Any:
    """Return the numpyro distribution of a declared prior (`lpm.kernel.Declaration`), within a parameter's bounds.

    Args:
        family: "lognormal" (median, sd of the log), "normal" (mean, sd), "uniform" (low, high), "beta" (two shapes).
        a: First number.
        b: Second number.
        bounds: Smallest and largest allowed value.

    Raises:
        CalibrationError: A spread of 0, which leaves nothing to fit, or an unknown family.
    """
    if family == "uniform":
        low, high = max(a, bounds[0]), min(b, bounds[1])
        if not low < high:
            raise CalibrationError(f"prior: expected uniform(low, high) with low below high, got {low:g} and {high:g}")
        return dist.Uniform(low, high)
    if family == "beta":
        return dist.Beta(a, b)
    if family not in ("lognormal", "normal"):
        raise unknown("prior", "family", family, ("lognormal", "normal", "uniform", "beta"))
    if b <= 0:
        raise CalibrationError(f"prior: {family}: expected a spread above 0, got {b:g}")
    base = dist.LogNormal(float(np.log(a)), b) if family == "lognormal" else dist.Normal(a, b)
    natural = (0.0, np.inf) if family == "lognormal" else (-np.inf, np.inf)
    low, high = max(bounds[0], natural[0]), min(bounds[1], natural[1])
    if (low, high) == natural or (family == "lognormal" and low == 0 and high >= a * np.exp(6 * b)):
        return base
    return Truncated(base, low, high)
