"""Rows that are spread over the processes of a run: one process's piece, all of them together, and as orbax has them.

Process p of n holds the agents p k to (p + 1) k with k = ceil(size / n), in outside order; fewer where they end. In an
ordinary run the one process holds all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm import cluster
from lpm.types import HostArray

AXIS = "processes"
"""Name of the mesh axis over which whole rows are exchanged: one device of the CPU in each process."""


@dataclass(frozen=True)
class Piece:
    """This process's rows of an array that is spread over processes.

    Attributes:
        values: [rows here, ...].
        size: Rows of the whole array.
    """

    values: HostArray
    size: int

    @property
    def dtype(self) -> Any:
        """Its dtype."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return (self.size, *self.values.shape[1:])


def bounds(size: int, process: int | None = None, processes: int | None = None) -> tuple[int, int]:
    """Return the first agent of a process and the one after its last.

    Args:
        size: Number of agents.
        process: Which process; None = this one.
        processes: How many there are; None = those of this run.
    """
    number = cluster.index() if process is None else process
    each = -(-size // (cluster.count() if processes is None else processes))
    return min(number * each, size), min((number + 1) * each, size)


def whole_of(piece: Piece) -> HostArray:
    """Return all rows [size, ...] on every process, in outside order; all processes call it together."""
    if cluster.count() == 1:
        return piece.values
    import jax

    together = _replicated()(spread(piece))
    jax.block_until_ready(together)
    return np.asarray(together.addressable_data(0))[: piece.size]


def spread(piece: Piece) -> Any:
    """Return the rows as an array over all processes, each with its own; rows of nobody at the end are 0."""
    import jax

    each, here = -(-piece.size // cluster.count()), len(piece.values)
    values = piece.values
    if here < each:
        values = np.concatenate([values, np.zeros((each - here, *values.shape[1:]), values.dtype)])
    return jax.make_array_from_process_local_data(sharding(), values, (each * cluster.count(), *values.shape[1:]))


def target(like: Piece) -> Any:
    """Return what orbax is to read: the rows of an array that is spread over the processes of this run."""
    import jax

    shape = (-(-like.size // cluster.count()) * cluster.count(), *like.shape[1:])
    return jax.ShapeDtypeStruct(shape, like.dtype, sharding=sharding())


def own(array: Any, size: int) -> Piece:
    """Return this process's piece of an array of at least `size` rows, as `spread` makes them or on the host."""
    low, high = bounds(size)
    values = array if isinstance(array, np.ndarray) else array.addressable_data(0)
    return Piece(np.asarray(values)[: high - low], size)


def here(array: Any) -> HostArray:
    """Return this process's part of an array of the devices, [batch, rows here, ...]; all of it in an ordinary run."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[1].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards], axis=1)


def onto(values: Any, like: Any) -> Any:
    """Return values, this process's part of them, on the devices as another array is."""
    import jax

    if values is like:
        return like
    if like.is_fully_addressable:
        return jax.device_put(values, like.sharding)
    return jax.make_array_from_process_local_data(like.sharding, np.asarray(values), like.shape)


def sharding() -> Any:
    """Return how rows lie: the first CPU device of every process holds that process's."""
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    return NamedSharding(_mesh(), P(AXIS))


@functools.lru_cache(maxsize=1)
def _mesh() -> Any:
    import jax
    from jax.sharding import Mesh

    first: dict[int, Any] = {}
    for device in jax.devices("cpu"):
        first.setdefault(device.process_index, device)
    return Mesh(np.array([first[number] for number in sorted(first)]), (AXIS,))


@functools.lru_cache(maxsize=1)
def _replicated() -> Any:
    import jax
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    return jax.jit(lambda rows: rows, out_shardings=NamedSharding(_mesh(), P()))
