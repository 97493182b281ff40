"""What the tests share: eight devices in one process, and small worlds that are compiled once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

from lpm.kernel import find
from lpm.metrics import Metric, recorder
from lpm.network import Network, layout
from lpm.networks import find as find_builder
from lpm.ops.neighbours import row_width
from lpm.policy import Arm, plan, policy_data
from lpm.population import Population
from lpm.scenarios.assembly import as_arrays
from lpm.simulation import Behaviour, Member, Model, Simulation, World

jax.config.update("jax_numpy_rank_promotion", "warn")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data, where it is at hand (LPM_DATA)."""
    folder = os.environ.get("LPM_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LPM_DATA does not name the folder of the real data")
    return Path(folder)


class Small:
    """A small simulation of one kernel on one layer, without a scenario file."""

    def __init__(
        self,
        kernel: str,
        network: Network | None,
        size: int,
        metrics: Sequence[Metric],
        arms: Sequence[Arm] = (Arm("baseline"),),
        steps: int = 30,
        shards: int = 1,
        capacity: int | None = None,
        batching: str = "map",
        dt: float = 1.0,
        population: Population | None = None,
        home: bool = False,
    ):
        """Compile nothing yet; `run` does."""
        self.kernel, self.steps, self.shards = find(kernel, "test"), steps, shards
        columns = {column.name: column for column in self.kernel.columns}
        people = Population.build(size, tuple(columns.values()), {}) if population is None else population
        padded = -(-size // shards) * shards
        layers = {} if network is None else {"contacts": layout(network, shards, padded, home, row_width())}
        made = recorder(metrics, people.schema)
        self.arms, self.plan = arms, plan(arms, tuple(layers))
        behaviour = Behaviour(kernel, self.kernel, tuple(layers))
        model = Model(
            (behaviour,), made, self.plan, tuple(people.schema.values()), dt=dt, shards=shards,
            capacity=capacity or steps, batching=batching,
        )  # fmt: skip
        self.simulation, self.recorder = Simulation(model), made
        self.world = World(self.simulation.place(layers))
        more = padded - size
        self.agents = self.simulation.place(
            {n: np.concatenate([v, np.zeros((more, *v.shape[1:]), v.dtype)]) for n, v in people.columns.items()}
        )

    def member(self, seed: int = 0, arm: int = 0, **values: float) -> Member:
        """Return a batch of one."""
        params = self.kernel.Params(**values)
        arrays = as_arrays(params)
        words: Any = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)
        one = Member(words, {self.kernel.name: arrays}, policy_data(self.arms[arm], self.plan, self.steps))
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)

    def run(self, member: Member, stops: Sequence[int] = ()) -> tuple[Any, list[dict[str, Any]]]:
        """Return the last state and each member's exact sums, stepping from stop to stop."""
        state, at, parts = self.simulation.start(self.agents, member), 0, []
        for stop in [*stops, self.steps]:
            while at < stop:
                count = min(self.simulation.model.capacity, stop - at)
                state, sums = self.simulation.advance(state, member, self.world, at, count)
                parts.append({name: np.asarray(values)[:, :count] for name, values in sums.items()})
                at += count
        joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
        members = next(iter(joined.values())).shape[0]
        return state, [{name: values[i] for name, values in joined.items()} for i in range(members)]

    def curves(self, member: Member, stops: Sequence[int] = ()) -> dict[str, Any]:
        """Return float64 [steps] of each metric for everybody, of the first member."""
        _, sums = self.run(member, stops)
        names, values = self.recorder.roll_up(sums[0])
        return {name: table[:, names.index("all")] for name, table in values.items()}


SIR_METRICS = (
    Metric("infections", "flow", "state", (1,)),
    Metric("prevalence", "stock", "state", (1,)),
    Metric("recovered", "stock", "state", (2,)),
)


def graph(builder: str, size: int, seed: int = 1, **values: Any) -> Network:
    """Return a whole network of a registered builder over agents without columns."""
    made = find_builder(builder, "test")
    return made.build(seed, made.Params(**values), Population.build(size, (), {}), (0, size))


@pytest.fixture(scope="session")
def small() -> Callable[..., Small]:
    """The class of small simulations."""
    return Small


@pytest.fixture(scope="session")
def er_network() -> Network:
    """Erdős–Rényi, 4,000 agents of mean degree 8."""
    return graph("erdos-renyi", 4_000, mean_degree=8.0)
