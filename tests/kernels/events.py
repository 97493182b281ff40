"""The events of a random-sequential step in plain Python: what oracles of kernels share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.network import Network


def rows_of(network: Network) -> list[Any]:
    """Return whom each agent can meet: its neighbours, or everybody else."""
    if network.complete:
        return [np.delete(np.arange(network.size), i) for i in range(network.size)]
    return np.split(network.indices, network.indptr[1:-1])


def events(
    kernel: str, step: int, size: int, per_agent: float, names: Sequence[str], seed: int = 1
) -> Iterator[dict[str, int]]:
    """Yield the draws of every event of a step by purpose; "pick" is that of the first neighbour."""
    key = random.at_step(random.instance(random.root(seed), kernel), step)
    whole = int(per_agent)
    chance = int(np.asarray(random.bits(random.purpose(key, "number"), 0))) >> 8
    rest = int(np.floor(size * (per_agent - whole) + chance / 2**24))
    for turn in range(whole + (rest > 0)):
        named = random.at_step(key, turn) if turn else key
        number = jnp.arange(size, dtype=jnp.uint32)
        words = {name: (number, 0) if name == "pick" else (number,) for name in names}
        drawn = {name: np.asarray(random.bits(random.purpose(named, name), *words[name])) for name in names}
        for e in range(size if turn < whole else rest):
            yield {name: int(values[e]) for name, values in drawn.items()}


def pair_of_tie(rows: list[Any], draw: int) -> tuple[int, int]:
    """Return the arc that a draw points at, all arcs being as likely, in the order of agents."""
    ends = np.cumsum([len(row) for row in rows])
    arc = draw * int(ends[-1]) >> 32
    i = int(np.searchsorted(ends, arc, side="right"))
    return i, int(rows[i][arc - (ends[i] - len(rows[i]))])


def pair_of_agent(rows: list[Any], agent: int, pick: int) -> tuple[int, int]:
    """Return an agent drawn uniformly and one of its neighbours; -1 where it has none."""
    i = agent * len(rows) >> 32
    return i, int(rows[i][pick * len(rows[i]) >> 32]) if len(rows[i]) else -1


def star(leaves: int) -> Network:
    """Return a hub, agent 0, and its leaves."""
    indptr = np.concatenate([[0, leaves], leaves + 1 + np.arange(leaves)])
    indices = np.concatenate([1 + np.arange(leaves), np.zeros(leaves)]).astype(np.int32)
    return Network(leaves + 1, indptr, indices).check("test")
