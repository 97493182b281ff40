"""Ties and opinions that change each other, one event after the other: the loop of the co-evolving voter.

Every agent's arcs are a doubly linked list, so that an event costs the degree of the agent who acts, and the search for
somebody of its opinion: agents are drawn until one fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from lpm.ops.dispatch import implement, implementation
from lpm.ops.hazard import scaled_draw
from lpm.random import Key, bits
from lpm.ties import Ties, ordered_arcs
from lpm.types import Array

TRIES = 256
"""Agents that the XLA loop looks at together in the search for one of the same opinion."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Acts:
    """The events of a step in their order.

    Attributes:
        agents: int32 [size], who acts.
        rewires: bool [size], whether it moves a tie (else it copies an opinion).
        picks: uint32 [size], draw of one of its ties, in the order of its list.
        count: int32 scalar, how many of them happen.
    """

    agents: Array
    rewires: Array
    picks: Array
    count: Array


def coevolve(
    ties: Ties, camp: Array, here: Array, acts: Acts, people: tuple[Array, Array], key: Key
) -> tuple[Array, Ties]:
    """Return the opinions of all agents and the ties after the events, one after the other.

    An event picks a tie of its agent i; a tie to an absent agent, or none, ends it. Copying takes over the opinion of
    the other end. Rewiring moves the other end to the first of the agents drawn for this event (draw t is
    `bits(key, event, t)`) that has the opinion of i, is not i, and, where ties are simple, is not tied to i; where
    there is none, nothing happens. A list begins in the order of outside ids; an arc that is moved comes first in it.

    Args:
        ties: The ties as they are.
        camp: int32 [size], all opinions.
        here: bool [size], who is present.
        acts: The events.
        people: int32 [size], all agents, the present first, by outside id; and the number of these.
        key: Names the draws of the search.
    """
    by_camp = jnp.argsort(camp, stable=True)
    steps = jnp.append(jnp.zeros(1, bool), camp[by_camp][1:] != camp[by_camp][:-1])
    group = jnp.zeros(ties.size, jnp.int32).at[by_camp].set(jnp.cumsum(steps, dtype=jnp.int32))
    named = jnp.zeros(ties.size, jnp.int32).at[group].set(camp)
    begun = _society(ties, group, here)
    group, owner, changed = implementation("coevolution")(begun, here, acts, people, key, ties.simple)
    ends = owner[:-1].reshape(-1, 2)
    return named[group[:-1]], replace(ties, ends=ends, changed=ties.changed | changed)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Society:
    """Opinions and ties between two events; every agent's arcs are a doubly linked list.

    Arc 2 s + e belongs to `owner[2 s + e]` and leads to `owner[(2 s + e) ^ 1]`; the last entry of every array takes
    what is not to be kept.

    Attributes:
        group: int32 [size + 1], opinion of each agent as a number below `size`.
        holders: int32 [size + 1], present agents of each opinion.
        owner: int32 [arcs + 1].
        first: int32 [size + 1], first arc of each agent; `arcs` = none.
        after: int32 [arcs + 1], next arc of the same agent.
        before: int32 [arcs + 1], the one before.
        degree: int32 [size + 1].
        seen: int32 [size + 1], the event in which an agent was last found to be a neighbour.
        changed: bool, a tie moved.
    """

    group: Array
    holders: Array
    owner: Array
    first: Array
    after: Array
    before: Array
    degree: Array
    seen: Array
    changed: Array


def _society(ties: Ties, group: Array, here: Array) -> Society:
    """Return what the events of a step begin with."""
    size, arcs = ties.size, 2 * ties.capacity
    order, begins = ordered_arcs(ties)
    degree = jnp.diff(begins)
    place = jnp.arange(arcs, dtype=jnp.int32)
    row = jnp.searchsorted(begins, place, side="right").astype(jnp.int32) - 1
    row = jnp.minimum(row, size)
    last = jnp.append(place[1:] == begins[jnp.minimum(row[:-1] + 1, size)], True)
    living = place < begins[size]
    follows = jnp.where(last | ~living, arcs, jnp.append(order[1:], arcs))
    leads = jnp.where((place == begins[jnp.minimum(row, size)]) | ~living, arcs, jnp.append(arcs, order[:-1]))
    blank = jnp.full(arcs + 1, arcs, jnp.int32)
    none = jnp.zeros(1, jnp.int32)
    return Society(
        group=jnp.append(group, size),
        holders=jnp.zeros(size + 1, jnp.int32).at[jnp.where(here, group, size)].add(1),
        owner=jnp.append(ties.ends.reshape(-1), size),
        first=jnp.append(jnp.where(degree > 0, order[jnp.minimum(begins[:-1], arcs - 1)], arcs), arcs),
        after=blank.at[order].set(follows),
        before=blank.at[order].set(leads),
        degree=jnp.concatenate([degree, none]),
        seen=jnp.full(size + 1, -1, jnp.int32),
        changed=jnp.array(False),
    )


