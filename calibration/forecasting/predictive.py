"""The posterior predictive of counts: parameters, chance, what the model lacks, and how counts scatter.

1. *Chance that has happened.* A draw is a parameter set u from a density q, with a seed z of its own. Its epidemic is
   one that could have been; what could have been *given the known counts y* is p(u, z | y), in proportion to p(u) p(z)
   p(y | u, z). So a draw weighs

       w = p(u) p(y | u, z) / q(u)

   (sampling importance resampling: Rubin 1988, Bayesian Statistics 3:395-402). q has seen y as well: without p / q the
   data would count twice, once in the draws and once in the weights, and intervals were too narrow by up to the root of
   two. With q the posterior p(u | y), what is left is p(y | u, z) / p(y | u), the chance of the run alone. With few
   draws the log weights are tempered, w^a, so that the effective number (sum w)^2 / sum w^2 is at least a share of
   them: that leads back towards q, never to more certainty than it has.
2. *What the model lacks.* The ratio of a group's counts to the simulated ones drifts slowly (Kennedy & O'Hagan 2001,
   Journal of the Royal Statistical Society B 63:425-464, 10.1111/1467-9868.00294): with r_t = log((y_t + 1/2) /
   (mu_t + 1/2)),

       b_t = phi b_(t-1) + N(0, s^2),   r_t = b_t + N(0, e^2 + 1 / (y_t + 1)),   b_0 ~ N(0, s^2 / (1 - phi^2)),

   followed by a Kalman filter in every group; phi, s and e are those that make the known ratios of all groups and
   series together most likely, with a weak prior that keeps them finite when few are known. After the last known count
   b goes on without data: the forecast returns to the model's own level, and its interval grows.
3. *Scatter.* y_t is Poisson around mu_t exp(b_t + N(0, e^2)).

Values that are known are told as the model has them, mu_t with the scatter of their likelihood and without b_t: b_t
given y_t would hide a model that misses the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.likelihood import COUNTED
from lpm.calibration.observation import Observation, Series
from lpm.types import HostArray

EFFECTIVE = 0.1
"""Least effective number of draws, as a share of them. A guess: 20 of 200."""

PERSISTENCE = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Values of phi, an interval, that are compared."""

DRIFT = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
"""Values of s."""

