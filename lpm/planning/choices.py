"""What a plan chooses: backend, steps of a chunk, runs side by side, number of devices; each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lpm.errors import InputError
from lpm.memory import batch_size, in_words
from lpm.network import LIMIT
from lpm.planning.memory import Memory

LOST = 0.01
"""Most of a chunk's time that its boundaries may take. A guess."""

MOST_AGENTS = 2**31 - 1
"""Most agents of one run: positions are 32-bit (outside ids would do for 2^32)."""


@dataclass(frozen=True)
class Choice:
    """One choice: what, and why."""

    value: str | int
    why: str


@dataclass(frozen=True)
class Limit:
    """Something that a run must stay below.

    Attributes:
        what: In words.
        asked: What the plan needs.
        most: What there can be.
        devices: Number of devices from which on it is met; None = no number helps.
    """

    what: str
    asked: int
    most: int
    devices: int | None

    @property
    def met(self) -> bool:
        """Whether the plan stays below it."""
        return self.asked <= self.most


def backend(steps: Mapping[str, float], agents: int, forced: str | None, platform: str) -> Choice:
    """Return the backend to run on.

    Args:
        steps: Seconds of a step by backend, timed here; empty where nothing could be timed.
        agents: At how many agents.
        forced: What the scenario or the caller names, None = "auto".
        platform: What the plan is for: "cpu", "gpu".
    """
    if forced is not None:
        return Choice(forced, "named by the scenario or the option")
    if not steps:
        return Choice("xla", f"the loops of numba need a CPU; what is planned for is a {platform}")
    best = min(steps, key=lambda name: steps[name])
    told = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in sorted(steps.items(), key=lambda p: p[1]))
    if len(steps) == 1:
        return Choice(best, "the only one that works here")
    return Choice(best, f"the fastest of those timed here at {agents:,} agents ({told} a step)")


def chunk(step: float, boundary: float | None, steps: int, engine: int) -> Choice:
    """Return the most steps between two looks of the host.

    Args:
        step: Seconds of a step.
        boundary: Seconds of a chunk without steps; None = not known.
        steps: Steps of a run.
        engine: What `lpm run` takes.
    """
    if boundary is None:
        return Choice(min(engine, steps), "what lpm run takes; what a boundary takes there is not measured")
    wanted = max(1, math.ceil(boundary / (LOST * max(step, 1e-9))))
    chosen = min(max(wanted, min(engine, steps)), steps)
    lost = boundary / (chosen * step + boundary) if step else 0.0
    return Choice(chosen, f"a boundary takes {1e3 * boundary:.2g} ms: {lost:.1%} of a chunk of {chosen} steps")


def batch(agents: int, steps: int, memory: Memory, limit: int, taken: int, beside: bool) -> Choice:
    """Return how many runs `lpm sweep` puts into a batch.

    Args:
        agents: Number of agents.
        steps: Steps of a run.
        memory: Of one device.
        limit: Bytes that there are.
        taken: Bytes that are taken whatever the number of runs.
        beside: The runs of a batch go side by side.
    """
    from lpm.sweeps.running import useful as worth

    each = memory.run if beside else memory.run - memory.parts["working"]  # one after the other shares that
    useful = worth(agents, steps)
    try:
        fits = batch_size(each, limit, taken=taken + memory.run - each)
    except InputError:
        return Choice(0, f"a run takes {in_words(memory.run)} beside {in_words(taken)}: more than {in_words(limit)}")
    if useful == 1:
        return Choice(1, f"{agents * steps:,.0f} agents x steps of one run fill a call")
    how = "side by side" if beside else "one after the other in a call"
    if fits < useful:
        return Choice(fits, f"{how}; memory: {in_words(each)} a run, {in_words(limit)} in all ({useful} would help)")
    return Choice(useful, f"{how}; calls of {useful * agents * steps:,.0f} agents x steps, {fits:,} runs would fit")


def devices_needed(
    memory: Memory, others: int, room: int, agents: int, shared: bool = False
) -> tuple[int | None, tuple[Limit, ...]]:
    """Return the least number of devices, None where no number helps, and what limits.

    Args:
        memory: Of one device.
        others: Bytes of other devices' columns that a device holds where there are several.
        room: Bytes that arrays can fill on one device.
        agents: Number of agents.
        shared: All devices share one memory, as the parts of a CPU do.
    """
    alone = memory.spread + memory.parts["whole"] + memory.parts["sums"]
    fixed = memory.parts["whole"] + memory.parts["sums"] + others
    by_memory: int | None = 1
    if alone > room and shared:
        by_memory = None
    elif alone > room:
        by_memory = max(2, math.ceil(memory.spread / (room - fixed))) if room > fixed else None
    by_rows = max(1, math.ceil(memory.slots * memory.devices / LIMIT))
    limits = (
        Limit("bytes of memory", memory.total * (memory.devices if shared else 1), room, by_memory),
        Limit("arc slots of a layer (32-bit row ends)", memory.slots, LIMIT, by_rows),
        Limit("agents of a run (32-bit positions)", agents, MOST_AGENTS, 1 if agents <= MOST_AGENTS else None),
    )
    numbers = [limit.devices for limit in limits]
    return (None if None in numbers else max(each for each in numbers if each is not None)), limits
