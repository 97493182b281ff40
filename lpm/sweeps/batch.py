"""A world and its compiled batches: many runs side by side in one call, of which people and networks are shared."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import numpy as np

from lpm.errors import InputError
from lpm.kernel import Kernel
from lpm.model import Member, Model, State
from lpm.policy import Arm, policy_data
from lpm.saturation import refuse_saturation
from lpm.scenarios import draws, strengths
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.levers import arm_of
from lpm.scenarios.schema import Scenario
from lpm.scenarios.settings import replaced
from lpm.simulation import Simulation
from lpm.sweeps.jobs import Job, Jobs, Parameter
from lpm.types import HostArray

LONGEST = 512
"""Most steps of one call: between two calls the host may be stopped."""


@dataclass
class World:
    """One assembled scenario of a sweep, its runs and their compiled batches.

    Attributes:
        jobs: All jobs of the sweep.
        scenario: The scenario of this world.
        assembly: The same, ready to run.
        simulation: The compiled functions.
        size: Runs side by side in a batch.
    """

    jobs: Jobs
    scenario: Scenario
    assembly: Assembly
    simulation: Simulation
    size: int

    def __post_init__(self) -> None:
        """Draw what seeds draw."""
        of_seeds = draws.of_seeds(self.scenario, self.assembly.params)
        self._drawn = dict(zip(self.scenario.seeds, of_seeds, strict=True))
        self._policies: dict[tuple[Any, ...], Any] = {}
        self._arms: dict[tuple[Any, ...], tuple[Arm, ...]] = {}
        plain = Kernel.__dict__["check"]
        own = [any("check" in kind.__dict__ and kind.__dict__["check"] is not plain for kind in b.kernel.__mro__)
               for b in self.assembly.model.behaviours]  # fmt: skip
        self._checked = [b for b, mine in zip(self.assembly.model.behaviours, own, strict=True) if mine]
        self._bounded = self.jobs.bounded(self.assembly.params)
        self._dt, self._free = self.scenario.step_days, not (self._checked or self._bounded or self.jobs.scales)

    def refused(self, job: Job) -> str:
        """Return why a job cannot run, "" where it can."""
        if self._free:
            return ""
        if job.run in self._bounded:
            return self._bounded[job.run]
        params = jax.tree.map(lambda leaf: leaf[0], self._params([job])) if self._checked else {}
        where, dt, model = f"run {job.run}", self._dt, self.assembly.model
        try:
            arm = self._arm(job)
            for behaviour in self._checked:
                behaviour.kernel.check(params[behaviour.name], f"{where}: '{behaviour.name}'", dt)
            if self._checked and (self.jobs.scales or model.policy.parameters):
                refuse_saturation(model.behaviours, params, model.policy, (arm,), self.scenario.steps, dt, where)
        except InputError as error:
            return str(error)
        return ""

    def begin(self, jobs: Sequence[Job]) -> tuple[State, list[Any]]:
        """Return the last states of a batch of jobs and the sums of its pieces, all under way.

        A batch that is not full is filled up with its first job.
        """
        filled = [*jobs, *[jobs[0]] * (self.size - len(jobs))]
        member, simulation, assembly = self._members(filled), self.simulation, self.assembly
        state = simulation.start(assembly.agents, member, assembly.tables, assembly.ties)
        pieces: list[Any] = []
        steps, most = self.scenario.steps, simulation.model.capacity
        for at in range(0, steps, most):
            state, sums = simulation.advance(state, member, assembly.world, at, min(most, steps - at))
            pieces.append(sums)
        return state, pieces

    def finish(self, pieces: Sequence[Any], count: int) -> dict[str, HostArray]:
        """Return the sums of the first `count` members of a batch, [count * steps, ...] each, when they are there."""
        steps, most = self.scenario.steps, self.simulation.model.capacity
        made: dict[str, HostArray] = {}
        for name in pieces[0]:
            parts = [
                np.asarray(piece[name])[:count, : min(most, steps - at)]
                for at, piece in zip(range(0, steps, most), pieces, strict=True)
            ]
            whole = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
            made[name] = whole.reshape(-1, *whole.shape[2:])
        return made

    def _params(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """Return the parameters of the kernels in some jobs, float32 with a leading axis."""
        base = [{k: v for k, v in self._drawn[job.seed].items() if k != strengths.NAME} for job in jobs]
        made = dict(jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *base))
        for each, values in self._swept(jobs, [name for name in made]):
            whole = np.array(getattr(made[each.instance], each.name))
            if each.level is None:
                whole[...] = values.reshape(-1, *[1] * (whole.ndim - 1))
            else:
                whole[:, each.level] = values
            made[each.instance] = replace(made[each.instance], **{each.name: whole})
        return made

    def _strengths(self, jobs: Sequence[Job]) -> list[Any]:
        """Return the strengths of some jobs."""
        made = [self._drawn[job.seed][strengths.NAME] for job in jobs]
        for each, values in self._swept(jobs, [strengths.NAME]):
            made = [replace(one, **{each.name: float(value)}) for one, value in zip(made, values, strict=True)]
        return made

    def _swept(self, jobs: Sequence[Job], owners: Sequence[str]) -> Iterator[tuple[Parameter, HostArray]]:
        """Yield the swept parameters of these owners with their values, float32 [jobs]."""
        runs = [job.run for job in jobs]
        for each in self.jobs.parameters:
            if each.instance in owners:
                yield each, self.jobs.values(each.path, runs).astype(np.float32)

    def _arm(self, job: Job) -> Arm:
        """Return the arm of a job, with the layers' scales of its run."""
        key = self._scales(job)
        if key not in self._arms:
            scenario = self.scenario
            for path, value in zip(self.jobs.scales, key, strict=True):
                scenario = replaced(scenario, path, value, path)
            model = self.assembly.model
            schema = {column.name: column for column in model.schema}
            self._arms[key] = tuple(arm_of(scenario, arm, schema, model.recorder) for arm in scenario.arms)
        return self._arms[key][job.arm]

    def _scales(self, job: Job) -> tuple[float, ...]:
        """Return the layers' scales of a job's run, in the order of their paths."""
        return tuple(float(self.jobs.values(path, [job.run])[0]) for path in self.jobs.scales)

    def _policy(self, job: Job, strong: Any) -> Any:
        """Return the arrays of a job's arm at the strengths of its run."""
        factors = tuple(float(getattr(strong, field.name)) for field in fields(strong))
        key = (job.arm, self._scales(job), factors)
        if key not in self._policies:
            made = strengths.strengthened(self._arm(job), strong)
            self._policies[key] = policy_data(made, self.assembly.model.policy, self.scenario.steps)
        return self._policies[key]

    def _members(self, jobs: Sequence[Job]) -> Member:
        words: Any = np.array([[job.seed & 0xFFFF_FFFF, job.seed >> 32] for job in jobs], np.uint32)
        arrays = [self._policy(job, strong) for job, strong in zip(jobs, self._strengths(jobs), strict=True)]
        policy = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *arrays)
        return Member(words, self._params(jobs), policy)


def world(jobs: Jobs, assembly: Assembly, size: int, batching: str) -> World:
    """Return a world whose batches hold `size` runs.

    Args:
        jobs: All jobs of the sweep.
        assembly: The scenario of the world.
        size: Runs side by side.
        batching: "map" or "vmap", see `lpm.model.Model`.
    """
    capacity = min(assembly.scenario.steps, LONGEST)
    simulation = _simulation(replace(assembly.model, capacity=capacity, batching=batching))
    return World(jobs, assembly.scenario, assembly, simulation, size)


@functools.lru_cache(maxsize=4)
def _simulation(model: Model) -> Simulation:
    """Return the compiled functions of a model: worlds that differ in data alone share them."""
    return Simulation(model)