NOISE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Values of e."""

PRIOR = (0.15, 0.1, 0.8)
"""Medians of the priors of s and e, and the standard deviation of their logs: guesses, worth a few counts."""


@dataclass(frozen=True)
class Discrepancy:
    """How the ratio of counts to the model's drifts.

    Attributes:
        phi: Share of it that is left an interval later.
        drift: Standard deviation s of what is new in an interval, of the log.
        noise: Standard deviation e of a count's own log error beyond Poisson's.
    """

    phi: float
    drift: float
    noise: float

    @property
    def first(self) -> float:
        """Variance of b before anything is known."""
        return self.drift**2 / (1 - self.phi**2)


def weights(log_weight: HostArray, least: float = EFFECTIVE) -> HostArray:
    """Return weights [n] of draws that add up to 1, tempered until `least` n draws are effective.

    Args:
        log_weight: [n], log of p(u) p(y | u, z) / q(u), up to a constant; -inf weighs nothing.
        least: Least effective share of the draws that have a weight.

    Raises:
        NotFiniteError: A NaN among the log weights, or not one that is finite.
    """
    if np.isnan(log_weight).any() or not np.isfinite(log_weight.max()):
        raise NotFiniteError("predictive: NaN among the log weights of the draws, or none that is finite")
    shifted = log_weight - log_weight.max()
    least *= float(np.isfinite(shifted).mean())

    def at(power: float) -> HostArray:
        made = np.exp(power * shifted)
        return made / made.sum()

    low, high = 0.0, 1.0
    if 1 / np.sum(at(1.0) ** 2) >= least * len(shifted):
        return at(1.0)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / np.sum(at(middle) ** 2) >= least * len(shifted) else (low, middle)
    return at(low)


def ratios(y: HostArray, mu: HostArray) -> HostArray:
    """Return log((y + 1/2) / (mu + 1/2))."""
    return np.log((y + 0.5) / (np.maximum(mu, 0) + 0.5))


def filtered(r: HostArray, y: HostArray, about: Discrepancy) -> tuple[HostArray, HostArray, HostArray]:
    """Return mean and variance of b_t given r_1 ... r_t, [..., T] each, and the log likelihood [...] of r.

    Args:
        r: [..., T], log ratios of a group in order of time; NaN where nothing is known.
        y: [T] or [..., T], the counts.
        about: How b drifts.
    """
    mean = np.zeros(r.shape[:-1])
    variance = np.full(r.shape[:-1], about.first)
    means, variances, total = np.empty(r.shape), np.empty(r.shape), np.zeros(r.shape[:-1])
    for t in range(r.shape[-1]):
        if t:
            mean, variance = about.phi * mean, about.phi**2 * variance + about.drift**2
        known = ~np.isnan(r[..., t])
        error = about.noise**2 + 1 / (np.nan_to_num(y[..., t]) + 1)
        whole = variance + error
        off = np.where(known, r[..., t] - mean, 0.0)
        gain = np.where(known, variance / whole, 0.0)
        total = total - np.where(known, 0.5 * (off**2 / whole + np.log(2 * np.pi * whole)), 0.0)
        mean, variance = mean + gain * off, (1 - gain) * variance
        means[..., t], variances[..., t] = mean, variance
    return means, variances, total


def most_likely(groups: Sequence[tuple[HostArray, HostArray]]) -> Discrepancy:
    """Return the discrepancy that makes the ratios (r [T], y [T]) of all groups most likely, its prior included."""

    def value(about: Discrepancy) -> float:
        told = sum(float(filtered(r, y, about)[2]) for r, y in groups)
        pairs = ((about.drift, PRIOR[0]), (about.noise, PRIOR[1]))
        return told - sum(0.5 * (np.log(x / median) / PRIOR[2]) ** 2 for x, median in pairs)

    return max((Discrepancy(*each) for each in itertools.product(PERSISTENCE, DRIFT, NOISE)), key=value)


def predictive(
    every: Observation,
    known: Sequence[HostArray],
    mu: HostArray,
    count: int,
    seed: int = 0,
    *,
    log_ratio: HostArray | None,
) -> tuple[HostArray, Discrepancy | None]:
    """Return samples [count, D] of what is or could be counted, and how counts drift from the model.

    Samples of values that are known are of the model with its scatter alone, those of others also of the drift.

    Args:
        every: All values, those that are to be forecast too (their values are not looked at).
        known: By series, bool [D_s]: which values were known.
        mu: [n, D], their expectations in n draws of parameters and seed.
        count: Number of samples.
        seed: Names the draws.
        log_ratio: [n], log p(u) - log q(u) of the draws up to a constant: 0 for draws of the prior. None = they are of
            the posterior, and its density is not known: then all weigh the same, which is right of the parameters and
            leaves out what the known counts tell of a run's chance.
    """
    if mu.ndim != 2 or mu.shape[1] != every.size or mu.shape[0] < 2:
        raise CalibrationError(f"predictive: expected at least 2 draws of {every.size} values, got {mu.shape}")
    generator = np.random.default_rng(seed)
    parts = every.split(mu)
    weight = np.full(len(mu), 1 / len(mu))
    if log_ratio is not None:
        weight = weights(log_ratio + _log_likelihood(every, known, parts))
    drawn = generator.choice(len(mu), count, p=weight)
    counted = [isinstance(series.likelihood, COUNTED) for series in every.series]
    about = _learned(every, known, parts, counted, weight)
    made: list[HostArray] = []
    for series, part, mask, is_count in zip(every.series, parts, known, counted, strict=True):
        told = series.likelihood.draw(generator, part[drawn])
        if is_count and about is not None:
            told = np.where(mask, told, _counts(series, mask, part[drawn], about, generator))
        made.append(told)
    return np.concatenate(made, -1), about


def _log_likelihood(every: Observation, known: Sequence[HostArray], parts: Sequence[HostArray]) -> HostArray:
    """Return log p(y | u, z) [n] of the values that are known."""
    total = np.zeros(len(parts[0]))
    for series, part, mask in zip(every.series, parts, known, strict=True):
        if mask.any():
            total += np.asarray(series.likelihood.log_prob(series.values[mask], part[:, mask])).sum(-1)
    return total


def _learned(
    every: Observation,
    known: Sequence[HostArray],
    parts: Sequence[HostArray],
    counted: Sequence[bool],
    weight: HostArray,
) -> Discrepancy | None:
    """Return how the counts drift from the mean of the weighted draws, None where no series is of counts."""
    groups: list[tuple[HostArray, HostArray]] = []
    for series, part, mask, is_count in zip(every.series, parts, known, counted, strict=True):
        middle = weight @ part
        for rows in _rows(series) if is_count else ():
            mine = rows[mask[rows]]
            if len(mine):
                groups.append((ratios(series.values[mine], middle[mine]), series.values[mine]))
    return most_likely(groups) if groups else None


def _rows(series: Series) -> list[HostArray]:
    """Return the rows of each group in order of time."""
    names = np.asarray(series.groups, object)
    every = [np.flatnonzero(names == name) for name in dict.fromkeys(series.groups)]
    return [rows[np.argsort(series.begin[rows], kind="stable")] for rows in every]


def _counts(
    series: Series, mask: HostArray, mu: HostArray, about: Discrepancy, generator: np.random.Generator
) -> HostArray:
    """Return counts [count, D_s] around mu [count, D_s]."""
    made = np.empty(mu.shape)
    for rows in _rows(series):
        there = mask[rows]
        r = np.where(there, ratios(series.values[rows], mu[:, rows]), np.nan)
        mean, variance, _ = filtered(r, np.where(there, series.values[rows], 0.0), about)
        last = int(np.flatnonzero(there)[-1]) if there.any() else -1
        b = mean + np.sqrt(variance) * generator.normal(size=mean.shape)
        for t in range(last + 1, len(rows)):  # after the last known count one path, not independent draws
            if t > 0:
                b[:, t] = about.phi * b[:, t - 1] + about.drift * generator.normal(size=len(b))
        rate = mu[:, rows] * np.exp(b + about.noise * generator.normal(size=b.shape))
        made[:, rows] = generator.poisson(np.minimum(rate, 1e12))
    return made
