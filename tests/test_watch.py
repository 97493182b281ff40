"""A number that is none, or beyond its column, is told: whenever it was there, whoever looks, on any device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import polars as pl
import pytest

import lpm
from lpm import kernel
from lpm.errors import InputError
from lpm.kernel import Kernel, parameter
from lpm.population import Column
from lpm.sweeps import running

SCENARIO = """
schema = 1
name = "slipping"
steps = 12
seeds = [1]
[population]
size = 64
[[kernels]]
kernel = "slip"
[metrics]
level = { mean = "level" }
[[arms]]
name = "as it is"
"""
NAN, BEYOND, FINE = 0.5, -4.0, 0.0
"""The level is sqrt(1/4 - by): no number, 2.06, and 0.5."""


class Slip(Kernel):
    """Agent `who` (-1: nobody but the table of all) holds sqrt(1/4 - by) in step `at`, and 1/2 in all others."""

    name = "slip"
    columns = (Column("level", "float32", "level", bounds=(0, 1), default=0.5),)
    tables = {"globals": (Column("mood", "float32", "mood", bounds=(0, 1), default=0.5),)}
    writes = ("level", "present")

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Who slips, when and how far."""

        by: Any = parameter(FINE, unit="1", bounds=(-10, 10), meaning="how far", source="guess")
        at: Any = parameter(5.0, unit="step", bounds=(-1, 100), meaning="when", source="guess")
        who: Any = parameter(7.0, unit="id", bounds=(-1, 1000), meaning="who", source="guess")
        gone: Any = parameter(-1.0, unit="id", bounds=(-1, 1000), meaning="who is absent", source="guess")

    @classmethod
    def step(cls, key: Any, tables: Any, networks: Any, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return level, presence and mood."""
        agents, now = tables["agents"], clock.step == params.at
        slipped, well = jnp.sqrt(0.25 - params.by), jnp.float32(0.5)
        level = jnp.where(now & (agents["id"] == params.who), slipped, well)
        mood = jnp.where(now & (params.who < 0), slipped, well)
        there = agents["id"] != params.gone
        return {"level": level, "present": there, "globals": {"mood": mood[None]}}


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(kernel._REGISTRY, "slip", Slip)  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "slipping.toml").write_text(SCENARIO)
    return tmp_path / "slipping.toml"


def ran(scenario: Path, *, devices: int | None = None, **values: float) -> Path:
    given = {f"slip.{name}": value for name, value in values.items()}
    return lpm.run(scenario, set=given, out=scenario.with_suffix(""), quiet=True, devices=devices)


@pytest.mark.parametrize("by", [NAN, BEYOND])
@pytest.mark.parametrize(("who", "column"), [(7, "agents.level"), (61, "agents.level"), (-1, "globals.mood")])
@pytest.mark.parametrize("devices", [None, 4])
def test_what_was_wrong_for_one_step_is_told(scenario: Path, by: float, who: int, column: str, devices: int | None):
    with pytest.raises(InputError, match=rf"seed 1, by step 12: {column}: expected a finite number from 0 to 1"):
        ran(scenario, by=by, who=who, devices=devices)


def test_what_is_well_is_let_be(scenario: Path):
    """Nobody slips; somebody would, who is absent."""
    ran(scenario)
    ran(scenario.rename(scenario.with_name("absent.toml")), by=NAN, who=7, gone=7)


@pytest.mark.parametrize("beside", [0, 100])
def test_a_run_of_a_sweep_that_slips_is_a_row_that_says_so(
    scenario: Path, beside: int, monkeypatch: pytest.MonkeyPatch
):
    """Its neighbours in the batch, before, behind or beside it, are not blamed."""
    monkeypatch.setattr(running, "BESIDE", beside)
    grid = {"slip.by": [FINE, NAN, BEYOND], "slip.who": [-1, 3, 60, 500]}
    place = lpm.sweep(scenario, grid=grid, out=scenario.parent / "sweep", quiet=True)
    found = pl.read_parquet(place / "summary.parquet").join(pl.read_parquet(place / "design.parquet"), on="run")
    assert found.height == 12
    for row in found.iter_rows(named=True):
        slips = row["slip.by"] != FINE and row["slip.who"] != 500
        column = "globals.mood" if row["slip.who"] < 0 else "agents.level"
        assert row["status"].startswith(f"{column}: expected a finite number" if slips else "ok"), row
