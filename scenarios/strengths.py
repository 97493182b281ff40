"""How strong the interventions of a label are: a factor on what they change, 1 = as they are written.

An intervention that scales a layer or parameter by f scales it by max(0, 1 + s (f - 1)) at strength s, and one that
takes away the share r of a layer's contacts takes away s r. So 0 is none of it, and 0.5 half of it. Strengths are
parameters like those of kernels, with the path "strengths.orders": they can be set, drawn and fitted.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.kernel import Kernel, parameter
from lpm.policy import Arm, Effect

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

NAME = "strengths"
"""Key of the table, and owner of the paths."""

WEAKENED = ("scale", "reduce")
"""What a strength acts on."""


def labels(scenario: Scenario) -> tuple[str, ...]:
    """Return the labels that can have a strength: one word, of interventions that scale or reduce for everybody."""
    every = [*scenario.interventions, *(each for arm in scenario.arms for each in arm.interventions)]
    named = [each.label for each in every if each.label and each.act in WEAKENED]
    return tuple(dict.fromkeys(name for name in named if name.isidentifier()))


@functools.cache
def kernel_of(names: tuple[str, ...]) -> type[Kernel]:
    """Return a class that declares one parameter a label, as a kernel declares its own."""
    fields = [
        (
            name,
            float,
            parameter(
                1.0,
                unit="1",
                bounds=(0.0, 10.0),
                meaning=f"strength of the interventions labelled '{name}': 1 = as written, 0 = none of it",
                source="by definition",
            ),
        )
        for name in names
    ]
    params = dataclasses.make_dataclass("Strengths", fields, frozen=True)
    return type("Strength", (Kernel,), {"name": NAME, "Params": params})


def strengthened(arm: Arm, strengths: Any) -> Arm:
    """Return an arm whose interventions are as strong as `strengths` (an instance of `kernel_of(...).Params`) says."""
    factors = {each.name: float(getattr(strengths, each.name)) for each in dataclasses.fields(strengths)}
    if all(factor == 1.0 for factor in factors.values()):
        return arm
    changed = [
        dataclasses.replace(
            each, effects=tuple(_effect(effect, factors.get(each.label, 1.0)) for effect in each.effects)
        )
        for each in arm.interventions
    ]
    return dataclasses.replace(arm, interventions=tuple(changed))


def _effect(effect: Effect, strength: float) -> Effect:
    if effect.kind not in WEAKENED or strength == 1.0:
        return effect
    value = np.asarray(effect.value, np.float64)
    new = strength * value if effect.kind == "reduce" else np.maximum(0.0, 1 + strength * (value - 1))
    return dataclasses.replace(effect, value=float(new) if new.ndim == 0 else tuple(float(v) for v in new))
