"""Running an op: every backend of `lpm.ops.dispatch.table()` on any number of devices, against oracles of the host.

Fixed seeds: a test that passes passes again. A chi-square test fails for a sound op in one of 1e6 choices of the seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from scipy import stats

from lpm import random
from lpm.network import Network, layout
from lpm.ops import dispatch
from lpm.ops.collective import AXIS

RARE = 1e-6
"""False-alarm rate of one chi-square test."""


def on(op: str) -> Any:
    """Run a test once for every backend of an op."""
    return pytest.mark.parametrize("backend", dispatch.table()[op])


def run(
    function: Callable[..., Any], *arguments: Any, backend: str = "xla", shards: int = 1, whole: bool = False
) -> Any:
    """Return what a function of [rows] arrays gives when compiled, its rows spread over devices.

    Args:
        function: Called as function(*arguments, shards).
        *arguments: Pytrees whose leaves are [rows, ...] (blocks first, for layers).
        backend: Forced.
        shards: Devices.
        whole: The result is the same on every device (a sum), and not rows.
    """
    with dispatch.using(backend):
        return jax.tree.map(np.asarray, compiled(function, backend, shards, whole)(*arguments))


@functools.lru_cache(maxsize=16)
def compiled(function: Callable[..., Any], backend: str, shards: int, whole: bool) -> Callable[..., Any]:
    """Return the function, compiled for a backend and so many devices; it is called under that backend only."""

    def body(*parts: Any) -> Any:
        return function(*parts, shards)

    if shards == 1:
        return jax.jit(body)
    mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))
    out = P() if whole else P(AXIS)
    return jax.jit(jax.shard_map(body, mesh=mesh, in_specs=P(AXIS), out_specs=out, check_vma=False))


def draws(count: int, name: str = "test", seed: int = 1) -> np.ndarray[Any, Any]:
    return np.asarray(random.agent_bits(random.purpose(random.root(seed), name), jnp.arange(count, dtype=jnp.uint32)))


def fair(counts: Any, expected: Any) -> bool:
    """Return whether a chi-square test at the rate RARE accepts counts; `expected` is in proportion."""
    seen, like = np.asarray(counts, float), np.asarray(expected, float)
    return stats.chisquare(seen, like * (seen.sum() / like.sum())).pvalue > RARE


def multigraph(mean: float, size: int = 403, seed: int = 0) -> Network:
    """Return random rows with arcs repeated, a fifth of agents isolated and two hubs far wider than a block."""
    generator = np.random.default_rng(seed)
    degrees = generator.poisson(mean, size)
    degrees[generator.random(size) < 0.2] = 0
    degrees[[3, size - 1]] = 100, 257
    indices = [np.sort(generator.integers(0, size, degree)) for degree in degrees]
    arcs = int(degrees.sum())
    columns = {
        "intensity": generator.integers(0, 700, arcs).astype(np.uint16),
        "trust": generator.normal(size=arcs).astype(np.float32),
    }
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    return Network(size, indptr, np.concatenate(indices).astype(np.int32), columns=columns).check("test")


def padded(values: np.ndarray[Any, Any], shards: int) -> np.ndarray[Any, Any]:
    more = -len(values) % shards
    return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])


def laid(network: Network, shards: int) -> Any:
    return layout(network, shards, -(-network.size // shards) * shards)
