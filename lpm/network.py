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

from lpm.errors import InputError
from lpm.types import Array, HostArray

LIMIT = 2**31 - 1
"""Row ends are 32-bit and local to a shard; more arcs than this on one shard is an error (design, invariant 4)."""


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


def _width(degrees: HostArray) -> int:
    """Return the block width whose padded gathers and block sums cost least (a block sum costs about two gathers)."""
    costs = {width: float((-(-degrees // width)).sum()) * (width + 2) for width in (2, 4, 8)}
    return min(costs, key=lambda width: costs[width])


def layout(
    network: Network, shards: int = 1, padded: int | None = None, home: bool = False, width: int | None = None
) -> Layer:
    """Return the device layout of a whole network.

    Args:
        network: All rows (`low` = 0, `rows` = `size`).
        shards: Number of devices; the arrays are then stacked shard by shard along the first axis.
        padded: Number of agents after padding to a multiple of `shards`.
        home: See `Layer`.
        width: Arcs of a block; None = what XLA sums fastest, 1 = plain compressed rows, for loops that walk rows.

    Returns:
        A `Layer` of numpy arrays; with several shards its `rows` is that of one shard.

    Raises:
        InputError: More than 2^31 - 1 arcs on one shard.
    """
    total = network.size if padded is None else padded
    local = total // shards
    degrees = np.zeros(total, np.int64)
    degrees[: network.size] = network.degrees()
    if width is None:
        width = _width(degrees) if not network.complete else 2
    blocks = -(-degrees // width)
    ends = np.concatenate([[0], np.cumsum(blocks)])
    per_shard = np.diff(ends[::local][: shards + 1])
    most = int(per_shard.max()) if shards > 1 else int(ends[-1])
    if most * width > LIMIT:
        raise InputError(f"network: {most * width} arc slots on one shard, the most is {LIMIT}; use more devices")
    sources = np.full((shards * most, width), total, np.int32)
    receivers = np.full(shards * most, local, np.int32)
    starts = np.zeros((shards, local + 1), np.int32)
    columns = {name: np.zeros((shards * most, width), values.dtype) for name, values in network.columns.items()}
    for shard in range(shards):
        first, last = shard * local, min((shard + 1) * local, network.size)
        base, here = ends[first], slice(shard * most, shard * most + int(ends[(shard + 1) * local] - ends[first]))
        starts[shard] = ends[first : first + local + 1] - base
        receivers[here] = np.repeat(np.arange(local, dtype=np.int32), blocks[first : first + local])
        if last <= first:
            continue
        arcs = slice(int(network.indptr[first]), int(network.indptr[last]))
        slots = _slots(network.indptr[first : last + 1], starts[shard], width)
        sources[here].reshape(-1)[slots] = network.indices[arcs]
        for name, values in network.columns.items():
            columns[name][here].reshape(-1)[slots] = values[arcs]
    if network.complete:
        rate = float(network.facts["contacts"]) / max(network.size - 1, 1)
        columns = {"rate": np.full(shards, rate, np.float32)}
    arrays: Any = {
        "sources": sources, "receivers": receivers, "starts": starts.reshape(-1), "columns": columns,
        "scale": np.ones(shards, np.float32),
    }  # fmt: skip
    mutual = width == 1 and shards == 1 and not network.complete and _mutual(network)
    return Layer(**arrays, size=total, rows=local, shards=shards, complete=network.complete, home=home, mutual=mutual)


def _mutual(network: Network) -> bool:
    """Return whether every arc has its reverse; asked only for rows that loops walk."""
    from lpm.ops.loops.neighbours import is_mutual

    return bool(is_mutual(network.indptr, network.indices))


def _slots(indptr: HostArray, starts: HostArray, width: int) -> HostArray:
    """Return the slot of every arc: block start of its row times the width, plus its rank in the row."""
    degrees = np.diff(indptr)
    first = starts[: len(degrees)].astype(np.int64) * width - (indptr[:-1] - indptr[0])
    return np.repeat(first, degrees) + np.arange(int(degrees.sum()))


def one_layer(networks: Mapping[str, Any], kernel: str) -> Any:
    """Return the only layer (or its ties) that a kernel was given.

    Raises:
        InputError: None, or several.
    """
    if len(networks) != 1:
        raise InputError(f"kernel '{kernel}': expected one layer, got {', '.join(networks) or 'none'}")
    return next(iter(networks.values()))
