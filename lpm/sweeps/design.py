"""The design of a sweep: one row of values a run.

Grids are products of their axes, the first varies slowest. `sobol` is the design from which Sobol indices are estimated
(A. Saltelli et al. 2010, doi:10.1016/j.cpc.2009.09.018): N (D + 2) runs for D paths, from a scrambled Sobol sequence.
`morris` are N trajectories of D + 1 runs for elementary effects (M. Morris 1991, doi:10.2307/1269043). Both as SALib
makes them, with a fixed seed, so that a design is a function of what was asked.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.errors import InputError
from lpm.scenarios import tables
from lpm.sweeps.axes import Axis, listed

MOST_RUNS = 10_000_000
"""Most runs of a design; its table then has some hundred MB."""

SEED = 20_260_101
"""Seed of the sequences behind designs; any number would do."""

LEVELS = 4
"""Levels of an axis on which elementary effects step, as Morris has it."""

KEYS = ("run", "round")
"""The columns before the paths."""


@dataclass(frozen=True)
class Design:
    """The runs of a sweep.

    Attributes:
        kind: "grid", "sobol", "morris" or "table".
        axes: The swept paths.
        frame: `run` (0, 1, ...), `round` (0 = as first designed, refinements from 1), and a column by path.
        base: N of a Sobol or Morris design.
    """

    kind: str
    axes: tuple[Axis, ...]
    frame: pl.DataFrame
    base: int | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The swept paths."""
        return tuple(axis.path for axis in self.axes)

    @property
    def runs(self) -> int:
        """Number of runs."""
        return self.frame.height

    def digest(self) -> str:
        """Return a digest of every value, as exact as the values are."""
        told = hashlib.sha256(repr((self.kind, self.base, self.frame.columns)).encode())
        for series in self.frame.iter_columns():
            content = repr(series.to_list()) if series.dtype == pl.String else series.to_numpy().tobytes().hex()
            told.update(content.encode())
        return told.hexdigest()[:16]

    def with_rows(self, rows: pl.DataFrame) -> Design:
        """Return the design with the runs of a further round behind it."""
        last = int(self.frame["round"].max() or 0)  # pyright: ignore[reportArgumentType]
        numbered = rows.select(
            pl.int_range(self.runs, self.runs + rows.height, dtype=pl.Int64).alias("run"),
            pl.lit(last + 1, pl.Int64).alias("round"),
            *(pl.col(path).cast(self.frame.schema[path]) for path in self.paths),
        )
        return replace(self, frame=pl.concat([self.frame, numbered]))


def of_grid(axes: Sequence[Axis]) -> Design:
    """Return all combinations of the values of the axes.

    Raises:
        InputError: A path twice, or too many runs.
    """
    _check(axes, "--grid")
    count = int(np.prod([float(len(axis.values)) for axis in axes]))
    _check_count(count, "--grid")
    rows = list(itertools.product(*(axis.values for axis in axes)))
    return _made("grid", axes, list(zip(*rows, strict=True)))


def of_sobol(axes: Sequence[Axis], base: int) -> Design:
    """Return the design of Sobol indices of first order and in total.

    Raises:
        InputError: A path twice, no power of two, too many runs, or values that are listed.
    """
    _check(axes, "--sobol")
    if base < 2 or base & (base - 1):
        raise InputError(f"--sobol: expected a power of two, as 64 or 128, got {base}")
    _check_count(base * (len(axes) + 2), "--sobol")
    from SALib.sample import sobol

    shares = sobol.sample(_problem(axes), base, calc_second_order=False, scramble=True, seed=SEED)
    return _made("sobol", axes, _columns(axes, shares), base)


def of_morris(axes: Sequence[Axis], base: int) -> Design:
    """Return the design of elementary effects.

    Raises:
        InputError: A path twice, fewer than two trajectories, too many runs, or values that are listed.
    """
    _check(axes, "--morris")
    if base < 2:
        raise InputError(f"--morris: expected at least 2 trajectories, as 16, got {base}")
    _check_count(base * (len(axes) + 1), "--morris")
    from SALib.sample import morris

    shares = morris.sample(_problem(axes), base, num_levels=LEVELS, seed=SEED)
    return _made("morris", axes, _columns(axes, shares), base)


def of_table(file: Path) -> Design:
    """Return the design that a .csv or .parquet file holds, a column a path.

    Raises:
        InputError: It cannot be read, has no rows, or values are missing or not finite.
    """
    frame = tables.read(file, "--table")
    frame = frame.drop([name for name in KEYS if name in frame.columns])
    if not frame.height or not frame.width:
        raise InputError(f"--table: expected a column for a path and a row for a run, got none in {file.name}")
    _check_count(frame.height, "--table")
    axes: list[Axis] = []
    columns: list[Any] = []
    for name in frame.columns:
        where = f"--table: column '{name}' of {file.name}"
        text = tables.need(frame, name, where).dtype == pl.String
        values = frame[name].to_list() if text else tables.numbers(frame, name, f"--table: {file.name}")
        axes.append(listed(name, list(dict.fromkeys(values)), where))
        columns.append(values)
    _check(axes, "--table")
    return _made("table", axes, columns)


def _made(kind: str, axes: Sequence[Axis], columns: Sequence[Sequence[Any]], base: int | None = None) -> Design:
    count = len(columns[0])
    made: dict[str, Any] = {"run": np.arange(count, dtype=np.int64), "round": np.zeros(count, np.int64)}
    for axis, values in zip(axes, columns, strict=True):
        names = bool(axis.values) and isinstance(axis.values[0], str)
        made[axis.path] = pl.Series(values=list(values), dtype=pl.String if names else pl.Float64)
    return Design(kind, tuple(axes), pl.DataFrame(made), base)


def _problem(axes: Sequence[Axis]) -> dict[str, Any]:
    """Return what SALib calls a problem: shares of the way along each axis."""
    names = [axis.path for axis in axes]
    return {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}


def _columns(axes: Sequence[Axis], shares: np.ndarray) -> list[list[float]]:
    return [axis.at(shares[:, number]).tolist() for number, axis in enumerate(axes)]


def _check(axes: Sequence[Axis], option: str) -> None:
    if not axes:
        raise InputError(f"{option}: expected at least one path, as in {option} sir.beta=0.02:0.1")
    seen: set[str] = set()
    for axis in axes:
        if axis.path in seen:
            raise InputError(f"{option}: '{axis.path}' is named twice")
        if axis.path in KEYS:
            raise InputError(f"{option}: '{axis.path}' is no path of a scenario")
        seen.add(axis.path)


def _check_count(count: int, option: str) -> None:
    if count > MOST_RUNS:
        raise InputError(f"{option}: {count:,} runs; the most is {MOST_RUNS:,}")
