"""What a run leaves behind when its pairs have ended: cascades, how far seeds differ, published figures beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.inequality import gini
from lpm.scenarios.afterwards import between_worlds, cascades_of
from lpm.scenarios.loader import load
from lpm.unpredictability import standard_error, unpredictability

SPREAD = """
schema = 1
name = "spread"
steps = 12
seeds = 2
[population]
size = 1_500
people = 3_000
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 8.0
[[kernels]]
kernel = "independent-cascade"
p = 0.1
initial = 0.02
CASCADES
[metrics]
new = { flow = "new", column = "activation" }
left = { stock = "inactive", column = "activation" }
[[arms]]
name = "as it is"
[[arms]]
name = "seeded"
interventions = [ { at = 3, set_column = { activation = "new" }, share = 0.05, where = { activation = "inactive" } } ]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.full
def test_cascades_of_a_run(tmp_path: Path):
    """Members are those reached, in people too; the rest of the run is as without, to the bit; the report tells."""
    folder = lpm.run(
        str(written(tmp_path, SPREAD.replace("CASCADES", "cascades = true"))), out=tmp_path / "a", quiet=True
    )
    plain = lpm.run(str(written(tmp_path, SPREAD.replace("CASCADES", ""))), out=tmp_path / "b", quiet=True)
    trajectory = pl.read_parquet(folder / "trajectory.parquet")
    assert trajectory.equals(pl.read_parquet(plain / "trajectory.parquet"))
    found = pl.read_parquet(folder / "cascades.parquet")
    assert not (plain / "cascades.parquet").exists()
    last = trajectory.filter(pl.col("step") == 11)
    for (arm, seed), part in found.group_by("arm", "seed"):
        left = last.filter(arm=arm, seed=seed)["left"][0]
        assert part["people"].sum() == pytest.approx(3_000 - left, abs=1e-6) == 2 * part["size"].sum()
        assert part["root"].n_unique() == len(part) and (part["size"] >= part["depth"] + 1).all()
        assert set(part["reached_at"]) == ({0} if arm == "as it is" else {0, 3})
    seeded = found.filter(arm="seeded", reached_at=3)
    assert 90 < len(seeded) < 220  # 5 % of some 1,300, in two seeds
    pages = [(each / "report.html").read_text("utf-8") for each in (folder, plain)]
    assert "Cascades" in pages[0] and "Virality" in pages[0] and 'id="cascades"' not in pages[1]


def test_who_came_after_the_last_turn_is_a_cascade_of_one():
    agents = {
        "id": np.array([7, 3, 9, 5], np.uint32),
        "weight": np.full(4, 131_072, np.uint32),
        "present": np.array([True, True, True, False]),
        "activation": np.array([2, 1, 1, 1], np.uint8),
        "reached_at": np.array([0, 1, -1, -1], np.int32),
        "reached_by": np.array([7, 7, 9, 5], np.uint32),
    }
    found = cascades_of(agents, {}, "independent-cascade")
    assert found["root"].to_list() == [7, 9] and found["size"].to_list() == [2, 1]
    assert found["people"].to_list() == [4.0, 2.0] and found["reached_at"].to_list() == [0, 1]


def test_seeds_of_an_arm_together():
    """Against the functions by themselves; the jackknife of a mean over pairs of two items against its closed form."""
    generator = np.random.default_rng(5)
    counts = generator.integers(1, 60, (6, 9))
    rows = [
        {"arm": "a", "seed": seed, "metric": "m", "item": item, "count": float(counts[seed, item])}
        for seed in range(6)
        for item in range(9)
    ]
    told = between_worlds(pl.DataFrame(rows)).row(0, named=True)
    assert told["unpredictability"] == unpredictability(counts)
    assert told["unpredictability_se"] == standard_error(counts)
    assert told["gini"] == pytest.approx(gini(counts).mean(), rel=1e-12) and told["seeds"] == 6
    one = between_worlds(pl.DataFrame(rows[:9])).row(0, named=True)
    assert one["unpredictability"] is None and one["gini_se"] is None and one["gini"] == gini(counts[0])
    two = np.array([[1, 3], [2, 2], [3, 1]])  # without one world: 1/4, 1/2, 1/4
    assert standard_error(two) == pytest.approx(np.sqrt(2 / 3 * (2 * (1 / 12) ** 2 + (1 / 6) ** 2)), rel=1e-12)


def test_gini_against_its_definition():
    counts = np.random.default_rng(1).integers(0, 90, (5, 11))
    for world, told in zip(counts, gini(counts), strict=True):
        pairs = np.abs(world[:, None] - world[None, :]).sum()
        assert told == pytest.approx(pairs / (2 * len(world) * world.sum()), rel=1e-12)
    assert gini(np.array([3, 3, 3])) == 0 and gini(np.array([0, 0, 0, 8])) == 0.75
    with pytest.raises(InputError, match="not all 0"):
        gini(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("cascades", "words"),
    [
        ('cascades = true\n[[kernels]]\nkernel = "sir"\nname = "flu"\ncascades = true', "keeps its cascades in column"),
        ('[[kernels]]\nkernel = "bass"\ncascades = true', "'bass' does not tell who reached whom"),
        ('[unpredictability]\nx = { table = "items", column = "downloads" }', "unpredictability.x.table: .*'items'"),
        (
            '[unpredictability]\nx = { table = "agents", column = "state" }',
            "unpredictability.x.table: expected a table of what agents choose from, .* got 'agents'",
        ),
        ('[data]\nnew = { file = "x.csv", column = "v", error = "e" }', "'error' belongs to figures by 'arm'"),
        ('[data]\nnew = { file = "x.csv", column = "v", arm = "arm", group = "g" }', "either 'arm'"),
        ('[data]\nnew = { file = "x.csv", column = "v", arm = "arm" }', "x.csv"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, cascades: str, words: str):
    with pytest.raises(InputError, match=words):
        load(written(tmp_path, SPREAD.replace("CASCADES", cascades)))


def test_a_headline_that_is_no_metric_is_said(tmp_path: Path):
    text = SPREAD.replace("CASCADES", "").replace("seeds = 2", 'seeds = 2\nheadline = "mew"')
    with pytest.raises(InputError, match=r"headline.*'mew'.*new"):
        load(written(tmp_path, text))
