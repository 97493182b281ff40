"""The events of the co-evolving voter, one after the other; see `lpm.ops.coevolution`, whose lists these are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numba
import numpy as np

from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.random import GOLDEN, M0, M1, M2, M3, M4, MASK, Key
from lpm.types import Array

if TYPE_CHECKING:
    from lpm.ops.coevolution import Acts, Society

FIRST, SECOND, THIRD, FOURTH, FIFTH = (np.uint32(m) for m in (M0, M1, M2, M3, M4))
TWO_WORDS = np.uint32(2 * GOLDEN & MASK)


def coevolve(
    begun: Society, here: Array, acts: Acts, people: tuple[Array, Array], key: Key, simple: bool
) -> tuple[Array, Array, Array]:
    """Return groups, owners and whether a tie moved: see `lpm.ops.coevolution`."""
    lists = (begun.group, begun.owner, begun.first, begun.after, begun.before, begun.degree, begun.holders, begun.seen)
    made = [jax.ShapeDtypeStruct(each.shape, jnp.int32) for each in lists]
    numbers = jnp.stack([acts.count, people[1], jnp.int32(simple)]).astype(jnp.int32)
    given = (*lists, here, acts.agents, acts.rewires, acts.picks, people[0], key.words, numbers)
    group, owner, *_, changed = call(_events, [*made, jax.ShapeDtypeStruct((1,), jnp.int32)], *given)
    return group, owner, changed[0] > 0


def _events(text: str) -> Callable[..., None]:
    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        if part > 0:
            return
        group, owner = result(frame, 0, np.int32), result(frame, 1, np.int32)
        first, after, before = result(frame, 2, np.int32), result(frame, 3, np.int32), result(frame, 4, np.int32)
        degree, holders = result(frame, 5, np.int32), result(frame, 6, np.int32)
        seen, changed = result(frame, 7, np.int32), result(frame, 8, np.int32)
        group[:], owner[:] = operand(frame, 0, np.int32), operand(frame, 1, np.int32)
        first[:], after[:] = operand(frame, 2, np.int32), operand(frame, 3, np.int32)
        before[:], degree[:] = operand(frame, 4, np.int32), operand(frame, 5, np.int32)
        holders[:], seen[:] = operand(frame, 6, np.int32), operand(frame, 7, np.int32)
        changed[0] = 0
        here, agents = operand(frame, 8, np.uint8), operand(frame, 9, np.int32)
        rewires, picks = operand(frame, 10, np.uint8), operand(frame, 11, np.uint32)
        order, words = operand(frame, 12, np.int32), operand(frame, 13, np.uint32)
        count, number, simple = operand(frame, 14, np.int32)
        none = len(after) - 1
        for e in range(count):
            i = agents[e]
            own, moving = group[i], rewires[e] != 0
            pick = np.int64((np.uint64(picks[e]) * np.uint64(degree[i])) >> np.uint64(32))
            arc, turn, chosen, alike = first[i], 0, none, 0
            while arc < none and (moving or turn <= pick):
                other = owner[arc ^ 1]
                if here[other] != 0 and group[other] == own:
                    alike += 1
                seen[other] = e
                if turn == pick:
                    chosen = arc
                turn += 1
                arc = after[arc]
            if chosen == none:
                continue
            moved = chosen ^ 1
            j = owner[moved]
            if here[j] == 0:
                continue
            if not moving:
                holders[own] -= 1
                group[i] = group[j]
                holders[group[i]] += 1
                continue
            if simple == 0:
                alike = 0
            if holders[own] - 1 - alike <= 0:
                continue
            tried = np.uint32(0)
            k = -1
            while k < 0:
                draw = two_words(words, np.uint32(e), tried)
                found = order[np.int64((np.uint64(draw) * np.uint64(number)) >> np.uint64(32))]
                if group[found] == own and found != i and (simple == 0 or seen[found] != e):
                    k = found
                tried = np.uint32(tried + np.uint32(1))
            back, forth = before[moved], after[moved]
            if back == none:
                first[j] = forth
            else:
                after[back] = forth
            if forth != none:
                before[forth] = back
            then = first[k]
            after[moved], before[moved], first[k] = then, none, moved
            if then != none:
                before[then] = moved
            owner[moved] = k
            degree[j] -= 1
            degree[k] += 1
            changed[0] = 1

    return work


@numba.njit(inline="always")
def mixed(x: Any, multiplier: Any) -> Any:
    """Return X(x, multiplier) of `lpm.random`; every operation is cast back to 32 bits, as numba widens them."""
    y = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * multiplier)
    return np.uint32(y ^ (y >> np.uint32(15)))


@numba.njit(inline="always")
def two_words(key: Any, one: Any, other: Any) -> Any:
    """Return `lpm.random.bits` of two words: the last is absorbed first."""
    a, b = key[0], np.uint32(key[1] + TWO_WORDS)
    a = mixed(np.uint32(a ^ other), FIRST)
    b = mixed(np.uint32(b + a), SECOND)
    a = np.uint32(a + b)
    a = mixed(np.uint32(a ^ one), FIRST)
    b = mixed(np.uint32(b + a), SECOND)
    a = np.uint32(a + b)
    a = mixed(np.uint32(a ^ key[2]), THIRD)
    b = mixed(np.uint32(np.uint32(b ^ key[3]) + a), FOURTH)
    c = np.uint32(np.uint32(a + b) * FIFTH)
    return np.uint32(c ^ (c >> np.uint32(16)))
