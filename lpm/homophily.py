r"""Who is tied to whom: the share of cross-cutting ties, and assortativity.

An arc counts where both its ends are present, with the weight of the agent who is influenced (its row), and belongs to
that agent's group. With x_i the value of the receiving end, y_j that of the other end of an arc of weight w_i:

.. math::
    r = \frac{n \sum w x y - \sum w x \sum w y}
    {\sqrt{(n \sum w x^2 - (\sum w x)^2)(n \sum w y^2 - (\sum w y)^2)}},\qquad
    r = \frac{\sum_k e_{kk} - \sum_k a_k b_k}{1 - \sum_k a_k b_k}

for numbers and for levels (e the share of arcs from level k to level k, a and b its margins). Source: M. E. J. Newman
2003, doi:10.1103/PhysRevE.67.026126. All sums are of integers; values enter in 2^-22 of half the column's range.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError, unknown
from lpm.metric import Metric
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.statistic import Scale, Seen, joined, pieces_of, quotient, scale_of, wide_sums
from lpm.types import Array, HostArray

LIMB = 11
"""Bits of a limb of what is summed over a row: sums stay below 2^31 in rows of fewer than 2^18 arcs."""

FINENESS = 2 * LIMB
"""Bits of half the column's range in which values enter."""

COUNT, PRODUCT = 31, 62
"""Bits of a number of arcs, and of a product with a sum over a row."""

MOST_LEVELS = 64
"""Levels of a column whose assortativity can be told: each is a sum over the ties."""


@dataclass(frozen=True)
class OverArcs(ABC):
    """Exact sums over the arcs of a layer, by cell.

    Attributes:
        column: The column of the two ends.
        layer: The layer.
        room: Bits of a piece.
    """

    column: str
    layer: str
    room: int

    @property
    def name(self) -> str:
        """Name of the sums."""
        return f"assortativity:{self.column}:{self.layer}"

    @property
    def by_cell(self) -> bool:
        """Sums are taken by cell."""
        return True

    @property
    @abstractmethod
    def terms(self) -> tuple[int, int]:
        """How many sums there are, and the bits of what is summed."""

    def shape(self, cells: int) -> tuple[int, ...]:
        """Return [cells, terms, pieces, 2]."""
        count, size = self.terms
        return cells, count, pieces_of(size, self.room), 2

    def ends(self, seen: Seen) -> tuple[Layer, Array, Array]:
        """Return the layer, bool [rows] who is there, and the column's values [rows]."""
        return _layer(seen.layers, self.layer, self.name), seen.columns["present"], seen.columns[self.column]

    def limbs(self, terms: Sequence[Array], seen: Seen) -> Array:
        """Return the sums of the terms as limbs, uint32 [cells, terms, pieces, 2]."""
        return wide_sums([(term, self.terms[1]) for term in terms], self.room, seen).reshape(self.shape(seen.cells))


@dataclass(frozen=True)
class CrossCutting(OverArcs):
    """Weight x number of arcs whose ends differ, and of all arcs, by cell.

    Attributes:
        middle: Divides the sides of a column of numbers; None = the column has levels, in which the ends differ.
    """

    middle: float | None

    @property
    def name(self) -> str:
        """Name of the sums."""
        return f"cross-cutting:{self.column}:{self.layer}:{self.middle!r}"

    @property
    def terms(self) -> tuple[int, int]:
        """Differing arcs, and all."""
        return 2, COUNT

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs."""
        layer, here, values = self.ends(seen)
        if self.middle is None:
            mark = values.astype(jnp.int32) + 1
        else:  # 1 = below, 2 = in the middle, 3 = above
            middle = jnp.float32(self.middle)
            mark = 2 + (values > middle).astype(jnp.int32) - (values < middle).astype(jnp.int32)
        levels = self.middle is None

        def edge(source: Any, receiver: Any, columns: Mapping[str, Array]) -> Any:
            present = source != 0
            differ = source != receiver if levels else (source - 2) * (receiver - 2) < 0
            return {"differ": differ & present, "arcs": present}

        mark = jnp.where(here, mark, 0)  # one look-up an arc tells the side, and whether anybody is there
        sums = sum_neighbours(layer, edge, mark, mark, where=here)
        return self.limbs([sums["differ"], sums["arcs"]], seen)

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return the share of arcs whose ends differ, NaN where there are none."""
        whole = joined(sums, self.room)
        return [quotient(whole[..., 0], whole[..., 1])]


