"""What policy leaves of the whole run at a step: which conditions hold, the layers' contacts, the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from lpm.metrics import Recorder
from lpm.network import Layer
from lpm.policy import PolicyData, PolicyPlan
from lpm.types import Array


def conditions(
    plan: PolicyPlan,
    recorder: Recorder,
    policy: PolicyData,
    held: Mapping[str, Array],
    last: Mapping[str, Array],
    step: Array,
) -> dict[str, Array]:
    """Return for every triggered intervention whether its condition holds at a step.

    Args:
        plan: The union of all arms' interventions.
        recorder: Reads metrics from the sums.
        policy: The arm's numbers.
        held: What this function returned a step before.
        last: Sums of the step before.
        step: int32 scalar.
    """
    holds: dict[str, Array] = {}
    for lever in (*plan.triggered, *plan.agents):
        if lever.trigger is None:
            continue
        numbers = (policy.triggered | policy.agents)[lever.name]
        value = recorder.value(lever.trigger.metric, lever.trigger.group, last)
        sign = 1.0 if lever.trigger.rising else -1.0
        begins = sign * value > sign * numbers["level"]
        ends = sign * value < sign * numbers["release"]  # a release of NaN never ends it
        was = held[lever.name]
        if not lever.on_agents:  # a condition on agents' levers outlives the steps between two acts (`every`)
            was = was & numbers["on"][step]
        holds[lever.name] = begins | (was & ~ends)
    return holds


def layers_left(
    plan: PolicyPlan, layers: Mapping[str, Layer], policy: PolicyData, triggers: Mapping[str, Array], step: Array
) -> dict[str, Layer]:
    """Return the layers with what policy leaves of their contacts at a step: factors x max(0, 1 - reductions)."""
    scales = {name: policy.layers[step, i] for i, name in enumerate(plan.layers)}
    reduced = {name: policy.reduced[step, i] for i, name in enumerate(plan.layers)}
    for lever in plan.triggered:
        numbers = policy.triggered[lever.name]
        for i, effect in enumerate(lever.effects):
            if effect.target in scales:
                name, value = effect.target, numbers["value"][step, i]
                on = triggers[lever.name] & numbers["on"][step]
                if effect.kind == "reduce":
                    reduced[name] = reduced[name] + jnp.where(on, value, 0)
                else:
                    scales[name] = jnp.where(on, value if effect.kind == "set" else scales[name] * value, scales[name])
    left = {name: scales[name] * jnp.maximum(1 - reduced[name], 0) for name in scales}
    return {name: replace(layer, scale=left[name]) for name, layer in layers.items()}


def parameters_left(
    plan: PolicyPlan, name: str, params: Any, policy: PolicyData, triggers: Mapping[str, Array], step: Array
) -> Any:
    """Return the parameters of the kernel instance `name` as policy leaves them at a step."""
    for i, path in enumerate(plan.parameters):
        instance, _, key = path.partition(".")
        if instance != name:
            continue
        value, fixed = getattr(params, key), policy.fixed[step, i]
        value = jnp.where(jnp.isnan(fixed), value, fixed) * policy.factors[step, i]
        for lever in plan.triggered:
            numbers = policy.triggered[lever.name]
            for j, effect in enumerate(lever.effects):
                if effect.target == path:
                    given = numbers["value"][step, j]
                    now = given if effect.kind == "set" else value * given
                    value = jnp.where(triggers[lever.name] & numbers["on"][step], now, value)
        params = replace(params, **{key: value})
    return params
