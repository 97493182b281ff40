"""Networks of a contact matrix: contacts by level, by group and by age are those that are wanted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.networks import mixing
from lpm.population import Column, Population

from .conftest import MATRIX, RARE, chi_square, made, population


def close(found: Any, wanted: Any, people: Any) -> bool:
    """Return whether mean contacts lie within 5 standard errors (ties are independent, so totals are binomial)."""
    error = np.sqrt(2 * np.maximum(wanted, 1e-12) / np.maximum(people, 1)[:, None])
    return bool((np.abs(found - wanted) <= 5 * error).all())


def test_contacts_by_level_are_those_of_the_matrix(matrix_file: str) -> None:
    people = population(50_000)
    level, counts = people.columns["level"], np.bincount(people.columns["level"], minlength=6)
    wanted, gap = mixing.reconcile(MATRIX * 1.5, counts)
    network = made("contact-matrix", 1, people, column="level", matrix=matrix_file, factor=1.5, bands="level")
    found = mixing.counted(network, level, 6)
    assert close(found, wanted, counts)
    assert found.sum(1) == pytest.approx(wanted.sum(1), rel=0.02)
    assert network.facts["reciprocity gap averaged"] == pytest.approx(gap) and not network.columns
    assert np.allclose(network.facts["mixing"]["generated"], found)
    assert np.allclose(network.facts["mixing"]["published"], wanted)
    cells = stats.poisson.pmf(np.arange(40), wanted[2].sum()) * counts[2]  # one level's degrees: nearly Poisson
    assert chi_square(np.bincount(network.degrees()[level == 2], minlength=40), cells) > RARE
    daily = made("contact-matrix", 1, people, column="level", matrix=matrix_file, factor=1.5, contacts_per_arc=3.0)
    assert (daily.columns["intensity"] == 192).all() and daily.arcs == pytest.approx(network.arcs / 3, rel=0.03)
    assert mixing.counted(daily, level, 6) == pytest.approx(wanted, rel=0.12)


def test_groups_mix_as_told_and_levels_keep_their_contacts(matrix_file: str) -> None:
    people = population(50_000)
    table = ((8.0, 1.0, 1.0), (1.0, 4.0, 2.0), (1.0, 2.0, 4.0))
    values: dict[str, Any] = {"column": "level", "matrix": matrix_file, "groups": "place"}
    network = made("contact-matrix", 1, people, **values, mixing=table)
    level, place = people.columns["level"].astype(int), people.columns["place"].astype(int)
    counts = np.bincount(level, minlength=6)
    wanted, _ = mixing.reconcile(MATRIX, counts)
    assert close(mixing.counted(network, level, 6), wanted, counts)
    met = mixing.counted(network, place, 3) * np.bincount(place)[:, None]
    odds = met[0, 0] * met[1, 1] / (met[0, 1] * met[1, 0])
    assert odds == pytest.approx(8 * 4 / (1 * 1), rel=0.05)
    for group in range(3):  # everybody of a level has the level's contacts whatever the group
        mine = place == group
        means = np.bincount(level[mine], network.degrees()[mine]) / np.bincount(level[mine])
        assert (np.abs(means - wanted.sum(1)) < 5 * np.sqrt(wanted.sum(1) / np.bincount(level[mine]))).all()


def test_commuters_meet_where_they_work(tmp_path: Path, matrix_file: str) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("home,north,south,west,outside\nnorth,10,0,10,3\nsouth,0,20,0,0\nwest,0,0,30,1\n")
    flows = mixing.read_flows(str(path), ("north", "south", "west"), "test")
    assert np.allclose(mixing.meeting(flows), [[12.5, 0, 7.5], [0, 20, 0], [7.5, 0, 22.5]])
    path.write_text("home,north,south,west\nnorth,90,5,5\nsouth,10,80,10\nwest,20,20,60\n")
    people = population(20_000)
    values: dict[str, Any] = {"column": "level", "matrix": matrix_file, "groups": "place", "commuting": str(path)}
    network = made("contact-matrix", 1, people, **values)
    met = mixing.counted(network, people.columns["place"], 3)
    assert (met.argmax(1) == np.arange(3)).all()


def test_few_agents_hold_what_their_pairs_have_room_for(matrix_file: str) -> None:
    people = population(1000)
    network = made("contact-matrix", 1, people, column="level", matrix=matrix_file, groups="place", factor=80.0)
    assert 0 < network.facts["contacts without room"] < 1
    assert made("contact-matrix", 1, people, column="level", matrix=matrix_file).facts["contacts without room"] == 0
    assert made("contact-matrix", 1, population(3), column="level", matrix=matrix_file).rows == 3


@pytest.mark.parametrize("setting", ["community", "school", "work"])
def test_published_matrices_are_reproduced_by_age(setting: str) -> None:
    if not os.environ.get("LPM_DATA"):
        pytest.skip("LPM_DATA (the folder of the published data) is not set")
    data = Path(os.environ["LPM_DATA"])
    reference = str(data / "population_nyc" / "age_distributions_New_York_state_85.csv")
    matrix = str(data / "polymod_contacts" / f"mistry2021_New_York_F_{setting}_setting_85.csv.gz")
    shares = np.loadtxt(reference, delimiter=",")[:, 1] * np.linspace(0.5, 1.5, 85)
    years = np.random.default_rng(1).choice(85, 50_000, p=shares / shares.sum())
    people = Population.build(50_000, [Column("years", "uint8", "age", unit="year")], {"years": years})
    values: dict[str, Any] = {"column": "years", "matrix": matrix, "factor": 8.0, "reference": reference}
    network = made("contact-matrix", 1, people, **values)
    from lpm.contacts import read_matrix, rebalance

    ages = np.bincount(years, minlength=85).astype(float)
    wanted = rebalance(read_matrix(matrix, "") * 8.0, read_matrix(reference, "")[:, 1], ages)
    found = mixing.counted(network, years, 85)
    error = np.sqrt(2 * wanted.sum(1) / ages)
    assert (np.abs(found.sum(1) - wanted.sum(1)) <= 5 * error + 1e-9).all()
    bands = np.minimum(years // 10, 7)
    at = mixing.counted(network, bands, 8).sum(1)
    assert at == pytest.approx(np.bincount(bands, wanted.sum(1)[years]) / np.bincount(bands), rel=0.05, abs=0.02)
    few = Population.build(1000, [Column("years", "uint8", "age", unit="year")], {"years": years[:1000]})
    assert made("contact-matrix", 1, few, **values).arcs > 0
