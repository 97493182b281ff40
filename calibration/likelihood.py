"""How observed values scatter around their expectation, and the scale on which that scatter is constant.

Every likelihood has `log_prob(y, mu)`, `draw(generator, mu)` and `stabilised(x)`: a monotone function g with
Var g(y) of about 1 whatever the expectation, so that differences g(y) - g(mu) can be squared and added (Bartlett 1947,
Biometrics 3:39-52; Anscombe 1948, Biometrika 35:246-254). Arrays of numpy and of JAX are both taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
import scipy.special as nsp

from lpm.calibration.errors import CalibrationError
from lpm.types import HostArray

LEAST = 1e-6
"""An expectation of 0 is taken as this many people, so that one that is observed has a finite log density."""


def _numeric(x: Any) -> tuple[Any, Any]:
    """Return the modules of numpy or JAX that belong to an array."""
    return (np, nsp) if isinstance(x, np.ndarray | float | int | np.generic) else (jnp, jsp)


class Likelihood(Protocol):
    """How observed values scatter around their expectation."""

    def log_prob(self, y: Any, mu: Any) -> Any:
        """Return the log density (or probability) of y given the expectation mu, elementwise."""
        ...

    def stabilised(self, x: Any) -> Any:
        """Return g(x), whose standard deviation is about 1."""
        ...

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return observations around mu."""
        ...


@dataclass(frozen=True)
class Poisson:
    """Counts of independent events: Var y = mu; g(x) = 2 sqrt(x + 3/8)."""

    def log_prob(self, y: Any, mu: Any) -> Any:
        """Return y log mu - mu - log y!."""
        xp, special = _numeric(mu)
        rate = xp.maximum(mu, LEAST)
        return y * xp.log(rate) - rate - special.gammaln(y + 1.0)

    def stabilised(self, x: Any) -> Any:
        """Return 2 sqrt(x + 3/8)."""
        xp, _ = _numeric(x)
        return 2 * xp.sqrt(xp.maximum(x, 0) + 0.375)

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return counts."""
        return generator.poisson(np.maximum(mu, 0)).astype(np.float64)


@dataclass(frozen=True)
class NegativeBinomial:
    """Counts that scatter more than Poisson's: Var y = mu + mu^2 / k; g(x) = 2 sqrt(k) asinh(sqrt((x + 3/8) / k)).

    Attributes:
        concentration: k > 0; None = estimated by the fit from its residuals, and taken as 10 until then.
    """

    concentration: float | None = None

    def __post_init__(self):
        """Refuse a concentration that is not above 0."""
        if self.concentration is not None and not self.concentration > 0:
            raise CalibrationError(f"negative binomial: expected a concentration above 0, got {self.concentration}")

    @property
    def k(self) -> float:
        """The concentration in use."""
        return 10.0 if self.concentration is None else self.concentration

    def log_prob(self, y: Any, mu: Any) -> Any:
        """Return log C(y + k - 1, y) + k log(k / (k + mu)) + y log(mu / (k + mu))."""
        xp, special = _numeric(mu)
        rate, k = xp.maximum(mu, LEAST), self.k
        ways = special.gammaln(y + k) - special.gammaln(k) - special.gammaln(y + 1.0)
        return ways + k * (np.log(k) - xp.log(k + rate)) + y * (xp.log(rate) - xp.log(k + rate))

    def stabilised(self, x: Any) -> Any:
        """Return 2 sqrt(k) asinh(sqrt((x + 3/8) / k))."""
        xp, _ = _numeric(x)
        return 2 * np.sqrt(self.k) * xp.arcsinh(xp.sqrt((xp.maximum(x, 0) + 0.375) / self.k))

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return counts: Poisson's around a gamma with mean mu and shape k."""
        rate = generator.gamma(self.k, np.maximum(mu, 0) / self.k)
        return generator.poisson(rate).astype(np.float64)


@dataclass(frozen=True)
class Normal:
    """Values with an error of known size: g(x) = x / sd.

    Attributes:
        sd: Standard deviation, in the unit of the values.
    """

    sd: float

    def __post_init__(self):
        """Refuse an error that is not above 0."""
        if not self.sd > 0:
            raise CalibrationError(f"normal: expected a standard deviation above 0, got {self.sd}")

    def log_prob(self, y: Any, mu: Any) -> Any:
        """Return -((y - mu) / sd)^2 / 2 - log(sd sqrt(2 pi))."""
        return -0.5 * ((y - mu) / self.sd) ** 2 - float(np.log(self.sd * np.sqrt(2 * np.pi)))

    def stabilised(self, x: Any) -> Any:
        """Return x / sd."""
        return x / self.sd

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return values."""
        return generator.normal(mu, self.sd)


@dataclass(frozen=True)
class Multinomial:
    """Counts of `size` answers by category; the expectations of a time are made shares: g(x) = 2 sqrt(x).

    Each category alone is close to Poisson's, and 2 sqrt(x) has variance 1 - p (Freeman & Tukey 1950, Annals of
    Mathematical Statistics 21:607-611). The categories of one time have to stand together in a series.

    Attributes:
        size: Answers of a time.
        categories: Categories K of a time; values come as [times x K].
    """

    size: int
    categories: int

    def _shares(self, mu: Any) -> Any:
        xp, _ = _numeric(mu)
        table = xp.maximum(mu, LEAST).reshape(*mu.shape[:-1], -1, self.categories)
        return (table / table.sum(-1, keepdims=True)).reshape(mu.shape)

    def log_prob(self, y: Any, mu: Any) -> Any:
        """Return y log p - log y!, and a K-th of log n! in every category, so that their sum is the log probability."""
        xp, special = _numeric(mu)
        whole = float(nsp.gammaln(self.size + 1.0)) / self.categories
        return y * xp.log(self._shares(mu)) - special.gammaln(y + 1.0) + whole

    def stabilised(self, x: Any) -> Any:
        """Return 2 sqrt(size p)."""
        xp, _ = _numeric(x)
        return 2 * xp.sqrt(self.size * self._shares(x))

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return counts that add up to `size` at every time."""
        table = np.asarray(self._shares(mu), np.float64).reshape(*mu.shape[:-1], -1, self.categories)
        return generator.multinomial(self.size, table / table.sum(-1, keepdims=True)).reshape(mu.shape).astype(float)


COUNTED = (Poisson, NegativeBinomial, Multinomial)
"""Likelihoods of counts, which are never below 0."""
