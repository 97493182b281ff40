"""Policy that would make a step too long: more meetings than a kernel can hold in it.

A kernel's `check` refuses parameters that ask for more than one meeting of a pair, or one event of an agent, a step
where its schedule allows no more, and for more than a thousand events of an agent where one follows the other. Policy,
or a layer's constant scale, can ask for the same later, by contacts that are scaled up or a parameter that is raised:
then a chance would end at 1, and part of the intervention would have no effect, or a step would take days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lpm.errors import InputError
from lpm.model import Behaviour
from lpm.policy import Arm, PolicyData, PolicyPlan, policy_data


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found, and told, here
def refuse_saturation(
    behaviours: Sequence[Behaviour],
    params: Mapping[str, Any],
    made: PolicyPlan,
    arms: Sequence[Arm],
    steps: int,
    dt: float,
    where: str,
) -> None:
    """Check every kernel under the largest contacts and parameters that policy gives it at any step.

    A step of dt days whose contacts are scaled by f is as long for `Kernel.check` as one of f dt days.

    Args:
        behaviours: The kernels.
        params: Their parameters by instance name, before policy.
        made: The union of all arms' interventions.
        arms: The arms.
        steps: Steps of the run.
        dt: Length of a step in days.
        where: Named in the error.

    Raises:
        InputError: What the kernel's `check` says, or a factor that float32 cannot hold.
    """
    for arm in arms:
        policy = policy_data(arm, made, steps)
        _refuse_infinite(made, policy, f"{where}: arm '{arm.name}'")
        for behaviour in behaviours:
            found = ((_most_of_layer(made, policy, layer), layer) for layer in behaviour.layers)
            times, most = max(found, default=(1.0, ""))
            before = params[behaviour.name]
            given = _most_of_parameters(made, policy, behaviour.name, before)
            if times <= 1 and given is before:
                continue
            scaled = f" (contacts of layer '{most}' scaled by {times:g})" if times > 1 else ""
            behaviour.kernel.check(given, f"{where}: arm '{arm.name}': '{behaviour.name}'{scaled}", dt * max(times, 1))


def _refuse_infinite(made: PolicyPlan, policy: PolicyData, where: str) -> None:
    """Raise `InputError` where what scales a layer or a parameter, all that is in force together, is beyond float32."""
    for names, arrays in ((made.layers, (policy.layers, policy.reduced)), (made.parameters, (policy.factors,))):
        wrong = ~np.all([np.isfinite(np.asarray(each)).all(0) for each in arrays], axis=0)
        if wrong.any():
            raise InputError(f"{where}: '{names[int(wrong.argmax())]}' is scaled by more than 3.4e38; use less")
    for lever in made.triggered:
        if not np.isfinite(np.asarray(policy.triggered[lever.name]["value"])).all():
            raise InputError(f"{where}: intervention '{lever.name}': expected a factor below 3.4e38")


def _most_of_layer(made: PolicyPlan, policy: PolicyData, layer: str) -> float:
    """Return the largest factor on a layer's contacts at any step, every condition on a metric taken as fulfilled."""
    if layer not in made.layers:
        return 1.0
    number = made.layers.index(layer)
    left = np.asarray(policy.layers)[:, number] * np.maximum(1 - np.asarray(policy.reduced)[:, number], 0)
    return float(_by_conditions(made, policy, layer, left).max(initial=0.0))


def _most_of_parameters(made: PolicyPlan, policy: PolicyData, name: str, params: Any) -> Any:
    """Return the parameters, those that policy raises at their largest."""
    for number, path in enumerate(made.parameters):
        instance, _, key = path.partition(".")
        if instance != name:
            continue
        value, fixed = np.asarray(getattr(params, key)), np.asarray(policy.fixed)[:, number]
        along = np.where(np.isnan(fixed), value.max(), fixed) * np.asarray(policy.factors)[:, number]
        most = float(_by_conditions(made, policy, path, along).max(initial=0.0))
        if most > value.max():
            params = replace(params, **{key: np.maximum(value, np.float32(most))})
    return params


def _by_conditions(made: PolicyPlan, policy: PolicyData, target: str, along: Any) -> Any:
    """Return the values [steps] of a target with the interventions under conditions, where they raise it."""
    for lever in made.triggered:
        numbers = policy.triggered[lever.name]
        for number, effect in enumerate(lever.effects):
            if effect.target == target and effect.kind in ("scale", "set"):
                value = np.asarray(numbers["value"])[:, number]
                changed = value if effect.kind == "set" else along * value
                along = np.where(np.asarray(numbers["on"]), np.maximum(along, changed), along)
    return along
