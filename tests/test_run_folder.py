"""The folder of a run: who holds it, what is kept, what a stop leaves, and that running it again gives the same."""

from __future__ import annotations

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
from lpm.errors import InputError
from lpm.scenarios import execution, loader, outputs
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
    for error in (RuntimeError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")):
        with pytest.raises(type(error)), outputs.claim(tmp_path / "a" / "b", scenario, resume=False):
            raise error
        assert not (tmp_path / "a").exists()
    kept = tmp_path / "kept"
    with pytest.raises(InputError), outputs.claim(kept, scenario, resume=False):
        (kept / "checkpoints" / "finished").mkdir(parents=True)
        (kept / "checkpoints" / "finished" / "0-0.parquet").write_text("x")
        raise InputError("no")
    assert (kept / "checkpoints" / "finished" / "0-0.parquet").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no"), InputError("no")])
def test_a_checkpoint_is_kept_unless_input_was_bad(error: BaseException, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(type(error)), outputs.claim(out, loader.load(small), resume=False):
        (out / "checkpoints" / "0-0" / "step-5").mkdir(parents=True)
        raise error
    assert out.exists() is not isinstance(error, InputError)
    assert not (out / outputs.LOCK).exists()


@pytest.mark.parametrize("left", ["", "999999999 ", None], ids=["empty", "dead", "none"])
def test_one_of_many_gets_the_folder(left: str | None, tmp_path: Path) -> None:
    """Eight at once, at a folder without a lock or with one that a dead process left, 40 times."""
    lock, together = tmp_path / outputs.LOCK, threading.Barrier(8)

    def hold(_: int) -> str:
        together.wait()
        try:
            outputs._lock(lock, tmp_path)  # pyright: ignore[reportPrivateUsage]
        except InputError as error:
            return str(error)
        return "held"

    with ThreadPoolExecutor(8) as threads:
        for _ in range(40):
            lock.unlink(missing_ok=True)
            if left is not None:
                lock.write_text(left + socket.gethostname() if left else "")
            told = list(threads.map(hold, range(8)))
            assert told.count("held") == 1 and all("in use" in each for each in told if each != "held"), told
            assert [each.name for each in tmp_path.iterdir()] == [outputs.LOCK]


def test_a_lock_needs_no_hard_links(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    scenario = loader.load(small)
    with outputs.claim(tmp_path / "out", scenario, resume=False):
        assert (tmp_path / "out" / outputs.LOCK).read_text().startswith(str(os.getpid()))
        with pytest.raises(InputError, match="in use"):
            outputs.check(tmp_path / "out", scenario, resume=True)


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
    environment = {**os.environ, "PYTHONPATH": str(HOME), "XLA_FLAGS": ""}
    command = [sys.executable, "-m", "lpm", "run", str(small), "--seeds", "100000", "--out", str(out)]
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
    assert "of 200000 pairs of arm and seed are finished and kept in" in told.splitlines()[-1]
    assert (out / "trajectory.parquet").is_file(), (told, sorted(each.name for each in out.rglob("*")))
    assert not (out / outputs.LOCK).exists()
