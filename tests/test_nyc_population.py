"""The population of nyc-covid beside every published marginal, and its households beside the published matrix."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from lpm.allocation import plan
from lpm.census import compare
from lpm.contacts import SETTINGS, read_matrix, read_square, rebalance
from lpm.errors import InputError
from lpm.marginals import AGES, BANDS, FILES, Marginals, marginals_in, read_marginals
from lpm.network import Network
from lpm.networks.households import Households
from lpm.population import Population
from lpm.synthesis import NewYork, synthesize
from lpm.types import HostArray

FOLDER = Path(__file__).parents[1] / "scenarios" / "nyc-covid"
PEOPLE = {
    "Bronx": 1_418_207,
    "Brooklyn": 2_559_903,
    "Manhattan": 1_628_706,
    "Queens": 2_253_858,
    "Staten Island": 476_143,
}
HOME = Households.Params(matrix=str(FOLDER / "contact_household.csv.gz"), reference=str(FOLDER / "contact_ages.csv"))
# Quotas, so bounds and not chances. In agents:
AGENTS = {
    "people by borough": 1.0,
    "people by borough and age": 2.0,
    "people living alone by age": 8.0,  # rounded in five boroughs, in two lists of ages each
    "people in care homes by age": 4.0,
}
# In households of the borough (an agent is one of a household, so it is the shares that are exact):
HOUSEHOLDS = {
    "share of households by borough and kind": 3.0,
    "share of households with anyone under 18": 6.0,  # a single household may change so that people and children fit
}
# In shares, or people per household; why the sizes cannot be exact is in POPULATION.md:
SHARES = {
    "people per household": 0.004,
    "share of households by borough and size": 0.04,
    "share of households with anyone of 65 and over": 0.04,  # compared, not met
}


@pytest.fixture(scope="module")
def marginals() -> Marginals:
    return marginals_in(FOLDER)


@pytest.fixture(scope="module")
def city(marginals: Marginals) -> Population:
    return synthesize(7, marginals, 40_000)


@pytest.fixture(scope="module")
def homes(city: Population) -> Network:
    return Households.build(7, HOME, city, (0, city.size)).check("households")


def starts_of(population: Population) -> HostArray:
    """Return the first agent of every household."""
    return np.flatnonzero(np.diff(population.columns["household"], prepend=-1))


def off(marginals: Marginals, population: Population) -> dict[str, float]:
    """Return the largest error of every table over what is allowed, as above."""
    worst: dict[str, float] = {}
    worth = float(marginals.ages.sum()) / population.size
    households = plan(marginals, population.size).counts[:, :-2].sum(1)
    for entry in compare(marginals, population):
        error = abs(entry.generated - entry.published)
        if entry.table in AGENTS:
            error /= worth * AGENTS[entry.table]
        elif entry.table in HOUSEHOLDS:
            b = marginals.boroughs.index(entry.level.split(",")[0])
            error *= int(households[b]) / HOUSEHOLDS[entry.table]
        else:
            error /= SHARES[entry.table]
        worst[entry.table] = max(worst.get(entry.table, 0.0), error)
    assert set(worst) == {*AGENTS, *HOUSEHOLDS, *SHARES}
    return worst


def test_the_files_hold_the_published_totals(marginals: Marginals) -> None:
    assert dict(zip(marginals.boroughs, marginals.ages.sum(1).round().astype(int).tolist(), strict=True)) == PEOPLE
    assert sum(PEOPLE.values()) == 8_336_817
    assert marginals.ages[:, 65:].sum() == pytest.approx(188_766 + 367_884 + 276_121 + 368_333 + 79_301)


def test_kinds_and_sizes_are_one_survey(marginals: Marginals) -> None:
    """ACS 2018 (1-year): DP02 counts the kinds, B11016 families and others by size; both have the same households."""
    total = np.array([507_370, 969_317, 752_258, 788_110, 167_441])  # DP02: total households
    assert (marginals.households.sum(1) == total).all() and total.sum() == 3_184_496
    families = marginals.households @ (np.array(marginals.group) == 0)
    assert families.tolist() == [323_214, 591_462, 319_832, 539_742, 118_442]
    assert marginals.sizes.sum((1, 2)) == pytest.approx(1)
    by_size = marginals.sizes.sum(2)
    assert by_size[:, 0] == pytest.approx(families / total, abs=1e-4)  # Queens: B11016 has 67 families more
    alone = marginals.households[:, [marginals.kinds.index(k) for k in ("alone under 65", "alone 65 and over")]].sum(1)
    assert alone.tolist() == [160_712, 283_076, 345_015, 192_927, 43_130]
    assert marginals.sizes[:, 1, 0] == pytest.approx(alone / total, abs=1e-4)
    assert marginals.persons == pytest.approx([2.74, 2.62, 2.08, 2.86, 2.80], abs=0.006)  # DP02: average household size


def test_all_marginals(marginals: Marginals, city: Population) -> None:
    assert {table: error for table, error in off(marginals, city).items() if error > 1} == {}


def test_kinds_of_household_are_what_their_names_say(marginals: Marginals, city: Population) -> None:
    first = starts_of(city)
    years, size = city.columns["years"], city.columns["household_size"][first]
    eldest, youngest = np.maximum.reduceat(years, first), np.minimum.reduceat(years, first)
    kind = np.array([*marginals.kinds, "care home"])[city.columns["household_kind"][first]]
    assert ((kind == "care home") == (city.columns["residence"][first] == 1)).all()
    assert (eldest[kind == "alone under 65"] < 65).all() and (eldest[kind == "alone 65 and over"] >= 65).all()
    assert (np.isin(kind, ["alone under 65", "alone 65 and over"]) == ((size == 1) & (kind != "care home"))).all()
    with_own = np.isin(kind, ["married couple with own children", "other family with own children"])
    assert (youngest[with_own] < 18).all()
    assert (youngest[kind == "nonfamily of two or more"] >= 18).all()
    assert (size[kind == "married couple with own children"] >= 3).all()


def test_the_city_has_about_as_many_households_as_the_census_counts(city: Population) -> None:
    lived = city.columns["residence"][starts_of(city)] == 0
    households = int(lived.sum()) * 8_336_817 / city.size
    assert households == pytest.approx(3_184_496, rel=0.02)  # DP02; 1.1 % more people live in households here


@pytest.mark.parametrize("size", [1000, 1001, 1999, 3500, 12_345])
def test_any_size_from_a_thousand(marginals: Marginals, size: int) -> None:
    small = synthesize(1, marginals, size)
    assert small.people == pytest.approx(8_336_817, abs=1e-3)
    worst = off(marginals, small)
    assert worst["people by borough"] <= 1.0 and worst["people by borough and age"] <= 1.0
    assert worst["share of households by borough and kind"] <= 1.0
    assert np.maximum.reduceat(small.columns["years"], starts_of(small)).min() >= 18


def test_nobody_under_16_lives_alone_and_no_child_without_an_adult(city: Population) -> None:
    years, size = city.columns["years"], city.columns["household_size"]
    assert years[size == 1].min() >= 16
    assert np.maximum.reduceat(years, starts_of(city)).min() >= 18


def test_care_homes_hold_part_of_those_over_75(marginals: Marginals, city: Population) -> None:
    residents = city.columns["residence"] == 1
    assert city.columns["years"][residents].min() >= 75
    share = residents.sum() / (city.columns["years"] >= 75).sum()
    assert share == pytest.approx(marginals.residents.sum() / marginals.ages[:, 75:].sum(), rel=0.01)
    assert city.columns["household_size"][residents].max() <= 20
    home = city.columns["household"]
    assert not np.isin(home[residents], home[~residents]).any()


def test_parents_are_a_generation_older(city: Population) -> None:
    starts = starts_of(city)
    ends = np.append(starts[1:], city.size)
    years = city.columns["years"].astype(int)
    gaps = [
        years[a:b][years[a:b] < 18].max() - max(years[a:b])
        for a, b in zip(starts, ends, strict=True)
        if (years[a:b] < 18).any()
    ]
    assert (np.array(gaps) <= -14).mean() > 0.99  # ranks go together, pairs are not forbidden one by one


@pytest.mark.parametrize("pieces", [3, 7])
def test_any_split_of_the_rows_gives_the_same_city(marginals: Marginals, city: Population, pieces: int) -> None:
    ends = [city.size * k // pieces for k in range(pieces + 1)]
    parts = [synthesize(7, marginals, city.size, rows=rows) for rows in zip(ends, ends[1:], strict=False)]
    for name, values in city.columns.items():
        assert (np.concatenate([part.columns[name] for part in parts]) == values).all(), name


def by_band(city: Population, homes: Network) -> HostArray:
    """Return the contacts per day that the arcs of a mean person of each band carry."""
    ends = np.concatenate([[0], np.cumsum(homes.columns["intensity"].astype(np.int64))])
    contacts = (ends[homes.indptr[1:]] - ends[homes.indptr[:-1]]) / 64
    age = city.columns["age"]
    return np.bincount(age, contacts, minlength=len(BANDS)) / np.bincount(age, minlength=len(BANDS))


def wanted(city: Population) -> HostArray:
    """Return the row sums of the household matrix at the population's ages, by band, worked out from the files."""
    matrix = SETTINGS["household"] * read_square(HOME.matrix, "here")
    years = city.columns["years"]
    moved = rebalance(matrix, read_matrix(HOME.reference, "here")[:, -1], np.bincount(years, minlength=AGES))
    return np.bincount(city.columns["age"], moved.sum(1)[years]) / np.bincount(city.columns["age"])


