"""The page of a sweep: one file, everything in it, the figures of the files, and nothing that failed passed over."""

from __future__ import annotations

import html
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from lpm.errors import InputError
from lpm.parquet import read_frame, write_frame
from lpm.sweeps import pictures, surface
from lpm.sweeps.outcome import read_outcome
from lpm.sweeps.report import write_report
from tests.sweeps import synthetic

PATHS = [
    synthetic.path("sir.beta", 0.1, 0.5, unit="1/day", meaning="how <fast> it spreads"),
    synthetic.path("sir.gamma", 0.1, 0.4, unit="1/day"),
]
ARMS = ("as it is", "masks & tests")


def wave(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """10,000 (beta - gamma / 4) infections with chance, and their share; a day of peak that is not always there."""
    size = np.clip(v[:, 0] - v[:, 1] / 4 + rng.normal(0, 0.01, len(v)), 0, None)
    day = np.where(v[:, 0] > 0.2, 30 / v[:, 0], np.nan)
    return {"infections.total": 1e4 * size, "infections.day_of_peak": day, "attack_rate.final": size}


@pytest.fixture(scope="module", autouse=True)
def few_surfaces():
    """A page with fewer and coarser surfaces is made sooner; importing what finds them is no part of a test."""
    for name in ("SALib.analyze.sobol", "SALib.sample.sobol", "sklearn.gaussian_process"):
        importlib.import_module(name)
    patch = pytest.MonkeyPatch()
    patch.setattr(pictures, "SURFACES", 1)
    patch.setattr(pictures, "CELLS", 5)
    patch.setattr(surface, "FITTED", 40)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    failed = {(4, "as it is", 1): "infections: not finite at step 7", (4, "as it is", 2): "killed"}
    groups = ("all", "age=0-17", "age=18-64")
    values = synthetic.grid(PATHS, (4, 3))
    where = tmp_path_factory.mktemp("grid")
    return synthetic.write(where, "grid", PATHS, values, wave, arms=ARMS, seeds=3, groups=groups, failed=failed)


def told(page: str) -> dict[str, Any]:
    """Return what the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def words(page: str) -> str:
    """Return the text outside scripts and styles."""
    bare = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", bare)))


def test_the_page_is_one_file_that_loads_nothing(grid):
    path = write_report(grid)
    page = path.read_text("utf-8")
    assert path == grid / "report.html" and page.startswith("<!doctype html>")
    assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="', page)
    assert "how &lt;fast&gt; it spreads" in page and "masks &amp; tests" in page
    assert not (grid / "indices.parquet").exists()


def test_every_chart_has_its_place(grid):
    page = write_report(grid).read_text("utf-8")
    data = told(page)
    for number in range(len(data["paths"])):
        assert f'id="curve-{number}"' in page
    assert [f'id="map-{n}"' in page for n in range(len(data["pairs"]))] == [True]
    for select in ("measure", "group", "arm"):
        assert f'<select id="{select}">' in page


def test_curves_of_a_grid_are_means_with_intervals_over_the_seeds(grid):
    outcome = read_outcome(grid)
    data = told(write_report(grid).read_text("utf-8"))
    values = outcome.values("masks & tests", "infections.total")
    beta = outcome.design["sir.beta"].to_numpy()
    low_line = values[beta == 0.1].mean(0)
    half = t.ppf(0.975, 2) * low_line.std(ddof=1) / np.sqrt(3)
    mean, low, high = (row[0] for row in data["curves"]["infections.total"]["0"][1][0])
    assert mean == pytest.approx(low_line.mean(), rel=1e-3)
    assert (low, high) == pytest.approx((low_line.mean() - half, low_line.mean() + half), rel=2e-3)
    cell = data["maps"]["infections.total"]["0"][1][0][0]  # rows: gamma, columns: beta
    assert cell[2][0] == pytest.approx(values[2].mean(), rel=1e-3)


def test_a_failed_run_is_a_gap_a_row_and_a_sentence(grid):
    page = write_report(grid).read_text("utf-8")
    data = told(page)
    first, other = data["curves"]["infections.total"]["0"]
    assert first[0][0][1] is None and first[1][0][1] is None  # run 4 has the second beta and the second gamma
    assert first[0][0][0] is not None and None not in other[0][0]
    assert data["maps"]["infections.total"]["0"][0][0][0][1][1] is None
    text = words(page)
    assert "2 of 72 simulations have no result" in text and "infections: not finite at step 7" in text
    assert "2 of 72 simulations. They are in no mean" in text


def test_the_findings_of_a_grid_tell_the_widest_response(grid):
    text = words(write_report(grid).read_text("utf-8"))
    assert "Along sir.beta, infections in total changes most, as a mean over the other parameters: from" in text
    assert "Along the others it changes by: sir.gamma" in text and "over 3 seeds, chance only" in text


def test_the_findings_of_a_sobol_design_tell_what_matters(tmp_path):
    design = synthetic.sobol(PATHS, 64)
    folder = synthetic.write(tmp_path, "sobol", PATHS, design, wave, arms=ARMS, seeds=3, base=64)
    page = write_report(folder).read_text("utf-8")
    text, data = words(page), told(page)
    # variances: (0.4^2, (0.3 / 4)^2) / 12: shares of 97 % and 3 %
    assert "sir.beta matters most for infections in total in the arm \u201cas it is\u201d" in text
    assert "no indices of infections.day_of_peak in arm 'as it is': it is not defined in every run" in text
    frame = read_frame(folder / "indices.parquet")
    row = frame.filter(arm=ARMS[1], metric="infections", summary="total", path="sir.gamma", index="total")
    assert data["indices"]["infections.total|0|1"]["total"][0][1] == pytest.approx(row["value"][0], rel=1e-3)
    smooth = data["smooth"]["curves"]["infections.total|0"]
    assert [len(line) for line in smooth[0]] == [pictures.POINTS] * 3
    # the curve along beta at its ends: 10,000 (beta - 0.25 / 4)
    assert smooth[0][0][0] == pytest.approx(400, abs=150) and smooth[0][0][-1] == pytest.approx(4375, abs=150)
    assert data["pairs"] == [[0, 1]] and len(data["smooth"]["maps"]["infections.total|1"][0][0]) == 5


def test_what_is_chance_is_called_chance(tmp_path):
    def chance(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"infections.total": 1000 + rng.normal(0, 10, len(v))}

    text = words(
        write_report(
            synthetic.write(tmp_path, "grid", PATHS, synthetic.grid(PATHS, (5, 4)), chance, seeds=4)
        ).read_text("utf-8")
    )
    # false-alarm rate of the sentence that it changes: at most 5 % a path (Bonferroni); the draws are seeded
    assert "infections in total does not change beyond chance" in text


def test_parameters_that_cannot_be_told_apart_are_named_together(tmp_path):
    def even(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"infections.total": ((v[:, 0] - 0.1) / 0.4) ** 2 + ((v[:, 1] - 0.1) / 0.3) ** 2}

    folder = synthetic.write(tmp_path, "sobol", PATHS, synthetic.sobol(PATHS, 16), even, base=16)
    text = words(write_report(folder).read_text("utf-8"))
    told = "cannot be told apart as what matters most (in brackets: part in the differences between runs, 95"
    assert told in text and "matters most for" not in text


def test_the_findings_of_trajectories_tell_effects(tmp_path):
    folder = synthetic.write(tmp_path, "morris", PATHS, synthetic.morris(PATHS, 12), wave, base=12)
    text = words(write_report(folder).read_text("utf-8"))
    assert "sir.beta matters most for infections in total: moved across its whole range" in text
    assert "All 36 simulations ended." in text


def test_sizes_have_a_law(tmp_path):
    paths = [synthetic.path("population.size", 1e3, 1e5, "values")]
    sizes = np.array([[1e3], [1e4], [3e4], [1e5]])

    def rule(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"infections.total": v[:, 0] * (0.5 + rng.normal(size=len(v)) * v[:, 0] ** -0.5)}

    page = write_report(synthetic.write(tmp_path / "size", "grid", paths, sizes, rule, seeds=4)).read_text("utf-8")
    law = told(page)["laws"]["infections.total|0"]
    assert law["counted"] and law["told"][1] < 0.5 < law["told"][2]
    assert "With 1,000,000 agents the sizes up to 100,000 let expect" in words(page)
    few = write_report(synthetic.write(tmp_path / "few", "grid", paths, sizes[1:], rule, seeds=4)).read_text("utf-8")
    assert "No law of sizes: scaling law: expected at least 4 sizes up to 100,000, got 3" in words(few)


def test_names_are_told_by_their_means(tmp_path):
    paths = [synthetic.path("policy.kind", None, None, "values"), PATHS[0]]
    values = np.array([[a, b] for a in (0, 1) for b in (0.1, 0.3, 0.5)])

    def rule(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"attack_rate.final": v[:, 0] + v[:, 1]}

    names = {"policy.kind": ["none", "masks <b>"]}
    page = write_report(synthetic.write(tmp_path, "grid", paths, values, rule, names=names)).read_text("utf-8")
    data = told(page)
    assert data["paths"][0]["at"] == ["none", "masks &lt;b&gt;"]
    assert data["curves"]["attack_rate.final"]["0"][0][0][0] == pytest.approx([0.3, 1.3])
    assert "too few seeds" in words(page)


def test_many_groups_keep_the_page_small(grid, monkeypatch):
    monkeypatch.setattr(pictures, "NUMBERS", 1)
    page = write_report(grid).read_text("utf-8")
    assert told(page)["groups"] == ["All"] and "1 of 3 groups" in words(page)
    monkeypatch.setattr(pictures, "NUMBERS", 1000)
    assert "2 of 3 groups" in words(write_report(grid).read_text("utf-8"))


def test_what_is_not_finished_is_told(tmp_path):
    folder = synthetic.write(tmp_path, "grid", PATHS, synthetic.grid(PATHS, (2, 2)), wave, seeds=3)
    summary = read_frame(folder / "summary.parquet")
    write_frame(folder / "summary.parquet", summary.filter(pl.col("run") < 3))
    text = words(write_report(folder).read_text("utf-8"))
    assert "3 of 12 simulations have no result: not finished (3)" in text


def test_files_that_do_not_fit_are_refused(tmp_path, grid):
    with pytest.raises(InputError, match="sweep.json: cannot be read"):
        write_report(tmp_path)
    folder = synthetic.write(tmp_path / "one", "grid", PATHS, synthetic.grid(PATHS, (2, 2)), wave)
    summary = read_frame(folder / "summary.parquet")
    write_frame(folder / "summary.parquet", summary.with_columns(arm=pl.lit("another")))
    with pytest.raises(InputError, match="another is not of the sweep of sweep.json"):
        write_report(folder)
    write_frame(folder / "summary.parquet", summary.with_columns(status=pl.lit("killed")))
    with pytest.raises(InputError, match="expected at least one run with a result, got none"):
        write_report(folder)
    with pytest.raises(InputError, match="unknown arm 'mask & tests'; did you mean 'masks & tests'"):
        read_outcome(grid).values("mask & tests", "infections.total")
