"""Columns that a scenario file declares."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from lpm.population import Column
from lpm.scenarios.names import Label, Labels
from lpm.scenarios.values import Name, Pair, Part


class ColumnTable(Part):
    """A column that the scenario adds to the population.

    Attributes:
        name: What it is called.
        dtype: How a value is stored.
        meaning: What it is, in few words.
        unit: Its unit; absent = none.
        bounds: Lowest and highest value.
        levels: Names of its values 0, 1, 2, ...
        default: Value at the start.
    """

    name: Label
    dtype: Literal["bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"]
    meaning: Name
    unit: str = ""
    bounds: Pair | None = None
    levels: Labels = ()
    default: float = 0

    @model_validator(mode="after")
    def _sound(self) -> ColumnTable:
        self.column()  # refuses what the dtype cannot hold
        if self.bounds is not None and self.bounds[0] > self.bounds[1]:
            raise ValueError(f"expected bounds in ascending order, got {self.bounds[0]} > {self.bounds[1]}")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError("expected every level once, got a repeated level")
        low, high = (0, len(self.levels) - 1) if self.levels else self.bounds or (-float("inf"), float("inf"))
        if not low <= self.default <= high:
            raise ValueError(f"expected a default within {low:g} to {high:g}, got {self.default:g}")
        return self

    def column(self) -> Column:
        """Return the column that is declared."""
        return Column(self.name, self.dtype, self.meaning, self.unit, self.bounds, self.levels, (), self.default)
