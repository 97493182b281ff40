"""The tables inside an intervention: its condition, its targets, what it does, what it costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lpm.scenarios.values import Condition, Name, Names, Part

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
    """Those with the most neighbours in a layer.

    Attributes:
        by: What is counted: "degree", the number of ties.
        layer: The layer.
        count: People that those who are chosen stand for together.
    """

    by: Literal["degree"] = "degree"
    layer: Name
    count: Annotated[float, Field(gt=0)]


class Neighbours(Part):
    """Those with a tie to somebody of some kind.

    Attributes:
        where: Levels, numbers or ranges by column: whose neighbours.
        layers: The layers whose ties count.
    """

    where: Annotated[dict[Name, Condition], Field(min_length=1)]
    layers: Annotated[Names, Field(min_length=1)]


class Ties(Part):
    """Ties to add or remove per act.

    Attributes:
        layer: A dynamic layer.
        count: Number of ties.
    """

    layer: Name
    count: Annotated[int, Field(ge=1)]


class Message(Part):
    """A message: adds to a column of those who get it.

    Attributes:
        column: The column.
        amount: What is added.
    """

    column: Name
    amount: float


class Payment(Part):
    """A payment: adds to a column of those who get it.

    Attributes:
        column: The column.
        amount: What is added, in the column's unit.
    """

    column: Name
    amount: float


class Cost(Part):
    """What an intervention costs.

    Attributes:
        per_person: For each person who is reached.
        per_day: For each person in effect and day.
        unit: Unit of money.
        source: Where the prices come from, or "guess".
    """

    per_person: NonNegative = 0.0
    per_day: NonNegative = 0.0
    unit: Name = "USD"
    source: str = ""
