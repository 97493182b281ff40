"""`lpm sweep`: run a design, go on with one, add runs to it, join its parts, and write its tables and report."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lpm.checkpoint import warn_of_versions
from lpm.effects import SUMMARIES
from lpm.errors import InputError, faults
from lpm.parquet import write_bytes, write_frame
from lpm.scenarios import lock, manifest
from lpm.scenarios.checks import check_run
from lpm.scenarios.options import Progress
from lpm.scenarios.schema import Scenario
from lpm.sweeps import distribute, folder
from lpm.sweeps.design import Design
from lpm.sweeps.folder import Opened
from lpm.sweeps.jobs import Jobs, jobs_of


@dataclass(frozen=True)
class Asked:
    """What `lpm sweep` is asked for beyond scenario and design.

    Attributes:
        folder: Where to.
        resume: Go on with what the folder holds.
        summary: Keep a row a run, not a row a step.
        workers: Processes of this machine; 0 = this process.
        ray: Address of a Ray cluster, "local" for one of this machine's own; None = none.
        shard: (i, n): only the i-th of n equal shares of the jobs, i from 1; the folder is joined later.
        memory: Bytes that a process may use; None = what there is.
    """

    folder: Path
    resume: bool = False
    summary: bool = False
    workers: int = 0
    ray: str | None = None
    shard: tuple[int, int] | None = None
    memory: int | None = None


def sweep(scenario: Scenario, design: Design, asked: Asked, progress: Progress) -> Path:
    """Run the runs of a design that are not finished, and write the folder.

    Raises:
        InputError: Anything that does not fit, in one line, or a sweep all of whose runs failed.
        Fault: A file cannot be written; finished runs are kept.
        KeyboardInterrupt: Stopped; finished parts are kept.
    """
    check_run(scenario)
    jobs = jobs_of(scenario, design)
    _check_folder(asked)
    with faults():
        there = folder.begin(asked.folder, scenario, design, facts_of(scenario, design), not asked.summary)
    try:
        return go_on(there, asked, progress, jobs)
    except InputError:
        if not asked.resume and asked.shard is None and not folder.finished(asked.folder):
            _forget(asked.folder)
        raise


def go_on(there: Opened, asked: Asked, progress: Progress, jobs: Jobs | None = None) -> Path:
    """Run what is not finished of a folder's sweep, and write its tables.

    Args:
        there: The sweep.
        asked: How; its folder is that of `there`.
        progress: Told what is being done.
        jobs: Its jobs, where they are known already.

    Raises:
        InputError: As `sweep`.
    """
    began = time.perf_counter()
    every = jobs_of(there.scenario, there.design) if jobs is None or jobs.design is not there.design else jobs
    warning = warn_of_versions(there.told, manifest.versions())
    if warning:
        progress(f"warning: {warning}", 0, 1)
    place = there.folder
    if asked.shard is None:
        folder.check_shards(there.folder)
    else:
        with folder.alone(there.folder):  # nobody joins it or runs all of it
            pass
        place = there.folder / folder.SHARDS / f"{asked.shard[0]}-of-{asked.shard[1]}"
        place.mkdir(parents=True, exist_ok=True)
    handle = lock.hold(place)
    try:
        with faults():
            first, last = _share(every.count, asked.shard)
            ranges = every.cut(folder.left(folder.finished(there.folder), first, last))
            seconds = distribute.run(there, every, ranges, asked.workers, asked.ray, asked.memory, progress)
            if asked.shard is not None:
                return there.folder
            return join(there, every, progress, {**seconds, "total": time.perf_counter() - began})
    finally:
        lock.release(place, handle)


def join(there: Opened, jobs: Jobs, progress: Progress, seconds: dict[str, float] | None = None) -> Path:
    """Make the tables and the report of a folder's finished parts.

    Raises:
        InputError: None is finished, or every run failed.
    """
    progress("report", 0, 1)
    summary = folder.gather(there, jobs)
    bad = folder.failed(summary)
    done = sum(last - first for first, last in folder.finished(there.folder))
    told = dict(there.told) | {"runs": there.design.runs, "jobs": jobs.count, "finished": done, "failed": bad}
    told["seconds"] = _added(told.get("seconds"), seconds or {})
    folder.write_told(there.folder, told)
    if bad == done:
        why = str(summary["status"][0])
        raise InputError(f"every run failed: {why}; all of them: {there.folder / 'runs.parquet'}")
    from lpm.sweeps.report import write_report

    write_report(there.folder)
    progress("report", 1, 1)
    if bad:
        progress(f"note: {bad:,} of {done:,} simulations failed; their rows in summary.parquet say why", 0, 1)
    return there.folder


def facts_of(scenario: Scenario, design: Design) -> dict[str, Any]:
    """Return what `sweep.json` says of the scenario."""
    return {
        "name": scenario.name,
        "title": scenario.title or scenario.name,
        "description": scenario.description,
        "arms": [arm.name for arm in scenario.arms],
        "seeds": list(scenario.seeds),
        "metrics": {
            name: {
                "title": table.title or name.replace("_", " ").capitalize(),
                "unit": table.unit,
                "kind": table.kind,
                "by": list(table.by),
                "of": list(table.refers),
            }
            for name, table in scenario.metrics.items()
        },
        "headline": scenario.headline,
        "steps": scenario.steps,
        "step": scenario.step,
        "start": scenario.start,
        "report_from": scenario.report_from,
        "agents": scenario.population.size,
        "people": scenario.population.people,
        "runs": design.runs,
        "versions": manifest.versions(),
    }


def refined(there: Opened, count: int, metric: str | None, asked: Asked, progress: Progress) -> Path:
    """Add runs where the surface of a measure is least sure, and run them.

    Args:
        there: The sweep, all of it finished.
        count: Number of runs.
        metric: The measure ("attack_rate.final"); None = the headline's.
        asked: How.
        progress: Told what is being done.

    Raises:
        InputError: The sweep is not finished, or has no surface.
    """
    jobs = jobs_of(there.scenario, there.design)
    if folder.left(folder.finished(there.folder), 0, jobs.count):
        raise InputError(f"--refine: the sweep in '{there.folder}' is not finished: lpm sweep {there.folder} --resume")
    from lpm.sweeps.surface import refine

    progress("choosing runs", 0, 1)
    rows = refine(there.folder, count, None, *measure_of(metric))
    design = there.design.with_rows(rows)
    with faults():
        write_frame(there.folder / "design.parquet", design.frame)
    return go_on(replace(there, design=design), asked, progress)


def predicted(there: Opened, to: int, metric: str | None) -> Path:
    """Predict a measure at a number of agents by the scaling law; write `scaling.json` and the report.

    Args:
        there: A finished sweep over `population.size`.
        to: N.
        metric: The measure ("attack_rate.final"); None = the headline's.

    Raises:
        InputError: See `lpm.sweeps.scaling.law`.
    """
    from lpm.sweeps.report import write_report
    from lpm.sweeps.scaling import law

    arms = [arm.name for arm in there.scenario.arms]
    laws = [law(there.folder, to, arm, *measure_of(metric)).told() for arm in arms]
    with faults():
        write_bytes(there.folder / "scaling.json", (json.dumps(laws, indent=1) + "\n").encode())
        folder.write_told(there.folder, {**there.told, "predict": to})
        write_report(there.folder)
    return there.folder


def measure_of(metric: str | None) -> tuple[str | None, str | None]:
    """Return (metric, summary) of "attack_rate.final" or "attack_rate"."""
    if metric is None:
        return None, None
    name, dot, summary = metric.rpartition(".")
    return (name, summary) if dot and summary in SUMMARIES else (metric, None)


def _forget(place: Path) -> None:
    """Take away what was begun of a sweep that cannot be run."""
    for name in ("sweep.json", "design.parquet", "scenario.toml"):
        (place / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.rmdir()


def _check_folder(asked: Asked) -> None:
    """Refuse a folder with other files, and one that holds a sweep unless it is to be gone on with."""
    place = asked.folder
    try:
        names = [each.name for each in place.iterdir()] if place.is_dir() else []
    except OSError as error:
        raise InputError(f"--out {place}: cannot be read: {error.strerror or error}") from None
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place}: expected a folder, got a file")
    if asked.resume and "sweep.json" not in names:
        raise InputError(f"--resume: there is no sweep to go on with in '{place}'")
    if asked.resume or asked.shard is not None:
        return
    if "sweep.json" in names:
        raise InputError(
            f"--out {place}: holds a sweep; choose another folder, or go on with it: lpm sweep {place} --resume"
        )
    if any(not name.startswith(lock.LOCK) for name in names):
        raise InputError(f"--out {place}: expected a new or empty folder, got one with other files")


def _share(count: int, shard: tuple[int, int] | None) -> tuple[int, int]:
    if shard is None:
        return 0, count
    number, of = shard
    return count * (number - 1) // of, count * number // of


def _added(before: Any, new: dict[str, float]) -> dict[str, float]:
    """Return the seconds of this and of earlier sittings together."""
    old: dict[str, float] = before if isinstance(before, dict) else {}
    return {name: round(old.get(name, 0.0) + new.get(name, 0.0), 3) for name in {**old, **new}}


def default_folder(name: str) -> Path:
    """Return the first of runs/NAME-sweep-1, -2, ... that is not there."""
    number = 1
    while (Path("runs") / f"{name}-sweep-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-sweep-{number}"


def shard_of(text: str) -> tuple[int, int]:
    """Return (i, n) of "i/n".

    Raises:
        InputError: Something else, or i that is not between 1 and n.
    """
    one, slash, of = text.partition("/")
    if not slash or not (one.isascii() and one.isdigit() and of.isascii() and of.isdigit()):
        raise InputError(f"--shard: expected i/n, as 3/10, got '{text[:40]}'")
    if not 1 <= int(one) <= int(of):
        raise InputError(f"--shard: expected i from 1 to n, got {one[:12]} of {of[:12]}")
    return int(one), int(of)


def gathered(there: Opened, others: Sequence[Path], progress: Progress) -> Path:
    """Join a folder's finished parts and those of other folders of the same sweep.

    Raises:
        InputError: A folder of another sweep, or nothing is finished.
    """
    with faults():
        for other in others:
            folder.take_parts(there, other)
        jobs = jobs_of(there.scenario, there.design)
        missing = folder.left(folder.finished(there.folder), 0, jobs.count)
        if missing:
            count = sum(last - first for first, last in missing)
            progress(f"note: {count:,} of {jobs.count:,} simulations are not finished and are not in the tables", 0, 1)
        return join(there, jobs, progress)
