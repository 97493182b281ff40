"""A worker process of a sweep: `python -m lpm.sweeps.serve FOLDER MEMORY CORES`; see `lpm.sweeps.processes`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Do the tasks that are read, "first last size" a line (size: of most tasks), and tell of every part."""
    folder_of, memory, cores = Path(arguments[0]), int(arguments[1]), arguments[2]
    if cores:
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started the workers
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer

    def tell(**told: Any) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    from lpm.errors import InputError, faults
    from lpm.sweeps import folder
    from lpm.sweeps.jobs import jobs_of
    from lpm.sweeps.running import Worker

    try:
        there = folder.opened(folder_of)
        worker = Worker(jobs_of(there.scenario, there.design), there.trajectory, memory)
        for line in sys.stdin:
            first, last, size = (int(number) for number in line.split())
            for part in worker.parts(first, last, size):
                with faults():
                    folder.write_part(there.folder, part.first, part.last, part.rows, there.fingerprint)
                tell(last=part.last)
        tell(seconds=worker.seconds)
    except BrokenPipeError:  # whoever started this worker is gone
        return 1
    except InputError as error:
        tell(error="input", line=str(error))
        return 2
    except OSError as error:
        tell(error="fault", line=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
