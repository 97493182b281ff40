"""Runs from Python: `lpm.run`, and the README's example as it stands there."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.scenarios import execution, loader
from lpm.scenarios.options import RunOptions
from tests.inputs import small

__all__ = ["small"]  # a fixture

README = Path(__file__).parents[1] / "README.md"


def test_a_run_is_one_call(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, Any] = {
        "agents": 90,
        "steps": 4,
        "seeds": [3, 5],
        "arms": ["fewer contacts"],
        "set": {"sir.beta": 0.2},
    }
    folder = lpm.run(small, **asked, out=tmp_path / "out", backend="xla", quiet=True)
    assert folder == tmp_path / "out" and capfd.readouterr() == ("", "")
    frame = pl.read_parquet(folder / "trajectory.parquet")
    assert frame["seed"].unique().to_list() == [3, 5] and frame["step"].max() == 3
    facts = json.loads((folder / "run.json").read_text())
    assert facts["agents"] == 90 and [arm["name"] for arm in facts["arms"]] == ["fewer contacts"]
    assert next(each["value"] for each in facts["parameters"] if each["path"] == "sir.beta") == pytest.approx(0.2)
    again = execution.run(loader.load(folder / "scenario.toml"), RunOptions(tmp_path / "again"))  # nobody watches
    assert (again / "trajectory.parquet").read_bytes() == (folder / "trajectory.parquet").read_bytes()
    assert lpm.run(folder / "scenario.toml", out=folder, resume=True, quiet=True) == folder


def test_bad_input_names_what_was_given(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"set": {"sir.beta": 99}}, "sir.beta: expected 0 to 10"),
        ({"set": ["sir.beta=99"]}, "sir.beta: expected 0 to 10"),
        ({"agents": 1.5}, "--agents: expected a whole number, got 1.5"),
        ({"seeds": []}, "--seeds: "),
        ({"backend": "cuda"}, "unknown backend 'cuda'"),
        ({"devices": 0}, "devices: expected at least 1"),
        ({"resume": True}, "resume: "),
    ]
    for asked, words in cases:
        with pytest.raises(InputError, match=re.escape(words)):
            lpm.run(small, **asked)
    assert not (tmp_path / "runs").exists()


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.read_text(encoding="utf-8").split("## In Python")[1]
    example = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "example.py"
    file.write_text(example.replace("agents=5_000", "agents=300, steps=4"), encoding="utf-8")
    names = runpy.run_path(str(file))
    assert Path(str(names["folder"])).is_relative_to("runs") and isinstance(names["effects"], pl.DataFrame)
