"""Ties that change: undirected slots of fixed capacity on the device, and the rows made from them.

A dynamic layer is M slots [M, 2] with an alive mask. Ties are added to dead slots, removed, or moved at one end, by
pure functions that run inside jit; the rows are made again by `refresh`, with two stable counting sorts of fixed size,
and only in steps in which ties changed. Rows are ordered by outside id, so nothing depends on which slot holds a tie.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError
from lpm.network import LIMIT, Layer, Network
from lpm.networks.rows import ends_of
from lpm.ops.sort import counting_sort
from lpm.types import Array, HostArray

WIDTH = 4
"""Arcs of a block of the rows."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ties:
    """A dynamic layer.

    Attributes:
        ends: int32 [slots, 2], the two agents of each tie; what dead slots hold means nothing.
        alive: bool [slots].
        rank: int32 [size], place of each agent in the order of outside ids.
        changed: bool, ties changed since `layer` was made.
        overflow: bool, a tie found no dead slot, now or before: an error of the run.
        layer: The rows as of the last `refresh`.
        simple: Two slots that join the same pair are one tie: `refresh` frees the later slot. False: multiplicity.
    """

    ends: Array
    alive: Array
    rank: Array
    changed: Array
    overflow: Array
    layer: Layer
    simple: bool = field(default=True, metadata={"static": True})

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return int(self.alive.shape[0])

    @property
    def size(self) -> int:
        """Number of agents, padding included."""
        return int(self.rank.shape[0])


