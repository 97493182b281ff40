"""Matching on ties: random disjoint pairs of neighbours, the encounter of pairwise models on a network.

Every tie {i, j} has a priority hashed from the unordered pair of outside ids. In a round each free agent proposes along
its tie of best priority to a free neighbour, and those who propose to each other are matched. The pairs of k rounds are
the first pairs of the greedy matching that takes ties in order of priority, so that a tie is matched only by its own
priority and those around it, on any number of devices and in any order of agents.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.network import Layer
from lpm.ops.collective import AXIS, gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.random import Key, bits
from lpm.types import Array

ROUNDS = 3
"""Rounds of proposals: on Erdős–Rényi ties of mean degree 10 one pairs 50 % of agents, two 72, three 84, all 91."""


def match_ties(layer: Layer, key: Key, ids: Array, present: Array, rounds: int = ROUNDS) -> Array:
    """Return int32 [rows], each agent's partner (a position among all agents), -1 without one.

    A tie is an arc in both directions; an agent that proposes along an arc that has no way back stays alone.

    Args:
        layer: Who is tied to whom; a row's arcs are in ascending order of outside ids, which breaks equal priorities.
        key: Names the draws of this matching.
        ids: uint32 [rows], outside ids, this shard's part.
        present: bool [rows]; absent agents get no partner.
        rounds: Rounds of proposals.

    Raises:
        InputError: Complete mixing, which stores no ties; `lpm.ops.pairs.match_pairs` is for that.
    """
    if layer.complete:
        raise InputError("match ties: a layer of complete mixing stores no ties; pairs of everybody are match_pairs")
    whole = layer.shards > 1 and layer.replicated
    everyone = gather_rows(ids, layer.shards)
    own_ids = everyone if whole else ids
    split = layer.shards > 1 and not whole
    first = jax.lax.axis_index(AXIS) * layer.rows if split else 0
    me = first + jnp.arange(layer.rows, dtype=jnp.int32)
    propose = implementation("matching")(layer, key, everyone, own_ids)
    free = gather_rows(present, layer.shards)
    partner = jnp.full(layer.rows, -1, jnp.int32)
    for _ in range(rounds):
        proposal = propose(free, free[me])
        proposals = gather_rows(proposal, layer.shards) if split else proposal
        asked = jnp.minimum(proposal, layer.size - 1)
        mutual = (proposal < layer.size) & (proposals.at[asked].get(mode="promise_in_bounds") == me)
        partner = jnp.where(mutual, proposal, partner)
        taken = gather_rows(mutual, layer.shards) if split else mutual
        free = free & ~taken
    return own_rows(partner, layer.shards) if whole else partner


@implement("matching", "numba")
def _proposals_by_loop(layer: Layer, key: Key, everyone: Array, own: Array):
    from lpm.ops.loops.matching import proposals

    return proposals(layer, key, everyone, own)


@implement("matching", "xla")
def _proposals(layer: Layer, key: Key, everyone: Array, own: Array):
    """Return a function of (free agents, free rows) that gives int32 [rows], whom each row proposes to; size = nobody.

    Args:
        layer: The layer.
        key: Names the draws.
        everyone: uint32 [size], outside ids.
        own: uint32 [rows], those of the rows that the layer holds.
    """
    none = jnp.uint32(0xFFFF_FFFF)
    theirs = jnp.append(everyone, jnp.uint32(0)).at[layer.sources].get(mode="promise_in_bounds")
    ours = jnp.append(own, jnp.uint32(0)).at[layer.receivers].get(mode="promise_in_bounds")[:, None]
    # the worst priority is never a tie's own, so that it can stand for no tie
    rank = jnp.minimum(bits(key, jnp.minimum(theirs, ours), jnp.maximum(theirs, ours)), none - 1)
    rank = jnp.where((layer.sources < layer.size) & (theirs != ours), rank, none)
    slots = layer.sources.size
    slot = jnp.arange(slots, dtype=jnp.int32).reshape(layer.sources.shape)
    flat = layer.sources.reshape(-1)

    def least(values: Array) -> Array:
        return jax.ops.segment_min(values.min(1), layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]

    def propose(free: Array, here: Array) -> Array:
        open_ = jnp.append(free, False).at[layer.sources].get(mode="promise_in_bounds")
        wanted = jnp.where(open_, rank, none)
        best = least(wanted)
        block = jnp.append(best, none).at[layer.receivers].get(mode="promise_in_bounds")[:, None]
        chosen = least(jnp.where(wanted == block, slot, slots))
        some = here & (best < none)
        at = jnp.where(some, jnp.minimum(chosen, slots - 1), 0)
        return jnp.where(some, flat.at[at].get(mode="promise_in_bounds"), layer.size)

    return propose
