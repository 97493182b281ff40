"""A run's folder as a run writes it, from invented waves: five arms, four seeds, 60 groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.derived import ratio, reproduction, share
from lpm.effects import effects
from lpm.results import Trajectory, join, write_bytes, write_frame
from lpm.score import score

START, REPORT = date(2020, 2, 1), date(2020, 2, 29)
BOROUGHS = {
    "Bronx": 1_418_207,
    "Brooklyn": 2_559_903,
    "Manhattan": 1_628_706,
    "Queens": 2_253_858,
    "Staten Island": 476_143,
}
AGES = {
    "0-4": 0.06,
    "5-17": 0.15,
    "18-24": 0.09,
    "25-34": 0.18,
    "35-44": 0.14,
    "45-54": 0.12,
    "55-64": 0.12,
    "65-74": 0.08,
    "75+": 0.06,
}
RISK = dict(zip(AGES, (2e-5, 1e-5, 8e-5, 3e-4, 8e-4, 2e-3, 7e-3, 2e-2, 7e-2), strict=True))
ARMS = {
    "as it happened": 51,
    "one week earlier": 44,
    "two weeks earlier": 37,
    "no orders": 62,
    "protect those over 65": 51,
}
METRICS: dict[str, dict[str, Any]] = {
    "infections": {"title": "Infections", "unit": "people", "kind": "flow", "by": ["borough", "age"]},
    "admissions": {"title": "Hospital admissions", "unit": "people", "kind": "flow", "by": ["borough", "age"]},
    "occupancy": {"title": "People in hospital", "unit": "people", "kind": "stock", "by": ["borough"]},
    "deaths": {"title": "Deaths", "unit": "people", "kind": "flow", "by": ["borough", "age"]},
    "attack_rate": {"title": "Attack rate", "unit": "1", "kind": "share", "by": ["borough", "age"]},
    "r_t": {"title": "Reproduction number R(t)", "unit": "1", "kind": "reproduction", "by": ["borough"]},
    "ifr": {"title": "Infection fatality", "unit": "1", "kind": "ratio", "by": ["age"]},
}
KINDS = {name: about["kind"] for name, about in METRICS.items()}


def one_pair(arm: str, seed: int, steps: int, grouped: bool, dated: bool = True) -> Trajectory:
    """Return an epidemic wave with noise: a logistic rise until the arm's order, then a decline."""
    rng = np.random.default_rng([seed, 7])
    day = np.arange(steps)
    turn, ceiling = ARMS[arm], 0.32 if arm == "no orders" else 0.2
    growth = np.where(day < turn, 0.2, -0.06 if arm != "no orders" else -0.1)
    curve = np.exp(np.cumsum(growth))
    curve *= min(ceiling, 0.17 * np.exp(0.16 * (turn - 51))) / curve.sum()
    cells = [(b, a) for b in BOROUGHS for a in AGES]
    people = np.array([BOROUGHS[b] * AGES[a] for b, a in cells])
    shield = np.array([0.45 if arm.startswith("protect") and a in ("65-74", "75+") else 1.0 for _, a in cells])
    lead = {"Bronx": 1.25, "Brooklyn": 1.05, "Manhattan": 0.7, "Queens": 1.1, "Staten Island": 0.85}
    scale = np.array([lead[b] for b, _ in cells]) * people * shield * rng.lognormal(0, 0.03)
    infections = rng.poisson(curve[:, None] * scale / 8.34) * 8.34
    risk = np.array([RISK[a] for _, a in cells])

    def later(series: np.ndarray, lag: int) -> np.ndarray:
        return np.vstack([np.zeros((lag, series.shape[1])), series[:-lag]])

    deaths = rng.poisson(later(infections, 20) * risk / 8.34) * 8.34
    admissions = rng.poisson(later(infections, 10) * np.minimum(3 * risk, 0.25) / 8.34) * 8.34
    stay = np.stack([admissions[max(0, t - 9) : t + 1].sum(0) for t in range(steps)])
    groups, picks = ["all"], [np.ones(len(cells), bool)]
    if grouped:
        for borough in BOROUGHS:
            groups.append(f"borough={borough}")
            picks.append(np.array([b == borough for b, _ in cells]))
        for age in AGES:
            groups.append(f"age={age}")
            picks.append(np.array([a == age for _, a in cells]))
        for b, a in cells:
            groups.append(f"borough={b};age={a}")
            picks.append(np.array([(b, a) == cell for cell in cells]))
    take = np.array(picks, float).T
    sums = {"infections": infections, "admissions": admissions, "occupancy": stay, "deaths": deaths}
    values = {name: series @ take for name, series in sums.items()}
    values["people"] = np.tile(people @ take, (steps, 1))
    values["attack_rate"] = share(values["infections"], values["people"])
    values["r_t"] = reproduction(values["infections"], 5.5, 4.0, least=90.0)
    values["ifr"] = ratio(values["deaths"], values["infections"])
    for name, about in METRICS.items():
        for index, group in enumerate(groups):
            named = {part.split("=")[0] for part in group.split(";")} - {"all"}
            if not named <= set(about["by"]):
                values[name][:, index] = np.nan
    ordered = {name: values[name] for name in (*METRICS, "people")}
    return Trajectory(arm, seed, tuple(groups), ordered, START if dated else None)


