"""Observations: which linear function of the simulated series each observed value is the noisy version of.

A series of values y_1 ... y_D stands for intervals of steps. With simulated x[t] of its group, its delay distribution
d[l], and the share a[t] of what happens that is ever counted (ascertainment),

    mu_i = scale * sum over the steps t of interval i of  sum_l d[l] * a[t - l] * x[t - l]      (a flow),

and the mean over the interval in the place of the sum for a stock. Values are compared as g(y) and g(mu), on the scale
on which their likelihood scatters by 1.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl

from lpm.calibration.errors import AfterAsOfError, CalibrationError
from lpm.calibration.likelihood import COUNTED, Likelihood, Poisson
from lpm.errors import InputError, unknown
from lpm.types import HostArray

Outputs = Mapping[str, Any]
"""What a simulation gives: by metric an array [..., steps, groups]."""


@dataclass(frozen=True)
class Series:
    """Observed values of one metric.

    Attributes:
        metric: Name of the simulated series.
        values: float64 [D].
        begin: int [D], first step of each value's interval.
        end: int [D], the step behind its last one.
        groups: Name of each value's group, "all" for everybody.
        flow: Summed over the interval; else averaged.
        likelihood: How values scatter.
        delay: Share of events that are counted l steps later, l = 0, 1, ...; () = at once.
        ascertainment: Share that is ever counted, by step; a number; or the name of a parameter of the space.
        scale: Unit of the values per unit of the simulation; a number, or the name of a parameter of the space.
        dates: Last day of each interval, where there are dates.
        as_of: Date on which these values were known; None = not said.
    """

    metric: str
    values: HostArray
    begin: HostArray
    end: HostArray
    groups: tuple[str, ...]
    flow: bool = True
    likelihood: Likelihood = field(default_factory=Poisson)
    delay: tuple[float, ...] = ()
    ascertainment: tuple[float, ...] | float | str = 1.0
    scale: float | str = 1.0
    dates: tuple[dt.date, ...] = ()
    as_of: dt.date | None = None

    def __post_init__(self):
        """Refuse what does not fit together.

        Raises:
            AfterAsOfError: A value of a day after `as_of`.
            CalibrationError: Lengths that differ, values that are not finite, counts below 0, an empty interval, or
                shares that are negative or add up to more than 1.
        """
        where, count = f"observation: {self.metric}", len(self.values)
        if not count:
            raise CalibrationError(f"{where}: there are no values")
        if {len(self.begin), len(self.end), len(self.groups)} != {count} or len(self.dates) not in (0, count):
            raise CalibrationError(f"{where}: expected begin, end, groups and dates of {count} values")
        if not np.isfinite(self.values).all():
            raise CalibrationError(f"{where}: NaN or infinite values")
        if isinstance(self.likelihood, COUNTED) and (self.values < 0).any():
            raise CalibrationError(f"{where}: expected counts of at least 0, got {self.values.min():g}; see Normal")
        if (self.begin < 0).any() or (self.end <= self.begin).any():
            raise CalibrationError(f"{where}: expected intervals of at least one step, from step 0 on")
        if self.delay and (min(self.delay) < 0 or sum(self.delay) > 1 + 1e-6):
            raise CalibrationError(f"{where}: expected a delay of shares that add up to at most 1")
        if self.as_of is not None and any(day > self.as_of for day in self.dates):
            last = max(self.dates)
            raise AfterAsOfError(f"{where}: a value of {last} cannot have been known on {self.as_of}; use until()")

    def until(self, date: dt.date) -> Series | None:
        """Return the values whose intervals end by a date, as of that date; None without any."""
        if not self.dates:
            raise CalibrationError(f"observation: {self.metric}: expected values with dates")
        return self.where([day <= date for day in self.dates], as_of=date)

    def where(self, kept: Sequence[bool], **changed: Any) -> Series | None:
        """Return some of the values, None if there are none."""
        mask = np.asarray(kept, bool)
        if not mask.any():
            return None
        return replace(
            self,
            values=self.values[mask],
            begin=self.begin[mask],
            end=self.end[mask],
            groups=tuple(np.asarray(self.groups, object)[mask]),
            dates=tuple(np.asarray(self.dates, object)[mask]) if self.dates else (),
            **changed,
        )

    def expected(self, outputs: Outputs, groups: Mapping[str, Sequence[str]], theta: Mapping[str, Any]) -> Any:
        """Return mu [..., D].

        Args:
            outputs: By metric [..., steps, groups]; numpy in, numpy out, and the same for JAX.
            groups: Names of the groups by metric.
            theta: Values of the parameters, [...] each.

        Raises:
            InputError: A metric or group that the simulation does not have, or too few steps.
        """
        where = f"observation: {self.metric}"
        if self.metric not in outputs:
            raise unknown("observation", "metric", self.metric, outputs)
        x = outputs[self.metric]
        xp: Any = np if isinstance(x, np.ndarray) else jnp
        steps = x.shape[-2]
        if int(self.end.max()) > steps:
            raise CalibrationError(f"{where}: expected a simulation of {int(self.end.max())} steps, got {steps}")
        counted = x * self._share(xp, theta, steps, x.ndim)
        if self.delay:
            counted = _delayed(xp, counted, self.delay)
        start = xp.zeros((*counted.shape[:-2], 1, counted.shape[-1]), counted.dtype)
        total = xp.concatenate([start, xp.cumsum(counted, -2)], -2)
        names = list(groups[self.metric])
        for name in dict.fromkeys(self.groups):
            if name not in names:
                raise unknown(where, "group", name, names)
        column = np.asarray([names.index(name) for name in self.groups])
        mu = total[..., self.end, column] - total[..., self.begin, column]
        if not self.flow:
            mu = mu / xp.broadcast_to(xp.asarray(self.end - self.begin, mu.dtype), mu.shape)
        return mu * (_of(xp, theta, self.scale)[..., None] if isinstance(self.scale, str) else self.scale)

    def _share(self, xp: Any, theta: Mapping[str, Any], steps: int, axes: int) -> Any:
        if isinstance(self.ascertainment, str):
            return _of(xp, theta, self.ascertainment)[..., None, None]
        if isinstance(self.ascertainment, float | int):
            return self.ascertainment
        shares = np.asarray(self.ascertainment, np.float64)
        if len(shares) < steps:
            raise CalibrationError(f"observation: {self.metric}: expected an ascertainment of {steps} steps")
        column = shares[:steps].reshape(*[1] * (axes - 2), steps, 1)
        return xp.asarray(column.astype(np.float32 if xp is jnp else np.float64))


def _of(xp: Any, theta: Mapping[str, Any], name: str) -> Any:
    if name not in theta:
        raise unknown("observation", "parameter", name, theta)
    return xp.asarray(theta[name])


def _delayed(xp: Any, x: Any, delay: Sequence[float]) -> Any:
    """Return sum_l delay[l] x[t - l]; what would be counted after the last step is not."""
    made = x * float(delay[0])
    for lag, share in enumerate(delay[1:], 1):
        if lag < x.shape[-2] and share:
            late = xp.concatenate([xp.zeros_like(x[..., :lag, :]), x[..., :-lag, :]], -2)
            made = made + late * float(share)
    return made


@dataclass(frozen=True)
class Observation:
    """Everything that was observed.

    Attributes:
        series: One or more series; one metric may stand in several (of different likelihoods).
    """

    series: tuple[Series, ...]

    def __post_init__(self):
        """Refuse an observation of nothing."""
        if not self.series:
            raise CalibrationError("observation: expected at least one series")

    @property
    def size(self) -> int:
        """Number of values D."""
        return sum(len(each.values) for each in self.series)

    @cached_property
    def values(self) -> HostArray:
        """All observed values, [D]."""
        return np.concatenate([each.values for each in self.series])

    @cached_property
    def target(self) -> HostArray:
        """All observed values on the scale on which they scatter by 1, [D]."""
        return np.concatenate([np.asarray(each.likelihood.stabilised(each.values)) for each in self.series])

    def expected(self, outputs: Outputs, groups: Mapping[str, Sequence[str]], theta: Mapping[str, Any]) -> Any:
        """Return the expectations mu [..., D] of all values."""
        parts = [each.expected(outputs, groups, theta) for each in self.series]
        return (np if isinstance(parts[0], np.ndarray) else jnp).concatenate(parts, -1)

    def stabilised(self, mu: Any) -> Any:
        """Return g(mu) [..., D]."""
        parts = [each.likelihood.stabilised(part) for each, part in zip(self.series, self.split(mu), strict=True)]
        return (np if isinstance(mu, np.ndarray) else jnp).concatenate(parts, -1)

    def log_prob(self, mu: Any) -> Any:
        """Return the log likelihood [...] of the values given their expectations mu [..., D]."""
        parts = [
            each.likelihood.log_prob(each.values if isinstance(part, np.ndarray) else jnp.asarray(each.values), part)
            for each, part in zip(self.series, self.split(mu), strict=True)
        ]
        return (np if isinstance(mu, np.ndarray) else jnp).concatenate(parts, -1).sum(-1)

    def draw(self, generator: np.random.Generator, mu: HostArray) -> HostArray:
        """Return what could have been observed instead, [..., D]."""
        return np.concatenate(
            [each.likelihood.draw(generator, part) for each, part in zip(self.series, self.split(mu), strict=True)], -1
        )

    def split(self, x: Any) -> list[Any]:
        """Return the parts [..., D_s] of [..., D] by series."""
        ends = np.cumsum([len(each.values) for each in self.series])[:-1]
        return np.split(x, ends, -1) if isinstance(x, np.ndarray) else jnp.split(x, ends, -1)

    def until(self, date: dt.date) -> Observation:
        """Return what was known on a date.

        Raises:
            CalibrationError: Nothing was.
        """
        kept = tuple(found for each in self.series if (found := each.until(date)) is not None)
        if not kept:
            raise CalibrationError(f"observation: no value of the days until {date}")
        return Observation(kept)


def series_of(frame: pl.DataFrame, metric: str, start: dt.date, step_days: float = 1.0, **options: Any) -> Series:
    """Return a series from a frame of dated figures.

    Args:
        frame: Columns start and end (Date, both inclusive), group (str) and value (f64), as `observed.parquet` has.
        metric: What they are figures of.
        start: Date of step 0.
        step_days: Length of a step in days; intervals have to begin and end with a step.
        options: Further attributes of `Series`.

    Raises:
        InputError: A missing column, missing values, or an interval that lies between steps.
    """
    where = f"observation: {metric}"
    for name in ("start", "end", "group", "value"):
        if name not in frame.columns:
            raise unknown(where, "column", name, frame.columns)
        if frame[name].null_count():
            raise InputError(f"{where}: column '{name}': {frame[name].null_count()} values are missing")
    days = [(frame["start"].to_list(), 0), (frame["end"].to_list(), 1)]
    begin, end = ([((day - start).days + more) / step_days for day in column] for column, more in days)
    if any(abs(at - round(at)) > 1e-9 for at in (*begin, *end)):
        raise InputError(f"{where}: an interval begins or ends within a step of {step_days:g} days")
    return Series(
        metric,
        frame["value"].to_numpy().astype(np.float64),
        np.asarray([round(at) for at in begin]),
        np.asarray([round(at) for at in end]),
        tuple(frame["group"].to_list()),
        dates=tuple(frame["end"].to_list()),
        **options,
    )
