"""Seconds and memory of the network builders: `python tests/benchmarks/build_networks.py [agents]`.

Each builder runs in a process of its own, after one small build that compiles it. "over" is the peak of the process's
memory during the build, beyond what it held before and beyond the arrays of the network itself. "CPU s" is the
processor time of all threads: on a machine that does nothing else, seconds are close to it over the cores.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from typing import Any

import numpy as np

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "erdos-renyi, mean 10": ("erdos-renyi", {"mean_degree": 10.0}),
    "barabasi-albert, m = 5": ("barabasi-albert", {"ties": 5}),
    "watts-strogatz, k = 10, 0.1": ("watts-strogatz", {"neighbours": 10, "rewiring": 0.1}),
    "configuration, poisson 10": ("configuration", {"mean_degree": 10.0}),
    "configuration, power law": ("configuration", {"degrees": "power-law", "exponent": 2.5, "minimum": 4}),
    "stochastic-block, 5 blocks": ("stochastic-block", {"column": "place", "mean_degrees": np.full((5, 5), 2.0)}),
    "contact-matrix, 85 ages": ("contact-matrix", {"column": "years", "matrix": "matrix"}),
    "contact-matrix, 85 x 5": ("contact-matrix", {"column": "years", "matrix": "matrix", "groups": "place"}),
    "lattice, ring 10": ("lattice", {"shape": "ring", "neighbours": 10}),
    "nearest-in-space, k = 10": ("nearest-in-space", {"neighbours": 10}),
}


def measured(name: str, values: dict[str, Any], agents: int, answer: Any) -> None:
    """Put (seconds, CPU seconds, arcs, MB of arrays, MB over them) of one build into a queue."""
    import tempfile
    from pathlib import Path

    import psutil

    from lpm.networks import find
    from lpm.population import Column, Population

    def population(size: int) -> Population:
        draw = np.random.default_rng(1)
        columns = (
            Column("years", "uint8", "age", unit="year"),
            Column("place", "uint8", "place", levels=("p", "q", "r", "s", "t")),
            Column("x", "float32", "first coordinate"),
            Column("y", "float32", "second coordinate"),
        )
        given = {"years": draw.integers(0, 85, size), "place": draw.integers(0, 5, size)}
        plane = {"x": draw.random(size, np.float32), "y": draw.random(size, np.float32)}
        return Population.build(size, columns, {**given, **plane})

    with tempfile.TemporaryDirectory() as folder:
        ages = np.arange(85)
        matrix = 0.05 + 0.25 * np.exp(-np.abs(np.subtract.outer(ages, ages)) / 6)
        np.savetxt(Path(folder) / "matrix.csv", matrix * (10 / matrix.sum(1).mean()), delimiter=",")
        given = {**values, **({"matrix": str(Path(folder) / "matrix.csv")} if "matrix" in values else {})}
        built = find(name, "benchmark")
        params = built.Params(**given)
        small, people = population(10_000), population(agents)
        built.build(1, params, small, (0, small.size))
        before = psutil.Process().memory_info().rss
        start, used = time.perf_counter(), time.process_time()
        network = built.build(1, params, people, (0, agents))
        seconds, busy = time.perf_counter() - start, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        arrays = network.indptr.nbytes + network.indices.nbytes + sum(c.nbytes for c in network.columns.values())
        answer.put((seconds, busy, network.arcs, arrays / 1e6, max(peak - before - arrays, 0) / 1e6))


def main(agents: int) -> None:
    """Print the table."""
    context = multiprocessing.get_context("spawn")
    print(
        f"{agents:,} agents\n{'builder':30} {'seconds':>8} {'CPU s':>6} {'arcs':>12} {'arrays MB':>10} {'over MB':>8}"
    )
    for label, (name, values) in CASES.items():
        answer = context.Queue()
        process = context.Process(target=measured, args=(name, values, agents, answer))
        process.start()
        seconds, busy, arcs, arrays, over = answer.get(timeout=600)
        process.join()
        print(f"{label:30} {seconds:8.2f} {busy:6.2f} {arcs:12,} {arrays:10.0f} {over:8.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
