"""The engine as a simulator: any model of registered kernels as a pure function of some of their parameters.

A run is `lpm.trajectory`: the same bits as `lpm.simulation.Simulation`, in a static number of steps, so that estimators
may differentiate what its kernels let them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from lpm.calibration.problem import Pure
from lpm.errors import unknown
from lpm.kernel import declarations
from lpm.model import Member, Model, World
from lpm.ties import Ties
from lpm.trajectory import PEOPLE, groups_of, series, trajectory
from lpm.types import Columns, Tables


@dataclass(frozen=True)
class Engine(Pure):
    """A pure simulator made of kernels.

    Attributes:
        rules: The name and gradient rule (`lpm.kernel.GRADIENTS`) of every kernel that acts.
    """

    rules: tuple[tuple[str, str], ...] = ()


def engine(
    model: Model,
    agents: Columns,
    member: Member,
    world: World,
    steps: int,
    paths: Mapping[str, str],
    *,
    tables: Tables | None = None,
    ties: Mapping[str, Ties] | None = None,
    people: float = PEOPLE,
    batching: str = "map",
) -> Engine:
    """Return a simulator of the model's metrics.

    Args:
        model: What is simulated, on one device; on backend "xla" where it is to be differentiated.
        agents: Columns of table "agents".
        member: Parameters and policy; its seed is not used.
        world: Networks and ranks.
        steps: Number of steps.
        paths: "instance.parameter" by the name of a parameter of the space.
        tables: Columns of the other tables.
        ties: The dynamic layers as they begin.
        people: The most people of all agents together.
        batching: See `Pure`.

    Raises:
        InputError: A path that leads nowhere.
    """
    places = {name: _place(model, name, path) for name, path in paths.items()}

    def function(theta: Mapping[str, Any], key: Any, static: Any) -> Mapping[str, Any]:
        agents, member, world, tables, ties = static
        params = dict(member.params)
        for name, (instance, parameter) in places.items():
            given = jnp.asarray(theta[name], jnp.float32)
            params[instance] = replace(params[instance], **{parameter: given})
        words = jax.random.key_data(key)[::-1]  # the low word first
        run = replace(member, seed=words, params=params)
        return series(model, trajectory(model, agents, run, world, steps, tables=tables, ties=ties, people=people))

    rules = tuple((behaviour.kernel.name, behaviour.kernel.gradient) for behaviour in model.behaviours)
    static = (dict(agents), member, world, dict(tables or {}), dict(ties or {}))
    smooth = all(rule == "exact" for _, rule in rules)
    return Engine(function, groups_of(model.recorder), jax.tree.map(jnp.asarray, static), batching, smooth, rules)


def _place(model: Model, name: str, path: str) -> tuple[str, str]:
    where, known = f"engine: {name}", {behaviour.name: behaviour.kernel for behaviour in model.behaviours}
    instance, _, parameter = path.partition(".")
    if instance not in known:
        raise unknown(where, "kernel instance", instance, known)
    declared = declarations(known[instance].Params)
    if parameter not in declared:
        raise unknown(where, f"parameter of '{instance}'", parameter, declared)
    return instance, parameter
