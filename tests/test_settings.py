"""What `--set` and `--arms` change of a scenario."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lpm.scenarios import loader, resolved, settings
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import Setting
from tests.city import full

__all__ = ["full"]  # a fixture


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
        ("population.size=2077", lambda s: s.population.size),
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
        "population.size=2077": 2077,
        "start=2020-01-31": dt.date(2020, 1, 31),
        "title=Another city": "Another city",
        "backend=numba": "numba",
    }
    assert read(settings.apply_set(full, assignment)) == expected[assignment]
    assert settings.apply_set(full, "seir.beta=1").kernels[0].params["beta"].prior == ()  # held there by --draws prior
    assert read(full) != expected[assignment]  # the scenario itself is not touched


def test_a_shortened_run_keeps_measures_behind_its_end(full: Scenario, tmp_path: Path) -> None:
    short = settings.apply_set(full, "steps=10")
    again = loader.validate(tomllib.loads(resolved.resolved(short)), tmp_path, "x")
    assert again.model_dump() == short.model_dump() and again.horizon == 100


def test_arms_can_be_chosen(full: Scenario) -> None:
    assert [arm.name for arm in settings.with_arms(full, ["one week earlier"]).arms] == ["one week earlier"]
