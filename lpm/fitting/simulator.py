"""A scenario as a simulator: its parameters in, its metrics out, one arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.fitting.free import Free, params_at
from lpm.policy import Arm
from lpm.scenarios import manifest
from lpm.scenarios.assembly import Assembly
from lpm.types import HostArray


@dataclass(frozen=True)
class ScenarioSimulator:
    """One arm of an assembled scenario, run for its first steps.

    Every run is that of `lpm run` with the same parameters and seed, to the bit: draws belong to agents and events, so
    two runs of one seed share all that a parameter does not change.

    Attributes:
        assembly: The scenario, built and compiled once.
        arm: The arm.
        free: The free parameters.
        metrics: Names of the metrics that are observed.
        steps: Number of steps.
    """

    assembly: Assembly
    arm: Arm
    free: tuple[Free, ...]
    metrics: tuple[str, ...]
    steps: int
    _groups: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]], compare=False)

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric, known after the first run."""
        return self._groups

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, steps, groups], in people; values that are not defined are 0."""
        rows = [self.one({name: values[row] for name, values in theta.items()}, int(s)) for row, s in enumerate(seeds)]
        return {name: np.stack([row[name] for row in rows]) for name in self.metrics}

    def one(self, theta: Mapping[str, Any], seed: int) -> dict[str, HostArray]:
        """Return the metrics [steps, groups] of one run."""
        assembly, simulation = self.assembly, self.assembly.simulation
        params = params_at(assembly, self.free, theta)
        for behaviour in assembly.model.behaviours:
            behaviour.kernel.check(params[behaviour.name], f"fit: '{behaviour.name}'", assembly.scenario.step_days)
        member = assembly.member(self.arm, seed, params)
        state = simulation.start(assembly.agents, member, assembly.tables, assembly.ties)
        parts: list[dict[str, HostArray]] = []
        at = 0
        while at < self.steps:
            count = min(assembly.model.capacity, self.steps - at)
            state, sums = simulation.advance(state, member, assembly.world, at, count)
            parts.append({name: np.asarray(values)[0, :count] for name, values in sums.items()})
            at += count
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        groups, values = assembly.model.recorder.roll_up(joined)
        values = manifest.with_derived(assembly, groups, values)
        for name in self.metrics:
            if name not in values:
                raise InputError(f"fit: metric '{name}' is several columns; observe one that is a single number")
            self._groups[name] = groups
        return {name: np.nan_to_num(values[name], nan=0.0) for name in self.metrics}
