"""Policy that asks for more meetings than a step can hold is refused; a schedule that holds them takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import declarations, find, kernels
from lpm.model import Behaviour
from lpm.ops.sequences import MOST_EVENTS
from lpm.policy import Arm, Effect, Intervention, Trigger, plan
from lpm.saturation import refuse_saturation
from tests.inputs import call

__all__ = ["call"]  # a fixture

MORE = Effect("scale", "contacts", 3.0)
FEWER = Effect("scale", "contacts", 0.3)

ONE_BY_ONE = {
    **dict.fromkeys(("voter", "q-voter", "majority"), "revision"),
    **dict.fromkeys(("deffuant", "repulsion", "axelrod"), "meetings"),
}
"""Kernels that offer a random-sequential schedule, and the parameter that says how many events an agent has."""


def tried(kernel: str, interventions: tuple[Intervention, ...], dt: float = 1.0, **values: Any) -> None:
    arms = (Arm("as it is"), Arm("other", interventions))
    behaviours = (Behaviour("talk", find(kernel, "test"), ("contacts",)),)
    params = {"talk": find(kernel, "test").Params(**values)}
    refuse_saturation(behaviours, params, plan(arms, ("contacts",)), arms, 10, dt, "test")


def test_scaled_contacts_are_refused_where_a_chance_would_end_at_one():
    with pytest.raises(InputError, match=r"'other': 'talk' \(contacts of layer 'contacts' scaled by 3\).meetings: exp"):
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


def test_every_schedule_of_single_events_is_tried():
    declared = {name: declarations(kernel.Params).get("schedule") for name, kernel in kernels().items()}
    assert {name for name, each in declared.items() if each and "random-sequential" in each.choices} == {*ONE_BY_ONE}


@pytest.mark.parametrize("kernel", ONE_BY_ONE)
def test_steps_of_endless_sequences_are_refused(kernel: str):
    """A thousand events of an agent is the most; all at once there is no sequence, and a chance ends at 1."""
    made, name = find(kernel, "test"), ONE_BY_ONE[kernel]
    in_turn = made.Params(schedule="random-sequential", **{name: 1.0})
    made.check(in_turn, "test", float(MOST_EVENTS))
    words = rf"test.{name}: expected at most 0.5 \(1,000 events an agent a step\), got 1; use shorter steps or a lower"
    with pytest.raises(InputError, match=words):
        made.check(in_turn, "test", 2.0 * MOST_EVENTS)
    if name == "revision":
        made.check(made.Params(revision=1.0), "test", 2.0 * MOST_EVENTS)


@pytest.mark.parametrize("kernel", ONE_BY_ONE)
def test_layers_that_make_a_sequence_endless_are_refused(kernel: str):
    asked: dict[str, Any] = {"schedule": "random-sequential", ONE_BY_ONE[kernel]: 1.0}
    tried(kernel, (Intervention("more", (Effect("scale", "contacts", 1e3),)),), **asked)
    words = rf"'talk' \(contacts of layer 'contacts' scaled by 1e\+09\).{ONE_BY_ONE[kernel]}: expected at most 1e-06"
    for trigger in (None, Trigger("opinion", "all", 1.0)):
        with pytest.raises(InputError, match=words):
            tried(kernel, (Intervention("more", (Effect("scale", "contacts", 1e9),), trigger=trigger),), **asked)
    with pytest.raises(InputError, match=f"'talk'.{ONE_BY_ONE[kernel]}: expected at most 1000"):
        raised = Effect("scale", f"talk.{ONE_BY_ONE[kernel]}", 2_000.0)
        asked[ONE_BY_ONE[kernel]] = np.float32(1.0)
        tried(kernel, (Intervention("more", (raised,)),), **asked)


@pytest.mark.parametrize("trigger", [None, Trigger("opinion", "all", 1.0)])
@pytest.mark.parametrize("target", ["contacts", "talk.revision"])
def test_factors_beyond_float32_are_refused(target: str, trigger: Trigger | None):
    beyond = Intervention("more", (Effect("scale", target, 1e39),), trigger=trigger)
    with pytest.raises(InputError, match="3.4e38"):
        tried("voter", (beyond,), revision=np.float32(0.0))


TALK = """
schema = 1
name = "talk"
steps = 2
[population]
size = 40
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 4
[[kernels]]
kernel = "voter"
schedule = "random-sequential"
[metrics]
votes = { stock = "for", column = "vote" }
[[arms]]
name = "as it is"
"""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("contacts.scale=1e9", "(contacts of layer 'contacts' scaled by 1e+09).revision: expected at most 1e-06"),
        ("contacts.scale=1e39", "'contacts' is scaled by more than 3.4e38"),
        ("step=10000d", "kernels[0].revision: expected at most 0.1 (1,000 events an agent a step), got 0.5"),
    ],
)
def test_a_run_that_would_not_end_is_one_line(changed: str, words: str, tmp_path: Path, call: Callable[..., str]):
    path = tmp_path / "talk.toml"
    path.write_text(TALK, encoding="utf-8")
    assert words in call(str(path), "--set", changed)
