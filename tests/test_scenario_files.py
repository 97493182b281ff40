"""The files that a scenario names: found below its folder, copied into the run, part of its fingerprint."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

from lpm.errors import InputError
from lpm.scenarios import loader, paths, resolved, settings
from lpm.scenarios.schema import Scenario
from tests.city import FULL


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
