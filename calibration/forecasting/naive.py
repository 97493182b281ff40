"""Naive forecasts: what any model has to beat, each with intervals, so that it can be scored like one.

Rules, none of which knows what an epidemic (or anything else) is:

- **persistence**: the mean of the last n steps goes on. Errors: those of this rule itself, one interval ahead, in the
  past, made symmetric; they grow with the root of the horizon, as a random walk's do. (The baseline of the forecast
  hubs does the same: Cramer et al. 2022, PNAS 119:e2113561119, 10.1073/pnas.2113561119.)
- **log-linear**: the straight line through the logarithms of the last n steps goes on. Errors: Student's t around the
  line, with the line's own uncertainty, which grows with the distance.
- **lagged ratio** (`lpm.calibration.forecasting.lagged`): a share of another series, some steps later.

The middle is the rule itself and nothing else. With the quantile q of the stated distribution, an interval's ends are
max(0, middle + q sd) for persistence and middle * exp(q sd) for the log-linear rule. A group in whose window nothing at
all was counted has no logarithm: it is forecast as a Poisson rate of which n steps without an event are all that is
known (Jeffreys' prior), so that its middle is 0 or close to it.

Nothing is capped. On an exponential rise a log-linear forecast is absurdly large: that is what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import stats

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.score import LEVELS
from lpm.types import HostArray

LEAST = 0.5
"""A count of 0 beside counts above 0 is taken as this many before its logarithm (Jeffreys' half)."""


class Rule(Protocol):
    """A rule that carries a series on."""

    @property
    def name(self) -> str:
        """What it is called in the scores."""
        ...

    @property
    def window(self) -> int:
        """Number of last steps that it looks at."""
        ...

    def least(self, length: int) -> int:
        """Return the fewest steps of history that it needs to forecast intervals of so many steps."""
        ...

    def path(self, history: HostArray, steps: int) -> HostArray:
        """Return the next `steps` values [steps, groups] after the history [T, groups]."""
        ...

    def spread(self, history: HostArray, middles: HostArray, length: int) -> HostArray:
        """Return the standard deviation of an interval's sum, or of its log, [len(middles), groups].

        Args:
            history: [T, groups].
            middles: Middle of each interval, in steps after the last one of the history.
            length: Steps of an interval.
        """
        ...

    @property
    def logarithmic(self) -> bool:
        """Errors are multiplied, not added."""
        ...

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the errors' t distribution; infinite = normal."""
        ...


@dataclass(frozen=True)
class Persistence:
    """The mean of the last steps goes on: x[t + h] = mean(x[t - n + 1 .. t]).

    Attributes:
        steps: n.
        name: In the scores.
        past: The rule's own errors are taken from this many last steps and the ones before them: two weeks, a guess.
    """

    steps: int = 7
    name: str = "persistence"
    past: int = 14

    @property
    def window(self) -> int:
        """Number of last steps that it looks at."""
        return self.steps

    @property
    def logarithmic(self) -> bool:
        """Errors are added."""
        return False

    @property
    def freedom(self) -> float:
        """Errors are normal."""
        return np.inf

    def least(self, length: int) -> int:
        """Return the window and one interval, for one error of the past."""
        return self.steps + length

    def path(self, history: HostArray, steps: int) -> HostArray:
        """Return the mean of the last steps, `steps` times."""
        return np.repeat(last_of(history, self.steps, self.name).mean(0, keepdims=True), steps, 0)

    def spread(self, history: HostArray, middles: HostArray, length: int) -> HostArray:
        """Return r sqrt(h): h = the horizon in intervals, r = root mean square of next interval's sum - forecast.

        Those errors are of every origin for which both are known and the interval ended within the last `past` steps.

        Raises:
            CalibrationError: The history is too short for one such error.
        """
        last_of(history, self.least(length), self.name)
        ends = np.arange(max(len(history) - self.past, self.least(length) - 1), len(history))
        came = np.stack([history[end - length + 1 : end + 1].mean(0) for end in ends])
        told = np.stack([history[end - length - self.steps + 1 : end - length + 1].mean(0) for end in ends])
        errors = length * (came - told)
        horizon = (np.asarray(middles, np.float64) + (length - 1) / 2) / length
        return np.sqrt(horizon)[:, None] * np.sqrt((errors**2).mean(0))


@dataclass(frozen=True)
class LogLinear:
    """A line through the logarithms of the last steps goes on: x[t] = exp(a + b t), by least squares.

    A new interval scatters around the line by s sqrt(1 / length + 1 / n + (t - mean t)^2 / sum (t - mean t)^2), with
    the residuals' standard deviation s: Student's t with n - 2 degrees of freedom (the prediction interval of a
    regression). It holds if the line does; that the growth itself changes is not in it.

    Attributes:
        steps: n, at least 3.
        label: In the scores; "loglinear" and n where it is empty.
    """

    steps: int
    label: str = ""

    def __post_init__(self):
        """Refuse a line without residuals."""
        if self.steps < 3:
            raise CalibrationError(f"loglinear: expected at least 3 steps, got {self.steps}")

    @property
    def name(self) -> str:
        """What it is called in the scores."""
        return self.label or f"loglinear{self.steps}"

    @property
    def window(self) -> int:
        """Number of last steps that it looks at."""
        return self.steps

    @property
    def logarithmic(self) -> bool:
        """Errors are multiplied."""
        return True

    @property
    def freedom(self) -> float:
        """Degrees of freedom."""
        return self.steps - 2.0

    def least(self, length: int) -> int:
        """Return the window."""
        return self.steps

    def _line(self, history: HostArray) -> tuple[HostArray, HostArray, HostArray, HostArray]:
        """Return t - mean t [n], the mean logs [G], the slopes [G], and the residuals' standard deviations [G]."""
        logs = np.log(np.maximum(last_of(history, self.steps, self.name), LEAST))
        t = np.arange(self.steps) - (self.steps - 1) / 2
        middle, slope = logs.mean(0), t @ logs / (t**2).sum()
        residuals = logs - middle - t[:, None] * slope
        return t, middle, slope, np.sqrt((residuals**2).sum(0) / self.freedom)

    def path(self, history: HostArray, steps: int) -> HostArray:
        """Return exp(a + b t), and 0 for a group without a single count in the window."""
        t, middle, slope, _ = self._line(history)
        with np.errstate(over="ignore"):  # told by name where the interval is made
            made = np.exp(middle + (t[-1] + np.arange(1, steps + 1))[:, None] * slope)
        return made * (last_of(history, self.steps, self.name) > 0).any(0)

    def spread(self, history: HostArray, middles: HostArray, length: int) -> HostArray:
        """Return the prediction error of the line at each interval's middle."""
        t, _, _, s = self._line(history)
        away = (t[-1] + np.asarray(middles, np.float64)) ** 2 / (t**2).sum()
        return np.sqrt(1 / length + 1 / self.steps + away)[:, None] * s


def quantiles(
    rule: Rule, history: HostArray, intervals: int, length: int = 7, levels: Sequence[float] = LEVELS
) -> HostArray:
    """Return the quantiles of the sums over the next intervals, [intervals, groups, levels].

    Args:
        rule: How the series goes on.
        history: [T, groups] up to the last known step.
        intervals: How many.
        length: Steps of each.
        levels: Probabilities.

    Raises:
        CalibrationError: A history that is too short.
        NotFiniteError: NaN in the history, or a forecast beyond the largest number.
    """
    checked(rule.name, history)
    middle = sums_of(rule.path(history, intervals * length), length)
    spread = rule.spread(history, middles_of(intervals, length), length)
    none = (last_of(history, rule.window, rule.name) == 0).all(0)
    return around(rule, middle, spread, rule.freedom, levels, none, length)


def checked(name: str, *histories: HostArray) -> None:
    """Refuse histories that are not [steps, groups] of counts.

    Raises:
        NotFiniteError: NaN, infinite or negative values.
    """
    for each in histories:
        if each.ndim != 2 or not np.isfinite(each).all() or (each < 0).any():
            raise NotFiniteError(f"{name}: expected a history [steps, groups] of counts, without NaN or negative ones")


def last_of(history: HostArray, steps: int, name: str) -> HostArray:
    """Return the last steps of a history.

    Raises:
        CalibrationError: It has fewer.
    """
    if len(history) < steps:
        raise CalibrationError(f"{name}: expected a history of at least {steps} steps, got {len(history)}")
    return history[len(history) - steps :]


def sums_of(path: HostArray, length: int) -> HostArray:
    """Return the sums [intervals, groups] over intervals of a path [intervals * length, groups]."""
    return path.reshape(-1, length, path.shape[1]).sum(1)


def middles_of(intervals: int, length: int) -> HostArray:
    """Return the middle of each interval, in steps after the last known one (which is 0)."""
    return np.arange(intervals) * length + (length + 1) / 2


def around(
    rule: Any, middle: HostArray, spread: HostArray, freedom: float, levels: Any, none: HostArray, length: int
) -> HostArray:
    """Return the quantiles around the middle, and a Poisson rate's predictive ones for groups without a count."""
    deviates = stats.t.ppf(np.asarray(levels, np.float64), freedom) * spread[..., None]
    with np.errstate(over="ignore"):
        made = middle[..., None] * np.exp(deviates) if rule.logarithmic else middle[..., None] + deviates
    if not np.isfinite(made).all():
        raise NotFiniteError(
            f"{rule.name}: the forecast is beyond the largest number; the series grows too fast for it"
        )
    # rates Gamma(1/2, n) given n steps without a count, and Poisson counts
    empty = stats.nbinom.ppf(np.asarray(levels, np.float64), 0.5, rule.window / (rule.window + length))
    return np.where(none[None, :, None], empty, np.maximum(made, 0))
