"""Fixed-bin histograms of a column, and what is told from them: quantiles, clusters, polarization, inequality.

A value is in bin k where edge_k <= value < edge_(k+1), the edges being float32; what lies beyond the range counts in
the first or last bin. A sort of a million floats costs 250 ms and has no place in a scan; people by bin are one exact
sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError
from lpm.metric import Metric
from lpm.ops.groups import fraction_bits, sum_by_group, weighted_sum_by_group
from lpm.population import WEIGHT_UNIT, Column
from lpm.statistic import Seen, bounds_of
from lpm.types import Array, HostArray

FINE = 200
"""Bins where a scenario declares none and the result would only become finer with more."""

ALPHA = 1.3
"""Identification in the polarization of Esteban and Ray where none is declared; it lies in (0, 1.6]."""


@dataclass(frozen=True)
class Histogram:
    """People by bin and cell; with `bits` also the sum of the column by bin and cell.

    Attributes:
        column: A numeric column.
        bins: Number of bins.
        low: Lower end of the first bin.
        high: Upper end of the last bin.
        bits: Scale of the sums of the column; None = only people.
    """

    column: str
    bins: int
    low: float
    high: float
    bits: int | None = None

    @property
    def name(self) -> str:
        """Name of the sums."""
        return f"histogram:{self.column}:{self.bins}:{self.low!r}:{self.high!r}{'' if self.bits is None else ':sums'}"

    @property
    def by_cell(self) -> bool:
        """Sums are taken by cell."""
        return True

    @property
    def edges(self) -> HostArray:
        """Edges of the bins, float32 [bins + 1]."""
        return np.linspace(self.low, self.high, self.bins + 1).astype(np.float32)

    @property
    def width(self) -> float:
        """Width of a bin, in the column's unit."""
        return (self.high - self.low) / self.bins

    @property
    def centres(self) -> HostArray:
        """Middles of the bins, float64 [bins]."""
        return self.low + (np.arange(self.bins) + 0.5) * self.width

    def shape(self, cells: int) -> tuple[int, ...]:
        """Return [cells, bins, people (and sum), 2]."""
        return cells, self.bins, 1 if self.bits is None else 2, 2

    def bin_of(self, values: Array) -> Array:
        """Return int32 [rows], each value's bin: guessed by a product, then put right by comparisons with the edges."""
        edges = jnp.asarray(self.edges)
        values = values.astype(jnp.float32)
        guess = jnp.floor((values - edges[0]) * jnp.float32(1.0 / self.width))
        guess = jnp.clip(guess, 0, self.bins - 1).astype(jnp.int32)
        guess -= (values < edges[guess]).astype(jnp.int32)
        guess += (values >= edges[guess + 1]).astype(jnp.int32)  # a guess of -1 is below the first edge and stays
        return jnp.clip(guess, 0, self.bins - 1)

    def record(self, seen: Seen) -> Array:
        """Return the sums as limbs."""
        values, count = seen.columns[self.column], seen.cells * self.bins
        code = seen.cell * self.bins + self.bin_of(values)
        sums = [sum_by_group(seen.weight, code, count, seen.shards)]
        if self.bits is not None:
            numbers = values.astype(jnp.float32)
            sums.append(weighted_sum_by_group(numbers, seen.weight, code, count, self.bits, seen.shards))
        return jnp.stack(sums, axis=1).reshape(self.shape(seen.cells))

    def told(self, metric: Metric, sums: HostArray, weight: HostArray) -> list[HostArray]:
        """Return the metric's columns: people by bin, quantiles, number of clusters, polarization or Gini."""
        counts = sums[..., 0]
        if metric.kind == "histogram":
            people = counts / float(WEIGHT_UNIT)
            people[weight == 0] = np.nan
            return list(np.moveaxis(people, -1, 0))
        if metric.kind == "quantiles":
            return [quantile(counts, self, at) for at in metric.at]
        if metric.kind == "clusters":
            return [clusters(counts, self.width, metric.epsilon, metric.mass)]
        if metric.kind == "esteban_ray":
            return [esteban_ray(counts, metric.alpha)]
        return [gini(counts, sums[..., 1] / 2.0 ** (self.bits or 0))]


def histogram(metric: Metric, column: Column, people: float, where: str) -> Histogram:
    """Return the histogram that a metric is told from.

    Raises:
        InputError: A column without bounds, no bins, or a range that is empty.
    """
    low, high = metric.range or bounds_of(column, where)
    if metric.range is not None and (column.levels or column.shape):
        raise InputError(f"{where}: expected a column with one number an agent, got '{column.name}'")
    bins = metric.bins or FINE
    if bins < 2 or not np.isfinite([low, high]).all() or not low < high:
        raise InputError(f"{where}: expected at least 2 bins over a range, got {bins} bins from {low:g} to {high:g}")
    made = Histogram(column.name, bins, low, high)
    if not (np.diff(made.edges) > 0).all():
        raise InputError(f"{where}: {bins} bins from {low:g} to {high:g} are narrower than float32 tells apart")
    if metric.kind == "clusters" and not metric.epsilon >= made.width:
        raise InputError(
            f"{where}: epsilon {metric.epsilon:g} is narrower than a bin, {made.width:g}; "
            f"expected at least {int(np.ceil((high - low) / max(metric.epsilon, 1e-9)))} bins"
        )
    if metric.kind != "gini":
        return made
    least, most = bounds_of(column, where)
    if low < 0 or least < 0:
        raise InputError(f"{where}: expected a column that is never negative, got '{column.name}' from {least:g}")
    return Histogram(column.name, bins, low, high, fraction_bits(most, people))


