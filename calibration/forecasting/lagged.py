"""The lagged ratio: a naive forecast of a series as a share of another one that comes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.forecasting.naive import LEAST, Rule, around, checked, last_of, middles_of, sums_of
from lpm.calibration.score import LEVELS
from lpm.types import HostArray


@dataclass(frozen=True)
class LaggedRatio:
    """A share of another series some steps later: D[t] = r A[t - lag], r by group, one lag for all groups.

    Over the last `steps` steps, r = sum D / sum A[. - lag], and the lag is the one with the smallest Poisson deviance.
    As far as t - lag lies ahead, A is carried on by `ahead`. An interval's sum M has the relative variance
    phi / M + phi / sum D + (f e)^2: counts with Pearson's dispersion phi (at least 1: counts), the ratio's own error,
    and the share f of M that comes from A ahead times that forecast's relative error e. It is normal, on the scale on
    which `ahead` tells its errors.

    Attributes:
        ahead: How the leading series goes on.
        steps: Window of the fit.
        most: Longest lag tried: three weeks, of daily values.
    """

    ahead: Rule
    steps: int = 14
    most: int = 21

    @property
    def name(self) -> str:
        """What it is called in the scores."""
        return f"lagged {self.ahead.name}"

    @property
    def window(self) -> int:
        """Number of last steps that it looks at."""
        return self.steps

    @property
    def logarithmic(self) -> bool:
        """Errors are multiplied, not added."""
        return self.ahead.logarithmic

    def least(self, length: int) -> int:
        """Return the longer of the fit's window and what `ahead` needs."""
        return max(self.steps, self.ahead.least(length))

    def fitted(self, history: HostArray, leading: HostArray) -> tuple[int, HostArray, float]:
        """Return the lag, the ratios [G] and the dispersion phi."""
        recent, best = last_of(history, self.steps, self.name), (np.inf, 0, np.zeros(0), 1.0)
        if len(leading) != len(history):
            raise CalibrationError(f"{self.name}: expected {len(history)} steps of the leading series")
        for lag in range(min(self.most, len(history) - self.steps) + 1):
            cause = leading[len(leading) - lag - self.steps : len(leading) - lag]
            total = cause.sum(0)
            ratio = np.where(total > 0, recent.sum(0) / np.where(total > 0, total, 1), 0)
            mean = np.maximum(ratio * cause, 1e-9)  # an event where none is possible counts, hugely but finitely
            deviance = 2 * (np.where(recent > 0, recent * np.log(np.maximum(recent, 1e-9) / mean), 0) - recent + mean)
            if deviance.sum() < best[0]:
                freedom = recent.size - recent.shape[1] - 1
                pearson = ((recent - mean) ** 2 / np.maximum(mean, LEAST)).sum() / freedom
                best = (float(deviance.sum()), lag, ratio, max(1.0, float(pearson)))
        return best[1:]

    def quantiles(
        self, history: HostArray, leading: HostArray, intervals: int, length: int = 7, levels: Sequence[float] = LEVELS
    ) -> HostArray:
        """Return the quantiles of the sums over the next intervals, [intervals, groups, levels].

        Args:
            history: [T, groups] up to the last known step.
            leading: [T, groups] of the series that leads, over the same steps.
            intervals: How many.
            length: Steps of each.
            levels: Probabilities.
        """
        checked(self.name, history, leading)
        lag, ratio, phi = self.fitted(history, leading)
        count = intervals * length
        ahead = self.ahead.path(leading, count)
        known = leading[len(leading) - lag :] if lag else leading[:0]
        cause = np.concatenate([known, ahead])[:count] * ratio
        new = np.concatenate([np.zeros_like(known), ahead])[:count] * ratio
        middle, later = sums_of(cause, length), sums_of(new, length)
        middles = np.maximum(middles_of(intervals, length) - lag, (length + 1) / 2)  # none lies ahead of an interval
        error = self.ahead.spread(leading, middles, length)
        if not self.logarithmic:
            error = error / np.maximum(length * ahead[middles.astype(int) - 1], LEAST)
        share = later / np.where(middle > 0, middle, 1)
        total = last_of(history, self.steps, self.name).sum(0)
        variance = phi / np.where(middle > 0, middle, 1) + phi / np.maximum(total, LEAST) + (share * error) ** 2
        spread = np.sqrt(variance) * (1 if self.logarithmic else middle)
        return around(self, middle, spread, np.inf, levels, total == 0, length)
