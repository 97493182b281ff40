"""Loops under `jax.vmap`: every member gets the bits that it gets alone, whatever is shared and however many there are.

No chance: fixed seeds, equality to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm import random
from lpm.network import layout
from lpm.ops import dispatch
from lpm.ops.coevolution import Acts, coevolve
from lpm.ops.loops.drive import SMALL
from lpm.ops.loops.foreign import call
from lpm.ops.loops.frame import operand, result
from lpm.ops.matching import match_ties
from lpm.ops.moves import moves_between_levels
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.pairs import match_pairs
from lpm.ops.pick import pick_neighbour
from lpm.ops.ranks import rank_in_group
from lpm.ops.sample import sample_neighbour
from lpm.ops.sort import counting_sort
from lpm.ties import from_network

from ..conftest import graph
from .running import multigraph

pytestmark = pytest.mark.skipif(bool(dispatch.unavailable("numba")), reason="loops do not work here")

SIZE = 1_501
FEW, MANY = 3, 11
"""Members: fewer than the parts of a stage on two threads, so that a member's rows are cut; and more, an odd number."""


@functools.cache
def ragged() -> Any:
    """Return a layer with edge columns, hubs and empty rows."""
    return layout(multigraph(4.0, SIZE), width=1)


@functools.cache
def mutual() -> Any:
    """Return a layer in which loops look near active agents only."""
    made = layout(graph("erdos-renyi", SIZE, mean_degree=5.0), width=1)
    assert made.mutual
    return made


