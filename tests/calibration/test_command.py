"""`lpm calibrate` from end to end, on figures that the scenario itself has made."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lpm
from lpm import cli
from lpm.fitting import targets
from lpm.scenarios import loader
from tests.inputs import GOOD, write

STEPS, START, ORIGIN = 42, dt.date(2020, 2, 1), dt.date(2020, 2, 29)
TRUTH = {"sir.beta": 0.15, "strengths.orders": 1.5}
CALL = ("--agents", "4000", "--starts", "8", "--seeds", "1", "--draws", "20", "--quiet")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a scenario of two free parameters, beside the daily figures of a run with other values."""
    folder = tmp_path_factory.mktemp("calibrate")
    tables: dict[str, Any] = copy.deepcopy(GOOD)
    tables |= {"steps": STEPS, "interventions": [{"label": "orders", "at": 10, "reduce": {"community": 0.3}}]}
    tables["population"] = {"size": 4000, "columns": tables["population"]["columns"]}
    tables["kernels"][0] |= {"initial": 0.02}
    tables["kernels"][0]["beta"] |= {"prior": ["lognormal", 0.1, 0.4]}
    tables["arms"] = [{"name": "as it is"}, {"name": "no orders", "omit": ["orders"]}]
    tables["strengths"] = {"orders": {"value": 1, "prior": ["lognormal", 1, 0.4]}}
    path = write(folder, tables)
    truth = lpm.run(path, seeds=[77], arms="as it is", set=TRUTH, out=folder / "truth", quiet=True)
    seen = pl.read_parquet(truth / "trajectory.parquet").filter(pl.col("group") == "all").sort("step")
    days = [START + dt.timedelta(days=int(step)) for step in seen["step"]]
    data = {"start": days, "end": days, "value": seen["infections"]}
    pl.DataFrame(data).write_csv(folder / "infections.csv")
    tables["data"] = {"infections": {"file": "infections.csv", "column": "value", "likelihood": "poisson"}}
    tables["calibration"] = {"fit": list(TRUTH), "until": [ORIGIN]}
    return write(folder, tables)


@pytest.fixture(scope="module")
def folder(scenario: Path) -> Path:
    out = scenario.parent / "fit"
    assert cli.main(["calibrate", str(scenario), "--out", str(out), *CALL]) == 0
    return out


def test_the_parameters_that_made_the_figures_are_found(folder: Path) -> None:
    """Within 3 standard errors: by chance one of two is not in 0.5 % of cases (more often, as intervals are narrow)."""
    facts = json.loads((folder / "fit.json").read_text())
    rows = {row["name"]: row for row in facts["parameters"] if row["origin"] == "all data"}
    assert set(rows) == set(TRUTH) and facts["simulations"] > 0 and facts["seconds"] > 0
    for name, truth in TRUTH.items():
        estimate, low, high = (np.log(rows[name][key]) for key in ("estimate", "low", "high"))
        assert abs(estimate - np.log(truth)) < 3 * (high - low) / (2 * 1.645) and not rows[name]["at_bound"]
    assert rows["sir.beta"]["identified"] and rows["sir.beta"]["high"] < 1.5 * rows["sir.beta"]["low"]


def test_the_folder_holds_what_the_contract_says(folder: Path) -> None:
    told = pl.read_parquet(folder / "forecast.parquet")
    later = told.filter(~pl.col("in_fit"))
    assert later["date"].min() > ORIGIN and set(later["origin"].unique()) == {ORIGIN}  # type: ignore[operator]
    assert (told["q05"] <= told["q50"]).all() and (told["q50"] <= told["q95"]).all()
    scores = json.loads((folder / "score.json").read_text())
    assert {row["predictor"] for row in scores} >= {"lpm", "persistence"} and all("wis" in row for row in scores)
    assert all(row["crps"] > 0 for row in scores if row["predictor"] in ("lpm", "persistence"))
    assert all(row["normalised_deviation"] == row["wape"] for row in scores)
    missed = json.loads((folder / "fit.json").read_text())["misfit"]
    assert [(row["origin"], row["series"]) for row in missed] == [
        (str(ORIGIN), "infections"),
        ("all data", "infections"),
    ]
    assert all(0 < row["q"] < 10 and row["concentration"] is None and not row["at_limit"] for row in missed)
    assert missed[0]["figures"] == 4 and missed[1]["figures"] == 6
    page = (folder / "report.html").read_text()
    assert "<html" in page and "CRPS" in page and "Scatter beyond chance" in page


