"""What the first screen claims: signs, intervals in per cent and in people, no direction that may be chance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.effects import effects
from lpm.report import figures, findings, sections, tables, weekly
from lpm.report.folder import Folder, read_folder
from lpm.results import Trajectory, join, write_bytes, write_frame

Writer = Callable[..., Path]
START = date(2020, 2, 29)
CLAIMS = ("averted", "added", "averts", "costs", "lowers", "raises")


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split()).replace("\u202f", " ")


def folder_of(path: Path, arms: dict[str, list[list[float]]], **run: Any) -> Folder:
    """Return a folder of daily deaths, one list a seed."""
    frame = join(
        Trajectory(arm, seed, ("all",), {"deaths": np.array(days)[:, None]}, START).to_frame()
        for arm, seeds in arms.items()
        for seed, days in enumerate(seeds)
    )
    write_frame(path / "trajectory.parquet", frame)
    write_frame(path / "effects.parquet", effects(frame, {"deaths": "flow"}))
    about = {"metrics": {"deaths": {"title": "Deaths", "unit": "people", "kind": "flow"}}, "start": str(START)}
    write_bytes(path / "run.json", json.dumps(about | run).encode())
    return read_folder(path)


BASE = [[1000.0, 900.0], [1010.0, 950.0], [990.0, 920.0], [1005.0, 910.0]]
FEWER = [[500.0, 450.0], [500.0, 470.0], [505.0, 450.0], [500.0, 455.0]]
MIXED = [[1400.0, 900.0], [700.0, 950.0], [1300.0, 920.0], [600.0, 910.0]]


def test_an_effect_that_is_clear_has_sign_and_interval_in_per_cent_and_in_people(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"base": BASE, "fewer": FEWER, "more": [[2 * v for v in seed] for seed in BASE]})
    text, cards = plain(findings.key_findings(folder)), plain(findings.cards(folder))
    row = folder.effect("fewer", "deaths", "total")
    assert row is not None
    per_cent = [f"{100 * row[key] / row['baseline_mean']:.0f}".replace("-", "\u2212") for key in ("low", "high")]
    assert f"95 % interval {per_cent[0]} % to {per_cent[1]} %" in text
    assert re.search(r"fewer averts [\d,]+ deaths \(\u2212\d+ %", text)
    assert re.search(r"more costs [\d,]+ more deaths \(\+100 %", text)
    assert "Deaths averted fewer" in cards and "Deaths added more" in cards


def test_no_direction_is_claimed_where_the_interval_contains_0(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"base": BASE, "mixed": MIXED, "same": BASE})
    row = folder.effect("mixed", "deaths", "total")
    assert row is not None and row["low"] < 0 < row["high"]
    text, cards = plain(findings.key_findings(folder)), plain(findings.cards(folder))
    for told in (text, cards):
        assert "cannot be told apart from chance with 4 seeds" in told
        assert not any(word in told for word in CLAIMS), told
    assert "same does not change deaths in total" in text
    assert "the same in every seed" in cards
    assert 'class="unsure"' in tables.effect_tables(folder)


def test_an_end_that_cannot_happen_is_called_so(tmp_path: Path) -> None:
    wild = [[0.0, 0.0], [4000.0, 0.0], [0.0, 0.0], [3000.0, 0.0]]
    assert "cannot happen" in plain(findings.key_findings(folder_of(tmp_path, {"base": BASE, "wild": wild})))
    assert "cannot happen" not in plain(findings.key_findings(folder_of(tmp_path, {"base": BASE, "fewer": FEWER})))


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_have_neither_interval_nor_band_nor_claim(tmp_path: Path, seeds: int) -> None:
    folder = folder_of(tmp_path, {"base": BASE[:seeds], "fewer": FEWER[:seeds]})
    drawn = figures.data(folder)
    told = [findings.key_findings(folder), findings.cards(folder), findings.notes(folder)]
    told += [sections.curves(folder, drawn), sections.effects(folder, drawn)]
    for part in map(plain, told):
        assert "too few seeds for an interval" in part
        assert "95 %" not in part
    assert not any(word in plain(told[0] + told[1]) for word in CLAIMS)
    assert all(len(row) == 1 for row in drawn["curves"]["lines"]["deaths"]["0"])  # the mean alone
    assert drawn["totals"]["values"]["deaths"]["0"][1][2:] == [None, None]
    assert pl.read_parquet(tmp_path / "effects.parquet")["low"].null_count() == (0 if seeds == 2 else 8)


def test_three_seeds_have_an_interval(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"base": BASE[:3], "fewer": FEWER[:3]})
    assert folder.banded and "95 % interval" in plain(findings.cards(folder))


def test_what_the_run_says_stands_under_the_heading_and_at_the_bands(tmp_path: Path) -> None:
    from lpm.report import write_report

    note = "About 2 agents <begin> it: luck."
    folder = folder_of(tmp_path, {"base": BASE}, notes=[note], title="A title")
    page = write_report(tmp_path).read_text("utf-8")
    escaped, bands = note.replace("<", "&lt;").replace(">", "&gt;"), "Mind the notes at the head"
    places = [page.index(each) for each in ("<h1>", escaped, 'class="findings"', 'id="curves"', bands)]
    assert places == sorted(places) and page.count(escaped) == 1
    assert "notice" not in findings.notice(folder_of(tmp_path, {"base": BASE}))
    assert folder.notes == [note]


def test_draws_are_told_in_plain_words() -> None:
    assert findings.drawn_from("prior") == "from their priors"
    for name in ("given:posterior.csv", "inputs/posterior.csv", "posterior.csv"):
        assert findings.drawn_from(name) == "from the file posterior.csv"


def observed(path: Path, spans: list[tuple[int, int]]) -> Folder:
    """Return a folder of four seeds beside observed figures over days `a` to `b`, both inclusive."""
    folder_of(path, {"base": [[float(day) for day in range(30)] for _ in range(4)]})
    day = pl.date(2020, 2, 29)
    table = pl.DataFrame({"a": [a for a, _ in spans], "b": [b for _, b in spans]}).select(
        metric=pl.lit("deaths"),
        start=day + pl.duration(days=pl.col("a")),
        end=day + pl.duration(days=pl.col("b")),
        group=pl.lit("all"),
        value=pl.lit(5.0),
    )
    write_frame(path / "observed.parquet", table)
    return read_folder(path)


def test_part_weeks_are_not_drawn_as_weeks_and_the_days_compared_are_named(tmp_path: Path) -> None:
    folder = observed(tmp_path, [(0, 0), (1, 7), (8, 14), (15, 21), (22, 24)])
    (panel,) = weekly.weekly(folder)
    assert panel["x"] == ["2020-03-01", "2020-03-08", "2020-03-15"]
    assert panel["days"] == 7
    assert panel["arms"][0][1] == [sum(range(a, a + 7)) for a in (1, 8, 15)]
    told = weekly.in_words(folder)
    for phrase in ("from 1 Mar 2020 to 21 Mar 2020", "29 Feb 2020; 22 Mar 2020 to 24 Mar 2020", "counted in the error"):
        assert phrase in told
    assert "29 Feb 2020 to 24 Mar 2020" in plain(tables.score_table(folder))
    whole = observed(tmp_path, [(1, 7), (8, 14)])
    assert "Not drawn" not in weekly.in_words(whole)
    assert "1 Mar 2020 to 14 Mar 2020" in plain(tables.score_table(whole))


def test_r_is_grey_where_few_agents_are_infected(tmp_path: Path) -> None:
    infections = np.concatenate([np.full(20, 5000.0), np.full(20, 500.0)])[:, None]
    values = {"cases": infections, "r": np.ones((40, 1))}
    frame = join(Trajectory("base", seed, ("all",), values, START).to_frame() for seed in range(3))
    write_frame(tmp_path / "trajectory.parquet", frame)
    metrics = {"cases": {"kind": "flow"}, "r": {"kind": "reproduction", "of": ["cases"]}}
    for weight, wanted in ((10.0, [[26, 40]]), (1.0, []), (100.0, [[0, 40]])):
        write_bytes(tmp_path / "run.json", json.dumps({"metrics": metrics, "weight": weight}).encode())
        folder = read_folder(tmp_path)
        drawn = figures.data(folder)
        assert drawn["curves"]["noisy"]["r"]["0"] == [wanted]
        assert ("R(t) is grey" in sections.curves(folder, drawn)) == bool(wanted)
