"""The figures of the scenario nyc-covid agree with their sources and with one another.

Nothing here is stochastic. Tests that need the raw data read its folder from ``LPM_DATA`` and skip without it.
"""

import datetime as dt
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm.scenarios.levers import curve
from lpm.scenarios.loader import load
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import Setting

FOLDER = Path(__file__).resolve().parents[1] / "scenarios" / "nyc-covid"
BANDS = ["0-4", "5-12", "13-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65-74", "75+"]
BOROUGHS = ["Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island"]
CODES = dict(zip(["BX", "BK", "MN", "QN", "SI"], BOROUGHS, strict=True))
DAYS = [dt.date(2020, 2, 1) + dt.timedelta(i) for i in range(151)]  # of the run
FIRST, LAST = dt.date(2020, 2, 29), dt.date(2020, 6, 30)
STAGES = ("latent", "presymptomatic", "asymptomatic", "mild", "to_admission", "to_death_outside", "recovering", "dying")
SOURCED = ("10.", "NYC D", "Google COVID-19", "guess")  # a DOI, an institution, or the word guess


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("nyc-covid")


@pytest.fixture(scope="module")
def raw() -> Path:
    """Folder of the raw data, or skip."""
    folder = os.environ.get("LPM_DATA")
    if not folder:
        pytest.skip("LPM_DATA is not set: the raw figures are not at hand")
    return Path(folder)


def table(name: str) -> pl.DataFrame:
    """Read one csv of the scenario with its dates parsed."""
    return pl.read_csv(FOLDER / name, try_parse_dates=True, comment_prefix="#")


def setting(scenario: Scenario, kernel: str, name: str) -> Setting:
    """Return a kernel's parameter as the scenario declares it."""
    return next(each for each in scenario.kernels if each.kernel == kernel).params[name]


def number(scenario: Scenario, name: str) -> float:
    """Return a parameter of `seir` that is one number."""
    value = setting(scenario, "seir", name).value
    assert isinstance(value, int | float), name
    return float(value)


def by_age(scenario: Scenario, name: str) -> np.ndarray:
    """Return the ten values by age of a parameter of `seir`, float64."""
    value = setting(scenario, "seir", name).value
    assert isinstance(value, dict) and list(value) == BANDS, name
    return np.array(list(value.values()), dtype=np.float64)


def severity(name: str) -> np.ndarray:
    """Return a column of severity.csv, float64 by age."""
    rows = table("severity.csv")
    assert rows["age"].to_list() == BANDS
    return rows[name].cast(pl.Float64).to_numpy()


def evaluated(scenario: Scenario, name: str, days: list[dt.date]) -> np.ndarray:
    """Return a series on the days given, as the engine evaluates it."""
    values = curve(scenario, scenario.series[name])
    return np.array([values[scenario.index(day, "here")] for day in days])


def reduction(scenario: Scenario, layer: str, label: str, days: list[dt.date]) -> np.ndarray:
    """Return what the interventions of a label take from a layer's contacts, by day."""
    taken = np.zeros(len(days))
    for each in scenario.interventions:
        if each.label == label and each.reduce and layer in each.reduce:
            taken += evaluated(scenario, str(each.reduce[layer]), days)
    return taken


def test_observed_totals_and_bins() -> None:
    """Totals of the wave by borough, and bins that cover 2020-02-29..06-30 once."""
    observed = table("observed_weekly.csv")
    assert observed["admissions"].sum() == 51_884
    assert observed["deaths"].sum() == 23_343
    deaths = {b: observed.filter(pl.col("borough") == b)["deaths"].sum() for b in BOROUGHS}
    assert deaths == dict(zip(BOROUGHS, [4_835, 7_165, 3_065, 7_228, 1_050], strict=True))
    for borough in BOROUGHS:
        bins = observed.filter(pl.col("borough") == borough).sort("start")
        days = [s + dt.timedelta(i) for s, n in zip(bins["start"], bins["days"], strict=True) for i in range(n)]
        assert days == [FIRST + dt.timedelta(i) for i in range((LAST - FIRST).days + 1)]
        assert bins["end"].to_list()[:-1] == [d for d in bins["end"] if d.weekday() == 5]


