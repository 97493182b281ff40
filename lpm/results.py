"""Results: finished (arm, seed) pairs as polars frames, and parquet files that are either whole or not there.

The trajectory has one row per (arm, seed, step, group) with the columns `arm` (str), `seed`, `step` (i64), `time` (date
or datetime, null without a start), `group` (str) and then one f64 column per metric, null where the metric is not
declared for the group. Rows are ordered by arm, seed, step and declared group. `lpm.parquet` writes and reads files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from lpm.errors import InputError
from lpm.parquet import read_frame as read_frame
from lpm.parquet import write_bytes as write_bytes
from lpm.parquet import write_frame as write_frame

KEYS = ("arm", "seed", "step", "time", "group")
"""The columns before the metrics, in order."""

PEOPLE = "people"
"""Reserved metric: the people of a group who are present (weighted). It alone does not keep a row."""

FINISHED = Path("checkpoints") / "finished"
"""Where the finished (arm, seed) pairs of a run lie inside its folder."""


@dataclass(frozen=True)
class Trajectory:
    """One finished (arm, seed) pair.

    Attributes:
        arm: Name of the arm.
        seed: The seed.
        groups: "all" or `column=value` joined by ";", in declared order.
        values: float64 [steps, groups] by metric; NaN where a metric is not declared for the group or not defined.
        start: Date or datetime at which step 0 begins; None = no calendar.
        dt: Length of a step [days].
    """

    arm: str
    seed: int
    groups: tuple[str, ...]
    values: Mapping[str, np.ndarray]
    start: date | datetime | None = None
    dt: float = 1.0

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(next(iter(self.values.values()))) if self.values else 0

    def to_frame(self) -> pl.DataFrame:
        """Return the rows of the contract; a row without any metric but `people` is dropped.

        Raises:
            InputError: A repeated group, a metric of another shape, an infinite value, or a reserved metric name.
        """
        where = f"trajectory of arm '{self.arm}', seed {self.seed}"
        steps, groups = self.steps, len(self.groups)
        if len(set(self.groups)) != groups:
            raise InputError(f"{where}: expected every group once, got {', '.join(self.groups)}")
        metrics: dict[str, pl.Series] = {}
        for name, values in self.values.items():
            if name in KEYS:
                raise InputError(f"{where}: '{name}' is a key column and cannot be a metric; rename the metric")
            if values.shape != (steps, groups):
                raise InputError(f"{where}: {name}: expected shape ({steps}, {groups}), got {values.shape}")
            flat = np.ascontiguousarray(values, np.float64).reshape(-1)
            if np.isinf(flat).any():
                step = int(np.argmax(np.isinf(flat))) // groups
                raise InputError(f"{where}: {name}: infinite at step {step}")
            metrics[name] = pl.Series(name, flat).fill_nan(None)
        rows = np.repeat(np.arange(steps, dtype=np.int64), groups)
        frame = pl.DataFrame(
            {
                "arm": pl.repeat(self.arm, steps * groups, dtype=pl.String, eager=True),
                "seed": pl.repeat(self.seed, steps * groups, dtype=pl.Int64, eager=True),
                "step": rows,
                "time": times(self.start, self.dt, steps).gather(rows),
                "group": pl.Series(list(self.groups) * steps, dtype=pl.String),
                **metrics,
            }
        )
        told = [name for name in metrics if name != PEOPLE] or list(metrics)
        return frame.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in told)) if told else frame


def times(start: date | datetime | None, dt: float, steps: int) -> pl.Series:
    """Return when each step begins: start + step * dt.

    A flow of step t happened in [start + t dt, start + (t + 1) dt).

    Args:
        start: Date or datetime of step 0, or None.
        dt: Length of a step [days].
        steps: Number of steps.

    Returns:
        Series [steps]: dates where start is a date and dt is whole days, datetimes (microseconds) otherwise, nulls
        without a start.
    """
    if start is None:
        return pl.Series("time", [None] * steps, dtype=pl.Date)
    whole = not isinstance(start, datetime) and float(dt).is_integer()
    first = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day)
    tick = timedelta(microseconds=round(dt * 86_400e6))
    series = pl.Series("time", [first + step * tick for step in range(steps)], dtype=pl.Datetime("us"))
    return series.cast(pl.Date) if whole else series


def finished_path(folder: Path, arm_index: int, seed: int) -> Path:
    """Return where the finished pair of the arm with this index and of this seed lies."""
    return folder / FINISHED / f"{arm_index}-{seed}.parquet"


def write_finished(
    folder: Path, arm_index: int, trajectory: Trajectory, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write one finished pair into a run's folder, whole or not at all.

    Args:
        folder: The run's folder.
        arm_index: Position of the arm among the scenario's arms.
        trajectory: The pair.
        metadata: Kept in the file, e.g. a fingerprint of the scenario that `read_finished` then expects.

    Raises:
        InputError: As `Trajectory.to_frame` and `write_bytes`.
    """
    return write_frame(finished_path(folder, arm_index, trajectory.seed), trajectory.to_frame(), metadata)


