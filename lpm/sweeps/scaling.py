"""How a measure depends on the number of agents, and what it would be with more of them than were run.

The law is that of `lpm.sweeps.finite_size`, fitted on N <= 100,000. Counts of people in a scenario without
`population.people` grow with N: they are fitted as shares of the agents, and predicted as counts again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.errors import InputError, unknown
from lpm.sweeps.finite_size import Fit, fit
from lpm.sweeps.outcome import Outcome, read_outcome

SIZE = "population.size"
"""The path whose values are N."""

MOST = 100_000
"""Largest N that is fitted."""

LEAST_SIZES = 4
"""Fewest sizes: three numbers are fitted."""

COUNTS = ("flow", "stock", "sum")
"""Kinds of metrics that count people, or sum over them."""


@dataclass(frozen=True)
class Law:
    """A fitted law, and what it predicts.

    Attributes:
        arm: Name of the arm.
        measure: `<metric>.<summary>`.
        group: Name of the group.
        counted: Values are counts that grow with N, fitted as shares of the agents.
        fit: The law, of shares where `counted`.
        beyond: (N, mean, standard error) of larger sizes that were run and are not fitted, shares where `counted`.
        to: N that is predicted.
        value: Predicted mean, a count where `counted`.
        low: Lower end of its 95 % interval.
        high: Upper end.
        one: 95 % interval of a single run.
    """

    arm: str
    measure: str
    group: str
    counted: bool
    fit: Fit
    beyond: tuple[tuple[float, float, float], ...]
    to: float
    value: float
    low: float
    high: float
    one: tuple[float, float]

    def told(self) -> dict[str, Any]:
        """Return what `scaling.json` says of it: the prediction and the sizes that it rests on."""
        names = ("arm", "measure", "group", "counted", "to", "value", "low", "high", "one")
        return {name: getattr(self, name) for name in names} | {"sizes": [float(size) for size in self.fit.sizes]}


def law(
    folder: Path,
    to: float,
    arm: str | None = None,
    metric: str | None = None,
    summary: str | None = None,
    group: str = "all",
    at: Mapping[str, Any] | None = None,
) -> Law:
    """Return the scaling law of a measure, and what it predicts for `to` agents.

    Args:
        folder: A sweep's folder, in which `population.size` is swept.
        to: N to predict.
        arm: Default: the first.
        metric: Default: the headline.
        summary: Default: the metric's main one.
        group: Of the summary.
        at: Values of the other swept paths. Those not named are averaged over, which needs the same values at every N.

    Raises:
        InputError: N is not swept, fewer than four sizes up to 100,000, one seed, a run that failed or in which the
            measure is not defined, or other values of the other paths at each N.
    """
    outcome = read_outcome(Path(folder))
    return of_outcome(outcome, to, arm or outcome.arms[0], outcome.measure(metric, summary), group, at)


def of_outcome(
    outcome: Outcome, to: float, arm: str, measure: str, group: str = "all", at: Mapping[str, Any] | None = None
) -> Law:
    """Return the law of a sweep that is read already; as `law`."""
    where = f"{outcome.folder}: scaling law"
    swept = [path.path for path in outcome.paths]
    if SIZE not in swept:
        raise InputError(f"{where}: expected a sweep over {SIZE}, got one over {', '.join(swept)}")
    if not (math.isfinite(to) and to >= 1):
        raise InputError(f"{where}: to: expected a number of agents, got {to}")
    if len(outcome.seeds) < 2:
        raise InputError(f"{where}: expected at least 2 seeds, whose spread weighs the sizes, got 1")
    sizes, values = _by_size(outcome, arm, measure, group, at or {}, where)
    grows = counted(outcome, measure)
    values = values / sizes[:, None] if grows else values
    small = sizes <= MOST
    if small.sum() < LEAST_SIZES:
        raise InputError(f"{where}: expected at least {LEAST_SIZES} sizes up to {MOST:,}, got {int(small.sum())}")
    found = fit(sizes[small], values[small])
    by = to if grows else 1.0
    value, low, high = (by * each for each in found.predict(to))
    _, low_one, high_one = (by * each for each in found.predict(to, 1.0))
    beyond = tuple(
        (float(size), float(row.mean()), math.sqrt(found.spread(float(size)) / len(row)))
        for size, row in zip(sizes[~small], values[~small], strict=True)
    )
    return Law(arm, measure, group, grows, found, beyond, float(to), value, low, high, (low_one, high_one))


def counted(outcome: Outcome, measure: str) -> bool:
    """Return whether a measure counts agents, so that it grows with their number."""
    counts = outcome.metric(measure)["kind"] in COUNTS and not measure.endswith(".day_of_peak")
    return counts and outcome.about.get("people") is None


def _by_size(
    outcome: Outcome, arm: str, measure: str, group: str, at: Mapping[str, Any], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes, ascending, and values by size and seed: means over the paths that are not given."""
    others = [path.path for path in outcome.paths if path.path != SIZE]
    chosen = outcome.first.copy()
    for name, value in at.items():
        if name not in others:
            raise unknown(where, "swept path", name, others)
        column = outcome.design[name]
        same = column == value if isinstance(value, str) else (column - value).abs() <= 1e-9 * abs(value)
        chosen &= same.to_numpy()
        if not chosen.any():
            raise InputError(f"{where}: no run has {name} = {value}")
    rows = outcome.design.filter(pl.Series(chosen))
    free = [name for name in others if name not in at]
    beside = [part.select(free).sort(free) if free else None for part in rows.partition_by(SIZE)]
    if any(part is not None and not part.equals(beside[0]) for part in beside):  # pyright: ignore[reportArgumentType]
        raise InputError(f"{where}: {', '.join(free)}: not the same at every N; give a value of each (at)")
    values = outcome.values(arm, measure, group)[chosen]
    gaps = int(np.isnan(values).any(1).sum())
    if gaps:
        raise InputError(
            f"{where}: {measure} of arm '{arm}' failed or is not defined in {gaps} of {len(values)} runs; it needs all"
        )
    size = rows[SIZE].cast(pl.Float64).to_numpy()
    sizes = np.unique(size)
    return sizes, np.stack([values[size == n].mean(0) for n in sizes])
