"""Faults of the machine: whichever write fails, nothing that was computed is lost, and one line tells it (status 1)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lpm import checkpoint, cli, progress, report
from lpm.errors import Fault, InputError, faults
from lpm.scenarios import execution, outputs, resolved, stops
from tests.inputs import SMALL, small

__all__ = ["small"]  # a fixture

HOME = Path(cli.__file__).parents[1]
OPTIONS = ("--checkpoint-every", "2", "--save-agents")
BUILT: list[Any] = []
"""The small scenario, built and compiled once for all tests of this file."""


class Disk:
    """A disk that is full from the k-th write on, or ever (k = None); a run's writes are an fsync each, or orbax's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        import orbax.checkpoint as ocp

        self.writes, self.full_at = 0, -1
        for owner, name in ((os, "fsync"), (ocp.Checkpointer, "save"), (resolved.Path, "write_text")):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **more: Any) -> Any:
            self.writes += 1
            if 0 <= self.full_at < self.writes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(*given, **more)

        return counted


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def call(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the small scenario (built once) and returns status and stderr without progress."""
    assemble = execution.assemble

    def once(*given: Any) -> Any:
        BUILT[:] = BUILT or [assemble(*given)]
        return BUILT[0]

    monkeypatch.setenv("LPM_DEBUG", "")
    monkeypatch.setattr(execution, "assemble", once)
    monkeypatch.setattr(progress, "PATIENCE", 600.0)

    def run(out: Path, *more: str) -> tuple[int, str]:
        status = cli.main(["run", str(small), "--out", str(out), *OPTIONS, "--quiet", *more])
        return status, capfd.readouterr().err

    return run


def same(one: Path, other: Path) -> bool:
    names = ("trajectory.parquet", "effects.parquet", "agents.parquet", "scenario.toml")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.mark.parametrize("which", [(0, 5, 9), pytest.param(range(100), marks=pytest.mark.full)], ids=["some", "every"])
def test_a_full_disk_loses_nothing(
    which: Sequence[int], disk: Disk, call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The disk is full from the k-th write of a run on, for every k; then there is room again, and it goes on."""
    assert call(tmp_path / "straight") == (0, "")
    seen: set[str] = set()
    for k in which:
        out, disk.writes, disk.full_at = tmp_path / f"out-{k}", 0, k
        status, told = call(out)
        if status == 0:
            assert k > 20  # 4 pairs with 2 checkpoints and 3 files each, and what is written at the end
            break
        assert status == 1 and told.count("\n") == 1 and told.startswith("lpm: ") and "failed" not in told, (k, told)
        assert "cannot be written: No space left on device; " in told, (k, told)
        disk.full_at = -1
        if "nothing is kept" in told:
            assert not out.exists()
            seen.add("nothing")
            continue
        pairs, saved = stops.finished_pairs(out), stops.checkpointed(out)
        assert pairs or saved
        seen.add("pairs" if pairs else "checkpoint")
        assert ("pairs of arm and seed are finished and kept" if pairs else "goes on from its checkpoint") in told
        assert not [each for each in out.rglob("*") if ".part" in each.name or checkpoint.UNFINISHED in each.name]
        assert not (out / outputs.LOCK).exists()
        assert call(out, "--resume") == (0, "") and same(out, tmp_path / "straight")
    assert seen == {"nothing", "checkpoint", "pairs"}


def test_a_fault_while_going_on_loses_nothing(disk: Disk, call: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert call(tmp_path / "straight") == (0, "")
    out, disk.writes, disk.full_at = tmp_path / "out", 0, 5
    assert call(out)[0] == 1 and stops.checkpointed(out)
    for more in (0, 2, 4):
        disk.writes, disk.full_at = 0, more
        status, told = call(out, "--resume")
        assert status == 1 and f"--out {out} --resume goes on" in told
        assert stops.checkpointed(out) or stops.finished_pairs(out)
    disk.full_at = -1
    assert call(out, "--resume") == (0, "") and same(out, tmp_path / "straight")


def test_the_first_fault_is_the_one_that_is_told(
    disk: Disk, call: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """A checkpoint of the second pair cannot be written, nor can the report of the first one after that."""
    k, told, out = 0, "", tmp_path
    while "checkpoints/1-0/step-" not in told:
        out, k, disk.writes, disk.full_at = tmp_path / f"{k}", k + 1, 0, k
        status, told = call(out)
        assert status == 1 and k < 20
    assert "1 of 4 pairs" in told and not (out / "trajectory.parquet").exists()


def test_a_report_that_cannot_be_written_is_no_bad_input(
    disk: Disk, call: Callable[..., tuple[int, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(out)[0] == 0
    before = (out / "report.html").read_bytes()
    disk.full_at = 0
    assert cli.main(["report", str(out)]) == 1
    told = capfd.readouterr().err
    assert told == f"lpm: {out / 'report.html'}: cannot be written: No space left on device\n"
    assert (out / "report.html").read_bytes() == before
    disk.full_at = -1
    (out / "effects.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="effects.parquet"):  # what cannot be read is
        report.write_report(out)


def test_a_run_that_goes_on_has_the_agents_of_all_pairs(
    disk: Disk, call: Callable[..., tuple[int, str]], small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Agents asked for when all pairs, or some, are finished without; or not asked for again when it goes on."""
    assert call(tmp_path / "straight") == (0, "")
    whole, half, out = tmp_path / "whole", tmp_path / "half", tmp_path / "out"
    for folder, k in ((whole, -1), (half, 15)):
        disk.writes, disk.full_at = 0, k
        status = cli.main(["run", str(small), "--out", str(folder), "--checkpoint-every", "2", "--quiet"])
        assert status == (0 if k < 0 else 1) and stops.finished_pairs(folder)
        assert not (folder / "agents.parquet").exists()
        disk.full_at = -1
        capfd.readouterr()
        assert cli.main(["run", str(small), "--out", str(folder), "--resume", "--save-agents"]) == 0
        assert "finished pairs are run again, to save their agents" in capfd.readouterr().err
        assert same(folder, tmp_path / "straight")
    disk.writes, disk.full_at = 0, 15
    assert call(out)[0] == 1 and stops.finished_pairs(out)
    disk.full_at = -1
    assert cli.main(["run", str(small), "--out", str(out), "--resume", "--quiet"]) == 0
    assert same(out, tmp_path / "straight")


@pytest.mark.parametrize(("every", "told"), [("6", True), ("50", True), ("5", False)])
def test_checkpoints_that_will_never_be_are_told(
    every: str, told: bool, call: Callable[..., tuple[int, str]], small: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert cli.main(["run", str(small), "--out", str(tmp_path / "out"), "--checkpoint-every", every]) == 0
    line = f"note: --checkpoint-every {every} writes no checkpoint in a run of 6 steps"
    assert (line in capfd.readouterr().err) == told


def test_what_is_a_fault() -> None:
    for raised, kind in (
        (OSError(errno.EACCES, "Permission denied", "x"), Fault),
        (Fault("a: b"), Fault),
        (InputError("a: b"), InputError),
        (RuntimeError("a: b"), RuntimeError),
    ):
        with pytest.raises(kind, match="x: Permission denied|a: b"), faults():
            raise raised
    with pytest.raises(Fault, match="a: cannot be written"), faults():
        try:
            raise OSError(errno.EROFS, "Read-only file system")
        except OSError as error:
            raise InputError("a: cannot be written: Read-only file system") from error


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_limit_on_the_size_of_files_keeps_the_checkpoint(tmp_path: Path) -> None:
    """A true limit of the system: checkpoints of 20,000 agents fit below 1 MB, the report (plotly.js) does not."""
    (tmp_path / "small.toml").write_text(SMALL.replace("size = 60", "size = 20000"), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["run", str(tmp_path / "small.toml"), "--out", str(out), "--quiet", *OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(HOME), "NUMBA_DISABLE_CACHING": "1"}

    def run(most: int, *more: str) -> subprocess.CompletedProcess[str]:
        code = (
            "import resource, sys; from lpm import cli; "
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, -1)); sys.exit(cli.main({[*arguments, *more]!r}))"
        )
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment, check=False
        )

    done = run(1_000_000)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert "File too large" in done.stderr and "4 of 4 pairs" in done.stderr, done
    assert (out / "trajectory.parquet").is_file() and not (out / "report.html").exists()
    done = run(-1, "--resume")
    assert done.returncode == 0 and (out / "report.html").is_file(), done
    assert pl.read_parquet(out / "agents.parquet").height == 4 * 20_000
