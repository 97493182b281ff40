"""What `lpm plan` and `lpm.plan` do: the scenario that is asked for, and its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpm.errors import InputError

if TYPE_CHECKING:
    from lpm.planning.plan import Plan


MOST_DEVICES = 65_536
"""Most devices of a plan. A guess: what the largest machines have."""

MOST_PARTS = 8
"""Parts into which XLA cuts a CPU for the samples of a plan on several devices, at most."""


def plan(
    scenario: str | Path,
    *,
    agents: int | None = None,
    devices: int = 1,
    device: str | None = None,
    memory: int | str | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    steps: int | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    backend: str | None = None,
    quiet: bool = True,
) -> Plan:
    """Return what a scenario needs at a size on devices: memory, exchange, seconds per step, and what limits it.

    It is built and timed here at small sizes; nothing of the size that is asked for is made.

    Args:
        scenario: A built-in name ("nyc-covid") or the path of a TOML file.
        agents: Number of agents to plan for; None = the scenario's own.
        devices: Number of devices over which they are spread.
        device: "h200", "a100", ... (`lpm.planning.devices`), or "cpu" for this machine; None = what is here.
        memory: Bytes that a device may have, or a text ("2GB"); None = what it has.
        arms: Only these arms.
        seeds: How many seeds, or which ones.
        steps: Number of steps.
        set: Values by path, or texts ("seir.beta=0.03").
        backend: "auto", "xla", "numba" or "pallas".
        quiet: Show no progress on stderr.

    Raises:
        InputError: Something that does not fit, in one line.
    """
    from lpm import asking, progress
    from lpm.memory import bytes_of

    limit = bytes_of(memory, "--memory") if isinstance(memory, str) else memory
    if limit is not None and limit < 1:
        raise InputError(f"--memory: expected more than nothing, got {limit}")
    if device is not None:
        from lpm.planning.devices import find

        find(device)  # a wrong name is told before anything takes time
    if not 1 <= devices <= MOST_DEVICES:
        raise InputError(f"--devices: expected 1 to {MOST_DEVICES}, got {devices}")
    if devices > 1:
        asking.force_devices(min(devices, MOST_PARTS))
    asked = asking.chosen(str(scenario), agents=agents, steps=steps, seeds=seeds, arms=arms, sets=set, backend=backend)
    from lpm.planning import planner

    with progress.bar(quiet) as told:
        return planner.plan(asked, agents=agents, devices=devices, device=device, memory=limit, progress=told)
