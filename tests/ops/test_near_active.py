"""Few active agents: loops that look near them only give the sums over everybody's arcs, to the last bit.

No chance: fixed seeds, and exact integers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.network import Network, layout
from lpm.ops import dispatch
from lpm.ops.dispatch import using
from lpm.ops.neighbours import sum_neighbours

pytestmark = pytest.mark.skipif(bool(dispatch.unavailable("numba")), reason="loops do not work here")

SIZE = 20_011


@functools.cache
def network() -> Network:
    """Return three ties an agent on average, in both directions, some of them double, with a number of an arc's own."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, SIZE, (2, 3 * SIZE))
    a, b = (np.concatenate([end[a != b], end[a != b][:4_000]]) for end in (a, b))
    row, source = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.argsort(row, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=SIZE))])
    own = rng.integers(1, 100, len(row)).astype(np.uint16)
    return Network(SIZE, starts, source[order].astype(np.int32), columns={"intensity": own})


Edge = Callable[[Any, Any, Any], Any]
EDGES: dict[str, tuple[Edge, bool]] = {
    "flags": (lambda s, r, c: s["flag"], False),
    "values": (lambda s, r, c: s["value"].astype(jnp.int32) * 3, False),
    "both ends": (lambda s, r, c: jnp.where(s["flag"], s["value"].astype(jnp.int32) + r.astype(jnp.int32), 0), True),
    "arcs": (lambda s, r, c: s["flag"].astype(jnp.int32) * c["intensity"].astype(jnp.int32), False),
    "floats": (lambda s, r, c: s["value"].astype(jnp.float32) * r.astype(jnp.float32) * 0.002, True),
}
"""Edge functions, and whether they look at the receiver."""


@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("name", EDGES)
def test_sums_near_few_active_agents_are_those_over_all_arcs(name: str, ruled: bool):
    """From nobody over a few, of whom two are next to one agent and two to each other, to many."""
    edge, both = EDGES[name]
    made, rng = network(), np.random.default_rng(8)
    layer = layout(made, width=1)
    assert layer.mutual
    row, source = np.repeat(np.arange(SIZE), made.degrees()), made.indices
    z, where = rng.integers(1, 200, SIZE).astype(np.uint8), rng.random(SIZE) < 0.7
    hub = int(np.argmax(made.degrees()))
    chosen = np.unique([*source[row == hub], *rng.integers(0, SIZE, 30), hub])

    @jax.jit
    def found(layer: Any, flag: Any, value: Any, z: Any, where: Any) -> Any:
        then = (lambda sums, own: jnp.where(sums > 0, sums + own.astype(sums.dtype), 0)) if ruled else None
        return sum_neighbours(
            layer, edge, {"flag": flag, "value": value}, z if both else None, where=where, then=then,
            own=z if ruled else None, sparse=True,
        )  # fmt: skip

    for active in ([], [SIZE - 1], chosen, rng.integers(0, SIZE, 3_000)):
        flag = np.zeros(SIZE, bool)
        flag[active] = True
        value = np.where(flag, rng.integers(1, 250, SIZE), 0).astype(np.uint8)
        theirs, ours = {"flag": flag[source], "value": value[source]}, z[row]
        with using("numba"):
            told = np.asarray(found(layer, flag, value, z, where))
        terms = np.asarray(edge(jax.tree.map(jnp.asarray, theirs), jnp.asarray(ours), {
            "intensity": jnp.asarray(made.columns["intensity"])}))  # fmt: skip
        if terms.dtype == np.float32:
            fixed = np.zeros(SIZE, np.int64)
            np.add.at(fixed, row, np.rint(terms.astype(np.float64) * 2**24).astype(np.int64))
            sums = fixed.astype(np.float32) * np.float32(2.0**-24)
        else:
            sums = np.bincount(row, terms, SIZE).astype(np.int32)
        if ruled:
            sums = np.where(sums > 0, sums + z.astype(sums.dtype), 0)
        assert np.array_equal(told, np.where(where, sums, 0)), len(active)
