"""What `lpm calibrate` prints of a fit, also where there is no estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lpm import terminal
from lpm.calibration import report_tables

PARAMETERS: list[dict[str, Any]] = [
    {"name": "sir.beta", "origin": "2020-03-01", "estimate": 0.7, "low": 0.6, "high": 0.8, "at_bound": False},
    {"name": "sir.beta", "origin": "all data", "estimate": 0.12, "low": 0.1, "high": 0.14, "at_bound": True,
     "identified": False},
    {"name": "sir[x]", "origin": "all data", "estimate": None, "low": None, "high": None, "at_bound": False,
     "identified": False},
]  # fmt: skip

RESULTS: list[dict[str, Any]] = [
    {"name": "deaths averted: earlier", "estimate": 1234.0, "low": 900.0, "high": 2000.0, "draws": 20, "undefined": 0},
    {"name": "R(t), highest", "estimate": 2.5, "low": None, "high": None, "draws": 20, "undefined": 13},
    {"name": "attack rate, at the end", "estimate": None, "low": None, "high": None, "draws": 20, "undefined": 20},
]


def test_a_fit_with_estimates_that_are_not_there_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"title": "small", "parameters": PARAMETERS, "results": RESULTS, "notes": ["beware"]}
    (tmp_path / "fit.json").write_text(json.dumps(facts))
    (tmp_path / "score.json").write_text("[]")
    terminal.show_fit(tmp_path)
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    lines = {line.split("  ")[0]: line for line in printed}
    assert "0.7" not in "".join(lines.values()) and "Note: beware" in lines  # of the last fit alone
    assert "0.1 to 0.14" in lines["sir.beta"] and "at its bound, not identified" in lines["sir.beta"]
    assert lines["sir[x]"].split() == ["sir[x]", "-", "not", "identified"]
    assert "1,234" in lines["deaths averted: earlier"] and lines["deaths averted: earlier"].endswith("20 draws")
    assert lines["R(t), highest"].endswith("20 draws, undefined in 13 of them") and " to " not in lines["R(t), highest"]
    assert lines["attack rate, at the end"].split()[-8:] == "- 20 draws, undefined in 20 of them".split()


def test_the_report_tells_over_how_many_draws() -> None:
    page = report_tables.intervals(RESULTS, False)
    assert "Draws" in page and "20, undefined in 13" in page and "20, undefined in 0" not in page
    assert "Draws" not in report_tables.intervals(PARAMETERS, True)
