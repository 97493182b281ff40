"""The notebook on revised estimates: its measures and networks on made-up people, and the real task where data are."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOK = NOTEBOOKS / "05_opinion_update.py"
sys.path.insert(0, str(NOTEBOOKS))

from opinion_update import measures as told  # noqa: E402
from opinion_update.simulation import Experiments, network  # noqa: E402
from opinion_update.studies import CONDITIONS, People, people, read, split  # noqa: E402


def crowd(size: int = 8) -> People:
    """Return one group of `size` people for every condition, on one question each; the first of it is the hub."""
    generator, count = np.random.default_rng(1), len(CONDITIONS)
    condition = np.repeat(np.arange(count), size)
    answers = generator.normal(0, 1, (count * size, 3)).astype(np.float32).astype(np.float64)
    ones = np.ones(count * size)
    return People(
        answers, 0.5 * ones, 0.7 * ones, condition, condition, condition, np.arange(count * size),
        np.arange(count * size) % size == 0,
    )  # fmt: skip


@pytest.mark.parametrize("size", [7, 8])
def test_medians_and_means_by_cell_are_those_of_numpy(size: int):
    values, cell = np.random.default_rng(2).normal(0, 30, (3, 40)), np.random.default_rng(3).integers(0, size, 40)
    for k in range(size):
        assert np.allclose(told.medians(values, cell)[:, k], np.median(values[:, cell == k], 1), atol=1e-9)
        assert np.allclose(told.means(values, cell)[:, k], values[:, cell == k].mean(1))


def test_halving_every_distance_halves_the_spread_and_nobody_keeps():
    """Halfway to one's own group mean: spread 1/2, the mean stays, everybody has gone half of the way."""
    who = crowd()
    mean = told.means(who.first, who.group)[who.group]
    found = told.measures(who, np.stack([who.first, (who.first + mean) / 2]))
    for name, before, after in (("spread", 1, 0.5), ("within", 1, 0.5), ("error", 0, 0), ("kept", 1, 0)):
        assert np.allclose(found[name], np.array([before, after])[:, None], atol=1e-9), name
    for name in ("up", "down"):
        assert np.allclose(found[name][1], 0.5) and np.allclose(found[name][0], 0)


def test_networks_are_those_of_the_designs():
    who = crowd()
    seen, labels = network(who, 1), [each.label for each in CONDITIONS]
    degree = {label: seen.degrees()[who.condition == k] for k, label in enumerate(labels)}
    assert all((degree[label] == 0).all() for label in ("Lorenz no", "Gurcay C", "Becker Solo"))
    assert all((degree[label] == 8).all() for label in ("Lorenz full", "Gurcay I", "Navajas discussion"))
    assert sorted(degree["Becker Centralized"]) == [1] * 7 + [7]
    assert degree["Becker Decentralized"].max() <= 4 and degree["Becker Decentralized"].min() >= 2
    ends = np.repeat(np.arange(len(who.first)), seen.degrees())
    assert (who.group[ends] == who.group[seen.indices]).all()


def test_a_fixed_weight_is_the_direct_computation():
    who = crowd()
    after = Experiments(who, network(who, 1)).weighted(0.4)
    rows = who.condition == [each.label for each in CONDITIONS].index("Lorenz aggregated")
    plain = np.exp(who.first[rows])
    assert np.allclose(np.exp(after[0, rows]), 0.6 * plain + 0.4 * plain.mean())
    assert np.allclose(np.exp(after[1, rows]), plain.mean() + 0.6**4 * (plain - plain.mean()))
    assert np.array_equal(after[1, who.condition == 0], who.first[who.condition == 0])


def test_the_bootstrap_draws_groups():
    """Groups that are all alike leave no doubt; groups that differ do."""
    who = crowd()
    copies = 6
    alike: dict[str, Any] = {
        name: np.concatenate([getattr(who, name)] * copies)
        for name in ("answers", "truth", "doubt", "condition", "question", "central")
    }
    number = np.repeat(np.arange(copies), len(who.first))
    unit = np.concatenate([who.condition] * copies) * copies + number
    many = People(**alike, group=unit, unit=unit)
    errors = told.standard_errors(many, 8, 1, -1)
    assert max(float(np.abs(each).max()) for each in errors.values()) < 1e-9
    moved = replace(many, answers=many.answers * (1 + number[:, None] * np.array([0.0, 0.1, 0.2])))
    assert told.standard_errors(moved, 8, 1, -1)["error"][1].min() > 1e-3


def test_without_the_data_it_says_so():
    environment = {name: value for name, value in os.environ.items() if name != "LPM_DATA"}
    done = subprocess.run(
        [sys.executable, str(NOTEBOOK)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stdout.count("\n") == 1 and "LPM_DATA" in done.stdout


@pytest.fixture
def studies(data_folder: Path) -> Path:
    """The folder of the four experiments."""
    folder = data_folder / "social_influence_estimates"
    if not folder.is_dir():
        pytest.skip("LPM_DATA has no folder social_influence_estimates")
    return folder


def test_halves_share_no_group(studies: Path):
    frame = split(read(studies), 2011)
    assert frame["fit"].null_count() == 0
    units = frame.group_by("study", "condition", "unit").agg(pl.col("fit").n_unique())
    assert units["fit"].max() == 1
    first = people(frame.filter("fit"))
    seen = told.measures(first, first.later)
    assert seen["spread"][1, 1] < 0.7 < seen["spread"][1, 6]  # influence narrows, solitude does not


@pytest.mark.full
def test_the_other_half_is_predicted(studies: Path):
    """The notebook runs; lpm meets more of the 20 figures, and comes nearer, than no change and than a fixed weight."""
    environment = {
        **os.environ,
        "LPM_DATA": str(studies.parent),
        "LPM_AGENTS": "2000",
        "PYTHONPATH": str(NOTEBOOKS.parent),
    }
    done = subprocess.run(
        [sys.executable, str(NOTEBOOK)], env=environment, capture_output=True, text=True, timeout=1_200, check=False
    )
    assert done.returncode == 0, done.stderr
    scores: dict[str, tuple[int, float]] = {}
    for line in done.stdout.splitlines():
        if "within the tolerance:" in line:
            who, figures = line.split(" within the tolerance: ")
            met, off = figures.split(" of 20; mean error ")
            scores[who.strip()] = (int(met), float(off))
    assert scores["lpm"][0] >= 16 and scores["lpm"][1] < 0.10
    for naive in ("no change", "weight 0.4"):
        assert scores["lpm"][0] > scores[naive][0] and scores["lpm"][1] < scores[naive][1]
