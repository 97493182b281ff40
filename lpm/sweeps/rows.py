"""The rows that finished jobs leave behind, made for a whole batch at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lpm.effects import SUMMARIES
from lpm.results import PEOPLE, times
from lpm.scenarios import manifest
from lpm.scenarios.assembly import Assembly
from lpm.sweeps.jobs import Job
from lpm.types import HostArray

OK = "ok"
"""Status of a job that ran."""


@dataclass(frozen=True)
class Rows:
    """What some jobs leave behind.

    Attributes:
        summary: A row per (run, arm, seed, group), or one for a job that failed.
        trajectory: A row per (run, arm, seed, step, group) of those that did not; None where it is not kept.
    """

    summary: pl.DataFrame
    trajectory: pl.DataFrame | None


def rows_of(
    assembly: Assembly, jobs: Sequence[Job], sums: dict[str, HostArray], told: Sequence[str], trajectory: bool
) -> Rows:
    """Return the rows of a batch.

    Args:
        assembly: The world.
        jobs: Those that ran, B of them.
        sums: Exact sums of every step, [B * steps, ...].
        told: Why each job failed, "" where it did not.
        trajectory: Keep every step.
    """
    count, steps = len(jobs), assembly.scenario.steps
    groups, flat = assembly.model.recorder.roll_up(sums)
    apart = {name: _side_by_side(values, count, steps) for name, values in flat.items()}
    values = manifest.with_derived(assembly, groups * count, apart)
    cube = {name: each.reshape(steps, count, len(groups)) for name, each in values.items()}
    infinite = _infinite(cube)
    told = [own or infinite.get(number, "") for number, own in enumerate(told)]
    good = [number for number, own in enumerate(told) if not own]
    kept = {name: each[:, good] for name, each in cube.items()}
    ran = [jobs[number] for number in good]
    summary = _summary(assembly, ran, groups, kept)
    failed = [(job, own) for job, own in zip(jobs, told, strict=True) if own]
    if failed:
        summary = pl.concat([summary, failures(assembly, failed)], how="diagonal")
    whole = _trajectory(assembly, ran, groups, kept) if trajectory else None
    return Rows(summary, whole)


def failures(assembly: Assembly, failed: Sequence[tuple[Job, str]]) -> pl.DataFrame:
    """Return the rows of jobs that failed: why, and nulls."""
    names = [arm.name for arm in assembly.arms]
    empty = _summary(
        assembly, [], ("all",), {name: np.zeros((assembly.scenario.steps, 0, 1)) for name in columns(assembly)}
    )
    keys = pl.DataFrame(
        {
            "run": pl.Series([job.run for job, _ in failed], dtype=pl.Int64),
            "arm": pl.Series([names[job.arm] for job, _ in failed], dtype=pl.String),
            "seed": pl.Series([job.seed for job, _ in failed], dtype=pl.Int64),
            "status": pl.Series([why for _, why in failed], dtype=pl.String),
            "group": pl.Series(["all"] * len(failed), dtype=pl.String),
        }
    )
    return pl.concat([empty, keys], how="diagonal")


def columns(assembly: Assembly) -> list[str]:
    """Return the columns of a trajectory, "people" first."""
    return [PEOPLE, *(name for metric in assembly.metrics for name in metric.columns)]


def _side_by_side(values: HostArray, count: int, steps: int) -> HostArray:
    """Return [steps, B * groups] from [B * steps, groups]: every run's groups beside the others'."""
    groups = values.shape[1]
    return np.ascontiguousarray(values.reshape(count, steps, groups).transpose(1, 0, 2)).reshape(steps, -1)


def _infinite(cube: dict[str, HostArray]) -> dict[int, str]:
    """Return what is infinite, and where first, by run of the batch."""
    told: dict[int, str] = {}
    for name, values in cube.items():
        wrong = np.isinf(values)
        for member in np.flatnonzero(wrong.any((0, 2))) if wrong.any() else ():
            step = int(wrong[:, member].any(1).argmax())
            told.setdefault(int(member), f"{name}: infinite at step {step}")
    return told


def _summary(
    assembly: Assembly, jobs: Sequence[Job], groups: tuple[str, ...], cube: dict[str, HostArray]
) -> pl.DataFrame:
    """Return totals, peaks and finals as `lpm.effects` defines them, of what is reported."""
    scenario = assembly.scenario
    told = scenario.report_from
    first = 0 if told is None else max(0, scenario.index(told, "report_from"))
    number, group = _keys(len(jobs), len(groups))
    made: dict[str, pl.Series] = _named(assembly, jobs, number)
    made["status"] = pl.Series([OK], dtype=pl.String).gather(np.zeros(len(number), np.int64))
    made["group"] = pl.Series(groups, dtype=pl.String).gather(group)
    for metric in assembly.metrics:
        for name in metric.columns:
            part = cube[name][first:]
            for summary in SUMMARIES:
                if summary == "total" and metric.kind != "flow":
                    continue
                found = _figure(summary, part, first, scenario.step_days)
                made[f"{name}.{summary}"] = pl.Series(found.reshape(-1), dtype=pl.Float64, nan_to_null=True)
    return pl.DataFrame(made)


def _figure(summary: str, series: HostArray, first: int, dt: float) -> HostArray:
    """Return [B, groups] of [steps, B, groups], NaN where it is not defined."""
    lost = np.isnan(series)
    if summary == "total":  # added up in the order of time, whatever the shape
        return np.cumsum(series, axis=0)[-1]
    if summary == "final":
        return series[-1]
    none = lost.all(0)
    peak = np.where(none, np.nan, np.max(np.where(lost, -np.inf, series), axis=0))
    if summary == "peak":
        return peak
    least = np.min(np.where(lost, np.inf, series), axis=0)
    day = (first + np.argmax(np.where(lost, -np.inf, series), axis=0)) * dt
    return np.where(~none & (least < peak), day, np.nan)


def _trajectory(
    assembly: Assembly, jobs: Sequence[Job], groups: tuple[str, ...], cube: dict[str, HostArray]
) -> pl.DataFrame:
    steps, count = assembly.scenario.steps, len(groups)
    number = np.repeat(np.arange(len(jobs)), steps * count)
    step = np.tile(np.repeat(np.arange(steps, dtype=np.int64), count), len(jobs))
    start: dt.date | None = assembly.scenario.start
    made: dict[str, pl.Series] = _named(assembly, jobs, number)
    made["step"] = pl.Series(step, dtype=pl.Int64)
    made["time"] = times(start, assembly.scenario.step_days, steps).gather(step)
    made["group"] = pl.Series(groups, dtype=pl.String).gather(np.tile(np.arange(count), steps * len(jobs)))
    for name, values in cube.items():
        made[name] = pl.Series(values.transpose(1, 0, 2).reshape(-1), dtype=pl.Float64, nan_to_null=True)
    frame = pl.DataFrame(made)
    told = [name for name in cube if name != PEOPLE] or list(cube)
    if all(frame[name].null_count() for name in told):  # a row of which nothing is defined is left out
        frame = frame.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in told))
    return frame


def _keys(jobs: int, groups: int) -> tuple[HostArray, HostArray]:
    return np.repeat(np.arange(jobs), groups), np.tile(np.arange(groups), jobs)


def _named(assembly: Assembly, jobs: Sequence[Job], number: HostArray) -> dict[str, pl.Series]:
    names = [arm.name for arm in assembly.arms]
    told = {
        "run": pl.Series([job.run for job in jobs], dtype=pl.Int64),
        "arm": pl.Series([names[job.arm] for job in jobs], dtype=pl.String),
        "seed": pl.Series([job.seed for job in jobs], dtype=pl.Int64),
    }
    return {key: values.gather(number) for key, values in told.items()}
