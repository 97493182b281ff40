"""Interventions, surveys and arms as a scenario file writes them: when, whom, what, how much, at what cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lpm.errors import nearest
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

NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class When(Part):
    """A condition on a metric of the previous step, in people.

    Attributes:
        metric: Name of a metric.
        group: Group of the metric ("all", "borough=Bronx").
        above: The intervention starts when the metric is above this ...
        below: ... or below this.
        release: It stops when the metric is back below (above) this; absent = it stays on until `until`.
    """

    metric: Name
    group: Name = "all"
    above: float | None = None
    below: float | None = None
    release: float | None = None

    @model_validator(mode="after")
    def _one(self) -> When:
        if (self.above is None) == (self.below is None):
            raise ValueError("expected exactly one of above and below")
        if self.release is not None and self.above is not None and self.release > self.above:
            raise ValueError(f"expected release <= above, got {self.release} > {self.above}")
        if self.release is not None and self.below is not None and self.release < self.below:
            raise ValueError(f"expected release >= below, got {self.release} < {self.below}")
        return self


class Top(Part):
    """Those with the most neighbours in `layer`: so many of them that they stand for `count` people."""

    by: Literal["degree"] = "degree"
    layer: Name
    count: Annotated[float, Field(gt=0)]


class Neighbours(Part):
    """Those with a tie, in one of `layers`, to somebody who fulfils `where`."""

    where: Annotated[dict[Name, Condition], Field(min_length=1)]
    layers: Annotated[Names, Field(min_length=1)]


class Ties(Part):
    """Number of ties to add or remove per act."""

    layer: Name
    count: Annotated[int, Field(ge=1)]


class Message(Part):
    """A message: adds `amount` to a column of those who get it."""

    column: Name
    amount: float


class Payment(Part):
    """A payment: adds `amount`, in the column's unit, to a column of those who get it."""

    column: Name
    amount: float


class Cost(Part):
    """What an intervention costs: per person reached, and per person in effect and day."""

    per_person: NonNegative = 0.0
    per_day: NonNegative = 0.0
    unit: Name = "USD"
    source: str = ""


class Intervention(Part):
    """One measure; see the module `lpm.policy` for what each key does."""

    name: Name
    label: Name | None = None
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
    set: Annotated[dict[Name, float], Field(min_length=1)] | None = None
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
                    raise ValueError(f"'{key}' concerns agents, but '{acts[0]}' acts on the whole run")
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

    name: Name
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

    name: Name
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