def test_observed_equals_raw(raw: Path) -> None:
    """Every bin is the sum of the department's daily counts."""
    daily = pl.read_csv(raw / "nyc_covid" / "data-by-day.csv.gz", infer_schema_length=None)
    daily = daily.with_columns(pl.col("date_of_interest").str.to_date("%m/%d/%Y").alias("date"))
    for row in table("observed_weekly.csv").iter_rows(named=True):
        code = next(c for c, b in CODES.items() if b == row["borough"])
        part = daily.filter(pl.col("date").is_between(row["start"], row["end"]))
        assert len(part) == row["days"]
        assert part[f"{code}_HOSPITALIZED_COUNT"].sum() == row["admissions"]
        assert part[f"{code}_DEATH_COUNT"].sum() == row["deaths"]


def test_every_figure_has_unit_and_source(scenario: Scenario) -> None:
    """Each parameter names its unit, and it and every series a source; priors contain the value."""
    for kernel in scenario.kernels:
        for name, entry in kernel.params.items():
            where = f"{kernel.name}.{name}"
            assert entry.unit, where
            assert entry.source and any(mark in entry.source for mark in SOURCED), where
            if isinstance(entry.value, dict):
                assert list(entry.value) in (BANDS, BOROUGHS), where
            if entry.prior and entry.prior[0] == "uniform":
                assert isinstance(entry.value, int | float)
                assert float(entry.prior[1]) <= entry.value <= float(entry.prior[2]), where
            elif entry.prior:
                first = next(iter(entry.value.values())) if isinstance(entry.value, dict) else entry.value
                assert entry.prior[0] == "lognormal" and entry.prior[1] == first, where  # its median
    for name, series in scenario.series.items():
        assert any(mark in series.source for mark in SOURCED), name
    for layer in scenario.networks:
        assert "10.1038/s41467-020-20544-y" in layer.source, layer.name


def test_stage_lengths_are_gammas_in_days(scenario: Scenario) -> None:
    """Means and shapes are positive, and admission precedes the mean death outside the hospital."""
    for stage in STAGES:
        assert setting(scenario, "seir", f"{stage}_mean").unit == "day"
        assert number(scenario, f"{stage}_mean") > 0 and number(scenario, f"{stage}_shape") > 0
    assert number(scenario, "to_admission_mean") < number(scenario, "to_death_outside_mean")


def test_severity_is_consistent_by_age(scenario: Scenario) -> None:
    """Only people with symptoms are admitted or die; risk of death rises with age from 18 on."""
    clinical, ihr, hfr, outside = (by_age(scenario, n) for n in ("clinical", "ihr", "hfr", "ifr_outside"))
    for values in (clinical, ihr, hfr, outside, by_age(scenario, "susceptibility")):
        assert ((values >= 0) & (values <= 1)).all()
    assert (ihr + outside <= clinical).all()
    fatality = ihr * hfr + outside
    assert (np.diff(fatality[3:]) > 0).all()
    yang = np.array([0.0487, 0.142])  # Yang et al. 2021, Table: 65-74 and 75+
    assert np.abs(fatality[8:] / yang - 1).max() < 0.10


def test_risks_follow_from_the_counts_by_age(scenario: Scenario) -> None:
    """The three risks are the counts of severity.csv over its infected, to the three figures they are given to."""
    infected = severity("people") * severity("attack")
    admissions, deaths, outside = severity("admissions"), severity("deaths"), severity("outside")
    assert by_age(scenario, "ihr") == pytest.approx(admissions / infected, rel=0.006)
    assert by_age(scenario, "hfr") == pytest.approx((1 - outside) * deaths / admissions, rel=0.025)
    assert by_age(scenario, "ifr_outside") == pytest.approx(outside * deaths / infected, rel=0.01)
    assert admissions.sum() == pytest.approx(51_884, abs=1)
    assert deaths[3:].sum() == pytest.approx(23_343, abs=1)


def test_severity_reproduces_the_wave(scenario: Scenario) -> None:
    """With the attack rates used as denominators: 1.39 % fatality, 29 % of deaths outside, the observed totals."""
    infected = severity("people") * severity("attack")
    ihr, hfr, outside = (by_age(scenario, n) for n in ("ihr", "hfr", "ifr_outside"))
    admissions, deaths = (infected * ihr).sum(), (infected * (ihr * hfr + outside)).sum()
    share = infected.sum() / severity("people").sum()
    assert 0.195 < share < 0.23  # Stadlbauer et al. 2021, Pathela et al. 2021
    assert deaths / infected.sum() == pytest.approx(0.0139, abs=0.0002)
    assert (infected * outside).sum() / deaths == pytest.approx(0.29, abs=0.01)
    assert (infected * ihr * hfr).sum() / admissions == pytest.approx(0.321, abs=0.005)  # MMWR 69(46)
    assert admissions == pytest.approx(51_884, rel=0.01)
    assert deaths == pytest.approx(23_343, rel=0.01)


