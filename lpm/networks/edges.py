"""A network from data: a frame, parquet or csv file of edges between agents' ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm import foreign
from lpm.errors import InputError, unknown
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.rows import ends_of, span
from lpm.population import Population
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl


@builder("edges")
class Edges:
    """Each row (source, target) lets agent `source` influence agent `target`; undirected, also the other way.

    A pair stands in one row (undirected: in either order); how often it is tied stands in a column of whole numbers.
    """

    @dataclass(frozen=True)
    class Params:
        """Where the edges stand; exactly one of file and frame."""

        file: str = parameter("", unit="file", meaning=".parquet, .csv or .csv.gz with a header")
        frame: Any = parameter(None, unit="1", meaning="a polars frame, in programs")
        source: str = parameter("source", unit="column", meaning="column of the influencing agent's id")
        target: str = parameter("target", unit="column", meaning="column of the influenced agent's id")
        multiplicity: str = parameter("", unit="column", meaning="column of how often a pair is tied; '' = once")
        columns: tuple[str, ...] = parameter((), unit="column", meaning="edge columns to keep (numbers)")
        directed: bool = parameter(False, unit="1", meaning="false: every edge holds both ways")

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`.

        Raises:
            InputError: An unreadable file, missing columns, nulls, NaN, ids of nobody, loops, or repeated pairs.
        """
        size = population.size
        low, high = span(rows, size, "edges")
        frame, where = _frame(params)
        source, target = (_agents(frame, name, population, where) for name in (params.source, params.target))
        loops = np.flatnonzero(source == target)
        if len(loops):
            raise InputError(f"{where}: {len(loops)} edges tie an agent to itself, the first in row {loops[0]}")
        one, other = (source, target) if params.directed else (np.minimum(source, target), np.maximum(source, target))
        pairs, first = np.unique(one * size + other, return_index=True)
        if len(pairs) != frame.height:
            row = int(np.setdiff1d(np.arange(frame.height), first)[0])
            raise InputError(
                f"{where}: expected every pair once, row {row} repeats {frame[params.source][row]}, "
                f"{frame[params.target][row]}; name a multiplicity column, or directed = true where both ways stand"
            )
        kept = {name: _edge_column(frame, name, where) for name in params.columns}
        edge = np.arange(frame.height)
        if params.multiplicity:
            edge = np.repeat(edge, _multiplicity(frame, params.multiplicity, where))
        receiver, influencer = target[edge], source[edge]
        if not params.directed:
            receiver, influencer, edge = (
                np.concatenate([receiver, influencer]),
                np.concatenate([influencer, receiver]),
                np.concatenate([edge, edge]),
            )
        here = np.flatnonzero((receiver >= low) & (receiver < high))
        here = here[np.argsort(receiver[here] * size + influencer[here])]
        indptr = ends_of(np.bincount(receiver[here] - low, minlength=high - low))
        columns = {name: values[edge[here]] for name, values in kept.items()}
        facts = {"edges": frame.height, "directed": params.directed, "file": Path(params.file).name}
        return Network(size, indptr, influencer[here].astype(np.int32), low, columns, facts=facts)


def _frame(params: Edges.Params) -> tuple[pl.DataFrame, str]:
    """Return the frame and how errors name it."""
    import polars as pl

    if (params.frame is None) == (not params.file):
        raise InputError("edges.file: expected one of file and frame")
    if params.frame is not None:
        if not isinstance(params.frame, pl.DataFrame):
            raise InputError(f"edges.frame: expected a polars frame, got {type(params.frame).__name__}")
        return params.frame, "edges.frame"
    path = Path(params.file)
    if not path.is_file():
        raise InputError(f"edges.file: no file '{path}'")
    frame = foreign.read(path, "edges.file", dates=False)
    if not frame.height:
        raise InputError(f"edges.file: '{path.name}' has no rows; expected at least one edge")
    return frame, f"edges.file: '{path.name}'"


def _whole(frame: pl.DataFrame, name: str, where: str) -> HostArray:
    """Return an int64 column without nulls, NaN or fractions."""
    values = _numbers(frame, name, where)
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        raise InputError(f"{where}: column '{name}': expected whole numbers, got fractions")
    if values.size and (values.min() < -(2**62) or values.max() > 2**62):
        raise InputError(f"{where}: column '{name}': expected whole numbers of 62 bits")
    return values.astype(np.int64)


def _numbers(frame: pl.DataFrame, name: str, where: str) -> HostArray:
    """Return a numeric column without nulls and NaN."""
    if name not in frame.columns:
        raise unknown(where, "column", name, frame.columns)
    series = frame[name]
    if series.null_count():
        raise InputError(f"{where}: column '{name}': {series.null_count()} values are missing")
    if not (series.dtype.is_numeric() or series.dtype.is_(_boolean())) or series.dtype.is_decimal():
        raise InputError(f"{where}: column '{name}': {foreign.no_numbers(series)}")
    values = series.to_numpy()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{where}: column '{name}': {int((~np.isfinite(values)).sum())} values are NaN or infinite")
    return values


def _boolean() -> Any:
    import polars as pl

    return pl.Boolean


def _agents(frame: pl.DataFrame, name: str, population: Population, where: str) -> HostArray:
    """Return int64 [edges], the position in the population of each id of a column."""
    given = _whole(frame, name, where)
    ids = population.columns["id"].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids, given, sorter=order), len(ids) - 1)
    bad = np.flatnonzero(ids[order[place]] != given)
    if len(bad):
        raise InputError(
            f"{where}: column '{name}': {len(bad)} dangling edges, the first in row {bad[0]} names {given[bad[0]]}; "
            f"the population's ids are {ids.min()} to {ids.max()}"
        )
    return order[place]


def _multiplicity(frame: pl.DataFrame, name: str, where: str) -> HostArray:
    """Return int64 [edges], how often each pair is tied."""
    values = _whole(frame, name, where)
    if values.size and (values.min() < 1 or values.max() > 1_000_000):
        got = f"{values.min()} to {values.max()}"
        raise InputError(f"{where}: column '{name}': expected 1 to 1,000,000 ties a pair, got {got}")
    return values


def _edge_column(frame: pl.DataFrame, name: str, where: str) -> HostArray:
    """Return an edge column in a 32-bit type (uint16 for `intensity`, in 1/64 contacts a day)."""
    if name == "intensity":
        values = _whole(frame, name, where)
        if values.size and (values.min() < 0 or values.max() > 65_535):
            raise InputError(f"{where}: column 'intensity': expected 0 to 65,535 (1/64 contacts a day)")
        return values.astype(np.uint16)
    values = _numbers(frame, name, where)
    if values.dtype.kind == "f":
        if values.size and np.abs(values).max() > np.finfo(np.float32).max:
            raise InputError(f"{where}: column '{name}': expected numbers that float32 holds (up to 3.4e38)")
        return values.astype(np.float32)
    if values.dtype.itemsize > 4:
        if values.size and (values.min() < -(2**31) or values.max() >= 2**31):
            raise InputError(f"{where}: column '{name}': expected whole numbers of 32 bits")
        return values.astype(np.int32)
    return values
