"""What a fit means for policy: every arm of the calibrated scenario, run with draws of the fitted parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from scipy.stats import t

from lpm.fitting.calibrated import POSTERIOR
from lpm.parquet import read_frame
from lpm.scenarios import execution, settings
from lpm.scenarios.options import Progress, RunOptions
from lpm.scenarios.schema import Scenario

MOST_SEEDS = 16
"""Most draws of the parameters, one a seed, behind the effects of arms."""

RUN = "run"
"""Folder of that run within the folder of a fit."""


def results_of(scenario: Scenario, folder: Path, draws: int, progress: Progress) -> list[dict[str, Any]]:
    """Run all arms with draws of the fit, in `run/`, and return what came out: name, estimate, low, high, unit.

    Args:
        scenario: The calibrated one.
        folder: Of the fit, with its `posterior.parquet`.
        draws: How many draws that holds; a tenth of them are run, at most `MOST_SEEDS`.
        progress: Told how far it is.
    """
    drawn = settings.with_draws(scenario, str(folder / POSTERIOR))
    drawn = drawn.model_copy(update={"seeds": tuple(range(max(2, min(MOST_SEEDS, draws // 10))))})
    target = folder / RUN
    resume = target.is_dir() and any(target.iterdir())
    execution.run(drawn, RunOptions(target, 1, resume=resume), progress)
    return [*_levels(read_frame(target / "trajectory.parquet"), scenario), *_effects(target, scenario)]


def _levels(trajectory: pl.DataFrame, scenario: Scenario) -> list[dict[str, Any]]:
    """Return shares, ratios and peaks of the reproduction number of the first arm at the end, over the draws."""
    arm = scenario.arms[0].name
    everybody = trajectory.filter((pl.col("arm") == arm) & (pl.col("group") == "all")).sort("seed", "step")
    made: list[dict[str, Any]] = []
    for name, metric in scenario.metrics.items():
        if metric.kind in ("share", "ratio"):
            ends = everybody.group_by("seed", maintain_order=True).agg(pl.col(name).last())[name]
            made.append(_row(f"{metric.title or name}, at the end", ends, metric.unit))
        elif metric.kind == "reproduction":
            known = everybody.filter(pl.col(name).is_not_null())
            for told, of in (("highest", pl.col(name).max()), ("at the end", pl.col(name).last())):
                made.append(_row(f"{metric.title or name}, {told}", known.group_by("seed").agg(of)[name], metric.unit))
    return made


def _effects(folder: Path, scenario: Scenario) -> list[dict[str, Any]]:
    """Return by arm what of the headline metric it averts in total: mean over the draws, and its 90 % interval."""
    name = scenario.headline or ("deaths" if "deaths" in scenario.metrics else None)
    if name is None or len(scenario.arms) < 2:
        return []
    effects = read_frame(folder / "effects.parquet").filter(
        (pl.col("metric") == name)
        & (pl.col("group") == "all")
        & (pl.col("summary") == "total")
        & (pl.col("arm") != scenario.arms[0].name)
    )
    title = scenario.metrics[name].title or name
    return [
        {
            "name": f"{title} averted: {row['arm']}",
            "estimate": -row["difference"],
            "low": -row["difference"] - float(t.ppf(0.95, row["seeds"] - 1)) * row["se"],
            "high": -row["difference"] + float(t.ppf(0.95, row["seeds"] - 1)) * row["se"],
            "unit": scenario.metrics[name].unit,
        }
        for row in effects.iter_rows(named=True)
    ]


def _row(name: str, values: pl.Series, unit: str) -> dict[str, Any]:
    low, middle, high = (values.quantile(share, "linear") for share in (0.05, 0.5, 0.95))
    return {"name": name, "estimate": middle, "low": low, "high": high, "unit": unit}
