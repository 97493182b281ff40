"""Metrics of ties and of table rows, against plain numpy over the arcs, and known values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.metrics import Metric
from lpm.network import Network
from lpm.ops.dispatch import using
from lpm.population import WEIGHT_UNIT, Population

from .conftest import graph
from .counted import SIZE, Counted, group_masks, people

METRICS = (
    Metric("mixed", "cross_cutting", "opinion", layer="follows", by=("place",)),
    Metric("mixed about a half", "cross_cutting", "opinion", layer="follows", middle=0.5),
    Metric("mixed places", "cross_cutting", "place", layer="follows", by=("sex",)),
    Metric("mixed moods", "cross_cutting", "mood", layer="follows"),
    Metric("alike", "assortativity", "opinion", layer="follows", by=("place", "sex")),
    Metric("alike in children", "assortativity", "children", layer="follows"),
    Metric("alike in place", "assortativity", "place", layer="follows", by=("sex",)),
    Metric("alike friends", "assortativity", "opinion", layer="friends"),
    Metric("friends in place", "assortativity", "place", layer="friends"),
    Metric("inequality", "gini", "downloads", table="items"),
)


def followers(seed: int = 5) -> Network:
    """Return a directed network of unequal rows, empty ones among them, whose ends tend to share a place."""
    chance = np.random.default_rng(seed)
    place = people().columns["place"]
    rows: list[np.ndarray] = []
    for row in range(SIZE):
        theirs = chance.choice(SIZE, chance.integers(0, 12), replace=False)
        rows.append(np.sort(theirs[(place[theirs] == place[row]) | (chance.random(len(theirs)) < 0.5)]))
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Network(SIZE, indptr, np.concatenate(rows).astype(np.int32)).check("followers")


def networks() -> dict[str, Network]:
    return {"follows": followers(), "friends": graph("erdos-renyi", SIZE, mean_degree=6.0)}


def items(seed: int = 1, rows: int = 150) -> dict[str, dict[str, Any]]:
    counts = (10 ** np.random.default_rng(seed).uniform(0, 9.6, rows)).astype(np.uint32)
    return {"items": {"downloads": counts}}


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted(METRICS, networks=networks())


@pytest.fixture(scope="module")
def told(counted: Counted) -> dict[str, dict[str, float]]:
    return counted(people(), items())


def arcs(population: Population, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, receiving end and other end of every arc whose ends are present and whose row is in the mask."""
    network = followers()
    rows = np.repeat(np.arange(SIZE), network.degrees())
    kept = mask[rows] & population.columns["present"][network.indices]
    rows, theirs = rows[kept], network.indices[kept]
    return population.columns["weight"][rows] / WEIGHT_UNIT, rows, theirs


def test_cross_cutting_ties_join_either_side(told: Any) -> None:
    population = people()
    opinion, place = population.columns["opinion"].astype(float), population.columns["place"]
    for name, by, x in (("mixed", ("place",), opinion), ("mixed about a half", (), opinion - 0.5),
                        ("mixed moods", (), population.columns["mood"])):  # fmt: skip
        for group, mask in group_masks(population, by).items():
            weight, rows, theirs = arcs(population, mask)
            wanted = (weight * (np.sign(x[rows]) * np.sign(x[theirs]) < 0)).sum() / weight.sum()
            assert told[name][group] == pytest.approx(wanted, rel=1e-12), (name, group)
    for group, mask in group_masks(population, ("sex",)).items():
        weight, rows, theirs = arcs(population, mask)
        wanted = (weight * (place[rows] != place[theirs])).sum() / weight.sum()
        assert told["mixed places"][group] == pytest.approx(wanted, rel=1e-12)
    assert math.isnan(told["mixed places"]["place=north"]) and math.isnan(told["mixed moods"]["place=north"])


def test_assortativity_is_the_correlation_over_arcs(told: Any) -> None:
    population = people()
    for name, by, column in (("alike", ("place", "sex"), "opinion"), ("alike in children", (), "children")):
        values = population.columns[column].astype(np.float64)
        for group, mask in group_masks(population, by).items():
            weight, rows, theirs = arcs(population, mask)
            x, y = values[rows], values[theirs]
            x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
            wanted = (weight * x * y).sum() / math.sqrt((weight * x * x).sum() * (weight * y * y).sum())
            # a value is off by 2^-22 at most, an opinion's spread is 0.3
            assert told[name][group] == pytest.approx(wanted, abs=4e-6), (name, group)
    assert 0.1 < told["alike"]["all"] < 0.9 and abs(told["alike in children"]["all"]) < 0.1


