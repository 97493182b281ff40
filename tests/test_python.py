"""Runs from Python: `lpm.run`, and the README's example as it stands there."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lpm
from lpm import asking
from lpm.errors import Fault, InputError
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
        ({"set": "sir.bta=0.1"}, "set sir.bta: unknown parameter of 'sir' 'bta'; did you mean 'beta'?"),
        ({"set": 5}, "set: expected values by path"),
        ({"set": {3: 4}}, "set: expected paths such as 'sir.beta', got 3"),
        ({"set": {"sir.beta": object()}}, "set sir.beta: expected a number"),
        ({"agents": "many"}, "agents: expected a whole number such as 100000, 100_000 or 1e5, got 'many'"),
        ({"agents": 1.5}, "agents: expected a whole number, got 1.5"),
        ({"steps": True}, "steps: expected a whole number, got True"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [1.5]}, "seeds: expected a number of seeds"),
        ({"arms": "baselin"}, "arms: unknown arm 'baselin'; did you mean 'baseline'?"),
        ({"arms": []}, "arms: expected a list of names"),
        ({"draws": 4}, "draws: expected 'prior' or the path of a file, got 4"),
        ({"out": 3}, "out: expected the path of a folder, got 3"),
        ({"backend": "cuda"}, "unknown backend 'cuda'"),
        ({"backend": 3}, "backend: expected a name, got 3"),
        ({"devices": 0}, "devices: expected 1 to"),
        ({"devices": "two"}, "devices: expected a whole number"),
        ({"resume": True}, "resume: expected out with the folder"),
        ({"overwrite": True}, "overwrite: expected out with the folder"),
        ({"overwrite": True, "resume": True, "out": "x"}, "expected either resume=True or overwrite=True"),
        ({"quiet": "yes"}, "quiet: expected True or False, got 'yes'"),
    ]
    for asked, words in cases:
        with pytest.raises(InputError, match=re.escape(words)) as told:
            lpm.run(small, **asked)
        assert "\n" not in str(told.value) and "--" not in str(told.value)
    for scenario in (3, "", "a\0b"):
        with pytest.raises(InputError, match="scenario: expected a built-in name"):
            lpm.run(scenario)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


NUMBERS = ("agents", "steps", "seeds", "devices", "checkpoint_every")
NO_NUMBERS = (
    10**400, 10**5000, float("nan"), float("inf"), np.float32("nan"), np.datetime64("NaT"), True, 0, -1, 1j,
    "", " ", "a\0b", "9" * 5000, "1e9999", b"3", {},
)  # fmt: skip
TEXTS = ("out", "draws", "arms", "backend")
NO_TEXTS = ("", " ", "a\0b", [""], ["a\0b"], [], b"", float("nan"), 10**5000, [10**5000], True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in NUMBERS for value in NO_NUMBERS),
        *((name, value) for name in TEXTS for value in NO_TEXTS),
        *(("set", {"sir.beta": value}) for value in NO_NUMBERS if value != 0),
        *(("set", f"sir.beta={value}") for value in ("nan", "9" * 5000, "a\0b", "-inf", "")),
        ("set", {"name": "\udcff"}),
        ("set", {"": 1}),
        ("seeds", range(10**30)),
        ("seeds", [10**5000]),
        ("devices", 2**31 - 1),
        ("out", "/"),
    ],
    ids=lambda value: ascii(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_no_argument_can_be_is_one_line(
    name: str, value: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execution, "run", lambda *_: pytest.fail("it was run"))
    with pytest.raises(InputError, match=f"^{name}") as told:
        lpm.run(small, **{name: value}, quiet=True)
    assert str(told.value).isprintable() and len(str(told.value)) < 300


def test_only_options_are_told_as_keywords(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what stands in quotes, not in paths that were given, and not a command that can be copied."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my --set of runs").touch()
    other = tmp_path / "x --agents y.toml"
    other.write_text(small.read_text().replace('"contacts"', '"o\'s --seeds x"'), encoding="utf-8")
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (small, {"out": "my --set of runs"}, "out my --set of runs: expected a folder, got a file"),
        (small, {"draws": "at --resume"}, "draws: expected 'prior', or a .csv or .parquet file, got 'at --resume'"),
        (small, {"arms": ["is --quiet 's"]}, "arms: unknown arm 'is --quiet 's'"),
        (small, {"set": {"--agents": 3}}, "set --agents: unknown path '--agents'"),
        (small, {"set": ["--agents=3"]}, "set --agents: unknown path '--agents'"),
        (small, {"set": {"sir.--set": 3}}, "set sir.--set: unknown parameter of 'sir' '--set'"),
        (other, {}, f"{other}: arms[1].interventions[0].scale: unknown layer or parameter 'contacts'"),
        (other, {}, "; there are: o's --seeds x, sir.beta"),
    ]
    for scenario, asked, words in cases:
        with pytest.raises(InputError, match=re.escape(words)):
            lpm.run(scenario, **asked)
    folder = lpm.run(small, out=tmp_path / "out", steps=1, seeds=1, arms="baseline", quiet=True)
    with pytest.raises(InputError, match=r"^resume: .* to go on .*: lpm run .* --out .* --resume$"):
        lpm.run(small, out=folder, resume=True)


def test_a_fault_of_the_machine_is_public(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Path:
        raise Fault("--out x: no space left on device; --resume goes on")

    monkeypatch.setattr(execution, "run", full)
    with pytest.raises(lpm.Fault, match="^out x: no space left on device; resume=True goes on$"):
        lpm.run(small, out=tmp_path / "out", quiet=True)
    assert lpm.Fault is Fault and "Fault" in dir(lpm) and "Fault:" in str(lpm.run.__doc__)


def test_a_folder_can_be_the_one_that_one_is_in(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(execution, "run", lambda scenario, options, progress: options.out)
    assert lpm.run(small, out=".", quiet=True) == tmp_path / "here"


def test_what_python_and_numpy_call_whole_numbers_are_taken(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def run(scenario: Any, **asked: Any) -> Path:
        given.update(asked)
        return tmp_path

    monkeypatch.setattr(asking, "run", run)
    values: dict[str, Any] = {"sir.beta": np.float32(0.5), "sir.gamma": np.array([0.25])}
    lpm.run(small, agents=1e3, steps=np.int64(5), seeds=range(3), arms="a, b", set=values, out=tmp_path)  # type: ignore[arg-type]
    assert (given["agents"], given["steps"], given["seeds"]) == (1000, 5, [0, 1, 2])
    assert isinstance(given["agents"], int) and given["arms"] == ["a", " b"] and given["out"] == str(tmp_path)
    assert given["set"] == {"sir.beta": 0.5, "sir.gamma": [0.25]} and isinstance(given["set"]["sir.beta"], float)


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.read_text(encoding="utf-8").split("## In Python")[1]
    example = section.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "example.py"
    file.write_text(example.replace("agents=5_000", "agents=300, steps=4"), encoding="utf-8")
    runpy.run_path(str(file))
    names = runpy.run_path(str(file))  # whoever tries it, tries it again
    assert Path(str(names["folder"])).is_relative_to("runs") and isinstance(names["effects"], pl.DataFrame)
