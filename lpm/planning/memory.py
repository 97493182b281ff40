"""Predicted memory: of one device while it runs, and of the host while it builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lpm.planning.sample import Sample
from lpm.planning.shapes import Shapes, bytes_of, line
from lpm.planning.traced import Traced

PARTS = {
    "columns": "columns as they begin (kept for the next run)",
    "state": "state of a run",
    "layers": "network layers",
    "whole": "tables and dynamic layers, whole on every device",
    "sums": "sums of a chunk of steps",
    "others": "columns of other devices",
    "working": "working space of a step",
}
"""What the memory of a device holds, in words."""


@dataclass(frozen=True)
class Memory:
    """Predicted bytes of one device.

    Attributes:
        parts: Bytes by the names of `PARTS`.
        devices: Number of devices.
        slots: Most arc slots of a layer on one device.
    """

    parts: Mapping[str, int]
    devices: int
    slots: int

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.parts.values())

    @property
    def run(self) -> int:
        """Bytes that one more run side by side takes again."""
        return sum(self.parts[name] for name in ("state", "sums", "others", "working"))

    @property
    def spread(self) -> int:
        """Bytes of all devices together that become fewer on each, the more devices there are."""
        return self.devices * sum(self.parts[name] for name in ("columns", "state", "layers", "working"))

    @property
    def everywhere(self) -> int:
        """Bytes that every device holds, however many there are."""
        return sum(self.parts[name] for name in ("whole", "sums", "others"))


def of_device(shapes: Shapes, traced: Traced, samples: tuple[Sample, ...], sampled: Traced) -> Memory:
    """Return the predicted memory of one device.

    Args:
        shapes: Of the arrays at the size and number of devices that are planned for.
        traced: What tracing them shows.
        samples: The scenario at two small sizes, on as many devices or fewer, the smaller first.
        sampled: What tracing the larger of them shows.
    """
    small, large = samples
    rows = large.shapes.rows
    gathered = _held(sampled)
    working = line((small.shapes.rows, small.working), (rows, large.working), shapes.rows)
    others = _held(traced)
    state, model = bytes_of(traced.state), shapes.model
    parts = {
        "columns": bytes_of(shapes.sharded["agents"]),
        "state": state,
        "layers": bytes_of(shapes.sharded["world"]),
        "whole": bytes_of((shapes.whole["tables"], shapes.whole["ties"])),
        "sums": model.capacity * bytes_of(traced.sums),
        "others": others,
        "working": max(round(working - gathered * shapes.rows / rows), 0),
    }
    layers = shapes.sharded["world"].layers.values()
    return Memory(parts, shapes.devices, max((layer.sources.size for layer in layers), default=0))


def _held(traced: Traced) -> int:
    """Return the bytes of other devices' columns that a device holds in a step."""
    gathered = sum(each.held - each.operand for each in traced.exchanges if each.held > each.operand)
    visited = max((each.held for each in traced.exchanges if each.kind == "ppermute"), default=0)
    return gathered + 2 * visited  # the block that is looked at, and the next one


def of_host(samples: tuple[Sample, ...], arrays: int) -> int | None:
    """Return the bytes that building takes on the host above what the process holds; None = unknown here.

    It grows with the arrays that come of it, by what the samples took for each of their bytes.

    Args:
        samples: At two small sizes.
        arrays: Bytes of columns and layers at the planned size, of all devices.
    """
    small, large = samples
    if small.host is None or large.host is None:
        return None
    sizes = [each.parts["columns"] + each.parts["layers"] for each in samples]
    slope = (large.host - small.host) / max(sizes[1] - sizes[0], 1)
    slope = min(max(slope, 1.0), max(large.host / max(sizes[1], 1), 1.0))
    return max(round(large.host + slope * (arrays - sizes[1])), arrays)


def of_process(samples: tuple[Sample, ...], memory: Memory, building: int | None, agents: int) -> int | None:
    """Return the most bytes that a process on this CPU has, from start to end of a run; None = unknown here.

    It is the more of two: what the large sample's process had, and the arrays that come on top; and what it had before
    it built, and building.

    Args:
        samples: At two small sizes.
        memory: Of one device at the planned size.
        building: See `of_host`.
        agents: Number of agents.
    """
    large = samples[-1]
    if large.process is None or building is None:
        return None
    more = memory.total * memory.devices - large.total
    degrees = 8 * len(large.arcs) * (agents - large.agents)  # kept for the report, int64
    return max(large.process + more + degrees, large.held + building)
