"""Who runs the jobs of a sweep: this process, processes of this machine, or a Ray cluster.

Whoever runs them, a part is a range of jobs and its rows. A worker that dies takes nothing along but the part that it
was working on, which another one takes up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from lpm.errors import Fault, InputError
from lpm.scenarios.options import Progress
from lpm.sweeps import folder
from lpm.sweeps.folder import Opened
from lpm.sweeps.jobs import Jobs

TASKS = 8
"""Tasks for each worker: enough that the last to finish keeps the others waiting for little."""

DEATHS = 3
"""Deaths of workers, one after the other without a finished part between, after which it is no accident."""


class Tasks:
    """Ranges of jobs that are to be done, and by whom they are being done."""

    def __init__(self, ranges: Sequence[tuple[int, int]], workers: int, progress: Progress):
        """Cut ranges into tasks.

        Args:
            ranges: [first, last), each within one world.
            workers: Number of workers.
            progress: Told how much is done.
        """
        self.total = sum(last - first for first, last in ranges)
        self.size = max(1, -(-self.total // (TASKS * workers)))
        cut = [(at, min(at + self.size, last)) for first, last in ranges for at in range(first, last, self.size)]
        self.waiting = deque(cut)
        self.taken: dict[int, tuple[int, int]] = {}
        self.done, self.deaths, self.progress = 0, 0, progress

    def take(self, worker: int) -> tuple[int, int] | None:
        """Give a worker the next task, None where there is none."""
        if not self.waiting:
            return None
        self.taken[worker] = self.waiting.popleft()
        return self.taken[worker]

    def finish(self, worker: int, last: int) -> None:
        """Take note that a worker has finished its task up to job `last`."""
        first, end = self.taken[worker]
        self.done += last - first
        self.deaths = 0
        if last < end:
            self.taken[worker] = (last, end)
        else:
            del self.taken[worker]
        self.progress("running", self.done, self.total)

    def lose(self, worker: int, why: str) -> None:
        """Take back what a worker that has died had not finished.

        Raises:
            Fault: Workers die one after the other.
        """
        if worker in self.taken:
            self.waiting.appendleft(self.taken.pop(worker))
        self.deaths += 1
        if self.deaths >= DEATHS:
            raise Fault(f"sweep: {self.deaths} workers died one after the other ({why}); finished runs are kept")
        self.progress(f"warning: a worker died ({why}); another one takes up its runs", 0, 1)

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return bool(self.waiting or self.taken)


def run(
    there: Opened,
    jobs: Jobs,
    ranges: Sequence[tuple[int, int]],
    workers: int,
    ray: str | None,
    memory: int | None,
    progress: Progress,
) -> dict[str, float]:
    """Run ranges of jobs and write their parts; return the seconds spent building and running.

    Args:
        there: The sweep.
        jobs: Its jobs.
        ranges: [first, last), each within one world.
        workers: Processes of this machine; 0 = this process, or as many as a Ray cluster has cores.
        ray: Address of a Ray cluster; None = none.
        memory: Bytes that a process may use; None = what there is, shared between workers.
        progress: Told what is being done.

    Raises:
        InputError: Something that does not fit.
        Fault: Workers die, or a file cannot be written.
    """
    if not ranges:
        return {}
    progress("running", 0, sum(last - first for first, last in ranges))
    if ray is not None:
        from lpm.sweeps import actors

        return actors.run(there, ranges, ray, workers, memory, progress)
    if workers > 1:
        from lpm.sweeps import processes

        return processes.run(there, ranges, workers, memory, progress)
    return _here(there, jobs, ranges, memory, progress)


def _here(
    there: Opened, jobs: Jobs, ranges: Sequence[tuple[int, int]], memory: int | None, progress: Progress
) -> dict[str, float]:
    from lpm.sweeps.running import Worker

    worker = Worker(jobs, there.trajectory, memory, progress)
    left = total = sum(last - first for first, last in ranges)
    for first, last in ranges:
        for part in worker.parts(first, last, left):
            folder.write_part(there.folder, part.first, part.last, part.rows, there.fingerprint)
            left -= part.last - part.first
            progress("running", total - left, total)
    return worker.seconds


def refuse(kind: str, line: str) -> Exception:
    """Return the error that a worker tells."""
    return InputError(line) if kind == "input" else Fault(line)
