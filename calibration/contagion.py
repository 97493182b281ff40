r"""Contagion on a static network as a simulator whose law is written out, so that estimators can look into it.

In a step of length :math:`\Delta t` agent i, susceptible, is infected with chance :math:`1 - e^{-x_i}`,
:math:`x_i = \beta_t \Delta t \sum_{(j \to i)} c_{ji} I_j`, an infectious one recovers (kernels `sis` and `sir`) with
chance :math:`1 - e^{-\gamma_t \Delta t}`, and agent i starts infectious with chance :math:`\min(1, s_g v_i)`: the share
s of its group times its own weight v. Simulations are the steps of the registered kernels `si`, `sis` and `sir` with
their own draws, bit for bit what the engine runs; nothing is restated but the chances.

Shapes: N agents, T steps, G groups, P coordinates, S seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.course import Law, Place, words
from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.problem import Problem
from lpm.errors import unknown
from lpm.network import Layer, Network, layout
from lpm.ops.neighbours import row_width
from lpm.types import Array, HostArray

KERNELS = ("si", "sis", "sir")
TALLIES = ("susceptible", "prevalence", "incidence")
"""What a step is summed up in; every metric is made of these."""


@functools.partial(jax.jit, static_argnums=0)
def _many(law: Law, theta: Any, seeds: Array, place: Place) -> Array:
    """Return int32 [B, T, 3, G], one simulation after the other."""

    def one(given: Any) -> Array:
        values, seed = given
        course, key = law.course(values), law.key(seed)

        def step(state: Array, number: Array) -> tuple[Array, Array]:
            after = law.step(key, course, place, state, number)
            return after, law.counts(state, after, place)

        start = law.start(key, course, place)
        return jax.lax.scan(step, start, jnp.arange(law.steps, dtype=jnp.int32))[1]

    return jax.lax.map(one, (theta, seeds))


@dataclass(frozen=True)
class Contagion:
    """A kernel of contagion on a network, as a simulator.

    Metrics, in people by step: `prevalence` (infectious after it), `susceptible`, and of `si` and `sir` `infected` (so
    far), of `sir` `recovered`: stocks; `incidence` (infected in it): a flow. Groups are "all", then `names`.

    Attributes:
        kernel: "si", "sis" or "sir".
        network: All rows; edge column `intensity` in 1/64 contacts a day, else one contact a day.
        steps: Number of steps T.
        beta: Name of a parameter of the space, or a number held fixed. A vector of K values holds each for T / K steps.
        gamma: The same; `si` has none.
        initial: The same; a vector has one share for each of `names`.
        dt: Length of a step in days.
        people: People that an agent stands for.
        group: int [N], position in `names`; None = no groups.
        names: Names of the groups.
        weight: float [N] >= 0, chance of starting infectious per unit of `initial`; None = 1.
    """

    kernel: str
    network: Network
    steps: int
    beta: str | float = "beta"
    gamma: str | float = "gamma"
    initial: str | float = "initial"
    dt: float = 1.0
    people: float = 1.0
    group: HostArray | None = field(default=None, compare=False)
    names: tuple[str, ...] = ()
    weight: HostArray | None = field(default=None, compare=False)

    def __post_init__(self):
        """Refuse what does not fit together."""
        if self.kernel not in KERNELS:
            raise unknown("contagion", "kernel", self.kernel, KERNELS)
        if self.steps < 1 or not self.dt > 0 or not self.people > 0:
            raise CalibrationError("contagion: expected at least one step, and dt and people above 0")
        size = self.network.size
        if (self.group is None) != (not self.names):
            raise CalibrationError("contagion: expected both group and names, or neither")
        if self.group is not None:
            group = np.asarray(self.group)
            if group.shape != (size,) or not np.isin(group, np.arange(len(self.names))).all():
                raise CalibrationError(f"contagion: group: expected {size} positions in names")
        if self.weight is not None:
            weight = np.asarray(self.weight)
            if weight.shape != (size,) or not (np.isfinite(weight) & (weight >= 0)).all():
                raise CalibrationError(f"contagion: weight: expected {size} finite numbers of at least 0")

    @functools.cached_property
    def law(self) -> Law:
        """What a compilation depends on."""
        groups = max(1, len(self.names))
        return Law(self.kernel, self.steps, self.dt, self.beta, self.gamma, self.initial, groups)

    @functools.cached_property
    def place(self) -> Place:
        """The arrays on the device."""
        size = self.network.size
        agents = {"id": jnp.arange(size, dtype=jnp.uint32), "present": jnp.ones(size, bool)}
        group = jnp.zeros(size, jnp.int32) if self.group is None else jnp.asarray(self.group, jnp.int32)
        weight = jnp.ones(size) if self.weight is None else jnp.asarray(self.weight, jnp.float32)
        layer: Layer = jax.tree.map(jnp.asarray, layout(self.network, width=row_width()))
        return Place(agents, layer, group, weight)

    @functools.cached_property
    def sizes(self) -> HostArray:
        """People by group, float64 [G]."""
        group = np.zeros(self.network.size, int) if self.group is None else np.asarray(self.group)
        return np.bincount(group, minlength=self.law.groups) * float(self.people)

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric."""
        named = {"si": ("infected",), "sis": (), "sir": ("infected", "recovered")}[self.kernel]
        return {name: ("all", *self.names) for name in (*TALLIES, *named)}

    def metrics(self, tallies: Any) -> dict[str, Any]:
        """Return by metric [..., T, groups] from tallies in agents [..., T, 3, G], of numpy or JAX."""
        xp: Any = np if isinstance(tallies, np.ndarray) else jnp
        people = tallies * self.people
        susceptible, prevalence, incidence = (people[..., i, :] for i in range(3))
        made = {"susceptible": susceptible, "prevalence": prevalence, "incidence": incidence}
        sizes = xp.asarray(self.sizes, people.dtype).reshape((1,) * (people.ndim - 2) + (-1,))
        made |= {"infected": sizes - susceptible, "recovered": sizes - susceptible - prevalence}
        made = {name: made[name] for name in self.groups}
        if not self.names:
            return made
        return {name: xp.concatenate([x.sum(-1, keepdims=True), x], -1) for name, x in made.items()}

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, T, groups]; the batch is filled up to a power of two, to compile rarely."""
        count = len(seeds)
        more = (1 << (count - 1).bit_length()) - count

        def filled(x: HostArray) -> Array:
            return jnp.asarray(np.concatenate([x, np.repeat(x[:1], more, 0)]) if more else x)

        used = {name for name in (self.beta, self.gamma, self.initial) if isinstance(name, str)}
        values = {name: filled(np.asarray(each, np.float32)) for name, each in theta.items() if name in used}
        made = _many(self.law, values, filled(words(seeds)), self.place)
        return self.metrics(np.asarray(made, np.float64)[:count])


def contagion_of(problem: Problem, estimator: str) -> Contagion:
    """Return the contagion that a problem simulates.

    Raises:
        UnusableError: It simulates something else.
    """
    if not isinstance(problem.simulator, Contagion):
        raise UnusableError(
            f"{estimator}: needs the law of a contagion on a static network (lpm.calibration.contagion.Contagion), the "
            f"problem has a {type(problem.simulator).__name__}; use common random numbers"
        )
    return problem.simulator
