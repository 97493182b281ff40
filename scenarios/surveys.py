"""Surveys: questions put to a sample of agents between two steps. They read columns, and nothing else.

The columns are those that metrics count: with what an intervention lays over them while it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm import results
from lpm.durations import time_of
from lpm.levers import passes
from lpm.population import Column, frame_of
from lpm.random import name_words
from lpm.scenarios.levers import filters
from lpm.scenarios.measures import Survey
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray


def due(scenario: Scenario) -> dict[int, list[Survey]]:
    """Return the surveys by the number of steps that are done when they are asked."""
    asked: dict[int, list[Survey]] = {}
    for survey in scenario.surveys:
        where = f"{scenario.label}: survey '{survey.name}'"
        if survey.at is not None:
            moments = [scenario.index(survey.at, where)]
        else:
            every = max(1, scenario.steps_of(survey.every, where))
            moments = list(range(every, scenario.steps + 1, every))
        for step in moments:
            if 0 < step <= scenario.steps:
                asked.setdefault(step, []).append(survey)
    return asked


def ask(
    scenario: Scenario,
    schema: Mapping[str, Column],
    arm: str,
    seed: int,
    step: int,
    columns: Mapping[str, HostArray],
    surveys: Sequence[Survey],
) -> list[pl.DataFrame]:
    """Return the answers to the surveys that are due after `step` steps.

    Who is asked is drawn from a stream of the survey's own, by (seed, survey, step), among present agents that pass its
    filters; nothing that a kernel draws depends on it.

    Args:
        scenario: Its label, start and length of a step.
        schema: Declared columns.
        arm: Name of the arm.
        seed: The seed.
        step: Steps that are done.
        columns: [rows] each, as metrics saw them in the last step.
        surveys: Those that are due.
    """
    frames: list[pl.DataFrame] = []
    for survey in surveys:
        chosen_by = filters(survey.where or {}, schema, f"{scenario.label}: survey '{survey.name}'")
        rows = np.flatnonzero(np.asarray(passes(chosen_by, columns)))
        low, high = name_words(f"survey:{survey.name}")
        generator = np.random.Generator(np.random.Philox(key=[(low << 32) | high, (seed << 32) | step]))
        # every agent has a number of its own: who is asked does not depend on how many others there are
        order = np.argsort(generator.random(len(columns["id"]))[rows], kind="stable")
        chosen = np.sort(rows[order[: survey.sample]])
        wanted = ["id", "weight", *(name for name in survey.ask if name not in ("id", "weight"))]
        answers = frame_of(schema, {name: columns[name][chosen] for name in wanted})
        frames.append(
            answers.select(
                pl.lit(arm).alias("arm"),
                pl.lit(seed, dtype=pl.Int64).alias("seed"),
                pl.lit(survey.name).alias("survey"),
                pl.lit(step, dtype=pl.Int64).alias("step"),
                pl.lit(time_of(scenario.start, step, scenario.step_days)).alias("time"),
                pl.all(),
            )
        )
    return frames


KEPT = "answers.parquet"
"""Answers of a pair that is not finished, beside its checkpoint."""


def keep(place: Path, answers: list[Any]) -> None:
    """Keep the answers so far beside a checkpoint that is about to be written."""
    if answers:
        results.write_frame(place / KEPT, pl.concat(answers, how="diagonal"))


def kept(place: Path, step: int) -> list[Any]:
    """Return the answers up to a checkpoint's step."""
    return [results.read_frame(place / KEPT).filter(pl.col("step") <= step)] if (place / KEPT).exists() else []


def write(folder: Path, index: int, seed: int, answers: list[Any]) -> None:
    """Write the answers of one (arm, seed): `surveys/<arm index>-<seed>.parquet`, questions not asked are null."""
    (folder / "surveys").mkdir(exist_ok=True)
    results.write_frame(folder / "surveys" / f"{index}-{seed}.parquet", pl.concat(answers, how="diagonal"))
