"""The law of a contagion on a static network, step by step: what simulations and estimators share.

States, draws and chances are those of the registered kernels `si`, `sis` and `sir`; see `lpm.calibration.contagion`.
Shapes: N agents, T steps, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.calibration.errors import CalibrationError
from lpm.clock import Clock
from lpm.errors import unknown
from lpm.kernel import find
from lpm.kernels.diffusion.contagion import ONE
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.types import Array, HostArray


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Course:
    """The parameters step by step.

    Attributes:
        beta: float32 [T], hazard of infection per contact with an infectious agent, 1/day.
        gamma: float32 [T], rate of recovery, 1/day; 0 under `si`.
        initial: float32 [1] or [G], share infectious at the start, of everybody or by group.
    """

    beta: Array
    gamma: Array
    initial: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Place:
    """Who is where: arguments of compiled functions.

    Attributes:
        agents: The columns that the kernel reads, [N].
        layer: The network.
        group: int32 [N].
        weight: float32 [N], chance of starting infectious per unit of `initial`.
    """

    agents: dict[str, Array]
    layer: Layer
    group: Array
    weight: Array


@dataclass(frozen=True)
class Law:
    """What a compilation depends on; the attributes are those of `Contagion`."""

    kernel: str
    steps: int
    dt: float
    beta: str | float
    gamma: str | float
    initial: str | float
    groups: int

    def course(self, theta: Mapping[str, Any]) -> Course:
        """Return the parameters step by step from their values by name.

        Raises:
            InputError: A parameter that theta lacks, or a vector of more values than there are steps or groups.
        """
        gamma = 0.0 if self.kernel == "si" else self.gamma
        initial = jnp.atleast_1d(self._value(theta, self.initial))
        if initial.shape not in ((1,), (self.groups,)):
            raise CalibrationError(f"contagion: initial: expected 1 or {self.groups} shares, got {initial.shape[0]}")
        return Course(self._by_step(theta, self.beta), self._by_step(theta, gamma), initial)

    def chances(self, course: Course, place: Place) -> Array:
        """Return float32 [N], the chance of every agent to start infectious."""
        share = course.initial[place.group] if course.initial.shape[0] > 1 else course.initial[0]
        return jnp.clip(share * place.weight, 0, 1)

    def key(self, seed: Array) -> random.Key:
        """Return the key of a simulation from the words of its seed, uint32 [2]."""
        return random.instance(random.root(seed), self.kernel)

    def start(self, key: random.Key, course: Course, place: Place) -> Array:
        """Return uint8 [N], the states before the first step."""
        params = self._params(course, 0, self.chances(course, place))
        tables = {"agents": place.agents}
        return find(self.kernel, "contagion").init(key, tables, params, self._clock(0))["state"]

    def step(self, key: random.Key, course: Course, place: Place, state: Array, step: Any) -> Array:
        """Return uint8 [N], the states after a step from those before it."""
        tables = {"agents": {**place.agents, "state": state}}
        params = self._params(course, step, jnp.float32(0))
        layers = {"contacts": place.layer}
        return find(self.kernel, "contagion").step(
            random.at_step(key, step), tables, layers, params, self._clock(step)
        )["state"]

    def first_draws(self, key: random.Key, place: Place) -> Array:
        """Return uint32 [N], the draws that decide who starts infectious."""
        return random.agent_bits(random.purpose(key, "initial"), place.agents["id"])

    def draws(self, key: random.Key, place: Place, step: Any) -> Array:
        """Return uint32 [N], the draws that decide the moves of a step."""
        return random.agent_bits(random.purpose(random.at_step(key, step), "move"), place.agents["id"])

    def met(self, infectious: Array, place: Place) -> Array:
        """Return float32 [N], contacts a day with infectious agents, from how infectious each is, float32 [N]."""
        columns, rate = place.layer.columns, np.float32(1)
        if place.layer.complete:
            rate = columns["rate"].reshape(())

        def contact(source: Array, _: None, columns: Mapping[str, Array]) -> Array:
            return source * columns["intensity"].astype(jnp.float32) / ONE if "intensity" in columns else source

        return rate * sum_neighbours(place.layer, contact, infectious)

    def counts(self, before: Array, after: Array, place: Place) -> Array:
        """Return int32 [3, G], the tallies of a step in agents."""
        return self.sums(jnp.stack([after == 0, after == 1, (before == 0) & (after == 1)]), place)

    def sums(self, values: Array, place: Place) -> Array:
        """Return values [K, N] summed by group, [K, G]; booleans as int32."""
        values = values.astype(jnp.int32) if values.dtype == bool else values
        if self.groups == 1:
            return values.sum(1, keepdims=True)
        return jax.vmap(lambda row: jax.ops.segment_sum(row, place.group, self.groups))(values)

    def _params(self, course: Course, step: Any, initial: Array) -> Any:
        given = {"beta": course.beta[step], "initial": initial}
        if self.kernel != "si":
            given["gamma"] = course.gamma[step]
        return find(self.kernel, "contagion").Params(**given)

    def _clock(self, step: Any) -> Clock:
        return Clock(jnp.int32(step), self.dt)

    def _value(self, theta: Mapping[str, Any], given: str | float) -> Array:
        if not isinstance(given, str):
            return jnp.float32(given)
        if given not in theta:
            raise unknown("contagion", "parameter", given, theta)
        return jnp.asarray(theta[given], jnp.float32)

    def _by_step(self, theta: Mapping[str, Any], given: str | float) -> Array:
        value = self._value(theta, given)
        if value.ndim == 0:
            return jnp.broadcast_to(value, self.steps)
        if value.ndim > 1 or value.shape[0] > self.steps:
            raise CalibrationError(f"contagion: {given}: expected at most {self.steps} values, got {list(value.shape)}")
        return value[(np.arange(self.steps) * value.shape[0]) // self.steps]


def words(seeds: HostArray) -> HostArray:
    """Return seeds [S] as uint32 [S, 2], low and high word.

    Raises:
        CalibrationError: A negative seed.
    """
    seeds = np.asarray(seeds)
    if (seeds < 0).any():
        raise CalibrationError("seeds: expected integers of at least 0")
    wide = seeds.astype(np.uint64)
    return np.stack([wide & np.uint64(0xFFFF_FFFF), wide >> np.uint64(32)], -1).astype(np.uint32)
