"""One run in many processes: the same bits as one process, and an end that is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from lpm import checkpoint

SCENARIO = """
schema = 1
name = "together"
steps = 60
seeds = 1
[population]
size = 1501
[[networks]]
name = "contacts"
builder = "barabasi-albert"
ties = 3
[[networks]]
name = "friends"
builder = "erdos-renyi"
mean_degree = 4.0
dynamic = true
[[kernels]]
kernel = "sir"
layers = ["contacts"]
beta = 0.05
gamma = 0.1
[[kernels]]
kernel = "degroot"
layers = ["contacts"]
[metrics]
infections = { flow = "infectious" }
opinion = { mean = "opinion" }
[[surveys]]
name = "asked"
every = "20d"
sample = 25
ask = ["state", "opinion"]
[[arms]]
name = "as it is"
[[arms]]
name = "hubs stay at home"
interventions = [ { at = 5, top = { layer = "contacts", count = 75.0 }, set_column = { present = false } } ]
"""

PATIENCE = 400.0
"""Seconds within which processes do something on a busy machine."""


FLAGS = "--xla_llvm_disable_expensive_passes=true"
"""Compile quickly; the same in all runs that are compared."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class _Together:
    """Processes of one run on this machine; whoever starts them ends them."""

    def __init__(self, count: int, scenario: Path, out: Path, *more: str, own: Mapping[int, list[str]] | None = None):
        where = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", str(count)]
        command = [sys.executable, "-m", "lpm", "run", str(scenario), "--out", str(out), "--quiet", *where, *more]
        environment = {**os.environ, "XLA_FLAGS": FLAGS}
        self.processes = [
            subprocess.Popen(
                [*command, "--process-id", str(number), *(own or {}).get(number, [])],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for number in range(count)
        ]  # fmt: skip

    def __enter__(self) -> _Together:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.processes:
            each.kill()
            each.communicate()

    def ended(self, patience: float = PATIENCE) -> list[tuple[int, str, str]]:
        """Wait for all of them; status, standard output and standard error of each."""
        until = time.monotonic() + patience
        told = [each.communicate(timeout=max(1.0, until - time.monotonic())) for each in self.processes]
        return [(each.returncode, *lines) for each, lines in zip(self.processes, told, strict=True)]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "together.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def alone(scenario: Path) -> Path:
    """The folder of the run in one process."""
    out = scenario.parent / "alone"
    command = [sys.executable, "-m", "lpm", "run", str(scenario), "--out", str(out), "--quiet", "--save-agents"]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": FLAGS}, check=True, capture_output=True)
    return out


def same(one: Path, other: Path) -> None:
    """Compare what two runs left."""
    for name in ("trajectory.parquet", "effects.parquet", "agents.parquet", "surveys/0-0.parquet"):
        assert pl.read_parquet(one / name).equals(pl.read_parquet(other / name)), name


@pytest.mark.full
def test_two_processes_end_with_the_bits_of_one(scenario: Path, alone: Path, tmp_path: Path):
    with _Together(2, scenario, tmp_path / "out", "--save-agents", "--devices", "2") as run:
        assert run.ended() == [(0, f"{tmp_path / 'out'}\n", ""), (0, "", "")]
    same(tmp_path / "out", alone)


@pytest.mark.full
@pytest.mark.parametrize("victim", [0, 3])
def test_a_killed_process_ends_all_and_another_number_goes_on(scenario: Path, alone: Path, tmp_path: Path, victim: int):
    """Four processes; the others end with one line within 60 s; two, or one, go on from the checkpoint."""
    out = tmp_path / "out"
    place, limit = out / "checkpoints" / "0-0", time.monotonic() + PATIENCE
    with _Together(4, scenario, out, "--save-agents", "--checkpoint-every", "4") as run:
        while not [step for step in checkpoint.steps_in(place) if step >= 8]:
            assert all(each.poll() is None for each in run.processes) and time.monotonic() < limit
            time.sleep(0.02)
        run.processes[victim].send_signal(signal.SIGKILL)
        ended = run.ended(60.0)
    for number, (status, said, line) in enumerate(ended):
        if number != victim:
            assert (status, said) == (1, "") and line.count("\n") == 1, line
            assert f"process {victim} of 4 has ended before the run was done" in line and "--resume goes on" in line
    assert checkpoint.steps_in(place)
    if victim:
        with _Together(2, scenario, out, "--save-agents", "--resume") as run:
            assert [status for status, _, _ in run.ended()] == [0, 0]
    else:
        command = [sys.executable, "-m", "lpm", "run", str(scenario), "--out", str(out), "--quiet", "--resume"]
        environment = {**os.environ, "XLA_FLAGS": FLAGS}
        subprocess.run([*command, "--save-agents", "--devices", "2"], env=environment, check=True, capture_output=True)
    same(out, alone)


@pytest.mark.full
def test_another_scenario_in_one_process_is_refused_in_both(scenario: Path, tmp_path: Path):
    with _Together(2, scenario, tmp_path / "out", own={1: ["--set", "sir.beta=0.06"]}) as run:
        ended = run.ended()
    for status, said, line in ended:
        assert (status, said) == (2, "") and line.count("\n") == 1
        assert "process 1 does not fit process 0: it runs another scenario (they differ in 'kernels')" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.full
def test_a_folder_that_cannot_be_used_is_told_to_all(scenario: Path, alone: Path):
    with _Together(2, scenario, alone) as run:
        ended = run.ended()
    assert [status for status, _, _ in ended] == [2, 2]
    assert all("holds another run" in line and line.count("\n") == 1 for _, _, line in ended)
