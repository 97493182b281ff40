"""`overwrite`: a run in the place of another one, whatever happens to either."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.scenarios import execution
from tests.inputs import small

__all__ = ["small"]  # a fixture


def test_a_run_takes_the_place_of_another_one_only(small: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"agents": 60, "seeds": 1, "quiet": True, "out": tmp_path / "runs" / "a"}
    folder = lpm.run(small, **asked, steps=3, overwrite=True)  # nothing is there
    with pytest.raises(InputError, match="holds another run .*overwrite=True"):
        lpm.run(small, **asked, steps=4)
    before = (folder / "trajectory.parquet").read_bytes()
    with pytest.raises(InputError, match="expected 0 to 10"):
        lpm.run(small, **asked, set={"sir.beta": -3}, overwrite=True)
    assert (folder / "trajectory.parquet").read_bytes() == before
    lpm.run(small, **asked, steps=4, overwrite=True)
    assert pl.read_parquet(folder / "trajectory.parquet")["step"].max() == 3
    assert [each.name for each in folder.parent.iterdir()] == ["a"]
    with pytest.raises(InputError, match="lies in the folder that is to be overwritten"):
        lpm.run(folder / "scenario.toml", **asked, overwrite=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds more than a run .notes.txt"):
        lpm.run(small, **asked, overwrite=True)
    with pytest.raises(InputError, match="expected the folder of a run"):
        lpm.run(small, out=folder.parent, quiet=True, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_earlier_run_comes_back_where_nothing_takes_its_place(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"agents": 60, "steps": 3, "seeds": 1, "quiet": True, "out": tmp_path / "a"}
    before = (lpm.run(small, **asked) / "trajectory.parquet").read_bytes()

    def fails(*_: Any) -> Path:
        raise InputError("people: they cannot be made")

    monkeypatch.setattr(execution, "run", fails)
    with pytest.raises(InputError, match="cannot be made"):
        lpm.run(small, **asked, overwrite=True)
    assert (tmp_path / "a" / "trajectory.parquet").read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"a", "small.toml"}


@pytest.fixture
def killed(small: Path, tmp_path: Path) -> Path:
    """Return the folder of a run that was to replace one of 3 steps and was killed before its first checkpoint."""
    out = tmp_path / "a"
    lpm.run(small, agents=60, seeds=1, quiet=True, out=out, steps=3)
    (tmp_path / "a.replaced").mkdir()
    for each in [*out.iterdir()]:
        each.rename(tmp_path / "a.replaced" / each.name)
    shutil.copy(tmp_path / "a.replaced" / "scenario.toml", out)
    return out


def steps_of(folder: Path) -> int:
    return pl.read_parquet(folder / "trajectory.parquet")["step"].max() + 1  # type: ignore[operator, return-value]


@pytest.mark.parametrize("left", ["nothing", "scenario", "checkpoint", "whole run"])
def test_what_a_killed_run_was_to_replace_is_kept_until_there_is_something_else(
    killed: Path, small: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"agents": 60, "seeds": 1, "quiet": True, "out": killed}
    earlier = killed.with_name("a.replaced")
    if left == "nothing":
        (killed / "scenario.toml").unlink()
    else:
        with pytest.raises(InputError, match=r"another run .scenario.toml.* \(the run .* lies in '.*a.replaced'\)"):
            lpm.run(small, **asked)
    if left == "checkpoint":
        (killed / "checkpoints" / "0").mkdir(parents=True)
    if left == "whole run":
        shutil.rmtree(killed)
        lpm.run(small, **asked, steps=5)
    with monkeypatch.context() as broken:

        def fails(*_: Any) -> Path:
            raise InputError("people: they cannot be made")

        broken.setattr(execution, "run", fails)
        with pytest.raises(InputError, match="cannot be made"):
            lpm.run(small, **asked, overwrite=True)
    assert steps_of(killed) == (5 if left == "whole run" else 3) and not earlier.exists()
    lpm.run(small, **asked, steps=4, overwrite=True)
    assert steps_of(killed) == 4 and not earlier.exists()


def test_a_folder_beside_that_is_no_run_is_not_touched(killed: Path, small: Path) -> None:
    (killed.with_name("a.replaced") / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="a.replaced' holds more than a run"):
        lpm.run(small, agents=60, seeds=1, quiet=True, out=killed, overwrite=True)
    assert (killed.with_name("a.replaced") / "notes.txt").read_text() == "mine"
