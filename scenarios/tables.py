"""Tables that a scenario names: people and observed figures. Parquet or CSV, checked on reading."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from lpm.errors import InputError, unknown
from lpm.population import IDENTITY, Column
from lpm.scenarios import paths, registries

if TYPE_CHECKING:
    import polars as pl

    from lpm.scenarios.schema import Observed, Scenario


def read(path: Path, where: str, rows: int | None = None) -> pl.DataFrame:
    """Return the table of a .parquet, .csv or .csv.gz file.

    Args:
        path: The file.
        where: Named in errors.
        rows: Only the first so many; None = all.

    Raises:
        InputError: Another kind of file, or one that is damaged.
    """
    import polars as pl

    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, n_rows=rows)
        if path.name.endswith((".csv", ".csv.gz")):
            return pl.read_csv(path, infer_schema_length=None, n_rows=rows, try_parse_dates=True)
    except Exception as error:  # polars raises several kinds for a damaged file
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: '{path.name}' cannot be read: {line}") from None
    except BaseException as error:  # a panic of the reader is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{where}: '{path.name}' cannot be read: it is damaged") from None
    raise InputError(f"{where}: expected a .parquet, .csv or .csv.gz file, got '{path.name}'")


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
        raise InputError(f"{where}: column '{name}': expected numbers, got {values.dtype}")
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
    return {column.name: column for column in columns}


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
            dtype = "uint8" if len(levels) <= 256 else "uint16"
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

    parts = [
        _observed(scenario, name, table, f"{scenario.label}: data.{name}") for name, table in scenario.data.items()
    ]
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
