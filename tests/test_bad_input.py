"""Bad input of every kind ends in one line that names the place, status 2, no traceback and nothing half-written."""

from __future__ import annotations

import copy
import datetime as dt
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tomli_w

from lpm import asking, cli
from lpm.scenarios import checks, loader, outputs

Tables = dict[str, Any]

GOOD: Tables = {
    "schema": 1,
    "name": "small",
    "step": "1d",
    "start": dt.date(2020, 2, 1),
    "steps": 30,
    "seeds": 1,
    "population": {
        "size": 200,
        "columns": [
            {"name": "age", "dtype": "uint8", "meaning": "age group", "levels": ["young", "old"]},
            {"name": "wealth", "dtype": "float32", "meaning": "savings", "bounds": [-1e6, 1e6]},
        ],
    },
    "networks": [{"name": "community", "builder": "erdos-renyi", "mean_degree": 6}],
    "kernels": [{"kernel": "sir", "beta": {"value": 0.1, "unit": "1/day", "source": "guess"}}],
    "series": {"orders": {"knots": [[10, 0.1], [12, 0.5]]}},
    "metrics": {
        "infections": {"flow": "infectious", "by": ["age"]},
        "attack_rate": {"share": "infections"},
    },
    "interventions": [{"label": "orders", "at": 10, "until": 20, "reduce": {"community": "orders"}}],
    "arms": [{"name": "as it is"}, {"name": "earlier", "shift": {"orders": "-7d"}}],
}


def write(folder: Path, tables: Tables) -> Path:
    path = folder / "small.toml"
    path.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return path


def change(path: str, value: Any) -> Callable[[Tables], None]:
    """Return an edit that sets one value: "kernels.0.beta"."""

    def edit(tables: Tables) -> None:
        *parents, last = path.split(".")
        place: Any = tables
        for each in parents:
            place = place[int(each)] if each.isdigit() else place[each]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value

    return edit


def drop(path: str) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        *parents, last = path.split(".")
        place: Any = tables
        for each in parents:
            place = place[int(each)] if each.isdigit() else place[each]
        del place[last]

    return edit


def intervention(**keys: Any) -> Callable[[Tables], None]:
    return change("interventions.0", {"label": "orders", **keys})


