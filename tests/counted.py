"""Metrics of given columns, taken as inside a scan: random weighted people, some absent, on one device or several."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from lpm.metrics import Metric, recorder
from lpm.network import Network, layout
from lpm.ops.collective import AXIS
from lpm.ops.neighbours import row_width
from lpm.population import WEIGHT_UNIT, Column, Population

COLUMNS = (
    Column("opinion", "float32", "opinion", bounds=(-1, 1)),
    Column("wealth", "float32", "wealth", unit="USD", bounds=(0, 50)),
    Column("children", "uint8", "children", bounds=(0, 9)),
    Column("place", "uint8", "place", levels=("north", "east", "south")),
    Column("sex", "uint8", "sex", levels=("f", "m")),
    Column("mood", "float32", "mood, without bounds"),
)

SIZE = 1_203
"""Agents: no multiple of the devices."""


def people(seed: int = 1, size: int = SIZE, **given: Any) -> Population:
    """Return random people of unequal weights, every sixth absent, with an opinion that depends on the place."""
    chance = np.random.default_rng(seed)
    place = chance.integers(0, 3, size)
    values = {
        "weight": chance.integers(1, 40 * WEIGHT_UNIT, size).astype(np.uint32),
        "present": chance.random(size) > 1 / 6,
        "opinion": np.clip(chance.normal((place - 1) * 0.4, 0.3), -1, 1).astype(np.float32),
        "wealth": np.clip(chance.lognormal(1.0, 1.0, size), 0, 50).astype(np.float32),
        "children": chance.integers(0, 10, size),
        "place": place,
        "sex": chance.integers(0, 2, size),
        "mood": chance.normal(3.0, 2.0, size).astype(np.float32),
    }
    return Population.build(size, COLUMNS, values | given)


class Counted:
    """Compiled counting of some metrics; called with people, layers and tables."""

    def __init__(self, metrics: Sequence[Metric], shards: int = 1, networks: Mapping[str, Network] | None = None):
        """Compile nothing yet; the first call does."""
        schema = Population.build(1, COLUMNS, {}).schema
        self.shards = shards
        self.recorder = recorder(metrics, schema, people=40.0 * SIZE)
        self.padded = -(-SIZE // shards) * shards
        width = row_width()
        self.layers = {name: layout(each, shards, self.padded, width=width) for name, each in (networks or {}).items()}
        mesh = Mesh(np.array(jax.devices()[:shards]), (AXIS,))

        @jax.jit
        @functools.partial(jax.shard_map, mesh=mesh, in_specs=(P(AXIS), P(AXIS), P()), out_specs=P(), check_vma=False)
        def record(agents: Any, layers: Any, tables: Any) -> Any:
            return self.recorder.record(agents, agents, self.recorder.cell(agents), shards, layers, tables)

        self.record = record

    def sums(self, population: Population, tables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the limbs of one step."""
        more = self.padded - population.size
        agents = {
            n: np.concatenate([v, np.zeros((more, *v.shape[1:]), v.dtype)]) for n, v in population.columns.items()
        }
        found = self.record(agents, self.layers, tables or {})
        assert {name: value.shape for name, value in found.items()} == self.recorder.shapes()
        return {name: np.asarray(value) for name, value in found.items()}

    def __call__(self, population: Population, tables: Mapping[str, Any] | None = None) -> dict[str, dict[str, float]]:
        """Return each column's value by group."""
        groups, values = self.recorder.roll_up({n: v[None] for n, v in self.sums(population, tables).items()})
        return {name: dict(zip(groups, table[0], strict=True)) for name, table in values.items()}


def group_masks(population: Population, by: Sequence[str]) -> dict[str, np.ndarray]:
    """Return who is present in each group, written out plainly: everybody, each column alone, and pairs."""
    columns, here = population.columns, population.columns["present"]
    masks = {"all": here}
    order = [name for name in population.schema if name in by]
    for name in order:
        for code, level in enumerate(population.schema[name].levels):
            masks[f"{name}={level}"] = here & (columns[name] == code)
    if len(order) == 2:
        one, two = order
        for a, first in enumerate(population.schema[one].levels):
            for b, second in enumerate(population.schema[two].levels):
                masks[f"{one}={first};{two}={second}"] = here & (columns[one] == a) & (columns[two] == b)
    return masks