def about_run(arms: list[str], seeds: int, steps: int, dated: bool) -> dict[str, Any]:
    """Return a run.json as a run writes it."""
    ages = list(AGES)
    near = np.array([[2.6 * np.exp(-abs(i - j) / 1.4) + 0.25 for j in range(len(ages))] for i in range(len(ages))])
    bins = list(range(0, 41))
    poisson = lambda mean: [float(v) for v in np.exp(-0.5 * ((np.arange(41) - mean) / mean**0.5) ** 2) * 1e5]  # noqa: E731
    shift = {"one week earlier": -7, "two weeks earlier": -14}
    return {
        "name": "nyc-covid",
        "title": "The first wave of COVID-19 in New York City",
        "description": "What if the orders of March 2020 had come one or two weeks earlier, or not at all, or if only "
        "those over 65 had been protected?",
        "assumptions": [
            "The fall in contacts is the effect of orders plus a voluntary part; arms shift the orders alone.",
            "Nobody who recovers is infected again before the end of June 2020.",
        ],
        "calibrated": False,
        "start": str(START) if dated else None,
        "step": "1d",
        "steps": steps,
        "report_from": str(REPORT) if dated else 28,
        "draws": None,
        "seeds": list(range(1, seeds + 1)),
        "versions": {"lpm": "0.1.0", "jax": "0.10.2", "numpy": "2.3.1", "polars": "2.1.0", "python": "3.11.9"},
        "devices": ["cpu:0"],
        "backend": {"neighbour reduction": "numba", "group reduction": "xla"},
        "agents": 1_000_000,
        "people": 8_336_817.0,
        "weight": 8.336817,
        "arcs": {"household": 1_910_000, "school": 4_020_000, "work": 6_100_000, "community": 4_300_000},
        "seconds": {"build": 3.2, "compile": 4.1, "run": 91.0, "per_step": 0.031, "total": 99.1},
        "peak_memory_mb": 2412.0,
        "interrupted": False,
        "arms": [
            {
                "name": arm,
                "description": f"Arm {arm}.",
                "interventions": [
                    {
                        "name": "schools closed",
                        "label": "orders",
                        "when": str(date(2020, 3, 16) + timedelta(shift.get(arm, 0))),
                        "whom": "everybody",
                        "what": "school contacts times 0.05",
                        "source": "Executive Order 202.4 of the State of New York",
                    },
                    {
                        "name": "stay at home",
                        "label": "orders",
                        "when": str(date(2020, 3, 22) + timedelta(shift.get(arm, 0))),
                        "whom": "everybody",
                        "what": "work and community contacts reduced by the series orders_work",
                        "source": "Executive Order 202.8",
                    },
                ]
                if arm != "no orders"
                else [],
            }
            for arm in arms
        ],
        "costs": {},
        "metrics": METRICS,
        "groups": {"borough": list(BOROUGHS), "age": ages},
        "layers": {
            name: {
                "arcs": 1_000_000,
                "mean_degree": mean,
                "degree_bins": bins,
                "degree_counts": poisson(mean),
                "source": "Mistry et al. 2021, Nature Communications 12:323",
                "facts": {"participants": 812_000, "most contacts": 40},
                **(
                    {"mixing": {"levels": ages, "generated": (near * 1.02).tolist(), "published": near.tolist()}}
                    if name == "community"
                    else {}
                ),
            }
            for name, mean in {"household": 1.9, "school": 9.0, "work": 7.0, "community": 12.0}.items()
        },
        "population": {
            "facts": {"Mean household size": 2.58, "In care homes": "0.55 % of people, 7 % of those over 75"},
            "marginals": [
                {
                    "name": "borough",
                    "level": name,
                    "published": count / 8_336_817,
                    "generated": count / 8_336_817 * 1.0004,
                }
                for name, count in BOROUGHS.items()
            ]
            + [
                {"name": "age", "level": name, "published": part, "generated": part * 0.998}
                for name, part in AGES.items()
            ]
            + [
                {"name": "household size", "level": str(k), "published": part, "generated": part * 1.01}
                for k, part in enumerate((0.32, 0.28, 0.16, 0.13, 0.06, 0.03, 0.02), 1)
            ],
        },
        "parameters": [
            {
                "path": "seir.beta",
                "value": 0.045,
                "unit": "1",
                "meaning": "chance of infection per contact and day",
                "source": "Davies et al. 2020, doi:10.1038/s41591-020-0962-9",
            },
            {
                "path": "seir.susceptibility",
                "value": dict.fromkeys(ages, 1.0) | {"0-4": 0.4, "75+": 1.47},
                "unit": "1",
                "meaning": "susceptibility by age",
                "source": "Zhang et al. 2020, doi:10.1126/science.abb8001",
            },
            {"path": "seir.latent", "value": 3.5, "unit": "d", "meaning": "mean latent stage", "source": "guess"},
        ],
        "sources": ["NYC Department of Health and Mental Hygiene, daily counts by borough", "Mistry et al. 2021"],
    }


