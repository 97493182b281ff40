"""What the report knows: the files of one run's folder, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl

from lpm.effects import COLUMNS, effects, reported
from lpm.errors import InputError
from lpm.results import KEYS, PEOPLE, checked, read_frame

HARMS = frozenset(
    {"deaths", "infections", "admissions", "cases", "hospitalisations", "occupancy", "attack_rate", "incidence"}
)
"""Metrics of which fewer is better, so that a fall is called "averted" (a metric of run.json may say `harm` itself)."""

LEAST_SEEDS = 3
"""Fewest seeds for which an interval or a band is shown: a guess. With two, the t quantile is 12.7 and the interval
says nothing but that."""


@dataclass(frozen=True)
class Metric:
    """A metric as the report shows it.

    Attributes:
        name: Column of the trajectory.
        title: Heading.
        unit: Unit, "" or "1" for pure numbers.
        kind: "flow", "share", "variance" or another kind of `lpm.metric`.
        harm: Fewer is better.
        of: Metrics that it is derived from.
    """

    name: str
    title: str
    unit: str
    kind: str
    harm: bool
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """One run, as its files tell it.

    Attributes:
        path: The folder.
        run: Content of `run.json`.
        trajectory: The reported part of the trajectory.
        whole: The whole trajectory.
        effects: Paired effects against the first arm.
        observed: Observed figures or None.
        metrics: Scalar metrics in declared order.
        vectors: Columns of each vector metric.
        arms: Names in order; the first is compared with.
        groups: Names in order.
        seeds: Number of seeds.
        dated: Steps have dates.
        worlds: How far the seeds of each arm differ, or None.
        published: Published figures of the end of a run by arm, or None.
        cascades: The cascades of every pair, or None.
    """

    path: Path
    run: Mapping[str, Any]
    trajectory: pl.DataFrame
    whole: pl.DataFrame
    effects: pl.DataFrame
    observed: pl.DataFrame | None
    metrics: tuple[Metric, ...]
    vectors: Mapping[str, tuple[str, ...]]
    arms: tuple[str, ...]
    groups: tuple[str, ...]
    seeds: int
    dated: bool
    worlds: pl.DataFrame | None = None
    published: pl.DataFrame | None = None
    cascades: pl.DataFrame | None = None

    def metric(self, name: str) -> Metric | None:
        """Return the metric of this name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind by metric."""
        return {metric.name: metric.kind for metric in self.metrics}

    @property
    def banded(self) -> bool:
        """There are seeds enough for bands and intervals."""
        return self.seeds >= LEAST_SEEDS

    @property
    def notes(self) -> list[str]:
        """What the run itself says a reader must know first (run.json's `notes`)."""
        return texts(self.run.get("notes"))

    @property
    def headline(self) -> Metric | None:
        """What the run is about: run.json's `headline`, else the first of deaths, flows and others that differs."""
        declared = self.metric(str(self.run.get("headline") or ""))
        ordered = sorted(self.metrics, key=lambda metric: (metric.name != "deaths", metric.kind != "flow"))
        differing = [metric for metric in ordered if self.differs(metric)]
        return declared or next(iter([*differing, *ordered]), None)

    def differs(self, metric: Metric) -> bool:
        """Return whether some arm's metric, told in one number, is another than the first arm's in some seed."""
        rows = [self.effect(arm, metric.name, self.main_summary(metric)) for arm in self.arms[1:]]
        return any(row is not None and (row["difference"] != 0 or bool(row["se"])) for row in rows)

    def rises(self, metric: Metric) -> bool:
        """Return whether no arm's metric ever falls below an earlier peak: it is highest at the end, in every seed."""
        pairs = [[self.effect(arm, metric.name, which) for which in ("peak", "final")] for arm in self.arms]
        return all(a is not None and b is not None and a["arm_mean"] == b["arm_mean"] for a, b in pairs)

    def main_summary(self, metric: Metric) -> str:
        """Return the summary by which a metric is told in one number."""
        if metric.kind == "stock":
            return "final" if self.rises(metric) else "peak"
        return "total" if metric.kind == "flow" else "final"

    def ordered(self) -> tuple[Metric, ...]:
        """Return the metrics with the headline first."""
        first = self.headline
        return tuple(sorted(self.metrics, key=lambda metric: metric is not first))

    def levels(self) -> dict[str, list[str]]:
        """Return the levels of each column by which a single-column group exists, in the trajectory's order."""
        found: dict[str, list[str]] = {}
        for group in self.groups:
            if group != "all" and ";" not in group and "=" in group:
                column, level = group.split("=", 1)
                found.setdefault(column, []).append(level)
        return found

    def effect(self, arm: str, metric: str, summary: str, group: str = "all") -> dict[str, Any] | None:
        """Return a row of the effects as a dict, None where it is not there or undefined."""
        rows = self.effects.filter(arm=arm, metric=metric, summary=summary, group=group)
        return rows.row(0, named=True) if rows.height and rows["arm_mean"][0] is not None else None


def texts(value: Any) -> list[str]:
    """Return a list of texts from a list, one text, or nothing."""
    if value is None:
        return []
    return [str(item) for item in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else [str(value)]


def moment(value: Any, where: str) -> date | datetime | int | None:
    """Return a date, datetime or step of run.json.

    Raises:
        InputError: A text that is neither.
    """
    if value is None or isinstance(value, int):
        return value
    try:
        text = str(value)
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{where}: expected a date or a step, got {value!r}") from error


def _metrics(run: Mapping[str, Any], columns: Sequence[str]) -> tuple[tuple[Metric, ...], dict[str, tuple[str, ...]]]:
    """Return scalar metrics, and the columns of vector metrics; a column that run.json does not name is a mean."""
    told = run.get("metrics") or {}
    names = [name for name in columns if "." not in name and name != PEOPLE]
    scalars: list[Metric] = []
    for name in names:
        about = told.get(name) or {}
        kind = str(about.get("kind") or "mean")
        title = str(about.get("title") or name.replace("_", " ").capitalize())
        harm = bool(about.get("harm", name in HARMS))
        scalars.append(Metric(name, title, str(about.get("unit") or ""), kind, harm, tuple(texts(about.get("of")))))
    vectors: dict[str, tuple[str, ...]] = {}
    for name in columns:
        if "." in name:
            vectors[name.split(".", 1)[0]] = (*vectors.get(name.split(".", 1)[0], ()), name)
    return tuple(scalars), vectors


def _with(columns: Mapping[str, Any], frame: pl.DataFrame, where: Path) -> pl.DataFrame:
    """Return a frame that has these columns.

    Raises:
        InputError: One is missing, or of another type.
    """
    for name, kind in columns.items():
        if name not in frame.columns:
            raise InputError(f"{where}: expected a column '{name}', got {', '.join(frame.columns)}; delete it to go on")
        if frame.schema[name] != kind:
            raise InputError(f"{where}: {name}: expected {kind}, got {frame.schema[name]}; delete it to go on")
    return frame


def read_folder(path: Path) -> Folder:
    """Read a run's folder.

    Raises:
        InputError: A missing or damaged file.
    """
    try:
        run = json.loads((path / "run.json").read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path / 'run.json'}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path / 'run.json'}: not JSON: {error}") from error
    if not isinstance(run, dict):
        raise InputError(f"{path / 'run.json'}: expected a JSON object, got {type(run).__name__}")
    about = cast("dict[str, Any]", run)
    whole = checked(read_frame(path / "trajectory.parquet"), str(path / "trajectory.parquet"))
    if not whole.height:
        raise InputError(f"{path / 'trajectory.parquet'}: there are no rows")
    start = moment(about.get("report_from"), f"{path / 'run.json'}: report_from")
    metrics, vectors = _metrics(about, whole.columns[len(KEYS) :])
    if (path / "effects.parquet").exists():
        table = _with(COLUMNS, read_frame(path / "effects.parquet"), path / "effects.parquet")
    else:
        kinds = {metric.name: metric.kind for metric in metrics}
        table = effects(whole, kinds, start, about.get("draws"))
    few = pl.col("seeds") < LEAST_SEEDS
    table = table.with_columns(pl.when(~few).then(pl.col(name)).alias(name) for name in ("low", "high"))
    names = ("observed", "unpredictability", "published", "cascades")
    files = {name: path / f"{name}.parquet" for name in names}
    frames = {name: read_frame(file) for name, file in files.items() if file.exists()}
    there = {name: frame for name, frame in frames.items() if frame.height}
    return Folder(
        path=path,
        run=about,
        trajectory=reported(whole, start),
        whole=whole,
        effects=table,
        observed=there.get("observed"),
        metrics=metrics,
        vectors=vectors,
        arms=tuple(whole["arm"].unique(maintain_order=True)),
        groups=tuple(whole["group"].unique(maintain_order=True)),
        seeds=whole["seed"].n_unique(),
        dated=whole["time"].null_count() == 0,
        worlds=there.get("unpredictability"),
        published=there.get("published"),
        cascades=there.get("cascades"),
    )
