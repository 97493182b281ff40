"""What a sweep's files tell: its design, and the summaries of every run by arm, seed and group."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from lpm.effects import SUMMARIES
from lpm.errors import InputError, unknown
from lpm.parquet import read_frame
from lpm.report.folder import LEAST_SEEDS

KEYS = ("run", "arm", "seed", "status", "group")
"""The first columns of `summary.parquet`."""

UNFINISHED = "not finished"
"""Status of a job that has no row yet: parts of a sweep may be joined before all are done."""

FIRST = 0
"""The round of the first design: what indices, curves of grids and key findings rest on."""

MAIN = {"flow": "total", "stock": "peak"}
"""The summary by which a metric of a kind is told in one number; others by their final value."""


@dataclass(frozen=True)
class Swept:
    """A swept path.

    Attributes:
        path: What `--set` calls it.
        scale: "linear", "log" or "values".
        low: Lowest value of the range, nan where the values are names.
        high: Highest value.
        unit: Unit, "" where there is none.
        meaning: What it means.
        names: Its values are names, not numbers.
        values: The values of a grid, in the design's order; () = any of the range.
    """

    path: str
    scale: str
    low: float
    high: float
    unit: str
    meaning: str
    names: bool
    values: tuple[Any, ...] = ()

    @property
    def log(self) -> bool:
        """The path is swept by its logarithm."""
        return self.scale == "log"

    def share(self, value: Any) -> np.ndarray:
        """Return where values lie in the range, 0 to 1 (by their logarithms where the scale is "log"), float64."""
        given = np.asarray(value, np.float64)
        low, high = self.low, self.high
        if self.log:
            given, low, high = np.log(given), np.log(low), np.log(high)
        return (given - low) / (high - low) if high > low else np.zeros_like(given)

    def at(self, share: Any) -> np.ndarray:
        """Return the values at shares of the range, float64: the inverse of `share`, within the range."""
        given = np.asarray(share, np.float64)
        if self.log:
            made = np.exp(np.log(self.low) + given * (np.log(self.high) - np.log(self.low)))
        else:
            made = self.low + given * (self.high - self.low)
        return np.clip(made, self.low, self.high)


@dataclass(frozen=True)
class Outcome:
    """A sweep, as its files tell it.

    Attributes:
        folder: The folder.
        about: Content of `sweep.json`.
        design: Content of `design.parquet`, by run.
        paths: The swept paths.
        arms: Names of the arms.
        seeds: The seeds.
        groups: Names of the groups, "all" first.
        measures: Columns `<metric>.<summary>` of `summary.parquet`.
        jobs: One row per (run, arm, seed), in this order, those that are not finished too: status.
        parts: Summaries by (arm, group).
    """

    folder: Path
    about: Mapping[str, Any]
    design: pl.DataFrame
    paths: tuple[Swept, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    groups: tuple[str, ...]
    measures: tuple[str, ...]
    jobs: pl.DataFrame
    parts: Mapping[tuple[str, str], pl.DataFrame] = field(repr=False)

    @property
    def kind(self) -> str:
        """Kind of the design: "grid", "sobol", "morris" or "table"."""
        return str(self.about.get("kind") or "table")

    @property
    def runs(self) -> int:
        """Number of runs."""
        return self.design.height

    @property
    def first(self) -> np.ndarray:
        """Mask of the runs of the first design, bool [runs]."""
        return self.design["round"].to_numpy() == FIRST

    @property
    def numeric(self) -> tuple[Swept, ...]:
        """The paths whose values are numbers, and more than one."""
        return tuple(path for path in self.paths if not path.names and path.high > path.low)

    @property
    def banded(self) -> bool:
        """There are seeds enough for intervals over them."""
        return len(self.seeds) >= LEAST_SEEDS

    def shares(self, paths: tuple[Swept, ...] | None = None) -> np.ndarray:
        """Return where each run lies in the ranges, float64 [runs, paths], 0 to 1."""
        chosen = self.numeric if paths is None else paths
        columns = [path.share(self.design[path.path].to_numpy()) for path in chosen]
        return np.stack(columns, 1) if columns else np.zeros((self.runs, 0))

    def values(self, arm: str, measure: str, group: str = "all") -> np.ndarray:
        """Return a measure by run and seed, float64 [runs, seeds], nan where a run failed or it is not defined.

        Raises:
            InputError: An arm, measure or group that the sweep does not have.
        """
        for kind, name, names in (("arm", arm, self.arms), ("measure", measure, self.measures)):
            if name not in names:
                raise unknown(str(self.folder), kind, name, names)
        if group not in self.groups:
            raise unknown(str(self.folder), "group", group, self.groups)
        made = np.full((self.runs, len(self.seeds)), np.nan)
        part = self.parts.get((arm, group))
        if part is not None:
            value = part[measure].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            made[part["run"].to_numpy(), part["place"].to_numpy()] = value
        return made

    def failed(self, arm: str | None = None) -> np.ndarray:
        """Return in how many jobs each run failed (of one arm or of all), int64 [runs]."""
        bad = self.jobs.filter(pl.col("status") != "ok")
        bad = bad if arm is None else bad.filter(pl.col("arm") == arm)
        return np.bincount(bad["run"].to_numpy(), minlength=self.runs)

    def metric(self, measure: str) -> dict[str, Any]:
        """Return what `sweep.json` says of the metric of a measure: title, unit, kind, ..."""
        name = measure.rpartition(".")[0]
        told = self.about.get("metrics") or {}
        whole = cast("dict[str, Any]", told.get(name) or told.get(name.partition(".")[0]) or {})
        title = str(whole.get("title") or name.replace("_", " ").capitalize())
        part = "" if name in told or "." not in name else f", {name.partition('.')[2]}"
        return {**whole, "title": title + part, "unit": str(whole.get("unit") or ""), "kind": whole.get("kind", "mean")}

    def main(self, metric: str) -> str | None:
        """Return the measure by which a metric is told in one number, None where there is none."""
        told = self.about.get("metrics") or {}
        summary = MAIN.get(str((told.get(metric) or {}).get("kind")), "final")
        found = [f"{metric}.{summary}", *(name for name in self.measures if name.rpartition(".")[0] == metric)]
        return next((name for name in found if name in self.measures), None)

    @property
    def headline(self) -> str | None:
        """The measure that the sweep is about: of `headline`, else of the first metric."""
        names = dict.fromkeys(name.rpartition(".")[0] for name in self.measures)
        asked = str(self.about.get("headline") or "")
        return next((found for name in (asked, *names) if (found := self.main(name)) is not None), None)

    def measure(self, metric: str | None = None, summary: str | None = None) -> str:
        """Return the measure `<metric>.<summary>`; without them the headline, or the metric's main one.

        Raises:
            InputError: A metric or summary that the sweep does not have.
        """
        found = self.headline if metric is None else self.main(metric)
        if found is None:
            names = dict.fromkeys(name.rpartition(".")[0] for name in self.measures)
            raise unknown(str(self.folder), "metric", str(metric), names)
        if summary is None:
            return found
        wanted = f"{found.rpartition('.')[0]}.{summary}"
        if wanted not in self.measures:
            raise unknown(str(self.folder), f"summary of {found.rpartition('.')[0]}", summary, SUMMARIES)
        return wanted


def read_outcome(folder: Path) -> Outcome:
    """Read a sweep's folder: `sweep.json`, `design.parquet` and `summary.parquet`.

    Raises:
        InputError: A missing or damaged file, or files that do not belong together.
    """
    folder = Path(folder)
    about = _about(folder / "sweep.json")
    design, summary = read_frame(folder / "design.parquet"), read_frame(folder / "summary.parquet")
    told = cast("list[dict[str, Any]]", about["paths"])
    for row in told:
        if row["path"] not in design.columns:
            raise InputError(f"{folder / 'design.parquet'}: expected a column '{row['path']}', as sweep.json names it")
    for name in KEYS:
        if name not in summary.columns:
            raise InputError(
                f"{folder / 'summary.parquet'}: expected a column '{name}', got {', '.join(summary.columns)}"
            )
    if design["run"].to_list() != list(range(design.height)):
        raise InputError(f"{folder / 'design.parquet'}: run: expected 0, 1, ..., {design.height - 1}")
    arms, seeds = tuple(map(str, about["arms"])), tuple(map(int, about["seeds"]))
    place = {seed: number for number, seed in enumerate(seeds)}
    strange = sorted({*summary["seed"]} - {*seeds}) + sorted({*summary["arm"]} - {*arms})
    if strange or not summary["run"].is_between(0, design.height - 1).all():
        what = strange[0] if strange else "a run that is not in design.parquet"
        raise InputError(f"{folder / 'summary.parquet'}: {what} is not of the sweep of sweep.json")
    summary = summary.with_columns(pl.col("seed").replace_strict(place, return_dtype=pl.Int64).alias("place"))
    every = (
        design.select("run")
        .join(pl.DataFrame({"arm": arms}), how="cross")
        .join(pl.DataFrame({"seed": seeds}), how="cross")
    )
    found = summary.select("run", "arm", "seed", "status").unique(maintain_order=True)
    jobs = every.join(found, on=["run", "arm", "seed"], how="left", maintain_order="left")
    jobs = jobs.with_columns(pl.col("status").fill_null(UNFINISHED))
    groups = summary.filter(pl.col("status") == "ok")["group"].unique(maintain_order=True).to_list()
    groups = ["all", *(name for name in groups if name != "all")]
    parts = summary.filter(pl.col("status") == "ok").partition_by("arm", "group", as_dict=True)
    return Outcome(
        folder=folder,
        about=about,
        design=design,
        paths=tuple(_swept(row, design[row["path"]], str(about.get("kind"))) for row in told),
        arms=arms,
        seeds=seeds,
        groups=tuple(groups),
        measures=tuple(name for name in summary.columns if name.rpartition(".")[2] in SUMMARIES and "." in name),
        jobs=jobs,
        parts={(str(arm), str(group)): part for (arm, group), part in parts.items()},
    )


def _about(path: Path) -> dict[str, Any]:
    try:
        made = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    for key in ("kind", "paths", "arms", "seeds"):
        if not isinstance(made, dict) or key not in made:
            raise InputError(f"{path}: expected a JSON object with a key '{key}'")
    return cast("dict[str, Any]", made)


def _swept(row: Mapping[str, Any], column: pl.Series, kind: str) -> Swept:
    names = not column.dtype.is_numeric()
    ends = (float("nan"), float("nan"))
    if not names:
        told = (row.get("low"), row.get("high"))
        found = (column.min(), column.max())
        ends = tuple(float(cast("float", f if t is None else t)) for t, f in zip(told, found, strict=True))
    return Swept(
        path=str(row["path"]),
        scale=str(row.get("scale") or "linear"),
        low=ends[0],
        high=ends[1],
        unit=str(row.get("unit") or ""),
        meaning=str(row.get("meaning") or ""),
        names=names,
        values=tuple(column.unique(maintain_order=True)) if kind == "grid" or names else (),
    )
