"""Archetypes of a population: exact groups, mixed clusters against known ones, weights, tails, determinism."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lpm.archetypes.clustering import MOST, groups, mixed
from lpm.errors import InputError


def people(size: int = 4000, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": rng.choice(["young", "middle", "old"], size, p=[0.3, 0.5, 0.2]),
            "car": rng.random(size) < 0.6,
            "income": rng.lognormal(10, 0.5, size),
            "weight": rng.choice([1.0, 2.5], size),
        }
    )


def test_groups_are_the_combinations_with_their_people():
    frame = people()
    made = groups(frame, ["age", "car"])
    assert made.size == 6
    assert made.archetypes["weight"].sum() == pytest.approx(frame["weight"].sum())
    assert made.archetypes["agents"].sum() == frame.height
    assert made.archetypes["weight"].is_sorted(descending=True)
    for row in made.archetypes.iter_rows(named=True):
        mine = frame.filter(pl.Series(made.of_agent == row["archetype"]))
        assert mine["age"].unique().to_list() == [row["age"]] and mine["car"].unique().to_list() == [row["car"]]
        assert mine["weight"].sum() == pytest.approx(row["weight"]) and mine.height == row["agents"]


def test_groups_do_not_depend_on_the_order_of_agents():
    frame = people()
    order = np.random.default_rng(2).permutation(frame.height)
    one, two = groups(frame, ["age", "car"]), groups(frame[order], ["age", "car"])
    np.testing.assert_array_equal(one.of_agent[order], two.of_agent)


def test_exact_groups_keep_every_rare_profile():
    frame = pl.DataFrame({"a": ["x"] * 97 + ["y"] * 3, "b": ["u"] * 50 + ["v"] * 50})
    tails = groups(frame, ["a", "b"]).tails(frame)
    assert tails.row(by_predicate=pl.col("column") == "a", named=True)["coverage"] == 1
    row = tails.row(by_predicate=pl.col("column") == "all together", named=True)
    assert (row["rare"], row["shown"], row["coverage"]) == (1, 1, 1.0)
    assert tails.row(by_predicate=pl.col("column") == "b", named=True)["coverage"] is None


def test_one_cluster_loses_every_rare_profile():
    frame = pl.DataFrame({"a": ["x"] * 97 + ["y"] * 3, "n": np.linspace(0, 1, 100)})
    made = mixed(frame, ["a", "n"], 1)
    assert made.tails(frame)["coverage"].to_list() == [0.0, 0.0]
    assert made.archetypes.row(0, named=True)["a.share"] == pytest.approx(0.97)
    assert made.archetypes.row(0, named=True)["n.sd"] == pytest.approx(np.linspace(0, 1, 100).std())


def test_clusters_that_are_far_apart_are_found():
    """Four groups 20 standard deviations apart in a number and different in a category: found to the last agent."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 2000)
    frame = pl.DataFrame({"kind": np.array(["p", "q", "p", "q"])[truth], "x": 20.0 * truth + rng.normal(0, 1, 2000)})
    made = mixed(frame, ["kind", "x"], 4, seed=5)
    pairs = set(zip(truth.tolist(), made.of_agent.tolist(), strict=True))
    assert made.size == 4 and len(pairs) == 4
    assert (made.archetypes["x.sd"] < 1.2).all()


def test_same_seed_same_clusters_and_profiles_stay_together():
    frame = people(3000)
    one, two = (mixed(frame, ["age", "car", "income"], 12, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.of_agent, two.of_agent)
    assert one.archetypes.equals(two.archetypes)
    coarse = mixed(frame, ["age", "car"], 5, seed=7)
    together = frame.with_columns(a=pl.Series(coarse.of_agent)).group_by("age", "car").agg(pl.col("a").n_unique())
    assert together["a"].to_list() == [1] * 6


def test_as_many_clusters_as_profiles_are_the_profiles():
    frame = people()
    fine, exact = mixed(frame, ["age", "car"], 50), groups(frame, ["age", "car"])
    assert fine.size == 6
    np.testing.assert_array_equal(fine.of_agent, exact.of_agent)


def test_weights_count_as_people():
    """An agent of weight 3 is three agents: the same sums, means and shares."""
    frame = people(400).with_columns(weight=pl.Series(np.random.default_rng(4).integers(1, 4, 400)))
    copies = frame[np.repeat(np.arange(400), frame["weight"].to_numpy())].with_columns(weight=pl.lit(1.0))
    one, two = mixed(frame, ["age", "income"], 1), mixed(copies, ["age", "income"], 1)
    for name in ("weight", "income", "income.sd", "age.share"):
        assert one.archetypes[name][0] == pytest.approx(two.archetypes[name][0])


def test_small_clusters_survive():
    """1 % of people are far from all others in two columns; 10 clusters show them."""
    rng = np.random.default_rng(6)
    rare = rng.random(5000) < 0.01
    frame = pl.DataFrame(
        {"job": np.where(rare, "diver", rng.choice(["clerk", "nurse"], 5000)), "depth": np.where(rare, 30.0, 0.0)}
    ).with_columns(noise=pl.Series(rng.normal(0, 1, 5000)))
    tails = mixed(frame, ["job", "depth", "noise"], 10, seed=1).tails(frame)
    assert tails.row(by_predicate=pl.col("column") == "job", named=True)["coverage"] > 0.99


def test_composition_tells_what_is_inside():
    frame = people()
    made = mixed(frame, ["age", "income"], 6, seed=2)
    told = made.composition(frame)
    ages = told.filter(pl.col("column") == "age").group_by("archetype").agg(pl.col("amount").sum())
    np.testing.assert_allclose(ages["amount"].to_numpy(), 1)
    mean = told.filter((pl.col("column") == "income") & (pl.col("value") == "mean")).sort("archetype")["amount"]
    np.testing.assert_allclose(mean.to_numpy(), made.archetypes["income"].to_numpy(), rtol=1e-9)


def test_people_without_weight_are_described_too():
    frame = people(50).with_columns(weight=pl.Series([0.0] * 10 + [1.0] * 40))
    made = mixed(frame, ["age", "income"], 50)
    assert made.archetypes.null_count().sum_horizontal()[0] == 0
    assert made.archetypes["income"].is_finite().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age": pl.lit(None)}, "missing"),
        ({"income": pl.lit(float("nan"))}, "NaN"),
        ({"weight": pl.lit(-1.0)}, "weight"),
        ({"weight": pl.lit(0.0)}, "some people"),
    ],
)
def test_bad_values_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        mixed(people(20).with_columns(**change), ["age", "income"], 3)


def test_bad_requests_are_refused():
    frame = people(MOST + 10)
    with pytest.raises(InputError, match="did you mean 'age'"):
        groups(frame, ["agee"])
    with pytest.raises(InputError, match="classes"):
        groups(frame, ["income"])
    with pytest.raises(InputError, match="combinations"):
        groups(frame.with_row_index("code"), ["code"])
    for k in (0, MOST + 1):
        with pytest.raises(InputError, match="archetypes, got"):
            mixed(frame, ["age"], k)
    with pytest.raises(InputError, match="describes no person"):
        groups(frame, ["weight"])
    with pytest.raises(InputError, match="different names"):
        groups(frame, [])
