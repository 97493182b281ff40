"""Policy on the host: interventions, arms, and their arrays.

An intervention says *when*, *whom*, *what* and *how*. What touches the whole run (a layer's contacts, a parameter)
becomes one number per step; what touches agents becomes a lever (`lpm.levers`). Arms differ in these arrays only, so
that one compilation serves all arms: the arrays are data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from lpm.errors import InputError
from lpm.types import Array, HostArray

SCALAR = ("scale", "set", "reduce")
"""What acts on a layer or a parameter."""

FOREVER = 2**31 - 1


@dataclass(frozen=True)
class Filter:
    """Agents whose column is among `codes`, or between `low` and `high` where there are no codes."""

    column: str
    codes: tuple[int, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Trigger:
    """In force once the metric of the step before is above (below) a value, until it is back past `release`.

    Attributes:
        metric: A flow or stock.
        group: Name of its group.
        level: Value in people.
        rising: True: above; False: below.
        release: Value at which it ends; NaN: it stays until `stop`.
    """

    metric: str
    group: str
    level: float
    rising: bool = True
    release: float = float("nan")


@dataclass(frozen=True)
class Effect:
    """One thing that is done.

    Attributes:
        kind: "scale", "set" or "reduce" of a layer ("community") or parameter ("seir.beta"); "set_column",
            "scale_column" or "add_column" of a column; "add_ties" or "remove_ties" of a dynamic layer.
        target: Name of the layer, parameter or column.
        value: A number, or a number per step of the run (before any shift).
    """

    kind: str
    target: str
    value: float | tuple[float, ...]

    def at(self, steps: int, shift: int) -> HostArray:
        """Return float32 [steps], the value in force at every step, shifted by a number of steps."""
        if not isinstance(self.value, tuple):
            return np.full(steps, self.value, np.float32)
        given = np.asarray(self.value, np.float32)
        return given[np.clip(np.arange(steps) - shift, 0, len(given) - 1)]


@dataclass(frozen=True)
class Intervention:
    """When, whom, what and how; see the fields.

    Attributes:
        name: Name, once per arm.
        effects: What is done; all on the whole run, or all on agents.
        label: Arms shift or omit interventions by this.
        start: First step in force.
        stop: First step no longer in force: nobody is reached any more, and what it holds for agents ends.
        trigger: Condition on a metric.
        where: Filters that must all hold.
        share: Share of those, drawn once per agent.
        top: (layer, share of agents): only those of highest degree there; ("", 1.0) = all.
        neighbours: Layers: take the neighbours there of those who pass `where`, instead of them.
        uptake: Chance that an agent who is reached takes part, drawn once per agent.
        delay: Steps from being reached to the effect.
        duration: Steps that the effect lasts; None = for good.
        capacity: People per step who can be reached; None = no limit.
        every: Agents are reached every so many steps.
        cost_person: Cost of reaching one person.
        cost_day: Cost of one person in effect for a day.
        cost_unit: Unit of the costs.
        source: Where the numbers come from.
        description: For people.
        shift: Steps by which an arm moves the intervention (and its series).
    """

    name: str
    effects: tuple[Effect, ...]
    label: str = ""
    start: int = 0
    stop: int = FOREVER
    trigger: Trigger | None = None
    where: tuple[Filter, ...] = ()
    share: float = 1.0
    top: tuple[str, float] = ("", 1.0)
    neighbours: tuple[str, ...] = ()
    uptake: float = 1.0
    delay: int = 0
    duration: int | None = None
    capacity: float | None = None
    every: int = 1
    cost_person: float = 0.0
    cost_day: float = 0.0
    cost_unit: str = ""
    source: str = ""
    description: str = ""
    shift: int = 0

    @property
    def on_agents(self) -> bool:
        """Whether it acts on agents, or on ties of agents (and not on the whole run)."""
        return self.effects[0].kind not in SCALAR

    @property
    def on_ties(self) -> bool:
        """Whether it adds or removes ties."""
        return self.effects[0].kind in ("add_ties", "remove_ties")

    def in_force(self, steps: int) -> HostArray:
        """Return bool [steps], the steps at which it is in force as far as dates say."""
        t = np.arange(steps)
        late = 0 if self.on_agents else self.delay
        on = (t >= self.start + self.shift + late) & (t < min(self.stop, FOREVER - abs(self.shift)) + self.shift)
        return on & ((t - self.start - self.shift) % self.every == 0) if self.on_agents else on

    def structure(self) -> Intervention:
        """Return what a compilation depends on: the same in arms that differ only in numbers and dates."""
        plain = tuple(replace(effect, value=0.0) for effect in self.effects)
        trigger = None if self.trigger is None else replace(self.trigger, level=0.0, release=0.0)
        return Intervention(
            self.name, plain, trigger=trigger, where=self.where, top=self.top, neighbours=self.neighbours,
            duration=None if self.duration is None else 0, capacity=None if self.capacity is None else 0.0,
        )  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One arm of a scenario: its name and the interventions in force in it."""

    name: str
    interventions: tuple[Intervention, ...] = ()
    description: str = ""


