"""The illustrative arms of nyc-covid: the mean share who stay at home is that of mobility, whoever they are."""

from __future__ import annotations

import datetime as dt
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from lpm import run
from lpm.archetypes import table as tables
from lpm.errors import InputError
from lpm.scenarios.loader import load

SCENARIOS = Path(str(resources.files("lpm.scenarios")))
ARMS = ("same compliance for all (illustrative)", "archetype compliance (illustrative)")
AGENTS = 20_000
DAYS = slice(45, 80)
"""From 17 March on, when many stay at home."""
Values = np.ndarray[Any, Any]


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


def test_a_common_value_that_no_kernel_takes_is_refused(tmp_path: Path) -> None:
    """It would be 0 whatever an intervention said; the kernel that takes one is named, and the way without it."""
    text = (SCENARIOS / "echo-chambers.toml").read_text()
    text = text.replace('table = "echo-chambers/behaviour.parquet"\n', "").replace(
        'friends = ["share"]', "common = true"
    )
    path = tmp_path / "own.toml"
    path.write_text(text)
    told = r"contexts\.friends\.common: archetype-choice takes no common value, only compliance does \('orders'\)"
    with pytest.raises(InputError, match=told):
        load(path)
    path.write_text(text.replace("common = true", ""))
    with pytest.raises(InputError, match="friends"):  # nor is there such a column
        load(path)


@pytest.mark.full
def test_the_mean_is_mobility_s_in_both_arms_and_only_who_stays_differs(tmp_path: Path) -> None:
    arms = ["as it happened", *ARMS]
    folder = run("nyc-covid", agents=AGENTS, steps=80, seeds=1, arms=arms, out=tmp_path / "run", quiet=True)
    scenario = tomllib.loads((SCENARIOS / "nyc-covid.toml").read_text())
    level = of_days(scenario["series"]["staying_home"]["knots"])
    rows = pl.read_parquet(folder / "trajectory.parquet").sort("step")
    assert rows["step"].min() == 0
    for arm in arms:
        everybody = rows.filter((pl.col("arm") == arm) & (pl.col("group") == "all"))
        share = (everybody["at_home"] / everybody["people"]).to_numpy()
        if arm == arms[0]:
            assert not share.any()
            continue
        expected = level
        # 50 days in 2 arms: |z| > 5.2 has a chance of 2e-5 in all; agents all weigh nearly the same
        assert (np.abs(share - expected) <= 5.2 * np.sqrt(expected * (1 - expected) / AGENTS * 1.1) + 1e-6).all()

    # deviations from the mean by age, day by day, as multiples of the table's: 1 in the one arm, 0 in the other
    orders = of_days(scenario["series"]["orders_in_force"]["knots"])
    for arm, multiple in zip(ARMS, (0, 1), strict=True):
        own = rows.filter(pl.col("arm") == arm)
        ages, told = by_age(own, level, orders)
        counts = [own.filter(pl.col("group") == f"age={age}")["people", "at_home"].to_numpy()[DAYS].T for age in ages]
        people, home = np.stack(counts, 1)
        sure = people / people.sum(0) * AGENTS / (level * (1 - level))[DAYS]
        information = (sure * told**2).sum()
        slope = (sure * told * (home / people - level[DAYS])).sum() / information
        assert information > 8.2**2  # so that no run passes as both
        assert abs(slope - multiple) * np.sqrt(information) < 4.1  # a chance of 4e-5 in each arm


def of_days(knots: list[tuple[dt.date, float]]) -> Values:
    """Return a series of the scenario by day, float64 [80]; before its first knot the value there, 0 in both."""
    return np.interp(np.arange(80), [(day - dt.date(2020, 2, 1)).days for day, _ in knots], [v for _, v in knots])


def by_age(rows: pl.DataFrame, level: Values, orders: Values) -> tuple[list[str], Values]:
    """Return ages, and by how much the share at home of an age is above the mean on `DAYS`, [ages, days].

    By the table and its own people, with the incidence that the arm had: infections of the three days before, which are
    about what is exposed. It is not exact, but so is nobody's borough: ages differ little by it.
    """
    table = tables.read(SCENARIOS / "nyc-covid" / "behaviour.parquet")
    odds = (table.logit[..., 0] - table.logit[..., 1]).astype(float).reshape(-1, 3, 2)
    borough, age = (table.archetypes[name].to_numpy() for name in ("borough", "age"))
    names, ages = sorted(set(borough)), sorted(set(age))
    pairs = [rows.filter(pl.col("group") == f"borough={name}")["infections", "people"].to_numpy() for name in names]
    made: list[list[float]] = []
    for day in range(*DAYS.indices(80)):
        seen = np.array([1e5 * pair[day - 3 : day, 0].sum() / 3 / pair[day, 1] for pair in pairs])
        place = np.interp(np.log1p(seen), np.log1p([0, 30, 300]), [0, 1, 2])[np.searchsorted(names, borough)]
        at = np.maximum(1 - np.abs(place[:, None] - np.arange(3)), 0)
        ordered = np.array([1 - orders[day], orders[day]])
        s = np.einsum("aio,ai,o->a", odds, at, ordered)
        shift = brentq(lambda c, s=s, day=day: np.average(expit(s + c), weights=table.weight) - level[day], -20, 20)
        p = expit(s + shift) - level[day]
        made.append([float(np.average(p[age == each], weights=table.weight[age == each])) for each in ages])
    return ages, np.array(made).T