def test_household_contacts_by_age_are_those_of_the_matrix(city: Population, homes: Network) -> None:
    ratio = by_band(city, homes) / wanted(city)
    assert np.abs(ratio - 1).max() < 0.01, dict(zip(BANDS, ratio.round(4), strict=True))  # the issue asks for 0.05


def mixing(city: Population, homes: Network) -> tuple[float, float]:
    """Return the correlation with the published matrix of bands, and the share of contacts that are elsewhere."""
    generated = np.array(homes.facts["mixing"]["generated"])
    published = np.array(homes.facts["mixing"]["published"])
    people = np.bincount(city.columns["age"], minlength=len(BANDS))[:, None]
    elsewhere = float((people * np.abs(generated - published)).sum() / (people * published).sum())
    return float(np.corrcoef(generated.ravel(), published.ravel())[0, 1]), elsewhere


def test_household_mixing_by_age_is_that_of_the_matrix(city: Population, homes: Network) -> None:
    correlation, elsewhere = mixing(city, homes)
    assert correlation > 0.985 and elsewhere < 0.1


def test_the_arcs_carry_the_mixing_that_the_facts_tell(city: Population, homes: Network) -> None:
    age = city.columns["age"].astype(np.int64)
    pair = np.repeat(age, homes.degrees()) * len(BANDS) + age[homes.indices]
    carried = np.bincount(pair, homes.columns["intensity"] / 64, minlength=len(BANDS) ** 2).reshape(len(BANDS), -1)
    carried /= np.bincount(age)[:, None]
    assert np.abs(carried - np.array(homes.facts["mixing"]["generated"])).max() < 0.01


