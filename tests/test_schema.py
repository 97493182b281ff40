"""Scenario files: what is read, what is written back, what the library and `--set` change."""

from __future__ import annotations

import copy
import datetime as dt
import math
import random
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from lpm.errors import InputError
from lpm.kernel import find
from lpm.population import Column
from lpm.scenarios import loader, parameters, paths, resolved, settings
from lpm.scenarios.schema import Scenario, json_schema
from lpm.scenarios.values import Setting

FULL = """
schema = 1
name = "city"
title = "A small city"
description = 'Quotes " and \\ stay'
assumptions = ["People meet at random.", "Nobody travels: é, 東京, \U0001f3e5."]
calibrated = false
step = "12h"
start = 2020-02-01
report_from = 2020-02-10
steps = 100
seeds = [3, 5, 8]
backend = "xla"

[population]
size = 1_000
people = 8336817
seed = 7
columns = [
  { name = "age", dtype = "uint8", meaning = "age group", levels = ["0-64", "65-74", "75+"] },
  { name = "borough", dtype = "uint8", meaning = "borough", levels = ["Bronx", "Queens"] },
  { name = "wealth", dtype = "float32", meaning = "savings", unit = "USD", bounds = [-1e6, 1e6], default = 10.0 },
]

[[networks]]
name = "household"
builder = "watts-strogatz"
neighbours = 4
rewiring = 0.01
home = true
source = "a source"

[[networks]]
name = "community"
builder = "erdos-renyi"
mean_degree = { value = 6.25, source = "guess" }
seed = 11
scale = 0.9

[[networks]]
name = "work"
builder = "erdos-renyi"

[[kernels]]
kernel = "seir"
beta = { value = 0.035, unit = "1", source = "x", prior = ["lognormal", 0.035, 0.2] }
susceptibility = { "65-74" = 0.5, "75+" = 0.25 }
clinical = [0.5, 0.6, 0.7]
layers = ["household", "community"]

[[kernels]]
kernel = "importation"
columns = { place = "borough" }
daily = { value = { Bronx = 1.5, Queens = 2 }, unit = "people/day", source = "guess" }

[series]
orders = { knots = [[2020-02-16, 0.1], [2020-02-22, 0.30000000000000004]], source = "a series" }

[metrics]
infections = { flow = "exposed", by = ["borough", "age"], title = "Infections", unit = "people" }
deaths = { flow = ["dead", "dead outside"], by = ["borough", "age"] }
occupancy = { stock = ["hospitalised recovering", "hospitalised dying"], by = ["borough"] }
attack_rate = { share = "infections" }
ifr = { ratio = ["deaths", "infections"], by = ["age"] }
r_t = { reproduction = "infections", interval = [6.5, 2.0] }
savings = { mean = "wealth" }

[[interventions]]
label = "orders"
at = 2020-02-16
until = 2020-03-20
reduce = { community = "orders" }

[[interventions]]
name = "masks"
when = { metric = "occupancy", group = "borough=Bronx", above = 50.0, release = 30.0 }
scale = { community = 0.8, "seir.beta" = 0.9 }

[[interventions]]
use = "test-and-isolate"
capacity = 100
where = { age = "75+" }
cost = { per_person = 10.0 }

[[interventions]]
name = "pay those who are poor"
at = 20
where = { wealth = { max = 10.0 }, present = true }
share = 0.5
every = "2w"
pay = { column = "wealth", amount = 100.0 }

[[interventions]]
use = "trace-contacts"

[[surveys]]
name = "panel"
every = "1w"
sample = 100
ask = ["state", "wealth"]

[[arms]]
name = "as it happened"

[[arms]]
name = "one week earlier"
shift = { orders = "-7d" }
omit = ["masks"]
interventions = [{ use = "vaccinate-by-age", at = 2020-02-20, uptake = 0.123456789 }]
"""


@pytest.fixture
def full(tmp_path: Path) -> Scenario:
    path = tmp_path / "city.toml"
    path.write_text(FULL, encoding="utf-8")
    return loader.load(path)


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


