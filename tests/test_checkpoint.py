"""Checkpoints: a run that was killed goes on to the same last bit; a bad checkpoint is told, the earlier one kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm import checkpoint
from lpm.cli import main
from lpm.errors import CheckpointError, Fault

SCENARIO = """
schema = 1
name = "killed"
steps = 240
seeds = 1
[population]
size = 3001
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 8.0
[[kernels]]
kernel = "sir"
beta = 0.02
gamma = 0.02
[[kernels]]
kernel = "degroot"
[metrics]
infections = { flow = "infectious" }
prevalence = { stock = "infectious" }
opinion = { mean = "opinion" }
[[interventions]]
name = "isolate"
when = { metric = "prevalence", above = 200.0 }
where = { state = "infectious" }
uptake = 0.5
delay = "3d"
duration = "5d"
scale_column = { present = 1 }
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "killed.toml"
    path.write_text(SCENARIO.replace("scale_column = { present = 1 }", "set_column = { present = false }"))
    return path


def run(scenario: Path, out: Path, *more: str) -> int:
    return main(["run", str(scenario), "--out", str(out), "--quiet", *more])


@pytest.fixture(scope="module")
def straight(scenario: Path) -> pl.DataFrame:
    out = scenario.parent / "straight"
    assert run(scenario, out) == 0
    return pl.read_parquet(out / "trajectory.parquet")


@pytest.fixture(scope="module")
def killed(scenario: Path) -> Path:
    """The folder of a run that was killed (SIGKILL) some time after its second checkpoint."""
    out = scenario.parent / "killed"
    command = [sys.executable, "-m", "lpm", "run", str(scenario), "--out", str(out), "--checkpoint-every", "7"]
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")  # compiled as here
    environment = {**os.environ, "XLA_FLAGS": flags}
    process = subprocess.Popen(command, env=environment)
    place, limit = out / "checkpoints" / "0-0", time.monotonic() + 120
    while not [step for step in checkpoint.steps_in(place) if step >= 14]:
        assert process.poll() is None and time.monotonic() < limit, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "trajectory.parquet").exists()
    return out


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    (to / ".lock").unlink(missing_ok=True)
    return to


@pytest.mark.parametrize("devices", [pytest.param("1", marks=pytest.mark.full), "4"])
def test_a_killed_run_goes_on_to_the_last_bit(
    killed: Path, straight: pl.DataFrame, scenario: Path, tmp_path: Path, devices: str
):
    out = copy(killed, tmp_path / "run")
    assert 14 <= max(checkpoint.steps_in(out / "checkpoints" / "0-0")) < 240
    assert run(scenario, out, "--resume", "--checkpoint-every", "50", "--devices", devices) == 0
    assert pl.read_parquet(out / "trajectory.parquet").equals(straight)
    assert not checkpoint.steps_in(out / "checkpoints" / "0-0")  # a finished pair needs none


