"""Networks: who can influence whom.

On the host a layer is a `Network`, compressed sparse rows by receiving agent. On the device it is a `Layer`: the same
rows cut into blocks of a few arcs (2, 4 or 8) and padded, because XLA gathers and sums a fixed-width block about four
times faster than it sums ragged rows (13M arcs: 9.7 ms against 39 ms on two cores).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from lpm import cluster
from lpm.buckets import LIMIT as LIMIT
from lpm.buckets import Rows, best_width, buckets_of, rows_of, stacked
from lpm.errors import InputError
from lpm.types import Array, HostArray


@dataclass(frozen=True)
class Network:
    """Rows `low` to `high` of a layer over `size` agents, on the host.

    Row r lists the agents that can influence agent `low + r`, in ascending order of their ids; an arc that occurs m
    times means multiplicity m.

    Attributes:
        size: Number of agents of the whole network.
        low: First row held here.
        indptr: int64 [rows + 1], where each row begins and ends in `indices`.
        indices: int32 [arcs], the influencing agent of each arc (a position in the population).
        columns: Edge columns by name, [arcs].
        complete: Everybody meets everybody: no arcs are stored.
        facts: What the report tells about its making.
    """

    size: int
    indptr: HostArray
    indices: HostArray
    low: int = 0
    columns: Mapping[str, HostArray] = field(default_factory=dict[str, HostArray])
    complete: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def rows(self) -> int:
        """Number of rows held here."""
        return len(self.indptr) - 1

    @property
    def arcs(self) -> int:
        """Number of arcs (directed; an undirected tie is two)."""
        return int(self.indices.shape[0])

    def degrees(self) -> HostArray:
        """Return int64 [rows], the number of arcs of each row."""
        return np.diff(self.indptr)

    def check(self, where: str) -> Network:
        """Return self when rows and ends are sound.

        Raises:
            InputError: Row ends that fall, dangling arcs, or edge columns of another length.
        """
        if self.low < 0 or self.low + self.rows > self.size:
            raise InputError(f"{where}: rows {self.low} to {self.low + self.rows} lie outside 0 to {self.size}")
        if self.indptr[0] != 0 or self.indptr[-1] != self.arcs or (np.diff(self.indptr) < 0).any():
            raise InputError(f"{where}: row ends do not rise from 0 to {self.arcs}")
        if self.arcs and (self.indices.min() < 0 or self.indices.max() >= self.size):
            raise InputError(
                f"{where}: dangling edges: agents are 0 to {self.size - 1}, "
                f"an arc names {int(self.indices.min())} or {int(self.indices.max())}"
            )
        for name, values in self.columns.items():
            if values.shape[0] != self.arcs:
                raise InputError(f"{where}.{name}: expected {self.arcs} values, got {values.shape[0]}")
        return self


def join(pieces: Sequence[Network]) -> Network:
    """Return the network whose rows are those of `pieces`, which follow each other.

    Raises:
        InputError: The pieces leave a gap or overlap.
    """
    for before, after in zip(pieces, pieces[1:], strict=False):
        if before.low + before.rows != after.low:
            raise InputError(f"network: a piece ends at row {before.low + before.rows}, the next begins at {after.low}")
    starts = np.cumsum([0] + [piece.arcs for piece in pieces])
    indptr = np.concatenate([pieces[0].indptr[:1], *(p.indptr[1:] + s for p, s in zip(pieces, starts, strict=False))])
    return Network(
        pieces[0].size,
        indptr,
        np.concatenate([p.indices for p in pieces]),
        pieces[0].low,
        {name: np.concatenate([p.columns[name] for p in pieces]) for name in pieces[0].columns},
        pieces[0].complete,
        pieces[0].facts,
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layer:
    """A layer on the device, rows in blocks.

    Attributes:
        sources: int32 [blocks, width], the influencing agents; `size` marks an empty slot.
        receivers: int32 [blocks], local row of the block, ascending; `rows` marks an empty block.
        starts: int32 [rows + 1], first block of each local row (for backends that walk rows).
        columns: Edge columns by name, [blocks, width], 0 in empty slots.
        size: Number of agents of the whole network, padding included.
        rows: Number of rows on this shard.
        shards: Number of devices over which rows are spread; 1 = no collective.
        complete: Everybody meets everybody: no arcs; `columns["rate"]` is the contacts per day with each other agent.
        home: Contacts that go on when a person withdraws from public life (the column `activity` does not touch them).
        mutual: Every arc is known to have its reverse, and one device holds all rows: what an agent influences is what
            its row lists.
        replicated: Every device holds all rows (a dynamic layer): ops compute all of them and keep their own.
        scale: float32 scalar, what policy leaves of the layer's contacts at this step.
        blocks: The same arcs once more, bucket by bucket, for sums that visit the agents of one device after the other;
            None = there are none, and sums look at the values of all agents. See `bucket`.
    """

    sources: Array
    receivers: Array
    starts: Array
    columns: dict[str, Array]
    scale: Array
    size: int = field(metadata={"static": True})
    rows: int = field(metadata={"static": True})
    shards: int = field(default=1, metadata={"static": True})
    complete: bool = field(default=False, metadata={"static": True})
    home: bool = field(default=False, metadata={"static": True})
    replicated: bool = field(default=False, metadata={"static": True})
    mutual: bool = field(default=False, metadata={"static": True})
    blocks: Layer | None = None

    def bucket(self, number: Array) -> Layer:
        """Return a bucket of `blocks`: the arcs of this device's rows from the agents of one device.

        Bucket k of device d holds those from device d + k (and round again), by their rows there. It is a layer of one
        device: `size` and `rows` are both those of one device.

        Args:
            number: int32 scalar, k.
        """
        assert self.blocks is not None
        whole = self.blocks

        def part(values: Array) -> Array:
            stacked = values.reshape(self.shards, -1, *values.shape[1:])
            return jax.lax.dynamic_index_in_dim(stacked, number, keepdims=False)

        columns = {name: part(values) for name, values in whole.columns.items()}
        sources, receivers, starts = part(whole.sources), part(whole.receivers), part(whole.starts)
        return Layer(sources, receivers, starts, columns, self.scale, size=self.rows, rows=self.rows)


def layout(
    network: Network,
    shards: int = 1,
    padded: int | None = None,
    home: bool = False,
    width: int | None = None,
    blocks: bool = True,
) -> Layer:
    """Return the device layout of a network.

    Args:
        network: All rows (`low` = 0, `rows` = `size`); of a run in many processes, those of this one's devices.
        shards: Number of devices, those of all processes; the arrays are stacked shard by shard along the first axis,
            of many processes those of this one.
        padded: Number of agents after padding to a multiple of `shards`.
        home: See `Layer`.
        width: Arcs of a block; None = what XLA sums fastest, 1 = plain compressed rows, for loops that walk rows.
        blocks: On several devices, make `Layer.blocks` too: as much memory again.

    Returns:
        A `Layer` of numpy arrays; with several shards its `rows` is that of one shard.

    Raises:
        InputError: More than 2^31 - 1 arcs on one shard.
    """
    total = network.size if padded is None else padded
    local, held = total // shards, shards // cluster.count()
    own = range(cluster.index() * held, (cluster.index() + 1) * held)
    scale: Any = np.ones(held, np.float32)
    if network.complete:
        rate = float(network.facts["contacts"]) / max(network.size - 1, 1)
        nobody = Rows(np.zeros(local + 1, np.int64), np.zeros(0, np.int32), {})
        arrays: Any = stacked([nobody] * held, total, 2, {}) | {"scale": scale}
        arrays |= {"columns": {"rate": np.full(held, rate, np.float32)}}
        return Layer(**arrays, size=total, rows=local, shards=shards, complete=True, home=home)
    given = (network.indptr, network.indices, network.columns)
    pieces = [rows_of(*given, shard * local - network.low, local) for shard in own]
    if width is None:
        width = best_width(np.concatenate([np.diff(piece.indptr) for piece in pieces]))
    kinds = {name: values.dtype for name, values in network.columns.items()}
    arrays = stacked(pieces, total, width, kinds) | {"scale": scale}
    buckets = None
    if shards > 1 and blocks:
        parts = [
            part for shard, piece in zip(own, pieces, strict=True) for part in buckets_of(piece, shard, shards, local)
        ]
        buckets = Layer(**stacked(parts, local, width, kinds) | {"scale": scale}, size=local, rows=local)
    mutual = width == 1 and shards == 1 and _mutual(network)
    return Layer(**arrays, size=total, rows=local, shards=shards, home=home, mutual=mutual, blocks=buckets)


def _mutual(network: Network) -> bool:
    """Return whether every arc has its reverse; asked only for rows that loops walk."""
    from lpm.ops.loops.neighbours import is_mutual

    return bool(is_mutual(network.indptr, network.indices))


def one_layer(networks: Mapping[str, Any], kernel: str) -> Any:
    """Return the only layer (or its ties) that a kernel was given.

    Raises:
        InputError: None, or several.
    """
    if len(networks) != 1:
        raise InputError(f"kernel '{kernel}': expected one layer, got {', '.join(networks) or 'none'}")
    return next(iter(networks.values()))
