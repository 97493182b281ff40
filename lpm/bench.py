"""Timing: seconds per step of a task, beside what this machine's memory allows, measured in the same run.

The roofline of a dense step is the larger of two times: streaming indices, row ends and states once, and gathering one
value per arc at random. Both rates are measured here, on the sizes of the task, with plain compiled loops.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lpm.errors import unknown
from lpm.types import HostArray

GRAPHS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "er": ("erdos-renyi", {"mean_degree": 10.0}),
    "ba": ("barabasi-albert", {"ties": 5}),
    "ws": ("watts-strogatz", {"neighbours": 10, "rewiring": 0.1}),
}
"""Networks of 10 arcs an agent."""

TASKS: Mapping[str, tuple[Mapping[str, float], int]] = {
    "sir": ({"beta": 0.05, "gamma": 0.1, "initial": 0.01}, 1),
    "degroot": ({"weight": 0.5}, 4),
    "network": ({}, 0),
}
"""Parameters, and bytes of the value that is gathered along each arc; "network" times the building alone."""


def main(task: str, *, agents: int, graph: str, steps: int, backend: str, as_json: bool) -> None:
    """Time a task and print what was found.

    Raises:
        InputError: No such task, or a backend that has not what the task needs.
    """
    if task not in TASKS:
        raise unknown("bench", "task", task, TASKS)
    found = measure(task, agents, graph, steps, backend)
    if as_json:
        print(json.dumps(found))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{task} on {graph}, {agents:,} agents", show_header=False)
    for name, value in found.items():
        shown = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name, shown)
    Console().print(table)


def measure(task: str, agents: int, graph: str, steps: int, backend: str) -> dict[str, Any]:
    """Return the figures of the contract's line for one task."""
    import jax

    from lpm.kernel import find
    from lpm.metrics import Metric, recorder
    from lpm.network import layout
    from lpm.networks import find as builder_of
    from lpm.ops.dispatch import using
    from lpm.ops.neighbours import row_width
    from lpm.policy import Arm, plan, policy_data
    from lpm.population import Population
    from lpm.scenarios.manifest import peak_memory_mb
    from lpm.simulation import Behaviour, Member, Model, Simulation, World

    values, width = TASKS[task]
    name, settings = GRAPHS[graph]
    builder = builder_of(name, "bench")
    people = Population.build(agents, () if not width else find(task, "bench").columns, {})
    tiny = Population.build(1_000, (), {})
    builder.build(1, builder.Params(**settings), tiny, (0, 1_000))  # compiles
    clock = time.perf_counter()
    network = builder.build(1, builder.Params(**settings), people, (0, agents))
    setup = time.perf_counter() - clock
    roof = roofline(network.indices, agents, max(width, 1))
    line = {
        "task": task, "graph": graph, "agents": agents, "arcs": network.arcs, "steps": steps, "backend": backend,
        "device": str(jax.devices()[0]), "seconds_per_step": 0.0, "agent_updates_per_s": 0.0, "edge_updates_per_s": 0.0,
        "peak_rss_mb": 0.0, "setup_s": setup, "compile_s": 0.0, "roofline_seconds_per_step": roof,
    }  # fmt: skip
    if width:
        kernel = find(task, "bench")
        counted = Metric("counted", "stock", "state", (1,)) if task == "sir" else Metric("counted", "mean", "opinion")
        arm, count = Arm("bench"), recorder([counted], people.schema)
        made = plan([arm], ("contacts",))
        model = Model((Behaviour(task, kernel, ("contacts",)),), count, made, tuple(people.schema.values()),
                      backend=backend, capacity=steps)  # fmt: skip
        simulation = Simulation(model)
        with using(backend):
            width = row_width()
        world = World(simulation.place({"contacts": layout(network, width=width)}))
        params = kernel.Params(**{k: np.float32(v) for k, v in values.items()})
        params = replace(params, **{f: np.float32(getattr(params, f)) for f in params.__dataclass_fields__})
        one = Member(np.zeros(2, np.uint32), {task: params}, policy_data(arm, made, steps))  # type: ignore[arg-type]
        member = jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)
        agents_there = simulation.place(dict(people.columns))

        def run(first: int, length: int) -> float:
            state = jax.block_until_ready(simulation.start(agents_there, member))
            begin = time.perf_counter()
            jax.block_until_ready(simulation.advance(state, member, world, first, length))
            return time.perf_counter() - begin

        begin = time.perf_counter()
        run(0, 1)
        line["compile_s"] = time.perf_counter() - begin
        seconds = min(run(0, steps) for _ in range(3)) / steps
        line |= {
            "seconds_per_step": seconds,
            "agent_updates_per_s": agents / seconds,
            "edge_updates_per_s": network.arcs / seconds,
        }
    return line | {"peak_rss_mb": peak_memory_mb()}


def roofline(indices: HostArray, agents: int, width: int) -> float:
    """Return the least seconds of a dense step over these arcs: max of streaming and of random gathers, best of three.

    Args:
        indices: int32 [arcs].
        agents: Number of agents.
        width: Bytes of the gathered value.
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
