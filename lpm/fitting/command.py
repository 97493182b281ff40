"""`lpm calibrate`: fit a scenario to its data, forecast from every origin, and write the folder of the fit."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.calibration.archive import Archive
from lpm.calibration.fit import LevenbergMarquardt, fit
from lpm.calibration.forecasting import forecast as forecasts
from lpm.calibration.forecasting import misfit
from lpm.calibration.forecasting.predictive import predictive
from lpm.calibration.observation import Observation
from lpm.calibration.problem import Problem
from lpm.calibration.report import prior_intervals, write_report
from lpm.errors import InputError, faults, unknown
from lpm.fitting import begun, calibrated, free, notes, targets
from lpm.fitting.asked import Asked
from lpm.fitting.consequences import results_of
from lpm.fitting.predicted import drawn
from lpm.fitting.simulator import ScenarioSimulator, looked_at
from lpm.fitting.uncertainty import Known, checked, known
from lpm.parquet import write_bytes
from lpm.scenarios import lock, resolved
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import Progress
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

LEADS = {"deaths": "admissions"}
"""Which series comes before which, for the naive lagged ratio."""

WEEKS = 4
"""Length of a forecast, in weeks."""


@dataclass(frozen=True)
class _Work:
    """What all fits of a command share."""

    asked: Asked
    assembly: Assembly
    parameters: tuple[free.Free, ...]
    frame: pl.DataFrame
    arm: int
    progress: Progress

    @property
    def scenario(self) -> Scenario:
        return self.assembly.scenario

    def step_behind(self, day: dt.date) -> int:
        """Return the number of steps until the end of a day, at most those of the scenario."""
        start = self.scenario.start
        assert start is not None
        begin = start.date() if isinstance(start, dt.datetime) else start
        return min(self.scenario.steps, round(((day - begin).days + 1) / self.scenario.step_days))

    def problem(self, observation: Observation, steps: int) -> Problem:
        metrics = tuple(dict.fromkeys(each.metric for each in observation.series))
        arm = self.assembly.arms[self.arm]
        looked = looked_at(observation, steps)
        simulator = ScenarioSimulator(self.assembly, arm, self.parameters, metrics, steps, looked)
        told = f"{resolved.fingerprint(self.scenario)}:{arm.name}:{steps}:{[each.path for each in self.parameters]}:"
        told += f"{[(s.metric, s.begin.tolist(), s.end.tolist(), s.groups, s.delay) for s in observation.series]}"
        name = hashlib.sha256(told.encode()).hexdigest()[:16]
        archive = Archive(self.asked.folder / "checkpoints" / name, name)
        return Problem(free.space_of(self.assembly, self.parameters), observation, simulator, archive)


def calibrate(scenario: Scenario, asked: Asked, progress: Progress) -> Path:
    """Fit a scenario and write its folder: fit.json, forecast.parquet, score.json, scenario.toml, report.html.

    Raises:
        InputError: Anything that does not fit, in one line.
        Fault: A file cannot be written; what was simulated is kept and `--resume` goes on with it.
    """
    began = time.perf_counter()
    paths = asked.fit or (() if scenario.calibration is None else scenario.calibration.fit)
    if not paths:
        raise InputError(f"{scenario.label}: it marks nothing as free; say what to fit with --fit path,path")
    where = "--fit" if asked.fit else f"{scenario.label}: calibration.fit"
    origins = asked.until or (() if scenario.calibration is None else scenario.calibration.until)
    from_command = bool(asked.until)
    asked = replace(asked, fit=tuple(paths), until=tuple(origins))
    number = _arm(scenario)
    scenario, frame = targets.read(scenario, asked.data)
    targets.check_origins(frame, origins, "--until" if from_command else f"{scenario.label}: calibration.until")
    _claim(asked)
    handle = lock.hold(asked.folder)
    try:
        with faults():
            (begun.compare if asked.resume else begun.write)(asked.folder, begun.told(scenario, frame, asked))
        assembly = assemble(scenario, 1, progress)
        work = _Work(asked, assembly, free.of_paths(assembly, paths, where), frame, number, progress)
        with faults():
            return _all(work, began)
    except InputError:
        if not asked.resume:
            begun.forget(asked.folder)
        raise
    finally:
        lock.release(asked.folder, handle)


def _arm(scenario: Scenario) -> int:
    names = [arm.name for arm in scenario.arms]
    wanted = scenario.calibration.arm if scenario.calibration is not None else None
    if wanted is None:
        return 0
    if wanted not in names:
        raise unknown(f"{scenario.label}: calibration.arm", "arm", wanted, names)
    return names.index(wanted)


def _claim(asked: Asked) -> None:
    folder = asked.folder
    if folder.is_dir() and any(not each.name.startswith(lock.LOCK) for each in folder.iterdir()):
        if not asked.resume:
            raise InputError(f"--out {folder}: is not empty; choose another folder, or go on with --resume")
        lock.check(folder)
    elif asked.resume:
        raise InputError(f"--resume: there is nothing to go on with in '{folder}'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made: {error.strerror or error}") from None


def _all(work: _Work, began: float) -> Path:
    """Fit and forecast every origin, then fit everything, and write the folder."""
    asked, scenario, folder = work.asked, work.scenario, work.asked.folder
    origins = asked.until
    told, naive, rows = list[pl.DataFrame](), list[pl.DataFrame](), list[dict[str, Any]]()
    misses = list[dict[str, Any]]()
    simulations, last = 0, None
    for count, origin in enumerate(origins, 1):
        found, forecast = _origin(work, origin, last, f"fit {count} of {len(origins) + 1}, until {origin}")
        told.append(forecast)
        counts = _counts(work)
        if counts.height:
            naive.append(forecasts.naive(counts, origin, WEEKS, _leads(work.frame)))
        rows += _rows(found, work, origin)
        misses += _misfit(found, origin)
        simulations, last = simulations + found.fit.problem.simulations, found.fit.u
    blocks = targets.blocked(scenario, work.frame, work.frame["end"].max())  # pyright: ignore[reportArgumentType]
    observation = targets.observation_of(scenario, blocks, scenario.steps)
    found = _fitted(
        work, work.problem(observation, scenario.steps), last, f"fit to all data ({observation.size} figures)"
    )
    problem = found.fit.problem
    final = max(day for series in problem.observation.series for day in series.dates)
    told.append(_forecast(work, found, problem.observation, final))
    rows += _rows(found, work, None)
    misses += _misfit(found, None)
    theta = {name: values for name, values in problem.theta(found.draws(asked.draws)).items()}
    calibrated.write_draws(folder, work.assembly, work.parameters, theta)
    about = ", ".join(work.frame["metric"].unique(maintain_order=True))
    made = calibrated.scenario_at(work.assembly, work.parameters, found, about)
    resolved.write(made, folder)
    results = results_of(made, folder, asked.draws, work.progress)
    diagnosis = checked(found, work.progress) if asked.diagnose else []
    simulations += problem.simulations
    facts = {
        "title": f"{scenario.title or scenario.name}: calibrated",
        "description": scenario.description,
        "parameters": rows,
        "simulations": simulations,
        "seconds": time.perf_counter() - began,
        "results": results,
        "notes": [
            *notes.of(found, asked.posterior, work.assembly, work.parameters, rows),
            *targets.remarks(work.frame, blocks),
            *misfit.beyond(rows),
            *misfit.remarks(misses),
        ],
        "misfit": misses,
        "diagnosis": diagnosis,
        "facts": {
            "agents": work.assembly.population.size,
            "people": work.assembly.population.people,
            "observed figures": observation.size,
            "arm": work.assembly.arms[work.arm].name,
            "seeds at a point": asked.seeds,
            **{f"concentration of {s.metric}": round(getattr(s.likelihood, "k", float("nan")), 2)
               for s in problem.observation.series if hasattr(s.likelihood, "k")},
        },
    }  # fmt: skip
    write_bytes(folder / "fit.json", (json.dumps(facts, indent=1, default=float) + "\n").encode())
    everything = pl.concat(told)
    if naive:
        forecasts.write(folder, everything, pl.concat(naive))
    else:
        forecasts.write(folder, everything, pl.DataFrame(schema=forecasts.NAIVE))
    write_report(folder)
    return folder


def _origin(work: _Work, origin: dt.date, begin: HostArray | None, told: str) -> tuple[Known, pl.DataFrame]:
    """Return the fit to what was known on a day, and its forecast."""
    horizon = origin + dt.timedelta(weeks=WEEKS)
    steps, end = work.step_behind(origin), work.step_behind(horizon)
    blocks = targets.blocked(work.scenario, work.frame, origin)
    known = targets.observation_of(work.scenario, blocks.filter(pl.col("end") <= origin), steps)
    known = Observation(tuple(replace(series, as_of=origin) for series in known.series))
    found = _fitted(work, work.problem(known, steps), begin, told)
    every = targets.observation_of(work.scenario, blocks, end)
    return found, _forecast(work, found, _scattering(every, found.fit.problem.observation), origin)


def _fitted(work: _Work, problem: Problem, begin: HostArray | None, told: str) -> Known:
    method = LevenbergMarquardt(starts=work.asked.starts, seeds=work.asked.seeds)

    def tell(stage: str, done: int, of: int) -> None:
        work.progress(f"{told}: {stage}", done, of)

    try:
        found = fit(problem, method, progress=tell, begin=begin)
        return known(found, work.asked.posterior, work.asked.draws, lambda what: tell(what, 0, 1))
    finally:
        if problem.archive is not None:
            problem.archive.write()


def _scattering(observation: Observation, fitted: Observation) -> Observation:
    """Return an observation whose series scatter as those that were fitted."""
    learned = {series.metric: series.likelihood for series in fitted.series}
    return Observation(
        tuple(replace(s, likelihood=learned[s.metric]) for s in observation.series if s.metric in learned)
    )


def _forecast(work: _Work, found: Known, every: Observation, origin: dt.date) -> pl.DataFrame:
    """Return the forecast from an origin: see `lpm.calibration.forecasting.predictive`."""
    steps = max(int(series.end.max()) for series in every.series)
    problem = work.problem(every, steps)
    u, log_ratio = drawn(found.fit, found.posterior, work.asked.draws, seed=1)
    seeds = 1_000_000 + np.arange(len(u))
    parts: list[HostArray] = []
    for first in range(0, len(u), 10):
        work.progress(f"forecast from {origin}", first, len(u))
        parts.append(problem.expected(u[first : first + 10], seeds[first : first + 10]))
    work.progress(f"forecast from {origin}", len(u), len(u))
    known = [np.asarray([day <= origin for day in series.dates]) for series in every.series]
    samples, _ = predictive(every, known, np.concatenate(parts), 10 * len(u), log_ratio=log_ratio)
    found.fit.problem.ran[0] += len(u)
    told = [
        forecasts.forecast(origin, series, part)
        for series, part in zip(every.series, every.split(samples), strict=True)
    ]
    return pl.concat(told)


def _counts(work: _Work) -> pl.DataFrame:
    """Return the figures that are counts, without those of everybody where there are groups."""
    parts = [
        rows.filter(pl.col("group") != "all") if rows["group"].n_unique() > 1 else rows
        for (name,), rows in work.frame.group_by("metric", maintain_order=True)
        if work.scenario.metrics[str(name)].kind == "flow"
    ]
    return pl.concat([work.frame.clear(), *parts])


def _leads(frame: pl.DataFrame) -> dict[str, str]:
    there = set(frame["metric"].unique())
    return {late: early for late, early in LEADS.items() if {late, early} <= there}


def _rows(found: Known, work: _Work, origin: dt.date | None) -> list[dict[str, Any]]:
    priors = prior_intervals(found.fit.problem.space)
    told = str(origin or "all data")
    made = [{**row, "origin": told, "prior": priors.get(str(row["name"]))} for row in found.rows()]
    return [{**row, "outside_prior": misfit.outside(row)} for row in made]


def _misfit(found: Known, origin: dt.date | None) -> list[dict[str, Any]]:
    """Return how far a fit is from its data, told by the runs that were its last (they are in the archive)."""
    seeds = 500 + np.arange(LevenbergMarquardt().last_seeds)
    before = found.fit.problem.simulations
    rows = misfit.misfit(found.fit, seeds)
    found.fit.problem.ran[0] = before
    return [{"origin": str(origin or "all data"), **row} for row in rows]