@implement("coevolution", "numba")
def _coevolve_by_loop(
    begun: Society, here: Array, acts: Acts, people: tuple[Array, Array], key: Key, simple: bool
) -> tuple[Array, Array, Array]:
    from lpm.ops.loops.coevolution import coevolve

    return coevolve(begun, here, acts, people, key, simple)


@implement("coevolution", "xla")
def _coevolve(
    begun: Society, here: Array, acts: Acts, people: tuple[Array, Array], key: Key, simple: bool
) -> tuple[Array, Array, Array]:
    """Return int32 [size + 1] groups, int32 [arcs + 1] owners, and whether a tie moved."""
    size, arcs = begun.first.shape[0] - 1, begun.after.shape[0] - 1
    there, (order, number) = jnp.append(here, False), people
    agents, rewires, picks = acts.agents, acts.rewires, acts.picks

    def happen(e: Array, s: Society) -> Society:
        i = agents[e]
        own, pick = s.group[i], scaled_draw(picks[e], s.degree[i])

        def walk(at: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
            arc, turn, chosen, alike, seen = at
            other = s.owner[arc ^ 1]
            alike = alike + (there[other] & (s.group[other] == own))
            return s.after[arc], turn + 1, jnp.where(turn == pick, arc, chosen), alike, seen.at[other].set(e)

        begin = (s.first[i], jnp.int32(0), jnp.int32(arcs), jnp.int32(0), s.seen)
        going = lambda at: (at[0] < arcs) & (rewires[e] | (at[1] <= pick))  # noqa: E731
        _, _, arc, alike, seen = jax.lax.while_loop(going, walk, begin)
        j = jnp.where(arc < arcs, s.owner[jnp.minimum(arc ^ 1, arcs)], size)
        valid = (arc < arcs) & there[j]
        # somebody of the same opinion, not i itself nor, where ties are simple, tied to it
        able = valid & rewires[e] & (s.holders[own] - 1 - (alike if simple else 0) > 0)

        def look(at: tuple[Array, Array]) -> tuple[Array, Array]:
            draws = bits(key, e.astype(jnp.uint32), at[0] + jnp.arange(TRIES, dtype=jnp.uint32))
            found = order[scaled_draw(draws, number)]
            right = (s.group[found] == own) & (found != i)
            right = right & (seen[found] != e) if simple else right
            return at[0] + TRIES, jnp.where(right.any(), found[jnp.argmax(right)], size)

        _, k = jax.lax.while_loop(lambda at: able & (at[1] == size), look, (jnp.uint32(0), jnp.int32(size)))
        s = _moved(replace(s, seen=seen), jnp.where(able, arc ^ 1, arcs), k, able)
        copies = valid & ~rewires[e]
        new = jnp.where(copies, s.group[j], own)
        holders = s.holders.at[own].add(-1).at[new].add(1)
        return replace(s, group=s.group.at[i].set(new), holders=holders)

    s = jax.lax.fori_loop(0, acts.count, happen, begun)
    return s.group, s.owner, s.changed


def _moved(s: Society, arc: Array, target: Array, able: Array) -> Society:
    """Return the society after an arc went from its owner to another agent; arc and target beyond the last: nothing."""
    size, arcs = s.first.shape[0] - 1, s.after.shape[0] - 1
    old = jnp.where(able, s.owner[arc], size)
    before, after = s.before[arc], s.after[arc]
    heads = jnp.where(able & (before == arcs), old, size)
    first = s.first.at[heads].set(after)
    forth = s.after.at[jnp.where(able, before, arcs)].set(after)
    back = s.before.at[jnp.where(able, after, arcs)].set(before)
    then = first[target]
    forth = forth.at[arc].set(jnp.where(able, then, arcs))
    back = back.at[jnp.where(able, then, arcs)].set(arc).at[arc].set(arcs)
    first = first.at[target].set(jnp.where(able, arc, arcs))
    return replace(
        s,
        owner=s.owner.at[arc].set(target),
        first=first,
        after=forth,
        before=back,
        degree=s.degree.at[old].add(-1).at[target].add(1),
        changed=s.changed | able,
    )
