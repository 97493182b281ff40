"""The folder of a sweep: what was asked, the finished parts, and the tables that are made of them.

`scenario.toml`, `design.parquet` and `sweep.json` are written before the first run and say all that a run's numbers
depend on; of several processes that begin at once the first writes them, and the others compare. A finished part is a
pair of files in `parts/` named by its jobs; what is there is never run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from lpm.errors import InputError
from lpm.parquet import intact, read_frame, sink_frame, write_bytes, write_frame
from lpm.scenarios import loader, lock, resolved
from lpm.scenarios.schema import Scenario
from lpm.sweeps.axes import Axis
from lpm.sweeps.design import Design
from lpm.sweeps.jobs import Jobs
from lpm.sweeps.rows import OK, Rows

PARTS = "parts"
"""Folder of the finished parts."""

SHARDS = "shards"
"""Folder of the locks of shares that are being run."""

PATIENCE = 30.0
"""Seconds for which a process waits for another one that begins the same sweep."""

DIGITS = 10
_NAME = re.compile(rf"(\d{{{DIGITS}}})-(\d{{{DIGITS}}})\.summary\.parquet")

KEYS = ("run", "arm", "seed", "status", "group")
"""The first columns of `summary.parquet`."""


@dataclass(frozen=True)
class Opened:
    """A sweep as its folder holds it.

    Attributes:
        folder: The folder.
        scenario: The scenario without what is swept.
        design: The runs, those of later rounds included.
        told: `sweep.json`.
    """

    folder: Path
    scenario: Scenario
    design: Design
    told: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """What every part carries."""
        return str(self.told["fingerprint"])

    @property
    def trajectory(self) -> bool:
        """Whether every step is kept."""
        return not self.told["summary_only"]


def fingerprint(scenario: Scenario, design: Design, trajectory: bool) -> str:
    """Return a digest of all that a sweep's numbers depend on: scenario, files, first design, and what is kept."""
    told = (resolved.fingerprint(scenario), design.digest(), trajectory)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def begin(folder: Path, scenario: Scenario, design: Design, facts: Mapping[str, Any], trajectory: bool) -> Opened:
    """Write what is asked into a folder, or find that it is there already.

    Raises:
        InputError: The folder holds another sweep, or cannot be written.
    """
    mark = fingerprint(scenario, design, trajectory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made: {error.strerror or error}") from error
    with alone(folder):
        if (folder / "sweep.json").is_file():
            there = opened(folder)
            if there.fingerprint != mark:
                other = difference(there, scenario, design, trajectory)
                raise InputError(f"--out {folder}: holds another sweep ({other})")
            return there
        try:
            resolved.write(scenario, folder)
        except OSError as error:
            raise InputError(f"--out {folder}: cannot be written: {error.strerror or error}") from error
        write_frame(folder / "design.parquet", design.frame)
        told = {
            **facts,
            "kind": design.kind,
            "base": design.base,
            "paths": [axis.told(scenario) for axis in design.axes],
            "summary_only": not trajectory,
            "design": design.digest(),
            "fingerprint": mark,
        }
        write_told(folder, told)
    return Opened(folder, scenario, design, told)


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Hold a folder for a moment; processes that begin the same sweep at once wait for one another.

    Raises:
        InputError: Another process holds it for long.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            handle = lock.hold(folder)
            break
        except InputError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.release(folder, handle)


def check_shards(folder: Path) -> None:
    """Refuse a folder of which a share is being run.

    Raises:
        InputError: One is.
    """
    for each in (folder / SHARDS).glob("*"):
        lock.check(each)


def write_told(folder: Path, told: Mapping[str, Any]) -> None:
    """Write `sweep.json`."""
    write_bytes(folder / "sweep.json", (json.dumps(told, indent=1, default=str) + "\n").encode())


def opened(folder: Path) -> Opened:
    """Read what a folder's sweep was asked.

    Raises:
        InputError: It is the folder of no sweep, or damaged.
    """
    file = folder / "sweep.json"
    try:
        told = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"'{folder}': expected the folder of a sweep, got one without sweep.json") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(told, dict) or not {"paths", "fingerprint", "kind", "summary_only"} <= {*told}:
        raise InputError(f"{file}: expected the sweep.json of a sweep, got another file")
    facts = cast("dict[str, Any]", told)
    frame = read_frame(folder / "design.parquet")
    axes = tuple(
        Axis(each["path"], each["scale"], each["low"], each["high"], tuple(each.get("values") or ()))
        for each in facts["paths"]
    )
    design = Design(str(facts["kind"]), axes, frame, facts.get("base"))
    if not {"run", "round", *design.paths} <= {*frame.columns}:
        raise InputError(f"{folder / 'design.parquet'}: expected the columns run, round, {', '.join(design.paths)}")
    first = replace(design, frame=frame.filter(pl.col("round") == 0))
    if facts.get("design") != first.digest():
        raise InputError(f"{folder / 'design.parquet'}: is not the design that this sweep was begun with")
    return Opened(folder, loader.load(str(folder / "scenario.toml")), design, facts)


