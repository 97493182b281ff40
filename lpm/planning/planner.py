"""Making a plan: the scenario is built and timed at small sizes, and what those show is scaled."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lpm.errors import InputError
from lpm.memory import memory_limit
from lpm.planning import choices, rooflines, seconds
from lpm.planning import memory as predicted
from lpm.planning.choices import Choice
from lpm.planning.devices import HERE, USABLE, Device, find, match
from lpm.planning.plan import Plan
from lpm.planning.sample import Sample, sample
from lpm.planning.shapes import FASTER, Shapes, line, on_devices, scaled
from lpm.planning.traced import PROBED, Traced, looked_up, trace

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

LARGEST_SAMPLE = 200_000
"""Agents of the largest sample, at most."""

LARGEST_TIMED = 1_000_000
"""The same where it is timed for the machine at hand: what outgrows the caches has to show."""

SMALLEST_TIMED = 5_000
"""Agents of the smallest sample that is timed, at least: in smaller ones loops do not use all cores."""

LEAST_SAMPLE = 8_000
"""Agents of the largest sample, at least, where there are as many."""

WORDS = 64
"""Least rows of a device in a sample: two words of bits."""

APART = 4
"""Sizes of the samples by each other, and the planned size by the largest, at least."""

BUSY = 0.75
"""Processes that wait by cores, from which on a machine is busy. A guess."""

Told = Callable[[str, int, int], None]
Samples = tuple[Sample, ...]
"""Samples on one backend, the smallest first; the last two show how arrays grow."""


@dataclass(frozen=True)
class Place:
    """Where a plan is for.

    Attributes:
        device: Of the table; None = the machine at hand, that is not in it.
        here: Whether it is at hand, so that timings count.
        platform: "cpu" or "gpu".
        title: What people call it.
        room: Bytes that arrays can fill on one device.
    """

    device: Device | None
    here: bool
    platform: str
    title: str
    room: int


def place(name: str | None, limit: int | None = None) -> Place:
    """Return where a plan is for.

    Args:
        name: `--device`; None = the machine at hand.
        limit: Bytes that a device may have; None = all that it has.

    Raises:
        InputError: No device of that name.
    """
    import jax

    asked = None if name is None else find(name)
    platform = jax.default_backend()
    own = jax.devices()[0]
    known = None if platform == "cpu" else match(own.device_kind)
    if asked is not None and (known is None or known.name != asked.name):
        return Place(asked, False, asked.kind, asked.title, limit or int(asked.memory * USABLE))
    if platform == "cpu" or (name or "").lower() == HERE:
        return Place(None, platform == "cpu", "cpu", "this machine's CPU", memory_limit(limit))
    stats: Any = own.memory_stats() or {}
    room = int(stats.get("bytes_limit", 0)) or (int(known.memory * USABLE) if known else memory_limit())
    return Place(known, True, platform, own.device_kind, limit or room)


def plan(
    scenario: Scenario,
    *,
    agents: int | None = None,
    devices: int = 1,
    device: str | None = None,
    memory: int | None = None,
    progress: Told = lambda stage, done, total: None,
) -> Plan:
    """Return what a scenario needs at a size on devices.

    Args:
        scenario: A checked scenario; its backend is that of the plan unless it is "auto".
        agents: Number of agents; None = the scenario's own.
        devices: Number of devices.
        device: Name of a device (`lpm.planning.devices`); None = the machine at hand.
        memory: Bytes that a device may have; None = what it has, or what this process may have here.
        progress: Told what is being done.

    Raises:
        InputError: No such device, no number of agents, or what the scenario refuses at a small size.
    """
    where = place(device, memory)
    size = agents or scenario.population.size
    if size is None:
        raise InputError(f"{scenario.label}: population.size is not told; say --agents")
    busy = _busy()
    progress("roofline", 0, 1)
    curves = rooflines.measured() if where.here else None
    progress("roofline", 1, 1)
    choice, pair = _samples(scenario, size, devices, where, progress)
    progress("tracing", 0, 1)
    used = scenario_at(scenario, pair[-1].agents, str(choice.value))
    shapes, traced = _planned(used, pair, size, devices)
    sampled = trace(pair[-1].shapes)
    held = predicted.of_device(shapes, traced, pair[-2:], sampled)
    several = _planned(used, pair, size, max(devices, PROBED)) if devices == 1 else (shapes, traced)
    others = predicted.of_device(*several, pair[-2:], sampled).parts["others"]
    width = looked_up(several[1].exchanges, several[0].rows)
    arcs = {name: _line(pair, lambda each, name=name: each.arcs[name], size) for name in pair[-1].arcs}
    parts = devices if where.platform != "cpu" else 1  # devices of a CPU share its cores
    streamed = round(_line(pair, lambda each: each.accessed, size))
    total = held.total * devices // parts
    work = seconds.Work(
        size // parts, round(sum(arcs.values())) // parts, size * width, width, streamed // parts, total
    )
    if curves is None:
        assert where.device is not None
        told = seconds.elsewhere(where.device, work, pair[-1].operations, traced.exchanges)
    else:
        works = [_work(each, width, parts) for each in pair]
        times = [each.cpu if where.platform == "cpu" else each.step for each in pair]
        fitted = seconds.fit(works, times, curves)
        told = seconds.here(fitted, work, curves, [each.agents for each in pair], pair[-1].step / times[-1])
    needed, limits = choices.devices_needed(held, others, where.room, size, shared=parts != devices)
    building = predicted.of_host(pair[-2:], devices * (held.parts["columns"] + held.parts["layers"]))
    boundary = _line(pair, lambda each: each.boundary, size) if where.here else None
    progress("tracing", 1, 1)
    return Plan(
        scenario.name, size, devices, where.title, where.here, scenario.steps,
        max(len(scenario.arms), 1) * len(scenario.seeds), {name: round(count) for name, count in arcs.items()},
        held.parts, held.total, where.room, building,
        predicted.of_process(pair, held, building, size) if where.platform == "cpu" else None,
        traced.exchanges, sum(each.sent for each in traced.exchanges), told.parts, told.step,
        told.step * pair[-1].cpu / pair[-1].step if where.here and where.platform == "cpu" else None,
        told.told, told.here,
        needed, limits, choice, choices.chunk(told.step, boundary, scenario.steps, shapes.model.capacity),
        choices.batch(size, scenario.steps, held, where.room, held.total - held.run, _beside(used, size)),
        {each.agents: each.step for each in pair}, _notes(scenario, pair, size, devices, where, busy),
    )  # fmt: skip


def _beside(sampled: Scenario, size: int) -> bool:
    """Return whether the runs of a sweep at a size would go side by side, by the scenario of a sample."""
    from lpm.scenarios.assembly import assemble
    from lpm.scenarios.options import silent
    from lpm.sweeps.running import BESIDE, beside

    return size <= BESIDE and beside(assemble(sampled, 1, silent))


def _busy() -> str:
    """Return what else keeps this machine busy, "" where nothing does."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"load {load:.1f} on {cores} cores" if load > BUSY * cores else ""


