"""Workers as processes of this machine, each on its share of the cores.

A worker is `python -m lpm.sweeps.serve`: it reads tasks from its standard input, writes parts into the sweep's folder
and says so on its standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lpm.errors import InputError
from lpm.memory import memory_limit
from lpm.scenarios.options import Progress
from lpm.sweeps.distribute import Tasks, refuse
from lpm.sweeps.folder import Opened

MOST = 256
"""Most workers of a machine."""


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    rest: bytes = b""


def run(
    there: Opened, ranges: Sequence[tuple[int, int]], workers: int, memory: int | None, progress: Progress
) -> dict[str, float]:
    """Run ranges of jobs on worker processes; arguments and errors as `lpm.sweeps.distribute.run`."""
    if workers > MOST:
        raise InputError(f"--workers: expected at most {MOST}, got {workers}")
    tasks = Tasks(ranges, workers, progress)
    each = (memory_limit() // workers) if memory is None else memory
    seconds: dict[str, float] = {}
    alive: dict[int, _Worker] = {}
    with selectors.DefaultSelector() as selector:

        def start(number: int) -> None:
            process = _started(there, number, workers, each)
            alive[number] = _Worker(number, process)
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ, number)

        try:
            for number in range(min(workers, len(tasks.waiting))):
                start(number)
                _give(tasks, alive[number])
            while alive:
                for key, _ in selector.select():
                    worker = alive[key.data]
                    if _heard(tasks, worker, key.fd, seconds):
                        continue
                    selector.unregister(key.fileobj)
                    del alive[worker.number]
                    why = _ended(worker.process)
                    _stop(worker.process)  # closes its pipes
                    if worker.number in tasks.taken:
                        tasks.lose(worker.number, why)
                        start(worker.number)
                        _give(tasks, alive[worker.number])
        finally:
            for worker in alive.values():
                _stop(worker.process)
    return seconds


def _started(there: Opened, number: int, workers: int, memory: int) -> subprocess.Popen[bytes]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own = cores[number % len(cores) :: workers] if cores else []
    command = [sys.executable, "-m", "lpm.sweeps.serve", str(there.folder), str(memory), ",".join(map(str, own))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _give(tasks: Tasks, worker: _Worker) -> None:
    """Give a worker a task, or let it end where there is none."""
    task = tasks.take(worker.number)
    assert worker.process.stdin is not None
    try:
        if task is None:
            worker.process.stdin.close()
        else:
            worker.process.stdin.write(f"{task[0]} {task[1]} {tasks.size}\n".encode())
            worker.process.stdin.flush()
    except BrokenPipeError:  # it has died: its output says so next
        pass


def _heard(tasks: Tasks, worker: _Worker, handle: int, seconds: dict[str, float]) -> bool:
    """Heed what a worker says, and return False where it says nothing any more."""
    content = os.read(handle, 1 << 16)
    *lines, worker.rest = (worker.rest + content).split(b"\n")
    for line in lines:
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise refuse(told["error"], told["line"])
        if "seconds" in told:
            for name, value in told["seconds"].items():
                seconds[name] = seconds.get(name, 0.0) + value
        else:
            tasks.finish(worker.number, told["last"])
            if worker.number not in tasks.taken:
                _give(tasks, worker)
    return bool(content)


def _ended(process: subprocess.Popen[bytes]) -> str:
    """Wait for the end of a process, and return how it ended."""
    status = process.wait()
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
