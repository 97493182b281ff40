"""Every number of the scenarios and interventions that are shipped has its source beside it, or says "guess"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lpm.scenarios import loader
from lpm.scenarios.measures import Intervention
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import Setting

NAMES = loader.names()


def numbers(settings: Mapping[str, Setting]) -> Iterator[tuple[str, str]]:
    """Yield name and source of every parameter that holds numbers."""
    for name, setting in settings.items():
        if not isinstance(setting.value, str | bool):
            yield name, setting.source or ""


def of_interventions(scenario: Scenario) -> Iterator[tuple[str, Intervention]]:
    for each in scenario.interventions:
        yield f"intervention {each.name}", each
    for arm in scenario.arms:
        for each in arm.interventions:
            yield f"arm {arm.name}, {each.name}", each


def sources(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Yield what has numbers, and its source."""
    for each in scenario.kernels:
        for name, source in numbers(each.params):
            yield f"{each.name}.{name}", source
    for layer in scenario.networks:
        for name, source in numbers(layer.params):
            yield f"{layer.name}.{name}", source or layer.source
        if layer.scale != 1:
            yield f"{layer.name}.scale", layer.source
    for name, source in numbers(scenario.population.params):
        yield f"population.{name}", source
    for name, series in scenario.series.items():
        yield f"series.{name}", series.source
    for name, data in scenario.data.items():
        yield f"data.{name}", data.source
    for where, each in of_interventions(scenario):
        act: Any = getattr(each, each.act)
        curves = [value for value in act.values() if isinstance(value, str)] if isinstance(act, dict) else []
        known = curves and len(curves) == len(act) and all(scenario.series[name].source for name in curves)
        yield where, each.source or ("of its curves" if known else "")
        if each.cost is not None:
            yield f"{where}: cost", each.cost.source


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_shipped_scenario_has_its_source(name: str) -> None:
    found = dict(sources(loader.load(name)))
    assert found and not [where for where, source in found.items() if not source.strip()]


@pytest.mark.parametrize("name", loader.library())
def test_every_ready_made_intervention_has_its_source(name: str) -> None:
    table = loader.read(loader.library_file(name), name)
    assert table["source"] and (table.get("cost") or {"source": "none"})["source"]
