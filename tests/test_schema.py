"""Scenario files: what is read, what is written back, and what the library gives."""

from __future__ import annotations

import copy
import datetime as dt
import math
import random
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm import cli
from lpm.errors import InputError
from lpm.kernel import find
from lpm.population import Column
from lpm.scenarios import described, loader, parameters, resolved
from lpm.scenarios.schema import Scenario, json_schema
from lpm.scenarios.values import Setting
from tests.city import FULL, full

__all__ = ["full"]  # a fixture


def test_everything_is_read(full: Scenario) -> None:
    assert full.step_days == 0.5 and full.seeds == (3, 5, 8)
    assert full.index(dt.date(2020, 2, 16), "x") == 30
    assert full.kernels[0].name == "seir" and full.kernels[1].columns == {"place": "borough"}
    assert full.kernels[0].params["beta"].prior == ("lognormal", 0.035, 0.2)
    assert full.networks[0].home and full.networks[1].params["mean_degree"].source == "guess"
    masks = full.interventions[1]
    assert masks.act == "scale" and masks.when is not None and masks.when.release == 30.0
    assert [each.name for each, _ in full.interventions_of(full.arms[1])][-1] == "vaccinate by age"
    assert [shift for _, shift in full.interventions_of(full.arms[1])][0] == "-7d"
    assert "masks" not in [each.name for each, _ in full.interventions_of(full.arms[1])]


def test_resolved_reads_back_the_same(full: Scenario, tmp_path: Path) -> None:
    text = resolved.resolved(full)
    again = loader.validate(tomllib.loads(text), tmp_path, "again")
    assert again.model_dump() == full.model_dump()
    assert resolved.resolved(again) == text


def test_numbers_read_back_to_the_last_bit(full: Scenario, tmp_path: Path) -> None:
    chance = random.Random(4)
    numbers = [chance.uniform(0, 5) for _ in range(300)]
    numbers += [math.ldexp(chance.random(), -chance.randrange(1070)) for _ in range(300)]
    numbers += [5e-324, 0.1 + 0.2, -0.0, 1e-7]
    columns = full.population.columns
    for start in range(0, len(numbers), 64):
        some = tuple(numbers[start : start + 64])
        tables = resolved.document(full)
        tables["series"] = {"x": {"knots": [[step, value] for step, value in enumerate(some)]}, **tables["series"]}
        scenario = loader.validate(tables, tmp_path, "x")
        again = loader.validate(tomllib.loads(resolved.resolved(scenario)), tmp_path, "x")
        bits = [value.hex() for _, value in again.series["x"].knots]
        assert bits == [float(value).hex() for value in some]
    assert columns == full.population.columns


def test_start_may_have_a_time_of_day(tmp_path: Path) -> None:
    tables = tomllib.loads(FULL)
    tables["start"] = dt.datetime(2020, 2, 1, 12, 0)
    scenario = loader.validate(tables, tmp_path, "x")
    assert scenario.index(dt.date(2020, 2, 2), "x") == 1
    assert loader.validate(tomllib.loads(resolved.resolved(scenario)), tmp_path, "x").start == tables["start"]
    tables["start"] = dt.datetime(2020, 2, 1, tzinfo=dt.UTC)
    with pytest.raises(InputError, match="time zone"):
        loader.validate(tables, tmp_path, "x")


def test_ready_made_interventions_take_overrides(full: Scenario) -> None:
    tested = next(each for each in full.interventions if each.name == "test and isolate")
    assert tested.capacity == 100 and tested.uptake == 0.5 and tested.scale_column == {"activity": 0.25}
    assert tested.where is not None and set(tested.where) == {"age", "state"}
    assert tested.cost is not None and (tested.cost.per_person, tested.cost.unit) == (10.0, "USD")


@pytest.mark.parametrize("name", loader.library())
def test_every_ready_made_intervention_says_its_sources(name: str) -> None:
    tables = loader.read(loader.library_file(name), name)
    assert tables["source"] and tables["cost"]["source"] and tables["description"]


