"""Dynamic layers in a run: ties that policy adds and removes, on one and on several devices, resumed or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm.cli import main

SCENARIO = """
schema = 1
name = "ties"
steps = 25
seeds = 1
[population]
size = 1502
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 6.0
dynamic = true
{capacity}
[[kernels]]
kernel = "sir"
beta = 0.1
gamma = 0.05
initial = 0.02
[metrics]
infections = {{ flow = "infectious" }}
[[arms]]
name = "as it is"
[[arms]]
name = "ties of the infectious removed"
[[arms.interventions]]
name = "cut"
at = 5
where = {{ state = "infectious" }}
remove_ties = {{ layer = "contacts", count = 100000 }}
[[arms]]
name = "ties added"
[[arms.interventions]]
name = "parties"
at = 3
every = "2d"
where = {{ state = ["susceptible", "infectious"] }}
add_ties = {{ layer = "contacts", count = {count} }}
"""


def run(folder: Path, capacity: str = "capacity = 8000", *more: str, name: str = "run", count: int = 60) -> int:
    path = folder / "ties.toml"
    path.write_text(SCENARIO.format(capacity=capacity, count=count))
    return main(["run", str(path), "--out", str(folder / name), "--quiet", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ties")
    assert run(made) == 0
    return made


def infections(path: Path) -> dict[str, np.ndarray]:
    frame = pl.read_parquet(path / "trajectory.parquet")
    return {arm: frame.filter(arm=arm)["infections"].to_numpy() for arm in frame["arm"].unique(maintain_order=True)}


@pytest.mark.full
def test_ties_removed_stop_and_ties_added_hasten_the_spread(folder: Path):
    base, cut, more = infections(folder / "run").values()
    assert np.array_equal(base[:5], cut[:5]) and np.array_equal(base[:3], more[:3])
    # whoever is infectious at the beginning of a step has lost all ties: nobody is infected any more
    assert base[5:].sum() > 100 and cut[5:].sum() == 0
    assert more.sum() > base.sum()


@pytest.mark.full
def test_devices_change_nothing(folder: Path):
    assert run(folder, "capacity = 8000", "--devices", "4", name="four") == 0
    straight, four = (pl.read_parquet(folder / name / "trajectory.parquet") for name in ("run", "four"))
    assert straight.equals(four)


def test_an_interrupted_dynamic_run_goes_on_to_the_last_bit(folder: Path, monkeypatch: pytest.MonkeyPatch):
    from lpm.scenarios import execution

    save = execution.checkpoint.save
    saved: list[int] = []

    def stop_after_two(place: Path, step: int, *rest: object) -> Path:
        made = save(place, step, *rest)  # type: ignore[arg-type]
        saved.append(step)
        if len(saved) == 14:  # six in each of the first two arms
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(execution.checkpoint, "save", stop_after_two)
    assert run(folder, "capacity = 8000", "--checkpoint-every", "4", name="stopped") == 1
    monkeypatch.undo()
    assert saved == [4, 8, 12, 16, 20, 24] * 2 + [4, 8]
    assert run(folder, "capacity = 8000", "--checkpoint-every", "4", "--resume", name="stopped") == 0
    whole, stopped = (infections(folder / name) for name in ("run", "stopped"))
    assert whole.keys() == stopped.keys() and all(np.array_equal(whole[arm], stopped[arm]) for arm in whole)


def test_running_out_of_slots_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run(folder, "capacity = 8000", name="full", count=600) == 2
    told = capsys.readouterr().err
    assert "ran out of its 8000 tie slots" in told and told.count("\n") == 1


def test_a_fixed_layer_keeps_its_ties(folder: Path, capsys: pytest.CaptureFixture[str]):
    path = folder / "fixed.toml"
    path.write_text(SCENARIO.format(capacity="", count=60).replace("dynamic = true", ""))
    assert main(["run", str(path), "--out", str(folder / "fixed"), "--quiet"]) == 2
    assert "dynamic = true" in capsys.readouterr().err
