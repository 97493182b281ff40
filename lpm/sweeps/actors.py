"""Workers of a Ray cluster: actors that make parts, which this process writes.

Nothing is shared between machines but what Ray carries: the small files that say what is asked go out, rows come back
as parquet. An actor that dies, or whose machine does, is replaced, and its task is done again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lpm.errors import InputError
from lpm.scenarios.options import Progress
from lpm.scenarios.resolved import sources
from lpm.sweeps import folder
from lpm.sweeps.distribute import Tasks
from lpm.sweeps.folder import Opened
from lpm.sweeps.rows import Rows


class Actor:
    """What runs on a machine of the cluster."""

    def __init__(self, files: dict[str, bytes], memory: int | None):
        """Unpack the files that say what is asked.

        Args:
            files: Content by path within the sweep's folder.
            memory: Bytes that may be used; None = what there is.
        """
        from lpm.sweeps.jobs import jobs_of
        from lpm.sweeps.running import Worker

        self._folder = tempfile.TemporaryDirectory(prefix="lpm-sweep-")
        root = Path(self._folder.name)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        there = folder.opened(root)
        self._worker = Worker(jobs_of(there.scenario, there.design), there.trajectory, memory)

    def parts(self, first: int, last: int, size: int) -> Iterator[tuple[int, int, bytes, bytes | None] | str]:
        """Yield parts as (first, last, summary, trajectory), or a line that says what does not fit."""
        try:
            for part in self._worker.parts(first, last, size):
                rows = part.rows
                whole = None if rows.trajectory is None else _packed(rows.trajectory)
                yield part.first, part.last, _packed(rows.summary), whole
        except InputError as error:
            yield str(error)

    def seconds(self) -> dict[str, float]:
        """Return the seconds spent building and running."""
        return self._worker.seconds


def run(
    there: Opened,
    ranges: Sequence[tuple[int, int]],
    address: str,
    workers: int,
    memory: int | None,
    progress: Progress,
) -> dict[str, float]:
    """Run ranges of jobs on a Ray cluster.

    Args:
        there: The sweep.
        ranges: [first, last), each within one world.
        address: Of the cluster ("ray://host:10001", "auto"); "local" = one of this machine's own, ended afterwards.
        workers: Number of actors; 0 = as many as the cluster has cores.
        memory: Bytes that an actor may use; None = what its machine has.
        progress: Told what is being done.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
        Fault: Actors die, or a part cannot be written.
    """
    ray = _ray()
    try:
        own = {"num_cpus": workers or None, "include_dashboard": False} if address == "local" else {"address": address}
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray {address}: no cluster answers: {str(error).splitlines()[0][:200]}") from None
    try:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        return _run(ray, there, Tasks(ranges, count, progress), count, memory)
    finally:
        if address == "local":
            ray.shutdown()


def _run(ray: Any, there: Opened, tasks: Tasks, count: int, memory: int | None) -> dict[str, float]:
    files = ray.put(_files(there))
    kind = ray.remote(num_cpus=1, max_restarts=0)(Actor)
    actors: dict[int, Any] = {}
    streams: dict[Any, tuple[int, Any]] = {}  # the next answer of every actor: whose, and what it streams

    def listen(number: int, stream: Any) -> None:
        streams[stream] = (number, stream)

    def give(number: int) -> None:
        task = tasks.take(number)
        if task is not None:
            listen(number, actors[number].parts.options(num_returns="streaming").remote(*task, tasks.size))

    for number in range(min(count, len(tasks.waiting))):
        actors[number] = kind.remote(files, memory)
        give(number)
    while streams:
        ready, _ = ray.wait(list(streams), num_returns=1)
        for stream in ready:
            number, _ = streams.pop(stream)
            try:
                answer = ray.get(next(stream))
            except StopIteration:
                give(number)
                continue
            except ray.exceptions.RayError:
                tasks.lose(number, "its actor or machine is gone")
                actors[number] = kind.remote(files, memory)
                give(number)
                continue
            if isinstance(answer, str):
                raise InputError(answer)
            first, last, summary, trajectory = answer
            rows = Rows(_unpacked(summary), None if trajectory is None else _unpacked(trajectory))
            folder.write_part(there.folder, first, last, rows, there.fingerprint)
            tasks.finish(number, last)
            listen(number, stream)
    seconds: dict[str, float] = {}
    for actor in actors.values():
        with contextlib.suppress(ray.exceptions.RayError):  # times only; all rows are written
            for name, value in ray.get(actor.seconds.remote()).items():
                seconds[name] = seconds.get(name, 0.0) + value
    return seconds


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError("--ray: Ray is not installed; pip install 'lpm[cluster]'") from None
    return ray


def _files(there: Opened) -> dict[str, bytes]:
    """Return the files of a sweep's folder that say what is asked."""
    names = ["scenario.toml", "sweep.json", "design.parquet", *sources(there.scenario)]
    return {name: (there.folder / name).read_bytes() for name in names}


def _packed(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _unpacked(content: bytes) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(content))
