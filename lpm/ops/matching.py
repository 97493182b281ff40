"""Matching on ties: random disjoint pairs of neighbours, the encounter of pairwise models on a network.

Every agent draws a token, and the priority of a tie {i, j} is a hash of the sum of both tokens: the priorities of any
two ties are independent, and an arc costs one look-up. In a round each free agent proposes along its tie of best
priority to a free neighbour, and those who propose to each other are matched. The pairs of k rounds are the first pairs
of the greedy matching that takes ties in order of priority, so that a tie is matched only by its own priority and those
around it, on any number of devices and in any order of agents. Every device holds the token of every agent, and in a
round whom each proposes to (32 bits both), because one's proposal is told by those of one's neighbours.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from lpm.errors import InputError
from lpm.network import LIMIT, Layer
from lpm.ops.collective import AXIS, PLAIN, gather_rows, own_rows
from lpm.ops.dispatch import implement, implementation
from lpm.ops.straight import COSTLY
from lpm.random import M0, M1, Key, agent_bits
from lpm.types import Array

ROUNDS = 3
"""Rounds of proposals: on Erdős–Rényi ties of mean degree 10 one pairs 50 % of agents, two 72, three 84, all 91."""

NONE = 0xFFFF_FFFF
"""Priority of no tie."""


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
    split = layer.shards > 1 and not whole
    first = jax.lax.axis_index(AXIS) * layer.rows if split else 0
    me = first + jnp.arange(layer.rows, dtype=jnp.int32)
    token = jnp.where(present, agent_bits(key, ids) | jnp.uint32(1), jnp.uint32(0))  # odd; 0 = is not to be had
    free = gather_rows(token, layer.shards)
    partner = jnp.full(layer.rows, -1, jnp.int32)
    for _ in range(rounds):
        proposal = implementation("matching")(layer, free, free[me], me)
        proposals = gather_rows(proposal, layer.shards) if split else proposal
        asked = jnp.minimum(proposal, layer.size - 1)
        mutual = (proposal < layer.size) & (proposals.at[asked].get(**PLAIN) == me)
        partner = jnp.where(mutual, proposal, partner)
        taken = gather_rows(mutual, layer.shards) if split else mutual
        free = jnp.where(taken, jnp.uint32(0), free)
    partner = checkpoint_name(partner, COSTLY)
    return own_rows(partner, layer.shards) if whole else partner


@implement("matching", "numba")
def _proposals_by_loop(layer: Layer, free: Array, own: Array, me: Array) -> Array:
    from lpm.ops.loops.matching import proposals

    return proposals(layer, free, own, me)


@implement("matching", "xla")
def _proposals(layer: Layer, free: Array, own: Array, me: Array) -> Array:
    """Return int32 [rows], whom each row proposes to; size = nobody.

    Args:
        layer: The layer.
        free: uint32 [size], tokens, 0 of those who are not to be had.
        own: uint32 [rows], tokens of the rows that the layer holds.
        me: int32 [rows], their positions.
    """
    theirs = jnp.append(free, jnp.uint32(0)).at[layer.sources].get(**PLAIN)
    ours = jnp.append(own, jnp.uint32(0)).at[layer.receivers].get(**PLAIN)[:, None]
    itself = jnp.append(me, jnp.int32(-1)).at[layer.receivers].get(**PLAIN)[:, None]
    mine = (theirs > 0) & (ours > 0) & (layer.sources != itself)
    urgent = jnp.where(mine, priority(theirs, ours), jnp.uint32(NONE))
    least = urgent.min(1)
    place = jnp.argmax(urgent == least[:, None], axis=1).astype(jnp.int32)
    slot = jnp.arange(len(least), dtype=jnp.int32) * layer.sources.shape[1] + place
    with jax.enable_x64(True):  # the best priority, and the first arc that has it, in one pass
        nobody = jnp.int64(NONE << 31)
        wanted = jnp.where(least < NONE, (least.astype(jnp.int64) << 31) | slot, nobody)
        best = jax.ops.segment_min(wanted, layer.receivers, layer.rows + 1, indices_are_sorted=True)[:-1]
        found = best < nobody
        at = jnp.where(found, best & LIMIT, 0).astype(jnp.int32)
    return jnp.where(found, layer.sources.reshape(-1).at[at].get(**PLAIN), layer.size)


def priority(one: Array, other: Array) -> Array:
    """Return the uint32 priority of a tie from both tokens, below 2^32 - 1, which stands for no tie."""
    x = one + other
    for multiplier in (M0, M1):
        x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(multiplier)
        x = x ^ (x >> jnp.uint32(15))
    return jnp.minimum(x, jnp.uint32(0xFFFF_FFFE))