def write_run(
    folder: Path,
    arms: list[str] | None = None,
    seeds: int = 4,
    steps: int = 150,
    grouped: bool = True,
    dated: bool = True,
    observed: bool = True,
    **changes: Any,
) -> Path:
    """Write a whole run's folder: realistic waves, five arms, four seeds, 60 groups unless told otherwise."""
    arms = arms or list(ARMS)
    pairs = [one_pair(arm, seed, steps, grouped, dated) for arm in arms for seed in range(1, seeds + 1)]
    frame = join(pair.to_frame() for pair in pairs)
    write_frame(folder / "trajectory.parquet", frame)
    write_frame(folder / "effects.parquet", effects(frame, KINDS, REPORT if dated else 28))
    run = about_run(arms, seeds, steps, dated) | changes
    if observed and dated and grouped:
        truth = one_pair("as it happened", 99, steps, True).to_frame()
        rows: list[dict[str, Any]] = [
            {"metric": metric, "start": REPORT + timedelta(7 * w), "end": REPORT + timedelta(7 * w + 6), "group": group}
            for metric in ("admissions", "deaths")
            for group in ["all", *(f"borough={name}" for name in BOROUGHS)]
            for w in range((steps - 28) // 7)
        ]
        for row in rows:
            mine = truth.filter((pl.col("group") == row["group"]) & pl.col("time").is_between(row["start"], row["end"]))
            row["value"] = round(float(mine[row["metric"]].sum()) * 1.08)
            row["source"] = "NYC DOHMH, daily counts"
        table = pl.DataFrame(rows).cast({"value": pl.Float64})
        write_frame(folder / "observed.parquet", table)
        run["score"] = [row for row in score(frame, table, KINDS) if row["arm"] == arms[0]]
    write_bytes(folder / "run.json", json.dumps(run).encode())
    return folder


@pytest.fixture(scope="session")
def run_folder() -> Callable[..., Path]:
    """Return the function that writes a run's folder."""
    return write_run


@pytest.fixture(scope="session")
def run_facts() -> Callable[..., dict[str, Any]]:
    """Return the function that gives a run.json."""
    return about_run