DATE = GOOD["start"]
PAY = {"column": "wealth", "amount": 1}
TABLE: list[tuple[str, Callable[[Tables], None], tuple[str, ...]]] = [
    # what the TOML says
    ("unknown key", change("stepz", 3), ("unknown key 'stepz'", "did you mean 'step")),
    ("unknown key of a metric", change("metrics.infections.flwo", "x"), ("metrics.infections", "'flow'")),
    ("unknown key of a layer", change("networks.0.mean_degre", 6), ("networks[0]", "did you mean 'mean_degree'")),
    ("unknown parameter", change("kernels.0.gama", 0.1), ("kernels[0]", "did you mean 'gamma'")),
    ("missing key", drop("steps"), ("'steps'", "missing")),
    ("text for a number", change("steps", "5"), ("steps", "whole number", "the text '5'")),
    ("true for a number", change("steps", True), ("steps", "whole number", "true")),
    ("fraction for a whole number", change("steps", 5.0), ("steps", "whole number", "5.0")),
    ("number for a text", change("title", 5), ("title", "text", "5")),
    ("list for a table", change("population", [1]), ("population", "a table", "a list")),
    ("NaN parameter", change("kernels.0.beta", float("nan")), ("kernels[0].beta", "finite number", "nan")),
    ("infinite weight", change("population.people", float("inf")), ("population.people", "finite")),
    ("text parameter", change("kernels.0.beta", "high"), ("kernels[0].beta", "number", "'high'")),
    ("negative steps", change("steps", -3), ("steps", "at least 1", "-3")),
    ("empty population", change("population.size", 0), ("population.size", "at least 1", "0")),
    ("negative size", change("population.size", -5), ("population.size", "at least 1", "-5")),
    ("size beyond 32 bits", change("population.size", 2**31), ("population.size", "at most")),
    ("out of bounds", change("kernels.0.beta", 1000.0), ("kernels[0].beta", "0 to 10", "1000")),
    ("wrong unit", change("kernels.0.beta.unit", "1/h"), ("kernels[0].beta", "'1/day'", "'1/h'")),
    ("other schema", change("schema", 2), ("schema 1", "2")),
    ("name that is a path", change("name", "../evil"), ("name", "letters")),
    ("no kernels", change("kernels", []), ("kernels", "at least 1")),
    ("bad duration", change("step", "2 fortnights"), ("step", "duration")),
    ("negative duration", change("step", "-1d"), ("step", "above 0")),
    ("repeated seed", change("seeds", [1, 1]), ("seeds", "different")),
    ("no seeds", change("seeds", 0), ("seeds", "1 to 100,000")),
    ("bad backend", change("backend", "cuda"), ("backend", "'auto'", "'cuda'")),
    ("level table of one number", change("kernels.0.beta", {"young": 0.1}), ("kernels[0].beta", "number", "table")),
    # names that nothing answers to
    ("unknown kernel", change("kernels.0.kernel", "sirr"), ("unknown kernel 'sirr'", "did you mean 'sir'")),
    ("unknown builder", change("networks.0.builder", "erdos"), ("networks[0].builder", "'erdos'")),
    ("unknown generator", change("population.generator", "nycc"), ("population.generator", "'nycc'")),
    ("unknown layer", intervention(at=1, scale={"comunity": 0.5}), ("comunity", "did you mean 'community'")),
    ("unknown series", intervention(reduce={"community": "ordes"}), ("'ordes'", "did you mean 'orders'")),
    ("unknown lever", intervention(set={"sir.bata": 0.1}), ("'sir.bata'", "did you mean 'sir.beta'")),
    ("unknown metric", change("metrics.attack_rate.share", "infection"), ("'infection'", "'infections'")),
    ("unknown level", change("metrics.infections.flow", "infectius"), ("'infectius'", "'infectious'")),
    ("unknown group", change("metrics.infections.by", ["agee"]), ("metrics.infections.by", "did you mean 'age'")),
    (
        "unknown group of a trigger",
        intervention(when={"metric": "infections", "group": "age=oldd", "above": 1.0}, scale={"community": 0.5}),
        ("when.group", "did you mean 'old'"),
    ),
    ("unknown column", intervention(set_column={"welth": 1.0}), ("'welth'", "did you mean 'wealth'")),
    ("unknown level of a filter", intervention(where={"age": ["odl"]}, pay=PAY), ("'odl'",)),
    ("unknown ready-made intervention", change("interventions.0", {"use": "test-and-isolat"}), ("test-and-isolate",)),
    ("unknown label", change("arms.1.shift", {"order": "-7d"}), ("arms[1].shift", "did you mean 'orders'")),
    ("unknown data set", change("data", {"infections": {"file": "data:nope/x.csv", "column": "x"}}), ("data set",)),
    ("data of no metric", change("data", {"deaths": {"file": "x.csv", "column": "x"}}), ("data.deaths", "metric")),
    # what does not fit together
    ("two arms of one name", change("arms.1", {"name": "as it is"}), ("two arms", "'as it is'")),
    ("two layers of one name", lambda t: t["networks"].append(dict(t["networks"][0])), ("two layers", "community")),
    ("two instances of one name", lambda t: t["kernels"].append({"kernel": "sir"}), ("two kernel instances", "'sir'")),
    ("two interventions of one name", lambda t: t["interventions"].append(t["interventions"][0]), ("'orders'",)),
    (
        "cyclic reference",
        change("metrics", {"a": {"share": "b"}, "b": {"share": "a"}}),
        ("cyclic reference", "a -> b -> a"),
    ),
    ("metric of a metric of itself", change("metrics.attack_rate.share", "attack_rate"), ("cyclic",)),
    ("share of no flow", change("metrics.x", {"share": "attack_rate"}), ("expected a flow",)),
    ("generator and file", lambda t: t["population"].update(generator="a", file="b"), ("population", "both")),
    ("two acts", intervention(scale={"community": 1}, reduce={"community": 1}), ("exactly one of",)),
    ("no act", intervention(at=3), ("exactly one of", "none")),
    ("uptake above 1", intervention(uptake=1.5, pay=PAY), ("uptake", "at most 1")),
    ("reduction above 1", intervention(reduce={"community": 1.5}), ("at most 1", "1.5")),
    ("people chosen for a layer", intervention(share=0.5, scale={"community": 0.5}), ("share", "scale")),
    ("knots that fall back", change("series.orders.knots", [[12, 0.1], [10, 0.5]]), ("ascending", "orders")),
    ("a metric without bounds", change("metrics.m", {"mean": "state"}), ("metrics.m", "levels")),
    # time
    ("intervention after the run", intervention(at=30, scale={"community": 0.5}), ("within the run", "30")),
    (
        "intervention before the run",
        intervention(at=DATE.replace(month=1), scale={"community": 0.5}),
        ("within the run", "2020-01-01"),
    ),
    ("end before the beginning", intervention(at=9, until=8, scale={"community": 0.5}), ("until", "after")),
    ("shifted out of the run", change("arms.1.shift", {"orders": "-11d"}), ("arms[1].shift", "outside the run")),
    ("no whole number of steps", intervention(delay="12h", scale={"community": 0.5}), ("delay", "whole number")),
    ("a date without a start", lambda t: (t.pop("start"), t.update(report_from=DATE)), ("start",)),
    ("a date between steps", lambda t: t.update(step="2d", report_from=DATE.replace(day=2)), ("between",)),
    # files
    ("absolute file", change("population.file", "/etc/passwd"), ("population.file", "leads out")),
    ("file above the folder", change("population.file", "../agents.parquet"), ("population.file", "leads out")),
    ("file that is not there", change("population.file", "agents.parquet"), ("population.file", "no file")),
]


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs `lpm run` on bad input, checks all that must hold, and returns its one line."""
    monkeypatch.setenv("LPM_DEBUG", "")
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))

    def refused(*arguments: str, out: Path | None = None) -> str:
        folder = tmp_path / "out" if out is None else out
        before = sorted(str(each) for each in folder.rglob("*")) if folder.exists() else None
        status = cli.main(["run", *arguments, "--out", str(folder)])
        written = capfd.readouterr()
        assert status == 2, written
        assert written.out == ""
        assert written.err.count("\n") == 1 and written.err.startswith("lpm: ") and "Traceback" not in written.err
        after = sorted(str(each) for each in folder.rglob("*")) if folder.exists() else None
        assert after == before, "something half-written was left"
        return written.err

    return refused


@pytest.mark.parametrize(("edit", "words"), [each[1:] for each in TABLE], ids=[each[0] for each in TABLE])
def test_a_bad_scenario_is_one_line(
    edit: Callable[[Tables], None], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    tables = copy.deepcopy(GOOD)
    edit(tables)
    line = call(str(write(tmp_path, tables)))
    assert "small.toml" in line
    for word in words:
        assert word in line, line


BYTES: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("not TOML", b"steps = = 3\n", ("not TOML",)),
    ("a TOML cut off", b'schema = 1\nname = "sm', ("not TOML",)),
    ("a binary file", b"\x89PNG\r\n\x1a\n\x00\xff", ("UTF-8",)),
    ("an empty file", b"", ("missing",)),
    ("a key twice", b"steps = 1\nsteps = 2\n", ("not TOML",)),
    ("nested too deeply", b"a = " + b"[" * 50_000, ("small.toml",)),
]


@pytest.mark.parametrize(("content", "words"), [each[1:] for each in BYTES], ids=[each[0] for each in BYTES])
def test_a_file_that_is_no_scenario(
    content: bytes, words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    path = tmp_path / "small.toml"
    path.write_bytes(content)
    line = call(str(path))
    assert all(word in line for word in words), line


OPTIONS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("--set", "sir.bta=1"), ("'bta'", "did you mean 'beta'")),
    (("--set", "sir.beta=99"), ("0 to 10", "99")),
    (("--set", "comunity.scale=1"), ("did you mean 'community.scale'",)),
    (("--set", "sir.beta"), ("path=value",)),
    (("--set", "sir.beta=nan"), ("finite",)),
    (("--set", "sir.beta=high"), ("expected a number", "'high'")),
    (("--set", "sir.beta.young=0.1"), ("no level",)),
    (("--set", "steps=1\nname='x'"), ("steps", "whole number")),
    (("--seeds", "0"), ("--seeds",)),
    (("--seeds", "many"), ("--seeds", "'many'")),
    (("--seeds", "3,3"), ("--seeds", "different")),
    (("--agents", "0"), ("--agents", "0")),
    (("--agents", "ten"), ("--agents",)),
    (("--steps", "-1"), ("--steps", "-1")),
    (("--arms", "as it was"), ("'as it was'", "did you mean 'as it is'")),
    (("--arms", "earlier,earlier"), ("twice",)),
    (("--backend", "cuda"), ("--backend", "cuda")),
    (("--devices", "0"), ("--devices",)),
    (("--checkpoint-every", "0"), ("--checkpoint-every",)),
    (("--draws", "posterior.parquet"), ("--draws", "posterior.parquet")),
    (("--draws", "posterior.txt"), ("--draws", ".csv")),
    (("--resume",), ("--resume", "no run")),
    (("--agent-count", "3"), ("--agent-count",)),
]


@pytest.mark.parametrize(("arguments", "words"), OPTIONS, ids=[" ".join(each[0])[:30] for each in OPTIONS])
def test_a_bad_option_is_one_line(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    line = call(str(write(tmp_path, GOOD)), *arguments)
    assert all(word in line for word in words), line


def test_a_scenario_that_is_not_there(tmp_path: Path, call: Callable[..., str]) -> None:
    assert "no such scenario" in call("nyc-civid")
    assert "cannot be read" in call(str(tmp_path / "missing.toml"))
    assert "folder" in call(str(tmp_path))


def people(folder: Path, **columns: list[Any]) -> Tables:
    """Return a scenario whose people are read from a file with these columns."""
    pl.DataFrame(columns).write_parquet(folder / "agents.parquet")
    tables = copy.deepcopy(GOOD)
    tables["population"] = {"file": "agents.parquet", "columns": GOOD["population"]["columns"]}
    tables["networks"][0]["mean_degree"] = 1
    return tables


FRAMES: list[tuple[str, dict[str, list[Any]], tuple[str, ...]]] = [
    ("NaN", {"age": ["young", "old"], "wealth": [1.0, float("nan")]}, ("wealth", "NaN", "row 1")),
    ("infinite", {"age": ["young", "old"], "wealth": [1.0, float("inf")]}, ("wealth", "infinite")),
    ("missing value", {"age": ["young", None], "wealth": [1.0, 2.0]}, ("age", "missing")),
    ("missing column", {"age": ["young", "old"]}, ("'wealth'",)),
    ("unknown level", {"age": ["young", "odl"], "wealth": [1.0, 2.0]}, ("'odl'", "did you mean 'old'")),
    ("out of bounds", {"age": ["young", "old"], "wealth": [1.0, 2e9]}, ("wealth", "2e+09")),
    ("negative weight", {"age": ["young", "old"], "wealth": [1.0, 2.0], "weight": [1.0, -1.0]}, ("weight",)),
    ("repeated id", {"age": ["young", "old"], "wealth": [1.0, 2.0], "id": [7, 7]}, ("id", "repeated")),
    ("no rows", {"age": [], "wealth": []}, ("no rows",)),
]


@pytest.mark.parametrize(("columns", "words"), [each[1:] for each in FRAMES], ids=[each[0] for each in FRAMES])
def test_a_bad_table_of_people(
    columns: dict[str, list[Any]], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    line = call(str(write(tmp_path, people(tmp_path, **columns))))
    assert all(word in line for word in words), line


def test_a_damaged_parquet_file(tmp_path: Path, call: Callable[..., str]) -> None:
    tables = people(tmp_path, age=["young", "old"], wealth=[1.0, 2.0])
    path = tmp_path / "agents.parquet"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"PAR1 and no more PAR1", b""):
        path.write_bytes(content)
        assert "cannot be read" in call(str(write(tmp_path, tables)))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"source": [0, 1], "target": [1, 200]}, ("200",)),
        ({"source": [0, 1], "target": [1, -1]}, ("-1",)),
        ({"source": [0], "goal": [1]}, ("target",)),
        ({"source": [0.5], "target": [1.0]}, ("whole numbers",)),
    ],
    ids=["dangling", "negative", "missing column", "fractions"],
)
def test_bad_edges(
    edges: dict[str, list[Any]], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    pl.DataFrame(edges).write_csv(tmp_path / "edges.csv")
    tables = copy.deepcopy(GOOD)
    tables["networks"] = [{"name": "community", "builder": "edges", "file": "edges.csv"}]
    line = call(str(write(tmp_path, tables)))
    assert all(word in line for word in words), line


WEEK = {"start": ["2020-02-03"], "end": ["2020-02-09"], "age": ["young"], "cases": ["5"]}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"cases": ["NaN"]}, ("cases", "nan")),
        ({"cases": ["-5"]}, ("cases", "-5")),
        ({"cases": ["few"]}, ("cases", "numbers")),
        ({"end": ["2020-02-01"]}, ("before it starts",)),
        ({"start": ["last week"]}, ("start", "dates")),
        ({"age": ["yuong"]}, ("'yuong'", "did you mean 'young'")),
        ({"cases": None}, ("'cases'",)),
        ({"cases": [None]}, ("missing",)),
    ],
    ids=["NaN", "negative", "text", "backwards", "no date", "unknown group", "missing column", "missing value"],
)
def test_bad_observed_figures(
    edit: dict[str, Any], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    columns = {name: values for name, values in {**WEEK, **edit}.items() if values is not None}
    pl.DataFrame(columns, schema={name: pl.String for name in columns}).write_csv(tmp_path / "weekly.csv")
    tables = copy.deepcopy(GOOD)
    tables["data"] = {"infections": {"file": "weekly.csv", "column": "cases", "group": "age"}}
    line = call(str(write(tmp_path, tables)))
    assert all(word in line for word in words), line


def test_a_folder_in_use(tmp_path: Path, call: Callable[..., str]) -> None:
    scenario, folder = str(write(tmp_path, GOOD)), tmp_path / "out"
    folder.mkdir()
    (folder / ".lock").write_text(f"{os.getpid()} {socket.gethostname()}\n")
    assert "in use by process" in call(scenario)
    assert "in use by process" in call(scenario, "--resume")


def test_a_folder_of_another_run(tmp_path: Path, call: Callable[..., str]) -> None:
    scenario, folder = str(write(tmp_path, GOOD)), tmp_path / "out"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    assert "another run" in call(scenario)
    (folder / "scenario.toml").write_text("schema = 1\n")
    assert "another scenario" in call(scenario, "--resume")


def test_a_file_that_has_changed_since(tmp_path: Path, call: Callable[..., str]) -> None:
    path = write(tmp_path, people(tmp_path, age=["young", "old"] * 4, wealth=[1.0, 2.0] * 4))
    with outputs.claim(tmp_path / "out", loader.load(path), resume=False):
        (tmp_path / "out" / "run.json").write_text("{}")
    people(tmp_path, age=["young", "old"] * 4, wealth=[1.0, 3.0] * 4)
    line = call(str(path), "--resume")
    assert "--resume: file" in line and "agents.parquet' has changed since" in line
    (tmp_path / "out" / "inputs" / "agents.parquet").unlink()
    assert "agents.parquet" in call(str(path), "--resume")


@pytest.mark.parametrize("options", [(), ("--seeds", "3"), ("--arms", "earlier"), ("--draws", "prior")])
@pytest.mark.parametrize("moment", [15, dt.date(2020, 2, 16)], ids=["step", "date"])
def test_a_run_that_ends_before_its_report_begins(
    options: tuple[str, ...], moment: Any, tmp_path: Path, call: Callable[..., str]
) -> None:
    path = write(tmp_path, {**copy.deepcopy(GOOD), "report_from": moment})
    for steps in ("15", "3"):
        line = call(str(path), "--steps", steps, *options)
        assert "small.toml: report_from" in line and "at least 16" in line and "--set report_from=" in line
    hint = line.split("--set ")[1].strip()
    asked = asking.chosen(str(path), None, 15, None, None, None, [hint], None)
    checks.check_run(asked)


DRAWS: list[tuple[str, str, tuple[str, ...]]] = [
    ("level of one number", "sir.beta.old\n0.1\n", ("sir.beta", "no level 'old'")),
    ("unknown parameter", "sir.bata\n0.1\n", ("'sir.bata'", "did you mean 'sir.beta'")),
    ("fewer rows than seeds", "sir.beta\n", ("1 seeds", "got 0")),
    ("damaged", "sir.beta\n0.1,5,6\n\x00", ("cannot be read",)),
]


@pytest.mark.parametrize(("content", "words"), [each[1:] for each in DRAWS], ids=[each[0] for each in DRAWS])
def test_a_bad_file_of_draws(content: str, words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]) -> None:
    (tmp_path / "posterior.csv").write_text(content)
    line = call(str(write(tmp_path, GOOD)), "--draws", str(tmp_path / "posterior.csv"))
    assert all(word in line for word in ("posterior.csv", *words)), line


def test_a_folder_that_cannot_be_used(tmp_path: Path, call: Callable[..., str]) -> None:
    scenario = str(write(tmp_path, GOOD))
    (tmp_path / "file").write_text("x")
    assert "got a file" in call(scenario, out=tmp_path / "file")
    assert "cannot be written" in call(scenario, out=tmp_path / "file" / "below")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-my-aunt.txt").write_text("x")
    assert "other files" in call(scenario, out=tmp_path / "letters")


def test_a_link_cannot_lead_out_of_the_folder(tmp_path: Path, call: Callable[..., str]) -> None:
    home, secret = tmp_path / "home", tmp_path / "secret.csv"
    home.mkdir()
    secret.write_text("age\nyoung\n")
    (home / "agents.csv").symlink_to(secret)
    (home / "linked").symlink_to(tmp_path)
    (home / "ring.csv").symlink_to(home / "ring.csv")
    outside = ("agents.csv", "linked/secret.csv", "ring.csv", "..\\secret.csv", "C:\\secret.csv", "a/../../secret.csv")
    for file in outside:
        tables = copy.deepcopy(GOOD)
        tables["population"]["file"] = file
        line = call(str(write(home, tables)))
        assert "population.file" in line and "young" not in line, line


@pytest.mark.parametrize(
    "value", ["__import__('os').system('touch pwned')", "{{7*7}}", "${HOME}", "!!python/object/apply:os.system ['ls']"]
)
def test_a_scenario_never_executes_code(value: str, tmp_path: Path, call: Callable[..., str]) -> None:
    for path in ("kernels.0.kernel", "networks.0.builder", "population.generator", "kernels.0.beta", "name"):
        tables = copy.deepcopy(GOOD)
        change(path, value)(tables)
        call(str(write(tmp_path, tables)))
    assert not (tmp_path / "pwned").exists() and not Path("pwned").exists()


SAMPLE = ("two arms of one name", "absolute file")


@pytest.mark.parametrize("name", SAMPLE)
def test_the_process_ends_with_status_2(name: str, tmp_path: Path) -> None:
    tables = copy.deepcopy(GOOD)
    next(each[1] for each in TABLE if each[0] == name)(tables)
    arguments = [sys.executable, "-m", "lpm", "run", str(write(tmp_path, tables)), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) + len(BYTES) + len(OPTIONS) + len(FRAMES) >= 40
    assert len({each[0] for each in TABLE}) == len(TABLE)