def quantile(counts: HostArray, bins: Histogram, at: float) -> HostArray:
    """Return the value below which a share `at` of the people lies, linear within a bin.

    It lies in the bin of the weighted quantile inf {x : F(x) >= at}, so that it is off by a bin's width at most.

    Args:
        counts: int64 [..., bins], weights.
        bins: The bins.
        at: Share, 0 to 1.

    Returns:
        float64 [...]; NaN where there is nobody.
    """
    sums = counts.cumsum(-1)
    wanted = at * sums[..., -1:].astype(np.float64)
    reached = (sums >= wanted) & (sums > 0)
    first = reached.argmax(-1)[..., None]
    inside = np.take_along_axis(counts, first, -1)
    before = np.take_along_axis(sums, first, -1) - inside
    part = np.divide(wanted - before, inside, out=np.full(wanted.shape, np.nan), where=inside > 0)
    return (bins.low + (first + np.clip(part, 0.0, 1.0)) * bins.width)[..., 0]


def clusters(counts: HostArray, width: float, epsilon: float, mass: float) -> HostArray:
    """Return the number of opinion clusters: runs of people with no gap above epsilon, of at least a share `mass`.

    A gap is the distance between the middles of two bins with nobody between them, so it is known to a bin's width.

    Args:
        counts: int64 [..., bins], weights.
        width: Width of a bin.
        epsilon: Widest gap within a cluster.
        mass: Smallest share of the people that is a cluster.

    Returns:
        float64 [...]; NaN where there is nobody.
    """
    gap = int(np.floor(epsilon / width + 1e-9))  # in bins; a gap of exactly epsilon does not part
    people = counts.sum(-1)
    least = people * (mass * (1 - 1e-12))  # a share of exactly `mass` counts, whatever the product rounds to
    found = np.zeros(people.shape)
    inside, last = np.zeros(people.shape, np.int64), np.full(people.shape, -counts.shape[-1] - gap)
    for position in range(counts.shape[-1]):
        here = counts[..., position]
        parted = (here > 0) & (position - last > gap)
        found += parted & (inside > 0) & (inside >= least)
        inside = np.where(parted, 0, inside) + here
        last = np.where(here > 0, position, last)
    found += (inside > 0) & (inside >= least)
    return np.where(people > 0, found, np.nan)


def esteban_ray(counts: HostArray, alpha: float = ALPHA) -> HostArray:
    r"""Return the polarization of Esteban and Ray over the bins.

    .. math:: P = 2^{1 + \alpha} \sum_i \sum_j \pi_i^{1 + \alpha} \pi_j \frac{|i - j|}{B - 1}

    Source: J.-M. Esteban and D. Ray 1994, doi:10.2307/2951734, where the factor is free; here it makes P = 1 of half
    the people in the first and half in the last bin, the most there is, and P = 0 of all in one bin.

    Args:
        counts: int64 [..., bins], weights.
        alpha: Identification, in (0, 1.6].

    Returns:
        float64 [...]; NaN where there is nobody.
    """
    people = counts.sum(-1, keepdims=True)
    share = np.divide(counts, people, out=np.full(counts.shape, np.nan), where=people > 0)
    places = np.arange(counts.shape[-1])
    distance = np.abs(places[:, None] - places[None, :]) / (counts.shape[-1] - 1)
    return 2.0 ** (1 + alpha) * (share ** (1 + alpha) * (share @ distance)).sum(-1)


def gini(counts: HostArray, sums: HostArray) -> HostArray:
    r"""Return the Gini coefficient by the mean of every bin: that of a Lorenz curve linear within bins.

    It is never above the true one; what it misses, inequality within bins of width h, is at most
    :math:`h \sum_b \pi_b^2 / (4 \mu)`. Source: J. L. Gastwirth 1972, doi:10.2307/1937992.

    Args:
        counts: int64 [..., bins], weights.
        sums: float64 [..., bins], weight x value by bin.

    Returns:
        float64 [...]; NaN where there is nobody, or nobody has anything.
    """
    people, total = counts.sum(-1), sums.sum(-1)
    rank = 2.0 * counts.cumsum(-1) - counts - people[..., None]
    below = people * total
    return np.divide((rank * sums).sum(-1), below, out=np.full(people.shape, np.nan), where=below > 0)
