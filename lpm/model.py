"""What a simulation is made of: a description that a compilation depends on, and the data that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from lpm.errors import InputError
from lpm.kernel import Kernel
from lpm.metrics import Recorder
from lpm.network import Layer
from lpm.policy import Intervention, PolicyData, PolicyPlan
from lpm.population import Column
from lpm.ties import Ties
from lpm.types import Array, Columns, Tables


@dataclass(frozen=True)
class Behaviour:
    """One use of a kernel.

    Attributes:
        name: Instance name: names its draws and its parameters.
        kernel: The kernel.
        layers: Names of the layers that it sees.
        columns: The population's column behind each column name of the kernel that differs.
    """

    name: str
    kernel: type[Kernel]
    layers: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def written(self) -> set[str]:
        """The population's columns that the kernel writes."""
        return {dict(self.columns).get(name, name) for name in self.kernel.writes}

    def seen(self, columns: Columns) -> dict[str, Array]:
        """Return the columns under the names that the kernel knows them by."""
        return dict(columns) | {name: columns[behind] for name, behind in self.columns}


@dataclass(frozen=True)
class Model:
    """What a compilation depends on.

    Attributes:
        behaviours: Kernels in the order in which they act within a step.
        recorder: What is counted.
        policy: The union of all arms' interventions.
        schema: Declared columns of table "agents", by name.
        dt: Length of a step in days.
        backend: "auto", "xla", "numba" or "pallas".
        shards: Number of devices over which agents are spread.
        capacity: Most steps of a chunk.
        batching: "map" (members one after the other) or "vmap" (side by side).
    """

    behaviours: tuple[Behaviour, ...]
    recorder: Recorder
    policy: PolicyPlan
    schema: tuple[Column, ...]
    dt: float = 1.0
    backend: str = "auto"
    shards: int = 1
    capacity: int = 16
    batching: str = "map"

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of every declared column."""
        return {c.name: (float(c.limits()[0]), float(c.limits()[1])) for c in self.schema}

    @property
    def lasting(self) -> tuple[Intervention, ...]:
        """The interventions on agents that keep whom they reached: all but those on ties."""
        return tuple(lever for lever in self.policy.agents if not lever.on_ties)

    @property
    def moving(self) -> bool:
        """Whether agents change groups within a run."""
        changed = {name for behaviour in self.behaviours for name in behaviour.written}
        changed |= {effect.target for lever in self.policy.agents for effect in lever.effects}
        return bool(changed & set(self.recorder.by))

    @property
    def steady(self) -> bool:
        """Whether sums of people can be carried from step to step.

        Nobody comes, goes or changes weight or group, and no intervention lays over what is counted.
        """
        changed = {name for behaviour in self.behaviours for name in behaviour.written}
        laid = {effect.target for lever in self.policy.agents for effect in lever.effects}
        counted = {name for name, _ in self.recorder.levels}
        return not (changed | laid) & {"present", "weight", *self.recorder.by} and not laid & counted

    @property
    def changing(self) -> set[str]:
        """The columns whose stored values a step may change: those of kernels, and what interventions do once.

        What an intervention only lays over a column for a while is not stored, so that column is not among them.
        """
        once = {e.target for lever in self.lasting for e in lever.effects if e.kind.endswith("once")}
        return once.union(*(behaviour.written for behaviour in self.behaviours))

    def prepared(self, behaviour: Behaviour, params: Any, tables: Tables, clock: Any) -> Any:
        """Return what the kernel prepares from its parameters, of columns that no step changes.

        Raises:
            InputError: The kernel reads another column of "agents" there: what it prepares would depend on when a
                chunk of steps begins.
        """
        changing, behind = self.changing, dict(behaviour.columns)
        seen = behaviour.seen(tables["agents"])
        fixed = {name: values for name, values in seen.items() if behind.get(name, name) not in changing}
        agents: Columns = _Fixed(behaviour.kernel.name, fixed)
        return behaviour.kernel.prepare(params, {**tables, "agents": agents}, clock)


class _Fixed(dict[str, Array]):
    """Columns that no step changes; another one is missed in words."""

    def __init__(self, kernel: str, columns: Columns):
        super().__init__(columns)
        self.kernel = kernel

    def __missing__(self, name: str) -> Array:
        raise InputError(
            f"kernel '{self.kernel}': prepare reads column '{name}', which is not there or which a step changes; "
            "it is computed once, so read it in step"
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Member:
    """What differs between two runs: the seed, the parameters, the policy.

    Attributes:
        seed: uint32 [2], low and high word.
        params: `Params` of every behaviour, by instance name.
        policy: The arm's arrays.
    """

    seed: Array
    params: dict[str, Any]
    policy: PolicyData


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """What a step needs of the step before.

    Attributes:
        agents: Columns of table "agents".
        since: Per agent intervention, int32 [rows], the step at which an agent was reached.
        triggers: Per triggered intervention, whether its condition holds.
        last: Sums of the step before, where a trigger looks at them or they are carried.
        tables: Columns of the tables beside "agents", by table; every device holds all of them.
        ties: The dynamic layers; every device holds all of them.
        faults: For each column that is watched (`lpm.watch`), bool: it held what it may not, now or before.
    """

    agents: dict[str, Array]
    since: dict[str, Array]
    triggers: dict[str, Array]
    last: dict[str, Array]
    tables: dict[str, dict[str, Array]] = field(default_factory=dict[str, dict[str, Array]])
    ties: dict[str, Ties] = field(default_factory=dict[str, Ties])
    faults: dict[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True)
class World:
    """The arguments that all members share.

    Attributes:
        layers: The networks on the device.
        ranks: Per agent intervention with `top`, float32 [rows]: share of agents of higher degree.
    """

    layers: dict[str, Layer]
    ranks: dict[str, Array] = field(default_factory=dict[str, Array])


jax.tree_util.register_dataclass(World, ["layers", "ranks"], [])


def after(
    behaviour: Behaviour, new: Mapping[str, Any], tables: Tables, like: Columns | None = None
) -> dict[str, dict[str, Array]]:
    """Return the tables after what a kernel returned: columns of "agents", or columns by the name of another table.

    Args:
        behaviour: The kernel's use.
        new: What it returned.
        tables: The tables before.
        like: What its columns of "agents" are compared with; None = the table's own.
    """
    agents = {name: values for name, values in new.items() if not isinstance(values, Mapping)}
    before = tables["agents"] if like is None else like
    result = {name: dict(columns) for name, columns in tables.items()}
    result["agents"] |= _written(behaviour, agents, before, dict(behaviour.columns))
    for name, columns in new.items():
        if isinstance(columns, Mapping):
            result[name] |= _written(behaviour, columns, tables[name], {})
    return result


def _written(behaviour: Behaviour, new: Columns, columns: Columns, behind: Mapping[str, str]) -> dict[str, Array]:
    """Return what a kernel wrote under the population's names, after checking shapes and dtypes."""
    result: dict[str, Array] = {}
    for name, values in new.items():
        old = columns[behind.get(name, name)]
        if values.shape != old.shape or values.dtype != old.dtype:
            raise TypeError(
                f"kernel '{behaviour.kernel.name}': column '{name}' is {old.dtype}{list(old.shape)}, "
                f"it returned {values.dtype}{list(values.shape)}"
            )
        result[behind.get(name, name)] = values
    return result
