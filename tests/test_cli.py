"""The command line: what it prints, what it exits with, what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lpm import asking, cli, doctor, given, results, terminal
from lpm.errors import Fault, InputError
from lpm.kernel import kernels
from lpm.scenarios import loader
from lpm.scenarios.options import RunOptions
from lpm.scenarios.schema import Scenario
from tests.inputs import small

__all__ = ["small"]  # a fixture

HOME = Path(cli.__file__).parents[1]


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


@pytest.mark.parametrize(
    "arguments",
    [
        "lst",
        "run",
        "run a b",
        "--nothing",
        "data lost",
        "show sri",
        "report nothing",
        "bench sir --graph eer",
        "bench sir --agents 1.5",
        "bench sir --backend cuda",
    ],
)
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


@pytest.mark.parametrize("name", loader.library())
def test_show_tells_a_ready_made_intervention(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", name]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"intervention {name}\n") and f'use = "{name}"' in told
    assert all(word in told for word in ("uptake", "delay", "capacity", "cost.per_person", "USD", "guess"))
    assert cli.main(["show", name[:-1]]) == 2
    assert f"did you mean '{name}'" in capsys.readouterr().err


def test_every_scenario_says_what_it_is() -> None:
    for name in loader.names():
        scenario = loader.load(name)
        assert scenario.title and scenario.description, name


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
    arguments = [*given.split(), "--arms", "fewer contacts", "--set", "sir.gamma=0.2", "--set", "contacts.scale=0.5"]
    assert cli.main(["run", str(small), *arguments, "--out", str(out)]) == 0
    (scenario, options) = asked[0]
    assert options == RunOptions(out, None, 2, False, True, True)
    assert (scenario.population.size, scenario.steps, scenario.seeds) == (90, 4, (3, 5))
    assert (scenario.draws, scenario.backend) == ("prior", "xla")
    assert [arm.name for arm in scenario.arms] == ["fewer contacts"]
    assert scenario.kernels[0].params["gamma"].value == 0.2 and scenario.networks[0].scale == 0.5
    assert capfd.readouterr() == (f"{out}\n", "")  # the folder alone, for scripts


@pytest.mark.parametrize("text", ["100000", "100_000", "1e5", "1E+5", "1.0e5", "100000.0", " 100000 "])
def test_whole_numbers_as_people_write_them(text: str) -> None:
    assert given.whole(text, "--agents") == 100_000
    assert given.whole("1e6", "--agents") == 1_000_000 and given.whole(None, "--agents") is None


def test_a_report_of_what_is_no_run_says_what_it_expects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "expected the folder of a run" in told and "no run.json" in told and told.count("\n") == 1
    assert cli.main(["report", "x" * 5000]) == 2
    told = capsys.readouterr().err
    assert "no folder" in told and told.count("\n") == 1


def test_a_report_of_a_run_json_that_no_run_has_written(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["run", str(small), "--out", str(out), "--quiet", "--seeds", "1"]) == 0
    assert cli.main(["report", str(out)]) == 0
    capfd.readouterr()
    written = json.loads((out / "run.json").read_text("utf-8"))
    page = (out / "report.html").read_bytes()
    changes: list[tuple[Any, str]] = [
        ({}, "no 'name'"),
        ([], "expected a JSON object, got list"),
        *(({k: v for k, v in written.items() if k != key}, f"no '{key}'") for key in asking.RUN_JSON),
        *((written | {key: None}, f"'{key}' None") for key in asking.RUN_JSON),
        (written | {"arms": [3]}, "'arms' [3]"),
        (written | {"metrics": {"x": 3}}, "'metrics' {'x': 3}"),
        (written | {"people": "many"}, "'people' 'many'"),
    ]
    for run, words in changes:
        (out / "run.json").write_text(json.dumps(run), encoding="utf-8")
        assert cli.main(["report", str(out)]) == 2
        told = capfd.readouterr()
        assert words in told.err and "run.json" in told.err and told.err.count("\n") == 1 and not told.out
        assert (out / "report.html").read_bytes() == page


def test_a_report_with_the_effects_of_others_is_bad_input(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["run", str(small), "--out", str(out), "--quiet", "--seeds", "1"]) == 0
    capfd.readouterr()
    good = results.read_frame(out / "effects.parquet")
    for frame, words in (
        (pl.DataFrame({"a": [1]}), "expected a column 'arm', got a"),
        (good.drop("seeds"), "expected a column 'seeds'"),
        (good.with_columns(pl.col("seeds").cast(pl.String)), "seeds: expected Int64, got String"),
    ):
        results.write_frame(out / "effects.parquet", frame)
        assert cli.main(["report", str(out)]) == 2
        told = capfd.readouterr().err
        assert told.count("\n") == 1 and "effects.parquet" in told and words in told


def test_the_default_folder_is_the_next_free_one(
    small: Path, tmp_path: Path, asked: list[tuple[Scenario, RunOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "small-1").mkdir(parents=True)
    assert cli.main(["run", str(small)]) == 0
    assert asked[0][1].out == Path("runs/small-2")


def test_seeds() -> None:
    assert given.seeds_of("4") == 4 and given.seeds_of("3, 5,8") == [3, 5, 8]
    for wrong in ("", "-1", "1.5", "1,,2", "²", "4x", "1,1", "99999999999"):
        with pytest.raises(InputError):
            given.seeds_of(wrong)


def test_devices_are_asked_of_xla_unless_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    asking.force_devices(4)
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=x --xla_force_host_platform_device_count=4"
    asking.force_devices(8)
    assert os.environ["XLA_FLAGS"].endswith("count=4")


@pytest.mark.parametrize("option", ["agents", "steps", "seeds", "devices", "checkpoint-every"])
@pytest.mark.parametrize("text", ["", " ", "nan", "inf", "True", "1e400", "9" * 5000, "a\0b", "0x10", "\x1b[1m"])
def test_what_no_option_can_be_is_one_line(
    option: str, text: str, small: Path, asked: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(small), f"--{option}={text}"]) == 2
    told = capfd.readouterr().err
    assert told.startswith(f"lpm: --{option}: expected") and told[:-1].isprintable() and len(told) < 200 and not asked


@pytest.mark.parametrize(
    "argument",
    [
        "--out=", "--out= ", "--out=a\0b", "--out=/", "--draws=", "--draws=a\0b", "--arms=", "--arms=a\0b",
        "--backend=", "--set=", "--set=sir.beta", "--set=sir.beta=nan", "--set=sir.beta=1e999", "--set=sir.beta=a\0b",
        "--set=sir.beta=" + "9" * 5000, "--set=title=\udcff", "--devices=2147483647",
    ],  # fmt: skip
    ids=lambda text: ascii(text)[:24],
)  # fmt: skip
def test_what_no_text_can_be_is_one_line(
    argument: str, small: Path, asked: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(small), argument]) == 2
    told = capfd.readouterr().err
    option = argument.split("=")[0]
    assert told.startswith(f"lpm: {option}") and told[:-1].isprintable() and len(told) < 200 and not asked


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RuntimeError("it broke\nbadly"), 1, "failed: RuntimeError: it broke badly"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "MemoryError"),
        (InputError("a: b"), 2, "lpm: a: b"),
        (Fault("a: b"), 1, "lpm: a: b"),
        (KeyboardInterrupt(), 1, "nothing is kept"),
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
