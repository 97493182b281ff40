"""Tables: declared columns on the host, a pytree of arrays on the device.

A column's dtype, trailing shape, unit, bounds, levels and meaning are declared once, in a `Column`; checks, polars
schema, documentation and checkpoint checks are derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl

WEIGHT_UNIT = 65_536
"""A weight of 65,536 is one person: 32-bit fixed point, so that weighted sums are exact (design, invariant 2)."""

MOST = 65_535
"""Most people that an agent can stand for: a weight has 32 bits."""


@dataclass(frozen=True)
class Column:
    """One declared column.

    Attributes:
        name: Name of the column.
        dtype: numpy dtype name, the smallest that holds the bounds ("uint8", "float32", ...).
        meaning: One line of documentation.
        unit: Unit of the values, "" for codes and counts.
        bounds: Smallest and largest allowed value, inclusive; None = any finite value.
        levels: Names of the codes 0, 1, ... of a categorical column; () = not categorical.
        shape: Trailing shape; () = one value an agent.
        default: Value when nothing sets the column.
    """

    name: str
    dtype: str
    meaning: str
    unit: str = ""
    bounds: tuple[float, float] | None = None
    levels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    default: float = 0

    def __post_init__(self) -> None:
        """Refuse a declaration whose values the dtype cannot hold, as they would wrap around.

        Raises:
            InputError: More levels than codes, or bounds or a default beyond the dtype.
        """
        low, high = self._holds()
        held = f"{low:g} to {high:g} ({self.dtype})"
        if len(self.levels) > high + 1:
            raise InputError(f"column '{self.name}': {self.dtype} holds {high + 1:.0f} levels, got {len(self.levels)}")
        for limit in self.bounds or ():
            if not (low <= limit <= high or (np.isinf(limit) and np.dtype(self.dtype).kind == "f")):
                raise InputError(f"column '{self.name}': expected bounds within {held}, got {limit:g}")
        if not low <= self.default <= high:
            raise InputError(f"column '{self.name}': expected a default within {held}, got {self.default:g}")

    def code(self, level: str, where: str) -> int:
        """Return the code of a level's name.

        Raises:
            InputError: The column has no such level.
        """
        if level not in self.levels:
            raise unknown(where, f"level of column '{self.name}'", level, self.levels)
        return self.levels.index(level)

    def check(self, values: HostArray, where: str) -> HostArray:
        """Return `values` as this column's dtype after checking shape, kind, NaN and bounds.

        Args:
            values: Array [rows, *shape].
            where: Named in the error.

        Returns:
            The same values in the declared dtype.

        Raises:
            InputError: Wrong trailing shape, not numeric, NaN, out of bounds, or not representable.
        """
        place = f"{where}.{self.name}"
        if values.shape[1:] != self.shape:
            raise InputError(f"{place}: expected trailing shape {self.shape}, got {values.shape[1:]}")
        if values.dtype.kind not in "buif":
            raise InputError(f"{place}: expected {self.dtype}, got {values.dtype}")
        if values.dtype.kind == "f":
            bad = ~np.isfinite(values)
            if bad.any():
                rows = int(np.argwhere(bad)[0][0])
                raise InputError(f"{place}: {int(bad.sum())} values are NaN or infinite, the first in row {rows}")
        (low, high), (least, most) = self.limits(), self._holds()
        low, high = max(low, least), min(high, most)
        if values.size and (values.min() < low or values.max() > high):
            raise InputError(f"{place}: expected {low:g} to {high:g}, got {values.min():g} to {values.max():g}")
        if values.dtype.kind == "f" and np.dtype(self.dtype).kind != "f" and (values != np.floor(values)).any():
            raise InputError(f"{place}: expected whole numbers ({self.dtype}), got fractions")
        return values.astype(self.dtype, copy=False)

    def limits(self) -> tuple[float, float]:
        """Return the smallest and largest value that the declaration allows."""
        if self.levels:
            return 0, len(self.levels) - 1
        if self.bounds is not None:
            return self.bounds
        return (-np.inf, np.inf) if np.dtype(self.dtype).kind == "f" else self._holds()

    def _holds(self) -> tuple[float, float]:
        """Return the smallest and largest value that the dtype holds."""
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            return float(np.finfo(kind).min), float(np.finfo(kind).max)
        return (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))


IDENTITY = (
    Column("id", "uint32", "id outside: never changes, names the agent's draws and breaks ties"),
    Column("weight", "uint32", "people that the agent stands for", unit="1/65536 person", default=WEIGHT_UNIT),
    Column("present", "bool", "takes part now (births, arrivals and exits at fixed size)", default=1),
)
"""Columns that every table has."""


def _schema_of(columns: Sequence[Column]) -> dict[str, Column]:
    return {column.name: column for column in columns}


@dataclass(frozen=True)
class Population:
    """A table on the host: declared columns and their values.

    Attributes:
        schema: The declared columns by name, `id`, `weight` and `present` among them.
        columns: numpy arrays [size, *shape] by name, in the declared dtypes.
        facts: What the report tells about its making (name -> value or sentence).
    """

    schema: Mapping[str, Column]
    columns: Mapping[str, HostArray]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def size(self) -> int:
        """Number of agents."""
        return int(self.columns["id"].shape[0])

    @property
    def people(self) -> float:
        """Number of people that the agents stand for."""
        weight = np.where(self.columns["present"], self.columns["weight"], 0)
        return float(weight.sum(dtype=np.uint64)) / WEIGHT_UNIT

    @classmethod
    def build(
        cls, size: int, columns: Sequence[Column], values: Mapping[str, Any], where: str = "population", **facts: Any
    ) -> Population:
        """Return a checked population of `size` agents; columns without values take their defaults.

        Args:
            size: Number of agents, at least 1.
            columns: Declarations; `id`, `weight` and `present` are added where missing.
            values: Arrays by column name.
            where: Named in errors.
            **facts: Kept for the report.

        Raises:
            InputError: An empty population, an unknown column, a wrong length, or values outside the declaration.
        """
        if size < 1:
            raise InputError(f"{where}: expected at least 1 agent, got {size}")
        schema = {**_schema_of(IDENTITY), **_schema_of(columns)}
        for name in values:
            if name not in schema:
                raise unknown(where, "column", name, schema)
        table: dict[str, HostArray] = {}
        for name, column in schema.items():
            if name in values:
                given = np.asarray(values[name])
                if given.shape[:1] != (size,):
                    raise InputError(f"{where}.{name}: expected {size} rows, got {given.shape[:1]}")
                table[name] = column.check(given, where)
            elif name == "id":
                table[name] = np.arange(size, dtype=np.uint32)
            else:
                table[name] = np.full((size, *column.shape), column.default, column.dtype)
        rising = bool((table["id"][1:] > table["id"][:-1]).all())  # the usual case, far quicker than sorting
        if not rising and np.unique(table["id"]).size != size:
            raise InputError(f"{where}.id: expected every id once, got repeated ids")
        return cls(schema, table, facts)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, columns: Sequence[Column], where: str = "population") -> Population:
        """Return a population from a polars frame, one row an agent.

        A categorical column may hold its levels' names or their codes; `weight` is given in people.

        Raises:
            InputError: A missing column, nulls, an unknown level, or anything `build` refuses.
        """
        import polars as pl

        known = {**_schema_of(IDENTITY), **_schema_of(columns)}
        values: dict[str, HostArray] = {}
        for column in columns:
            if column.name not in frame.columns:
                raise InputError(f"{where}: expected a column '{column.name}', got {', '.join(frame.columns)}")
        for name in frame.columns:
            if name not in known:
                continue
            series, column = frame[name], known[name]
            if series.null_count():
                raise InputError(f"{where}.{name}: {series.null_count()} values are missing")
            if column.levels and isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum):
                texts = series.cast(pl.String)
                codes = {level: column.code(level, f"{where}.{name}") for level in texts.unique().to_list()}
                values[name] = texts.replace_strict(codes, return_dtype=pl.Int64).to_numpy()
            elif series.dtype.is_numeric() or series.dtype == pl.Boolean:
                values[name] = series.to_numpy()
                if name == "weight":
                    people = values[name].astype(np.float64)
                    if not np.isfinite(people).all() or people.min(initial=0) < 0 or people.max(initial=0) > MOST:
                        raise InputError(f"{where}.weight: expected 0 to {MOST:,} people an agent")
                    values[name] = np.round(people * WEIGHT_UNIT).astype(np.uint32)
            else:
                raise InputError(f"{where}.{name}: expected {column.dtype}, got {series.dtype}")
        return cls.build(frame.height, columns, values, where)

    def reweighted(self, people: float, where: str = "population") -> Population:
        """Return the population standing for `people` people, spread evenly and exactly over the agents.

        Raises:
            InputError: More people an agent than a weight holds.
        """
        if not 0 < people <= MOST * self.size:
            raise InputError(f"{where}.people: expected at most {MOST:,} people an agent, got {people / self.size:g}")
        total, size = round(people * WEIGHT_UNIT), self.size
        ends = np.array([total * i // size for i in range(size + 1)], dtype=np.uint64)
        return Population(self.schema, {**self.columns, "weight": np.diff(ends).astype(np.uint32)}, self.facts)

    def to_frame(self) -> pl.DataFrame:
        """Return a polars frame, one row an agent: levels by name, `weight` in people."""
        return frame_of(self.schema, self.columns)


def frame_of(schema: Mapping[str, Column], columns: Mapping[str, HostArray]) -> pl.DataFrame:
    """Return the polars frame of a table's columns: levels by name, `weight` in people.

    Args:
        schema: The declared columns.
        columns: Arrays [rows, *shape] by name; names without a declaration are refused.
    """
    import polars as pl

    series: list[pl.Series] = []
    for name, values in columns.items():
        column = schema[name]
        if name == "weight":
            series.append(pl.Series(name, values.astype(np.float64) / WEIGHT_UNIT))
        elif column.levels:
            series.append(pl.Series(name, np.array(column.levels)[values], dtype=pl.Enum(column.levels)))
        else:
            series.append(pl.Series(name, values))
    return pl.DataFrame(series)
