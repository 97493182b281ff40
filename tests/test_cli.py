"""The command line: what it prints, what it exits with, what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from lpm import asking, cli, doctor, terminal
from lpm.errors import InputError
from lpm.kernel import kernels
from lpm.scenarios import loader, outputs
from lpm.scenarios.options import RunOptions
from lpm.scenarios.schema import Scenario

HOME = Path(cli.__file__).parents[1]

SMALL = """
schema = 1
name = "small"
steps = 6
seeds = 2
[population]
size = 60
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 5
[[kernels]]
kernel = "sir"
initial = 0.1
beta = { value = 0.05, prior = ["lognormal", 0.05, 0.2] }
[metrics]
infections = { flow = "infectious" }
prevalence = { stock = "infectious" }
[[arms]]
name = "baseline"
[[arms]]
name = "fewer contacts"
interventions = [{ at = 2, scale = { contacts = 0.5 } }]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Scenario, RunOptions]]:
    """Return a list that fills with what the command line asks for; nothing is run."""
    seen: list[tuple[Scenario, RunOptions]] = []

    def run(scenario: Scenario, options: RunOptions, progress: Callable[[str, int, int], None]) -> Path:
        progress("running", 0, 10)
        seen.append((scenario, options))
        return options.out

    from lpm.scenarios import execution

    monkeypatch.setattr(execution, "run", run)
    monkeypatch.setattr(terminal, "show_summary", lambda folder: print(folder))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    return seen


def test_importing_lpm_and_its_help_loads_nothing_heavy() -> None:
    heavy = "'jax', 'numpy', 'polars', 'numba', 'orbax', 'plotly', 'pydantic', 'pooch'"
    code = (
        "import sys, lpm.cli; lpm.cli.main(['--help']); "
        f"print([name for name in ({heavy}) if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=True
    )
    assert done.stderr.strip() == "[]" and "lpm run nyc-covid" in done.stdout


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    for command in ("list", "show", "run", "report", "schema", "data", "bench", "doctor"):
        assert command in told
        assert cli.main([command, "--help"]) == 0
    assert cli.main(["run", "-h"]) == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lpm 0.")


@pytest.mark.parametrize("arguments", ["lst", "run", "run a b", "--nothing", "data lost", "show sri", "report nothing"])
def test_a_wrong_command_is_one_line(arguments: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments.split()) == 2
    told = capfd.readouterr()
    assert told.err.count("\n") == 1 and told.err.startswith("lpm: ")


def test_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in (*loader.names(), *kernels(), *loader.library(), "erdos-renyi"):
        assert sum(name in line.split() for line in lines) == 1, name


@pytest.mark.parametrize("name", ["sir", "seir", "erdos-renyi", *loader.names()])
def test_show_tells_parameters_with_units_and_sources(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", name]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("parameter", "value", "unit", "bounds", "source"))


def test_show_takes_a_file(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(small)]) == 0
    assert "sir.initial" in capsys.readouterr().out


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["kernels"]


def test_data_lists_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data"]) == 0
    assert "nyc_covid/data-by-day.csv" in capsys.readouterr().out


def test_doctor_tells_devices_backends_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["devices"] and found["backends"]["xla"] == "available" and "GB" in found["memory"]["total"]
    assert found["auto"] and all("(" in why for why in found["auto"].values())
    assert set(found["package"]) == {"kernels", "calibration", "scenarios"}
    assert cli.main(["doctor"]) == 0
    assert "numba" in capsys.readouterr().out


def test_doctor_names_a_data_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPM_DATA", str(tmp_path / "nowhere"))
    assert "no such folder" in doctor.data()["LPM_DATA"]
    monkeypatch.delenv("LPM_DATA")
    assert "not set" in doctor.data()["LPM_DATA"]


def test_run_passes_on_what_is_asked(
    small: Path, tmp_path: Path, asked: list[tuple[Scenario, RunOptions]], capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = "--agents 90 --steps 4 --seeds 3,5 --draws prior --backend xla --checkpoint-every 2 --save-agents --quiet"
    arguments = [*given.split(), "--arms", "fewer contacts", "--set", "sir.beta=0.2", "--set", "contacts.scale=0.5"]
    assert cli.main(["run", str(small), *arguments, "--out", str(out)]) == 0
    (scenario, options) = asked[0]
    assert options == RunOptions(out, None, 2, False, True, True)
    assert (scenario.population.size, scenario.steps, scenario.seeds) == (90, 4, (3, 5))
    assert (scenario.draws, scenario.backend) == ("prior", "xla")
    assert [arm.name for arm in scenario.arms] == ["fewer contacts"]
    assert scenario.kernels[0].params["beta"].value == 0.2 and scenario.networks[0].scale == 0.5
    assert capfd.readouterr() == ("", "")


def test_the_default_folder_is_the_next_free_one(
    small: Path, tmp_path: Path, asked: list[tuple[Scenario, RunOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "small-1").mkdir(parents=True)
    assert cli.main(["run", str(small)]) == 0
    assert asked[0][1].out == Path("runs/small-2")


def test_seeds() -> None:
    assert asking.seeds_of("4") == 4 and asking.seeds_of("3, 5,8") == [3, 5, 8]
    for wrong in ("", "-1", "1.5", "1,,2", "²", "4x", "1,1", "99999999999"):
        with pytest.raises(InputError):
            asking.seeds_of(wrong)


def test_devices_are_asked_of_xla_unless_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    asking.force_devices(4)
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=x --xla_force_host_platform_device_count=4"
    asking.force_devices(8)
    assert os.environ["XLA_FLAGS"].endswith("count=4")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RuntimeError("it broke\nbadly"), 1, "failed: RuntimeError: it broke badly"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "MemoryError"),
        (InputError("a: b"), 2, "lpm: a: b"),
        (KeyboardInterrupt(), 1, "--resume"),
    ],
)
def test_how_a_run_ends(
    error: BaseException,
    status: int,
    words: str,
    small: Path,
    tmp_path: Path,
    asked: list[tuple[Scenario, RunOptions]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from lpm.scenarios import execution

    def fail(*_: object) -> Path:
        raise error

    monkeypatch.setattr(execution, "run", fail)
    monkeypatch.setenv("LPM_DEBUG", "")
    assert cli.main(["run", str(small), "--out", str(tmp_path / "out")]) == status
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and words in told
    if status == 1 and isinstance(error, Exception):  # Ctrl-C is no failure to look into
        with pytest.raises(type(error)):
            cli.main(["--debug", "run", str(small), "--out", str(tmp_path / "out")])


def test_a_log_without_a_terminal_is_short(capfd: pytest.CaptureFixture[str]) -> None:
    with terminal.bar(False) as progress:
        progress("people", 0, 1)
        for step in range(1001):
            progress("running", step, 1000)
        progress("warning: another version", 0, 1)
    told = capfd.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 12 and "100 %" in told.err
    with terminal.bar(True) as progress:
        progress("running", 1, 2)
    assert capfd.readouterr().err == ""


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
    assert (out / "trajectory.parquet").is_file(), (told, sorted(each.name for each in out.rglob("*")))
    assert not (out / outputs.LOCK).exists()
