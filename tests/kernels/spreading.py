"""What the tests of diffusion share: draws from the scalar formulas, stacks of members, runs from a given start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.network import Network
from lpm.simulation import Member

from ..conftest import Small

Values = np.ndarray[Any, Any]


def draws(seed: int, kernel: str, step: int | None, purpose: str, size: int) -> Values:
    """Return int64 [size], the draws of agents 0 .. size - 1 by the scalar formulas; no step = those of the start."""
    key = random.scalar_fold(random.STREAM_VERSION, *random.ROOT, seed, 0, 0)
    key = random.scalar_fold(*key, *random.name_words(kernel), random.TAG_INSTANCE)
    if step is not None:
        key = random.scalar_fold(*key, step, 0, random.TAG_STEP)
    key = random.scalar_fold(*key, *random.name_words(purpose), random.TAG_PURPOSE)
    return np.array([random.scalar_bits(key, (agent, 0)) for agent in range(size)], np.int64)


def below(drawn: Values, chance: Values | float) -> Values:
    """Return which draws are below a chance as a share of 2^32 (float64: off from integer thresholds by about 1e-7)."""
    return drawn < np.asarray(chance, np.float64) * 2.0**32


def stack(members: Sequence[Member]) -> Member:
    """Return one batch of members."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *members)


def after(small: Small, members: Member, count: int | None = None, **columns: Values) -> dict[str, Values]:
    """Return the columns [members, agents] after `count` steps from the kernel's start with these columns put in."""
    state = small.simulation.start(small.agents, members)
    batch = len(members.seed)
    given = {
        n: jnp.asarray(np.broadcast_to(v, (batch, *np.shape(v)[-1:])).astype(state.agents[n].dtype))
        for n, v in columns.items()
    }
    state = replace(state, agents={**state.agents, **given})
    done, _ = small.simulation.advance(state, members, small.world, 0, small.steps if count is None else count)
    return {name: np.asarray(column) for name, column in done.agents.items()}


def of_pairs(size: int, pairs: Values) -> Network:
    """Return the network of undirected ties [ties, 2]; a tie that occurs twice keeps its multiplicity."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(both[:, 0], minlength=size))])
    return Network(size, indptr, both[:, 1].astype(np.int32))


def ties_of(network: Network) -> Values:
    """Return int64 [ties, 2], the pairs of an undirected network, the smaller first."""
    receivers = np.repeat(np.arange(network.size), network.degrees())
    upward = network.indices > receivers
    return np.stack([receivers[upward], network.indices[upward]], axis=1)


def groups_of(count: int, members: int) -> Network:
    """Return `count` separate groups in which everybody is tied to everybody."""
    one = np.stack(np.triu_indices(members, 1), axis=1)
    return of_pairs(count * members, (one[None] + members * np.arange(count)[:, None, None]).reshape(-1, 2))


def near(found: Values, expected: float, share: float = 0.0) -> bool:
    """Return whether a mean lies within five standard errors and a share of what is expected."""
    return bool(abs(found.mean() - expected) <= 5 * found.std(ddof=1) / np.sqrt(len(found)) + share * abs(expected))
