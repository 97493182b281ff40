"""Numbers, dates, curves and measures as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm.policy import Effect, Filter, Intervention
from lpm.population import Column
from lpm.report import changes, measures, schedule, structure, tables, wording
from lpm.report.folder import read_folder

START = date(2020, 3, 1)
DAYS = tuple(changes.moment(step, START, 1.0) for step in range(60))
ACTIVITY = Column("activity", "float32", "share of contacts kept", "1", (0, 1), default=1)


def series(*knots: tuple[int, float]) -> tuple[float, ...]:
    return tuple(np.interp(np.arange(60), [at for at, _ in knots], [value for _, value in knots]).tolist())


def said(*effects: Effect, **more: Any) -> str:
    return changes.in_words(Intervention("x", effects, **more), ("work", "home"), {"activity": ACTIVITY}, DAYS)


def test_a_factor_that_falls_is_said_to_fall_with_its_dates() -> None:
    curve = series((7, 1.0), (28, 0.35))
    told = said(Effect("scale", "work", curve), Effect("scale", "home", curve))
    assert (
        told == "factor on contacts in work and home: 1 until 8 Mar 2020, falls to 0.35 by 29 Mar 2020 and stays there"
    )
    assert "rises" not in told
    earlier = said(Effect("scale", "work", curve), shift=-7)
    assert "1 on 1 Mar 2020" in earlier or "1 until 1 Mar 2020" in earlier
    assert "falls to 0.35 by 22 Mar 2020" in earlier


def test_a_curve_is_told_by_its_turns_and_a_flat_piece_is_no_turn() -> None:
    values = series((10, 0), (12, 0.1), (20, 0.1), (24, 0.3), (40, 0.2))
    assert schedule.curve(values, DAYS, schedule.share) == (
        "0\u202f% until 11 Mar 2020, rises to 30\u202f% by 25 Mar 2020, falls to 20\u202f% by 10 Apr 2020 "
        "and stays there"
    )
    jump = (0.0,) * 15 + (1.0,) * 45
    assert schedule.curve(jump, DAYS) == "0 until 15 Mar 2020, rises to 1 on 16 Mar 2020 and stays there"
    assert schedule.curve((0.5,) * 60, DAYS) == "0.5"
    assert schedule.curve(tuple(float(d % 2) for d in range(60)), DAYS).startswith("varies from 0")


@pytest.mark.parametrize("seed", range(5))
def test_every_turn_of_a_curve_is_told_with_its_value_and_its_day(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heights = np.cumsum(np.where(np.arange(5) % 2, -1, 1) * rng.uniform(0.1, 0.9, 5)) + 5
    at = np.sort(rng.choice(np.arange(1, 59), 5, replace=False))
    told = schedule.curve(series(*zip(at.tolist(), heights.tolist(), strict=True)), DAYS)
    assert [word for word in re.findall(r"rises|falls", told)] == ["falls", "rises", "falls", "rises"]
    for step, height in zip(at.tolist(), heights.tolist(), strict=True):
        assert DAYS[step] in told
        assert schedule.number(height) in told


def test_measures_on_people_and_ties_are_told_by_what_they_do() -> None:
    assert said(Effect("scale_column", "activity", 0.25)) == "activity (share of contacts kept) times 0.25"
    assert said(Effect("reduce", "work", 0.3)) == "contacts in work reduced by 30\u202f%"
    assert said(Effect("set", "seir.beta", 0.02)) == "seir.beta set to 0.02"
    assert said(Effect("add_ties", "work", 1000.0)) == "1,000 ties added to work"
    place = Column("place", "uint8", "", "", (0, 1), levels=("home", "care home"))
    act = Intervention("x", (Effect("set_column", "place", 1.0),), where=(Filter("place", (0,)),), stop=10, duration=5)
    assert changes.in_words(act, (), {"place": place}, DAYS) == "place set to care home"
    assert changes.ends(act, 60, START, 1.0) == ", to 10 Mar 2020, for 5 d a person"
    assert changes.ends(Intervention("x", (Effect("scale", "work", 0.5),)), 60, START, 1.0) == ""
    assert (changes.moment(3, None, 1.0), changes.moment(3, None, 2.0)) == ("day 3", "step 3")


def test_dates_have_one_form_and_names_that_hold_digits_stay() -> None:
    assert wording.dated("from 2020-03-09, until 2020-03-16.") == "from 9 Mar 2020, until 16 Mar 2020."
    for kept in (
        "10.1101/2020-03-09",
        "data-2020-03-09.csv",
        "2020-03-09/x",
        "12020-03-09",
        "2020-13-45",
        "ACS 2011-2015",
    ):
        assert wording.dated(kept) == kept
    assert wording.plain("2020-02-29") == "29 Feb 2020"


@pytest.mark.parametrize(
    ("value", "told"),
    [(2.76e-17, "0"), (3.28e-5, "0.0000328"), (-2.2e-16, "0"), (8050, "8,050"), (0.4, "0.4"), (7, "7")],
)
def test_the_rounding_of_a_sum_is_not_shown(value: float, told: str) -> None:
    assert wording.plain(value) == told


def test_people_are_whole_and_signs_are_told() -> None:
    for value in (0.3, 2.6, 14.7, 312.4, -8.34):
        for kind in ("flow", "stock", "people"):
            assert "." not in wording.figure(value, kind)
        assert "." not in wording.rounded(value)
    assert wording.rounded(21_304) == "21,300"
    assert wording.rounded(0.2, sign=True) == "0"
    assert wording.figure(2.6, "flow", sign=True) == "+3"
    assert wording.percent(0.244) == "+24\u202f%"
    assert wording.percent(-0.9) == "\u221290\u202f%"
    assert wording.percent(0.0) == "0\u202f%"
    assert wording.unit_of("1") == wording.unit_of(None) == ""


@pytest.fixture
def marginals(tmp_path: Path, run_folder: Callable[..., Path]) -> list[dict[str, Any]]:
    towns, ages = [f"Town {i}" for i in range(4)], [f"{a}-{a + 9}" for a in range(0, 80, 10)]
    rows = [
        {"name": "people by town and age", "level": f"{town}, {age}", "published": 1000.0 * i, "generated": 1000.4 * i}
        for i, town in enumerate(towns, 1)
        for age in ages
    ]
    rows += [
        {
            "name": "share by town and size",
            "level": f"{town}, {k}",
            "published": 0.125,
            "generated": 0.12 + 0.01 * (k == 1),
        }
        for town in towns
        for k in range(1, 9)
    ]
    rows += [
        {"name": "people by town", "level": town, "published": 1418206.99, "generated": 1418509.4} for town in towns
    ]
    sources = ["A census <1>"]
    path = run_folder(
        tmp_path, steps=40, grouped=False, population={"facts": {}, "marginals": rows, "sources": sources}
    )
    folder = read_folder(path)
    text = tables.marginals_table(folder)
    assert "1,418,207 published, 1,418,509 generated" in text  # whole people
    assert "0.50\u202fpp" in text  # shares differ by half a point, however many of them there are
    return structure.marginals(folder)


def test_long_marginals_have_a_chart_for_each_level_of_the_first_column(marginals: list[dict[str, Any]]) -> None:
    assert all(len(entry["levels"]) <= structure.CROWDED for entry in marginals)
    split = [entry for entry in marginals if entry["family"] == "People by town and age"]
    assert [entry["name"] for entry in split] == [f"Town {i}" for i in range(4)]
    assert split[0]["levels"][:2] == ["0\u20139", "10\u201319"]
    assert {entry["top"] for entry in split} == {split[0]["top"]}  # one scale
    assert sum(len(entry["levels"]) for entry in marginals) == 68
    assert [entry["measure"] for entry in marginals] == ["people"] * 4 + ["share"] * 4 + ["people"]
    assert marginals[-1]["family"] == ""


def test_values_by_level_name_their_levels_and_units_of_one_are_not_told(
    tmp_path: Path, run_folder: Callable[..., Path]
) -> None:
    levels = {"0-4": 0.4, "75+": 1.47}
    rows = [{"path": "seir.s", "value": levels, "unit": "1", "meaning": "m", "source": ""}]
    text = tables.parameters_table(read_folder(run_folder(tmp_path, steps=40, grouped=False, parameters=rows)))
    assert "0\u20134:\u00a00.4<br>75+:\u00a01.47" in text
    assert "<td >1</td>" not in text
    assert "no source given" in text


def test_measures_say_everybody_their_sources_and_whole_dates(tmp_path: Path, run_folder: Callable[..., Path]) -> None:
    one = {
        "name": "n",
        "when": "from 2020-03-09 (shifted by -7 d)",
        "whom": "the whole run",
        "what": "a; b",
        "source": "",
    }
    arms = [{"name": "as it happened", "description": "From 2020-03-09 on.", "interventions": [one]}]
    text = measures.arms_table(read_folder(_with(run_folder, tmp_path, arms)))
    for phrase in ("everybody", "from 9 Mar 2020 (7 days earlier)", "no source given", "a<br>b", "From 9 Mar 2020 on."):
        assert phrase in text
    assert "2020-03" not in text and "whole run" not in text


def test_an_arm_lists_what_differs_and_names_what_is_kept_and_left_out(
    tmp_path: Path, run_folder: Callable[..., Path]
) -> None:
    acts = [{"name": name, "when": "from 2020-03-09", "what": f"does {name}"} for name in ("kept", "moved", "dropped")]
    other = [acts[0], acts[1] | {"when": "from 2020-03-02"}]
    arms = [{"name": "as it happened", "interventions": acts}, {"name": "no orders", "interventions": other}]
    text = measures.arms_table(read_folder(_with(run_folder, tmp_path, arms)))
    assert [text.count(f"does {each}") for each in ("kept", "moved", "dropped")] == [1, 2, 1]
    assert "As in \u201cas it happened\u201d: kept. Left out: dropped." in text


def _with(run_folder: Callable[..., Path], path: Path, arms: list[dict[str, Any]]) -> Path:
    folder = run_folder(path, steps=40, grouped=False)
    run = json.loads((folder / "run.json").read_text()) | {"arms": arms}
    (folder / "run.json").write_text(json.dumps(run))
    return folder
