"""What the tests share: eight devices in one process, and small worlds that are compiled once."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = " ".join([
    os.environ.get("XLA_FLAGS", ""),
    "--xla_force_host_platform_device_count=8",
    "--xla_cpu_parallel_codegen_split_count=4",  # pieces that are compiled apart; 32 cost two cores more
]).strip()  # fmt: skip
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
from lpm.simulation import Behaviour, Member, Model, Simulation, State, World

jax.config.update("jax_numpy_rank_promotion", "warn")


HASTY = (
    "llvm_disable_expensive_passes=true",
    "backend_optimization_level=1",  # at 0, multiply and add are one operation in some blocks and two in others
    "cpu_use_fusion_emitters=false",  # LLVM's text is written directly; by way of MLIR it took half of the time
)
"""How XLA compiles for the quick suite: with these 40 % of the CPU time of a kernel's first step is saved."""


def pytest_configure(config: pytest.Config) -> None:
    """Compile less carefully for the quick suite, most of whose time is XLA's; the full one runs what users run."""
    if config.option.markexpr == "not full":
        # read when the first device is asked for
        os.environ["XLA_FLAGS"] += "".join(f" --xla_{flag}" for flag in HASTY)


def pytest_collection_finish() -> None:
    """Leave what was imported to itself: looking through it again and again for garbage took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data, where it is at hand (LPM_DATA)."""
    folder = os.environ.get("LPM_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LPM_DATA does not name the folder of the real data")
    return Path(folder)


MAPPINGS_OF_A_MODULE, MOST_MAPPINGS = 20_000, 40_000
"""Memory mappings of this process at which compiled code is let go, after a module and within one; Linux ends a process
at 65,530."""

LOOKED = itertools.count(1)


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_let_go() -> Generator[None]:
    """Every compiled function holds mappings: thousands of tests in one process would run out of them, and crash."""
    yield
    _let_go(MAPPINGS_OF_A_MODULE)


@pytest.fixture(autouse=True)
def compiled_code_is_let_go_in_long_modules() -> Generator[None]:
    """Look after every fourth test: a module of the full product compiles more than one process may hold."""
    yield
    if next(LOOKED) % 4 == 0:
        _let_go(MOST_MAPPINGS)


def _let_go(most: int) -> None:
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > most:
        COMPILED.clear()
        jax.clear_caches()
        gc.collect()


COMPILED: dict[tuple[Model, str], Simulation] = {}
"""The first simulation of every model in this process: equal models share its compiled functions."""


def _shared(self: Simulation, model: Model, make: Callable[[Simulation, Model], None] = Simulation.__init__) -> None:
    """Make a simulation that compiles nothing which one of an equal model has compiled.

    A model is all that a compilation depends on beside the shapes of its arguments; its text tells 1 from 1.0 and True.
    """
    make(self, model)
    first = COMPILED.setdefault((model, repr(model)), self)
    self.mesh, self._start, self._advance, self._view = first.mesh, first._start, first._advance, first._view


Simulation.__init__ = _shared


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


def carried(model: Model, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return `State.last` of a state of one member that is put together by hand; only people are counted."""
    people = int(np.where(columns["present"], columns["weight"], 0).sum(dtype=np.uint64))
    return {"people": np.array([[[people & 0xFFFF_FFFF, people >> 32]]], np.uint32)} if model.steady else {}


def recounted(small: Small, state: State) -> State:
    """Return the states on one device with their sums counted anew, after columns were changed by hand."""

    def count(agents: Any) -> Any:
        return small.recorder.record(agents, agents, small.recorder.cell(agents), 1)

    last = jax.jit(lambda agents: jax.lax.map(count, agents))(state.agents) if state.last else {}
    return replace(state, last=last)


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
