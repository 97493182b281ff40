"""A scenario as a simulator: its parameters in, its metrics out, one arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lpm.calibration.observation import Observation
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
        observed: By metric and group, bool [steps]: where its values are looked at; a metric without is everywhere.
    """

    assembly: Assembly
    arm: Arm
    free: tuple[Free, ...]
    metrics: tuple[str, ...]
    steps: int
    observed: Mapping[str, Mapping[str, HostArray]] = field(default_factory=dict[str, Mapping[str, HostArray]])
    _groups: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]], compare=False)

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric, known after the first run."""
        return self._groups

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, steps, groups], in people; 0 where it is not defined and not looked at.

        Raises:
            InputError: A value that is looked at is not defined (a ratio of nobody, say), or a kernel refuses its
                parameters: a point that a fit leaves out.
        """
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
        return {name: self.defined(name, values[name], theta, seed) for name in self.metrics}

    def defined(self, name: str, values: HostArray, theta: Mapping[str, Any], seed: int) -> HostArray:
        """Return the values [steps, groups] of a metric, with 0 for those that are neither defined nor looked at.

        Raises:
            InputError: A value that is looked at is not defined.
        """
        lost = ~np.isfinite(values)
        if not lost.any():
            return values
        looked = self.observed.get(name)
        for column, group in enumerate(self._groups[name]):
            mine = lost[:, column] & (True if looked is None else looked.get(group, np.zeros(self.steps, bool)))
            if mine.any():
                at = ", ".join(f"{path} = {float(value):.6g}" for path, value in theta.items())
                raise InputError(
                    f"fit: '{name}' of '{group}' is observed in step {int(np.argmax(mine))}, where the simulation has "
                    f"no value of it (NaN): {at}, seed {seed}"
                )
        return np.where(lost, 0.0, values)


def looked_at(observation: Observation, steps: int) -> dict[str, dict[str, HostArray]]:
    """Return by metric and group, bool [steps], which values of a simulation an observation looks at."""
    made: dict[str, dict[str, HostArray]] = {}
    for series in observation.series:
        groups = made.setdefault(series.metric, {})
        lags = [lag for lag, share in enumerate(series.delay) if share] if series.delay else [0]
        for begin, end, group in zip(series.begin, series.end, series.groups, strict=True):
            mask = groups.setdefault(group, np.zeros(steps, bool))
            for lag in lags:
                mask[max(int(begin) - lag, 0) : max(int(end) - lag, 0)] = True
    return made
