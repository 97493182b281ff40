"""How near `lpm plan` comes: predicted from small sizes, and measured at the size itself, in one process each.

Usage: python tests/benchmarks/plan.py [SCENARIO:AGENTS[:BACKEND] ...]   (nyc-covid:1e5 nyc-covid:1e6 mini:1e6 unless
given). A scenario is a built-in name or a file. Machines are noisy: prediction and measurement take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ASKED = ("nyc-covid:1e5", "nyc-covid:1e6", "mini:1e6")

PLAN = """
import json, sys
from lpm.planning import asked as planned
name, agents, backend = sys.argv[1:]
print(json.dumps(planned.plan(name, agents=int(agents), backend=backend).as_data()))
"""

MEASURE = """
import json, sys
from lpm import asking
from lpm.planning import planner, sample
name, agents, backend = sys.argv[1:]
scenario = planner.scenario_at(asking.chosen(name), int(agents), backend)
found = sample.sample(scenario)
arcs, arm = sum(found.arcs.values()), scenario.arms[0].name
told = {"step": found.step, "cpu": found.cpu, "live": found.live, "working": found.working}
print(json.dumps(told | {"arcs": arcs, "arm": arm}))
"""
"""What is measured at the size itself: seconds a step, live bytes, and the compiled program's working space."""


def main(asked: list[str]) -> None:
    """Print a table: predicted, measured and their ratio, of seconds, bytes of arrays, and the process's peak."""
    print(f"{'scenario':<28} {'what':<28} {'predicted':>12} {'measured':>12} {'ratio':>6}")
    for each in asked:
        name, agents, *rest = each.split(":")
        size = str(int(float(agents)))
        plan = json.loads(_out([sys.executable, "-c", PLAN, name, size, rest[0] if rest else "auto"]))
        backend = str(plan["backend"]["value"])
        real = json.loads(_out([sys.executable, "-c", MEASURE, name, size, backend]))
        run = _run(name, size, backend, real["arm"])
        arrays = plan["memory_total"] - plan["memory"]["working"]
        rows: list[tuple[str, float, float]] = [
            ("ms a step", 1e3 * plan["seconds_per_step"], 1e3 * real["step"]),
            ("CPU ms a step", 1e3 * plan["cpu_seconds_per_step"], 1e3 * real["cpu"]),
            ("ms a step, lpm run", 1e3 * plan["seconds_per_step"], 1e3 * run["seconds"]["per_step"]),
            ("MB of arrays", arrays / 1e6, real["live"] / 1e6),
            ("MB of working space", plan["memory"]["working"] / 1e6, real["working"] / 1e6),
            ("MB of the process, lpm run", (plan["process"] or 0) / 1e6, run["peak_memory_mb"] * 1.048576),
            ("arcs", sum(plan["arcs"].values()), real["arcs"]),
        ]
        for what, predicted, measured in rows:
            told = f"{name} {size} {backend}"
            print(f"{told:<28} {what:<28} {predicted:>12,.3f} {measured:>12,.3f} {predicted / measured:>6.2f}")


def _run(name: str, size: str, backend: str, arm: str) -> dict[str, Any]:
    """Return run.json of the first arm with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        _out([
            sys.executable, "-m", "lpm", "run", name, "--agents", size, "--seeds", "1", "--backend", backend,
            "--arms", arm, "--out", str(out), "--quiet",
        ])  # fmt: skip
        return json.loads((out / "run.json").read_text("utf-8"))


def _out(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:] or list(ASKED))
