"""What `lpm plan` chooses beside the best that was tried: backend, steps of a chunk, runs of a batch.

Usage: python tests/benchmarks/choices.py [SCENARIO:AGENTS[:PATH=LOW:HIGH] ...]. Batches are tried where a path is
named, whose values the runs of the batch take. What is compared takes turns; of each the fastest counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from lpm import asking
from lpm.ops import dispatch
from lpm.planning import planner
from lpm.planning.plan import Plan
from lpm.planning.sample import Runner
from lpm.scenarios import settings
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import silent
from lpm.scenarios.schema import Scenario
from lpm.sweeps.axes import axis
from lpm.sweeps.batch import world
from lpm.sweeps.design import of_grid
from lpm.sweeps.jobs import jobs_of
from lpm.sweeps.running import MOST, choice

ASKED = (
    "mini:500:sir.beta=0.049:0.051", "mini:10000:sir.beta=0.049:0.051", "nyc-covid:5000:community.scale=0.9:1.1",
    "mini:100000", "mini:1000000", "echo-chambers:100000", "nyc-covid:100000", "nyc-covid:1000000",
)  # fmt: skip
TURNS, CHUNKS, BATCHES, MOST_ROWS = 3, (1, 2, 4, 8, 16, 32, 64, 128), (1, 4, 16, 64, MOST), 3_000_000


def main(asked: list[str]) -> None:
    """Print a table: for each choice what was chosen, what was best, and the ratio of their seconds."""
    print("| scenario | choice | chosen | best tried | chosen / best | all, by seconds of the best |")
    print("|---|---|---|---|---|---|")
    for each in asked:
        name, agents, path = [*each.split(":", 2), ""][:3]
        scenario = settings.replaced(asking.chosen(name), "population.size", int(agents), "agents")
        plan = planner.plan(scenario, agents=int(agents))
        told = f"{name}, {int(agents):,}"
        names = [n for n in dispatch.PREFERENCE["cpu"] if n in dispatch.table()["neighbours"]]
        runners = {n: _runner(scenario, n) for n in names if not dispatch.unavailable(n)}
        _tell(told, "backend", plan.backend.value, _seconds({n: _stepped(r) for n, r in runners.items()}))
        assembly = assemble(planner.scenario_at(scenario, int(agents), str(plan.backend.value)), 1, silent)
        _tell(told, "chunk", plan.chunk.value, _seconds(_chunks(assembly, plan)))
        if path:
            size, how = choice(assembly, MOST, None)
            _tell(told, "batch", f"{how} {size}", _seconds(_batches(assembly, path, f"{how} {size}")))


def _runner(scenario: Scenario, backend: str) -> Runner:
    size = scenario.population.size
    assert size is not None
    return Runner(assemble(planner.scenario_at(scenario, size, backend), 1, silent))


def _stepped(runner: Runner) -> Callable[[], float]:
    """Return a call that tells the seconds of a run."""
    return lambda: sum(runner.run(runner.assembly.scenario.steps)[0])


def _chunks(assembly: Assembly, plan: Plan) -> dict[str, Callable[[], float]]:
    steps = assembly.scenario.steps
    sizes = sorted({min(size, steps) for size in (*CHUNKS, int(plan.chunk.value), steps)})
    return {str(size): _stepped(Runner(assembly, size)) for size in sizes}


def _batches(assembly: Assembly, path: str, chosen: str) -> dict[str, Callable[[], float]]:
    """Return a call by kind and size of batch that tells the seconds of a run in it."""
    design = of_grid([axis(f"{path}:{MOST}", "--grid", counted=True)])
    every = jobs_of(settings.with_arms(assembly.scenario, [assembly.arms[0].name]), design)
    own = assemble(every.scenario, 1, silent)
    calls: dict[str, Callable[[], float]] = {}
    sizes = sorted({*BATCHES, int(chosen.split()[1])})
    for how in ("map", "vmap"):
        for size in sizes:
            if size * own.population.size > MOST_ROWS or (how, size) == ("vmap", 1):
                continue
            place = world(every, own, size, how)
            jobs = [every.job(number) for number in range(size)]

            def call(place: Any = place, jobs: Any = jobs) -> float:
                begun = time.perf_counter()
                place.finish(place.begin(jobs)[1], len(jobs))
                return (time.perf_counter() - begun) / len(jobs)

            calls[f"{how} {size}"] = call
    return calls


def _seconds(calls: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Return the least seconds that each call tells, after one that compiles."""
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            found[name].append(call())
    jax.clear_caches()
    return {name: min(values) for name, values in found.items()}


def _tell(scenario: str, what: str, chosen: str | int, seconds: Mapping[str, float]) -> None:
    best = min(seconds, key=lambda name: seconds[name])
    least = seconds[best]
    every = ", ".join(f"{name} {value / least:.2f}" for name, value in seconds.items())
    print(f"| {scenario} | {what} | {chosen} | {best} | {seconds[str(chosen)] / least:.2f} | {every} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(ASKED))
