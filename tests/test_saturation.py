"""Policy that asks for more meetings than a step can hold is refused; a schedule that holds them takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import find
from lpm.model import Behaviour
from lpm.policy import Arm, Effect, Intervention, Trigger, plan
from lpm.saturation import refuse_saturation

MORE = Effect("scale", "contacts", 3.0)
FEWER = Effect("scale", "contacts", 0.3)


def tried(kernel: str, interventions: tuple[Intervention, ...], dt: float = 1.0, **values: Any) -> None:
    arms = (Arm("as it is"), Arm("other", interventions))
    behaviours = (Behaviour("talk", find(kernel, "test"), ("contacts",)),)
    params = {"talk": find(kernel, "test").Params(**values)}
    refuse_saturation(behaviours, params, plan(arms, ("contacts",)), arms, 10, dt, "test")


def test_scaled_contacts_are_refused_where_a_chance_would_end_at_one():
    with pytest.raises(InputError, match=r"test: arm 'other': 'talk' \(contacts scaled by 3\).meetings: expected at"):
        tried("deffuant", (Intervention("more", (MORE,)),), meetings=0.5)
    tried("deffuant", (Intervention("more", (MORE,)),), meetings=0.3)
    tried("deffuant", (Intervention("more", (MORE,)),), dt=0.5, meetings=0.5)
    tried("deffuant", (Intervention("more", (MORE,)),), meetings=0.5, schedule="random-sequential")
    tried("voter", (Intervention("more", (MORE,)),), revision=1.0, schedule="random-sequential")


def test_only_what_is_in_force_together_counts():
    """Factors multiply in the steps that they share; a reduction works against them."""
    first = Intervention("more", (MORE,), stop=5)
    tried("deffuant", (first, Intervention("fewer", (FEWER,))), meetings=1.0)
    with pytest.raises(InputError, match="scaled by 3"):
        tried("deffuant", (first, Intervention("fewer", (FEWER,), start=5)), meetings=1.0)


def test_conditions_are_taken_as_fulfilled():
    trigger = Trigger("opinion", "all", 1.0)
    with pytest.raises(InputError, match="scaled by 3"):
        tried("axelrod", (Intervention("more", (MORE,), trigger=trigger),), meetings=0.5)


def test_raised_parameters_are_refused_too():
    with pytest.raises(InputError, match="'talk'.meetings: expected at most 1"):
        tried("repulsion", (Intervention("more", (Effect("set", "talk.meetings", 2.0),)),), meetings=np.float32(0.5))
    with pytest.raises(InputError, match="'talk'.rate: expected at most 1"):
        tried("coevolving-voter", (Intervention("more", (Effect("scale", "talk.rate", 2.0),)),), rate=np.float32(1.0))
