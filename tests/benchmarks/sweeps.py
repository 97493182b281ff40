"""Sweeps beside what a machine can do: `python tests/benchmarks/sweeps.py [table ...]`.

Tables: `loop` (1,024 runs of SIR on a random graph, 100 steps, by 10,000 and 500 agents: the sweep beside the loop of
compiled runs, the same updates in one large run, and one `lpm run` process a run), `overhead` (what the machinery takes
of runs of a millisecond), `batches` (runs per second by size and kind of batch, what `BESIDE` was chosen from).

What is compared takes turns in one process; the fastest of three is told.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lpm.scenarios import loader, settings
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import silent
from lpm.scenarios.schema import Scenario
from lpm.sweeps import command
from lpm.sweeps.axes import axis
from lpm.sweeps.batch import world
from lpm.sweeps.design import of_grid
from lpm.sweeps.jobs import Jobs, jobs_of
from lpm.sweeps.running import Worker, choice

RUNS, STEPS, TURNS, PROCESSES = 1_024, 100, 5, 3


def scenario_of(agents: int, steps: int = STEPS) -> Scenario:
    """Return SIR on a random graph of ten contacts each, one arm, one seed."""
    made = settings.with_arms(loader.load("mini"), ["baseline"])
    for path, value in {
        "population.size": agents,
        "population.people": float(agents),
        "steps": steps,
        "seeds": [1],
    }.items():
        made = settings.replaced(made, path, value, path)
    return made


def jobs(agents: int, runs: int = RUNS, steps: int = STEPS) -> Jobs:
    """Return so many runs over transmission rates that are nearly the same, so that one large run does what they do."""
    return jobs_of(
        scenario_of(agents, steps), of_grid([axis(f"sir.beta=0.0499:0.0501:{runs}", "--grid", counted=True)])
    )


def fastest(call: Callable[[], Any], turns: int = TURNS) -> float:
    """Return the least seconds of a call."""
    found: list[float] = []
    for _ in range(turns):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return min(found)


def swept(every: Jobs) -> Callable[[], Any]:
    """Return a call that does all jobs of a sweep, rows included, nothing written; compiled before."""
    worker = Worker(every, trajectory=True)

    def run() -> None:
        for _ in worker.parts(0, every.count, every.count):
            pass

    run()
    return run


def looped(every: Jobs, assembly: Assembly, runs: int | None = None) -> Callable[[], Any]:
    """Return a call that does the runs one after the other in compiled runs, sums read, no rows made."""
    place = world(every, assembly, 1, "map")
    members = [place._members([every.job(number)]) for number in range(runs or every.count)]  # pyright: ignore[reportPrivateUsage]
    simulation, capacity = place.simulation, place.simulation.model.capacity

    def run() -> None:
        for member in members:
            state = simulation.start(assembly.agents, member, assembly.tables, assembly.ties)
            for at in range(0, assembly.scenario.steps, capacity):
                count = min(capacity, assembly.scenario.steps - at)
                state, sums = simulation.advance(state, member, assembly.world, at, count)
                jax.tree.map(np.asarray, sums)

    run()
    return run


def bare(every: Jobs, assembly: Assembly) -> Callable[[], Any]:
    """Return a call that does the batches of a sweep, their members made before, no rows made."""
    size, batching = choice(assembly, every.count, None)
    place = world(every, assembly, size, batching)
    batches = [[every.job(n) for n in range(at, min(at + size, every.count))] for at in range(0, every.count, size)]
    members = [place._members([*batch, *[batch[0]] * (size - len(batch))]) for batch in batches]  # pyright: ignore[reportPrivateUsage]

    def run() -> None:
        waiting: list[Any] = []
        for member in members:
            state = place.simulation.start(assembly.agents, member, assembly.tables, assembly.ties)
            _, sums = place.simulation.advance(state, member, assembly.world, 0, assembly.scenario.steps)
            waiting.append(sums)
            if len(waiting) > 1:
                jax.block_until_ready(waiting.pop(0))
        jax.block_until_ready(waiting)

    run()
    return run


def loop() -> None:
    """Print the table of the sweep beside loop, one large run and processes."""
    print("| agents | sweep s | its batches alone s | loop s | one large run s | sweep / faster of the two | batch |")
    print("|---|---|---|---|---|---|---|")
    for agents in (10_000, 500):
        every = jobs(agents)
        assembly, big = assemble(every.scenario, 1, silent), assemble(jobs(agents * RUNS, 2).scenario, 1, silent)
        calls = {
            "sweep": swept(every),
            "batches": bare(every, assembly),
            "loop": looped(every, assembly),
            "large": looped(jobs_of(big.scenario, of_grid([axis("sir.beta=0.05,1", "--grid", counted=True)])), big, 1),
        }
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(TURNS):
            for name, call in calls.items():
                found[name].append(fastest(call, 1))
        best = {name: min(values) for name, values in found.items()}
        ratio = best["sweep"] / min(best["loop"], best["large"])
        told = " | ".join(f"{best[name]:.2f}" for name in calls)
        print(f"| {agents:,} | {told} | {ratio:.2f} | {choice(assembly, RUNS, None)} |", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            for number in range(PROCESSES):
                given = ["run", "mini", "--agents", str(agents), "--steps", str(STEPS), "--arms", "baseline"]
                out = ["--seeds", "1", "--out", f"{folder}/{number}", "--quiet", "--set", "sir.beta=0.05"]
                subprocess.run([sys.executable, "-m", "lpm", *given, *out], check=True, capture_output=True)
            each = (time.perf_counter() - begun) / PROCESSES
        print(
            f"one `lpm run` process {each:.1f} s: {each * RUNS / best['sweep']:,.0f} times the sweep's share of a run"
        )


def overhead() -> None:
    """Print what members, rows and files of runs of about a millisecond take beside the compiled runs themselves."""
    every = jobs(2_000, RUNS, STEPS // 2)
    assembly = assemble(every.scenario, 1, silent)
    alone, whole = bare(every, assembly), swept(every)
    found: dict[str, list[float]] = {"bare": [], "sweep": [], "files": []}
    for _ in range(TURNS):
        found["bare"].append(fastest(alone, 1))
        found["sweep"].append(fastest(whole, 1))
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            command.sweep(every.scenario, every.design, command.Asked(Path(folder) / "s"), silent)
            found["files"].append(time.perf_counter() - begun)
    bare_s, sweep_s, files_s = (min(found[name]) for name in ("bare", "sweep", "files"))
    print(f"batches alone {bare_s / RUNS * 1e3:.3f} ms a run; with members and rows {sweep_s / RUNS * 1e3:.3f} ms")
    print(
        f"machinery {(sweep_s / bare_s - 1):.1%} of the runs; whole `lpm sweep` with files and report {files_s:.1f} s"
    )


def batches() -> None:
    """Print runs per second by number of agents, size and kind of batch."""
    for agents in (500, 2_000, 5_000, 10_000, 20_000, 50_000):
        every = jobs(agents, 256)
        assembly = assemble(every.scenario, 1, silent)
        told: list[str] = []
        for batching in ("map", "vmap"):
            for size in (1, 8, 64, 256):
                if agents * size > 2_000_000:
                    continue
                place = world(every, assembly, size, batching)
                batch = [every.job(number) for number in range(size)]
                place.finish(place.begin(batch)[1], size)
                seconds = fastest(lambda place=place, batch=batch, size=size: place.finish(place.begin(batch)[1], size))
                told.append(f"{batching} {size}: {size / seconds:,.0f}")
        print(f"{agents:,} agents, runs a second: {'; '.join(told)}", flush=True)


TABLES = {"loop": loop, "overhead": overhead, "batches": batches}

if __name__ == "__main__":
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()
