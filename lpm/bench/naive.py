"""Naive JAX: one gather along the arcs and one segment sum, float states, keys of `jax.random`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.network import Network


def steps_of(task: str, network: Network) -> Callable[[], Callable[[int], None]]:
    """Return what makes a fresh state and the step from it, for "sir", "ic" and "hk"."""
    size = network.size
    rows = jnp.asarray(np.repeat(np.arange(size, dtype=np.int32), network.degrees()))
    indices = jnp.asarray(network.indices)

    def total(values: Any, rows: Any) -> Any:
        return jax.ops.segment_sum(values, rows, size)

    @jax.jit
    def epidemic(state: Any, key: Any, rows: Any, indices: Any) -> Any:
        chance = 1 - 0.95 ** total((state == 1)[indices].astype(jnp.float32), rows)
        first, second = jax.random.split(key)
        infected = (state == 0) & (jax.random.uniform(first, (size,)) < chance)
        leave = 0.1 if task == "sir" else 1.0
        gone = (state == 1) & (jax.random.uniform(second, (size,)) < leave)
        return jnp.where(infected, 1, jnp.where(gone, 2, state))

    @jax.jit
    def opinions(state: Any, key: Any, rows: Any, indices: Any) -> Any:
        other = state[indices]
        near = jnp.abs(other - state[rows]) < 0.2
        return (state + total(jnp.where(near, other, 0), rows)) / (1 + total(near.astype(jnp.float32), rows))

    chance = np.random.default_rng(3)
    share = {"sir": 0.01, "ic": 0.001, "hk": 0.0}[task]
    first = chance.random(size, dtype=np.float32) if task == "hk" else (chance.random(size) < share).astype(np.int32)

    def fresh() -> Callable[[int], None]:
        state = [jnp.asarray(first)]

        def step(number: int) -> None:
            move = opinions if task == "hk" else epidemic
            state[0] = jax.block_until_ready(move(state[0], jax.random.key(number), rows, indices))

        return step

    return fresh
