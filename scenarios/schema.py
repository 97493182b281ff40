"""The scenario file, schema 1: what a TOML may say, as strict frozen models.

The models hold what the file says and nothing else; `lpm.scenarios.checks` compares it with the registered kernels,
builders and generators, and `lpm.scenarios.resolved` writes it back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from lpm import durations
from lpm.errors import InputError
from lpm.scenarios.columns import ColumnTable
from lpm.scenarios.described import with_descriptions
from lpm.scenarios.measured import Metric, Observed, Series, Worlds
from lpm.scenarios.measures import Arm, Intervention, Interventions, Survey
from lpm.scenarios.names import Label, MetricName
from lpm.scenarios.values import (
    Count,
    Date,
    Length,
    Moment,
    Name,
    Names,
    Part,
    Seeds,
    Setting,
    as_tuple,
    table_of,
)

LARGEST = 2**31 - 1
"""The largest number of agents and of steps: both are 32-bit on the device."""


def _declares_parameters(schema: dict[str, Any]) -> None:
    schema.get("properties", {}).pop("params", None)
    schema["additionalProperties"] = {
        "description": "a parameter: a number, text, list, numbers by level, or { value, unit, source, prior }"
    }


class Parametrised(Part):
    """A table whose further keys are parameters: of a kernel, a network builder or a population generator."""

    model_config = {"json_schema_extra": _declares_parameters}

    params: dict[str, Setting] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        table = table_of(given)
        if table is None:
            return given
        own = set(cls.model_fields) - {"params"}
        keys = {key: value for key, value in table.items() if key in own}
        return {**keys, "params": {key: value for key, value in table.items() if key not in own}}


class PopulationTable(Parametrised):
    """Who there is: made by a registered generator or read from a file of agents.

    Attributes:
        generator: Name of a registered generator.
        file: A parquet or CSV file beside the scenario, one row an agent.
        size: Number of agents; with a file, absent = all its rows.
        people: People that all agents together stand for; absent = the generator's number, else one each.
        seed: Seed of the synthesis; the networks are drawn from it too unless they have their own.
        columns: Further declared columns.
    """

    generator: Name | None = None
    file: Name | None = None
    size: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    people: Annotated[float, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    columns: Annotated[tuple[ColumnTable, ...], BeforeValidator(as_tuple)] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> PopulationTable:
        if self.generator is not None and self.file is not None:
            raise ValueError("expected at most one of generator and file, got both")
        if self.file is None and self.size is None:
            raise ValueError("expected a key 'size' (number of agents), it is missing")
        return self


class LayerTable(Parametrised):
    """One network layer.

    Attributes:
        name: Name of the layer.
        builder: Registered name of its builder.
        seed: Seed of the layer; absent = the population's (layers of different names differ all the same).
        scale: Constant factor on its contacts.
        home: Contacts that go on when a person withdraws from public life (`activity` does not touch them).
        dynamic: Its ties can be added and removed while the scenario runs.
        capacity: Most ties that a dynamic layer can have at once; absent = a quarter more than at the start.
        source: Where it comes from.
    """

    name: Label
    builder: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    scale: Annotated[float, Field(ge=0)] = 1.0
    home: bool = False
    dynamic: bool = False
    capacity: Count | None = None
    source: str = ""


class OtherTable(Part):
    """The size of a table that kernels declare beside "agents" (songs, places, messages).

    Attributes:
        rows: Number of its rows.
    """

    rows: Count


class KernelTable(Parametrised):
    """One instance of a kernel; its name is the kernel's unless it says another.

    Attributes:
        kernel: Registered name.
        name: Name of the instance; draws belong to it.
        layers: The layers that it sees; absent = all.
        columns: What the kernel's columns are called here ({ place = "borough" }); absent = as the kernel does.
        cascades: Keep who reached whom, for `cascades.parquet`; the run is the same without it.
    """

    kernel: Name
    name: Label
    layers: Names = ()
    columns: dict[Name, Name] = Field(default_factory=dict)
    cascades: bool = False

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        table = table_of(given)
        return given if table is None or "kernel" not in table else {"name": table["kernel"], **table}


class Scenario(Part):
    """A whole scenario file.

    Attributes:
        schema: Version of the format: 1.
        name: What the run's folder is called.
        title: Heading of the report.
        description: The question, in a sentence.
        assumptions: What the reader has to know, a sentence each.
        calibrated: The parameters were fitted to data.
        step: Length of a step.
        start: Date of the first step; absent = steps have numbers only.
        report_from: First date or step that is reported; absent = all.
        steps: Number of steps.
        backend: What the hot loops run on.
        population: Who there is.
        networks: Who meets whom, layer by layer.
        kernels: The rules of behaviour.
        tables: Sizes of the tables beside the agents, by name.
        series: Curves that interventions follow, by name.
        metrics: What is measured, by name.
        unpredictability: What is compared between seeds at the end, by name.
        interventions: What is in force in every arm that does not omit it.
        surveys: Questions put to a sample.
        arms: What is compared; the others with the first.
        data: Observed figures, by the metric that they stand beside.
        horizon: Steps that the dates were written for; absent = `steps`. `--steps` sets it, so that a shortened run
            is not refused because a measure begins after its end.
        chosen: How the values of the parameters were chosen, in a sentence, as the report says it.
        headline: The metric that the report begins with; absent = deaths, else the first flow.
        draws: "prior", or a file of parameter draws beside the scenario; absent = fixed parameters.
        seeds: Number of seeds (0, 1, ...), or the seeds themselves.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
    title: str = ""
    description: str = ""
    assumptions: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    chosen: str = ""
    calibrated: bool = False
    headline: Name | None = None
    step: Length = "1d"
    start: Date | None = None
    report_from: Moment | None = None
    steps: Annotated[int, Field(ge=1, le=LARGEST)]
    horizon: Count | None = None
    seeds: Seeds = (0, 1, 2, 3)
    draws: Name | None = None
    backend: Literal["auto", "xla", "numba", "pallas"] = "auto"
    population: PopulationTable
    networks: Annotated[tuple[LayerTable, ...], BeforeValidator(as_tuple)] = ()
    kernels: Annotated[tuple[KernelTable, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    tables: dict[Label, OtherTable] = Field(default_factory=dict)
    series: dict[Name, Series] = Field(default_factory=dict)
    metrics: dict[MetricName, Metric] = Field(default_factory=dict)
    unpredictability: dict[Name, Worlds] = Field(default_factory=dict)
    interventions: Interventions = ()
    surveys: Annotated[tuple[Survey, ...], BeforeValidator(as_tuple)] = ()
    arms: Annotated[tuple[Arm, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (Arm(name="baseline"),)
    data: dict[Name, Observed] = Field(default_factory=dict)

    _folder: str = PrivateAttr(default="")
    _label: str = PrivateAttr(default="scenario")
    _elsewhere: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def folder(self) -> str:
        """Folder that file names are relative to; nothing outside it is read."""
        return self._folder

    @property
    def label(self) -> str:
        """Name of the file for errors."""
        return self._label

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """Paths of files that the user gave on the command line, by the name that the scenario calls them."""
        return self._elsewhere

    @property
    def step_days(self) -> float:
        """Length of a step in days."""
        return durations.days(self.step, f"{self.label}: step")

    def index(self, moment: int | dt.date, where: str) -> int:
        """Return the step that begins at a date, negative before the start; a number is a step already.

        Raises:
            InputError: A date without a `start`, or one between two steps.
        """
        if isinstance(moment, int):
            return moment
        if self.start is None:
            raise InputError(f"{where}: expected a step number, got the date {moment}; the scenario has no 'start'")
        begin, then = (
            each if isinstance(each, dt.datetime) else dt.datetime.combine(each, dt.time())
            for each in (self.start, moment)
        )
        count = (then - begin) / dt.timedelta(days=1) / self.step_days
        if abs(count - round(count)) > 1e-9:
            raise InputError(f"{where}: {moment} lies between two steps of {self.step}")
        return round(count)

    def steps_of(self, length: str | None, where: str) -> int:
        """Return a duration as a whole number of steps, 0 for None."""
        return 0 if length is None else durations.steps(length, self.step_days, where)

    def interventions_of(self, arm: Arm) -> tuple[tuple[Intervention, str | None], ...]:
        """Return the interventions in force in an arm, each with its shift (None = where it stands)."""
        return arm.in_force(self.interventions)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the scenario file."""
    schema = with_descriptions(Scenario.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "lpm scenario, schema 1", **schema}
