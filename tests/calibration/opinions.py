"""Small problems of opinion dynamics: one that is smooth, and one whose thresholds are hard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from lpm.calibration.engine import Engine, engine
from lpm.calibration.estimators.thresholds import threshold
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.metrics import Metric

from ..conftest import Small, graph

GROUPS = {"spread": ("all",)}


def observed(values: Any, metric: str = "spread", sd: float = 0.01) -> Observation:
    """Return one value a step, with normal errors."""
    values = np.asarray(values, np.float64)
    steps = np.arange(len(values))
    return Observation((Series(metric, values, steps, steps + 1, ("all",) * len(values), False, Normal(sd)),))


def simulated(kernel: str, paths: Mapping[str, str], size: int = 300, steps: int = 8) -> Engine:
    """Return the engine's own kernel, observed by the variance of opinions, on XLA."""
    metrics = (Metric("spread", "variance", "opinion"),)
    small = Small(kernel, graph("erdos-renyi", size, mean_degree=8.0), size, metrics, steps=steps)
    model = replace(small.simulation.model, backend="xla")
    member = jax.tree.map(lambda leaf: leaf[0], small.member(0))
    return engine(model, small.agents, member, small.world, steps, paths, people=size)


def problem_of(simulator: Any, priors: Mapping[str, Any], truth: Mapping[str, float], scale: float = 1.1) -> Any:
    """Return a problem whose data are `scale` times a run at the truth, and the point of the truth."""
    space = Space(priors)
    u = np.asarray(space.unconstrain({k: jnp.float32(v) for k, v in truth.items()}), np.float64)
    values = simulator.run({k: np.asarray([v]) for k, v in truth.items()}, np.asarray([77]))["spread"][0, :, 0]
    return Problem(space, observed(scale * values), simulator), u


def bounded(size: int, steps: int, differentiable: bool = False) -> Pure:
    """Return bounded confidence in random pairs: both move by mu of their distance where it is below epsilon.

    x_i += mu [|x_j - x_i| < epsilon] (x_j - x_i), x uniform in [0, 1] at the start; `spread` is the variance of x.
    """

    def function(theta: Any, key: Any, static: Any) -> Mapping[str, Any]:
        first, *each = jax.random.split(key, steps + 1)
        x = jax.random.uniform(first, (size,))

        def step(x: Any, key: Any) -> tuple[Any, Any]:
            order = jax.random.permutation(key, size)
            a, b = x[order[: size // 2]], x[order[size // 2 :]]
            move = theta["mu"] * threshold(jnp.abs(b - a), theta["epsilon"]) * (b - a)
            x = x.at[order[: size // 2]].add(move).at[order[size // 2 :]].add(-move)
            return x, jnp.var(x)

        return {"spread": jax.lax.scan(step, x, jnp.stack(each))[1][:, None]}

    return Pure(function, GROUPS, differentiable=differentiable)


PAIR = {"epsilon": dist.LogNormal(-1.5, 0.5), "mu": dist.LogNormal(-1.0, 0.5)}
"""Priors of bounded confidence."""

AT = {"epsilon": 0.2, "mu": 0.3}
"""Where its gradients are looked at."""
