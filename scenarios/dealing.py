"""Dealing agents to devices, so that every device has as many arcs to walk as any other.

Agents are ranked by their number of arcs over all fixed layers together (ties by their place outside) and dealt in
snake order: to the first device, the second, ..., the last, the last again, and back. On a device they stand in the
order that they have outside, rows of nobody behind them. Of many processes each builds the rows of agents that follow
each other (`lpm.cluster.pieces.bounds`) and deals them among its own devices. A trajectory does not depend on it: draws
belong to ids, and the arcs of a row keep their outside order. What leaves the devices is put back into outside order
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from lpm import cluster
from lpm.cluster import pieces
from lpm.network import Network
from lpm.ops.collective import WORD
from lpm.ties import Ties, refresh
from lpm.types import HostArray


@dataclass(frozen=True)
class Dealing:
    """Where every agent stands.

    Attributes:
        size: Number of agents.
        shards: Number of devices.
        order: int64 [padded], which agent stands at each place; numbers from `size` on are rows of nobody.
        places: int64 [padded], the inverse: where each agent stands.
    """

    size: int
    shards: int
    order: HostArray
    places: HostArray

    @property
    def padded(self) -> int:
        """Number of places, a multiple of `shards`."""
        return len(self.order)

    @property
    def held(self) -> int:
        """Number of places of each process."""
        return self.padded // cluster.count()

    def dealt(self, values: HostArray, fill: Any = 0) -> HostArray:
        """Return [places, ...] from the values [size, ...] of agents in outside order; nobody's are `fill`.

        Of many processes each gets those of its own places.
        """
        low, high = pieces.bounds(self.size)
        return self._placed(values[low:high], fill)

    def _placed(self, values: HostArray, fill: Any = 0) -> HostArray:
        """Return the values of this process's places from those of its agents."""
        if self.shards == 1:
            return values
        low, high = pieces.bounds(self.size)
        here = np.full((self.held, *values.shape[1:]), fill, values.dtype)
        here[self.places[low:high] - cluster.index() * self.held] = values
        return here

    def outside(self, values: HostArray) -> HostArray:
        """Return the values [size, ...] of agents in outside order from those [padded, ...] of places."""
        return values[: self.size] if self.shards == 1 else values[self.places[: self.size]]

    def agents_at(self, places: HostArray) -> HostArray:
        """Return int32, which agent stands at each of some places."""
        return self.order[places].astype(np.int32)

    def places_of(self, agents: HostArray) -> HostArray:
        """Return int32, where each of some agents stands."""
        return self.places[agents].astype(np.int32)

    def everybody(self, columns: Mapping[str, HostArray]) -> dict[str, HostArray]:
        """Return columns of places from those of agents; nobody's rows are absent and weigh nothing."""
        return {name: self.dealt(values) for name, values in columns.items()}

    def moved(self, ties: Ties) -> Ties:
        """Return the ties of a dynamic layer of agents in outside order among places, in the same slots."""
        if self.shards == 1:
            return ties
        rank: Any = np.asarray(ties.rank)[self.order]
        ends: Any = self.places_of(np.asarray(ties.ends))
        return jax.jit(refresh)(replace(ties, ends=ends, rank=rank, changed=np.bool_(True)))

    def spread(self, network: Network) -> Network:
        """Return a network among places; the arcs of a row keep their order, and rows of nobody are empty.

        Args:
            network: All rows; of many processes, those of this one's agents.
        """
        if self.shards == 1 or network.complete:
            return network
        degrees = self._placed(network.degrees())
        indptr = np.concatenate([[0], np.cumsum(degrees)])
        first = self._placed(network.indptr[:-1])
        arcs = np.repeat(first - indptr[:-1], degrees) + np.arange(network.arcs)
        indices = self.places[network.indices[arcs]].astype(np.int32)
        columns = {name: values[arcs] for name, values in network.columns.items()}
        return Network(self.padded, indptr, indices, cluster.index() * self.held, columns, facts=network.facts)


def padded_size(size: int, shards: int, processes: int = 1) -> int:
    """Return the number of places: whole words of bits on every device, where there are several."""
    if shards == 1:
        return size
    most, own = -(-size // processes), shards // processes
    return -(-most // (own * WORD)) * WORD * shards


def deal(degrees: HostArray, shards: int) -> Dealing:
    """Return how agents are dealt to devices.

    Args:
        degrees: int64 [size], number of arcs of each agent.
        shards: Number of devices, those of all processes; one keeps everybody where it is.
    """
    processes = cluster.count()
    size, padded, own = len(degrees), padded_size(len(degrees), shards, processes), shards // processes
    if shards == 1:
        same = np.arange(size)
        return Dealing(size, 1, same, same)
    turn = np.arange(size)
    shard = np.empty(size, np.int64)
    for process in range(processes):
        low, high = pieces.bounds(size, process)
        lap, seat = turn[: high - low] // own, turn[: high - low] % own
        ranked = low + np.argsort(-degrees[low:high], kind="stable")
        shard[ranked] = process * own + np.where(lap % 2 == 0, seat, own - 1 - seat)
    by_shard = np.argsort(shard, kind="stable")
    begins = np.searchsorted(shard[by_shard], np.arange(shards))
    order = np.full(padded, -1, np.int64)
    order[shard[by_shard] * (padded // shards) + turn - begins[shard[by_shard]]] = by_shard
    order[order < 0] = np.arange(size, padded)
    places = np.empty(padded, np.int64)
    places[order] = np.arange(padded)
    return Dealing(size, shards, order, places)
