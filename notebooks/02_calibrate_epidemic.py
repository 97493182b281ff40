"""Calibrating an epidemic: fit New York's first wave to what was known on a day, and forecast what came."""

# %% [markdown]
# # Calibrating an epidemic
#
# The values of `nyc-covid` come from the literature. Here they are fitted: transmission, importation, the strength of
# the orders and of what people did of their own accord, and the chance that an infection leads to a hospital. Nothing
# but the scenario's marks is needed; `--data` can name other figures. With `LPM_DATA` (a folder with `nyc_covid`) the
# daily counts are used, and the naive rows are those of the daily series; without it the weekly figures of lpm.
#
# `LPM_AGENTS` sets the number of agents, here at least 50,000: below that no agent brings the epidemic into the city.

# %%
import datetime as dt
import json
import os
import sys
import tempfile
from pathlib import Path

import polars as pl

import lpm
from lpm.scenarios import loader, resolved, settings

AGENTS = max(50_000, int(os.environ.get("LPM_AGENTS", "200000")))
QUICK = AGENTS < 100_000
JUPYTER = "ipykernel" in sys.modules
OUTPUT = Path("output") if JUPYTER else Path(__file__).parent / "output"
ORIGINS = ["2020-03-29"] if QUICK else ["2020-03-29", "2020-04-05", "2020-04-12", "2020-04-19"]
BOROUGHS = {"BX": "Bronx", "BK": "Brooklyn", "MN": "Manhattan", "QN": "Queens", "SI": "Staten Island"}
COUNTS = {"admissions": "HOSPITALIZED_COUNT", "deaths": "DEATH_COUNT"}
PLACE = Path(tempfile.mkdtemp())


def daily_counts(file: Path) -> pl.DataFrame:
    """Return the counts by day and borough: metric, start, end, group, value."""
    table = pl.read_csv(file, infer_schema_length=None)
    day = pl.col("date_of_interest").str.to_date("%m/%d/%Y")
    parts = [
        table.select(
            pl.lit(metric).alias("metric"),
            day.alias("start"),
            day.alias("end"),
            pl.lit(f"borough={name}").alias("group"),
            pl.col(f"{short}_{column}").cast(pl.Float64).alias("value"),
        )
        for metric, column in COUNTS.items()
        for short, name in BOROUGHS.items()
    ]
    return pl.concat(parts).filter(pl.col("end") <= dt.date(2020, 6, 30))


data = None
local = Path(os.environ.get("LPM_DATA", "")) / "nyc_covid" / "data-by-day.csv.gz"
if os.environ.get("LPM_DATA") and local.is_file():
    data = PLACE / "daily.parquet"
    daily_counts(local).write_parquet(data)
print("figures:", "daily counts by borough" if data else "the weekly counts of the scenario (LPM_DATA is not set)")

# %% [markdown]
# ## The fit
#
# One call. Every point of the fit is a whole simulation; the gradient is that of central differences under common
# random numbers.

# %%
scenario = "nyc-covid"
if QUICK:  # three of its arms
    few = settings.with_arms(loader.load(scenario), ["as it happened", "one week earlier", "no orders"])
    (PLACE / "few").mkdir()
    resolved.write(few, PLACE / "few")
    scenario = PLACE / "few" / "scenario.toml"
folder = lpm.calibrate(
    scenario,
    agents=AGENTS,
    data=data,
    until=ORIGINS,
    fit=["seir.beta", "importation.daily"] if QUICK else None,  # what the scenario marks as free
    set={"steps": 86} if QUICK else {},  # to 26 April
    starts=4 if QUICK else 64,
    seeds=1 if QUICK else 2,
    draws=20 if QUICK else 200,
    out=PLACE / "fit",
    quiet=True,
)
facts = json.loads((folder / "fit.json").read_text())
print(f"{facts['simulations']} simulations, {facts['seconds']:.0f} s")
columns = ["origin", "name", "estimate", "low", "high", "at_bound", "identified"]
with pl.Config(tbl_rows=40, fmt_str_lengths=30):
    print(pl.DataFrame(facts["parameters"]).select(columns))

# %% [markdown]
# ## The forecasts, and what they have to beat
#
# WAPE is the sum of absolute errors of the medians over the sum of what was counted; WIS rewards narrow intervals that
# hold what comes; `coverage90` should be 0.9. Scores are retrospective: final data, no reporting delay.

# %%
scores = pl.DataFrame(json.loads((folder / "score.json").read_text()))
with pl.Config(tbl_rows=60, float_precision=3, fmt_str_lengths=30):
    print(scores.sort("series", "origin", "wape"))

# %% [markdown]
# ## What it means for policy
#
# All arms of the calibrated scenario, run with draws of the parameters: the intervals hold both chance and parameters.

# %%
with pl.Config(tbl_rows=20, fmt_str_lengths=40, float_precision=3):
    print(pl.DataFrame(facts["results"]))

OUTPUT.mkdir(exist_ok=True)
target = OUTPUT / "02_fit.html"
target.write_text((folder / "report.html").read_text(encoding="utf-8"), encoding="utf-8")
print(f"figures: {OUTPUT.name}/{target.name}")
