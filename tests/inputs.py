"""Scenarios that tests of the command line share: a good one to spoil, and a small one to run."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lpm import cli, progress

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
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs `lpm run` on bad input, checks all that must hold, and returns its one line."""
    monkeypatch.setenv("LPM_DEBUG", "")
    monkeypatch.setattr(progress, "PATIENCE", 600.0)  # a slow machine builds for longer than that
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))

    def refused(*arguments: str, out: Path | None = None) -> str:
        folder = tmp_path / "out" if out is None else out
        before = sorted(str(each) for each in folder.rglob("*")) if os.path.exists(folder) else None
        status = cli.main(["run", *arguments, "--out", str(folder)])
        written = capfd.readouterr()
        assert status == 2, written
        assert written.out == ""
        assert written.err.count("\n") == 1 and written.err.startswith("lpm: ") and "Traceback" not in written.err
        after = sorted(str(each) for each in folder.rglob("*")) if os.path.exists(folder) else None
        assert after == before, "something half-written was left"
        return written.err

    return refused


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A TOML of two arms and two seeds that runs in a moment."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path