@pytest.mark.parametrize("name", loader.names())
def test_built_in_scenarios_load_and_read_back(name: str) -> None:
    scenario = loader.load(name)
    assert scenario.name == name
    folder = Path(scenario.folder)
    again = loader.validate(tomllib.loads(resolved.resolved(scenario)), folder, name)
    assert again.model_dump() == scenario.model_dump()


def test_vector_parameters_follow_the_levels() -> None:
    seir = find("seir", "x")
    schema = {"age": Column("age", "uint8", "", levels=("young", "old"))}

    def built(given: Any) -> Any:
        return parameters.build(seir.Params, {"ihr": Setting.model_validate(given)}, schema, "x").ihr

    default = parameters.build(seir.Params, {}, schema, "x").ihr
    assert default.dtype == np.float32 and default.shape == (2,)
    np.testing.assert_array_equal(built(0.5), np.array([0.5, 0.5], np.float32))
    np.testing.assert_array_equal(built([0.25, 0.5]), np.array([0.25, 0.5], np.float32))
    np.testing.assert_array_equal(built({"old": 0.5}), np.array([default[0], 0.5], np.float32))
    for wrong in ([0.1], [0.1, 0.2, 0.3], {"olf": 0.5}, {"old": 2.0}, [0.1, 2.0], "much", True):
        with pytest.raises(InputError):
            built(wrong)


def test_the_json_schema_describes_the_file() -> None:
    schema = json_schema()
    assert set(tomllib.loads(FULL)) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    defined = schema["$defs"]
    assert "params" not in defined["KernelTable"]["properties"]
    assert isinstance(defined["KernelTable"]["additionalProperties"], dict)

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].removeprefix("#/$defs/") in defined
            for each in part.values():
                walk(each)
        elif isinstance(part, list):
            for each in part:
                walk(each)

    walk(schema)


def test_every_key_is_described() -> None:
    schema = json_schema()
    for name, table in {"Scenario": schema, **schema["$defs"]}.items():
        lost = [key for key, about in table.get("properties", {}).items() if not about.get("description")]
        assert not lost, f"{name}: say what {lost} mean in its docstring, below Attributes:"
    assert "Attributes" not in str(schema)
    keys = schema["$defs"]["Intervention"]["properties"]
    assert "level" in keys["set_column"]["description"] and "layer or parameter" in keys["scale"]["description"]


def test_the_annotated_example_has_every_common_key_and_loads(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", "--example"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("\n") and not text.endswith("\n\n"), "an empty line at the end"
    scenario = loader.validate(tomllib.loads(text), ".", "annotated")
    common = """set_column scale_column where share top neighbours_of uptake capacity every delay duration cost at until
        when scale set reduce shift omit label title by flow stock mean unit source prior series surveys report_from
        chosen headline columns home people assumptions""".split()
    assert not [key for key in common if not re.search(rf"\b{key}\b *=|\[+{key}\b|{key}\.", text)]
    assert len(scenario.arms) == 5 and scenario.interventions_of(scenario.arms[1])[0][1] == "-7d"
    again = loader.validate(tomllib.loads(resolved.resolved(scenario)), ".", "again")
    assert again.model_dump() == scenario.model_dump()


@pytest.mark.full
def test_the_annotated_example_runs(tmp_path: Path) -> None:
    file = tmp_path / "annotated.toml"
    file.write_text(described.example(), encoding="utf-8")
    out = tmp_path / "out"
    assert cli.main(["run", str(file), "--seeds", "1", "--steps", "30", "--out", str(out), "--quiet"]) == 0
    assert (out / "report.html").is_file()


def test_scenarios_are_frozen(full: Scenario) -> None:
    with pytest.raises(ValueError, match="frozen"):
        full.steps = 3
    assert copy.deepcopy(full).model_dump() == full.model_dump()
