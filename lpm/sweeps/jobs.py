"""From a design to jobs: what of a run is data of one compiled function, and what needs another world.

A parameter of a kernel, or a strength, is a number among the arguments of the compiled function. A layer's scale
becomes part of an arm, data as well. Anything else (the size of the population, a network's parameter, the number of
steps) makes another *world*: people and networks are built anew, and a compilation serves all runs of that world.

A job is one (run, arm, seed). Jobs are numbered round by round, within a round world by world, then by run, arm and
seed: a pure function of design, arms and seeds, which every process that works on a sweep knows by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lpm.errors import InputError
from lpm.kernel import declarations
from lpm.scenarios import registries, settings
from lpm.scenarios.schema import Scenario
from lpm.sweeps.design import Design
from lpm.types import HostArray


@dataclass(frozen=True)
class Parameter:
    """A swept parameter of a kernel instance (or of `strengths`); level None = all of its levels."""

    path: str
    instance: str
    name: str
    level: int | None


@dataclass(frozen=True)
class Job:
    """One simulation of a sweep."""

    number: int
    run: int
    arm: int
    seed: int


@dataclass(frozen=True)
class Jobs:
    """All simulations of a sweep.

    Attributes:
        scenario: The scenario as it is without what is swept.
        design: The runs.
        parameters: Paths that are data.
        scales: Paths of layers' scales, which arms take up.
        structure: Paths that make another world.
    """

    scenario: Scenario
    design: Design
    parameters: tuple[Parameter, ...]
    scales: tuple[str, ...]
    structure: tuple[str, ...]

    @property
    def each(self) -> int:
        """Jobs of a run."""
        return len(self.scenario.arms) * len(self.scenario.seeds)

    @property
    def count(self) -> int:
        """Number of jobs."""
        return self.design.runs * self.each

    @cached_property
    def worlds(self) -> list[tuple[Any, ...]]:
        """The combinations of values of `structure`, in order of their first run."""
        if not self.structure:
            return [()]
        return self.design.frame.select(self.structure).unique(maintain_order=True).rows()

    @cached_property
    def world(self) -> HostArray:
        """int64 [runs], the number of the world of every run."""
        if not self.structure:
            return np.zeros(self.design.runs, np.int64)
        place = {values: number for number, values in enumerate(self.worlds)}
        return np.array([place[row] for row in self.design.frame.select(self.structure).iter_rows()], np.int64)

    @cached_property
    def order(self) -> HostArray:
        """int64 [runs], the runs in the order in which they are worked on."""
        return np.lexsort((np.arange(self.design.runs), self.world, self.design.frame["round"].to_numpy()))

    def job(self, number: int) -> Job:
        """Return the job of this number."""
        seeds = len(self.scenario.seeds)
        run = int(self.order[number // self.each])
        return Job(number, run, number // seeds % len(self.scenario.arms), self.scenario.seeds[number % seeds])

    def cut(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return ranges [first, last) of jobs cut where the world changes."""
        worlds = self.world[self.order]
        borders = (np.flatnonzero(np.diff(worlds)) + 1) * self.each
        made: list[tuple[int, int]] = []
        for first, last in ranges:
            ends = [first, *(int(b) for b in borders if first < b < last), last]
            made += [(a, b) for a, b in zip(ends, ends[1:], strict=False) if a < b]
        return made

    def within(self, world: int) -> Scenario:
        """Return the scenario of a world.

        Raises:
            InputError: A value that does not fit.
        """
        scenario = self.scenario
        for path, value in zip(self.structure, self.worlds[world], strict=True):
            scenario = settings.replaced(scenario, path, _plain(value), path)
        return scenario

    def values(self, path: str, runs: Sequence[int]) -> HostArray:
        """Return float64, the values of a path in these runs."""
        return self.design.frame[path].to_numpy()[np.asarray(runs, np.int64)]

    def bounded(self, params: Mapping[str, Any]) -> dict[int, str]:
        """Return why runs cannot be, by run: a value beyond what its parameter is declared to hold."""
        refused: dict[int, str] = {}
        for each in self.parameters:
            low, high = declarations(type(params[each.instance]))[each.name].bounds
            values = self.design.frame[each.path].to_numpy()
            for run in np.flatnonzero((values < low) | (values > high)):
                refused.setdefault(int(run), f"{each.path}: expected {low:g} to {high:g}, got {values[run]:g}")
        return refused


def jobs_of(scenario: Scenario, design: Design) -> Jobs:
    """Return the jobs of a design.

    Raises:
        InputError: A path that the scenario does not have, names where numbers belong, or two paths for one value.
    """
    parameters: list[Parameter] = []
    scales: list[str] = []
    structure: list[str] = []
    layers = {layer.name for layer in scenario.networks}
    for axis in design.axes:
        named = design.frame.schema[axis.path] == pl.String
        found = _parameter(scenario, axis.path, named)
        owner, _, field = axis.path.partition(".")
        if found is not None:
            _check_apart(found, parameters)
            parameters.append(found)
        elif owner in layers and field == "scale" and not named:
            scales.append(axis.path)
        elif axis.path in ("seeds", "draws", "name"):
            raise InputError(f"{axis.path}: cannot be swept; give it once, as an option")
        else:
            structure.append(axis.path)
    made = Jobs(scenario, design, tuple(parameters), tuple(scales), tuple(structure))
    for path in (*scales, *structure):  # an unknown path is told before anything runs
        settings.replaced(scenario, path, _plain(design.frame[path][0]), path)
    return made


def _parameter(scenario: Scenario, path: str, named: bool) -> Parameter | None:
    """Return the numeric parameter that a path leads to, None where it leads elsewhere.

    Raises:
        InputError: An unknown parameter or level.
    """
    owner, _, rest = path.partition(".")
    instance = next((each for each in scenario.instances if each.name == owner), None)
    name, _, level = rest.partition(".")
    if instance is None:
        return None
    declared = declarations(registries.instances_of(scenario)[owner].Params)
    if name not in declared or declared[name].choices or named:
        return None  # `settings.replaced` says what is wrong, or takes the name
    code = None
    if level:
        if not declared[name].by:
            raise InputError(f"{path}: '{owner}.{name}' is one number, it has no level '{level}'")
        column = registries.all_columns(scenario)[instance.columns.get(declared[name].by, declared[name].by)]
        code = column.code(level, path)
    return Parameter(path, owner, name, code)


def _check_apart(new: Parameter, others: Sequence[Parameter]) -> None:
    for old in others:
        if (old.instance, old.name) == (new.instance, new.name) and (old.level is None or new.level is None):
            raise InputError(f"{new.path}: '{new.instance}.{new.name}' is swept as a whole and by level; choose one")


def _plain(value: Any) -> Any:
    """Return a whole number as an integer, as the keys that count something want it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
