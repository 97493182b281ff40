"""Who goes on with a fit has to ask for what it was begun with."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lpm.errors import InputError
from lpm.fitting import begun, command
from lpm.fitting.asked import Asked
from lpm.scenarios import loader, settings
from lpm.scenarios.schema import Scenario
from tests.inputs import GOOD, write


def quiet(*_: object) -> None:
    """Tell nobody."""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """Return a scenario with one free parameter and three observed days."""
    tables: dict[str, Any] = copy.deepcopy(GOOD)
    days = [dt.date(2020, 2, day) for day in (2, 3, 4)]
    pl.DataFrame({"start": days, "end": days, "value": [1.0, 2.0, 3.0]}).write_csv(tmp_path / "seen.csv")
    tables["data"] = {"infections": {"file": "seen.csv", "column": "value"}}
    tables["calibration"] = {"fit": ["sir.beta"]}
    return loader.load(write(tmp_path, tables))


@pytest.fixture
def stopped(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return what was asked for of a fit that was stopped before its first simulation."""

    def stop(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "assemble", lambda *_: None)
    monkeypatch.setattr(command.free, "of_paths", lambda *_: ())
    monkeypatch.setattr(command, "_all", stop)
    asked = Asked(tmp_path / "fit", draws=20)
    with pytest.raises(KeyboardInterrupt):
        command.calibrate(scenario, asked, quiet)
    monkeypatch.setattr(command, "_all", lambda work, began: work.asked.folder)  # goes on, and is done
    return replace(asked, resume=True)


def test_the_same_options_go_on_and_what_changes_nothing_may_differ(stopped: Asked, scenario: Scenario) -> None:
    explicit = replace(stopped, fit=("sir.beta",), diagnose=True)  # what the scenario marks, said again
    assert command.calibrate(scenario, stopped, quiet) == command.calibrate(scenario, explicit, quiet) == stopped.folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": 5}, "--seeds was 2, is 5"),
        ({"starts": 5}, "--starts was 64, is 5"),
        ({"draws": 30}, "--draws was 20, is 30"),
        ({"posterior": "neural"}, "--posterior was normal, is neural"),
        ({"fit": ("sir.gamma",)}, "--fit was sir.beta, is sir.gamma"),
        ({"until": (dt.date(2020, 2, 3),)}, "--until was not given, is 2020-02-03"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else None,
)
def test_other_options_are_refused_in_one_line(
    change: dict[str, Any], told: str, stopped: Asked, scenario: Scenario
) -> None:
    before = {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as raised:
        command.calibrate(scenario, replace(stopped, **change), quiet)
    assert f"was begun with other options: {told}; repeat" in str(raised.value) and "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()} == before


def edited(name: str, text: str) -> Callable[[Scenario, Path], Scenario]:
    def edit(scenario: Scenario, folder: Path) -> Scenario:
        path, (old, new) = folder / name, text.split(" -> ")
        path.write_text(path.read_text().replace(old, new))
        return loader.load(folder / "small.toml")

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda made, _: settings.replaced(made, "population.size", 300, "x"), "'population' (--agents or --set)"),
        (lambda made, _: settings.apply_set(made, "sir.beta=0.2"), "'kernels' (--set)"),
        (edited("small.toml", "mean_degree = 6 -> mean_degree = 7"), "'networks' (--set)"),
        (edited("seen.csv", "3.0 -> 4.0"), "the observed figures (--data)"),
    ],
    ids=["agents", "set", "file", "figures"],
)  # fmt: skip
def test_another_scenario_or_other_figures_are_refused(
    edit: Callable[[Scenario, Path], Scenario], told: str, stopped: Asked, scenario: Scenario, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="was begun with other options: ") as raised:
        command.calibrate(edit(scenario, tmp_path), stopped, quiet)
    assert told in str(raised.value)


def test_another_folder_and_a_damaged_file_are_no_beginning(stopped: Asked, scenario: Scenario) -> None:
    path = stopped.folder / begun.FILE
    path.write_text("{")
    with pytest.raises(InputError, match=r"asked.json cannot be read"):
        command.calibrate(scenario, stopped, quiet)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"asked.json is damaged"):
        command.calibrate(scenario, stopped, quiet)
    path.rename(stopped.folder / "other.json")
    with pytest.raises(InputError, match=r"--resume: expected the folder of a fit, got"):
        command.calibrate(scenario, stopped, quiet)


def test_bad_input_leaves_the_folder_free(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("people: none")

    monkeypatch.setattr(command, "assemble", refuse)
    for _ in range(2):  # the second time as the first
        with pytest.raises(InputError, match="people: none"):
            command.calibrate(scenario, Asked(tmp_path / "fit"), quiet)
    assert not [*(tmp_path / "fit").iterdir()]