def difference(there: Opened, scenario: Scenario, design: Design, trajectory: bool) -> str:
    """Return in what a folder's sweep differs from the one that is asked."""
    first = there.design.frame.filter(pl.col("round") == 0)
    if resolved.fingerprint(there.scenario) != resolved.fingerprint(scenario):
        return "of another scenario, other arms, seeds or values; see its scenario.toml"
    if there.trajectory != trajectory:
        return "one " + ("with every step: leave out --summary" if there.trajectory else "with --summary")
    if first.columns != design.frame.columns or not first.equals(design.frame):
        return "of another design; see its design.parquet"
    return "written by another version"


def parts_in(folder: Path) -> list[tuple[int, int]]:
    """Return the ranges [first, last) of the finished parts, ascending; one that was cut off may overlap another."""
    place = folder / PARTS
    names = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
    return [(int(found[1]), int(found[2])) for name in names if (found := _NAME.fullmatch(name))]


def finished(folder: Path) -> list[tuple[int, int]]:
    """Return the ranges [first, last) of finished jobs, ascending, each job once."""
    made: list[tuple[int, int]] = []
    for first, last in parts_in(folder):
        covered = made[-1][1] if made else 0
        if last > covered:
            made.append((max(first, covered), last))
    return made


def left(done: Sequence[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Return the ranges between `first` and `last` that are not among the finished ones."""
    made: list[tuple[int, int]] = []
    at = first
    for begin, end in done:
        if end <= at or begin >= last:
            continue
        if begin > at:
            made.append((at, begin))
        at = max(at, end)
    return [*made, (at, last)] if at < last else made


def write_part(folder: Path, first: int, last: int, rows: Rows, mark: str) -> None:
    """Write the rows of finished jobs; the part is there when its summary is.

    Raises:
        InputError: It cannot be written (its cause is an OSError).
    """
    name = f"{first:0{DIGITS}}-{last:0{DIGITS}}"
    if rows.trajectory is not None:
        write_frame(folder / PARTS / f"{name}.trajectory.parquet", rows.trajectory, {"sweep": mark})
    write_frame(folder / PARTS / f"{name}.summary.parquet", rows.summary, {"sweep": mark})


def gather(there: Opened, jobs: Jobs) -> pl.DataFrame:
    """Join the finished parts: write `summary.parquet`, `runs.parquet` and `trajectory.parquet`; return the summary.

    Rows are in order of run, arm and seed, whatever was finished first.

    Raises:
        InputError: No part is finished, or one is damaged or of another sweep.
    """
    done = parts_in(there.folder)
    if not done:
        raise InputError(f"'{there.folder}': no run of this sweep is finished yet")
    names = [f"{first:0{DIGITS}}-{last:0{DIGITS}}" for first, last in done]
    expect = {"sweep": there.fingerprint}
    parts = [read_frame(there.folder / PARTS / f"{name}.summary.parquet", expect) for name in names]
    arms = pl.Enum([arm.name for arm in there.scenario.arms])
    seeds = {seed: place for place, seed in enumerate(there.scenario.seeds)}
    ordered = [pl.col("run"), pl.col("arm").cast(arms), pl.col("seed").replace_strict(seeds, return_dtype=pl.Int64)]
    summary = pl.concat(sorted(parts, key=lambda part: -part.width), how="diagonal")
    summary = summary.unique(("run", "arm", "seed", "group"), keep="first", maintain_order=True)
    summary = summary.sort(ordered, maintain_order=True)
    write_frame(there.folder / "summary.parquet", summary)
    write_frame(there.folder / "runs.parquet", summary.select(KEYS[:4]).unique(maintain_order=True))
    if there.trajectory:
        pairs = [(there.folder / PARTS / f"{n}.trajectory.parquet", p) for n, p in zip(names, parts, strict=True)]
        files = [file for file, part in pairs if file.is_file() or OK in part["status"]]
        for file in files:
            intact(file)
        if files:
            whole = pl.concat([pl.scan_parquet(file) for file in files], how="vertical")
            if done != finished(there.folder):
                whole = whole.unique(("run", "arm", "seed", "step", "group"), keep="first", maintain_order=True)
            if len(jobs.worlds) > 1 or int(jobs.design.frame["round"].max() or 0):  # pyright: ignore[reportArgumentType]
                whole = whole.sort(ordered, maintain_order=True)
            sink_frame(there.folder / "trajectory.parquet", whole)
    return summary


def take_parts(there: Opened, other: Path) -> int:
    """Copy the finished parts of another folder of the same sweep, and return how many.

    Raises:
        InputError: It is of another sweep, or a part is damaged.
    """
    theirs = opened(other)
    if theirs.fingerprint != there.fingerprint or theirs.design.digest() != there.design.digest():
        raise InputError(f"--gather {other}: holds another sweep than {there.folder}, or was refined apart from it")
    here, taken = finished(there.folder), 0
    for first, last in parts_in(other):
        if left(here, first, last) != [(first, last)]:
            continue
        name = f"{first:0{DIGITS}}-{last:0{DIGITS}}"
        for kind in ("trajectory", "summary"):
            file = other / PARTS / f"{name}.{kind}.parquet"
            if file.is_file():
                read_frame(file, {"sweep": there.fingerprint})
                write_bytes(there.folder / PARTS / file.name, file.read_bytes())
        taken += 1
    return taken


def failed(summary: pl.DataFrame) -> int:
    """Return the number of jobs that failed."""
    return summary.filter(pl.col("status") != OK).height
