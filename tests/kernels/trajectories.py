"""What the tests of kernels share: run one kernel from given columns, and the words of its keys for an oracle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from lpm import random
from lpm.network import Network
from lpm.ops.collective import AXIS
from lpm.simulation import State

from ..conftest import Small, carried

HostArray = np.ndarray[Any, Any]


def trajectory(
    kernel: str,
    network: Network,
    given: dict[str, Any],
    stops: list[int],
    *,
    seed: int = 1,
    shards: int = 1,
    dt: float = 1.0,
    **values: Any,
) -> list[dict[str, Any]]:
    """Return the columns [size] after each number of steps in `stops` (ascending), from the columns given."""
    size = len(next(iter(given.values())))
    made = Small(kernel, network, size, (), steps=stops[-1], shards=shards, dt=dt)
    member = made.member(seed=seed, arm=0, **values)
    more = made.agents["id"].shape[0] - size
    wide = {n: np.concatenate([v, np.zeros((more, *np.shape(v)[1:]), np.asarray(v).dtype)]) for n, v in given.items()}
    begun: Any = {n: np.asarray(v)[None] for n, v in made.agents.items()}
    if not {column.name for column in made.kernel.columns} <= set(given):
        begun = made.simulation.start(made.agents, member).agents
    columns = {**begun, **{n: v[None] for n, v in wide.items()}}
    placed = jax.device_put(columns, NamedSharding(made.simulation.mesh, P(None, AXIS)))
    last = jax.device_put(carried(made.simulation.model, columns), NamedSharding(made.simulation.mesh, P()))
    state: Any = State(placed, {}, {}, last)
    found: list[dict[str, Any]] = []
    at = 0
    for stop in stops:
        state, _ = made.simulation.advance(state, member, made.world, at, stop - at)
        found.append({name: np.asarray(column)[0, :size] for name, column in state.agents.items()})
        at = stop
    return found


def key_of(kernel: str, step: int, purpose: str, seed: int = 1) -> random.Key:
    """Return the key that an instance named as its kernel has for a purpose."""
    return random.purpose(random.at_step(random.instance(random.root(seed), kernel), step), purpose)


def words_of(key: random.Key) -> tuple[int, int, int, int]:
    """Return a key's words for `lpm.random.scalar_bits`."""
    first, second, third, fourth = (int(word) for word in np.asarray(key.words))
    return first, second, third, fourth


def drawn(kernel: str, step: int, purpose: str, *words: Any, seed: int = 1) -> HostArray:
    """Return the draws uint32 of some words under that key."""
    given = [jnp.asarray(word, jnp.uint32) for word in words]
    return np.asarray(random.bits(key_of(kernel, step, purpose, seed), *given))


def cliques(size: int, copies: int) -> Network:
    """Return disjoint complete graphs of `size` agents each."""
    rows = np.arange(size * copies)[:, None]
    others = np.arange(size - 1)[None, :]
    inside = others + (others >= rows % size)  # everybody in the clique but oneself
    indices = (rows // size * size + inside).astype(np.int32)
    return Network(size * copies, np.arange(size * copies + 1) * (size - 1), indices.reshape(-1)).check("test")


def tie_priority(words: tuple[int, int, int, int], i: int, j: int) -> int:
    """Return the priority of a tie as `lpm.ops.matching` has it, in Python integers."""
    tokens = sum(random.scalar_bits(words, (agent, 0)) | 1 for agent in (i, j)) & random.MASK
    mixed = random.scalar_mix(random.scalar_mix(tokens, random.M0), random.M1)
    return min(mixed, random.MASK - 1)