def test_severity_equals_raw(scenario: Scenario, raw: Path) -> None:
    """Admissions and deaths by age follow the department's weekly rates by age: the risks 1 %, the counts exactly."""
    people, infected = severity("people"), severity("people") * severity("attack")
    ihr = by_age(scenario, "ihr")
    deaths = infected * (ihr * by_age(scenario, "hfr") + by_age(scenario, "ifr_outside"))
    for name, total, ours, counted, first in (
        ("hosp", 51_884, infected * ihr, severity("admissions"), 0),
        ("death", 23_343, deaths, severity("deaths"), 3),
    ):
        weekly = pl.read_csv(raw / "nyc_covid" / f"weekly-{name}-rate-age.csv.gz", infer_schema_length=None).head(18)
        bands = [c for c in weekly.columns[2:] if c != "age_0_17"]
        counts = np.array([weekly[c].fill_null(0.0).sum() for c in bands]) * people[first:]
        assert ours[first:] / ours[first:].sum() == pytest.approx(counts / counts.sum(), rel=0.01)
        assert ours.sum() == pytest.approx(total, rel=0.01)
        assert counted[first:] == pytest.approx(counts / counts.sum() * total, abs=0.3)


def test_reductions_are_fractions_and_sum_at_most_to_one(scenario: Scenario) -> None:
    """Reductions lie in 0..1; orders + voluntary passes 1 only for schools: closed, no contact is left to avoid."""
    assert {each.label for each in scenario.interventions} == {None, "voluntary", "orders"}
    for each in scenario.interventions:
        assert "household" not in {**(each.reduce or {}), **(each.scale or {})}
        for name in {**(each.reduce or {}), **(each.scale or {})}.values():
            if name != "importations":
                values = evaluated(scenario, str(name), DAYS)
                assert ((values >= 0) & (values <= 1)).all(), name
    for layer in ("work", "community"):
        total = reduction(scenario, layer, "voluntary", DAYS) + reduction(scenario, layer, "orders", DAYS)
        assert 0.3 < total.max() < 1.0


def test_orders_part_starts_with_an_order(scenario: Scenario) -> None:
    """No effect of orders in a layer before the first order in it came into force (school 16, restaurants 17 March)."""
    orders = table("orders.csv")
    for layer, number_of_day in (("school", 16), ("work", 17), ("community", 17)):
        day = dt.date(2020, 3, number_of_day)
        before, on = reduction(scenario, layer, "orders", [day - dt.timedelta(1), day])
        assert before == 0.0 and on > 0.0
        assert day in orders.filter(pl.col("layer") == layer)["date"].to_list()
    assert min(len(text) for text in orders["citation"].to_list()) > 10
    covered = dt.date(2020, 4, 17)
    assert covered in orders.filter(pl.col("order").str.starts_with("Face coverings"))["date"].to_list()
    before, on = evaluated(scenario, "masks", [covered - dt.timedelta(1), covered])
    assert before == 1.0 and on == pytest.approx(0.93)  # Yang, Shaff, Shaman 2021: 7 % in the first month


def test_order_dates_agree_with_the_policy_tracker(raw: Path) -> None:
    """State-wide orders are in force in the tracker from the day in orders.csv; the city's schools closed earlier."""
    tracker = pl.read_csv(raw / "oxcgrt_policy" / "US_NY.csv.gz", try_parse_dates=True, infer_schema_length=None)
    orders = table("orders.csv")

    def ordered(words: str) -> list[dt.date]:
        return orders.filter(pl.col("order").str.contains(words))["date"].unique().to_list()

    everywhere = tracker.filter((pl.col("c1_school_closing") >= 2) & (pl.col("c1_flag") == 1))
    assert ordered("stay at home") == [tracker.filter(pl.col("c6_stay_at_home_requirements") >= 2)["date"].min()]
    assert ordered("Face coverings") == [tracker.filter(pl.col("h6_facial_coverings") >= 2)["date"].min()]
    assert ordered("Public schools") == [dt.date(2020, 3, 16)]
    assert everywhere["date"].min() == dt.date(2020, 3, 19)


