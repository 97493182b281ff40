"""Agents find their archetype in a finished table: exact groups by their values, clusters by the nearest."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lpm.archetypes.clustering import groups, mixed
from lpm.archetypes.membership import members
from lpm.errors import InputError


@pytest.fixture(scope="module")
def people() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "age": pl.Series(rng.choice(["young", "old"], 500), dtype=pl.Enum(["young", "old"])),
            "place": rng.choice(["north", "south", "west"], 500),
            "income": np.exp(rng.normal(10, 1, 500)),
        }
    )


def test_groups_are_found_by_their_values(people: pl.DataFrame) -> None:
    made = groups(people, ("age", "place"))
    np.testing.assert_array_equal(members(people, made.archetypes, ("age", "place")), made.of_agent)
    again = people.sample(fraction=1, shuffle=True, seed=2)
    found = made.archetypes[members(again, made.archetypes, ("age", "place"))]
    assert found["place"].to_list() == again["place"].to_list()
    assert found["age"].cast(pl.String).to_list() == again["age"].cast(pl.String).to_list()


def test_people_of_no_group_are_counted_and_named(people: pl.DataFrame) -> None:
    made = groups(people.filter(pl.col("place") != "west"), ("age", "place"))
    missing = int((people["place"] == "west").sum())
    with pytest.raises(InputError, match=rf"{missing} of 500 agents belong to no archetype .*place = west"):
        members(people, made.archetypes, ("age", "place"))
    with pytest.raises(InputError, match="column of the archetypes 'income'"):
        members(people, made.archetypes, ("age", "income"))


def test_clusters_take_the_nearest_by_a_distance_that_is_written_out(people: pl.DataFrame) -> None:
    made = mixed(people, ("age", "place", "income"), 7, seed=1).archetypes
    share = made["weight"].to_numpy() / made["weight"].sum()
    income, within = made["income"].to_numpy(), made["income.sd"].to_numpy()
    spread = np.sqrt(share @ (within**2 + (income - share @ income) ** 2))
    np.testing.assert_allclose(spread, np.std(people["income"].to_numpy()), rtol=1e-6)  # the law of total variance
    nearest = []
    for age, place, money in people.iter_rows():
        apart = [
            (str(a["age"]) != str(age)) + (a["place"] != place) + ((a["income"] - money) / spread) ** 2
            for a in made.iter_rows(named=True)
        ]
        nearest.append(int(np.argmin(apart)))
    np.testing.assert_array_equal(members(people, made, ("age", "place", "income")), nearest)
