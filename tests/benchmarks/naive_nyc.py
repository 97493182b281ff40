"""What a forecast of New York's first wave has to beat: `python tests/benchmarks/naive_nyc.py [FILE.parquet]`.

Fit to each of 2020-03-29, 04-05, 04-12, 04-19 and predict the next four weeks of admissions and deaths in five
boroughs, by the naive rules of `lpm.calibration.forecasting.naive`. Scores are retrospective: final data, no reporting
delay. Two ways to cut the weeks, since the origins are Sundays and the weeks of `observed_weekly.csv` run from Sunday
to Saturday:

- "from the origin": daily figures up to and with the origin; four blocks of 7 days from the day after it;
- "epi weeks": daily figures up to the Saturday before the origin; the four weeks of `observed_weekly.csv` after it.

Daily counts: the folder `nyc_covid` of LPM_DATA (NYC DOHMH, github nychealth/coronavirus-data, trends/data-by-day.csv).
With a file's name the forecasts are written there, with a column `weeks` that says which.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm.calibration.forecasting.forecast import best_naive, naive, score
from lpm.calibration.forecasting.naive import LogLinear, Persistence

ORIGINS = tuple(dt.date(2020, 3, 29) + dt.timedelta(days=7 * week) for week in range(4))
BOROUGHS = {"BX": "Bronx", "BK": "Brooklyn", "MN": "Manhattan", "QN": "Queens", "SI": "Staten Island"}
COUNTS = {"admissions": "HOSPITALIZED_COUNT", "deaths": "DEATH_COUNT"}
LEADS = {"deaths": "admissions"}
WEEKS = {"from the origin": 0, "epi weeks": 1}
"""Days between the last known day and the origin."""


def daily(folder: Path) -> pl.DataFrame:
    """Return the daily counts by borough to the end of June 2020: metric, start, end, group, value [people]."""
    table = pl.read_csv(folder / "nyc_covid" / "data-by-day.csv.gz", infer_schema_length=None)
    day = pl.col("date_of_interest").str.to_date("%m/%d/%Y")
    columns = [
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
    return pl.concat(columns).filter(pl.col("end") <= dt.date(2020, 6, 30))


def forecasts(counts: pl.DataFrame, before: int = 0, **options: Any) -> pl.DataFrame:
    """Return the naive forecasts from all origins; the last known day lies `before` days before the origin."""
    parts = [naive(counts, at, leads=LEADS, known=at - dt.timedelta(days=before), **options) for at in ORIGINS]
    return pl.concat(parts)


def scored(told: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one row of scores by series, origin and predictor, sums over the boroughs."""
    groups = told.group_by("series", "origin", "predictor", maintain_order=True)
    return [{"series": s, "origin": str(o), "predictor": p, **score(rows)} for (s, o, p), rows in groups]


def bar(rows: list[dict[str, Any]], series: str) -> str:
    """Return the means over the origins of the best naive row of each, in words."""
    told: list[str] = []
    for measure in ("wape", "wis"):
        best = [row for row in best_naive(rows, measure) if row["series"] == series]
        each = ", ".join(f"{row[measure]:.3g} ({row['predictor']})" for row in best)
        told.append(f"{measure}: mean {sum(row[measure] for row in best) / len(best):.3f} of {each}")
    return "; ".join(told)


def main() -> None:
    """Print the scores, and the bar."""
    counts = daily(Path(os.environ["LPM_DATA"]))
    saved: list[pl.DataFrame] = []
    for name, before in WEEKS.items():
        told = forecasts(counts, before)
        saved.append(told.with_columns(pl.lit(name).alias("weeks")))
        rows = scored(told)
        print(f"\n== {name}: series, origin, predictor, WAPE, mean WIS [people a week and borough], coverage of 90 %")
        for row in rows:
            print("{series:10} {origin} {predictor:20} {wape:9.3f} {wis:10.1f} {coverage90:5.2f}".format(**row))
        more = forecasts(
            counts, before, rules=[Persistence(7), Persistence(1, "last day"), LogLinear(7), LogLinear(10)]
        )
        for series in COUNTS:
            print(f"BAR {name}, {series}: {bar(rows, series)}")
            print(f"    with persistence of the last day alone as one more rule: {bar(scored(more), series)}")
    if len(sys.argv) > 1:
        pl.concat(saved).write_parquet(sys.argv[1])


if __name__ == "__main__":
    main()