@dataclass(frozen=True)
class Alike(OverArcs):
    """Sums for the assortativity of a column of numbers.

    Attributes:
        scale: The column's fixed point.
    """

    scale: Scale

    @property
    def terms(self) -> tuple[int, int]:
        """Six sums."""
        return 6, PRODUCT

    def record(self, seen: Seen) -> Array:
        """Return the sums of w, w x, w y, w x^2, w y^2 and w x y over arcs, as limbs."""
        layer, here, values = self.ends(seen)
        with jax.enable_x64(True):
            units = jnp.where(here, self.scale.units(values), 0)
            packed = jnp.where(here, 2 * units + 1, 0).astype(jnp.int32)
        sums = sum_neighbours(layer, _powers, packed, where=here)
        with jax.enable_x64(True):
            arcs, low, high, low_low, low_high, high_high = (_whole(sum_of) for sum_of in sums)
            theirs = low + (high << LIMB)
            squares = low_low + (low_high << (LIMB + 1)) + (high_high << (2 * LIMB))
            terms = (arcs, arcs * units, theirs, arcs * units * units, squares, units * theirs)
            return self.limbs(terms, seen)

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return the correlation over arcs, NaN where the values at one end are all the same."""
        whole = joined(sums, self.room)
        n, x, y, xx, yy, xy = (whole[..., position] for position in range(6))
        above, left, right = n * xy - x * y, n * xx - x * x, n * yy - y * y
        flat = [
            float(a) / (math.sqrt(b) * math.sqrt(c)) if b > 0 and c > 0 else math.nan
            for a, b, c in zip(above.ravel(), left.ravel(), right.ravel(), strict=True)
        ]
        return [np.array(flat, np.float64).reshape(above.shape)]


@dataclass(frozen=True)
class AlikeLevels(OverArcs):
    """Sums for the assortativity of a column with levels.

    Attributes:
        levels: Number of the column's levels.
    """

    levels: int

    @property
    def terms(self) -> tuple[int, int]:
        """Arcs within a level, to each level, and from each level."""
        return 1 + 2 * self.levels, COUNT

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs."""
        layer, here, values = self.ends(seen)
        code = values.astype(jnp.int32)
        marks = [(code == level) & here for level in range(self.levels)]

        def edge(source: Any, receiver: Any, columns: Mapping[str, Array]) -> Any:
            return [source == level + 1 for level in range(self.levels)]

        sums = sum_neighbours(layer, edge, jnp.where(here, code + 1, 0), where=here)
        same = jnp.stack([jnp.where(mark, count, 0) for mark, count in zip(marks, sums, strict=True)]).sum(0)
        arcs = jnp.stack(sums).sum(0)
        terms = [same, *(jnp.where(mark, arcs, 0) for mark in marks), *sums]
        return self.limbs(terms, seen)

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return Newman's coefficient, NaN where all arcs join one level."""
        whole = joined(sums, self.room)
        into, out = whole[..., 1 : 1 + self.levels], whole[..., 1 + self.levels :]
        n, chance = out.sum(-1), (into * out).sum(-1)
        return [quotient(n * whole[..., 0] - chance, n * n - chance)]


def mixing(metric: Metric, column: Column, room: int, where: str) -> CrossCutting | Alike | AlikeLevels:
    """Return the statistic of a metric of kind "cross_cutting" or "assortativity".

    Raises:
        InputError: A column that is neither of levels nor of bounded numbers, or with too many levels.
    """
    if column.shape:
        raise InputError(f"{where}: expected a column with one value an agent, got '{column.name}'")
    if metric.kind == "cross_cutting":
        if column.levels:
            return CrossCutting(column.name, metric.layer, room, None)
        low, high = (float(limit) for limit in column.limits())
        bounded = math.isfinite(low) and math.isfinite(high)
        middle = metric.middle if metric.middle is not None else (low + high) / 2 if bounded else 0.0
        return CrossCutting(column.name, metric.layer, room, middle)
    if not column.levels:
        return Alike(column.name, metric.layer, room, scale_of(column, FINENESS, where))
    if len(column.levels) > MOST_LEVELS:
        raise InputError(f"{where}: expected at most {MOST_LEVELS} levels, '{column.name}' has {len(column.levels)}")
    return AlikeLevels(column.name, metric.layer, room, len(column.levels))


def _layer(layers: Mapping[str, Layer], name: str, where: str) -> Layer:
    if name not in layers:
        raise unknown(f"metrics: {where}", "layer", name, layers)
    if layers[name].complete:
        raise InputError(f"metrics: {where}: expected a layer with ties, '{name}' is complete mixing")
    return layers[name]


def _powers(source: Any, receiver: Any, columns: Mapping[str, Array]) -> Any:
    """Return number, value and square of an agent who is there, in limbs, from 2 x units + 1 (0 = nobody is there)."""
    present, units = source & 1, source >> 1
    low, high = units & ((1 << LIMB) - 1), units >> LIMB
    return [[present], [low], [high], _halves(low * low), _halves(low * high), _halves(high * high)]


def _halves(product: Any) -> list[Any]:
    """Return two limbs of a product of limbs, the second with the sign."""
    return [product & ((1 << LIMB) - 1), product >> LIMB]


def _whole(limbs: list[Array]) -> Array:
    """Return int64 from limbs or sums of them; under `enable_x64`."""
    whole = limbs[0].astype(jnp.int64)
    for place, limb in enumerate(limbs[1:], start=1):
        whole = whole + (limb.astype(jnp.int64) << (LIMB * place))
    return whole
