"""The folder of a run: who holds it, what is kept, what a stop leaves, and that running it again gives the same."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from lpm import cli
from lpm.errors import Fault, InputError
from lpm.scenarios import execution, loader, lock, outputs
from tests.inputs import SMALL, small

__all__ = ["small"]  # a fixture

HOME = Path(cli.__file__).parents[1]


def test_a_folder_is_held_while_a_run_lasts(small: Path, tmp_path: Path) -> None:
    scenario, folder = loader.load(small), tmp_path / "a" / "b"
    with outputs.claim(folder, scenario, resume=False):
        assert loader.load(folder / "scenario.toml").model_dump() == scenario.model_dump()
        with pytest.raises(InputError, match="in use"):
            outputs.check(folder, scenario, resume=True)
    outputs.check(folder, scenario, resume=True)
    with pytest.raises(InputError, match="another run"), outputs.claim(folder, scenario, resume=False):
        pass
    (folder / outputs.LOCK).write_text(f"999999999 {socket.gethostname()}\n")  # its process has died
    with outputs.claim(folder, scenario, resume=True):
        pass
    assert not (folder / outputs.LOCK).exists()


def test_bad_input_takes_away_what_was_made_and_nothing_else(small: Path, tmp_path: Path) -> None:
    scenario = loader.load(small)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "a" / "b", tmp_path / "there"):
        with pytest.raises(InputError), outputs.claim(folder, scenario, resume=False):
            (folder / "checkpoints").mkdir()
            (folder / "half").write_text("x")
            raise InputError("no")
    assert not (tmp_path / "a").exists() and list((tmp_path / "there").iterdir()) == []
    for error in (RuntimeError("no"), KeyboardInterrupt(), Fault("no"), OSError(28, "No space left on device")):
        with pytest.raises(type(error)), outputs.claim(tmp_path / "a" / "b", scenario, resume=False):
            raise error
        assert not (tmp_path / "a").exists()
    kept = tmp_path / "kept"
    with pytest.raises(InputError), outputs.claim(kept, scenario, resume=False):
        (kept / "checkpoints" / "finished").mkdir(parents=True)
        (kept / "checkpoints" / "finished" / "0-0.parquet").write_text("x")
        raise InputError("no")
    assert (kept / "checkpoints" / "finished" / "0-0.parquet").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no"), Fault("no"), InputError("no")])
def test_a_checkpoint_is_kept_unless_input_was_bad(error: BaseException, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(type(error)), outputs.claim(out, loader.load(small), resume=False):
        (out / "checkpoints" / "0-0" / "step-00000005").mkdir(parents=True)
        raise error
    assert out.exists() is not isinstance(error, InputError)
    assert not (out / outputs.LOCK).exists()


@pytest.mark.parametrize(
    "left",
    ["", f"{os.getpid()} {socket.gethostname()}\n", "17 another-machine\n", None],
    ids=["empty", "own", "far", "none"],
)
def test_one_of_many_gets_the_folder(left: str | None, tmp_path: Path) -> None:
    """Eight at once, at a folder without a lock or with one that a dead process or another machine left, 20 times."""
    together = threading.Barrier(8)

    def hold(_: int) -> str | int:
        together.wait()
        try:
            return lock.hold(tmp_path)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            if left is not None:
                (tmp_path / outputs.LOCK).write_text(left)
            told = list(threads.map(hold, range(8)))
            (held,) = (each for each in told if isinstance(each, int))
            refused = [each for each in told if isinstance(each, str)]
            assert all(f"in use by process {os.getpid()}" in each for each in refused), refused
            lock.release(tmp_path, held)
            assert not list(tmp_path.iterdir())


def test_nobody_gets_a_lock_that_is_being_given_back(tmp_path: Path) -> None:
    """Eight take and give back without pause; never do two hold it."""
    inside, most = [0], [0]

    def work(_: int) -> None:
        for _ in range(60):
            try:
                held = lock.hold(tmp_path)
            except InputError:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            lock.release(tmp_path, held)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert most == [1]


def test_a_lock_that_was_left_behind_stops_nobody(small: Path, tmp_path: Path) -> None:
    """Of another machine, of a container that had our own number, of a process that lives but is another."""
    scenario, out = loader.load(small), tmp_path / "out"
    out.mkdir()
    for left in (f"1 {socket.gethostname()}", f"{os.getpid()} {socket.gethostname()}", "17 another-machine", "\xff\0"):
        (out / outputs.LOCK).write_text(left)
        outputs.check(out, scenario, resume=False)
        with outputs.claim(out, scenario, resume=False):
            told = (out / outputs.LOCK).read_text()
            assert told == f"{os.getpid()} {socket.gethostname()}\n"
            with pytest.raises(InputError) as refused:
                outputs.check(out, scenario, resume=True)
            assert str(out / ".lock") in str(refused.value) and "delete" in str(refused.value)
        (out / "scenario.toml").unlink()


def test_a_file_system_without_locks_goes_by_who_made_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    held = lock.hold(tmp_path)
    for look in (lock.hold, lock.check):
        with pytest.raises(InputError, match="in use by process .*delete"):
            look(tmp_path)
    lock.release(tmp_path, held)
    lock.check(tmp_path)
    lock.release(tmp_path, lock.hold(tmp_path))


def test_files_of_a_scenario_and_of_its_run_do_not_meet(tmp_path: Path) -> None:
    home, out, again = tmp_path / "home", tmp_path / "out", tmp_path / "again"
    home.mkdir()
    pl.DataFrame({"mood": [float(i % 7) for i in range(60)]}).write_parquet(home / "agents.parquet")
    pl.DataFrame({"source": list(range(59)), "target": list(range(1, 60))}).write_parquet(home / "trajectory.parquet")
    text = SMALL.replace("size = 60", 'file = "agents.parquet"').replace('"erdos-renyi"', '"edges"')
    (home / "small.toml").write_text(text.replace("mean_degree = 5", 'file = "trajectory.parquet"'))
    (tmp_path / "agents.csv").write_text("sir.beta\n0.3\n0.4\n")
    arguments = ["--save-agents", "--quiet", "--draws", str(tmp_path / "agents.csv")]
    assert cli.main(["run", str(home / "small.toml"), *arguments, "--out", str(out)]) == 0
    for name in ("agents.parquet", "trajectory.parquet"):
        assert (out / "inputs" / name).read_bytes() == (home / name).read_bytes() != (out / name).read_bytes()
    assert cli.main(["run", str(out / "scenario.toml"), "--save-agents", "--quiet", "--out", str(again)]) == 0
    for name in ("trajectory.parquet", "agents.parquet", "scenario.toml"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    assert not (again / "inputs" / "inputs").exists()
    assert cli.main(["run", str(home / "small.toml"), *arguments, "--out", str(out), "--resume"]) == 0


def test_a_small_run_from_beginning_to_end(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["run", str(small), "--out", str(out)]) == 0
    told = capfd.readouterr()
    assert "fewer contacts" in told.out and str(out / "report.html") in told.out and "Traceback" not in told.err
    for file in ("trajectory.parquet", "effects.parquet", "scenario.toml", "run.json", "report.html"):
        assert (out / file).is_file()
    assert not (out / outputs.LOCK).exists()
    again = tmp_path / "again"
    assert cli.main(["run", str(out / "scenario.toml"), "--out", str(again), "--quiet"]) == 0
    assert (again / "trajectory.parquet").read_bytes() == (out / "trajectory.parquet").read_bytes()
    (out / "report.html").unlink()
    assert cli.main(["report", str(out)]) == 0 and (out / "report.html").is_file()


def test_what_a_stop_leaves_is_said_as_it_is(small: Path, tmp_path: Path) -> None:
    scenario, out = loader.load(small), tmp_path / "out"
    assert execution.kept(out, scenario).endswith("before the first pair of arm and seed was finished: nothing is kept")
    (out / "checkpoints" / "finished").mkdir(parents=True)
    assert "nothing is kept" in execution.kept(out, scenario)
    (out / "checkpoints" / "0-0" / "step-5").mkdir(parents=True)
    told = execution.kept(out, scenario)
    assert f"--out {out} --resume" in told and "checkpoint" in told and "before a pair" in told
    for name in ("0-1.parquet", "0-1.tallies.parquet", "1-7.parquet"):  # seed 7 is another run's
        (out / "checkpoints" / "finished" / name).write_text("x")
    told = execution.kept(out, scenario)
    assert "1 of 4 pairs" in told and f"--out {out} --resume" in told


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_finished(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")  # compiled as here
    environment = {**os.environ, "PYTHONPATH": str(HOME), "XLA_FLAGS": flags}
    command = [sys.executable, "-m", "lpm", "run", str(small), "--seeds", "5000", "--out", str(out)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        finished = out / "checkpoints" / "finished" / "1-0.parquet"
        waited = 0.0
        while not finished.exists() and waited < 120 and running.poll() is None:
            time.sleep(0.1)
            waited += 0.1
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=120)
    assert running.returncode == 1, told
    assert "Traceback" not in told and finished.exists(), told
    assert "of 10000 pairs of arm and seed are finished and kept in" in told.splitlines()[-1]
    assert (out / "trajectory.parquet").is_file(), (told, sorted(each.name for each in out.rglob("*")))
    assert not (out / outputs.LOCK).exists()
