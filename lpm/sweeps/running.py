"""Running jobs: batch after batch, the next one under way while the rows of the last are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl

from lpm import watch
from lpm.errors import InputError
from lpm.memory import batch_size, memory_limit
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import Progress, silent
from lpm.sweeps.batch import World, world
from lpm.sweeps.jobs import Job, Jobs
from lpm.sweeps.rows import Rows, columns, failures, rows_of

BATCH = 2e7
"""Agents x steps of a batch: some tenths of a second on a CPU, so that Ctrl-C is heard and calls cost nothing."""

MOST = 256
"""Most runs side by side."""

BESIDE = 30_000
"""Largest population of which runs are moved side by side (vmap) rather than one after the other within a call (map):
below it XLA's costs of starting an operation outweigh what the caches hold (`tests/benchmarks/sweeps.py batches`)."""

COPIES = 4
"""Times that the state of a batch is held at once: before and after a step, what is computed between, and the batch
whose rows are being made. A guess on the safe side."""

KEYS = 6
"""Columns of a row of the trajectory beside its figures: run, arm, seed, step, date, group."""

PART = 0.2
"""Seconds of work, at least, between two writings of finished jobs: what a kill can cost, or one batch."""


@dataclass(frozen=True)
class Part:
    """Finished jobs `first` to `last` (exclusive)."""

    first: int
    last: int
    rows: Rows


class Worker:
    """Runs ranges of jobs; keeps the world of the last one."""

    def __init__(self, jobs: Jobs, trajectory: bool, memory: int | None = None, progress: Progress = silent):
        """Prepare; nothing is built before it is used.

        Args:
            jobs: All jobs of the sweep.
            trajectory: Keep every step.
            memory: Bytes that may be used; None = what there is.
            progress: Told what is being built.
        """
        self.jobs, self.trajectory, self.memory, self.progress = jobs, trajectory, memory, progress
        self.seconds = {"build": 0.0, "run": 0.0}
        self._number = -1
        self._world: World | str = ""

    def parts(self, first: int, last: int, left: int) -> Iterator[Part]:
        """Yield the jobs `first` to `last`, all of one world, part by part.

        Args:
            first: First job.
            last: Behind the last.
            left: Jobs that are left to do in all; batches are not made larger than that is worth.
        """
        begun = time.perf_counter()
        number = int(self.jobs.world[self.jobs.job(first).run])
        if number != self._number:
            self._number, self._world = number, ""  # the last one's memory goes first
            self._world = self._made(number, left)
        self.seconds["build"] += time.perf_counter() - begun
        begun = time.perf_counter()
        made: list[Rows] = []
        at, since = first, begun
        for end, rows in self._batches(first, last):
            made.append(rows)
            now = time.perf_counter()
            if now - since >= PART or end == last:
                yield Part(at, end, _joined(made))
                made, at, since = [], end, time.perf_counter()
        self.seconds["run"] += time.perf_counter() - begun

    def _made(self, number: int, left: int) -> World | str:
        """Return a world, or why it cannot be."""
        try:
            scenario = self.jobs.within(number)
            assembly = assemble(scenario, 1, self.progress)
        except InputError as error:
            if isinstance(error.__cause__, OSError) or not self.jobs.structure:
                raise
            return str(error)
        size, batching = choice(assembly, left, self.memory)
        return world(self.jobs, assembly, size, batching)

    def _batches(self, first: int, last: int) -> Iterator[tuple[int, Rows]]:
        """Yield what the jobs up to each end of a batch leave behind."""
        place = self._world
        if isinstance(place, str):
            yield last, _refused([(self.jobs.job(n), place) for n in range(first, last)], self.jobs, self.trajectory)
            return
        before: Callable[[], tuple[int, Rows]] | None = None
        for at in range(first, last, place.size):
            end = min(at + place.size, last)
            after = self._begun(place, at, end)
            if before is not None:
                yield before()
            before = after
        if before is not None:
            yield before()

    def _begun(self, place: World, first: int, last: int) -> Callable[[], tuple[int, Rows]]:
        """Start a batch, and return what waits for it and makes its rows."""
        every = [self.jobs.job(number) for number in range(first, last)]
        refused = [(job, place.refused(job)) for job in every]
        jobs = [job for job, why in refused if not why]
        never = [(job, why) for job, why in refused if why]
        under_way = place.begin(jobs) if jobs else None

        def finished() -> tuple[int, Rows]:
            if under_way is None:
                return last, _refused(never, self.jobs, self.trajectory, place.assembly)
            state, pieces = under_way
            sums = place.finish(pieces, len(jobs))
            rows = rows_of(
                place.assembly, jobs, sums, watch.told(place.assembly.model, state, len(jobs)), self.trajectory
            )
            if never:
                summary = pl.concat([rows.summary, failures(place.assembly, never)], how="diagonal")
                rows = Rows(summary, rows.trajectory)
            return last, rows

        return finished