def _notes(scenario: Scenario, pair: Samples, size: int, devices: int, where: Place, busy: str) -> tuple[str, ...]:
    """Return what a reader has to know of a plan."""
    told: list[str] = []
    if busy and where.here:
        told.append(f"Other work keeps this machine busy ({busy}): seconds are those of a busy machine.")
    there = pair[-1].shapes.devices
    if there != devices and where.here:
        told.append(f"Only {there:,} of {devices:,} devices are here: seconds are scaled from as many.")
    grown = pair[-1].agents / pair[-2].agents
    for name, count in pair[-1].arcs.items():
        before = pair[-2].arcs[name]
        if before and count / before > FASTER * grown:
            told.append(f"Layer '{name}' grows faster than its agents: {before:,} arcs at {pair[-2].agents:,} agents, "
                        f"{count:,} at {pair[-1].agents:,}.")  # fmt: skip
    people = scenario.population.people
    if people is not None and size > people:
        told.append(f"More agents than the {people:,.0f} people: each stands for less than one.")
    return tuple(told)


def scenario_at(scenario: Scenario, size: int, backend: str) -> Scenario:
    """Return the scenario at a size and on a backend."""
    from lpm.scenarios import settings

    resized = settings.replaced(scenario, "population.size", size, "--agents")
    return settings.replaced(resized, "backend", backend, "--backend")


