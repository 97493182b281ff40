"""Tables that a scenario names: people and observed figures. Parquet or CSV, checked on reading."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from lpm.errors import InputError, unknown
from lpm.foreign import no_numbers
from lpm.foreign import read as read
from lpm.population import IDENTITY, Column
from lpm.scenarios import paths, registries
from lpm.scenarios.names import misread

if TYPE_CHECKING:
    import polars as pl

    from lpm.scenarios.schema import Observed, Scenario


def need(frame: pl.DataFrame, name: str, where: str) -> pl.Series:
    """Return a column without missing values.

    Raises:
        InputError: There is none of that name, or values are missing.
    """
    if name not in frame.columns:
        raise unknown(where, "column", name, frame.columns)
    if frame[name].null_count():
        raise InputError(f"{where}: column '{name}': {frame[name].null_count()} values are missing")
    return frame[name]


def numbers(frame: pl.DataFrame, name: str, where: str) -> list[float]:
    """Return a column of finite numbers.

    Raises:
        InputError: No such column, not numbers, missing, NaN or infinite values.
    """
    values = need(frame, name, where)
    if not values.dtype.is_numeric():
        if not len(values):
            raise InputError(f"{where}: there are no rows; expected numbers in column '{name}'")
        raise InputError(f"{where}: column '{name}': {no_numbers(values)}")
    listed = [float(value) for value in values.to_list()]
    for row, value in enumerate(listed):
        if not math.isfinite(value):
            raise InputError(f"{where}: column '{name}': {value} in row {row}; expected finite numbers")
    return listed


def people_columns(scenario: Scenario) -> dict[str, Column]:
    """Return the columns of the file of people that the scenario does not declare.

    Text becomes a categorical column whose levels are in order of appearance; numbers stay numbers.

    Raises:
        InputError: The file cannot be read.
    """
    table = scenario.population
    assert table.file is not None
    path = paths.located(scenario, table.file, "population.file")
    declared = frozenset(column.name for column in (*registries.declared_columns(scenario), *IDENTITY))
    stamp = path.stat()
    columns = _columns(path, table.size, declared, f"{scenario.label}: population", (stamp.st_mtime_ns, stamp.st_size))
    found = {column.name: column for column in columns}
    for name, metric in scenario.metrics.items():
        for by in metric.by:
            for text in (by, *found[by].levels) if by in found else ():
                if wrong := misread(text):
                    place = f"{scenario.label}: metrics.{name}.by: column '{by}' of {path.name}"
                    raise InputError(f"{place}: expected levels without {wrong}, which would be misread, got {text!r}")
    return found


@functools.lru_cache(maxsize=16)
def _columns(
    path: Path, size: int | None, declared: frozenset[str], where: str, stamp: tuple[int, int]
) -> tuple[Column, ...]:
    """Return the columns of a file of people; `stamp` tells one state of the file from another."""
    import polars as pl

    frame = read(path, f"{where}.file", size)
    if size is not None and size > frame.height:
        raise InputError(f"{where}.size: expected at most the {frame.height} rows of {path.name}, got {size}")
    if not frame.height:
        raise InputError(f"{where}.file: {path.name} has no rows; expected at least 1 agent")
    found: list[Column] = []
    for series in frame.iter_columns():
        if series.name in declared:
            continue
        if series.dtype == pl.String:
            levels = tuple(series.drop_nulls().unique(maintain_order=True).to_list())
            dtype = "uint8" if len(levels) <= 2**8 else "uint16" if len(levels) <= 2**16 else "uint32"
            found.append(Column(series.name, dtype, f"read from {path.name}", levels=levels))
        elif series.dtype.is_numeric():
            dtype = "float32" if series.dtype.is_float() else "int32"
            found.append(Column(series.name, dtype, f"read from {path.name}"))
    return tuple(found)


def observed(scenario: Scenario) -> pl.DataFrame | None:
    """Return the observed figures of `[data]`, None without any.

    Returns:
        Columns of `observed.parquet`: metric, start, end (inclusive), group, value (people over the interval), source.

    Raises:
        InputError: A table that cannot be read, a missing column or value, a negative or not finite figure, an unknown
            level, or an interval that ends before it starts.
    """
    import polars as pl

    dated = {name: table for name, table in scenario.data.items() if table.arm is None}
    parts = [_observed(scenario, name, table, f"{scenario.label}: data.{name}") for name, table in dated.items()]
    return pl.concat(parts) if parts else None


def published(scenario: Scenario) -> pl.DataFrame | None:
    """Return the figures of `[data]` that are of the end of a run by arm, None without any.

    Returns:
        Columns metric, arm, value, se (standard error, null where none is told), source. Rows of arms that the run
        does not have are left out.

    Raises:
        InputError: A table that cannot be read, a missing column or value, or a negative or not finite figure.
    """
    import polars as pl

    parts: list[pl.DataFrame] = []
    arms = [arm.name for arm in scenario.arms]
    for metric, table in scenario.data.items():
        if table.arm is None:
            continue
        where = f"{scenario.label}: data.{metric}"
        frame = read(paths.located(scenario, table.file, f"data.{metric}.file"), where)
        names = need(frame, table.arm, where).cast(pl.String)
        if names.n_unique() < len(names):
            raise InputError(f"{where}: column '{table.arm}': an arm stands in two rows")
        if not names.is_in(arms).any():
            raise InputError(f"{where}: column '{table.arm}' names no arm of this run; there are: {', '.join(arms)}")
        columns = [table.column] if table.error is None else [table.column, table.error]
        told = [numbers(frame.filter(need(frame, name, where).is_not_null()), name, where) for name in columns]
        if any(value < 0 for values in told for value in values):
            raise InputError(f"{where}: expected figures and errors of at least 0, got a negative one")
        unknown_error = pl.Series([None] * len(names), dtype=pl.Float64)
        errors = unknown_error if table.error is None else frame[table.error].cast(pl.Float64)
        made = pl.DataFrame(
            {
                "metric": pl.Series([metric] * len(names), dtype=pl.String),
                "arm": names,
                "value": frame[table.column].cast(pl.Float64),
                "se": errors,
                "source": pl.Series([table.source] * len(names), dtype=pl.String),
            }
        )
        parts.append(made.filter(pl.col("arm").is_in(arms), pl.col("value").is_not_null()))
    return pl.concat(parts) if parts else None


def _observed(scenario: Scenario, metric: str, table: Observed, where: str) -> pl.DataFrame:
    import polars as pl

    frame = read(paths.located(scenario, table.file, f"data.{metric}.file"), where)
    values = numbers(frame, table.column, where)
    for row, value in enumerate(values):
        if value < 0:
            raise InputError(f"{where}: column '{table.column}': {value:g} in row {row}; expected at least 0")
    ends: list[pl.Series] = []
    for name in (table.start, table.end):
        dates = need(frame, name, where)
        if dates.dtype != pl.Date and dates.dtype != pl.Datetime:
            raise InputError(f"{where}: column '{name}': expected dates (2020-03-01), got {dates.dtype}")
        ends.append(dates.cast(pl.Date))
    if (ends[1] < ends[0]).any():
        row = int((ends[1] < ends[0]).arg_max() or 0)
        raise InputError(f"{where}: row {row} ends on {ends[1][row]}, before it starts on {ends[0][row]}")
    groups = pl.Series(["all"] * frame.height, dtype=pl.String)
    if table.group is not None:
        levels = need(frame, table.group, where).cast(pl.String)
        column = registries.all_columns(scenario)[table.group]
        for level in levels.unique(maintain_order=True).to_list():
            column.code(level, f"{where}: column '{table.group}'")
        groups = pl.Series([f"{table.group}={level}" for level in levels.to_list()], dtype=pl.String)
    columns = {
        "metric": pl.Series([metric] * frame.height, dtype=pl.String),
        "start": ends[0],
        "end": ends[1],
        "group": groups,
        "value": pl.Series(values, dtype=pl.Float64),
        "source": pl.Series([table.source] * frame.height, dtype=pl.String),
    }
    return pl.DataFrame(columns)