def test_the_calibrated_scenario_runs_with_draws_of_the_posterior(folder: Path) -> None:
    made = loader.load(folder / "scenario.toml")
    assert made.calibrated and made.kernels[0].params["beta"].source.startswith("fitted to infections: ")  # type: ignore[union-attr]
    draws = pl.read_parquet(folder / "posterior.parquet")
    assert draws.columns == list(TRUTH) and draws.height == 20
    run = json.loads((folder / "run" / "run.json").read_text())
    effects = pl.read_parquet(folder / "run" / "effects.parquet")
    assert run["seeds"] == list(range(20))  # one a draw, not less than 20
    assert run["draws"] and set(effects["interval"].unique()) == {"chance and parameters"}


def test_a_second_call_goes_on_and_finds_the_same(
    folder: Path, scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "fit.json").read_text()
    assert cli.main(["calibrate", str(scenario), "--out", str(folder), *CALL]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert cli.main(["calibrate", str(scenario), "--out", str(folder), *CALL, "--resume", "--seeds", "3"]) == 2
    assert "was begun with other options: --seeds was 1, is 3; repeat" in capsys.readouterr().err
    assert before == (folder / "fit.json").read_text()
    assert cli.main(["calibrate", str(scenario), "--out", str(folder), *CALL, "--resume"]) == 0
    keys = ("parameters", "results", "simulations")
    old, new = json.loads(before), json.loads((folder / "fit.json").read_text())
    assert all(old[key] == new[key] for key in keys)


def test_figures_may_be_told_by_step(scenario: Path, tmp_path: Path) -> None:
    made = loader.load(scenario)
    rows = {"metric": ["infections"] * 2, "start": [0, 7], "end": [6, 8], "group": ["all"] * 2, "value": [3.0, 4.0]}
    pl.DataFrame(rows).write_csv(tmp_path / "steps.csv")
    same, frame = targets.read(made, str(tmp_path / "steps.csv"))
    assert same is made and frame["start"].to_list() == [START, START + dt.timedelta(days=7)]
    assert frame["end"].to_list() == [START + dt.timedelta(days=6), START + dt.timedelta(days=8)]
    nominal, frame = targets.read(made.model_copy(update={"start": None}), str(tmp_path / "steps.csv"))
    assert nominal.start == frame["start"][0] == targets.DAY_ZERO


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--fit", "sir.bta"], "--fit: unknown parameter 'sir.bta'; did you mean 'sir.beta'?"),
        (["--fit", "sir.beta,sir.beta"], "--fit: 'sir.beta' is named twice"),
        (["--fit", ""], "--fit: "),
        (["--until", "March"], "--until: expected dates such as"),
        (["--until", "2019-01-01"], "no observed figure lies within the run"),
        (
            ["--until", "2020-03-13"],
            "--until: 2020-03-13: expected a day before 2020-03-13, the last one of the figures",
        ),
        (["--until", "2020-02-29,2021-01-01"], "--until: 2021-01-01: expected a day before 2020-03-13"),
        (["--data", "nowhere.csv"], "--data: 'nowhere.csv' cannot be read"),
        (["--draws", "3"], "--draws: expected at least 20, got 3"),
        (["--seeds", "none"], "--seeds: expected a whole number"),
        (["--posterior", "nuts"], "--posterior: unknown way 'nuts'"),
        (["--resume"], "--resume: expected --out"),
    ],
    ids=[
        "unknown",
        "twice",
        "empty",
        "no date",
        "before",
        "last day",
        "after",
        "no file",
        "draws",
        "seeds",
        "way",
        "resume",
    ],
)
def test_bad_input_is_one_line(
    given: list[str],
    told: str,
    scenario: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["calibrate", str(scenario), "--agents", "200", "--quiet", *given]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
    assert not any(tmp_path.rglob("fit.json"))


@pytest.mark.full
def test_forecasts_and_draws_are_of_a_synthetic_posterior_that_is_checked(scenario: Path, tmp_path: Path) -> None:
    """The truth within 4 standard deviations of the draws: a false alarm in 1e-4 of normal posteriors."""
    out = tmp_path / "sure"
    told = ("--posterior", "synthetic", "--diagnose", "--until", ORIGIN.isoformat())
    assert cli.main(["calibrate", str(scenario), "--out", str(out), *told, *CALL]) == 0
    facts = json.loads((out / "fit.json").read_text())
    assert "synthetic likelihood" in facts["notes"][0]
    checks = {(row["check"], row["of"]) for row in facts["diagnosis"]}
    assert ("posterior predictive", "infections") in checks and len(checks) == 3
    draws = pl.read_parquet(out / "posterior.parquet")
    for name, truth in TRUTH.items():
        x = np.log(draws[name].to_numpy())
        assert abs(x.mean() - np.log(truth)) < 4 * x.std() and len(set(x)) > 10
    assert "Can it be believed?" in (out / "report.html").read_text()


@pytest.mark.full
def test_figures_of_later_days_change_nothing_of_a_forecast(folder: Path, scenario: Path, tmp_path: Path) -> None:
    """No quantile, naive row or estimate of an origin moves when all that came after it was otherwise."""
    seen = pl.read_csv(scenario.parent / "infections.csv", try_parse_dates=True).with_columns(
        pl.lit("infections").alias("metric"), pl.lit("all").alias("group")
    )
    late = pl.when(pl.col("end") > ORIGIN).then(7 * pl.col("value") + 900).otherwise(pl.col("value")).alias("value")
    seen.with_columns(late).write_csv(tmp_path / "other.csv")
    out = tmp_path / "fit"
    told = ("--data", str(tmp_path / "other.csv"), "--until", ORIGIN.isoformat())
    assert cli.main(["calibrate", str(scenario), "--out", str(out), *told, *CALL]) == 0
    for name in ("forecast", "naive"):
        mine, other = (pl.read_parquet(each / f"{name}.parquet").filter(origin=ORIGIN) for each in (folder, out))
        assert mine.height and mine.drop("observed", "crps").equals(other.drop("observed", "crps"))
        assert not mine["observed"].equals(other["observed"])
    for key in ("parameters", "misfit"):
        mine, other = (json.loads((each / "fit.json").read_text())[key] for each in (folder, out))
        until = [[row for row in rows if row["origin"] == str(ORIGIN)] for rows in (mine, other)]
        assert until[0] and until[0] == until[1]


OPINIONS = """
schema = 1
name = "opinions"
step = "1d"
steps = 30
[population]
generator = "communities"
size = 3000
[[networks]]
name = "ties"
builder = "stochastic-block"
column = "community"
mean_degrees = [[8.0, 2.0], [2.0, 8.0]]
scale = 0.1
[[kernels]]
kernel = "persuasion"
initial = { left = 0.05, right = 0.3 }
[metrics]
opinion = { mean = "opinion", by = ["community"] }
[calibration]
fit = ["persuasion.persuasion"]
"""


@pytest.mark.full
def test_a_mean_opinion_below_0_is_fitted_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The truth within 4 standard errors: a false alarm in 1e-4 of fits, and in more as far as these are too narrow.

    More than eight tenths are against: all figures are negative, no naive rule carries them on, and WAPE says nothing.
    """
    (path := tmp_path / "opinions.toml").write_text(OPINIONS)
    truth = lpm.run(path, seeds=[5], set={"persuasion.persuasion": 0.3}, out=tmp_path / "truth", quiet=True)
    seen = pl.read_parquet(truth / "trajectory.parquet").filter(pl.col("group") == "all").sort("step")
    shown = {"metric": ["opinion"] * 30, "start": seen["step"], "end": seen["step"], "group": ["all"] * 30}
    figures = pl.DataFrame({**shown, "value": seen["opinion"]})
    assert (figures["value"] < 0).all()
    figures.write_csv(tmp_path / "plain.csv")
    figures.with_columns(pl.lit(0.01).alias("sd")).write_csv(tmp_path / "figures.csv")
    call = [
        "calibrate",
        str(path),
        "--until",
        "2000-01-20",
        "--starts",
        "8",
        "--seeds",
        "1",
        "--draws",
        "20",
        "--quiet",
    ]
    assert cli.main([*call, "--data", str(tmp_path / "plain.csv"), "--out", str(tmp_path / "no")]) == 2
    assert "'opinion' is a mean, no count: say how its figures scatter" in capsys.readouterr().err
    assert cli.main([*call, "--data", str(tmp_path / "figures.csv"), "--out", str(tmp_path / "fit")]) == 0
    (score,) = json.loads((tmp_path / "fit" / "score.json").read_text())
    assert score["predictor"] == "lpm" and score["wape"] is None
    assert 0 < score["normalised_deviation"] < 0.5 and score["crps"] > 0
    told = pl.read_parquet(tmp_path / "fit" / "forecast.parquet")
    assert (told["q50"] < 0).all() and told["observed"].to_list()[:30] == pytest.approx(seen["opinion"].to_list())
    row = json.loads((tmp_path / "fit" / "fit.json").read_text())["parameters"][-1]
    width = (np.log(row["high"]) - np.log(row["low"])) / (2 * 1.645)
    assert abs(np.log(row["estimate"]) - np.log(0.3)) < 4 * width
