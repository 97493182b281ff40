"""What a fit means for policy: every arm of the calibrated scenario, run with draws of the fitted parameters.

Every seed has a draw of its own, and all arms of a seed share draw and chance. So a figure by seed is a draw of its
posterior predictive distribution, and the difference of two arms by seed one of their effect's. What is told of n such
figures is the median and the quantiles at 5 and 95 %, with the k-th smallest at k / (n + 1): between these a further
draw lies with 90 % chance from n = 19 on (Hyndman & Fan 1996, The American Statistician 50:361-365, 10.2307/2684934).
This is how far the effect itself may lie from what is told, not the standard error of its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm import effects
from lpm.fitting.calibrated import POSTERIOR
from lpm.parquet import read_frame
from lpm.scenarios import execution, settings
from lpm.scenarios.options import Progress, RunOptions
from lpm.scenarios.schema import Scenario

FEWEST, MOST = 20, 40
"""Fewest and most draws of the parameters, one a seed: fewer than 19 reach no quantile at 5 %; more are a choice of
cost."""

SHOWN = 10
"""Without so many figures there is no interval: the ends of 10 hold 9 / 11 of further draws, which is no 90 %."""

RUN = "run"
"""Folder of that run within the folder of a fit."""


def results_of(scenario: Scenario, folder: Path, draws: int, progress: Progress) -> list[dict[str, Any]]:
    """Run all arms with draws of the fit, in `run/`, and return what came out.

    Args:
        scenario: The calibrated one.
        folder: Of the fit, with its `posterior.parquet`.
        draws: How many draws that holds; a tenth of them are run, at least `FEWEST` and at most `MOST`.
        progress: Told how far it is.

    Returns:
        Rows of name, estimate (median), low, high, unit, draws (that were run) and undefined (in how many of these
        there is no such figure, and which are left out). low and high are None with fewer than `SHOWN` figures.
    """
    drawn = settings.with_draws(scenario, str(folder / POSTERIOR))
    drawn = drawn.model_copy(update={"seeds": tuple(range(min(draws, MOST, max(FEWEST, draws // 10))))})
    target = folder / RUN
    resume = target.is_dir() and any(target.iterdir())
    execution.run(drawn, RunOptions(target, 1, resume=resume), progress)
    trajectory = read_frame(target / "trajectory.parquet")
    return [*levels(trajectory, drawn), *averted(trajectory, drawn)]


def levels(trajectory: pl.DataFrame, scenario: Scenario) -> list[dict[str, Any]]:
    """Return shares, ratios and peaks of the reproduction number of the fitted arm at the end, over the draws."""
    arm = (scenario.calibration and scenario.calibration.arm) or scenario.arms[0].name
    everybody = trajectory.filter((pl.col("arm") == arm) & (pl.col("group") == "all")).sort("seed", "step")
    made: list[dict[str, Any]] = []
    for name, metric in scenario.metrics.items():
        title, value = metric.title or name, pl.col(name)
        if metric.kind in ("share", "ratio"):
            told = {"at the end": value.last()}
        elif metric.kind == "reproduction":  # not known at every step
            told = {"highest": value.drop_nulls().max(), "at the end": value.drop_nulls().last()}
        else:
            continue
        for words, rule in told.items():
            found = dict(everybody.group_by("seed").agg(rule.alias("value")).iter_rows())
            made.append(_row(f"{title}, {words}", found, scenario.seeds, metric.unit))
    return made


def averted(trajectory: pl.DataFrame, scenario: Scenario) -> list[dict[str, Any]]:
    """Return by arm what of the headline metric it averts in total, against the first arm with the same draw."""
    name = scenario.headline or ("deaths" if "deaths" in scenario.metrics else None)
    if name is None or scenario.metrics[name].kind != "flow":
        return []
    found: dict[str, dict[int, float | None]] = {arm.name: {} for arm in scenario.arms[1:]}
    for (seed,), rows in trajectory.group_by("seed", maintain_order=True):
        table = effects.effects(rows, {name: "flow"}, scenario.report_from, dt=scenario.step_days)
        wanted = (pl.col("group") == "all") & (pl.col("summary") == "total")
        for arm, difference in table.filter(wanted).select("arm", "difference").iter_rows():
            if arm in found and difference is not None:
                found[arm][int(str(seed))] = -difference
    title, unit = scenario.metrics[name].title or name, scenario.metrics[name].unit
    return [_row(f"{title} averted: {arm}", values, scenario.seeds, unit) for arm, values in found.items()]


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the quantiles at 5 and 95 %, the k-th smallest of n at k / (n + 1); None with fewer than `SHOWN`."""
    if len(values) < SHOWN:
        return None, None
    low, high = np.quantile(np.asarray(values, np.float64), (0.05, 0.95), method="weibull")
    return float(low), float(high)


def _row(name: str, found: Mapping[int, float | None], seeds: Sequence[int], unit: str) -> dict[str, Any]:
    """Return the row of a figure from its values by seed."""
    defined = [value for seed in seeds if (value := found.get(seed)) is not None]
    low, high = interval(defined)
    return {
        "name": name,
        "estimate": float(np.median(defined)) if defined else None,
        "low": low,
        "high": high,
        "unit": unit,
        "draws": len(seeds),
        "undefined": len(seeds) - len(defined),
    }
