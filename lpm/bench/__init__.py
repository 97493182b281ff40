"""Timing: seconds per step of a task, beside what this machine's memory allows and beside peers, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpm.bench.roofline import roofline
from lpm.bench.tasks import GRAPHS, TASKS, Task
from lpm.errors import unknown

REPEATS = 3
"""Whole runs from a fresh state; the fastest counts."""


LABELS = {
    "arcs": "arcs", "steps": "steps timed", "backend": "backend", "device": "device",
    "seconds_per_step": "seconds a step",
    "roofline_seconds_per_step": "seconds a step that this machine's memory allows",
    "agent_updates_per_s": "agents a second", "edge_updates_per_s": "arcs a second",
    "setup_s": "seconds to build the network", "compile_s": "seconds to compile", "peak_rss_mb": "peak memory, MB",
}  # fmt: skip
"""What the keys of the contract's line are called in the table."""

STEPPED = (
    "steps", "backend", "seconds_per_step", "roofline_seconds_per_step", "agent_updates_per_s", "edge_updates_per_s",
    "compile_s",
)  # fmt: skip
"""Keys that only a task with steps has figures for."""


@dataclass(frozen=True)
class Runner:
    """Something that is timed.

    Attributes:
        name: What it is.
        run: Runs from a fresh state and returns the seconds that its steps took.
    """

    name: str
    run: Callable[[], float]


def main(
    task: str, *, agents: int, graph: str, steps: int | None, backend: str, as_json: bool, peers: bool = False
) -> None:
    """Time a task and print what was found.

    Raises:
        InputError: No such task, or a backend that has not what the task needs.
    """
    if task not in TASKS:
        raise unknown("bench", "task", task, TASKS)
    found, others = measure(task, agents, graph, steps, backend, peers)
    if as_json:
        print(json.dumps(found | ({"peers": others} if peers else {})))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{task} on {graph}, {agents:,} agents", show_header=False)
    for label, shown in rows(found):
        table.add_row(label, shown)
    Console().print(table)
    if others:
        beside = Table("system", "ms a step", "of lpm's", title="peers, same network, same run (more than 1 is slower)")
        for name, seconds in others.items():
            beside.add_row(name, f"{seconds * 1e3:,.3f}", f"{seconds / found['seconds_per_step']:,.2f}")
        Console().print(beside)
    elif peers:
        Console().print(f"no peer of task {task} is installed")


def rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of a task as people read them; what was not measured (steps where nothing steps) is left out.

    Args:
        found: The figures of the contract's line, see `measure`.
    """
    told: list[tuple[str, str]] = []
    stepped = found["seconds_per_step"] > 0
    for name, label in LABELS.items():
        value = found[name]
        if not stepped and name in STEPPED:
            continue
        shown = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        told.append((label, f"{value:,.0f}" if isinstance(value, float) and value >= 1000 else shown))
    return told


def measure(
    task: str, agents: int, graph: str, steps: int | None, backend: str, peers: bool = False
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the figures of the contract's line for one task, and seconds per step of the peers.

    Runs of lpm and of the peers take turns, so that a machine that is busy for a while is busy for all.
    """
    import jax

    from lpm.bench.peers import peers_of
    from lpm.kernel import find
    from lpm.memory import peak_memory_mb
    from lpm.networks import find as builder_of
    from lpm.population import Population

    asked = TASKS[task]
    count = asked.steps if steps is None else steps
    name, settings = GRAPHS[graph]
    builder = builder_of(name, "bench")
    columns = find(asked.kernel, "bench").columns if asked.kernel else ()
    people = Population.build(agents, columns, {})
    tiny = Population.build(1_000, (), {})
    builder.build(1, builder.Params(**settings), tiny, (0, 1_000))  # compiles
    clock = time.perf_counter()
    network = builder.build(1, builder.Params(**settings), people, (0, agents))
    setup = time.perf_counter() - clock
    looked = network.indices if asked.arcs else network.indices[:: max(network.arcs // agents, 1)]
    line = {
        "task": task, "graph": graph, "agents": agents, "arcs": network.arcs, "steps": count, "backend": backend,
        "device": str(jax.devices()[0]), "seconds_per_step": 0.0, "agent_updates_per_s": 0.0, "edge_updates_per_s": 0.0,
        "peak_rss_mb": 0.0, "setup_s": setup, "compile_s": 0.0,
        "roofline_seconds_per_step": roofline(looked, agents, max(asked.width, 1)),
    }  # fmt: skip
    others: dict[str, float] = {}
    if not asked.kernel:
        line["peak_rss_mb"] = peak_memory_mb()
    else:
        ours, line["compile_s"] = _ours(asked, people, network, count, backend)
        line["peak_rss_mb"] = peak_memory_mb()
        runners = [ours, *(peers_of(task, network, count) if peers else ())]
        best = dict.fromkeys((runner.name for runner in runners), float("inf"))
        for _ in range(REPEATS):
            for runner in runners:
                best[runner.name] = min(best[runner.name], runner.run() / count)
        seconds = best.pop(ours.name)
        line |= {
            "seconds_per_step": seconds,
            "agent_updates_per_s": agents / seconds,
            "edge_updates_per_s": network.arcs / seconds,
        }
        others = best
        line["peak_rss_mb"] = line["peak_rss_mb"] if peers else peak_memory_mb()
    return line, others


def _ours(task: Task, people: Any, network: Any, steps: int, backend: str) -> tuple[Runner, float]:
    """Return the runner of lpm's own kernel, compiled, and the seconds of compiling."""
    import jax

    from lpm.kernel import declarations, find
    from lpm.metrics import Metric, recorder
    from lpm.network import layout
    from lpm.ops.dispatch import using
    from lpm.ops.neighbours import row_width
    from lpm.policy import Arm, plan, policy_data
    from lpm.simulation import Behaviour, Member, Model, Simulation, World

    kernel = find(task.kernel, "bench")
    column = next((c.name for c in kernel.columns if c.levels), "")
    counted = [Metric(f"{kind}s", kind, column, task.levels) for kind in ("stock", "flow")] if task.levels else []
    arm, count = Arm("bench"), recorder(counted, people.schema)
    made = plan([arm], ("contacts",))
    behaviour = Behaviour(task.kernel, kernel, ("contacts",))
    schema = tuple(people.schema.values())
    model = Model((behaviour,), count, made, schema, backend=backend, capacity=steps)
    simulation = Simulation(model)
    with using(backend):
        width = row_width()
    world = World(simulation.place({"contacts": layout(network, width=width)}))
    values = kernel.Params(**{k: np.float32(v) for k, v in task.values.items()})
    numbers = [name for name, declared in declarations(kernel.Params).items() if not declared.choices]
    params = replace(values, **{name: np.float32(getattr(values, name)) for name in numbers})
    one = Member(np.zeros(2, np.uint32), {task.kernel: params}, policy_data(arm, made, steps))  # type: ignore[arg-type]
    member = jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)
    agents = simulation.place(dict(people.columns))
    tables: Any = {
        name: {c.name: np.zeros((task.rows[name], *c.shape), c.dtype) for c in columns}
        for name, columns in kernel.tables.items()
    }

    def run(first: int = 0, length: int = steps) -> float:
        state = jax.block_until_ready(simulation.start(agents, member, tables))
        begin = time.perf_counter()
        jax.block_until_ready(simulation.advance(state, member, world, first, length))
        return time.perf_counter() - begin

    begin = time.perf_counter()
    run(0, 1)
    return Runner("lpm", run), time.perf_counter() - begin