def choice(assembly: Assembly, left: int, memory: int | None) -> tuple[int, str]:
    """Return how many runs are in a batch, and whether side by side ("vmap") or one after the other ("map").

    Args:
        assembly: The world.
        left: Jobs left to do.
        memory: Bytes that may be used; None = what there is.

    Raises:
        InputError: Not even one run fits.
    """
    agents, steps = assembly.population.size, assembly.scenario.steps
    wanted = useful(agents, steps)
    wanted = -(-left // -(-left // wanted))  # as few batches, of equal size
    size = batch_size(COPIES * bytes_of(assembly), memory_limit(memory), most=wanted)
    return size, "vmap" if size > 1 and beside(assembly) else "map"


def useful(agents: int, steps: int) -> int:
    """Return the most runs in a batch that are worth it."""
    return int(min(MOST, max(1.0, BATCH / (agents * steps))))


def beside(assembly: Assembly) -> bool:
    """Return whether the runs of a batch go side by side rather than one after the other."""
    small = assembly.population.size <= BESIDE
    return small and not assembly.simulation.divided(*_one(assembly), assembly.world)


def bytes_of(assembly: Assembly) -> int:
    """Return the bytes of one run: its state, the sums of its steps on device and host, and the rows made of them."""
    recorder = assembly.model.recorder
    groups = sum(1 for _ in recorder.groups(recorder.by))
    step = 2 * sum(each.nbytes for each in assembly.simulation.shapes().values())
    step += 8 * groups * (len(columns(assembly)) + KEYS)
    return sum(_nbytes(leaf) for leaf in jax.tree.leaves(_one(assembly)[0])) + assembly.scenario.steps * step


def _one(assembly: Assembly) -> tuple[Any, Any]:
    """Return the shapes of the state of one run, and its member."""
    member: Any = assembly.member(assembly.arms[0], 0, dict(assembly.params))
    state = jax.eval_shape(assembly.simulation.start, assembly.agents, member, assembly.tables, assembly.ties)
    return state, member


def _nbytes(leaf: Any) -> int:
    return int(np.prod(leaf.shape, dtype=np.int64)) * np.dtype(leaf.dtype).itemsize


def _refused(failed: Sequence[tuple[Job, str]], jobs: Jobs, trajectory: bool, assembly: Any = None) -> Rows:
    """Return the rows of jobs none of which ran."""
    if assembly is not None:
        return Rows(failures(assembly, failed), None)
    keys = {"run": pl.Int64, "arm": pl.String, "seed": pl.Int64, "status": pl.String, "group": pl.String}
    arms = [arm.name for arm in jobs.scenario.arms]
    rows = [(job.run, arms[job.arm], job.seed, told, "all") for job, told in failed]
    return Rows(pl.DataFrame(rows, schema=keys, orient="row"), None)


def _joined(made: Sequence[Rows]) -> Rows:
    whole = [each.trajectory for each in made if each.trajectory is not None]
    return Rows(
        pl.concat([each.summary for each in made], how="diagonal"), pl.concat(whole, how="diagonal") if whole else None
    )
