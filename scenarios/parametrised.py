"""The tables of a scenario file that hold parameters: population, layers, kernels, strengths."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from lpm.scenarios.columns import ColumnTable
from lpm.scenarios.names import Label
from lpm.scenarios.values import Count, Name, Names, Part, Setting, as_tuple, table_of

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


class StrengthTable(Parametrised):
    """How strong the interventions of a label are; its keys are labels, 1 = as written."""

    @property
    def name(self) -> str:
        """Owner of the paths."""
        return "strengths"

    @property
    def columns(self) -> dict[str, str]:
        """No column is called otherwise."""
        return {}
