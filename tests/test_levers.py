"""Interventions on agents: who is reached, how long it holds, what it changes, what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.cli import main

# agents in rows of 100 by `group`; nobody is ever infected, so that only the interventions move anything
SCENARIO = """
schema = 1
name = "levers"
steps = 12
seeds = 1
[population]
file = "people.csv"
people = 4000.0
columns = [
    {{ name = "wealth", dtype = "float32", meaning = "money", unit = "USD", bounds = [0, 1000], default = 10 }},
    {{ name = "mood", dtype = "float32", meaning = "mood", unit = "1", bounds = [0, 1], default = 1 }},
]
[[networks]]
name = "friends"
builder = "watts-strogatz"
neighbours = 2
rewiring = 0.0
[[kernels]]
kernel = "sir"
initial = 0.0
[metrics]
mood = {{ mean = "mood", by = ["group"] }}
wealth = {{ sum = "wealth", by = ["group"] }}
recovered = {{ stock = "recovered", by = ["group"] }}
[[arms]]
name = "none"
[[arms]]
name = "some"
[[arms.interventions]]
name = "act"
{act}
"""


def people(folder: Path) -> None:
    """Write 200 agents of group a and 200 of group b."""
    rows = [{"group": "ab"[i // 200], "wealth": 10.0, "mood": 1.0} for i in range(400)]
    pl.DataFrame(rows).write_csv(folder / "people.csv")


ACTS = {
    "delay": 'at = 2\ndelay = "3d"\nduration = "4d"\nwhere = { group = "a" }\nscale_column = { mood = 0.25 }',
    "until": "at = 3\nuntil = 6\nset_column = { mood = 0.5 }",
    "capacity": "capacity = 555.0\nset_column = { mood = 0.0 }",
    "uptake": 'uptake = 0.5\nduration = "2d"\nset_column = { mood = 0.0 }',
    "neighbours": 'neighbours_of = { where = { group = "b" }, layers = ["friends"] }\nset_column = { mood = 0.0 }',
    "recover": 'at = 1\nwhere = { group = "a" }\ndelay = "2d"\nset_column = { state = "recovered" }',
    "pay": 'duration = "1d"\nwhere = { group = "a" }\npay = { column = "wealth", amount = 400.0 }',
    "factor 0.5": 'at = 2\nuntil = 5\nwhere = { group = "a" }\nscale_column = { mood = 0.5 }',
    "factor 1.0": 'at = 2\nuntil = 5\nwhere = { group = "a" }\nscale_column = { mood = 1.0 }',
    "factor 1.5": 'at = 2\nuntil = 5\nwhere = { group = "a" }\nscale_column = { mood = 1.5 }',
    "away": 'at = 4\nuntil = 8\nwhere = { group = "a" }\nset_column = { present = false }',
    "cost": """at = 2
duration = "3d"
until = 5
where = { group = "a" }
set_column = { mood = 0.0 }
cost = { per_person = 2.0, per_day = 1.0, unit = "USD", source = "made up" }""",
}
"""What each arm does, by its name."""


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return arm -> metric -> float64 [steps] for group a and all; tallies in people. All arms are of one run."""
    folder = tmp_path_factory.mktemp("levers")
    people(folder)
    head = SCENARIO.partition("[[arms]]")[0].replace("{{", "{").replace("}}", "}")
    each = (f'[[arms]]\nname = "{n}"\n[[arms.interventions]]\nname = "{n}"\n{act}\n' for n, act in ACTS.items())
    (folder / "levers.toml").write_text(head + '[[arms]]\nname = "none"\n' + "".join(each))
    out = folder / "run"
    assert main(["run", str(folder / "levers.toml"), "--out", str(out), "--quiet"]) == 0
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(ACTS, start=1):
        frame = pl.read_parquet(out / "trajectory.parquet").filter(arm=name)
        tallies = pl.read_parquet(out / "checkpoints" / "finished" / f"{number}-0.tallies.parquet")
        own = [each for each in tallies.columns if each.partition(":")[2] == name]
        told: dict[str, Any] = {each.partition(":")[0]: tallies[each].to_numpy() for each in own}
        assert not tallies.drop(own).to_numpy().any(), "another arm's act"
        for metric in ("mood", "wealth", "recovered"):
            for group, label in (("all", ""), ("group=a", "_a"), ("group=b", "_b")):
                told[metric + label] = frame.filter(group=group)[metric].to_numpy()
        told["json"] = json.loads((out / "run.json").read_text("utf-8"))
        told["notes"] = [note for note in told["json"]["notes"] if f"'{name}'" in note]
        found[name] = told
    return found


