"""What a run says that its reader should know: people an agent stands for, take-off by luck, measures out of reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm import cli
from lpm.kernels.diffusion.importation import Importation
from lpm.policy import Effect, Intervention
from lpm.scenarios import loader, notes, settings
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import silent
from tests.inputs import small

__all__ = ["small"]  # a fixture

SCENARIO = """
schema = 1
name = "seeded"
step = "12h"
start = 2020-02-01
steps = 80
seeds = 1
[population]
size = 200
people = 1600.0
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 5
[[kernels]]
kernel = "seir"
[[kernels]]
kernel = "importation"
initial = 40.0
daily = 8.0
[series]
travel = { knots = [[0, 1.0], [9, 1.0], [10, 0.5]] }
[metrics]
deaths = { flow = "dead" }
[[interventions]]
name = "travel"
scale = { "importation.daily" = "travel" }
[[arms]]
name = "baseline"
[[arms]]
name = "later"
interventions = [
    { name = "closing", at = 2020-02-20, scale = { contacts = 0.5 } },
    { name = "slow vaccine", at = 2020-02-02, delay = "30d", scale_column = { activity = 0.5 } },
    { name = "masks", at = 2020-02-03, scale = { contacts = 0.9 } },
]
"""


@pytest.fixture
def seeded(tmp_path: Path) -> Callable[..., Assembly]:
    """Return a function that assembles the scenario with some of its lines changed."""

    def made(**changed: Any) -> Assembly:
        text = SCENARIO
        for before, after in changed.items():
            line = next(each for each in SCENARIO.splitlines() if each.startswith(f"{before} = "))
            text = text.replace(f"{line}\n", f"{before} = {after}\n", 1)
        (tmp_path / "seeded.toml").write_text(text, encoding="utf-8")
        return assemble(loader.load(tmp_path / "seeded.toml"), 1, silent)

    return made


def test_who_begins_is_counted_in_agents(seeded: Callable[..., Assembly]) -> None:
    assembly = seeded()
    # 8 a day for 10 steps of half a day, then 4 a day for 50: 40 + 40 + 100 people in 30 days
    assert notes.expected_arrivals(assembly) == pytest.approx(180.0)
    told = notes.of(assembly)
    assert told[0].startswith("200 agents stand for 1,600 people: 8 people an agent")
    assert told[1].startswith(
        "The epidemic begins with about 22 agents (180 people at 8 an agent): when it takes off is"
    )
    assert len(told) == 2


def test_more_agents_than_people_are_told(seeded: Callable[..., Assembly]) -> None:
    told = notes.of(seeded(people="50.0"))[0]
    assert told.startswith("200 agents stand for 50 people: 0.25 people an agent: there are more agents than people")
    assert notes.scale(200, 0.5) == "200 agents stand for 0.5 people: 0.0025 people an agent"


def test_a_report_that_begins_later_counts_until_then(seeded: Callable[..., Assembly]) -> None:
    assert notes.expected_arrivals(seeded(steps="80\nreport_from = 2020-02-06")) == pytest.approx(80.0)
    assert notes.expected_arrivals(seeded(initial="0.0", daily="0.0")) == 0.0
    assert len(notes.of(seeded(initial="0.0", daily="0.0"))) == 1  # nobody at all is no matter of luck


@pytest.mark.parametrize(("initial", "said"), [("259.0", True), ("261.0", False)])
def test_fifty_agents_are_enough(initial: str, said: bool, seeded: Callable[..., Assembly]) -> None:
    assembly = seeded(initial=initial)
    assert any("takes off" in each for each in notes.of(assembly)) is said


def test_a_person_an_agent_is_not_noted(seeded: Callable[..., Assembly]) -> None:
    told = notes.of(seeded(people="200.0", initial="0.2", daily="0.0"))
    assert told == [
        "The epidemic begins with about 0.2 agents (a person each): when it takes off is luck; read differences "
        "between arms, or use more seeds."
    ]


def test_importation_tells_who_is_expected() -> None:
    params = Importation.Params(initial=np.array([2.0, 3.0]), daily=np.array([0.5, 0.25]))
    assert Importation.expected_arrivals(params) == (5.0, 0.75)


def test_what_a_shortened_run_does_not_reach_is_said(seeded: Callable[..., Assembly], tmp_path: Path) -> None:
    assert not any("end before" in each for each in notes.of(seeded()))
    short = settings.apply_set(loader.load(tmp_path / "seeded.toml"), "steps=30")
    assert notes.of(assemble(short, 1, silent))[-1] == (
        "The 30 steps of this run (the last is 2020-02-15 12:00:00) end before these interventions change anything: "
        "'closing' (later), 'slow vaccine' (later); a larger --steps reaches them."
    )


def test_notes_are_in_the_run_and_in_the_terminal(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--steps", "2", "--seeds", "1", "--set", "population.people=6000.0", "--out", str(tmp_path / "out")]
    assert cli.main(["run", str(small), *arguments]) == 0
    told = json.loads((tmp_path / "out" / "run.json").read_text())["notes"]
    assert len(told) == 2 and "100 people an agent" in told[0] and "'own intervention 1' (fewer contacts)" in told[1], (
        told
    )
    out, err = capfd.readouterr()
    assert all(f"Note: {each}\n" in out for each in told)
    assert err.startswith("note: 60 agents stand for 6,000 people: 100 people an agent\n")


@pytest.mark.parametrize(
    ("made", "steps"),
    [
        (Intervention("a", (Effect("scale", "x", 0.5),), start=5), 6),
        (Intervention("b", (Effect("scale", "x", 0.5),), start=5, shift=3), 9),
        (Intervention("c", (Effect("reduce", "x", (0.0, 0.0, 0.0, 0.25)),)), 4),
        (Intervention("d", (Effect("scale", "x", (1.0, 1.0, 0.5)),), delay=2), 5),
        (Intervention("e", (Effect("set_column", "x", 1.0),), start=5, delay=3), 9),
        (Intervention("f", (Effect("set", "x.y", 1.0),)), 1),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_the_first_step_that_changes_anything(made: Intervention, steps: int) -> None:
    assert notes.acts(made, steps) and not (steps > 1 and notes.acts(made, steps - 1))


def test_numbers_of_a_sentence() -> None:
    assert notes.scale(1_000_000, 8_336_817) == "1,000,000 agents stand for 8,336,817 people: 8.34 people an agent"
    assert notes.scale(5, 5) == "5 agents, a person each"
    assert notes.scale(100, 50.0) == "100 agents stand for 50 people: 0.5 people an agent"
