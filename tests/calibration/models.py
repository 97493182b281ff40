"""Simulators with a known posterior, and a stochastic epidemic that is small and fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.types import HostArray

PROCESS = 1.5
"""Standard deviation of the linear model's own chance, in units of the noise of its data."""


def series(metric: str, values: HostArray, **options: Any) -> Series:
    """Return one value a step of everybody."""
    steps = np.arange(len(values))
    return Series(metric, np.asarray(values, np.float64), steps, steps + 1, ("all",) * len(values), **options)


@dataclass(frozen=True)
class Linear:
    """y = A u + B e + noise, e and noise standard normal, u ~ N(0, prior^2): its posterior is normal and known.

    Attributes:
        a: float64 [D, P].
        b: float64 [D, K], how the model's own chance enters.
        prior: Standard deviation of the prior.
    """

    a: HostArray
    b: HostArray
    prior: float = 1.0

    @property
    def covariance(self) -> HostArray:
        """Covariance [D, D] of the data around A u."""
        return np.eye(len(self.a)) + self.b @ self.b.T

    def problem(self, values: HostArray | None = None) -> Problem:
        """Return it as a problem with parameters "x0", "x1", ..."""
        count = self.a.shape[1]
        space = Space({f"x{i}": dist.Normal(0.0, self.prior) for i in range(count)})
        given = np.zeros(len(self.a)) if values is None else values

        def function(theta: Mapping[str, Any], key: Any, static: Any) -> dict[str, Any]:
            a, b = static
            u = jnp.stack([theta[f"x{i}"] for i in range(count)])
            return {"y": (a @ u + b @ jax.random.normal(key, b.shape[1:]))[:, None]}

        static = (jnp.asarray(self.a, jnp.float32), jnp.asarray(self.b, jnp.float32))
        simulator = Pure(function, {"y": ["all"]}, static, batching="vmap", differentiable=True)
        return Problem(space, Observation((series("y", given, likelihood=Normal(1.0)),)), simulator)

    def exact(self, values: HostArray) -> tuple[HostArray, HostArray]:
        """Return mean [..., P] and covariance [P, P] of the posterior, as textbooks have it."""
        inverse = np.linalg.inv(self.covariance)
        width = np.linalg.inv(np.eye(self.a.shape[1]) / self.prior**2 + self.a.T @ inverse @ self.a)
        return values @ inverse @ self.a @ width, width

    def drawn(self, count: int, seed: int) -> tuple[HostArray, HostArray]:
        """Return u [count, P] of the prior and data [count, D], drawn apart from the simulator."""
        generator = np.random.default_rng(seed)
        u = generator.normal(0, self.prior, (count, self.a.shape[1]))
        chance = generator.normal(size=(count, self.b.shape[1])) @ self.b.T
        return u, u @ self.a.T + chance + generator.normal(size=(count, len(self.a)))


def linear(size: int = 12, parameters: int = 2, seed: int = 3) -> Linear:
    """Return a linear model of some columns, whose chance is correlated over all values."""
    generator = np.random.default_rng(seed)
    return Linear(generator.normal(size=(size, parameters)), PROCESS * generator.normal(size=(size, 2)))


def epidemic(theta: Mapping[str, Any], key: Any, static: Any) -> dict[str, Any]:
    """Susceptible, infected, recovered under complete mixing: each person's fate has draws of its own, step by step.

    S -> I with 1 - exp(-beta I / N), I -> R with 1 - exp(-gamma); `static` is uint8 [steps, people], of zeros: its
    shape says how many of both there are.
    """
    steps, people = static.shape
    first, later = jax.random.split(key)
    infected = jax.random.uniform(first, (people,)) < theta["i0"]

    def step(state: Any, key: Any) -> Any:
        susceptible, infected = state
        draw = jax.random.uniform(key, (people,))
        caught = susceptible & (draw < -jnp.expm1(-theta["beta"] * infected.mean()))
        well = infected & (draw < -jnp.expm1(-theta["gamma"]))
        infected = (infected | caught) & ~well
        return (susceptible & ~caught, infected), (infected.sum(), caught.sum())

    _, (stock, flow) = jax.lax.scan(step, (~infected, infected), jax.random.split(later, steps))
    return {"infected": stock[:, None].astype(jnp.float32), "cases": flow[:, None].astype(jnp.float32)}


EPIDEMIC = Space({
    "beta": dist.LogNormal(float(np.log(0.3)), 0.3),
    "gamma": dist.LogNormal(float(np.log(0.1)), 0.3),
    "i0": dist.LogNormal(float(np.log(0.01)), 0.3),
})  # fmt: skip
"""Priors of an epidemic that takes off (R 3) within 50 days."""


def epidemic_problem(
    space: Space = EPIDEMIC, people: int = 1000, steps: int = 40, metric: str = "cases", **options: Any
) -> Problem:
    """Return the epidemic with one value a step; all its observed values are 1."""
    static = jnp.zeros((steps, people), jnp.uint8)
    groups = {"infected": ["all"], "cases": ["all"]}
    observation = Observation((series(metric, np.ones(steps), flow=metric == "cases", **options),))
    return Problem(space, observation, Pure(epidemic, groups, static, batching="vmap"))