def _sizes(size: int, devices: int, timed: bool) -> list[int]:
    """Return the sizes of the samples, rising: quarters of the planned size and of each other, within bounds.

    Args:
        size: The planned size.
        devices: Number of devices of the samples.
        timed: Whether seconds count: then there is a third, and they are larger.
    """
    large, most = size, LARGEST_TIMED if timed else LARGEST_SAMPLE
    while large > most or (large == size and size >= APART * LEAST_SAMPLE):
        large //= APART
    large = max(large, min(size, WORDS * devices * APART))
    least = max(WORDS * devices, SMALLEST_TIMED if timed else 1)
    found = {large // APART**power for power in range(3 if timed else 2)}
    found = {large, *(each for each in found if each >= least)}
    return sorted(found) if len(found) > 1 else [max(large // 2, 1), large]


def _samples(scenario: Scenario, size: int, devices: int, where: Place, progress: Told) -> tuple[Choice, Samples]:
    """Return the choice of the backend, and the samples on it: on as many devices as are there."""
    import jax

    from lpm.ops import dispatch

    there = min(devices, jax.device_count())
    sizes = _sizes(size, there, where.here)
    if scenario.backend != "auto":
        names = [scenario.backend]
    elif not where.here:
        names = ["xla"]
    else:
        have = dispatch.table()["neighbours"]
        names = [n for n in dispatch.PREFERENCE[where.platform] if n in have and not dispatch.unavailable(n)]

    def taken(count: int, name: str) -> Sample:
        stage = f"timing {count:,} agents on {name}"
        progress(stage, 0, 1)
        found = sample(scenario_at(scenario, count, name), devices=there, steps=None if where.here else 1)
        progress(stage, 1, 1)
        return found

    begun = {name: taken(sizes[-2], name) for name in names}
    choice = choices.backend(
        {name: each.step for name, each in begun.items()} if where.here else {}, sizes[-2],
        None if scenario.backend == "auto" else scenario.backend, where.platform,
    )  # fmt: skip
    name = str(choice.value)
    return choice, tuple(begun[name] if count == sizes[-2] else taken(count, name) for count in sizes)


def _planned(scenario: Scenario, pair: Samples, size: int, devices: int) -> tuple[Shapes, Traced]:
    """Return the shapes at the planned size, and their trace."""
    small, large = (each.shapes for each in pair[-2:])
    if devices != large.devices:
        least = WORDS * devices
        sizes = [max(each.agents, least * more) for each, more in zip(pair[-2:], (1, APART), strict=True)]
        backend = scenario.backend
        small, large = (
            on_devices(scenario_at(scenario, count, backend), devices, each.shapes)
            for count, each in zip(sizes, pair[-2:], strict=True)
        )
    shapes = scaled(small, large, size)
    return shapes, trace(shapes)


def _line(pair: Samples, value: Callable[[Sample], float], size: int) -> float:
    small, large = pair[-2:]
    return max(line((small.agents, value(small)), (large.agents, value(large)), size), 0.0)


def _work(each: Sample, width: int, parts: int) -> seconds.Work:
    """Return what a step of a sample goes over, on one device that has its memory for itself."""
    arcs = sum(each.arcs.values())
    table, agents = each.agents * width, each.agents // parts
    return seconds.Work(agents, arcs // parts, table, width, each.accessed // parts, each.total // parts)
