"""Statistics: exact sums of one step from which metrics of shape and mixing are computed on the host.

A statistic reads the columns as a step left them and returns integers as limbs. Products with weights can be wider than
64 bits, so a wide term is cut into pieces that are summed by themselves and joined on the host, in Python's integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError
from lpm.metric import Metric
from lpm.network import Layer
from lpm.ops.collective import add_shards
from lpm.ops.dispatch import implementation
from lpm.ops.groups import limbs
from lpm.population import WEIGHT_UNIT, Column
from lpm.types import Array, Columns, HostArray, Tables

WORD = 62
"""Bits of a sum that are used of the 64."""

FEW = 16
"""Cells that are summed one after the other. Measured with 1M agents and 5 sums: 1 ms a cell; scatters take 25 ms."""


@dataclass(frozen=True)
class Seen:
    """What a statistic is taken of.

    Attributes:
        columns: Columns of table "agents" as the step left them.
        weight: uint32 [rows], 1/65536 person; 0 for absent agents.
        cell: int32 [rows], joint cell of every agent.
        cells: Number of joint cells.
        shards: Number of devices.
        layers: The networks by name.
        tables: Columns of the tables beside "agents".
    """

    columns: Columns
    weight: Array
    cell: Array
    cells: int
    shards: int
    layers: Mapping[str, Layer] = field(default_factory=dict[str, Layer])
    tables: Tables = field(default_factory=dict[str, Columns])


class Statistic(Protocol):
    """One exact sum of a step, and the metrics that are made of it."""

    @property
    def name(self) -> str:
        """Name of the sums; two metrics of the same statistic share them."""
        ...

    @property
    def by_cell(self) -> bool:
        """Whether sums are taken by joint cell (else only for everybody)."""
        ...

    def shape(self, cells: int) -> tuple[int, ...]:
        """Return the shape of what `record` returns."""
        ...

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs, uint32 [cells, ..., 2], inside the scan."""
        ...

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return a metric's columns, float64 [steps, groups] each, NaN where undefined, on the host.

        Args:
            metric: What is told.
            sums: int64 [steps, groups, ...], the sums by group.
            weight: int64 [steps, groups], weight of those present.
        """
        ...


@dataclass(frozen=True)
class Scale:
    """Fixed point of a column: units of 2^-shift around a middle.

    Attributes:
        shift: Binary places; negative for large values.
        middle: The middle of the column's bounds, in units.
    """

    shift: int
    middle: int

    def units(self, values: Array) -> Array:
        """Return int64 [rows], each value rounded once (a product with a power of two is exact); under `enable_x64`."""
        scaled = values.astype(jnp.float64) * 2.0**self.shift
        return jnp.round(scaled).astype(jnp.int64) - self.middle


def scale_of(column: Column, bits: int, where: str) -> Scale:
    """Return the finest scale at which every value of a column lies within 2^bits units of the middle.

    Raises:
        InputError: The column has no finite bounds.
    """
    low, high = bounds_of(column, where)
    half = max(high - low, 2.0**-100) / 2
    shift = math.floor(math.log2(2.0**bits / half))
    return Scale(shift, round((low + high) / 2 * 2.0**shift))


def bounds_of(column: Column, where: str) -> tuple[float, float]:
    """Return the finite bounds of a numeric column.

    Raises:
        InputError: It has levels, several values an agent, or no finite bounds.
    """
    if column.levels or column.shape:
        raise InputError(f"{where}: expected a column with one number an agent, got '{column.name}'")
    low, high = (float(limit) for limit in column.limits())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{where}: column '{column.name}' needs bounds to be summed exactly; declare them")
    return low, high


def room_of(people: float) -> int:
    """Return how many bits a term may have for its sum over the weights of so many people to stay exact."""
    return WORD - math.ceil(math.log2(max(people, 1.0) * WEIGHT_UNIT))


def pieces_of(bits: int, room: int) -> int:
    """Return the number of pieces of a term of at most 2^bits."""
    return -(-bits // room)


def wide_sums(terms: Sequence[tuple[Array, int]], room: int, seen: Seen) -> Array:
    """Return uint32 [cells, pieces of all terms, 2], sums of weight x term by cell: each piece summed by itself.

    Args:
        terms: Integers [rows], and the bits of the most that each can be in size, at most 62.
        room: Bits of a piece, see `room_of`.
        seen: Weights, cells and devices.
    """
    with jax.enable_x64(True):
        heavy = seen.weight.astype(jnp.int64)
        parts: list[Array] = []
        for term, bits in terms:
            whole, count = term.astype(jnp.int64), pieces_of(bits, room)
            for piece in range(count):
                part = whole >> (room * piece)  # of the last one the sign stays
                parts.append((part if piece == count - 1 else part & ((1 << room) - 1)) * heavy)
        if seen.cells <= FEW:
            sums = jnp.stack([_reduced([jnp.where(seen.cell == k, p, 0) for p in parts]) for k in range(seen.cells)])
        else:
            sum_by_cell = implementation("groups")
            sums = jnp.stack([sum_by_cell(part, seen.cell, seen.cells) for part in parts], axis=1)
        return limbs(add_shards(sums, seen.shards))


def _reduced(parts: Sequence[Array]) -> Array:
    """Return int64 [parts], the sum of each, all in one pass; under `enable_x64`."""
    zeros = (jnp.int64(0),) * len(parts)

    def added(one: Sequence[Array], two: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(a + b for a, b in zip(one, two, strict=True))

    return jnp.stack(jax.lax.reduce(tuple(parts), zeros, added, (0,)))


def joined(sums: HostArray, room: int) -> Any:
    """Return Python integers [...] from sums of pieces, int64 [..., pieces]."""
    whole: Any = sums[..., 0].astype(object)
    for piece in range(1, sums.shape[-1]):
        whole = whole + sums[..., piece].astype(object) * (1 << (room * piece))
    return whole


def quotient(above: Any, below: Any, factor: float = 1.0) -> HostArray:
    """Return float64 above / below x factor of Python integers, each rounded once; NaN where `below` is not above 0."""
    flat = [a / b if b > 0 else math.nan for a, b in zip(above.ravel(), below.ravel(), strict=True)]
    return np.array(flat, np.float64).reshape(above.shape) * factor
