r"""Predicted seconds of a step.

On the machine at hand the scenario is timed at small sizes n, and

.. math:: t(n) = a + c\, n + k\, M(n), \quad M(n) = s\, A(n)\, l(w n) + B(n)\, b(n)

is fitted to the seconds of all processors with a, c, k >= 0, and brought to the clock by the ratio of both at the
largest size, which other work on the machine disturbs less than a fit to the clock: a is what a step takes whatever
the size, c the work of an agent, and M what the memory allows: A arcs, of which a share s is a look-up at random in a
table of w bytes an agent (l, measured, which rises as the table outgrows the caches), and B bytes read or written in
order (b, measured, by the bytes of all arrays). What is within the caches at all sizes cannot tell c from k, so that k
is drawn towards 1.

A device that is not here has no timing: its step is what its published bandwidth allows (`lpm.planning.devices`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lpm.planning.devices import LINKED, SCATTERED, STREAMED, Device
from lpm.planning.exchange import Exchange
from lpm.planning.rooflines import Rooflines

LOOKED = 0.35
"""Share of the arcs whose look-up a step waits for, s: rows of agents that nothing can happen to are skipped, and a
processor looks several up at once. A guess."""

PRIOR = 0.5
"""How strongly k is drawn towards 1, by the weight of a timing. A guess."""

LATER = 0.7
"""Weight of a timing by that of the next larger size, which is nearer to what is predicted. A guess."""


@dataclass(frozen=True)
class Seconds:
    """Predicted seconds of one step.

    Attributes:
        parts: Seconds by what takes them.
        here: Whether timings of the scenario on this machine are behind it.
        told: How it came about, in words.
    """

    parts: Mapping[str, float]
    here: bool
    told: str

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Work:
    """What a step of one device goes over.

    Attributes:
        agents: Agents on the device.
        arcs: Arcs on the device.
        table: Bytes of the values that arcs look up.
        width: Bytes of one of them.
        streamed: Bytes that are read or written in order.
        held: Bytes of all arrays, which say what caches they fit.
    """

    agents: int
    arcs: int
    table: int
    width: int
    streamed: int
    held: int

    def least(self, rooflines: Rooflines) -> float:
        """Return the seconds that the memory of the machine at hand allows."""
        looked = LOOKED * self.arcs * rooflines.lookup_seconds(self.table, self.width) if self.width else 0.0
        return looked + self.streamed * rooflines.byte_seconds(self.held)


@dataclass(frozen=True)
class Fitted:
    """The coefficients of the model of this file: seconds, seconds an agent, and by what memory allows."""

    fixed: float
    agent: float
    memory: float


def fit(works: Sequence[Work], seconds: Sequence[float], rooflines: Rooflines) -> Fitted:
    """Return the coefficients that fit timings best, by relative errors.

    Args:
        works: What was gone over.
        seconds: Of a step each, of all processors together.
        rooflines: Of this machine.
    """
    from scipy.optimize import nnls

    rows = [[1.0, work.agents, work.least(rooflines)] for work in works]
    weight = np.array([LATER ** (len(works) - 1 - place) for place in range(len(works))])
    matrix = np.array([[value / t for value in row] for row, t in zip(rows, seconds, strict=True)]) * weight[:, None]
    right = weight
    largest = rows[-1][2] / seconds[-1]
    matrix = np.vstack([matrix, [0.0, 0.0, PRIOR * largest]])
    right = np.append(right, PRIOR * largest)
    scale = np.maximum(np.abs(matrix).max(0), 1e-300)
    found = nnls(matrix / scale, right)[0] / scale
    return Fitted(float(found[0]), float(found[1]), float(found[2]))


def here(fitted: Fitted, work: Work, rooflines: Rooflines, sizes: Sequence[int], clock: float) -> Seconds:
    """Return the prediction for the machine at hand.

    Args:
        fitted: See `fit`.
        work: What a step goes over.
        rooflines: Of this machine.
        sizes: At which it was timed.
        clock: Seconds of the clock by those of all processors together.
    """
    parts = {
        "whatever the size": fitted.fixed * clock,
        "work of the agents": fitted.agent * work.agents * clock,
        "memory: arcs looked up, arrays read": fitted.memory * work.least(rooflines) * clock,
    }
    sized = " and ".join(f"{size:,}" for size in sizes)
    told = f"Timed here at {sized} agents, scaled by this machine's memory curves"
    return Seconds(parts, True, told)


def elsewhere(device: Device, work: Work, operations: int, exchanged: Sequence[Exchange]) -> Seconds:
    """Return what a device's published figures allow.

    Args:
        device: The device.
        work: What a step of it goes over.
        operations: Operations of a step that begin one after the other.
        exchanged: What it exchanges with others.
    """
    inside = work.table <= device.cache
    speed = device.cache_bandwidth if inside else device.bandwidth
    parts = {
        "operations begun": operations * device.launch,
        "arrays read and written": work.streamed / (device.bandwidth * STREAMED),
        "arcs looked up": work.arcs * device.sector / (speed * SCATTERED) if work.width else 0.0,
        "exchange": sum(each.sent for each in exchanged) / (device.link * LINKED),
    }
    told = (
        f"NOT measured: {STREAMED:.0%} of the published bandwidth in order, {SCATTERED:.0%} at random, "
        f"{LINKED:.0%} of its links ({device.source})"
    )
    return Seconds(parts, False, told)
