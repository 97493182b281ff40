"""What run.json tells of a scenario: sources beside every figure, curves in words, values with their levels."""

from __future__ import annotations

from typing import Any

import pytest

from lpm.scenarios import loader, manifest, settings
from lpm.scenarios.assembly import assemble


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Return the facts of a New York of 3,000 agents that nobody has run."""
    scenario = settings.apply_set(loader.load("nyc-covid"), "population.size=3000")
    assembly = assemble(scenario, 1, lambda _stage, _done, _total: None)
    seconds = {"steps": 1.0, "compile": 0.0, "run": 0.0, "host": 0.0, "total": 0.0}
    return manifest._facts(assembly, seconds, False)  # pyright: ignore[reportPrivateUsage]


def test_every_measure_has_a_source_dates_and_no_bare_range(told: dict[str, Any]) -> None:
    measures = [(arm["name"], each) for arm in told["arms"] for each in arm["interventions"]]
    assert len(measures) > 20
    for arm, each in measures:
        assert each["source"], (arm, each["name"])
        assert "curve from" not in each["what"]
        assert each["whom"] != "the whole run"
    safer = {arm: each["what"] for arm, each in measures if each["name"] == "safer contacts"}
    assert "falls to 0.35 by 29 Mar 2020" in safer["as it happened"]
    closed = {arm: each["what"] for arm, each in measures if each["name"] == "schools closed"}
    assert "rises to 100\u202f% on 16 Mar 2020" in closed["as it happened"]
    assert "rises to 100\u202f% on 9 Mar 2020" in closed["one week earlier"]  # a shift moves the curve with the measure
    assert "no orders" not in closed


def test_values_by_level_carry_their_levels_and_are_the_numbers_of_the_file(told: dict[str, Any]) -> None:
    values = {row["path"]: row["value"] for row in told["parameters"]}
    assert values["seir.beta"] == 0.18  # not 0.18000001, the float32
    assert list(values["importation.daily"]) == told["groups"]["borough"]
    assert values["seir.susceptibility"]["75+"] == 0.74
    assert all(row["source"] for row in told["parameters"])


def test_layers_population_and_derived_metrics_say_what_they_are_from(told: dict[str, Any]) -> None:
    assert all(layer["source"] for layer in told["layers"].values())
    assert told["population"]["sources"]
    assert told["metrics"]["reproduction"]["of"] == ["infections"]