def test_assortativity_of_levels_is_newmans(told: Any) -> None:
    population = people()
    place = population.columns["place"]
    for group, mask in group_masks(population, ("sex",)).items():
        weight, rows, theirs = arcs(population, mask)
        share = np.zeros((3, 3))
        np.add.at(share, (place[theirs], place[rows]), weight)
        share /= weight.sum()
        chance = (share.sum(0) * share.sum(1)).sum()
        assert told["alike in place"][group] == pytest.approx((np.trace(share) - chance) / (1 - chance), rel=1e-10)


def test_gini_of_table_rows_is_exact(counted: Counted, told: Any) -> None:
    counts = items()["items"]["downloads"].astype(object)
    apart = sum(abs(a - b) for a in counts for b in counts)
    assert told["inequality"]["all"] == apart / (2 * len(counts) * sum(counts))
    assert math.isnan(told["inequality"]["place=north"])
    none = np.zeros(150, np.uint32)
    assert math.isnan(counted(people(), {"items": {"downloads": none}})["inequality"]["all"])
    one = none.copy()
    one[7] = 4_000_000_000  # one song has it all: (n - 1) / n
    assert counted(people(), {"items": {"downloads": one}})["inequality"]["all"] == pytest.approx(149 / 150, rel=1e-15)
    same = np.full(150, 4_000_000_000, np.uint32)
    assert counted(people(), {"items": {"downloads": same}})["inequality"]["all"] == 0


def test_ties_within_and_across_two_camps(counted: Counted) -> None:
    """Camps by place: opinions of a camp are one value, so that being alike in opinion is being alike in place."""
    place = people().columns["place"] % 2
    opinion = np.where(place == 0, -0.5, 0.25).astype(np.float32)
    told = counted(people(place=place, opinion=opinion), items())
    assert told["mixed"]["all"] == told["mixed places"]["all"]
    # of mutual ties of equal weight between two values, the correlation is the coefficient of levels
    ones = np.full(SIZE, WEIGHT_UNIT, np.uint32)
    even = counted(people(place=place, opinion=opinion, weight=ones), items())
    assert even["alike friends"]["all"] == pytest.approx(even["friends in place"]["all"], abs=1e-12)
    assert abs(even["alike friends"]["all"]) < 0.1
    neutral = counted(people(opinion=np.zeros(SIZE, np.float32)), items())
    assert neutral["mixed"]["all"] == 0 and math.isnan(neutral["alike"]["all"])


@pytest.mark.full
@pytest.mark.parametrize(("shards", "backend"), [(4, "auto"), (1, "xla")])
def test_devices_and_backends_count_to_the_bit_as_one(counted: Counted, shards: int, backend: str) -> None:
    population = people(4)
    one = counted.sums(population, items())
    with using(backend):
        other = Counted(METRICS, shards, networks()).sums(population, items())
    assert one.keys() == other.keys()
    for name, sums in one.items():
        assert np.array_equal(sums, other[name]), name


def test_absent_agents_have_no_ties(counted: Counted) -> None:
    population = people()
    here = population.columns["present"]
    changed: dict[str, Any] = {
        name: np.where(here, population.columns[name], 0).astype(population.columns[name].dtype)
        for name in ("opinion", "place", "children", "mood")
    }
    one, two = counted.sums(population, items()), counted.sums(people(**changed), items())
    for name, sums in one.items():
        if name.split(":")[0] in ("cross-cutting", "assortativity"):  # cells of the absent hold nobody
            assert np.array_equal(sums, two[name]), name


def test_what_has_no_ties_is_said() -> None:
    metric = Metric("mixed", "cross_cutting", "opinion", layer="follows")
    with pytest.raises(InputError, match="unknown layer 'follows'; there are: others"):
        Counted((metric,), networks={"others": followers()})(people())
    with pytest.raises(InputError, match="'follows' is complete mixing"):
        Counted((metric,), networks={"follows": graph("complete", SIZE, contacts=2.0)})(people())
    gini = Metric("inequality", "gini", "downloads", table="items")
    for tables, words in (
        ({}, "unknown table 'items'"),
        ({"items": {"downlods": np.zeros(3, np.uint32)}}, "unknown column 'downloads'; did you mean 'downlods'"),
        ({"items": {"downloads": np.zeros(3, np.float32)}}, "expected one count a row, got float32"),
        ({"items": {"downloads": np.zeros(5_000, np.uint32)}}, "at most 4096 rows, got 5000"),
    ):
        with pytest.raises(InputError, match=words):
            Counted((gini,))(people(), tables)