def test_delay_duration_and_expiry(arms: dict[str, Any]):
    told, expected = arms["delay"], np.ones(12)
    expected[5:9] = 0.25  # reached in step 2, from 5 for four steps; reached again in 9 when it is over, from 12 on
    assert np.allclose(told["mood_a"], expected) and np.array_equal(told["mood_b"], np.ones(12))
    assert told["reached"].tolist() == [0, 0, 2000, 0, 0, 0, 0, 0, 0, 2000, 0, 0]
    assert told["active"].tolist() == [2000.0 if 5 <= step < 9 else 0.0 for step in range(12)]


def test_until_ends_what_it_holds(arms: dict[str, Any]):
    expected = np.ones(12)
    expected[3:6] = 0.5
    assert np.allclose(arms["until"]["mood"], expected)


def test_capacity_reaches_so_many_people_a_step(arms: dict[str, Any]):
    reached = arms["capacity"]["reached"]
    assert reached[:7].tolist() == [550.0] * 7  # agents of ten people each; the last of 4,000 in step 7
    assert reached.sum() == 4000 and reached[8:].sum() == 0


def test_uptake_and_share_are_drawn_once_per_agent(arms: dict[str, Any]):
    """400 agents, uptake 0.5: 120 to 280 take part but in 1e-15 of seeds; whoever declined is never asked again."""
    reached = arms["uptake"]["reached"]
    assert 1200 <= reached[0] <= 2800 and reached[1] == 0
    assert set(reached[::2].tolist()) == {reached[0]}  # the same agents, reached again when it is over


def test_neighbours_of_a_selection(arms: dict[str, Any]):
    """On a ring of 400, groups 0..199 and 200..399: the neighbours of b are b, but for nobody, and its two borders."""
    told = arms["neighbours"]
    assert told["mood_b"][0] == 0 and told["mood_a"][0] == pytest.approx(1 - 2 / 200)


def test_a_column_that_a_kernel_writes_is_set_once_after_the_delay(arms: dict[str, Any]):
    told = arms["recover"]
    assert told["recovered_a"].tolist() == [0.0] * 3 + [2000.0] * 9 and told["recovered_b"].sum() == 0


def test_payments_add_up_and_stay_within_bounds(arms: dict[str, Any]):
    told = arms["pay"]
    assert told["wealth_a"].tolist() == [2000.0 * min(10 + 400 * (step + 1), 1000) for step in range(12)]
    assert np.allclose(told["wealth_b"], 20_000)


def test_values_held_at_a_bound_are_told(arms: dict[str, Any]):
    """1,000 USD are allowed: the third payment of 400 (10, 410, 810, 1,210) is the first that does not fit."""
    told = arms["pay"]
    assert told["clipped"].tolist() == [0.0, 0.0] + [2000.0] * 10
    assert told["notes"][-1] == (
        "'pay' (pay) moves values past the bounds that are declared for 'wealth'; they are held there, for up to "
        "2,000 people in a step."
    )


@pytest.mark.parametrize(("factor", "clipped"), [(0.5, 0.0), (1.0, 0.0), (1.5, 2000.0)])
def test_only_values_past_a_bound_are_told(factor: float, clipped: float, arms: dict[str, Any]):
    told = arms[f"factor {factor}"]
    assert told["clipped"].tolist() == [clipped if 2 <= step < 5 else 0.0 for step in range(12)]
    assert any("past the bounds" in note for note in told["notes"]) is (clipped > 0)