def read_finished(
    folder: Path, arm_index: int, seed: int, expect: Mapping[str, str] | None = None
) -> pl.DataFrame | None:
    """Return the rows of a finished pair, None where the pair is not finished.

    Raises:
        InputError: The file is corrupt, of another run, or not a trajectory of this seed.
    """
    path = finished_path(folder, arm_index, seed)
    if not path.exists():
        return None
    frame = checked(read_frame(path, expect), str(path))
    if frame.height and (frame["seed"].n_unique() != 1 or frame["seed"][0] != seed or frame["arm"].n_unique() != 1):
        raise InputError(f"{path}: expected the rows of one arm and seed {seed}, got others; it is of another run")
    return frame


def join(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the trajectory of several pairs, in the order given.

    Raises:
        InputError: No pairs, pairs with other columns, or one pair twice.
    """
    parts = list(frames)
    if not parts:
        raise InputError("trajectory: there are no finished (arm, seed) pairs")
    for part in parts[1:]:
        if part.schema != parts[0].schema:
            raise InputError(
                f"trajectory: pairs of different runs: columns {', '.join(parts[0].columns)} "
                f"beside {', '.join(part.columns)}"
            )
    seen: set[tuple[str, int]] = set()
    for part in parts:
        for pair in part.select("arm", "seed").unique(maintain_order=True).iter_rows():
            if pair in seen:
                raise InputError(f"trajectory: arm '{pair[0]}', seed {pair[1]} is there twice")
            seen.add(pair)
    return pl.concat(parts, rechunk=True)


def join_finished(
    folder: Path, arms: Sequence[str], seeds: Sequence[int], expect: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Return the trajectory of all finished pairs of a run's folder, ordered by arm, then seed.

    Raises:
        InputError: None is finished, or one is corrupt or of another run.
    """
    frames: list[pl.DataFrame] = []
    for index, arm in enumerate(arms):
        for seed in seeds:
            frame = read_finished(folder, index, seed, expect)
            if frame is None:
                continue
            if frame.height and frame["arm"][0] != arm:
                raise InputError(f"{finished_path(folder, index, seed)}: expected arm '{arm}', got '{frame['arm'][0]}'")
            frames.append(frame)
    return join(frames)


def checked(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return `frame` when its columns are those of a trajectory.

    Raises:
        InputError: A missing or wrongly typed column, or NaN (a value that is not defined must be null).
    """
    if tuple(frame.columns[: len(KEYS)]) != KEYS:
        raise InputError(f"{where}: expected the columns {', '.join(KEYS)} first, got {', '.join(frame.columns)}")
    for name, kind in (("arm", pl.String), ("seed", pl.Int64), ("step", pl.Int64), ("group", pl.String)):
        if frame.schema[name] != kind:
            raise InputError(f"{where}: {name}: expected {kind}, got {frame.schema[name]}")
    if not isinstance(frame.schema["time"], pl.Date | pl.Datetime):
        raise InputError(f"{where}: time: expected dates or datetimes, got {frame.schema['time']}")
    for name in frame.columns[len(KEYS) :]:
        if frame.schema[name] != pl.Float64:
            raise InputError(f"{where}: {name}: expected Float64, got {frame.schema[name]}")
        largest = frame[name].abs().max()  # NaN is larger than nothing here, so it is asked for by itself
        if frame[name].is_nan().any() or (isinstance(largest, float) and math.isinf(largest)):
            raise InputError(f"{where}: {name}: NaN or infinite values; expected numbers and nulls")
    return frame