def test_the_settings_add_up_to_the_overall_matrix() -> None:
    if not os.environ.get("LPM_DATA"):
        pytest.skip("LPM_DATA is not set: the overall matrix is not shipped")
    folder = Path(os.environ["LPM_DATA"]) / "polymod_contacts"
    overall = read_square(folder / "mistry2021_New_York_M_overall_contact_matrix_85.csv.gz", "here")
    total = sum(rate * read_square(FOLDER / f"contact_{setting}.csv.gz", "here") for setting, rate in SETTINGS.items())
    assert np.abs(total - overall).max() < 0.001


def test_the_shipped_matrices_are_reciprocal_under_the_shipped_ages() -> None:
    ages = read_matrix(FOLDER / "contact_ages.csv", "here")[:, -1]
    for setting in SETTINGS:
        flow = ages[:, None] * read_square(FOLDER / f"contact_{setting}.csv.gz", "here")
        assert np.abs(flow - flow.T).max() < 1e-9 * flow.max()


@pytest.mark.full
def test_a_million_agents(marginals: Marginals) -> None:
    city = synthesize(1, marginals, 1_000_000)
    assert {table: error for table, error in off(marginals, city).items() if error > 1} == {}
    homes = Households.build(1, HOME, city, (0, city.size)).check("households")
    assert np.abs(by_band(city, homes) / wanted(city) - 1).max() < 0.005
    correlation, elsewhere = mixing(city, homes)
    assert correlation > 0.985 and elsewhere < 0.1


