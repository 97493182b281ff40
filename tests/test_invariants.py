"""What never breaks, where no part of the engine has a test file of its own for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.kernels.diffusion.contagion import exposed
from lpm.metrics import Metric
from lpm.network import Network, layout
from lpm.ops.dispatch import using
from lpm.random import purpose, root

from .conftest import Small, graph

TWO_STRAINS = """
schema = 1
name = "strains"
steps = 15
seeds = 2
[population]
size = 2000
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 8.0
{kernels}
[metrics]
ill_a = {{ stock = "infectious", column = "state_a" }}
{metrics}
[[arms]]
name = "base"
"""
STRAIN = '[[kernels]]\nkernel = "sir"\nname = "{0}"\nbeta = 0.2\ncolumns = {{ state = "state_{0}" }}\n'


@pytest.mark.full
def test_a_hundred_million_draws_are_the_same_in_loops_and_in_xla():
    """Draws, chances and their comparison inside the shipped loop: 1e8 agents exposed, under as many hazards."""
    size = 1_000_000
    ring = Network(size, np.arange(size + 1), ((np.arange(size) + 1) % size).astype(np.int32))
    layer, here = layout(ring, width=1), jnp.ones(size, bool)
    ids = jnp.arange(size, dtype=jnp.uint32)

    def infected(layer: Any, number: Any, hazard: Any) -> Any:
        key = purpose(root(jnp.stack([number, jnp.uint32(0)])), "move")
        return exposed({"contacts": layer}, here, None, hazard, 1.0, here, key, ids)

    found: dict[str, Any] = {}
    for backend in ("xla", "numba"):
        with using(backend):
            found[backend] = jax.jit(lambda layer, number, hazard: infected(layer, number, hazard))
    happened = 0
    for number in range(100):
        hazard = jnp.asarray(np.random.default_rng(number).exponential(1.0, size).astype(np.float32))
        one, other = (np.asarray(found[backend](layer, jnp.uint32(number), hazard)) for backend in found)
        assert np.array_equal(one, other)
        happened += int(one.sum())
    assert abs(happened / 1e8 - 0.5) < 5e-4  # E[1 - exp(-x)] of an exponential x is 1/2; ten standard errors


def test_row_ends_beyond_32_bits_are_refused():
    arcs = 2**31 + 10
    indices = np.broadcast_to(np.int32(0), (arcs,))
    with pytest.raises(InputError, match="use more devices"):
        layout(Network(2, np.array([0, 2**30, arcs]), indices), width=1)


def test_nothing_grows_with_agents_times_steps():
    """Four times the steps of a chunk need less than a byte an agent more."""
    size, needed = 20_000, list[int]()
    for capacity in (10, 40):
        small = sir(size, capacity)
        needed.append(compiled(small).memory_analysis().temp_size_in_bytes)
    assert abs(needed[1] - needed[0]) < size


def test_networks_and_people_are_arguments():
    """No array of agents or arcs is written into the compiled program."""
    size = 3_000
    small = sir(size, 10)
    constants = [line for line in lowered(small).as_text().splitlines() if "stablehlo.constant" in line]
    listed = [line for line in constants if re.search(r"dense<(\"0x|\[)", line)]
    assert constants
    assert all(max(map(int, re.findall(r"\d+(?=x)", line.rsplit("tensor<")[-1])), default=0) < 500 for line in listed)


def test_two_instances_of_a_kernel_have_streams_of_their_own(tmp_path: Path):
    """Two strains of the same parameters spread differently, and the second does not touch the first."""
    runs: dict[str, pl.DataFrame] = {}
    for name, strains in (("one", "a"), ("two", "ab")):
        metrics = 'ill_b = { stock = "infectious", column = "state_b" }' if "b" in strains else ""
        file = tmp_path / f"{name}.toml"
        file.write_text(TWO_STRAINS.format(kernels="".join(STRAIN.format(s) for s in strains), metrics=metrics))
        runs[name] = pl.read_parquet(lpm.run(file, out=tmp_path / name, quiet=True) / "trajectory.parquet")
    assert runs["one"]["ill_a"].equals(runs["two"]["ill_a"])
    assert not runs["two"]["ill_a"].equals(runs["two"]["ill_b"].alias("ill_a"))


def sir(size: int, capacity: int) -> Small:
    network = graph("erdos-renyi", size, mean_degree=6.0)
    return Small("sir", network, size, (Metric("ill", "stock", "state", (1,)),), steps=40, capacity=capacity)


def lowered(small: Small) -> Any:
    """Return the program of a chunk, before it is compiled."""
    state, member = small.simulation.start(small.agents, small.member()), small.member()
    return small.simulation._advance.lower(state, member, small.world, jnp.int32(0), jnp.int32(1))  # pyright: ignore[reportPrivateUsage]


def compiled(small: Small) -> Any:
    return lowered(small).compile()
