"""A plan: what a scenario needs at a size on devices, and what limits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpm.planning.choices import Choice, Limit
from lpm.planning.exchange import Exchange


@dataclass(frozen=True)
class Plan:
    """What a scenario needs.

    Attributes:
        scenario: Its name.
        agents: Number of agents.
        devices: Number of devices.
        device: What each of them is.
        here: Whether it is the machine at hand.
        steps: Steps of a run.
        runs: Runs of the scenario: arms by seeds.
        arcs: Predicted arcs by layer.
        memory: Predicted bytes of one device by part, see `lpm.planning.memory.PARTS`.
        memory_total: Their sum.
        memory_room: Bytes that there are for them.
        building: Predicted bytes of the host's memory while people and networks are built on one machine; None =
            unknown here.
        process: Predicted most bytes of memory of the whole process, where the device is this machine's CPU.
        exchange: What devices exchange in a step.
        exchange_bytes: Bytes that each device sends in a step.
        step_seconds: Predicted seconds of a step by what takes them.
        seconds_per_step: Their sum.
        cpu_seconds_per_step: Seconds of a step of all processors together; None = not of this machine's CPU.
        seconds_told: How they came about.
        measured: Whether timings on the device itself are behind them.
        needed: Least number of such devices; None = no number helps.
        limits: What limits it.
        backend: Choice of the backend.
        chunk: Choice of the steps of a chunk.
        batch: Choice of the runs side by side in a sweep.
        samples: Sizes at which it was built here, with seconds a step.
        notes: What a reader has to know.
    """

    scenario: str
    agents: int
    devices: int
    device: str
    here: bool
    steps: int
    runs: int
    arcs: Mapping[str, int]
    memory: Mapping[str, int]
    memory_total: int
    memory_room: int
    building: int | None
    process: int | None
    exchange: tuple[Exchange, ...]
    exchange_bytes: float
    step_seconds: Mapping[str, float]
    seconds_per_step: float
    cpu_seconds_per_step: float | None
    seconds_told: str
    measured: bool
    needed: int | None
    limits: tuple[Limit, ...]
    backend: Choice
    chunk: Choice
    batch: Choice
    samples: Mapping[int, float]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds of stepping of all runs, one after the other."""
        return self.seconds_per_step * self.steps * self.runs

    def as_data(self) -> dict[str, Any]:
        """Return plain values, as `--json` prints them."""
        return dataclasses.asdict(self) | {"seconds": self.seconds}
