"""What the first screen tells: the measure that arms change, in words that agree with the tables."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm import sources
from lpm.durations import days
from lpm.effects import effects
from lpm.report import figures, findings, tables
from lpm.report.changes import moment
from lpm.report.folder import Folder, read_folder
from lpm.report.wording import step_name
from lpm.results import Trajectory, join, write_bytes, write_frame
from lpm.summary import summary

KINDS = {"downloads": "flow", "gini": "gini", "holders": "stock"}
ARMS = {"base": 0.0, "weak": 0.1}


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()).replace("\u202f", " ")


def folder_of(path: Path, seeds: int, fall: float = 0.0, **run: Any) -> Folder:
    """Return a folder where downloads are the same in both arms (but for `fall`), the Gini differs, a stock rises."""
    frames = [
        Trajectory(arm, seed, ("all",), {
            "downloads": np.array([[800.0 + seed], [4.0 - fall * (arm == "weak")]]),
            "gini": np.array([[0.2], [0.3 + more + seed / 100]]),
            "holders": np.array([[5.0], [60.0 + 100 * more + seed]]),
        }).to_frame()
        for arm, more in ARMS.items()
        for seed in range(seeds)
    ]  # fmt: skip
    frame = join(iter(frames))
    write_frame(path / "trajectory.parquet", frame)
    write_frame(path / "effects.parquet", effects(frame, KINDS))
    metrics = {name: {"title": name.capitalize(), "kind": kind} for name, kind in KINDS.items()}
    write_bytes(path / "run.json", json.dumps({"metrics": metrics, "step": "1d"} | run).encode())
    return read_folder(path)


def test_the_headline_is_what_the_arms_change_unless_the_scenario_says(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 4)
    assert folder.headline is not None and folder.headline.name == "gini"
    assert "changes nothing" not in plain(findings.key_findings(folder) + findings.cards(folder))
    declared = folder_of(tmp_path, 4, headline="downloads")
    assert declared.headline is not None and declared.headline.name == "downloads"
    assert "weak does not change downloads in total" in plain(findings.key_findings(declared))
    assert folder_of(tmp_path, 4, fall=2.0).headline == declared.metric("downloads")


def test_a_measure_that_only_rises_is_told_by_its_end(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 4, headline="holders")
    assert "holders at the end" in plain(findings.key_findings(folder))
    told = plain(tables.effect_tables(folder)).split("Downloads")[0]
    assert told.startswith("Holders Arm At the end") and "Day of peak" not in told
    headings = [str(column.header) for column in summary(tmp_path).table.columns]
    assert "Holders\nat the end" in headings and not any("peak" in each for each in headings if "Holders" in each)


def test_figure_and_words_have_one_sign_where_seeds_are_few(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2, fall=3.0, headline="downloads")
    assert "weak has 3 fewer downloads on average" in plain(findings.key_findings(folder))
    assert "Downloads, fewer on average weak 3" in plain(findings.cards(folder))


@pytest.mark.parametrize(("step", "name"), [("1d", "day"), ("1h", "hour"), ("1w", "week"), ("2d", "step")])
def test_steps_have_one_name_everywhere(step: str, name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2, step=step)
    assert findings.period(folder) == f"{name} 0 to {name} 1" and figures.data(folder)["step"] == name
    assert moment(5, None, days(step, "")) == f"{name} 5" and step_name(days(step, "")) == name


def test_the_banner_is_true_of_the_run(tmp_path: Path) -> None:
    rows = [{"path": "a.b", "source": "Author 2020"}, {"path": "a.c", "source": sources.NO_SOURCE}]
    told = plain(findings.notes(folder_of(tmp_path, 4, calibrated=False, parameters=rows)))
    assert "Not calibrated yet. Of 2 parameters 1 has no source." in told and "fitted" not in told
    chosen = "Beta was picked with the observed wave in view."
    told = plain(findings.notes(folder_of(tmp_path, 4, calibrated=False, parameters=rows[:1], chosen=chosen)))
    assert f"{chosen} Each parameter cites its source." in told
    assert "Not calibrated" not in plain(findings.notes(folder_of(tmp_path, 4, calibrated=True)))
