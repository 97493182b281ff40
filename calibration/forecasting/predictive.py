"""The posterior predictive of counts: parameters, chance, what the model lacks, and how counts scatter.

1. *Chance that has happened.* A draw is a parameter set with a seed of its own. Its epidemic is one that could have
   been; the more likely it makes the counts that are known, the more it weighs (sampling importance resampling: Rubin
   1988, Bayesian Statistics 3:395-402). With few draws the log weights are tempered, w^a, so that the effective number
   (sum w)^2 / sum w^2 is at least a share of them.
2. *What the model lacks.* The ratio of a group's counts to the simulated ones drifts slowly (Kennedy & O'Hagan 2001,
   Journal of the Royal Statistical Society B 63:425-464, 10.1111/1467-9868.00294): with r_t = log((y_t + 1/2) /
   (mu_t + 1/2)),

       b_t = phi b_(t-1) + N(0, s^2),   r_t = b_t + N(0, e^2 + 1 / (y_t + 1)),   b_0 ~ N(0, s^2 / (1 - phi^2)),

   followed by a Kalman filter in every group; phi, s and e are those that make the known ratios of all groups and
   series together most likely, with a weak prior that keeps them finite when few are known. After the last known count
   b goes on without data: the forecast returns to the model's own level, and its interval grows.
3. *Scatter.* y_t is Poisson around mu_t exp(b_t + N(0, e^2)).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.likelihood import Normal
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


def weights(log_likelihood: HostArray, least: float = EFFECTIVE) -> HostArray:
    """Return weights [n] of draws that add up to 1, tempered until `least` n draws are effective.

    Raises:
        NotFiniteError: A NaN among the log likelihoods.
    """
    if np.isnan(log_likelihood).any():
        raise NotFiniteError("predictive: NaN among the log likelihoods of the draws")
    shifted = log_likelihood - log_likelihood.max()

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
    every: Observation, known: Sequence[HostArray], mu: HostArray, count: int, seed: int = 0
) -> tuple[HostArray, Discrepancy | None]:
    """Return samples [count, D] of what is or could be counted, and how counts drift from the model.

    Args:
        every: All values, those that are to be forecast too (their values are not looked at).
        known: By series, bool [D_s]: which values were known.
        mu: [n, D], their expectations in n draws of parameters and seed.
        count: Number of samples.
        seed: Names the draws.
    """
    if mu.ndim != 2 or mu.shape[1] != every.size or mu.shape[0] < 2:
        raise CalibrationError(f"predictive: expected at least 2 draws of {every.size} values, got {mu.shape}")
    generator = np.random.default_rng(seed)
    parts = every.split(mu)
    chance = np.zeros(len(mu))
    for series, part, mask in zip(every.series, parts, known, strict=True):
        if mask.any():
            chance += np.asarray(series.likelihood.log_prob(series.values[mask], part[:, mask])).sum(-1)
    weight = weights(chance)
    drawn = generator.choice(len(mu), count, p=weight)
    counted = [not isinstance(series.likelihood, Normal) for series in every.series]
    about = _learned(every, known, parts, counted, weight)
    made: list[HostArray] = []
    for series, part, mask, is_count in zip(every.series, parts, known, counted, strict=True):
        if is_count and about is not None:
            made.append(_counts(series, mask, part[drawn], about, generator))
        else:
            made.append(series.likelihood.draw(generator, part[drawn]))
    return np.concatenate(made, -1), about


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
