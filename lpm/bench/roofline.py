"""What the memory of this machine allows, measured in the same run on the sizes of the task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lpm.types import HostArray


def roofline(indices: HostArray, agents: int, width: int) -> float:
    """Return the least seconds of a dense step over these arcs, the best of three.

    It is the larger of two times: streaming indices, row ends and states once, and gathering one value per arc at
    random, both measured here with plain compiled loops.

    Args:
        indices: int32 [arcs].
        agents: Number of agents.
        width: Bytes of the gathered value, 1 or 4.
    """
    gather, stream = _loops()
    values = np.ones(agents, {1: np.uint8, 4: np.float32}[width])
    gathers = min(_timed(gather, indices, values) for _ in range(3))
    bytes_of = indices.nbytes + 4 * agents + 2 * values.nbytes
    block = np.ones(max(bytes_of // 8, 1 << 20), np.int64)
    streams = min(_timed(stream, block) for _ in range(3)) * bytes_of / block.nbytes
    return max(gathers, streams)


def _timed(function: Callable[..., Any], *arguments: Any) -> float:
    clock = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - clock


def _loops() -> tuple[Callable[..., Any], Callable[..., Any]]:
    import numba

    @numba.njit(parallel=True)
    def gather(indices: Any, values: Any) -> Any:
        total = 0
        for e in numba.prange(len(indices)):
            total += np.int64(values[indices[e]])
        return total

    @numba.njit(parallel=True)
    def stream(block: Any) -> Any:
        total = 0
        for i in numba.prange(len(block)):
            total += block[i]
        return total

    few = np.zeros(8, np.int32)
    for kind in (np.uint8, np.float32):
        gather(few, np.ones(8, kind))
    stream(np.ones(8, np.int64))
    return gather, stream
