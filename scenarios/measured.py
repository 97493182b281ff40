"""Curves, metrics and observed figures as a scenario file writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from lpm.scenarios.values import Knot, Name, Names, OneOrMore, Part, as_tuple

KINDS = ("flow", "stock", "mean", "sum", "share", "ratio", "reproduction")
"""What a metric can be; each has exactly one of these keys."""

Positive = Annotated[float, Field(gt=0)]


class Series(Part):
    """A curve: linear between knots, 0 before the first, the last value held."""

    knots: Annotated[tuple[Knot, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    source: str = ""


class Metric(Part):
    """What is measured every step, in people; exactly one of the seven kinds.

    Attributes:
        flow: Levels of `column`; entries into them per step.
        stock: Levels of `column`; who is there.
        mean: A column; its mean over people.
        sum: A column; its sum over people.
        share: A flow; cumulative entries per person of the group.
        ratio: Two flows; cumulative entries of the first per entry of the second.
        reproduction: A flow of new infections; R(t) by the renewal equation with a gamma generation interval.
        interval: Mean (days) and shape of that generation interval.
        column: The categorical column of flow and stock.
        by: Columns whose groups are shown, each alone and all together.
    """

    flow: OneOrMore | None = None
    stock: OneOrMore | None = None
    mean: Name | None = None
    sum: Name | None = None
    share: Name | None = None
    ratio: Annotated[tuple[Name, Name], BeforeValidator(as_tuple)] | None = None
    reproduction: Name | None = None
    interval: Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple)] | None = None
    column: Name = "state"
    by: Names = ()
    title: str = ""
    unit: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Metric:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"expected exactly one of {', '.join(KINDS)}; got {' and '.join(kinds) or 'none'}")
        if (self.reproduction is None) != (self.interval is None):
            raise ValueError("expected reproduction and interval = [mean days, shape] together")
        if len(set(self.by)) != len(self.by):
            raise ValueError("expected every column of 'by' once, got one twice")
        return self

    @property
    def kind(self) -> str:
        """The one key that says what is measured."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def refers(self) -> tuple[str, ...]:
        """Names of the metrics that this one is derived from."""
        if self.ratio is not None:
            return self.ratio
        return tuple(name for name in (self.share, self.reproduction) if name is not None)


class Observed(Part):
    """Real figures beside a metric: a table with a column of values and the days that each covers."""

    file: Name
    column: Name
    start: Name = "start"
    end: Name = "end"
    group: Name | None = None
    source: str = ""