def test_the_generator_tells_its_marginals_and_sources() -> None:
    params = NewYork.Params(**{name: str(FOLDER / file) for name, file in FILES.items()})
    made = NewYork.generate(3, params, 2000, 8_336_817)
    assert {row["name"] for row in made.facts["marginals"]} == {*AGENTS, *HOUSEHOLDS, *SHARES}
    assert any("Census" in text for text in made.facts["sources"])
    assert made.people == pytest.approx(8_336_817, abs=1e-3)
    assert [c.name for c in NewYork.columns()] == [n for n in made.schema if n not in ("id", "weight", "present")]


BROKEN = {
    "missing": ("ages", None, "cannot be read"),
    "empty": ("ages", "# nothing\n", "expected a header and rows"),
    "no number": ("ages", "borough,from,to,people\nBronx,0,4,many\n", "expected a number in column 'people'"),
    "nan": ("ages", "borough,from,to,people\nBronx,0,4,nan\n", "at least 0 in column 'people'"),
    "ages": ("ages", "borough,from,to,people\nBronx,9,4,10\n", "ages 9 to 4"),
    "borough": ("sizes", "borough,group,size,households\nBroklyn,family,2,1\n", "did you mean 'Brooklyn'"),
    "size": ("sizes", "borough,group,size,households\nBronx,family,44,1\n", "no household of size 44"),
    "group": ("sizes", "borough,group,size,households\nBronx,famly,4,1\n", "did you mean 'family'"),
    "no sizes": ("sizes", "borough,group,size,households\nBronx,family,4,1\n", "households in every borough"),
    "kind's group": ("kinds", "borough,group,kind,households\nBronx,any,with anyone,1\n", "did you mean"),
    "kind missing": (
        "kinds",
        "borough,group,kind,households\nBronx,family,couple,1\n",
        "no figure for 'family, couple'",
    ),
    "kind": ("compositions", "kind,size,name,share,places\nalone,1,alone,1,alone\n", "unknown kind 'alone'"),
    "role": ("compositions", "kind,size,name,share,places\nalone under 65,1,alone,1,alon\n", "places alon; one person"),
    "places": ("compositions", "kind,size,name,share,places\nalone under 65,2,pair,1,alone\n", "1 places and size 2"),
    "nobody alone": (
        "compositions",
        "kind,size,name,share,places\nnonfamily of two or more,2,pair,1,other other\n",
        "a composition of size 1",
    ),
    "column": ("roles", "role,0-4\nalone,1\n", "expected a number in column '5-12'"),
    "matrix": ("home_contacts", "1,2\n3,4\n", "expected 85 ages, got 2"),
    "young residents": ("care_homes", "borough,from,to,value\nBronx,0,0,5\n*,0,90,1\n", "residents of 18 and over"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, text, message = BROKEN[case]
    broken = tmp_path / "broken.csv"
    if text is not None:
        broken.write_text(text)
    files: dict[str, str | Path] = {key: FOLDER / file for key, file in FILES.items()}
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_marginals({**files, name: broken})
    assert "\n" not in str(error.value)
