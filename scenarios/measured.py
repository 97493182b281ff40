"""Curves, metrics and observed figures as a scenario file writes them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from lpm.metric import BINNED, TIED
from lpm.scenarios.values import Date, Knot, Name, Names, OneOrMore, Part, as_tuple

DERIVED = ("share", "ratio", "reproduction")
"""Kinds that are made of other metrics."""

OF_COLUMN = ("mean", "sum", "variance", "bimodality", *BINNED, *TIED)
"""Kinds whose key names the column that they are told of."""

KINDS = ("flow", "stock", *OF_COLUMN, *DERIVED)
"""What a metric can be; each has exactly one of these keys."""

BELONGS = {
    "interval": ("reproduction",),
    "layer": TIED,
    "table": ("gini",),
    "bins": BINNED,
    "range": BINNED,
    "at": ("quantiles",),
    "alpha": ("esteban_ray",),
    "epsilon": ("clusters",),
    "mass": ("clusters",),
    "middle": ("cross_cutting",),
}
"""Kinds that a key belongs to."""

NEEDS = {
    "reproduction": ("interval",),
    "histogram": ("bins",),
    "esteban_ray": ("bins",),
    "quantiles": ("at",),
    "clusters": ("epsilon",),
    "cross_cutting": ("layer",),
    "assortativity": ("layer",),
}
"""Keys that a kind cannot do without: the result depends on them."""

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Series(Part):
    """A curve: linear between knots, 0 before the first, the last value held.

    Attributes:
        knots: Pairs of a date or step and a number, in order.
        source: Where they come from, or "guess".
    """

    knots: Annotated[tuple[Knot, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    source: str = ""


class Metric(Part):
    """What is measured every step, in people; exactly one of the kinds, from `flow` to `assortativity`.

    Attributes:
        flow: Levels of `column`; entries into them per step.
        stock: Levels of `column`; who is there.
        mean: A column; its mean over people.
        sum: A column; its sum over people.
        share: A flow: cumulative entries per person of the group; or a stock: who is there per person of the group.
        ratio: Two flows; cumulative entries of the first per entry of the second.
        reproduction: A flow of new infections; R(t) by the renewal equation with a gamma generation interval.
        variance: A column; its variance over people.
        bimodality: A column; Sarle's bimodality coefficient: 1 for two poles, 5/9 for an even spread.
        histogram: A column; people by bin, as columns `name.bin00`, `name.bin01`, ...
        quantiles: A column; its quantiles at the shares of `at`, as columns `name.q05`, ..., to a bin's width.
        clusters: A column; number of opinion clusters parted by gaps above `epsilon`.
        esteban_ray: A column; polarization of Esteban and Ray over the bins, 1 for two equal poles at the ends.
        gini: A column; its Gini coefficient over people, or over the rows of `table`, as downloads over songs.
        cross_cutting: A column; share of the ties of `layer` whose ends differ in level, or in sign about `middle`.
        assortativity: A column; correlation of the two ends of the ties of `layer` (of levels: Newman's coefficient).
        interval: Mean (days) and shape of the generation interval of a reproduction number.
        layer: Layer whose ties are looked at.
        table: Table whose rows are compared.
        bins: Number of bins; 200 where not declared and the result would only become finer with more.
        range: Ends of the bins; absent = the column's bounds. What lies beyond counts in the first or last bin.
        at: Shares at which quantiles are told.
        alpha: Identification of Esteban and Ray; 1.3 where not declared.
        epsilon: Widest gap within a cluster, in the column's unit.
        mass: Smallest share of people that is a cluster; 0.01 where not declared.
        middle: Divides the two sides of a column of numbers; absent = the middle of its bounds.
        column: The categorical column of flow and stock.
        by: Columns whose groups are shown, each alone and all together.
        title: What it is called in the report; absent = its name.
        unit: Its unit ("people"); absent = none.
        source: Where its numbers (as `interval`) come from.
    """

    flow: OneOrMore | None = None
    stock: OneOrMore | None = None
    mean: Name | None = None
    sum: Name | None = None
    share: Name | None = None
    ratio: Annotated[tuple[Name, Name], BeforeValidator(as_tuple)] | None = None
    reproduction: Name | None = None
    variance: Name | None = None
    bimodality: Name | None = None
    histogram: Name | None = None
    quantiles: Name | None = None
    clusters: Name | None = None
    esteban_ray: Name | None = None
    gini: Name | None = None
    cross_cutting: Name | None = None
    assortativity: Name | None = None
    interval: Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple)] | None = None
    layer: Name | None = None
    table: Name | None = None
    bins: Annotated[int, Field(ge=2)] | None = None
    range: Annotated[tuple[float, float], BeforeValidator(as_tuple)] | None = None
    at: Annotated[tuple[Share, ...], BeforeValidator(as_tuple), Field(min_length=1)] | None = None
    alpha: Annotated[float, Field(gt=0, le=1.6)] | None = None
    epsilon: Positive | None = None
    mass: Share | None = None
    middle: float | None = None
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
        kind = kinds[0]
        if (self.reproduction is None) != (self.interval is None):
            raise ValueError("expected reproduction and interval = [mean days, shape] together")
        for key, belongs in BELONGS.items():
            if getattr(self, key) is not None and kind not in belongs:
                raise ValueError(f"the key '{key}' belongs to {', '.join(belongs)}, not to {kind}")
        for key in NEEDS.get(kind, ()):
            if getattr(self, key) is None:
                raise ValueError(f"expected a key '{key}' beside {kind}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise ValueError("expected range = [low, high], low below high")
        if self.table is not None and (self.bins is not None or self.range is not None or self.by):
            raise ValueError("the rows of a table are compared exactly and as a whole: no bins, range or by")
        if self.at is not None and len({f"{share:.12f}" for share in self.at}) != len(self.at):
            raise ValueError("expected every share of 'at' once, got one twice")
        if len(set(self.by)) != len(self.by):
            raise ValueError("expected every column of 'by' once, got one twice")
        return self

    @property
    def kind(self) -> str:
        """The one key that says what is measured."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def of_column(self) -> str | None:
        """The column that it is told of, None where `column` or other metrics say it."""
        return getattr(self, self.kind) if self.kind in OF_COLUMN else None

    @property
    def refers(self) -> tuple[str, ...]:
        """Names of the metrics that this one is derived from."""
        if self.ratio is not None:
            return self.ratio
        return tuple(name for name in (self.share, self.reproduction) if name is not None)


class Worlds(Part):
    """Counts over the rows of a table whose shares are compared between seeds when all have ended.

    Attributes:
        table: The table ("items").
        column: Its column of counts.
        title: Heading.
    """

    table: Name
    column: Name
    title: str = ""


class Observed(Part):
    """Real figures beside a metric: a table with a column of values, and the days or the arm that each is of.

    Attributes:
        file: A table beside the scenario.
        column: Its column of values.
        start: Its column of first days.
        end: Its column of last days, inclusive.
        group: Its column of levels of this grouping column; absent = figures of everybody.
        arm: Its column of names of arms: figures of the end of a run, without days.
        error: Its column of standard errors of these.
        likelihood: How they scatter around what the model expects, for `lpm calibrate`.
        sd: Their standard deviation, with the likelihood "normal".
        delay: Shares of what happens that are counted on the same step, one later, two later, ...
        fit_from: First day whose figures are fitted; absent = all of the run.
        fit: Whether they are fitted at all.
        source: Where they come from.
    """

    file: Name
    column: Name
    start: Name = "start"
    end: Name = "end"
    group: Name | None = None
    arm: Name | None = None
    error: Name | None = None
    likelihood: Literal["negative binomial", "poisson", "normal"] = "negative binomial"
    sd: Positive | None = None
    delay: Annotated[tuple[Share, ...], BeforeValidator(as_tuple)] = ()
    fit_from: Date | None = None
    fit: bool = True
    source: str = ""

    @model_validator(mode="after")
    def _days_or_arm(self) -> Observed:
        if self.arm is None and self.error is not None:
            raise ValueError("the key 'error' belongs to figures by 'arm'")
        if (self.likelihood == "normal") != (self.sd is not None):
            raise ValueError('expected likelihood = "normal" and sd together')
        if self.arm is not None and self.group is not None:
            raise ValueError("expected either 'arm' (figures of the end of a run) or 'group' (figures of days)")
        return self
