"""A scenario built and timed at a small size: shapes, bytes, seconds."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.memory import resident
from lpm.planning.shapes import Shapes, bytes_of, of_assembly

if TYPE_CHECKING:
    from lpm.scenarios.assembly import Assembly
    from lpm.scenarios.schema import Scenario

LEAST_SECONDS, LEAST_RUNS, MOST_RUNS = 1.0, 2, 40
"""A sample is run again until so many seconds have been stepped, within so many runs. Of every chunk the fastest
counts, so that other work on the machine shows less."""

BOUNDARIES = 5
"""Chunks of no steps that are timed."""

FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota", "after-all", "partition-id")
"""What a compiled program names without doing it."""


@dataclass(frozen=True)
class Sample:
    """What was found at one size, on one device.

    Attributes:
        agents: Number of agents.
        arcs: Arcs by layer; 0 where none are stored.
        shapes: Those of its arrays.
        parts: Bytes of arrays: "columns", "state", "layers", "sums".
        working: Bytes that a step holds beside them, by the compiled program.
        accessed: Bytes that a step reads and writes, by the compiled program and the rows that loops walk.
        live: Bytes of live arrays of the process that the sample made, just after a chunk.
        host: Most bytes of memory that building took on the host, above what was held before; None = unknown here.
        held: Bytes that the process held before.
        process: Most bytes of memory that the process had, compiling and stepping included; None = unknown here.
        building: Seconds of making people and networks.
        compiling: Seconds.
        step: Seconds a step, over all steps of the first arm; the fastest of several times.
        cpu: Seconds of processors a step, of all threads together.
        boundary: Seconds of a chunk without steps.
        operations: Operations of the compiled chunk, each of which begins by itself.
    """

    agents: int
    arcs: Mapping[str, int]
    shapes: Shapes
    parts: Mapping[str, int]
    working: int
    accessed: int
    live: int
    host: int | None
    held: int
    process: int | None
    building: float
    compiling: float
    step: float
    cpu: float
    boundary: float
    operations: int

    @property
    def total(self) -> int:
        """Bytes of arrays while it is stepped, those of the compiled program included."""
        return sum(self.parts.values()) + self.working * self.shapes.devices


def sample(scenario: Scenario, *, devices: int = 1, steps: int | None = None) -> Sample:
    """Build a scenario as it is, compile it and time the first arm.

    Args:
        scenario: A checked scenario of the size that is wanted.
        devices: Number of devices, that many have to be there.
        steps: Steps that are timed; None = all.

    Raises:
        InputError: What only the people or the networks can show to be wrong.
    """
    from lpm.scenarios.assembly import assemble
    from lpm.scenarios.options import silent

    counted = _reset_peak()
    before, held = live_bytes(), resident()
    clock = time.perf_counter()
    assembly = assemble(scenario, devices, silent)
    building = time.perf_counter() - clock
    peak = max(_peak() - held, 0) if counted else None
    runner = Runner(assembly)
    total = min(steps or scenario.steps, scenario.steps)
    best, cpu, spent, live = list[float](), list[float](), 0.0, 0
    for turn in range(MOST_RUNS):
        if turn >= LEAST_RUNS and spent >= LEAST_SECONDS:
            break
        chunks, busy = runner.run(total)
        best = [min(each) for each in zip(best, chunks, strict=True)] if turn else chunks
        cpu = [min(each) for each in zip(cpu, busy, strict=True)] if turn else busy
        spent, live = spent + sum(chunks), max(live, runner.live - before)
    parts = runner.parts | {"columns": bytes_of(assembly.agents), "layers": bytes_of(assembly.world)}
    arcs = {name: facts.arcs for name, facts in assembly.networks.items()}
    boundary, count = runner.boundary(), operations(runner.advance.as_text())
    return Sample(
        assembly.population.size, arcs, of_assembly(assembly), parts, runner.working, runner.accessed, live, peak, held,
        _peak() if counted else None, building, runner.compiling, sum(best) / total, sum(cpu) / total, boundary, count,
    )  # fmt: skip


class Runner:
    """The first arm of an assembly, compiled.

    Attributes:
        member: Its only member.
        compiling: Seconds of compiling.
        working: Bytes that the compiled chunk holds beside its arguments and results.
        parts: Bytes of the state and of the sums of a chunk.
        accessed: Bytes that a step reads and writes.
        live: Bytes of all live arrays at the end of the last run.
    """

    def __init__(self, assembly: Assembly, chunk: int | None = None):
        """Compile."""
        from lpm.ops.dispatch import using
        from lpm.simulation import Simulation

        self.assembly, self.model, self.simulation = assembly, assembly.model, assembly.simulation
        if chunk is not None:
            self.model = replace(self.model, capacity=min(chunk, assembly.scenario.steps))
            self.simulation = Simulation(self.model)
        self.member = assembly.member(assembly.arms[0], 0, assembly.params)
        clock = time.perf_counter()
        state = self._start()
        with using(self.model.backend):
            function: Any = self.simulation._advance  # pyright: ignore[reportPrivateUsage]
            self.advance: Any = function.lower(state, self.member, assembly.world, np.int32(0), np.int32(0)).compile()
        self.compiling = time.perf_counter() - clock
        self.working = int(self.advance.memory_analysis().temp_size_in_bytes)
        self.accessed = self._accessed()
        self.parts, self.live = {"state": bytes_of(state)}, 0

    def _accessed(self) -> int:
        """Return the bytes of a step: the compiled program does not know what is within the loops that walk rows."""
        from lpm.ops.dispatch import chosen, using

        told: Any = self.advance.cost_analysis()
        costs: Mapping[str, float] = told[0] if isinstance(told, list) else told or {}
        count = costs.get("bytes accessed", 0.0) * self.model.shards
        with using(self.model.backend):
            loops = chosen("neighbours")[0] == "numba"
        if loops:
            layers = self.assembly.world.layers.values()
            count += sum(bytes_of((layer.sources, layer.starts, layer.columns)) for layer in layers)
        return round(count)

    def _start(self) -> Any:
        import jax

        assembly = self.assembly
        made = self.simulation.start(assembly.agents, self.member, assembly.tables, assembly.ties)
        return jax.block_until_ready(made)

    def run(self, steps: int) -> tuple[list[float], list[float]]:
        """Return the seconds of every chunk of so many steps from a fresh state, and those of all processors.

        The sums are brought to the host.
        """
        import jax

        state, at, found, busy = self._start(), 0, list[float](), list[float]()
        while at < steps:
            count = min(self.model.capacity, steps - at)
            clock, cpu = time.perf_counter(), time.process_time()
            state, sums = self.advance(state, self.member, self.assembly.world, np.int32(at), np.int32(count))
            for each in jax.tree.leaves(jax.block_until_ready((state, sums))[1]):
                np.asarray(each)
            found.append(time.perf_counter() - clock)
            busy.append(time.process_time() - cpu)
            at += count
            self.parts["sums"] = bytes_of(sums)
            self.live = live_bytes()
        return found, busy

    def boundary(self) -> float:
        """Return the seconds of a chunk without steps."""
        import jax

        state, best = self._start(), float("inf")
        for _ in range(BOUNDARIES):
            clock = time.perf_counter()
            none: Any = np.int32(0)
            state, sums = self.advance(state, self.member, self.assembly.world, none, none)
            jax.block_until_ready((state, sums))
            best = min(best, time.perf_counter() - clock)
        return best


def operations(program: str) -> int:
    """Return how many operations of a compiled program begin by themselves: what is fused counts as one."""
    count = 0
    for part in re.split(r"\n\s*\n", program):
        if re.match(r"\s*%?(fused_|parallel_fused)", part):
            continue
        named = re.findall(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*?\s([a-z][\w\-]*)\(", part, re.MULTILINE)
        count += sum(name not in FREE for name in named)
    return count


def live_bytes() -> int:
    """Return the bytes of all live arrays of this process."""
    import jax

    return sum(int(each.nbytes) for each in jax.live_arrays() if not each.is_deleted())


def _reset_peak() -> bool:
    """Let Linux count the largest resident memory anew; False where that cannot be done.

    What was freed and is held for reuse is given back first, so that what is taken from now on shows.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # of the GNU library
    except (OSError, AttributeError, TypeError):
        return False
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int:
    """Return the largest resident memory since it was counted anew, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resident()