def test_a_truncated_checkpoint_is_told_in_one_line(
    killed: Path, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = copy(killed, tmp_path / "run")
    files = [path for path in (out / "checkpoints" / "0-0").rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert run(scenario, out, "--resume") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "checkpoint" in told and "truncated" in told and "delete it" in told
    assert all(path.exists() for path in files)


def test_a_foreign_checkpoint_is_refused(
    killed: Path, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = copy(killed, tmp_path / "run")
    assert run(scenario, out, "--resume", "--set", "sir.beta=0.3") == 2
    assert "another scenario" in capsys.readouterr().err


ARRAYS: dict[str, Any] = {
    "agents": {"state": np.arange(5, dtype=np.uint8)},
    "since": {},
    "sums": {"x": np.ones((3, 2))},
}


def test_round_trip_and_schema_difference(tmp_path: Path):
    checkpoint.save(tmp_path / "a", 3, ARRAYS, {"run": "r"})
    found = checkpoint.restore(tmp_path / "a", ARRAYS, "r")
    assert found is not None and found.facts["step"] == 3 and found.arrays["since"] == {}
    assert np.array_equal(found.arrays["agents"]["state"], ARRAYS["agents"]["state"])
    other = {**ARRAYS, "agents": {"state": np.zeros(5, np.int32), "age": np.zeros(5, np.uint8)}}
    with pytest.raises(CheckpointError, match=r"\+agents.age uint8\[\], agents.state uint8\[\] -> int32\[\]"):
        checkpoint.restore(tmp_path / "a", other, "r")
    with pytest.raises(CheckpointError, match="another run"):
        checkpoint.restore(tmp_path / "a", ARRAYS, "s")
    assert checkpoint.restore(tmp_path / "none", ARRAYS, "r") is None


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint.save(tmp_path, 1, ARRAYS, {"run": "r"})
    import orbax.checkpoint as ocp

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.Checkpointer, "save", full)
    with pytest.raises(Fault, match="No space left.*earlier one, of step 1, is kept"):
        checkpoint.save(tmp_path, 2, ARRAYS, {"run": "r"})
    with pytest.raises(Fault, match="cannot be written: No space left on device$"):  # there is no earlier one
        checkpoint.save(tmp_path / "first", 2, ARRAYS, {"run": "r"})
    assert checkpoint.steps_in(tmp_path) == [1]
    monkeypatch.undo()
    found = checkpoint.restore(tmp_path, ARRAYS, "r")
    assert found is not None and found.facts["step"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # reads that end even later
def test_a_changed_byte_anywhere_is_told_in_one_line(tmp_path: Path):
    """Every file of a checkpoint, a byte in two places of it turned over: refused in a line, or without effect."""
    place = checkpoint.save(tmp_path, 2, ARRAYS, {"run": "r"})
    refused = 0
    for path in sorted(each for each in place.rglob("*") if each.is_file() and each.stat().st_size):
        whole = path.read_bytes()
        for at in {0, len(whole) // 2}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            try:
                found = checkpoint.restore(tmp_path, ARRAYS, "r")
            except CheckpointError as error:
                refused += 1
                told = str(error)
                assert told.startswith(f"checkpoint {place}: ") and "delete it" in told and "\n" not in told
                assert len(told) < len(str(place)) + 120 and "truth value" not in told, told
            else:
                assert found is not None and np.array_equal(found.arrays["sums"]["x"], ARRAYS["sums"]["x"])
                assert np.array_equal(found.arrays["agents"]["state"], ARRAYS["agents"]["state"])
        path.write_bytes(whole)
    assert refused >= 6 and checkpoint.restore(tmp_path, ARRAYS, "r") is not None


def test_a_checkpoint_without_its_columns_as_they_were_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint.save(tmp_path, 2, ARRAYS, {"run": "r"})
    before = checkpoint.sum_of(ARRAYS)
    other = {**ARRAYS, "agents": {"state": np.arange(5, dtype=np.uint8)[::-1]}}
    assert checkpoint.sum_of(other) != before == checkpoint.sum_of(dict(reversed(ARRAYS.items())))
    monkeypatch.setattr(checkpoint, "sum_of", lambda _: before + 1)
    with pytest.raises(CheckpointError, match="changed since it was written; delete it"):
        checkpoint.restore(tmp_path, ARRAYS, "r")


def test_only_the_last_checkpoint_stays(tmp_path: Path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, ARRAYS, {"run": "r"})
    assert checkpoint.steps_in(tmp_path) == [3]


def test_another_jaxlib_is_warned_of():
    assert "jaxlib 0.1, this is 0.2" in checkpoint.warn_of_versions({"versions": {"jaxlib": "0.1"}}, {"jaxlib": "0.2"})
    assert checkpoint.warn_of_versions({"versions": {"jaxlib": "0.2"}}, {"jaxlib": "0.2"}) == ""
