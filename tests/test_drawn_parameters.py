"""What is held fixed is not drawn, and what is drawn is told as drawn, in the parameter table and notes of a run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm import asking
from lpm.errors import InputError
from lpm.scenarios import draws, loader, notes, parameter_table, resolved
from lpm.scenarios.assembly import assemble
from lpm.scenarios.schema import Scenario
from tests.inputs import small

__all__ = ["small"]  # a fixture


def told(scenario: Scenario) -> tuple[dict[str, dict[str, Any]], list[str], list[float]]:
    """Return the parameter table by path, the notes, and the transmission of every seed."""
    made = assemble(scenario, 1, lambda *_: None)
    drawn = [float(each["sir"].beta) for each in draws.of_seeds(scenario, made.params)]
    return {row["path"]: row for row in parameter_table.rows(made)}, notes.of(made), drawn


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "posterior.csv"
    path.write_text("sir.beta,sir.gamma\n0.1,0.25\n0.3,0.5\n")
    return str(path)


def test_a_parameter_that_is_drawn_from_a_file_is_told_so(small: Path, file: str) -> None:
    rows, sentences, drawn = told(asking.chosen(str(small), draws=file))
    assert rows["sir.beta"]["value"] == "0.2 (0.1 to 0.3 over 2 seeds)"
    assert rows["sir.beta"]["source"] == "drawn for each seed from posterior.csv"
    assert rows["sir.beta"]["drawn"] == {"from": "posterior.csv", "mean": 0.2, "low": 0.1, "high": 0.3}
    assert rows["sir.gamma"]["value"] == "0.375 (0.25 to 0.5 over 2 seeds)"
    assert rows["sir.initial"]["value"] == 0.1 and "drawn" not in rows["sir.initial"]
    assert not any("not used" in each for each in sentences)
    np.testing.assert_allclose(drawn, [0.1, 0.3], rtol=1e-6)


def test_what_is_set_holds_against_a_file_and_the_run_says_so(small: Path, file: str) -> None:
    asked = asking.chosen(str(small), draws=file, sets=["sir.beta=0.07"])
    rows, sentences, drawn = told(asked)
    assert rows["sir.beta"]["value"] == 0.07 and "command line" in rows["sir.beta"]["source"]
    assert "drawn" in rows["sir.gamma"] and "drawn" not in rows["sir.beta"]
    line = "The column sir.beta of posterior.csv is not used: what --set (or prior = []) holds fixed is not drawn."
    assert line in sentences
    np.testing.assert_allclose(drawn, 0.07, rtol=1e-6)
    assert asking.chosen(str(small), draws=file, sets={"sir.beta": 0.07}) == asked


def test_what_is_set_is_still_held_in_the_scenario_of_the_run(small: Path, file: str, tmp_path: Path) -> None:
    asked = asking.chosen(str(small), draws=file, sets=["sir.gamma=0.2"])
    folder = tmp_path / "run"
    folder.mkdir()
    path = resolved.write(asked, folder)
    again = loader.validate(tomllib.loads(path.read_text()), folder, "again")
    rows, sentences, _ = told(again)
    assert rows["sir.gamma"]["value"] == 0.2 and "drawn" in rows["sir.beta"]
    assert any("sir.gamma of draws.csv is not used" in each for each in sentences)


def test_a_file_of_which_nothing_is_used_is_refused(small: Path, file: str) -> None:
    asked = asking.chosen(str(small), draws=file, sets=["sir.beta=0.07", "sir.gamma=0.1"])
    with pytest.raises(InputError, match="no column of posterior.csv is used: sir.beta, sir.gamma held fixed"):
        draws.check(asked)


def test_a_parameter_that_is_drawn_from_its_prior_is_told_so(small: Path) -> None:
    rows, _, drawn = told(asking.chosen(str(small), draws="prior"))
    row = rows["sir.beta"]
    assert row["source"].startswith("drawn for each seed from its prior, lognormal 0.05, 0.2; the prior: ")
    assert row["drawn"]["low"] == pytest.approx(min(drawn)) and row["drawn"]["high"] == pytest.approx(max(drawn))
    assert row["value"] == f"{np.mean(drawn):.4g} ({min(drawn):.4g} to {max(drawn):.4g} over 2 seeds)"
    assert rows["sir.initial"]["value"] == 0.1 and "drawn" not in rows["sir.initial"]