def test_reductions_follow_mobility(scenario: Scenario, raw: Path) -> None:
    """Weekly means of orders + voluntary are within 0.04 of the mobility they were sized from."""
    file = pl.read_csv(raw / "nyc_covid" / "google_mobility_NY_state.csv", try_parse_dates=True)
    file = file.with_columns(((pl.col("retail.recreation") + pl.col("transitstations")) / 2).alias("community"))
    for layer, column, length in (("work", "workplace", 5), ("community", "community", 7)):
        for week in range(9):
            monday = dt.date(2020, 3, 23) + dt.timedelta(7 * week)
            part = file.filter(pl.col("date").is_between(monday, monday + dt.timedelta(length - 1)))
            days = part["date"].to_list()
            total = reduction(scenario, layer, "orders", days) + reduction(scenario, layer, "voluntary", days)
            assert total.mean() == pytest.approx(part[column].mean(), abs=0.04), (layer, monday)


def test_importations(scenario: Scenario) -> None:
    """Twelve people at first and about 464 by the end of March, divided among the boroughs by population."""
    initial, share = (setting(scenario, "importation", name).value for name in ("initial", "daily"))
    assert isinstance(initial, dict) and isinstance(share, dict)
    assert list(initial) == BOROUGHS and sum(initial.values()) == 12
    ages = table("borough_age.csv")
    people = np.array([ages.filter(pl.col("borough") == b)["people"].sum() for b in BOROUGHS])
    assert np.array(list(share.values())) == pytest.approx(people / people.sum(), abs=0.0001)
    brought = next(each for each in scenario.interventions if each.name == "importations")
    assert brought.scale == {"importation.daily": "importations"} and brought.label is None
    daily = evaluated(scenario, "importations", DAYS)
    assert daily.min() >= 0 and daily.sum() * sum(share.values()) == pytest.approx(464, rel=0.02)
    assert max(day for day, people in zip(DAYS, daily, strict=True) if people > 0) == dt.date(2020, 3, 31)


def test_arms_move_or_omit_the_orders_only(scenario: Scenario) -> None:
    """Weeks earlier shift what is labelled orders, "no orders" omits it, and shielding starts from the same world."""
    arms = {arm.name: arm for arm in scenario.arms}
    assert arms["one week earlier"].shift == {"orders": "-7d"} and arms["two weeks earlier"].shift == {"orders": "-14d"}
    assert arms["no orders"].omit == ("orders",)
    shielded, homes = arms["protect those over 65"].interventions
    assert shielded.where == {"age": ("65-74", "75+"), "residence": ("household",)} and shielded.uptake == 0.75
    assert shielded.scale_column == {"activity": 0.25}  # Davies et al. 2020, 10.1016/S2468-2667(20)30133-X, Table 1
    assert homes.where == {"residence": ("care home",)} and homes.scale_column == {"activity": 0.5}


def test_mixing_by_borough(scenario: Scenario) -> None:
    """School and community: a share at home, the rest by the people of the other boroughs."""
    ages = table("borough_age.csv")
    people = np.array([ages.filter(pl.col("borough") == b)["people"].sum() for b in BOROUGHS], dtype=np.float64)
    for layer, home in (("school", 0.95), ("community", 0.8)):
        given = np.array(next(each for each in scenario.networks if each.name == layer).params["mixing"].value)
        others = np.tile(people, (5, 1)) * (1 - np.eye(5))
        assert given == pytest.approx(home * np.eye(5) + (1 - home) * others / others.sum(1, keepdims=True), abs=0.0002)


def test_commuting() -> None:
    """Five rows and columns; besides the home borough Manhattan draws the most workers; DCP's same-borough shares."""
    flows = table("commuting.csv")
    assert flows["home"].to_list() == BOROUGHS and flows.columns == ["home", *BOROUGHS, "outside"]
    counts = flows.select(BOROUGHS).to_numpy().astype(np.float64)
    same = np.diag(counts) / (counts.sum(axis=1) + flows["outside"].to_numpy())
    assert same == pytest.approx([0.43, 0.49, 0.86, 0.43, 0.50], abs=0.025)  # NYC DCP, td-trends, PUMS
    for i in (0, 1, 3, 4):
        others = np.delete(counts[i], [i, 2])
        assert (counts[i, 2] > others).all()
