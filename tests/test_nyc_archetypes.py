"""The illustrative arms of nyc-covid: the mean share who stay at home is that of mobility, whoever they are."""

from __future__ import annotations

import datetime as dt
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm import run
from lpm.archetypes import table as tables

SCENARIOS = Path(str(resources.files("lpm.scenarios")))
ARMS = ("same compliance for all (illustrative)", "archetype compliance (illustrative)")
AGENTS = 20_000


def test_the_table_is_one_that_a_model_made_and_says_so() -> None:
    for name, cells in (("nyc-covid", 6), ("echo-chambers", 30)):
        table = tables.read(SCENARIOS / name / "behaviour.parquet")
        assert table.contexts.size == cells and table.cells_usable.all()
        assert table.provenance["provider"] == "embedded" and len(str(table.provenance["model_sha256"])) == 64
        assert float(np.nanmin(table.coverage)) > 0.1  # the policy's least
    scenario = tomllib.loads((SCENARIOS / "nyc-covid.toml").read_text())
    told = [arm for arm in scenario["arms"] if "compliance" in arm["name"]]
    assert {arm["name"] for arm in told} == set(ARMS)
    assert all("illustrative" in arm["name"] and arm["description"].startswith("Illustrative") for arm in told)


@pytest.mark.full
def test_the_mean_is_mobility_s_in_both_arms_and_only_who_stays_differs(tmp_path: Path) -> None:
    arms = ["as it happened", *ARMS]
    folder = run("nyc-covid", agents=AGENTS, steps=80, seeds=1, arms=arms, out=tmp_path / "run", quiet=True)
    scenario = tomllib.loads((SCENARIOS / "nyc-covid.toml").read_text())
    knots = scenario["series"]["staying_home"]["knots"]
    start = dt.date(2020, 2, 1)
    days = np.arange(80)
    level = np.interp(days, [(day - start).days for day, _ in knots], [value for _, value in knots], left=0.0)
    rows = pl.read_parquet(folder / "trajectory.parquet").sort("step")
    first = rows["step"].min()
    for arm in arms:
        everybody = rows.filter((pl.col("arm") == arm) & (pl.col("group") == "all"))
        share = (everybody["at_home"] / everybody["people"]).to_numpy()
        if arm == arms[0]:
            assert not share.any()
            continue
        steps = everybody["step"].to_numpy() - (1 if first == 1 else 0)
        expected = level[steps]
        # 50 days in 2 arms: |z| > 5.2 has a chance of 2e-5 in all; agents all weigh nearly the same
        assert (np.abs(share - expected) <= 5.2 * np.sqrt(expected * (1 - expected) / AGENTS * 1.1) + 1e-6).all()

    late = rows.filter((pl.col("step") == rows["step"].max()) & pl.col("group").str.starts_with("age="))
    spread: dict[str, float] = {}
    for arm in ARMS:
        by_age = late.filter(pl.col("arm") == arm)
        share, people = (by_age["at_home"] / by_age["people"]).to_numpy(), by_age["people"].to_numpy()
        p = level[79]
        spread[arm] = float((people / people.sum() * AGENTS * (share - p) ** 2 / (p * (1 - p))).sum())
    assert spread[ARMS[0]] < 35  # chi-square with 9 to 10 degrees of freedom: a chance of 1e-4
