"""The shipped figures of the scenario nyc-covid agree with their sources and with one another.

Nothing here is stochastic. Tests that need the raw data read its folder from ``LPM_DATA`` and skip without it.
"""

import datetime as dt
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "scenarios" / "nyc-covid"
BOROUGHS = ["Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island"]
CODES = dict(zip(["BX", "BK", "MN", "QN", "SI"], BOROUGHS, strict=True))
FIRST, LAST = dt.date(2020, 2, 29), dt.date(2020, 6, 30)
GAMMAS = ("latent", "presymptomatic", "symptomatic", "subclinical", "onset_to_admission")
GAMMAS += ("hospital_stay_survivors", "hospital_stay_deaths", "onset_to_death_outside")


def parameters() -> dict[str, Any]:
    """Read parameters.toml as plain tables."""
    return tomllib.loads((FOLDER / "parameters.toml").read_text(encoding="utf-8"))


def table(name: str) -> pl.DataFrame:
    """Read one csv of the scenario with its dates parsed."""
    return pl.read_csv(FOLDER / name, try_parse_dates=True)


def by_age(section: str, name: str) -> np.ndarray:
    """Return the ten values by age, float64."""
    return np.array(parameters()[section][name]["value"], dtype=np.float64)


def reduction(layer: str, part: str, days: list[dt.date]) -> np.ndarray:
    """Evaluate a part's knots: 0 before the first, linear between, the last held."""
    rows = table("reductions.csv").filter((pl.col("layer") == layer) & (pl.col("part") == part)).sort("date")
    x = [d.toordinal() for d in rows["date"]]
    return np.interp([d.toordinal() for d in days], x, rows["reduction"].to_numpy(), left=0.0)


@pytest.fixture(scope="module")
def raw() -> Path:
    """Folder of the raw data, or skip."""
    folder = os.environ.get("LPM_DATA")
    if not folder:
        pytest.skip("LPM_DATA is not set: the raw figures are not at hand")
    return Path(folder)


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


def test_every_parameter_has_unit_and_source() -> None:
    """Each entry names its unit and a source (DOI, institution or the word guess); by-age entries have ten values."""
    tables = parameters()
    assert len(tables.pop("age")) == 10
    for section, entries in tables.items():
        for name, entry in entries.items():
            where = f"{section}.{name}"
            assert entry["unit"], where
            assert any(mark in entry["source"] for mark in ("10.", "NYC D", "guess", "definition")), where
            if entry.get("by") == "age":
                assert len(entry["value"]) == 10, where
            if "low" in entry:
                assert entry["low"] <= entry["value"] <= entry["high"], where


def test_stage_lengths_are_gammas_in_days() -> None:
    """Means and shapes are positive, and admission precedes the mean death outside the hospital."""
    seir = parameters()["seir"]
    for name in GAMMAS:
        assert seir[name]["unit"] == "d"
        assert seir[name]["mean"] > 0 and seir[name]["shape"] > 0
    assert seir["onset_to_admission"]["mean"] < seir["onset_to_death_outside"]["mean"]


def test_severity_is_consistent_by_age() -> None:
    """Only people with symptoms are admitted or die; risk of death rises with age from 18 on."""
    clinical, ihr, hfr, outside = (by_age("seir", n) for n in ("clinical", "ihr", "hfr", "ifr_outside"))
    for values in (clinical, ihr, hfr, outside, by_age("seir", "susceptibility")):
        assert ((values >= 0) & (values <= 1)).all()
    assert (ihr + outside <= clinical).all()
    assert (np.diff((ihr * hfr + outside)[3:]) > 0).all()
    fatality = ihr * hfr + outside
    yang = np.array([0.0487, 0.142])  # Yang et al. 2021, Table: 65-74 and 75+
    assert np.abs(fatality[8:] / yang - 1).max() < 0.10


def test_severity_reproduces_the_wave() -> None:
    """With the attack rates used as denominators: 1.39 % fatality, 29 % of deaths outside, the observed totals."""
    infected = by_age("derivation", "people") * by_age("derivation", "attack")
    ihr, hfr, outside = (by_age("seir", n) for n in ("ihr", "hfr", "ifr_outside"))
    admissions, deaths = (infected * ihr).sum(), (infected * (ihr * hfr + outside)).sum()
    share = infected.sum() / by_age("derivation", "people").sum()
    assert 0.195 < share < 0.23  # Stadlbauer et al. 2021, Pathela et al. 2021
    assert deaths / infected.sum() == pytest.approx(0.0139, abs=0.0002)
    assert (infected * outside).sum() / deaths == pytest.approx(0.29, abs=0.01)
    assert (infected * ihr * hfr).sum() / admissions == pytest.approx(0.321, abs=0.005)  # MMWR 69(46)
    assert admissions == pytest.approx(51_884, rel=0.01)
    assert deaths == pytest.approx(23_343, rel=0.01)


