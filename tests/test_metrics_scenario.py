"""Metrics of shape, mixing and inequality as a scenario file declares them: checked, run, written, shown."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.errors import InputError
from lpm.report import write_report
from lpm.scenarios import execution, loader, resolved
from lpm.scenarios.options import RunOptions
from lpm.summary import summary

SCENARIO = """
schema = 1
name = "opinions"
steps = 5
seeds = 2
[population]
file = "people.csv"
people = 1000.0
columns = [ { name = "camp", dtype = "uint8", meaning = "camp", levels = ["red", "blue"] } ]
[[networks]]
name = "follows"
builder = "erdos-renyi"
mean_degree = 6.0
[[kernels]]
kernel = "hegselmann-krause"
epsilon = 0.2
[[kernels]]
kernel = "music-market"
visits = 0.5
[tables.items]
rows = 12
[metrics]
took = { stock = ["song 1", "song 2"], column = "song", by = ["camp"] }
part = { share = "took" }
spread = { variance = "opinion", by = ["camp"] }
poles = { bimodality = "opinion" }
polarization = { esteban_ray = "opinion", bins = 20 }
clusters = { clusters = "opinion", epsilon = 0.1, bins = 200 }
mixed = { cross_cutting = "opinion", layer = "follows" }
camps = { cross_cutting = "camp", layer = "follows" }
alike = { assortativity = "opinion", layer = "follows", by = ["camp"] }
opinions = { histogram = "opinion", bins = 20, title = "Opinions" }
levels = { quantiles = "opinion", at = [0.05, 0.5, 0.95], by = ["camp"] }
inequality = { gini = "appetite" }
hits = { gini = "downloads", table = "items" }
[[arms]]
name = "baseline"
[[arms]]
name = "open"
interventions = [ { at = 2, set = { "hegselmann-krause.epsilon" = 0.5 } } ]
"""


def write_people(folder: Path) -> None:
    pl.DataFrame({"camp": ["red", "blue", "blue", "red", "blue"] * 80}).write_csv(folder / "people.csv")


def tables(**changes: Any) -> dict[str, Any]:
    whole = tomllib.loads(SCENARIO)
    whole["metrics"] |= changes
    return whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    there = tmp_path_factory.mktemp("run")
    write_people(there)
    scenario = loader.validate(tables(), there, "opinions")
    assert loader.validate(tomllib.loads(resolved.resolved(scenario)), there, "x").metrics == scenario.metrics
    return execution.run(scenario, RunOptions(there / "out"))


def test_every_metric_is_a_column_or_several(folder: Path) -> None:
    frame = pl.read_parquet(folder / "trajectory.parquet")
    wanted = ["took", "part", "spread", "poles", "polarization", "clusters", "mixed", "camps", "alike"]
    wanted += [f"opinions.bin{number:02d}" for number in range(20)]
    wanted += ["levels.q05", "levels.q50", "levels.q95", "inequality", "hits"]
    assert frame.columns == ["arm", "seed", "step", "time", "group", "people", *wanted]
    everybody, red = frame.filter(group="all"), frame.filter(group="camp=red")
    assert everybody.select(wanted).null_count().sum_horizontal()[0] == 0
    assert red.height == everybody.height
    told = [name for name in wanted if red[name].null_count() == 0]
    assert told == ["took", "part", "spread", "alike", "levels.q05", "levels.q50", "levels.q95"]
    bins = everybody.select(pl.sum_horizontal(f"opinions.bin{number:02d}" for number in range(20))).to_series()
    np.testing.assert_allclose(bins, everybody["people"], rtol=1e-12)
    np.testing.assert_allclose(red["part"], red["took"] / red["people"], rtol=1e-12)
    assert (everybody["levels.q05"] <= everybody["levels.q95"]).all()
    assert everybody["camps"].is_between(0.35, 0.6).all()  # 0.48 of independent camps, 0.01 or so by chance


def test_report_and_summary_show_them(folder: Path) -> None:
    page = write_report(folder).read_text()
    assert "Opinions" in page and "bin07" in page and "q50" in page
    told = summary(folder)
    assert told.remark.endswith("In report.html, several values each: Opinions, Levels.")
    effects = pl.read_parquet(folder / "effects.parquet")
    assert {"opinions.bin00", "levels.q50", "hits", "part"} <= set(effects["metric"])


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"variance": "opinoin"}, "metrics.x.variance: unknown column 'opinoin'; did you mean 'opinion'"),
        ({"variance": "camp"}, "metrics.x.variance: expected a column of numbers, got 'camp'"),
        ({"histogram": "opinion"}, "expected a key 'bins' beside histogram"),
        ({"variance": "opinion", "bins": 20}, "the key 'bins' belongs to histogram"),
        ({"quantiles": "opinion"}, "expected a key 'at' beside quantiles"),
        ({"quantiles": "opinion", "at": [0.5, 0.5]}, "every share of 'at' once"),
        ({"clusters": "opinion", "epsilon": 0.1, "mass": 2}, "mass"),
        ({"esteban_ray": "opinion", "bins": 20, "alpha": 2.0}, "alpha"),
        ({"cross_cutting": "opinion"}, "expected a key 'layer' beside cross_cutting"),
        ({"cross_cutting": "opinion", "layer": "follow"}, "unknown layer 'follow'; did you mean 'follows'"),
        ({"gini": "downloads", "table": "item"}, "unknown table 'item'; did you mean 'items'"),
        ({"gini": "download", "table": "items"}, "unknown column of table 'items' 'download'"),
        ({"gini": "downloads", "table": "items", "bins": 9}, "no bins, range or by"),
        ({"histogram": "opinion", "bins": 20, "range": [1, 0]}, "low below high"),
        ({"share": "spread"}, "expected a flow or stock, got 'spread'"),
        ({"ratio": ["took", "took"]}, "expected a flow, got 'took'"),
        ({"histogram": "opinion", "gini": "opinion"}, "expected exactly one of"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, metric: dict[str, Any], words: str) -> None:
    write_people(tmp_path)
    with pytest.raises(InputError) as caught:
        loader.validate(tables(x=metric), tmp_path, "opinions")
    assert words in str(caught.value)
