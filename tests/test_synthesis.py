"""Apportionment, permutations and the purity of the synthesis, on small tables."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.allocation import plan
from lpm.apportion import controlled_rounding, largest_remainder, proportional_fit, running
from lpm.contacts import in_bands, rebalance
from lpm.errors import InputError
from lpm.marginals import AGES, Composition, Marginals
from lpm.networks.households import Households
from lpm.population import Column, Population
from lpm.synthesis import nearby, shuffled, synthesize, weights
from lpm.types import HostArray


def village(minors: float = 0.2) -> Marginals:
    """Return the marginals of two invented boroughs."""
    ages = np.ones((2, AGES))
    ages[:, :18] *= minors / (1 - minors) * (AGES - 18) / 18
    ages[1] *= 3
    flat = np.ones(AGES)
    parents, old = np.exp(-(((np.arange(AGES) - 40) / 9) ** 2)), np.exp(-(((np.arange(AGES) - 84) / 8) ** 2))
    return Marginals(
        boroughs=("north", "south"),
        ages=ages * 1000,
        sizes=np.array(
            [[[0, 0.25, 0.15, 0.15], [0.3, 0.05, 0.05, 0.05]], [[0, 0.15, 0.15, 0.05], [0.5, 0.05, 0.05, 0.05]]]
        ),
        kinds=("alone", "with children", "couple", "others"),
        group=(1, 0, 0, 1),
        households=np.array([[300.0, 300.0, 250.0, 150.0], [500.0, 200.0, 150.0, 150.0]]),
        young=np.array([300.0, 200.0]),
        old=np.array([300.0, 300.0]),
        persons=np.array([2.3, 1.9]),
        compositions=(
            Composition("alone", "alone", 1.0, ("alone",), (1.0,)),
            Composition("couple", "couple", 0.8, ("adult", "adult"), (0.05, 0.05)),
            Composition("two adults", "others", 0.2, ("adult", "adult"), (0.05, 0.05)),
            Composition("parent and child", "with children", 0.2, ("parent", "child"), (0.05, 0.1)),
            Composition("couple and child", "with children", 0.6, ("parent", "parent", "child"), (0.05, 0.05, 0.1)),
            Composition("parent and two", "with children", 0.3, ("parent", "child", "child"), (0.05, 0.1, 0.1)),
            Composition("couple and parent", "couple", 0.4, ("adult",) * 3, (0.05,) * 3),
            Composition("three adults", "others", 0.4, ("adult",) * 3, (0.05,) * 3),
            Composition(
                "couple and two", "with children", 0.7, ("parent", "parent", "child", "child"), (0.05, 0.05, 0.1, 0.1)
            ),
            Composition("couple and parents", "couple", 0.3, ("adult",) * 4, (0.05,) * 4),
            Composition("four adults", "others", 0.3, ("adult",) * 4, (0.05,) * 4),
        ),
        roles={"alone": flat, "adult": flat, "parent": parents, "child": flat, "resident": flat},
        alone=np.where(np.arange(AGES) < 18, 0.0, 0.1 + np.arange(AGES) / 300),
        residents=np.array([400.0, 900.0]),
        resident_ages=old,
        unit=12,
    )


def test_largest_remainder_is_within_one_of_the_exact_share_and_sums_up() -> None:
    rng = np.random.default_rng(1)
    for total in (0, 1, 7, 1000, 10**9):
        w = rng.random(50) ** 4
        got = largest_remainder(w, total)
        assert got.sum() == total
        assert np.abs(got - w / w.sum() * total).max() < 1


def test_running_apportionment_keeps_every_group_of_neighbours_within_one() -> None:
    w = np.random.default_rng(2).random(85)
    got = running(w, 57)
    sums = np.concatenate([[0], np.cumsum(got - w / w.sum() * 57)])
    assert got.sum() == 57 and (got >= 0).all()
    assert np.abs(sums[:, None] - sums[None, :]).max() <= 1 + 1e-9


def test_proportional_fit_meets_both_margins_and_keeps_odds_ratios() -> None:
    rng = np.random.default_rng(3)
    prior = rng.random((6, 9)) + 0.1
    rows, columns = rng.random(6) + 0.5, rng.random(9) + 0.5
    columns *= rows.sum() / columns.sum()
    got = proportional_fit(prior, rows, columns, "here")
    assert np.allclose(got.sum(1), rows, rtol=1e-6) and np.allclose(got.sum(0), columns, rtol=1e-12)
    odds = got[1:, 1:] * got[0, 0] / (got[1:, :1] * got[:1, 1:])
    before = prior[1:, 1:] * prior[0, 0] / (prior[1:, :1] * prior[:1, 1:])
    assert np.allclose(odds, before)


def test_proportional_fit_says_when_there_is_no_such_table() -> None:
    with pytest.raises(InputError, match="here: no table"):
        proportional_fit(np.eye(2), np.array([3.0, 1.0]), np.array([1.0, 3.0]), "here")
    with pytest.raises(InputError, match="rows sum to"):
        proportional_fit(np.eye(2), np.array([3.0, 1.0]), np.array([1.0, 2.0]), "here")


@pytest.mark.parametrize("seed", range(40))
def test_controlled_rounding_meets_both_margins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.random((30, 20)) ** 3 * rng.choice([0.05, 1, 40]) * (rng.random((30, 20)) < 0.7)
    table[:, 0] += 0.01
    table[0] += 0.01
    whole = np.floor(table + rng.random(table.shape)).astype(np.int64) * (table > 0)
    rows, columns = whole.sum(1), whole.sum(0)  # margins that a whole table with these zeros has
    if not rows.sum():
        return
    exact = proportional_fit(table, rows, columns, "here")
    got = controlled_rounding(exact, rows, columns)
    assert (got.sum(1) == rows).all() and (got.sum(0) == columns).all() and (got >= 0).all()
    assert not got[exact == 0].any()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 64, 1000, 1025])
def test_shuffles_are_permutations(n: int) -> None:
    assert sorted(shuffled(i, n, 12345, 678) for i in range(n)) == list(range(n))
    for window in (0.01, 0.1, 0.34, 0.9, 1.0):
        sent = [nearby(i, n, window, 4, 5) for i in range(n)]
        assert sorted(sent) == list(range(n))
        assert max(abs(i - j) for i, j in enumerate(sent)) <= 1.5 * max(window * n, 1)


def test_a_shuffle_forgets_where_it_began() -> None:
    n = 4096
    sent = np.array([shuffled(i, n, 99, 7) for i in range(n)], np.float64)
    r = np.corrcoef(np.arange(n), sent)[0, 1]
    lag = np.corrcoef(sent[:-1], sent[1:])[0, 1]
    assert abs(r) < 5 / np.sqrt(n) and abs(lag) < 5 / np.sqrt(n)  # false alarms: 1e-6


def test_weights_sum_to_the_people_exactly() -> None:
    for people, size in ((8_336_817, 1000), (8_336_817, 999_983), (8_336_817, 8_336_817), (10, 7)):
        w = weights(people, size, (0, size))
        assert int(w.sum(dtype=np.uint64)) == people * 65_536
        assert int(w.max()) - int(w.min()) <= 1
        assert (weights(people, size, (5, 7)) == w[5:7]).all()
    with pytest.raises(InputError, match="cannot be shared"):
        weights(65_536_000, 100, (0, 100))


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_any_split_of_the_rows_gives_the_same_people_and_the_same_households(pieces: int) -> None:
    m, size = village(), 5003
    whole = synthesize(11, m, size)
    ends = [size * k // pieces for k in range(pieces + 1)]
    parts = [synthesize(11, m, size, rows=span) for span in zip(ends, ends[1:], strict=False)]
    for name, values in whole.columns.items():
        joined = np.concatenate([part.columns[name] for part in parts])
        assert joined.dtype == values.dtype and (joined == values).all(), name
    full = Households.build(3, Households.Params(), whole, (0, size))
    nets = [Households.build(3, Households.Params(), whole, span) for span in zip(ends, ends[1:], strict=False)]
    assert (np.concatenate([n.indices for n in nets]) == full.indices).all()
    assert (np.concatenate([n.columns["intensity"] for n in nets]) == full.columns["intensity"]).all()


def test_seeds_differ_and_repeat() -> None:
    m = village()
    one, again, other = (synthesize(s, m, 2000).columns["years"] for s in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    assert (np.bincount(one) == np.bincount(other)).all()  # quotas, not chance


def test_the_columns_are_as_declared() -> None:
    p = synthesize(1, village(), 1500)
    checked = Population.build(p.size, tuple(p.schema.values()), p.columns)
    assert {k: v.dtype for k, v in checked.columns.items()} == {k: v.dtype for k, v in p.columns.items()}


def test_every_quota_is_met() -> None:
    m, size = village(), 8000
    p = synthesize(5, m, size)
    made = plan(m, size)
    c = {k: v.astype(np.int64) for k, v in p.columns.items()}
    assert (np.bincount(c["borough"]) == largest_remainder(m.ages.sum(1), size)).all()
    for b in range(2):
        here = c["borough"] == b
        assert (np.bincount(c["years"][here], minlength=AGES) == running(m.ages[b], int(here.sum()))).all()
        lived = np.bincount(c["household_size"][here & (c["residence"] == 0)], minlength=5)[1:5] / np.arange(1, 5)
        assert lived.sum() == round((here.sum() - round(m.residents[b] * size / m.ages.sum())) / m.persons[b])
        first = here & (np.diff(c["household"], prepend=-1) != 0)
        kinds = np.bincount(c["household_kind"][first], minlength=5)[:4]
        assert np.abs(kinds / kinds.sum() - m.households[b] / m.households[b].sum()).max() < 1.5 / kinds.sum()
        residents = here & (c["residence"] == 1)
        assert residents.sum() == round(m.residents[b] * size / m.ages.sum())
        assert c["household_size"][residents].max() <= m.unit
    assert made.counts.sum() == len(np.unique(c["household"]))
    ends = np.flatnonzero(np.diff(c["household"], prepend=-1))
    assert (np.diff(np.append(ends, size)) == c["household_size"][ends]).all()  # members stand together
    eldest = np.maximum.reduceat(c["years"], ends)
    assert eldest.min() >= 18


def test_partners_are_near_in_age_and_children_a_generation_behind() -> None:
    p = synthesize(2, village(), 20_000)
    c = {k: v.astype(np.int64) for k, v in p.columns.items()}
    ends = np.flatnonzero(np.diff(c["household"], prepend=-1))
    family = ends[(c["household_size"][ends] == 4) & (c["years"][np.minimum(ends + 3, 19_999)] < 18)]
    gap = np.minimum(c["years"][family], c["years"][family + 1]) - c["years"][family + 3]
    assert (gap >= 14).mean() > 0.97
    assert np.abs(c["years"][family] - c["years"][family + 1]).mean() < 4


def test_marginals_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="north has .* children"):
        synthesize(1, village(minors=0.9), 1000)
    with pytest.raises(InputError, match="rows 5 to 4"):
        synthesize(1, village(), 1000, rows=(5, 4))


def reciprocity(matrix: HostArray, ages: HostArray) -> float:
    flow = ages[:, None] * matrix
    return float(np.abs(flow - flow.T).max() / flow.max())


def test_rebalanced_contacts_are_reciprocal_and_keep_the_rate_of_a_pair() -> None:
    rng = np.random.default_rng(4)
    p, q = rng.random(9) + 0.1, rng.random(9) + 0.1
    rate = rng.random((9, 9))
    rate += rate.T
    matrix = rate * p
    moved = rebalance(matrix, p * 1000, q * 7)
    assert reciprocity(moved, q) < 1e-12
    assert np.allclose(moved / (q / q.sum()), matrix / (p / p.sum()))
    assert np.allclose(rebalance(matrix, p, p), matrix)
    bands = in_bands(moved, q, (0, 2, 5))
    many = np.array([q[:2].sum(), q[2:5].sum(), q[5:].sum()])
    assert reciprocity(bands, many) < 1e-12
    assert np.isclose((many * bands.sum(1)).sum(), (q * moved.sum(1)).sum())


def test_rebalancing_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="does not fit"):
        rebalance(np.ones((3, 3)), np.ones(2), np.ones(2))
    with pytest.raises(InputError, match="above 0"):
        rebalance(np.ones((2, 2)), np.array([1.0, 0.0]), np.ones(2))


def town(household: list[int]) -> Population:
    return Population.build(
        len(household), (Column("household", "int32", "home"),), {"household": np.array(household, np.int32)}
    )


def test_everyone_of_a_household_is_tied_wherever_its_members_stand() -> None:
    net = Households.build(1, Households.Params(contacts=6.0), town([3, 1, 3, 0, 3, 1]), (0, 6)).check("here")
    rows = [net.indices[net.indptr[i] : net.indptr[i + 1]].tolist() for i in range(6)]
    assert rows == [[2, 4], [5], [0, 4], [], [0, 2], [1]]
    assert net.columns["intensity"].tolist() == [192, 192, 384, 192, 192, 192, 192, 384]


def test_contacts_of_a_large_unit_are_right_on_average_and_the_same_from_both_sides() -> None:
    n = 400
    net = Households.build(7, Households.Params(contacts=1.0), town([0] * n), (0, n))
    table = np.zeros((n, n))
    table[np.repeat(np.arange(n), net.degrees()), net.indices] = net.columns["intensity"]
    assert (table == table.T).all()
    mean = table.sum() / 64 / n  # exact: 1; pairs are 0 or 1 of 64, 79,800 draws of p = 0.16
    assert abs(mean - 1) < 5 * np.sqrt(0.16 * 0.84 / 79_800) / 0.16  # false alarms: 6e-7
