"""Interventions, surveys and arms as a scenario file writes them: when, whom, what, how much, at what cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from lpm.errors import nearest
from lpm.scenarios.acts import Cost, Message, Neighbours, NonNegative, Payment, Share, Ties, Top, When
from lpm.scenarios.names import ArmName, Title
from lpm.scenarios.values import (
    Condition,
    Length,
    Level,
    Moment,
    Name,
    Names,
    Part,
    Reduction,
    Shift,
    Wait,
    list_of,
    table_of,
)

ACTS = (
    "scale", "set", "reduce", "set_column", "scale_column", "add_ties", "remove_ties", "message", "pay",
)  # fmt: skip
"""What an intervention can do; each has exactly one of these keys."""

LEVERS = ("scale", "set", "reduce")
"""Acts on parameters and layers: they concern the whole run, so nobody can be singled out."""


class Intervention(Part):
    """One measure: when, whom, what, how much and at what cost; exactly one of the keys from `scale` to `pay`.

    Attributes:
        name: What it is called; absent = its label, else its number.
        label: What arms shift and omit, for several measures together.
        source: Where its numbers come from, or "guess".
        description: One sentence for the report.
        at: When it begins, a date or step; absent = at once.
        until: When it ends: the first date or step at which it is no longer in force.
        when: The metric that starts and ends it.
        where: Whom: the agents with these levels, numbers or ranges, by column.
        share: Share of them who are singled out, drawn once.
        top: Only those with the most neighbours.
        neighbours_of: Whom: those with a tie to these.
        scale: Factor on a layer or parameter, for everybody: a number, or the name of a series.
        set: Value of a layer or parameter, for everybody: a number, or the name of a series.
        reduce: Share of a layer's contacts that is taken away, for everybody: a number, or the name of a series.
        set_column: Value of a column of those reached: a number, or the name of a level.
        scale_column: Factor on a column of those reached.
        add_ties: Ties that are added to a dynamic layer, between those reached.
        remove_ties: Ties that are removed from a dynamic layer, between those reached.
        message: Adds an amount to a column of those reached.
        pay: Adds an amount to a column of those reached, in its unit.
        uptake: Chance that a person who is reached takes part.
        delay: From being reached to the effect.
        duration: How long the effect on a person lasts; absent = for good.
        capacity: Most people who are reached in a step.
        every: How often people are reached; absent = once.
        cost: What it costs.
    """

    name: Title
    label: Title | None = None
    source: str = ""
    description: str = ""
    at: Moment = 0
    until: Moment | None = None
    when: When | None = None
    where: Annotated[dict[Name, Condition], Field(min_length=1)] | None = None
    share: Share | None = None
    top: Top | None = None
    neighbours_of: Neighbours | None = None
    scale: Annotated[dict[Name, Reduction], Field(min_length=1)] | None = None
    set: Annotated[dict[Name, Reduction], Field(min_length=1)] | None = None
    reduce: Annotated[dict[Name, Reduction], Field(min_length=1)] | None = None
    set_column: Annotated[dict[Name, Level], Field(min_length=1)] | None = None
    scale_column: Annotated[dict[Name, NonNegative], Field(min_length=1)] | None = None
    add_ties: Ties | None = None
    remove_ties: Ties | None = None
    message: Message | None = None
    pay: Payment | None = None
    uptake: Share | None = None
    delay: Wait | None = None
    duration: Length | None = None
    capacity: Annotated[float, Field(gt=0)] | None = None
    every: Length | None = None
    cost: Cost | None = None

    @model_validator(mode="after")
    def _one_act(self) -> Intervention:
        acts = [act for act in ACTS if getattr(self, act) is not None]
        if len(acts) != 1:
            got = f"{' and '.join(acts)}" if acts else "none"
            raise ValueError(f"expected exactly one of {', '.join(ACTS)}; got {got}")
        if acts[0] in ("add_ties", "remove_ties"):
            for key in ("delay", "duration", "capacity", "cost"):
                if getattr(self, key) is not None:
                    raise ValueError(f"'{key}' concerns what is done to agents, but '{acts[0]}' acts on ties at once")
        if acts[0] in LEVERS and self.when is not None and self.delay is not None:
            raise ValueError("expected either 'when' or 'delay': a condition on a metric acts at the next step")
        if acts[0] in LEVERS:
            for key in ("where", "share", "top", "neighbours_of", "uptake", "capacity", "duration", "every"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"'{key}' concerns agents, but '{acts[0]}' acts on the whole run; set_column or scale_column "
                        "act on agents"
                    )
        return self

    @property
    def act(self) -> str:
        """The one key that says what is done."""
        return next(act for act in ACTS if getattr(self, act) is not None)


def _named(prefix: str) -> Callable[[Any], Any]:
    """Return a validator that gives interventions the names that they may leave out: the label, else the position."""

    def name(given: Any) -> Any:
        items = list_of(given)
        if items is None:
            return given
        tables = [(item, table_of(item)) for item in items]
        return tuple(
            item if table is None else {"name": table.get("label", f"{prefix} {number + 1}"), **table}
            for number, (item, table) in enumerate(tables)
        )

    return name


Interventions = Annotated[tuple[Intervention, ...], BeforeValidator(_named("intervention"))]
OwnInterventions = Annotated[tuple[Intervention, ...], BeforeValidator(_named("own intervention"))]


class Survey(Part):
    """Questions put to a sample of agents; it reads and never disturbs.

    Attributes:
        name: Name of the survey.
        every: Asked every so often ...
        at: ... or once.
        where: Who can be sampled.
        sample: Number of agents asked.
        ask: Columns whose answers are kept.
    """

    name: Title
    every: Length | None = None
    at: Moment | None = None
    where: Annotated[dict[Name, Condition], Field(min_length=1)] | None = None
    sample: Annotated[int, Field(ge=1)] = 1000
    ask: Annotated[Names, Field(min_length=1)]

    @model_validator(mode="after")
    def _once_or_often(self) -> Survey:
        if (self.every is None) == (self.at is None):
            raise ValueError("expected exactly one of every and at")
        return self


class Arm(Part):
    """One policy: the interventions in force everywhere, some shifted or left out, and its own.

    Attributes:
        name: Name of the arm.
        description: One sentence for the report.
        shift: Duration by label (or name) of an intervention; "-7d" is a week earlier.
        omit: Labels (or names) of interventions that are left out.
        interventions: The arm's own.
    """

    name: ArmName
    description: str = ""
    shift: dict[Name, Shift] = Field(default_factory=dict)
    omit: Names = ()
    interventions: OwnInterventions = ()

    def labels(self, common: tuple[Intervention, ...]) -> list[str]:
        """Return the labels and names that `shift` and `omit` can mean."""
        return sorted({text for each in common for text in (each.label, each.name) if text})

    def in_force(self, common: tuple[Intervention, ...]) -> tuple[tuple[Intervention, str | None], ...]:
        """Return this arm's interventions, each with its shift (None = where it stands)."""
        kept = [each for each in common if each.label not in self.omit and each.name not in self.omit]
        shifts = [self.shift.get(each.label or each.name, self.shift.get(each.name)) for each in kept]
        return (*zip(kept, shifts, strict=True), *((each, None) for each in self.interventions))

    def check(self, common: tuple[Intervention, ...], where: str) -> str:
        """Return what is wrong with the labels of `shift` and `omit`, "" when nothing is."""
        known = self.labels(common)
        for key, labels in (("shift", tuple(self.shift)), ("omit", self.omit)):
            for label in labels:
                if label not in known:
                    return f"{where}.{key}: unknown label '{label}'{nearest(label, known)}"
        return ""
