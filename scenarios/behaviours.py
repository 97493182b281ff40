"""The table `[archetypes]` of a scenario: who is alike, in which situations, and what each kind of people may do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from lpm.scenarios.values import Count, Name, Names, Part, as_tuple


class ActionTable(Part):
    """One thing that people may do.

    Attributes:
        name: As the table of behaviour names it.
        text: As it stands behind "Would you ..."; "" = the reference action, which nobody is asked about.
    """

    name: Name
    text: str = ""


class CountTable(Part):
    """People whose column has one of some levels, as a share of all or of the own group.

    Attributes:
        column: The column.
        levels: Those that are counted.
        by: Column of the group; absent = everybody.
        per: What the share is multiplied by: 100_000 = people in 100,000.
    """

    column: Name
    levels: Names
    by: Name | None = None
    per: Annotated[float, Field(gt=0)] = 1.0


class VariableTable(Part):
    """A variable of the situation; its value is the agent's column of its name unless one of the last three says more.

    Attributes:
        anchors: Values at which people are asked, rising; between them behaviour is interpolated.
        unit: Of the values.
        meaning: What it is.
        words: What a question says at each anchor; absent = the value with its unit.
        scale: On which values are interpolated.
        friends: Actions: the value is the share of an agent's contacts who did one of them last.
        counts: The value is a share of people.
        common: The value is the same for everybody: the parameter `orders` of kernel "compliance", which interventions
            set; the variable has that name. "archetype-choice" has none: there, declare a column of the people, and
            have interventions set it (`set_column`).
    """

    anchors: Annotated[tuple[float, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    unit: str = "1"
    meaning: str = ""
    words: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    scale: Literal["linear", "log1p"] = "linear"
    friends: Names = ()
    counts: CountTable | None = None
    common: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> VariableTable:
        if bool(self.friends) + (self.counts is not None) + self.common > 1:
            raise ValueError("expected at most one of friends, counts and common")
        return self


class ArchetypesTable(Part):
    """What `lpm archetypes` asks about, and what kernels that choose by a table choose by.

    Attributes:
        group: Columns whose combinations are the archetypes.
        cluster: Columns by which people are clustered into `count` archetypes; instead of `group`.
        count: Number of clusters.
        card: Template (Jinja2) of what is told of an archetype; absent = its columns.
        labels: What a column is called on a card; absent = its name.
        actions: What people may do.
        contexts: The situations, by the name of the variable; absent = one situation.
        form: How the question is put.
        formulas: By action, for the provider "rule".
        table: File of the table of behaviour beside the scenario; absent = none yet.
        source: Where the table comes from, as the report says it.
    """

    group: Names = ()
    cluster: Names = ()
    count: Count = 100
    card: str | None = None
    labels: dict[Name, str] = Field(default_factory=dict)
    actions: Annotated[tuple[ActionTable, ...], BeforeValidator(as_tuple), Field(min_length=2)]
    contexts: dict[Name, VariableTable] = Field(default_factory=dict)
    form: Literal["yes-no", "letters", "percent"] = "yes-no"
    formulas: dict[Name, str] = Field(default_factory=dict)
    table: Name | None = None
    source: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which people are alike."""
        return self.group or self.cluster

    @model_validator(mode="after")
    def _one_way(self) -> ArchetypesTable:
        if bool(self.group) == bool(self.cluster):
            raise ValueError("expected either 'group' or 'cluster', the columns by which people are alike")
        return self
