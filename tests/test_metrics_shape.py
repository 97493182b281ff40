"""Metrics of the shape of a column, against plain numpy on random weighted people with absentees, and closed forms."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lpm import histograms, statistic
from lpm.errors import InputError
from lpm.metrics import Metric, recorder
from lpm.population import WEIGHT_UNIT, Column, Population

from .counted import COLUMNS, SIZE, Counted, group_masks, people

BINS = 40
BY = ("place", "sex")
AT = (0.0, 0.05, 0.25, 0.5, 0.95, 1.0)

METRICS = (
    Metric("spread", "variance", "opinion", by=BY),
    Metric("spread of children", "variance", "children"),
    Metric("poles", "bimodality", "opinion", by=BY),
    Metric("opinions", "histogram", "opinion", by=("place",), bins=BINS),
    Metric("levels", "quantiles", "opinion", by=BY, bins=BINS, at=AT),
    Metric("moods", "quantiles", "mood", bins=BINS, range=(-5, 11), at=(0.5,)),
    Metric("polarization", "esteban_ray", "opinion", by=("place",), bins=BINS),
    Metric("clusters", "clusters", "opinion", by=("place",), epsilon=0.1),
    Metric("inequality", "gini", "wealth", by=BY),
)


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted(METRICS)


@pytest.fixture(scope="module")
def told(counted: Counted) -> dict[str, dict[str, float]]:
    return counted(people())


def chosen(by: tuple[str, ...], column: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (group, weights, values in float64) of those who are in it."""
    population = people()
    return [
        (name, population.columns["weight"][mask] / WEIGHT_UNIT, population.columns[column][mask].astype(np.float64))
        for name, mask in group_masks(population, by).items()
    ]


def moment(weight: np.ndarray, values: np.ndarray, power: int) -> float:
    mean = np.average(values, weights=weight)
    return float(np.average((values - mean) ** power, weights=weight))


def test_variance_is_that_of_the_people(told: Any) -> None:
    for group, weight, values in chosen(BY, "opinion"):
        # a unit is at most 2^-21: it moves the variance by at most 2 sigma unit + unit^2
        assert told["spread"][group] == pytest.approx(moment(weight, values, 2), abs=2**-21)
    weight, values = chosen((), "children")[0][1:]
    assert told["spread of children"]["all"] == pytest.approx(moment(weight, values, 2), rel=1e-12)  # whole numbers
    assert math.isnan(told["spread of children"]["sex=f"])  # not declared by sex


def test_bimodality_is_from_the_moments_of_the_people(told: Any) -> None:
    for group, weight, values in chosen(BY, "opinion"):
        m2, m3, m4 = (moment(weight, values, power) for power in (2, 3, 4))
        assert told["poles"][group] == pytest.approx((m3**2 / m2**3 + 1) / (m4 / m2**2), abs=2e-3)


def test_a_narrow_spread_is_not_lost(counted: Counted) -> None:
    opinion = (0.7 + 1e-4 * np.random.default_rng(3).standard_normal(SIZE)).astype(np.float32)
    population = people(opinion=opinion)
    here, weight = population.columns["present"], population.columns["weight"]
    wanted = moment(weight[here] / WEIGHT_UNIT, opinion[here].astype(np.float64), 2)
    assert counted(population)["spread"]["all"] == pytest.approx(wanted, rel=1e-3)


def test_histograms_hold_people(told: Any) -> None:
    edges = np.linspace(-1, 1, BINS + 1).astype(np.float32)
    names = [f"opinions.bin{number:02d}" for number in range(BINS)]
    for group, weight, values in chosen(("place",), "opinion"):
        wanted, _ = np.histogram(values, bins=edges, weights=weight)
        np.testing.assert_allclose([told[name][group] for name in names], wanted, rtol=1e-12)
    assert sum(told[name]["all"] for name in names) == pytest.approx(told["people"]["all"], rel=1e-12)
    assert math.isnan(told[names[0]]["sex=f"])


def test_a_value_on_an_edge_is_in_the_upper_bin() -> None:
    bins = histograms.Histogram("x", 10, 0.0, 1.0)
    edges = bins.edges
    below, above = np.nextafter(edges, np.float32(-9)), np.nextafter(edges, np.float32(9))
    for values in (edges, below, above, np.array([-7.0, 7.0], np.float32)):
        wanted = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, 9)
        assert np.array_equal(np.asarray(bins.bin_of(jnp.asarray(values))), wanted)


