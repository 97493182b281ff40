"""Workers: the same bits as one process, one of them killed on the way, and never more memory than was given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lpm.errors import Fault, InputError
from lpm.scenarios.options import silent
from lpm.sweeps import command, folder
from lpm.sweeps.distribute import DEATHS, Tasks
from lpm.sweeps.jobs import jobs_of

from .test_sweep import design_of, frames, scenario_of, swept

AXES = ("sir.beta=0.05:0.3:6", "contacts.scale=0.5,1.5")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return swept(tmp_path_factory.mktemp("whole") / "sweep", scenario_of(), *AXES)


def killed_while(place: Path, find: Callable[[], list[int]], work: Callable[[], Any]) -> int:
    """Do some work, kill a process that `find` names once a part is finished, and return how many were killed."""
    killed: list[int] = []

    def kill() -> None:
        until = time.monotonic() + 240
        while not killed and time.monotonic() < until:
            if folder.finished(place) and (found := find()):
                killed.append(found[0])
                os.kill(found[0], signal.SIGKILL)
            time.sleep(0.02)

    watcher = threading.Thread(target=kill)
    watcher.start()
    work()
    killed.append(0)  # the watcher ends
    watcher.join()
    return len(killed) - 1


def children(word: str) -> list[int]:
    import psutil

    return [each.pid for each in psutil.Process().children(recursive=True) if word in " ".join(each.cmdline())]


def test_tasks_are_done_once_whoever_dies():
    """Every job is finished exactly once; what a dead worker had not finished is given to another."""
    tasks = Tasks([(0, 40), (50, 60)], 2, silent)
    done: list[tuple[int, int]] = []
    first = tasks.take(0)
    assert first is not None
    middle = first[0] + 1
    tasks.finish(0, middle)
    done.append((first[0], middle))
    tasks.lose(0, "signal 9")
    while (task := tasks.take(1)) is not None:
        tasks.finish(1, task[1])
        done.append(task)
    assert sorted(number for low, high in done for number in range(low, high)) == [*range(40), *range(50, 60)]
    assert not tasks.open and tasks.done == 50


def test_workers_that_die_one_after_the_other_end_the_sweep():
    tasks = Tasks([(0, 40)], 2, silent)
    with pytest.raises(Fault, match=f"{DEATHS} workers died"):
        for _ in range(DEATHS):
            tasks.take(0)
            tasks.lose(0, "signal 9")


@pytest.mark.full
def test_a_killed_worker_costs_nothing_but_its_part(whole: Path, tmp_path: Path):
    place = tmp_path / "sweep"
    count = killed_while(
        place, lambda: children("lpm.sweeps.serve"), lambda: swept(place, scenario_of(), *AXES, workers=2)
    )
    assert count == 1
    for name, frame in frames(whole).items():
        assert frames(place)[name].equals(frame), name


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")  # of Ray's
def test_ray_with_a_killed_worker_gives_the_same_bits(whole: Path, tmp_path: Path):
    pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
    place = tmp_path / "sweep"
    count = killed_while(
        place, lambda: children("ray::Actor"), lambda: swept(place, scenario_of(), *AXES, ray="local", workers=2)
    )
    assert count == 1
    for name, frame in frames(whole).items():
        assert frames(place)[name].equals(frame), name


@pytest.mark.full
def test_a_sweep_that_is_killed_goes_on(whole: Path, tmp_path: Path):
    """Killed without warning; the command that was given, with --resume, ends it."""
    place = tmp_path / "sweep"
    with_file = tmp_path / "mini.toml"
    from lpm.scenarios.resolved import resolved

    with_file.write_text(resolved(scenario_of()), encoding="utf-8")
    given = [sys.executable, "-m", "lpm", "sweep", str(with_file), "--grid", *AXES, "--out", str(place), "--quiet"]
    process = subprocess.Popen(given)
    try:
        until = time.monotonic() + 240
        while time.monotonic() < until and process.poll() is None and not folder.finished(place):
            time.sleep(0.01)
        process.kill()
    finally:
        process.kill()
        process.wait()
    subprocess.run([*given, "--resume"], check=True, capture_output=True)
    for name, frame in frames(whole).items():
        assert frames(place)[name].equals(frame), name


def test_a_limit_of_memory_makes_batches_smaller(tmp_path: Path):
    """What is given is heeded: fewer runs side by side, and none that does not fit."""
    from lpm.memory import resident
    from lpm.scenarios.assembly import assemble
    from lpm.sweeps.running import COPIES, bytes_of, choice

    scenario = scenario_of(agents=2000)
    assembly = assemble(scenario, 1, silent)
    each = COPIES * bytes_of(assembly)
    held = resident()
    assert choice(assembly, 10_000, int((held + 10.5 * each) / 0.85))[0] in (8, 9, 10)
    assert choice(assembly, 3, None)[0] == 3
    with pytest.raises(InputError, match="one run takes"):
        choice(assembly, 10, held // 2)


@pytest.mark.full
def test_two_gigabytes_are_enough_for_a_thousand_runs(tmp_path: Path):
    """1,024 runs of 10,000 agents under --memory 2GB: the process never holds more."""
    place = tmp_path / "sweep"
    given = [
        sys.executable, "-c",
        "import resource, sys; from lpm.cli import main; status = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)",
        "sweep", "mini", "--agents", "10000", "--steps", "30", "--arms", "baseline", "--seeds", "1",
        "--grid", "sir.beta=0.01:0.3:1024", "--memory", "2GB", "--out", str(place), "--quiet",
    ]  # fmt: skip
    told = subprocess.run(given, check=True, capture_output=True, text=True).stdout.split()
    assert int(told[-1]) * 1024 < 2e9
    assert frames(place)["runs"]["status"].unique().to_list() == ["ok"]


def test_bad_shards_and_folders_are_told(tmp_path: Path):
    for text in ("0/3", "4/3", "a/b", "3", "1/"):
        with pytest.raises(InputError, match="--shard: expected i"):
            command.shard_of(text)
    with pytest.raises(InputError, match="no sweep to go on with"):
        swept(tmp_path / "none", scenario_of(), *AXES, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="new or empty folder"):
        swept(tmp_path / "other", scenario_of(), *AXES)
    with pytest.raises(InputError, match="folder of a sweep"):
        folder.opened(tmp_path / "other")
    assert jobs_of(scenario_of(), design_of(*AXES)).count == 48