def from_network(
    network: Network,
    capacity: int,
    ids: HostArray | None = None,
    padded: int | None = None,
    simple: bool = True,
    home: bool = False,
    where: str = "ties",
    shards: int = 1,
) -> Ties:
    """Return a dynamic layer that begins with the ties of a whole undirected network.

    Args:
        network: All rows; every tie stands in both rows.
        capacity: Number of slots, the most ties that can be alive at once.
        ids: uint32 [size], outside ids; None = positions.
        padded: Number of agents after padding; None = none is padded.
        simple: See `Ties`.
        home: See `lpm.network.Layer`.
        where: Named in errors.
        shards: Number of devices; every one holds all slots and all rows.

    Raises:
        InputError: A complete, directed, weighted or partial network, or more ties than capacity.
    """
    if network.complete or network.columns or network.low or network.rows != network.size:
        raise InputError(f"{where}: expected a whole network of plain ties (not complete, no edge columns)")
    receivers = np.repeat(np.arange(network.size, dtype=np.int64), network.degrees())
    sources = network.indices.astype(np.int64)
    up, down = receivers < sources, receivers > sources
    forth = np.sort(receivers[up] * network.size + sources[up])
    back = np.sort(sources[down] * network.size + receivers[down])
    if not np.array_equal(forth, back) or len(forth) + len(back) != network.arcs:
        raise InputError(f"{where}: expected an undirected network without loops")
    if simple and len(np.unique(forth)) != len(forth):
        raise InputError(f"{where}: expected every pair tied once; simple = false keeps multiplicity")
    if not len(forth) <= capacity <= (LIMIT - network.size * WIDTH) // 2 or capacity < 1:
        raise InputError(f"{where}.capacity: expected at least the network's {len(forth)} ties, got {capacity}")
    size = network.size if padded is None else padded
    ends = np.zeros((capacity, 2), np.int32)
    ends[: len(forth)] = np.stack([forth // network.size, forth % network.size], axis=1)
    rank = np.arange(size, dtype=np.int32)
    if ids is not None:
        rank[np.argsort(ids, kind="stable")] = np.arange(len(ids), dtype=np.int32)
    ties = Ties(
        jnp.asarray(ends),
        jnp.arange(capacity) < len(forth),
        jnp.asarray(rank),
        jnp.asarray(True),
        jnp.asarray(False),
        _empty(size, capacity, home, shards),
        simple,
    )
    return jax.jit(refresh)(ties)


def _empty(size: int, capacity: int, home: bool, shards: int) -> Layer:
    """Return rows without arcs, with the blocks that `capacity` ties need at most: sum of ceil(degree / WIDTH)."""
    blocks = (2 * capacity + min(size, 2 * capacity) * (WIDTH - 1)) // WIDTH
    return Layer(
        jnp.full((blocks, WIDTH), size, jnp.int32),
        jnp.full(blocks, size, jnp.int32),
        jnp.zeros(size + 1, jnp.int32),
        {},
        jnp.ones(1, jnp.float32),
        size=size,
        rows=size,
        shards=shards,
        home=home,
        replicated=True,
    )


def add(ties: Ties, first: Array, second: Array, wanted: Array) -> Ties:
    """Return the layer with ties (first[k], second[k]) added where `wanted`; a tie of an agent to itself is not.

    Args:
        ties: The layer.
        first: int32 [k], one end.
        second: int32 [k], the other end.
        wanted: bool [k].
    """
    wanted = wanted & (first != second)
    count = first.shape[0]
    dead = ~ties.alive
    place = jnp.cumsum(dead, dtype=jnp.int32) - 1  # dead slots are taken in order
    slots = jnp.full(count, ties.capacity, jnp.int32)
    here = jnp.where(dead & (place < count), place, count)
    slots = slots.at[here].set(jnp.arange(ties.capacity, dtype=jnp.int32), mode="drop")
    turn = jnp.cumsum(wanted, dtype=jnp.int32) - 1
    slot = jnp.where(wanted, slots[turn], ties.capacity)
    ends = ties.ends.at[slot].set(jnp.stack([first, second], axis=1).astype(jnp.int32), mode="drop")
    alive = ties.alive.at[slot].set(True, mode="drop")
    full = jnp.any(wanted & (slot == ties.capacity))
    return replace(ties, ends=ends, alive=alive, changed=ties.changed | jnp.any(wanted), overflow=ties.overflow | full)


def remove(ties: Ties, slots: Array) -> Ties:
    """Return the layer without the ties of the slots where `slots` (bool [slots]) holds."""
    gone = ties.alive & slots
    return replace(ties, alive=ties.alive & ~gone, changed=ties.changed | jnp.any(gone))


def touching(ties: Ties, agents: Array) -> Array:
    """Return bool [slots]: the living ties that have an end among `agents` (bool [size])."""
    return ties.alive & (agents[ties.ends[:, 0]] | agents[ties.ends[:, 1]])


def rewire(ties: Ties, slots: Array, end: Array, target: Array) -> Ties:
    """Return the layer with one end of each chosen tie moved to another agent; a tie is never moved onto itself.

    Args:
        ties: The layer.
        slots: bool [slots], which ties move (dead ones do not).
        end: int32 [slots], the end that moves, 0 or 1.
        target: int32 [slots], where it moves to.
    """
    stays = jnp.where(end == 0, ties.ends[:, 1], ties.ends[:, 0])
    moved = ties.alive & slots & (target != stays)
    column = jnp.arange(2, dtype=jnp.int32)[None, :]
    ends = jnp.where(moved[:, None] & (column == end[:, None]), target[:, None].astype(jnp.int32), ties.ends)
    return replace(ties, ends=ends, changed=ties.changed | jnp.any(moved))


def refresh(ties: Ties) -> Ties:
    """Return the layer with its rows made again, if ties changed; else as it is."""
    return jax.lax.cond(ties.changed, _rebuilt, lambda same: same, ties)


def _ordered(ties: Ties) -> tuple[Array, Array, Array, Array]:
    """Return the arcs' order by (receiver, rank of the source), where each row begins in it, receivers and sources.

    Arc 2 s + e lets the other end of slot s reach end e: stable sorts put the slots of one pair in one order in both
    rows; dead arcs go to a last row.
    """
    receivers = jnp.where(ties.alive[:, None], ties.ends, ties.size).reshape(-1)
    sources = ties.ends[:, ::-1].reshape(-1)
    by_source, _ = counting_sort(ties.rank[sources], ties.size)
    by_row, begins = counting_sort(receivers[by_source], ties.size + 1)
    return by_source[by_row], begins, receivers, sources


def ordered_arcs(ties: Ties) -> tuple[Array, Array]:
    """Return the arcs of every agent, those of lower ids first, whatever slots hold them.

    Arc 2 s + e belongs to the agent `ends[s, e]` and leads to the other end of slot s.

    Returns:
        order: int32 [2 slots], arcs by (agent, rank of the other end); those of dead slots last.
        begins: int32 [size + 1], where each agent's arcs begin in `order`, and their number.
    """
    order, begins, _, _ = _ordered(ties)
    return order, begins[: ties.size + 1]


def _rebuilt(ties: Ties) -> Ties:
    """Return the layer with rows made from its slots: a radix sort of the arcs by (receiver, rank of the source)."""
    size, slots = ties.size, ties.capacity
    order, begins, receivers, sources = _ordered(ties)
    row, source = receivers[order], sources[order]
    kept, alive = row < size, ties.alive
    if ties.simple:
        again = kept & jnp.concatenate([jnp.zeros(1, bool), (row[1:] == row[:-1]) & (source[1:] == source[:-1])])
        kept = kept & ~again
        alive = alive.at[jnp.where(again, order // 2, slots)].set(False, mode="drop")
    ends = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(kept, dtype=jnp.int32)])
    starts = ends[begins[: size + 1]]  # arcs of each row, repeated ones left out
    blocks = -(-jnp.diff(starts) // WIDTH)
    firsts = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(blocks, dtype=jnp.int32)])
    inside = jnp.minimum(row, size - 1)
    place = jnp.where(kept, firsts[inside] * WIDTH + ends[:-1] - starts[inside], ties.layer.sources.size)
    filled = jnp.full(ties.layer.sources.size, size, jnp.int32).at[place].set(source, mode="drop")
    total = ties.layer.receivers.shape[0]
    owner = jnp.repeat(jnp.arange(size, dtype=jnp.int32), blocks, total_repeat_length=total)
    receiver = jnp.where(jnp.arange(total) < firsts[-1], owner, size)
    layer = replace(ties.layer, sources=filled.reshape(-1, WIDTH), receivers=receiver, starts=firsts)
    return replace(ties, alive=alive, changed=jnp.zeros_like(ties.changed), layer=layer)


def pairs(ties: Ties) -> HostArray:
    """Return int64 [living ties, 2] on the host: the lower and higher agent of each tie, in ascending order."""
    ends = np.sort(np.asarray(ties.ends)[np.asarray(ties.alive)].astype(np.int64), axis=1)
    return ends[np.lexsort((ends[:, 1], ends[:, 0]))]


def to_network(ties: Ties, size: int | None = None) -> Network:
    """Return the living ties as a network on the host, indices ascending within a row.

    Args:
        ties: The layer.
        size: Number of agents without padding; None = all.
    """
    count = ties.size if size is None else size
    low, high = pairs(ties).T
    receiver, source = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((source, receiver))
    indptr = ends_of(np.bincount(receiver, minlength=count))
    return Network(count, indptr, source[order].astype(np.int32))
