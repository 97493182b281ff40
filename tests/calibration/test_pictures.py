"""The report of a calibration: one page with everything in it, whatever is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.calibration import pictures
from lpm.calibration.forecasting.forecast import naive, scores, write
from lpm.calibration.report import prior_intervals, write_report
from lpm.calibration.report_tables import number
from lpm.calibration.space import Space, prior_of
from lpm.errors import InputError
from lpm.parquet import write_frame
from tests.calibration.test_forecast import ORIGIN, daily, model
from tests.report.test_report import assert_self_contained, data_of, read

ROWS: list[dict[str, Any]] = [
    {
        "name": "seir.beta",
        "estimate": 0.035,
        "low": 0.03,
        "high": 0.04,
        "at_bound": False,
        "identified": True,
        "prior": {"low": 0.001, "median": 0.03, "high": 0.1},
        "origin": "2021-02-04",
    },
    {"name": "<script>", "estimate": 0.9, "low": 0.8, "high": 0.99, "at_bound": True, "identified": False},
]
FIT = {"parameters": ROWS, "simulations": 172, "seconds": 61.25, "title": "A <small> fit", "notes": ["made up"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fit")
    frame = daily()
    write(made, model(frame), naive(frame, ORIGIN, leads={"deaths": "admissions"}))
    (made / "fit.json").write_text(json.dumps(FIT), "utf-8")
    assert write_report(made) == made / "report.html"
    return made


def drawn(figure: Any) -> dict[str, Any]:
    return json.loads(figure.to_json())


def test_the_page_is_whole_and_loads_nothing(folder: Path):
    page, reader = read(folder / "report.html")
    assert_self_contained(page, reader)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = data_of(page)
    assert set(figures) == {"chart-forecast-0", "chart-forecast-1", "chart-scores", "chart-parameters"}
    assert set(figures) <= set(ids)
    assert "known until 4 Feb 2021" in reader.text
    assert "A <small> fit" in reader.text and "172 simulations" in reader.text and "made up" in reader.text


def test_the_page_tells_the_scores_of_the_file(folder: Path):
    rows = json.loads((folder / "score.json").read_text("utf-8"))
    _, reader = read(folder / "report.html")
    own = next(row for row in rows if row["series"] == "deaths" and row["predictor"] == "lpm")
    best = min(row["wape"] for row in rows if row["series"] == "deaths" and row["predictor"] != "lpm")
    assert f"off by {own['wape']:.2f} of what was observed" in reader.text
    assert f"by {best:.2f} (the model" in reader.text
    assert "at its bound, not identified" in reader.text


def test_the_page_tells_how_far_the_model_is_from_its_data(folder: Path, tmp_path: Path):
    rows = [
        {
            "series": "deaths",
            "origin": "2021-02-04",
            "figures": 12,
            "q": 7.25,
            "concentration": None,
            "at_limit": False,
        },
        {"series": "cases", "origin": "all data", "figures": 9, "q": 1.5, "concentration": 0.5, "at_limit": True},
    ]
    parameters = [ROWS[0] | {"outside_prior": True}]
    (tmp_path / "fit.json").write_text(json.dumps(FIT | {"misfit": rows, "parameters": parameters}), "utf-8")
    text = read(write_report(tmp_path))[1].text
    assert "7.25" in text and "misses the data" in text and "141 %" in text and "at its limit" in text
    assert "outside its prior" in text and "misses the data" not in read(folder / "report.html")[1].text


def test_the_page_tells_every_score_beside_those_of_naive_rows(folder: Path):
    """CRPS of a log-linear rule is a dash: it has none."""
    _, reader = read(folder / "report.html")
    own = [row for row in json.loads((folder / "score.json").read_text("utf-8")) if row["series"] == "deaths"]
    for row in own:
        if row["predictor"] in ("lpm", "persistence"):
            assert all(number(row[key]) in reader.text for key in ("wape", "normalised_deviation", "wis", "crps"))
    assert "CRPS" in reader.text and next(row for row in own if row["predictor"] == "loglinear7")["crps"] is None


def test_opinions_below_0_are_in_their_panel():
    """The panel reaches from below the lowest value to above the highest; counts keep their 0."""
    mine = model(daily()).with_columns(-pl.col("q05", "q25", "q50", "q75", "q95", "observed") / 100)
    mine = mine.rename({"q05": "q95", "q95": "q05", "q25": "q75", "q75": "q25"})
    figure = drawn(pictures.curves(mine, None, "admissions"))
    part = mine.filter(series="admissions", group="a")
    lowest = min(part["q05"].min(), part["observed"].min())  # type: ignore[type-var]
    low, high = figure["layout"]["yaxis"]["range"]
    assert low == pytest.approx(1.08 * lowest) and high == 0  # type: ignore[operator]


def test_names_cannot_become_markup(folder: Path):
    page, _ = read(folder / "report.html")
    assert "<td ><script>" not in page and "<small> fit</h1>" not in page
    assert "<script>" not in json.dumps(data_of(page))


def test_what_is_not_there_is_left_out(tmp_path: Path):
    bare = {"parameters": [{"name": "beta", "estimate": 1.0}], "simulations": 2, "seconds": 0.5}
    (tmp_path / "fit.json").write_text(json.dumps(bare), "utf-8")
    page, reader = read(write_report(tmp_path))
    assert set(data_of(page)) == {"chart-parameters"}
    assert "Scores" not in reader.text


def test_damaged_folders_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="fit.json: cannot be read"):
        write_report(tmp_path)
    (tmp_path / "fit.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="fit.json: not JSON"):
        write_report(tmp_path)
    (tmp_path / "fit.json").write_text("[]", "utf-8")
    with pytest.raises(InputError, match="expected JSON of a dict, got list"):
        write_report(tmp_path)
    (tmp_path / "fit.json").write_text('{"parameters": []}', "utf-8")
    with pytest.raises(InputError, match="expected a key 'simulations'"):
        write_report(tmp_path)


def test_curves_draw_the_forecast_and_where_it_begins():
    frame = daily()
    mine, others = model(frame), naive(frame, ORIGIN)
    figure = drawn(pictures.curves(mine, others, "deaths"))
    panel = mine.filter(series="deaths", group="a").sort("date")
    lines = [trace for trace in figure["data"] if trace["name"] == "model, median"]
    assert len(lines) == 2  # one a group
    assert lines[0]["y"] == pytest.approx(panel["q50"].to_list(), rel=1e-3)
    later = [trace for trace in figure["data"] if trace["name"] == "observed later"]
    assert later[0]["y"] == pytest.approx(panel.filter(~pl.col("in_fit"))["observed"].to_list(), rel=1e-3)
    assert {shape["x0"] for shape in figure["layout"]["shapes"]} == {str(ORIGIN)}
    assert {trace["name"] for trace in figure["data"]} >= {"persistence", "loglinear7", "loglinear10"}


def test_a_forecast_that_explodes_leaves_its_panel():
    mine = model(daily()).with_columns(pl.col("q95") * 1e6)
    figure = drawn(pictures.curves(mine, None, "admissions"))
    highest = mine.filter(series="admissions", group="a").select(pl.max_horizontal(pl.max("observed"), pl.max("q50")))
    assert figure["layout"]["yaxis"]["range"] == pytest.approx([0, 1.08 * pictures.ABOVE * highest.item()])


def test_parameters_are_drawn_with_their_flags():
    figure = drawn(pictures.parameters(ROWS))
    markers = [trace["marker"] for trace in figure["data"] if trace["mode"] == "markers"]
    assert [marker["line"]["color"] for marker in markers] == [pictures.SOFT, pictures.MODEL, pictures.WARN]
    assert markers[2]["color"] == "#fff"
    assert figure["layout"]["xaxis"]["type"] == "log" and figure["layout"]["xaxis2"]["type"] == "linear"


def test_scores_are_drawn_for_every_predictor():
    frame = daily()
    told = scores(model(frame), naive(frame, ORIGIN, leads={"deaths": "admissions"}))
    figure = drawn(pictures.scores(told))
    listed = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert sorted(listed) == sorted({"model", *(row["predictor"] for row in told if row["predictor"] != "lpm")})


def test_prior_intervals_are_quantiles_of_the_prior():
    """A log-normal's quantiles, from the space's own draws: 3 % are more than 5 standard errors of 0.5 %."""
    space = Space({"beta": prior_of("lognormal", 0.3, 0.5)})
    told = prior_intervals(space)["beta"]
    middle = told["median"]
    assert np.log([told["low"] / middle, told["high"] / middle]) == pytest.approx(np.log([1 / 2.276, 2.276]), abs=0.05)


def test_many_groups_and_origins_are_not_all_drawn(tmp_path: Path):
    """Thirteen groups and eight origins: the first twelve, and six origins with the first and the last."""
    base = model(daily()).filter(series="deaths", group="a")
    copies = [
        base.with_columns(pl.lit(f"g{group:02}").alias("group"), (pl.col("origin") + pl.duration(days=day)))
        for group in range(13)
        for day in range(8)
    ]
    mine = pl.concat(copies)
    write_frame(tmp_path / "forecast.parquet", mine)
    (tmp_path / "fit.json").write_text(json.dumps(FIT), "utf-8")
    page, reader = read(write_report(tmp_path))
    assert "The first 12 of 13 groups. 6 of 8 origins." in reader.text
    layout = data_of(page)["chart-forecast-0"]["layout"]
    titles = [each["text"] for each in layout["annotations"]]
    assert len(titles) == 6 and titles[0].endswith("4 Feb 2021") and titles[-1].endswith("11 Feb 2021")
    assert len(layout["shapes"]) == 12 * 6