def test_severity_equals_raw(raw: Path) -> None:
    """Admissions and deaths by age follow the department's weekly rates by age within 1 %."""
    people, attack = by_age("derivation", "people"), by_age("derivation", "attack")
    infected, ihr = people * attack, by_age("seir", "ihr")
    deaths = infected * (ihr * by_age("seir", "hfr") + by_age("seir", "ifr_outside"))
    for name, total, ours, first in (("hosp", 51_884, infected * ihr, 0), ("death", 23_343, deaths, 3)):
        weekly = pl.read_csv(raw / "nyc_covid" / f"weekly-{name}-rate-age.csv.gz", infer_schema_length=None).head(18)
        bands = [c for c in weekly.columns[2:] if c != "age_0_17"]
        counts = np.array([weekly[c].fill_null(0.0).sum() for c in bands]) * people[first:]
        assert ours[first:] / ours[first:].sum() == pytest.approx(counts / counts.sum(), rel=0.01)
        assert ours.sum() == pytest.approx(total, rel=0.01)


def test_reductions_are_fractions_and_sum_at_most_to_one() -> None:
    """Knots lie in 0..1; orders + voluntary passes 1 only for schools, where closing leaves no contact to avoid."""
    rows = table("reductions.csv")
    assert rows["reduction"].is_between(0.0, 1.0).all()
    assert set(rows["part"]) == {"orders", "voluntary", "protection", "masks"}
    assert not rows.select("date", "layer", "part").is_duplicated().any()
    days = [dt.date(2020, 2, 1) + dt.timedelta(i) for i in range(151)]
    for layer in ("household", "work", "community"):
        total = sum(reduction(layer, p, days) for p in ("voluntary", "orders") if layer != "household" or p != "orders")
        assert np.max(total) < 1.0


def test_orders_part_starts_with_an_order() -> None:
    """No effect of orders in a layer before the first order in it came into force (school 16, restaurants 17 March)."""
    orders = table("orders.csv")
    for layer, number in (("school", 16), ("work", 17), ("community", 17)):
        day = dt.date(2020, 3, number)
        before, on = reduction(layer, "orders", [day - dt.timedelta(1), day])
        assert before == 0.0 and on > 0.0
        assert day in orders.filter(pl.col("layer") == layer)["date"].to_list()
    assert orders["citation"].str.len_chars().min() > 10  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]


def test_reductions_follow_mobility(raw: Path) -> None:
    """Weekly means of orders + voluntary are within 0.04 of the mobility they were sized from."""
    file = pl.read_csv(raw / "nyc_covid" / "google_mobility_NY_state.csv", try_parse_dates=True)
    file = file.with_columns(((pl.col("retail.recreation") + pl.col("transitstations")) / 2).alias("community"))
    for layer, column, length in (("work", "workplace", 5), ("community", "community", 7)):
        for week in range(9):
            monday = dt.date(2020, 3, 23) + dt.timedelta(7 * week)
            part = file.filter(pl.col("date").is_between(monday, monday + dt.timedelta(length - 1)))
            days = part["date"].to_list()
            total = reduction(layer, "orders", days) + reduction(layer, "voluntary", days)
            assert total.mean() == pytest.approx(part[column].mean(), abs=0.04), (layer, monday)


def test_importations() -> None:
    """One row per borough and day, never negative, split by borough alike on every day, about 464 people in all."""
    rows = table("importations.csv")
    assert rows["infections"].min() >= 0  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
    initial, daily = rows.filter(pl.col("kind") == "initial"), rows.filter(pl.col("kind") == "daily")
    assert initial["date"].unique().to_list() == [dt.date(2020, 2, 1)]
    assert initial["infections"].sum() == 12
    assert len(daily) == 60 * 5 and set(daily["borough"]) == set(BOROUGHS)
    assert daily["infections"].sum() == pytest.approx(464, rel=0.02)
    assert daily["date"].max() == dt.date(2020, 3, 31)


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