def plain_quantile(weight: np.ndarray, values: np.ndarray, at: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = weight[order].cumsum() >= at * weight.sum() * (1 - 1e-12)
    return float(values[order][reached.argmax()])


def test_quantiles_are_off_by_a_bin_at_most(told: Any) -> None:
    for group, weight, values in chosen(BY, "opinion"):
        for at, text in zip(AT, ("00", "05", "25", "50", "95", "100"), strict=True):
            assert abs(told[f"levels.q{text}"][group] - plain_quantile(weight, values, at)) <= 2 / BINS + 1e-7
    weight, values = chosen((), "mood")[0][1:]
    assert abs(told["moods.q50"]["all"] - plain_quantile(weight, values, 0.5)) <= 16 / BINS + 1e-7


def test_quantiles_are_linear_within_a_bin() -> None:
    bins = histograms.Histogram("x", 4, 0.0, 4.0)
    counts = np.array([[0, 30, 10, 0], [0, 0, 0, 0]])
    values = [histograms.quantile(counts, bins, at) for at in (0.0, 0.375, 0.75, 0.875, 1.0)]
    assert [value[0] for value in values] == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert all(math.isnan(value[1]) for value in values)


def test_polarization_is_the_double_sum(told: Any) -> None:
    edges = np.linspace(-1, 1, BINS + 1).astype(np.float32)
    for group, weight, values in chosen(("place",), "opinion"):
        share = np.histogram(values, bins=edges, weights=weight)[0] / weight.sum()
        total = 0.0
        for i in range(BINS):
            for j in range(BINS):
                total += share[i] ** 2.3 * share[j] * abs(i - j) / (BINS - 1)
        assert told["polarization"][group] == pytest.approx(2**2.3 * total, rel=1e-12)


def plain_clusters(weight: np.ndarray, values: np.ndarray, epsilon: float, mass: float) -> int:
    order = np.argsort(values)
    parts = np.split(weight[order], np.flatnonzero(np.diff(values[order]) > epsilon) + 1)
    return sum(part.sum() >= mass * weight.sum() for part in parts)


def test_clusters_are_parted_by_gaps_and_have_mass(counted: Counted) -> None:
    """Opinions in the middles of bins, so that gaps are known exactly; few of them lie apart."""
    chance = np.random.default_rng(8)
    for seed in range(12):
        width, centres = 2 / histograms.FINE, histograms.Histogram("x", histograms.FINE, -1, 1).centres
        # gaps of whole bins, not of 0.1: whether that is above epsilon depends on the last bit
        starts = np.sort(chance.choice(np.arange(0, histograms.FINE - 8, 15), 5, replace=False))
        rare = chance.random(SIZE) < 0.004
        place = starts[chance.integers(0, 3, SIZE)] + chance.integers(0, 5, SIZE)
        place = np.where(rare, starts[chance.integers(3, 5, SIZE)], place)
        population = people(seed, opinion=centres[place].astype(np.float32))
        told = counted(population)["clusters"]
        for group, mask in group_masks(population, ("place",)).items():
            weight = population.columns["weight"][mask] / WEIGHT_UNIT
            wanted = plain_clusters(weight, centres[place][mask], 0.1 + width / 4, 0.01)
            assert told[group] == wanted, (seed, group)


def plain_gini(weight: np.ndarray, values: np.ndarray) -> float:
    gaps = np.abs(values[:, None] - values[None, :]) * weight[:, None] * weight[None, :]
    return float(gaps.sum() / (2 * weight.sum() * (weight * values).sum()))


def test_gini_is_short_by_what_is_unequal_within_bins(told: Any) -> None:
    for group, weight, values in chosen(BY, "wealth"):
        exact, width = plain_gini(weight, values), 50 / histograms.FINE
        share = np.histogram(values, bins=histograms.FINE, range=(0, 50), weights=weight)[0] / weight.sum()
        bound = width * (share**2).sum() / (4 * np.average(values, weights=weight))
        assert -1e-9 <= exact - told["inequality"][group] <= bound + 1e-6
        assert bound < 0.005


def test_two_equal_poles_are_as_polarized_as_can_be(counted: Counted) -> None:
    half = np.arange(SIZE) % 2 == 0
    ones = np.full(SIZE, WEIGHT_UNIT, np.uint32)
    present = np.arange(SIZE) < SIZE - 1  # as many on either side
    ends = np.where(half, -1, 1).astype(np.float32)
    told = counted(people(opinion=ends, weight=ones, present=present))
    assert told["spread"]["all"] == 1.0 and told["poles"]["all"] == 1.0
    assert told["polarization"]["all"] == pytest.approx(1.0, abs=1e-12) and told["clusters"]["all"] == 2
    # a share p on one side: skewness^2 = (1 - 2 p)^2 / (p q), kurtosis = 1 / (p q) - 3, so the coefficient is 1 again
    part = np.arange(SIZE) < (SIZE - 1) // 4
    told = counted(people(opinion=np.where(part, -1, 1).astype(np.float32), weight=ones, present=present))
    p = part.sum() / present.sum()
    assert told["poles"]["all"] == pytest.approx(1.0, abs=1e-12)
    assert told["spread"]["all"] == pytest.approx(4 * p * (1 - p), rel=1e-12)
    esteban_ray = 2**2.3 * (p**2.3 * (1 - p) + (1 - p) ** 2.3 * p)
    assert told["polarization"]["all"] == pytest.approx(esteban_ray, rel=1e-12)
    # an even spread: bimodality 5/9, and no polarization like that of poles; all the same: nothing to be bimodal
    told = counted(people(opinion=np.linspace(-1, 1, SIZE - 1).tolist() + [0.0], weight=ones, present=present))
    assert told["poles"]["all"] == pytest.approx(5 / 9, abs=1e-3) and told["polarization"]["all"] < 0.5
    told = counted(people(opinion=np.full(SIZE, 0.3, np.float32), weight=ones))
    assert told["spread"]["all"] == 0 and math.isnan(told["poles"]["all"]) and told["polarization"]["all"] == 0
    assert told["clusters"]["all"] == 1


def test_no_histogram_is_more_polarized_than_two_equal_poles() -> None:
    chance = np.random.default_rng(5)
    for concentration in (0.02, 0.1, 1.0):
        share = chance.dirichlet(np.full(12, concentration), 4_000)
        values = histograms.esteban_ray((share * 1e12).astype(np.int64), histograms.ALPHA)
        assert values.max() <= 1 and values.min() >= 0


def test_four_devices_count_to_the_bit_as_one(counted: Counted) -> None:
    population = people(4)
    one, four = counted.sums(population), Counted(METRICS, shards=4).sums(population)
    assert one.keys() == four.keys()
    for name, sums in one.items():
        assert np.array_equal(sums, four[name]), name


def test_many_cells_are_counted_as_few(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    population, few = people(4), statistic.FEW
    one = counted.sums(population)
    monkeypatch.setattr(statistic, "FEW", 0)
    many = Counted(METRICS).sums(population)
    assert counted.recorder.cells < few
    for name, sums in one.items():
        assert np.array_equal(sums, many[name]), name


def test_absent_agents_count_nowhere_and_an_empty_group_has_no_value(counted: Counted) -> None:
    population = people(6)
    here = population.columns["present"] & (population.columns["place"] != 2)
    changed = np.where(here, population.columns["opinion"], 1).astype(np.float32)
    one, two = counted(people(6, present=here)), counted(people(6, present=here, opinion=changed))
    for name, values in one.items():
        assert {g: str(v) for g, v in values.items()} == {g: str(v) for g, v in two[name].items()}
    for name in ("spread", "poles", "levels.q50", "polarization", "clusters", "inequality", "opinions.bin03"):
        assert math.isnan(one[name]["place=south"]) and not math.isnan(one[name]["place=north"])


def test_sums_stay_exact_for_many_people() -> None:
    """A tenth of a billion people at the bounds: every sum of 64 bits is used up to its last but one."""
    size = SIZE
    schema = Population.build(1, COLUMNS, {}).schema
    ends = np.where(np.arange(size) % 2 == 0, -1, 1).astype(np.float32)
    population = people(opinion=ends, weight=np.full(size, 2**32 - 1, np.uint32), present=np.arange(size) < size - 1)
    made = Counted(METRICS[:3])
    made.recorder = recorder(METRICS[:3], schema, people=65_536.0 * size)
    told = made(population)
    assert told["spread"]["all"] == 1.0 and told["poles"]["all"] == 1.0


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Metric("x", "variance", "place"), "expected a column with one number an agent, got 'place'"),
        (Metric("x", "bimodality", "mood"), "column 'mood' needs bounds"),
        (Metric("x", "variance", "opinoin"), "unknown column 'opinoin'; did you mean 'opinion'"),
        (Metric("x", "histogram", "mood", bins=20), "column 'mood' needs bounds"),
        (Metric("x", "histogram", "opinion", bins=1), "at least 2 bins"),
        (Metric("x", "histogram", "opinion", bins=20, range=(1, 0)), "at least 2 bins over a range"),
        (Metric("x", "clusters", "opinion", epsilon=0.001), "expected at least 2000 bins"),
        (Metric("x", "gini", "opinion"), "never negative"),
        (Metric("x", "histogram", "opinion", bins=400_000, by=BY), "declare fewer bins or groups"),
        (Metric("x", "histogram", "opinion", bins=100, range=(1, 1.000001)), "narrower than float32"),
        (Metric("x", "variance", "downloads", table="items"), "a Gini coefficient only"),
    ],
)
def test_what_does_not_suit_a_metric_is_said(metric: Metric, words: str) -> None:
    schema = {column.name: column for column in COLUMNS}
    with pytest.raises(InputError, match=words):
        recorder((metric,), schema)


def test_columns_of_vectors_are_named_for_people() -> None:
    many = Metric("opinions", "histogram", "opinion", bins=120).columns
    assert (many[3], many[119]) == ("opinions.bin003", "opinions.bin119")
    levels = Metric("x", "quantiles", "opinion", at=(0.0, 0.025, 0.05, 1 / 3, 0.5, 1.0)).columns
    assert levels == ("x.q00", "x.q025", "x.q05", "x.q333333333333", "x.q50", "x.q100")


def test_a_column_may_be_wide_or_whole() -> None:
    wide = Column("wide", "uint32", "wide", bounds=(0, 2**32 - 1))
    schema = {column.name: column for column in (*COLUMNS, wide)}
    assert recorder((Metric("x", "bimodality", "wide"), Metric("y", "gini", "wide")), schema).cells == 1
