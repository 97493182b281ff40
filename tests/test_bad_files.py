"""Bad files and folders: tables of people, edges, figures, draws, links that lead out, folders of others."""

from __future__ import annotations

import copy
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lpm import asking
from lpm.scenarios import checks, loader, lock, outputs, tables
from tests.inputs import GOOD, Tables, call, change, write

__all__ = ["call"]  # a fixture


def people(folder: Path, kind: str = "parquet", **columns: list[Any]) -> Tables:
    """Return a scenario whose people are read from a file with these columns."""
    frame = pl.DataFrame(columns)
    frame.write_csv(folder / "agents.csv") if kind == "csv" else frame.write_parquet(folder / "agents.parquet")
    tables = copy.deepcopy(GOOD)
    tables["population"] = {"file": f"agents.{kind}", "columns": GOOD["population"]["columns"]}
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
    ("number that the dtype cannot hold", {"age": ["young", "old"], "wealth": [1.0, 1e300]}, ("wealth", "1e+300")),
    ("level with a separator", {"age": ["young", "old"], "wealth": [1.0, 2.0], "trade": ["a;b", "c"]}, ("by", "'a;b'")),
    ("repeated id", {"age": ["young", "old"], "wealth": [1.0, 2.0], "id": [7, 7]}, ("id", "repeated")),
    ("no rows", {"age": [], "wealth": []}, ("no rows",)),
]


@pytest.mark.parametrize(("columns", "words"), [each[1:] for each in FRAMES], ids=[each[0] for each in FRAMES])
def test_a_bad_table_of_people(
    columns: dict[str, list[Any]], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    tables = people(tmp_path, "csv", **columns)
    if "trade" in columns:
        tables["metrics"]["infections"]["by"] = ["trade"]
    line = call(str(write(tmp_path, tables)))
    assert all(word in line for word in words), line


def test_a_damaged_parquet_file(tmp_path: Path, call: Callable[..., str]) -> None:
    tables = people(tmp_path, age=["young", "old"], wealth=[1.0, 2.0])
    path = tmp_path / "agents.parquet"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        assert "cannot be read" in call(str(write(tmp_path, tables)))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"source": [0, 1], "target": [1, 200]}, ("200",)),
        ({"source": [0, 1], "target": [1, -1]}, ("-1",)),
        ({"source": [0], "goal": [1]}, ("target",)),
        ({"source": [0.5], "target": [1.0]}, ("whole numbers",)),
        ({"source": [None], "target": [1]}, ("networks[0].file: 'edges.csv': column 'source'", "missing")),
        ({"source": ["a"], "target": [1]}, ("column 'source': expected numbers, got 'a' in row 0",)),
        ({"source": [], "target": []}, ("networks[0].file: 'edges.csv' has no rows",)),
        ({"source": [1], "target": [1]}, ("networks[0].file: 'edges.csv'", "tie an agent to itself")),
    ],
    ids=["dangling", "negative", "missing column", "fractions", "missing value", "text", "no edges", "loop"],
)
def test_bad_edges(
    edges: dict[str, list[Any]], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    pl.DataFrame(edges).write_csv(tmp_path / "edges.csv")
    tables = copy.deepcopy(GOOD)
    tables["networks"] = [{"name": "community", "builder": "edges", "file": "edges.csv"}]
    line = call(str(write(tmp_path, tables)))
    assert all(word in line for word in ("small.toml: networks[0].file", *words)), line


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
    held = lock.hold(folder)
    for more in ((), ("--resume",)):
        line = call(scenario, *more)
        assert f"in use by process {os.getpid()}" in line and f"delete '{folder / '.lock'}'" in line
    lock.release(folder, held)


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
    asked = asking.chosen(str(path), steps=15, sets=[hint])
    checks.check_run(asked)


DRAWS: list[tuple[str, str, tuple[str, ...]]] = [
    ("level of one number", "sir.beta.old\n0.1\n", ("sir.beta", "no level 'old'")),
    ("unknown parameter", "sir.bata\n0.1\n", ("'sir.bata'", "did you mean 'sir.beta'")),
    ("fewer rows than seeds", "sir.beta\n", ("1 seeds", "got 0")),
    ("damaged", "sir.beta\n0.1,5,6\n\x00", ("cannot be read",)),
    ("not a number", "sir.beta\nnan\n", ("column 'sir.beta': expected numbers, got 'nan' in row 0",)),
    ("quote that is not closed", '"sir.beta\n0.1\n', ("cannot be read", "quote is not closed", "line 1")),
    ("binary", "\udcff\udcfe\x00", ("cannot be read", "no UTF-8 text")),
]


@pytest.mark.parametrize(("content", "words"), [each[1:] for each in DRAWS], ids=[each[0] for each in DRAWS])
def test_a_bad_file_of_draws(content: str, words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]) -> None:
    (tmp_path / "posterior.csv").write_text(content, "utf-8", "surrogateescape")
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


def test_people_of_more_kinds_than_16_bits_hold_are_told_apart(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(2**16 + 1)]
    path = write(tmp_path, people(tmp_path, "csv", age=["young"] * len(names), wealth=[1.0] * len(names), name=names))
    column = tables.people_columns(loader.load(path))["name"]
    assert column.dtype == "uint32" and column.limits() == (0, 2**16)
