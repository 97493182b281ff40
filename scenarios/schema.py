"""The scenario file, schema 1: what a TOML may say, as strict frozen models.

The models hold what the file says and nothing else; `lpm.scenarios.checks` compares it with the registered kernels,
builders and generators, and `lpm.scenarios.resolved` writes it back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from lpm import durations
from lpm.errors import InputError
from lpm.scenarios.behaviours import ArchetypesTable
from lpm.scenarios.described import with_descriptions
from lpm.scenarios.measured import Metric, Observed, Series, Worlds
from lpm.scenarios.measures import Arm, Intervention, Interventions, Survey
from lpm.scenarios.names import Label, MetricName
from lpm.scenarios.parametrised import LARGEST
from lpm.scenarios.parametrised import KernelTable as KernelTable
from lpm.scenarios.parametrised import LayerTable as LayerTable
from lpm.scenarios.parametrised import Parametrised as Parametrised
from lpm.scenarios.parametrised import PopulationTable as PopulationTable
from lpm.scenarios.parametrised import StrengthTable as StrengthTable
from lpm.scenarios.values import (
    Count,
    Date,
    Length,
    Moment,
    Name,
    Part,
    Seeds,
    as_tuple,
)


class OtherTable(Part):
    """The size of a table that kernels declare beside "agents" (songs, places, messages).

    Attributes:
        rows: Number of its rows.
    """

    rows: Count


class CalibrationTable(Part):
    """What `lpm calibrate` fits unless it is told otherwise.

    Attributes:
        fit: Paths of the parameters that are free: each needs a prior.
        until: Last days of the data that are fitted, one fit and forecast each.
        arm: Name of the arm that is fitted; absent = the first one.
    """

    fit: Annotated[tuple[Name, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    until: Annotated[tuple[Date, ...], BeforeValidator(as_tuple)] = ()
    arm: Name | None = None


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
        strengths: How strong the interventions of a label are.
        surveys: Questions put to a sample.
        arms: What is compared; the others with the first.
        data: Observed figures, by the metric that they stand beside.
        calibration: What `lpm calibrate` fits.
        archetypes: Kinds of people and what each does in which situation, by a language model or otherwise.
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
    strengths: StrengthTable = Field(default_factory=StrengthTable)
    surveys: Annotated[tuple[Survey, ...], BeforeValidator(as_tuple)] = ()
    arms: Annotated[tuple[Arm, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (Arm(name="baseline"),)
    data: dict[Name, Observed] = Field(default_factory=dict)
    calibration: CalibrationTable | None = None
    archetypes: ArchetypesTable | None = None

    _folder: str = PrivateAttr(default="")
    _label: str = PrivateAttr(default="scenario")
    _elsewhere: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def instances(self) -> tuple[KernelTable | StrengthTable, ...]:
        """Whatever has parameters that are set by path, drawn for a seed and fitted: kernels and strengths."""
        return (*self.kernels, self.strengths)

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
