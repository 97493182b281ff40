"""A run on several devices: the same files to the last bit, and a checkpoint goes on with any number of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lpm.cli import main
from lpm.scenarios import execution

SCENARIO = """
schema = 1
name = "many"
steps = 12
seeds = 1
[population]
size = 1003
[[networks]]
name = "follows"
builder = "barabasi-albert"
ties = 5
[[networks]]
name = "meets"
builder = "erdos-renyi"
mean_degree = 4.0
dynamic = true
[[kernels]]
kernel = "sir"
cascades = true
beta = 0.1
layers = ["follows", "meets"]
[[kernels]]
kernel = "degroot"
layers = ["follows"]
[[kernels]]
kernel = "deffuant"
name = "talks"
columns = { opinion = "view" }
layers = ["meets"]
[metrics]
prevalence = { stock = "infectious" }
opinion = { mean = "opinion" }
alike = { assortativity = "opinion", layer = "follows" }
[[surveys]]
name = "panel"
every = "5d"
sample = 50
ask = ["state", "opinion"]
[[arms]]
name = "base"
[[arms]]
name = "hubs at home"
[[arms.interventions]]
name = "hubs"
at = 2
top = { layer = "follows", by = "degree", count = 20 }
set_column = { present = false }
[[arms.interventions]]
name = "fewer"
at = 4
remove_ties = { layer = "meets", count = 300 }
"""
FILES = ("trajectory.parquet", "agents.parquet", "effects.parquet", "cascades.parquet")


def run(folder: Path, name: str, *more: str) -> int:
    path = folder / "many.toml"
    path.write_text(SCENARIO)
    return main(["run", str(path), "--out", str(folder / name), "--quiet", "--save-agents", *more])


def same(one: Path, other: Path) -> bool:
    files = [*FILES, *(str(path.relative_to(one)) for path in (one / "surveys").glob("*.parquet"))]
    return len(files) == len(FILES) + 2 and all(
        pl.read_parquet(one / file).equals(pl.read_parquet(other / file)) for file in files
    )


@pytest.mark.full
def test_files_do_not_depend_on_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Agents dealt by their ties, ties that change, a survey, the agents of most ties, cascades: one device or three.

    A run on four devices is stopped in its second arm, goes on with one, is stopped, and goes on with two.
    """
    assert run(tmp_path, "one") == 0
    assert run(tmp_path, "three", "--devices", "3") == 0
    assert same(tmp_path / "one", tmp_path / "three")
    save, stops = execution.checkpoint.save, [5, 1]

    def stopped(place: Path, step: int, *rest: object) -> Path:
        made = save(place, step, *rest)  # type: ignore[arg-type]
        stops[0] -= 1
        if stops[0] == 0:
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(execution.checkpoint, "save", stopped)
    assert run(tmp_path, "moved", "--checkpoint-every", "3", "--devices", "4") == 1
    stops.pop(0)
    assert run(tmp_path, "moved", "--checkpoint-every", "3", "--resume") == 1
    monkeypatch.undo()
    assert run(tmp_path, "moved", "--checkpoint-every", "3", "--resume", "--devices", "2") == 0
    assert same(tmp_path / "one", tmp_path / "moved")