def with_files(home: Path, people: str, observed: str) -> Scenario:
    """Return a scenario that names two files of its own."""
    for file, content in (
        (people, "mood\n5\n7\n"),
        (observed, "start,end,c\n2020-02-03,2020-02-09,5\n"),
    ):
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(content)
    tables = tomllib.loads(FULL) | {"data": {"infections": {"file": observed, "column": "c"}}}
    tables["population"] = {"file": people, "columns": tables["population"]["columns"]}
    (home / "city.toml").write_text(tomli_w.dumps(tables))
    return loader.load(home / "city.toml")


def run_folder(scenario: Scenario, folder: Path) -> Scenario:
    """Return the scenario of the run's folder."""
    folder.mkdir()
    return loader.load(resolved.write(scenario, folder))


@pytest.mark.parametrize("people", ["agents.csv", "draws.csv", "trajectory.parquet.csv", "inputs/agents.csv", "inputs"])
def test_the_run_folder_holds_the_scenario_and_its_files(people: str, tmp_path: Path) -> None:
    people = "inputs/draws.csv/agents.csv" if people == "inputs" else people  # a folder of that name
    scenario = with_files(tmp_path / "home", people, "data/weekly.csv")
    drawn = tmp_path / "posterior.csv"
    drawn.write_text("seir.beta\n" + "0.03\n" * 3)
    for number, each in enumerate((scenario, settings.with_draws(scenario, str(drawn)))):
        run = tmp_path / f"run-{number}"
        again = run_folder(each, run)
        assert {path.name for path in run.iterdir()} == {"scenario.toml", "inputs"}
        original, copied = resolved.sources(each), resolved.sources(again)
        assert len(original) == 2 + number and set(copied) == set(original)
        for name, source in original.items():
            assert copied[name] == run / name != source and copied[name].read_bytes() == source.read_bytes()
        assert resolved.of_run(again) == resolved.of_run(each) == (run / "scenario.toml").read_text()
        assert resolved.fingerprint(again) == resolved.fingerprint(each)
        third = run_folder(again, tmp_path / f"again-{number}")
        assert third.model_dump() == again.model_dump()
        ours, theirs = each.model_dump(), again.model_dump()
        assert all(ours[key] == theirs[key] for key in ours if key not in ("population", "data", "draws"))


def test_draws_of_the_command_line_shadow_no_file(tmp_path: Path) -> None:
    scenario = with_files(tmp_path / "home", "draws.csv", "weekly.csv")
    drawn = tmp_path / "draws.csv"
    drawn.write_text("seir.beta\n" + "0.03\n" * 3)
    given = settings.with_draws(scenario, str(drawn))
    assert paths.located(given, "draws.csv", "x") == tmp_path / "home" / "draws.csv"
    assert paths.located(given, str(given.draws), "x") == drawn
    changed = settings.apply_set(given, "seir.beta=0.04")  # other settings keep it
    assert changed.draws == given.draws and paths.located(changed, str(changed.draws), "x") == drawn
    again = run_folder(given, tmp_path / "run")
    other = tmp_path / "other.csv"
    other.write_text("seir.beta\n" + "0.04\n" * 3)
    twice = run_folder(settings.with_draws(again, str(other)), tmp_path / "twice")
    assert paths.located(twice, str(twice.draws), "x").read_bytes() == other.read_bytes()
    assert paths.located(twice, str(twice.population.file), "x").read_text().startswith("mood")
    with pytest.raises(InputError, match="command line"):
        loader.validate(tomllib.loads(FULL) | {"draws": "given:draws.csv"}, tmp_path, "x")


