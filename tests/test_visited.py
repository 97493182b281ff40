"""What one device holds of the others: no floats of the whole population in the compiled program."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lpm.kernel import find, kernels
from lpm.ops.dispatch import using
from lpm.simulation import World

from .contract.world import Bench, bench_for, dealt

SHARDS = 4
QUICK = ("degroot",)
FLOATS = re.compile(r"\bf(?:32|64)\[([\d,]+)\]")


def program(bench: Bench, backend: str = "auto") -> str:
    """Return the compiled program of a chunk of steps."""
    simulation, member = bench.small.simulation, bench.member(1)
    state = bench.begun(member)
    with using(backend):
        lowered = simulation._advance.lower(state, member, bench.small.world, jnp.int32(0), jnp.int32(1))  # pyright: ignore[reportPrivateUsage]
        return lowered.compile().as_text() or ""


def whole_floats(text: str, size: int) -> set[str]:
    """Return the shapes of floats that have as many rows as there are places on all devices."""
    return {shape for shape in FLOATS.findall(text) if str(size) in shape.split(",")}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else (pytest.mark.full,)) for name in kernels()]
)
def test_no_device_holds_the_floats_of_all(name: str):
    bench, dealing = dealt(bench_for(find(name, "test"), "hubs"), SHARDS)
    assert not whole_floats(program(bench), dealing.padded)


def test_they_would_be_found():
    """Without buckets of arcs by where they come from, the opinions of all are gathered."""
    bench, dealing = dealt(bench_for(find("degroot", "test"), "hubs"), SHARDS)
    layers: dict[str, Any] = {name: replace(layer, blocks=None) for name, layer in bench.small.world.layers.items()}
    bench.small.world = World(layers)
    assert whole_floats(program(bench), dealing.padded)


def test_floats_are_found_in_the_shapes_of_programs():
    text = jax.jit(lambda x: x * 2).lower(jax.ShapeDtypeStruct((7, 640), jnp.float32)).compile().as_text() or ""
    assert whole_floats(text, 640) == {"7,640"} and not whole_floats(text, 160)