def floats(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    return sum_neighbours(layer, lambda s, r, c: jnp.where(s > r, s * c["trust"], 0.5), x, x, where=who)


def flags(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    """A packed input, and a rule that closes over a member's number."""
    limit = x[0] * 3

    def then(sums: Any, own: Any) -> Any:
        return sums.astype(jnp.float32) + own > limit

    return sum_neighbours(layer, lambda s, r, c: s, who, then=then, own=x)


def near(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    """Few active in some members, so that rows near them are walked, and many in others."""
    active = who & ((draw >> 8).astype(jnp.float32) < x[1] * 2.0**24)
    return sum_neighbours(layer, lambda s, r, c: s, active, where=who, sparse=True), active


def picked(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    weight = (x * 60).astype(jnp.uint8)
    return pick_neighbour(layer, weight, draw, who, jnp.arange(SIZE, dtype=jnp.uint32))


def matched(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    key = random.Key(draw[:4])
    return match_ties(layer, key, jnp.arange(SIZE, dtype=jnp.uint32), who)


def moved(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    before, cell = (draw >> 30).astype(jnp.uint8), (draw & 3).astype(jnp.int32)
    return moves_between_levels(before, jnp.where(x < 0.3, before ^ 1, before), draw, who, cell, 4, 4)


def coevolved(layer: Any, x: Any, who: Any, draw: Any) -> Any:
    """Ties and the order of people are shared, events and opinions are not."""
    people = jnp.argsort(~who, stable=True).astype(jnp.int32), who.sum(dtype=jnp.int32)
    agents = (draw % SIZE).astype(jnp.int32)
    acts = Acts(agents, x < 0.5, draw, jnp.int32(400))
    camp, after = coevolve(layer, (draw & 7).astype(jnp.int32), who, acts, people, random.Key(draw[:4]))
    return camp, after.ends, after.changed


@functools.cache
def tied() -> Any:
    return from_network(graph("erdos-renyi", SIZE, mean_degree=5.0), 5 * SIZE)


IDS = np.random.default_rng(3).permutation(SIZE).astype(np.uint32)
OPS: dict[str, tuple[Callable[[], Any], Callable[..., Any]]] = {
    "floats": (ragged, floats),
    "flags": (ragged, flags),
    "near": (mutual, near),
    "sample": (ragged, lambda layer, x, who, draw: sample_neighbour(layer, draw)),
    "pick": (ragged, picked),
    "match ties": (mutual, matched),
    "pairs": (lambda: None, lambda layer, x, who, draw: match_pairs(draw >> 22, jnp.asarray(IDS), who)),
    "ranks": (
        lambda: None,
        lambda layer, x, who, draw: rank_in_group(draw >> 22, jnp.asarray(IDS), (draw & 7).astype(jnp.int32), 6),
    ),
    "sort": (lambda: None, lambda layer, x, who, draw: counting_sort((draw & 15).astype(jnp.int32), 16)),
    "moves": (lambda: None, moved),
    "coevolution": (tied, coevolved),
}


def people(members: int) -> list[Any]:
    """Return x, who and draw of so many members; the second number of x is the share of the active."""
    chance = np.random.default_rng(members)
    x = chance.random((members, SIZE)).astype(np.float32)
    x[:, 1] = np.resize([0.0, 0.002, 1.0], members)
    who = chance.random((members, SIZE)) < 0.9
    return [x, who, chance.integers(0, 1 << 32, (members, SIZE), dtype=np.uint32)]


@functools.cache
def compiled(name: str, axes: tuple[int | None, ...] | None) -> tuple[Any, Any]:
    """Return the layer, and the op compiled for one member or a batch."""
    make, op = OPS[name]
    return make(), jax.jit(op if axes is None else jax.vmap(op, in_axes=axes))


def equal(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def stacked(each: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


QUICK = {("floats", FEW), ("near", 1), ("near", FEW)} | {(name, MANY) for name in OPS} - {("coevolution", MANY)}
"""What is tried in the quick suite, where every other case costs a compilation."""


@pytest.mark.parametrize(
    ("name", "members"),
    [
        pytest.param(name, members, marks=() if (name, members) in QUICK else (pytest.mark.full,))
        for name in OPS
        for members in (1, FEW, MANY)
    ],
)
def test_members_get_the_bits_that_they_get_alone(name: str, members: int):
    given = people(members)
    with dispatch.using("numba"):
        layer, alone = compiled(name, None)
        _, together = compiled(name, (None, 0, 0, 0))
        expected = stacked([alone(layer, *(values[i] for values in given)) for i in range(members)])
        assert equal(together(layer, *given), expected)


@pytest.mark.parametrize(
    "name", ["flags", pytest.param("near", marks=pytest.mark.full), pytest.param("moves", marks=pytest.mark.full)]
)
def test_any_operand_may_be_shared(name: str):
    x, who, draw = people(MANY)
    with dispatch.using("numba"):
        layer, alone = compiled(name, None)
        _, together = compiled(name, (None, 0, None, None))
        expected = stacked([alone(layer, x[i], who[0], draw[0]) for i in range(MANY)])
        assert equal(together(layer, x, who[0], draw[0]), expected)


def test_a_network_for_every_member():
    """Rows of as many blocks, drawn anew for each."""
    x, who, draw = (values[:2] for values in people(FEW))
    generator = np.random.default_rng(1)
    own = layout(multigraph(4.0, SIZE), width=1)
    others = generator.integers(0, SIZE, own.sources.shape).astype(np.int32)
    sources = np.stack([own.sources, np.where(np.asarray(own.sources) < SIZE, others, SIZE)])
    with dispatch.using("numba"):

        def op(sources: Any, x: Any, who: Any, draw: Any) -> Any:
            layer = replace(own, sources=sources)
            return floats(layer, x, who, draw), sample_neighbour(layer, draw)

        expected = stacked([jax.jit(op)(sources[i], x[i], who[i], draw[i]) for i in range(2)])
        assert equal(jax.jit(jax.vmap(op))(sources, x, who, draw), expected)


def traced(text: str) -> Callable[..., None]:
    """Return a loop of three stages: parts leave marks, all marks are counted, rows are told what was counted."""

    def work(frame: Any, stage: Any, part: Any, parts: Any) -> None:
        first, second, third = operand(frame, 0, np.int32), operand(frame, 1, np.uint8), operand(frame, 2, np.int64)
        told, marks = result(frame, 0, np.int64), result(frame, 1, np.int32)
        rows = len(first)
        low, high = rows * part // parts, rows * (part + 1) // parts
        if stage == 0:
            for row in range(low, high):
                marks[row] = first[row]
        if stage == 1 and part == 0:
            total = np.int64(0)
            for row in range(rows):
                total += marks[row]
            told[0], told[1] = total, third[0]
        if stage == 2:
            for row in range(low, high):
                told[2 + row] = told[0] + 1_000_000 * np.int64(second[row]) + told[1]

    return work


def marked(first: Any, second: Any, third: Any) -> Any:
    rows = first.shape[0]
    made = [jax.ShapeDtypeStruct((rows + 2,), jnp.int64), jax.ShapeDtypeStruct((rows,), jnp.int32)]
    with jax.enable_x64(True):
        told, marks = call(traced, made, first, second, third, stages=3)
        return told, marks


def expected_marks(first: Any, second: Any, third: Any) -> Any:
    total = first.sum(-1, dtype=np.int64)[..., None]
    rest = np.broadcast_arrays(total + 1_000_000 * second.astype(np.int64) + third, first)[0]
    shape = rest.shape[:-1] + (1,)
    head = [np.broadcast_to(total, shape), np.broadcast_to(third, shape)]
    return np.concatenate([*head, rest], -1), np.broadcast_to(first, rest.shape)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).integers(0, 200, shape)


@pytest.mark.parametrize(
    ("outer", "inner", "rows"),
    [(1, 1, 7), (2, 3, 7), (1, 3, SMALL), (3, 1, SMALL), (2, 1, SMALL), (5, 7, SMALL // 30), (2, 13, SMALL // 20)],
)
def test_batches_of_batches_see_what_is_theirs(outer: int, inner: int, rows: int):
    """One operand by the outer member, one by the inner, one by both: on one thread and on several."""
    with jax.enable_x64(True):
        first, second = numbers(outer, rows).astype(np.int32), numbers(inner, rows).astype(np.uint8)
        third = numbers(outer, inner, 1)
        batch = jax.jit(jax.vmap(jax.vmap(marked, (None, 0, 0)), (0, None, 0)))
        found = jax.tree.map(np.asarray, batch(first, second, third))
        turned = jax.jit(jax.vmap(jax.vmap(marked, (0, None, 0)), (None, 0, 1), 1))
        assert equal(found, expected_marks(first[:, None], second[None], third))
        assert equal(jax.tree.map(np.asarray, turned(first, second, third)), found)


@pytest.mark.parametrize("rows", [1, SMALL, SMALL + 1, 3 * SMALL])
def test_no_batch(rows: int):
    with jax.enable_x64(True):
        given = numbers(rows).astype(np.int32), numbers(rows)[::-1].astype(np.uint8), numbers(1)
        assert equal(jax.tree.map(np.asarray, jax.jit(marked)(*given)), expected_marks(*given))


def test_nobody():
    with jax.enable_x64(True):
        given = np.zeros((0, 5), np.int32), np.zeros(5, np.uint8), np.zeros(1, np.int64)
        told, marks = jax.jit(jax.vmap(marked, (0, None, None)))(*given)
    assert told.shape == (0, 7) and marks.shape == (0, 5)


def test_a_batch_copies_no_shared_operand():
    """One call for all members, the network passed once."""
    x, who, draw = people(MANY)
    with dispatch.using("numba"):
        layer, together = compiled("floats", (None, 0, 0, 0))
        text = together.lower(layer, x, who, draw).compile().as_text()
    arcs = layer.sources.shape[0]
    assert text.count("custom-call(") == 1 and " while(" not in text
    assert f"s32[{MANY},{arcs}" not in text and "copy(" not in text
