r"""Variance and bimodality of a column, from exact moments of the values in fixed point.

With S_k the sum of weight x units^k and W the sum of weights, everything up to the last division is in integers:

.. math::
    \sigma^2 = \frac{W S_2 - S_1^2}{W^2},\qquad
    BC = \frac{\gamma^2 + 1}{\kappa} = \frac{M_3^2 + M_2^3}{M_2 M_4}

with :math:`M_k = W^k` times the k-th central moment, :math:`\gamma` the skewness, :math:`\kappa` the kurtosis (3 for a
normal law). BC is 1 for two points, 5/9 for a uniform law, 1/3 for a normal law: Sarle's coefficient without the
correction for small samples, as R. Pfister, K. A. Schwarz, M. Janczyk, R. Dale and J. B. Freeman 2013,
doi:10.3389/fpsyg.2013.00700, give it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from lpm.metric import Metric
from lpm.population import Column
from lpm.statistic import Scale, Seen, joined, pieces_of, quotient, scale_of, wide_sums
from lpm.types import Array, HostArray

FINENESS = {2: 22, 4: 15}
"""Bits of half the column's range in which values enter moments up to this order: the highest power fits 62 bits."""


@dataclass(frozen=True)
class Moments:
    """Sums of weight x units^k by cell, k = 1 .. order.

    Attributes:
        column: A numeric column with bounds.
        order: 2 or 4.
        scale: Its fixed point.
        room: Bits of a piece.
    """

    column: str
    order: int
    scale: Scale
    room: int

    @property
    def name(self) -> str:
        """Name of the sums."""
        return f"moments:{self.column}:{self.order}"

    @property
    def by_cell(self) -> bool:
        """Sums are taken by cell."""
        return True

    @property
    def bits(self) -> list[int]:
        """Bits of each power (a value at a bound may be rounded one unit beyond it)."""
        return [FINENESS[self.order] * power + 1 for power in range(1, self.order + 1)]

    def shape(self, cells: int) -> tuple[int, ...]:
        """Return [cells, pieces of all powers, 2]."""
        return cells, sum(pieces_of(bits, self.room) for bits in self.bits), 2

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs."""
        with jax.enable_x64(True):
            units = self.scale.units(seen.columns[self.column])
            powers = [units]
            while len(powers) < self.order:
                powers.append(powers[-1] * units)
            return wide_sums(list(zip(powers, self.bits, strict=True)), self.room, seen)

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return the variance, in squared units of the column, or the bimodality coefficient."""
        powers: list[Any] = []
        first = 0
        for bits in self.bits:
            last = first + pieces_of(bits, self.room)
            powers.append(joined(sums[..., first:last], self.room))
            first = last
        people = weight.astype(object)
        if metric.kind == "variance":
            return [variance(people, powers[0], powers[1], self.scale.shift)]
        return [bimodality(people, *powers)]


def moments(column: Column, order: int, room: int, where: str) -> Moments:
    """Return the moments of a column.

    Raises:
        InputError: It is no number or has no bounds.
    """
    return Moments(column.name, order, scale_of(column, FINENESS[order], where), room)


def variance(weight: Any, first: Any, second: Any, shift: int) -> HostArray:
    """Return the variance over people (divided by their number), NaN where there is nobody.

    Args:
        weight: Python integers, sums of weights.
        first: Sums of weight x units.
        second: Sums of weight x units^2.
        shift: Binary places of the units.
    """
    return quotient(weight * second - first * first, weight * weight, 4.0**-shift)


def bimodality(weight: Any, first: Any, second: Any, third: Any, fourth: Any) -> HostArray:
    """Return Sarle's bimodality coefficient, NaN where all values are the same.

    Args:
        weight: Python integers, sums of weights.
        first: Sums of weight x units; so are `second`, `third` and `fourth` for the powers.
        second: See `first`.
        third: See `first`.
        fourth: See `first`.
    """
    w, s1, s2 = weight, first, second
    m2 = w * s2 - s1 * s1
    m3 = w * w * third - 3 * w * s1 * s2 + 2 * s1**3
    m4 = w**3 * fourth - 4 * w * w * s1 * third + 6 * w * s1 * s1 * s2 - 3 * s1**4
    return quotient(m3 * m3 + m2**3, m2 * m4)
