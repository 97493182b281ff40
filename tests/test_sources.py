"""Where values are from: one rule for `lpm show`, run.json and the report, and a banner that is true of the run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lpm import catalogue, cli, sources
from lpm.kernel import declarations, find
from lpm.scenarios import loader, parameter_table
from lpm.scenarios.assembly import assemble
from tests.inputs import SMALL, small

__all__ = ["small"]  # a fixture

SIR = declarations(find("sir", "x").Params)


@pytest.mark.parametrize(
    ("value", "given", "table", "told"),
    [
        (None, None, "", "guess"),
        (0.1, None, "", "guess"),
        (0.1, None, "a paper", "guess"),
        (0.1, "a book", "a paper", "a book"),
        (0.2, None, "a paper", "a paper"),
        (0.2, None, "", sources.NO_SOURCE),
        ({"young": 0.1, "old": 0.1}, None, "", "guess"),
        ({"young": 0.1, "old": 0.2}, None, "", sources.NO_SOURCE),
        ((0.1, 0.1), None, "", sources.NO_SOURCE),
    ],
)
def test_a_value_that_equals_the_default_has_its_source(value: Any, given: str, table: str, told: str) -> None:
    assert sources.source_of("guess", 0.1, value, given, table) == told


def test_show_and_report_tell_the_same_sources(small: Path) -> None:
    tables = tomllib.loads(SMALL)
    default = {each: find("sir", "x").Params().__dict__[each] for each in SIR}
    tables["kernels"][0] = {"kernel": "sir", "gamma": default["gamma"], "beta": default["beta"] / 2}
    small.write_text(tomli_w.dumps(tables))
    shown = {row.path: row.source for row in catalogue.sheet(str(small)).rows}
    assembly = assemble(loader.load(small), 1, lambda *_: None)
    told = {row["path"]: row["source"] for row in parameter_table.rows(assembly)}
    assert told == {path: source for path, source in shown.items() if path in told} and len(told) == len(SIR)
    assert told["sir.gamma"] == SIR["gamma"].source and told["sir.beta"] == sources.NO_SOURCE


def test_what_is_said_of_values_is_true_of_them() -> None:
    paper, guess, none = "Author 2020, 10.1/x", "shape between these: guess", sources.NO_SOURCE
    assert sources.in_words([paper, paper]) == "Each parameter cites its source."
    assert sources.in_words([paper, guess, none, ""]) == (
        "Of 4 parameters 1 is a guess or rests on one and 2 have no source."
    )
    assert sources.in_words([sources.GIVEN]) == "Of 1 parameter 1 was set on the command line."
    own = sources.in_words([guess, guess], "Picked with the wave in view.")
    assert own == "Picked with the wave in view. Of 2 parameters 2 are guesses or rest on one."
    assert sources.in_words([]) == ""


def test_every_figure_of_new_york_is_shown_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = catalogue.sheet("nyc-covid")
    rows = {row.path: row for row in sheet.rows}
    for path, row in rows.items():
        if path.startswith("population.") and row.unit == "file":
            assert row.source and row.source != sources.NO_SOURCE, path
        if path.endswith((".matrix", ".factor", ".mixing", ".commuting", ".scale", ".reference")) and row.value:
            assert row.source and row.source != sources.NO_SOURCE, path
    assert rows["seir.beta"].prior == "lognormal 0.18, 0.1" and rows["seir.clinical"].prior == ""
    assert any("picked inside those ranges with the observed wave in view" in each for each in sheet.sentences)
    titles = {each.title.split(" (")[0]: each for each in sheet.listings}
    assert set(titles) == {"Interventions", "Arms", "Curves", "Observed figures"}
    measures = {row[0]: row for row in titles["Interventions"].rows}
    assert measures["shielding of those over 65"][1:5] == (
        "protect those over 65", "from 2020-03-09", "age 65-74 or 75+, residence household, uptake 0.75",
        "activity times 0.25",
    )  # fmt: skip
    assert measures["schools closed"][1] == ", ".join(row[0] for row in titles["Arms"].rows if row[0] != "no orders")
    assert all(row[-1] != sources.NO_SOURCE for row in measures.values())
    assert [row[1] for row in titles["Arms"].rows][1:4] == [
        "orders shifted by -7d", "orders shifted by -14d", "without orders",
    ]  # fmt: skip
    assert cli.main(["show", "nyc-covid"]) == 0
    told = capsys.readouterr().out
    assert "2020-03-16: 1" in told and "lognormal 0.18, 0.1" in told and "orders shifted by -14d" in told


def test_a_prior_is_shown_as_it_would_be_drawn(small: Path) -> None:
    tables = tomllib.loads(SMALL)
    tables["kernels"] = [
        {"kernel": "seir", "name": "a", "latent_mean": 5.0, "mild_mean": {"value": 2.0, "prior": []}},
    ]
    tables["metrics"] = {}
    small.write_text(tomli_w.dumps(tables))
    rows = {row.path: row.prior for row in catalogue.sheet(str(small)).rows}
    assert rows["a.latent_mean"] == "lognormal 5, 0.1" and rows["a.mild_mean"] == "held fixed"
    assert catalogue.sheet("seir").rows[0].prior.startswith("lognormal")


def test_the_run_keeps_what_the_scenario_says_of_its_values(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace('name = "small"\n', 'name = "small"\nchosen = "Picked by hand."\n', 1))
    out = tmp_path / "out"
    assert cli.main(["run", str(small), "--out", str(out), "--seeds", "1", "--steps", "3", "--quiet"]) == 0
    assert json.loads((out / "run.json").read_text())["chosen"] == "Picked by hand."
    assert 'chosen = "Picked by hand."' in (out / "scenario.toml").read_text()
    page = (out / "report.html").read_text()
    assert "<b>Not calibrated yet.</b> Picked by hand. Of " in page and "none was fitted" not in page