def test_absent_through_policy_are_not_counted(arms: dict[str, Any]):
    assert arms["away"]["wealth"].tolist() == [20_000.0 if 4 <= step < 8 else 40_000.0 for step in range(12)]


def test_costs_are_people_reached_and_days_in_effect(arms: dict[str, Any]):
    costs = arms["cost"]["json"]["costs"]
    assert costs == {"cost": [{"unit": "USD", "total": 2.0 * 2000 + 1.0 * 2000 * 3}]}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("capacity = 5.0\nset_column = { mood = 0.0 }", "is less than the 10 that an agent stands for"),
        ('duration = "2d"\nset_column = { state = "recovered" }', "cannot have a duration"),
        ("set = { 'sir.initial' = 0.5 }", "acts at the start only"),
        ("scale = { friends = 0.5 }\ndelay = '2d'\nwhen = { metric = 'recovered', above = 1.0 }", "'when' or 'delay'"),
        ("add_ties = { layer = 'friends', count = 3 }\ndelay = '2d'", "acts on ties at once"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], act: str, message: str):
    people(tmp_path)
    (tmp_path / "levers.toml").write_text(SCENARIO.format(act=act))
    assert main(["run", str(tmp_path / "levers.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


SURVEYS = """
[[surveys]]
name = "how are you"
every = "3d"
sample = 40
where = {{ group = "b" }}
ask = ["mood", "state"]
"""


def test_a_survey_reads_and_never_disturbs(tmp_path: Path):
    act = 'uptake = 0.5\nwhere = { group = "a" }\nset_column = { state = "infectious" }'
    runs = []
    for name, extra in (("without", ""), ("with", SURVEYS)):
        folder = tmp_path / name
        folder.mkdir()
        people(folder)
        (folder / "levers.toml").write_text((SCENARIO + extra).format(act=act))
        assert main(["run", str(folder / "levers.toml"), "--out", str(folder / "run"), "--quiet"]) == 0
        runs.append((folder / "run" / "trajectory.parquet").read_bytes())
    assert runs[0] == runs[1]
    answers = pl.read_parquet(tmp_path / "with" / "run" / "surveys" / "1-0.parquet")
    assert answers.group_by("step").len().sort("step").rows() == [(3, 40), (6, 40), (9, 40), (12, 40)]
    assert answers["id"].min() >= 200  # type: ignore[operator]


@pytest.mark.full
def test_a_survey_sees_what_metrics_see(tmp_path: Path):
    """Half of the mood while it holds (steps 2 to 6), and nobody is asked whom policy took out (steps 8 to 10)."""
    acts = """where = { group = "a" }
at = 2
until = 7
scale_column = { mood = 0.5 }
[[arms.interventions]]
name = "away"
at = 8
until = 11
where = { group = "b" }
set_column = { present = false }
"""
    survey = SURVEYS.replace('where = {{ group = "b" }}', "").replace("3d", "1d").replace("40", "400")
    low = survey.replace("how are you", "who is low").replace("sample", "where = {{ mood = {{ max = 0.5 }} }}\nsample")
    people(tmp_path)
    (tmp_path / "levers.toml").write_text((SCENARIO + survey + low).format(act=acts))
    assert main(["run", str(tmp_path / "levers.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    answers = pl.read_parquet(tmp_path / "run" / "surveys" / "1-0.parquet")
    counted = pl.read_parquet(tmp_path / "run" / "trajectory.parquet").filter(arm="some", group="all").sort("step")
    asked = answers.filter(survey="how are you").group_by("step").agg(pl.col("mood").mean(), pl.len()).sort("step")
    assert asked["step"].to_list() == list(range(1, 13))
    assert np.allclose(asked["mood"], counted["mood"])
    assert asked["len"].to_list() == (counted["people"] / 10).to_list()  # agents of ten people each
    low_ones = answers.filter(survey="who is low").group_by("step").agg(pl.col("id").max(), pl.len()).sort("step")
    assert low_ones.rows() == [(step, 199, 200) for step in range(3, 8)]