def test_the_fingerprint_tells_scenarios_and_their_files_apart(tmp_path: Path) -> None:
    scenario = with_files(tmp_path / "home", "agents.csv", "weekly.csv")
    first = resolved.fingerprint(scenario)
    assert len(first) == 16 and first == resolved.fingerprint(with_files(tmp_path / "copy", "agents.csv", "weekly.csv"))
    assert resolved.fingerprint(settings.apply_set(scenario, "seir.beta=0.04")) != first
    (tmp_path / "home" / "weekly.csv").write_text("start,end,c\n2020-02-03,2020-02-09,6\n")
    assert resolved.fingerprint(scenario) != first
    (tmp_path / "home" / "weekly.csv").unlink()
    with pytest.raises(InputError, match=r"weekly\.csv"):
        resolved.fingerprint(scenario)


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


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("seir.beta=0.03", lambda s: (s.kernels[0].params["beta"].value, s.kernels[0].params["beta"].source)),
        ("seir.susceptibility.75+=1", lambda s: s.kernels[0].params["susceptibility"].value),
        ("seir.clinical.75+=0.9", lambda s: s.kernels[0].params["clinical"].value),
        ("seir.ihr.75+=0.2", lambda s: s.kernels[0].params.get("ihr", Setting(value=0)).value),
        ("importation.daily.Queens=9", lambda s: s.kernels[1].params["daily"].value),
        ("community.scale=0.5", lambda s: s.networks[1].scale),
        ("household.rewiring=0.2", lambda s: s.networks[0].params["rewiring"].value),
        ("steps=50", lambda s: (s.steps, s.horizon)),
        ("population.size=77", lambda s: s.population.size),
        ("start=2020-01-31", lambda s: s.start),
        ("title=Another city", lambda s: s.title),
        ("backend=numba", lambda s: s.backend),
    ],
)
def test_set_changes_one_value(assignment: str, read: Any, full: Scenario) -> None:
    expected = {
        "seir.beta=0.03": (0.03, settings.GIVEN),
        "seir.susceptibility.75+=1": {"65-74": 0.5, "75+": 1},
        "seir.clinical.75+=0.9": {"0-64": 0.5, "65-74": 0.6, "75+": 0.9},
        "seir.ihr.75+=0.2": {"75+": 0.2},
        "importation.daily.Queens=9": {"Bronx": 1.5, "Queens": 9},
        "community.scale=0.5": 0.5,
        "household.rewiring=0.2": 0.2,
        "steps=50": (50, 100),
        "population.size=77": 77,
        "start=2020-01-31": dt.date(2020, 1, 31),
        "title=Another city": "Another city",
        "backend=numba": "numba",
    }
    assert read(settings.apply_set(full, assignment)) == expected[assignment]
    assert settings.apply_set(full, "seir.beta=1").kernels[0].params["beta"].prior == ("lognormal", 0.035, 0.2)
    assert read(full) != expected[assignment]  # the scenario itself is not touched


def test_a_shortened_run_keeps_measures_behind_its_end(full: Scenario, tmp_path: Path) -> None:
    short = settings.apply_set(full, "steps=10")
    again = loader.validate(tomllib.loads(resolved.resolved(short)), tmp_path, "x")
    assert again.model_dump() == short.model_dump() and again.horizon == 100


def test_arms_can_be_chosen(full: Scenario) -> None:
    assert [arm.name for arm in settings.with_arms(full, ["one week earlier"]).arms] == ["one week earlier"]


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


def test_only_files_below_the_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "home" / "below").mkdir(parents=True)
    (tmp_path / "home" / "below" / "a.csv").write_text("x")
    (tmp_path / "b.csv").write_text("x")
    assert paths.inside(tmp_path / "home", "below/a.csv", "x").name == "a.csv"
    (tmp_path / "home" / "link.csv").symlink_to(tmp_path / "home" / "below" / "a.csv")
    assert paths.inside(tmp_path / "home", "link.csv", "x").name == "a.csv"  # a link that stays inside
    for file in ("../b.csv", str(tmp_path / "b.csv"), "below/../../b.csv", "below", "nothing.csv", "a\0b", "x" * 5000):
        with pytest.raises(InputError):
            paths.inside(tmp_path / "home", file, "x")


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


def test_scenarios_are_frozen(full: Scenario) -> None:
    with pytest.raises(ValueError, match="frozen"):
        full.steps = 3
    assert copy.deepcopy(full).model_dump() == full.model_dump()
