"""Limits on what asking may cost: how many questions at once, how many requests a second, how many in all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lpm.errors import InputError


class LimitReached(Exception):
    """The limit of calls is reached; the message names it."""


@dataclass(frozen=True)
class Limits:
    """What a build may spend.

    Attributes:
        concurrency: Questions under way together.
        per_second: Requests a second, evenly spaced; None = as they come.
        calls: Requests in all, retries and samples among them; None = as many as it takes.
        failures: Questions without an answer in a row after which a build stops asking.
    """

    concurrency: int = 1
    per_second: float | None = None
    calls: int | None = None
    failures: int = 20

    def __post_init__(self):
        """Check the numbers."""
        for name, least in (("concurrency", 1), ("calls", 0), ("failures", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"limits.{name}: expected at least {least}, got {value}")
        if self.concurrency > 1024:
            raise InputError(f"limits.concurrency: expected at most 1024, got {self.concurrency}")
        if self.per_second is not None and not (math.isfinite(self.per_second) and self.per_second > 0):
            raise InputError(f"limits.per_second: expected a rate > 0, got {self.per_second}")


class Gate:
    """Lets requests through within the limits; used by all threads of a build.

    Every request takes the next of the moments 0, 1/r, 2/r, ... that lie 1/r seconds apart, so no second has more than
    ceil(r) + 1 of them, and an idle time is not saved up.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ):
        """Open the gate; nothing has passed."""
        self._over = threading.Event()
        self.limits, self.clock, self._sleep = limits, clock, sleep or self._over.wait
        self.passed, self.next = 0, -math.inf
        self.lock = threading.Lock()

    def close(self) -> None:
        """Let nothing more through: who waits goes on at once, and ends without another attempt."""
        self._over.set()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._over.is_set()

    def rest(self, seconds: float) -> None:
        """Wait before another attempt, until then or until the gate is closed."""
        self._sleep(seconds)

    def __call__(self) -> None:
        """Wait for the next moment, and count.

        Raises:
            LimitReached: As many requests as allowed have passed, or the gate was closed.
        """
        with self.lock:
            if self.closed:
                raise LimitReached("stopped")
            if self.limits.calls is not None and self.passed >= self.limits.calls:
                raise LimitReached(f"the limit of {self.limits.calls} calls is reached")
            self.passed += 1
            if self.limits.per_second is None:
                return
            now = self.clock()
            mine = max(now, self.next)
            self.next = mine + 1 / self.limits.per_second
        if mine > now:
            self._sleep(mine - now)
            if self.closed:
                raise LimitReached("stopped")