def shifted(interventions: Sequence[Intervention], shift: Mapping[str, int]) -> tuple[Intervention, ...]:
    """Return the interventions, those of a label in `shift` moved by that many steps."""
    return tuple(replace(i, shift=i.shift + shift.get(i.label, 0)) if i.label else i for i in interventions)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PolicyData:
    """An arm's policy as arrays; T steps, L layers, P parameters, K triggered and J agent interventions.

    Attributes:
        layers: float32 [T, L], factors on each layer's contacts.
        reduced: float32 [T, L], sums of the reductions of each layer's contacts.
        factors: float32 [T, P], factors on parameters.
        fixed: float32 [T, P], values that parameters are set to, NaN = not set.
        triggered: Per triggered intervention: `on` bool [T], `value` float32 [T, effects], `level`, `release`.
        agents: Per agent intervention: `on` bool [T], `value` float32 [T, effects], `share`, `uptake`, `delay`,
            `duration`, `capacity`, and `level`, `release` of its trigger.
    """

    layers: Array
    reduced: Array
    factors: Array
    fixed: Array
    triggered: dict[str, dict[str, Array]]
    agents: dict[str, dict[str, Array]]


@dataclass(frozen=True)
class PolicyPlan:
    """What a compilation depends on: the union over all arms.

    Attributes:
        layers: Names of the layers, in the order of `PolicyData.layers`.
        parameters: Paths ("seir.beta") of the parameters that some arm touches.
        triggered: Structures of the triggered interventions on the whole run.
        agents: Structures of the interventions on agents.
    """

    layers: tuple[str, ...]
    parameters: tuple[str, ...]
    triggered: tuple[Intervention, ...]
    agents: tuple[Intervention, ...]


def plan(arms: Sequence[Arm], layers: Sequence[str]) -> PolicyPlan:
    """Return the union of all arms' interventions.

    Raises:
        InputError: Two interventions of one name differ in more than numbers and dates.
    """
    triggered: dict[str, Intervention] = {}
    agents: dict[str, Intervention] = {}
    touched: dict[str, None] = {}
    for arm in arms:
        for intervention in arm.interventions:
            touched |= {e.target: None for e in intervention.effects if e.kind in SCALAR and e.target not in layers}
            if not intervention.on_agents and intervention.trigger is None:
                continue
            home, form = (agents if intervention.on_agents else triggered), intervention.structure()
            if home.setdefault(intervention.name, form) != form:
                raise InputError(
                    f"arms.{arm.name}.{intervention.name}: another arm's intervention of this name acts on others or "
                    "does something else; give one of them another name"
                )
    return PolicyPlan(tuple(layers), tuple(touched), tuple(triggered.values()), tuple(agents.values()))


def policy_data(arm: Arm, made: PolicyPlan, steps: int) -> PolicyData:
    """Return the arrays of one arm (numpy)."""
    layers, reduced, factors, fixed = _whole_run(arm, made, steps)
    present = {i.name: i for i in arm.interventions}
    triggered = {form.name: _numbers(present.get(form.name), form, steps) for form in made.triggered}
    agents = {form.name: _numbers(present.get(form.name), form, steps) for form in made.agents}
    arrays: Any = (layers, reduced, factors, fixed, triggered, agents)
    return PolicyData(*arrays)


def _whole_run(arm: Arm, made: PolicyPlan, steps: int) -> tuple[HostArray, HostArray, HostArray, HostArray]:
    """Return [T, L] factors and reductions, [T, P] factors and settings of what dates alone decide."""
    layers = np.ones((steps, len(made.layers)), np.float32)
    reduced = np.zeros((steps, len(made.layers)), np.float32)
    factors = np.ones((steps, len(made.parameters)), np.float32)
    fixed = np.full((steps, len(made.parameters)), np.nan, np.float32)
    for intervention in arm.interventions:
        if intervention.on_agents or intervention.trigger is not None:
            continue
        on = intervention.in_force(steps)
        for effect in intervention.effects:
            value = effect.at(steps, intervention.shift + intervention.delay)
            if effect.target in made.layers:
                column = made.layers.index(effect.target)
                if effect.kind == "reduce":
                    reduced[:, column] += np.where(on, value, 0)
                elif effect.kind == "scale":
                    layers[:, column] *= np.where(on, value, 1)
                else:
                    layers[on, column] = value[on]
            else:
                column = made.parameters.index(effect.target)
                if effect.kind == "scale":
                    factors[:, column] *= np.where(on, value, 1)
                else:
                    fixed[on, column] = value[on]
    return layers, reduced, factors, fixed


def _numbers(intervention: Intervention | None, form: Intervention, steps: int) -> dict[str, Any]:
    """Return the numbers of a triggered or agent intervention; one that the arm lacks is never in force."""
    here = form if intervention is None else intervention
    on = np.zeros(steps, bool) if intervention is None else intervention.in_force(steps)
    trigger = here.trigger or Trigger("", "", 0.0)
    return {
        "on": on,
        "value": np.stack([effect.at(steps, here.shift) for effect in here.effects], -1),
        "share": np.float32(here.share),
        "uptake": np.float32(here.uptake),
        "delay": np.int32(here.delay),
        "duration": np.int32(FOREVER if here.duration is None else here.duration),
        "until": np.int32(FOREVER if here.stop == FOREVER else here.stop + here.shift),
        "capacity": np.float32(0 if here.capacity is None else here.capacity),
        "level": np.float32(trigger.level),
        "release": np.float32(trigger.release),
    }
