"""How nyc-covid grows with the number of agents: one process each, one arm, one seed.

Usage: python tests/benchmarks/scaling.py [agents ...]   (100000 1000000 8300000 unless given)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(sizes: list[int]) -> None:
    """Print a table: arcs, seconds of building, compiling and per step, whole process, and peak memory."""
    print(f"{'agents':>10} {'arcs':>12} {'build s':>8} {'compile s':>9} {'step ms':>8} {'whole s':>8} {'peak MB':>8}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            command = [
                sys.executable, "-m", "lpm", "run", "nyc-covid", "--agents", str(size), "--seeds", "1",
                "--arms", "as it happened", "--out", str(out), "--quiet",
            ]  # fmt: skip
            clock = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            whole = time.perf_counter() - clock
            facts = json.loads((out / "run.json").read_text("utf-8"))
        seconds = facts["seconds"]
        print(
            f"{size:>10,} {sum(facts['arcs'].values()):>12,} {seconds['build']:>8.1f} {seconds['compile']:>9.1f} "
            f"{1e3 * seconds['per_step']:>8.1f} {whole:>8.1f} {facts['peak_memory_mb']:>8,.0f}"
        )


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [100_000, 1_000_000, 8_300_000])
