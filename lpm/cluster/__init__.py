"""One run in many processes, on one machine or on many: who takes part, what they agree on, and how it ends.

Every process is started with the same command and its own `--process-id`; process 0 waits for the others at the
coordinator's address, they compare versions, scenario and options, and only then is `jax.distributed` started. What one
process decides (is this pair finished? which checkpoint?) is told to all, so that all do the same. When a process ends
before the run is done, the others end with one line, whatever they are waiting for.

In an ordinary run there is one process, the first, and everything here is the identity.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lpm.cluster import coordinator
from lpm.cluster.arrival import Place, in_words, meet
from lpm.cluster.arrival import placed as placed
from lpm.cluster.hub import Hub
from lpm.cluster.meeting import Ending, Link
from lpm.errors import Fault, InputError

GRACE = 10.0
"""Seconds that a process has to end by itself once another one is gone; it may wait for that one for ever. A guess."""

NEWS = 5.0
"""Seconds after a failed exchange in which word comes of a process that has ended. A guess."""


@dataclass
class _Member:
    place: Place
    link: Link
    hub: Hub | None
    service: coordinator.Service | None = None
    gone: threading.Event = field(default_factory=threading.Event)
    words: Callable[[], str] = str


class _Here:
    """The run that this process takes part in; None outside of one."""

    member: _Member | None = None
    torn = False


def count() -> int:
    """Return the number of processes of the run."""
    return 1 if _Here.member is None else _Here.member.place.processes


def index() -> int:
    """Return the number of this process."""
    return 0 if _Here.member is None else _Here.member.place.process


def is_first() -> bool:
    """Return whether this process is the one that writes the folder and speaks: process 0, or the only one."""
    return index() == 0


def torn() -> bool:
    """Return whether a run of many processes has failed here, so that its runtime cannot be taken down in order."""
    return _Here.torn


def gathered(value: Any) -> list[Any]:
    """Return what every process gave, in order of their numbers; all call it in the same order.

    Args:
        value: JSON.

    Raises:
        InputError: Another process ended on bad input.
        Fault: Another process has ended.
    """
    member = _Here.member
    if member is None:
        return [value]
    found = member.link.gather(value)
    if found is None:
        raise _lost(member)
    return found


def told(value: Any) -> Any:
    """Return what the first process gave: what it decides, all do."""
    return gathered(value if is_first() else None)[0]


def barrier() -> None:
    """Wait until all processes have come here."""
    gathered(None)


def devices(shards: int) -> list[Any]:
    """Return the devices over which agents are spread, the first ones of every process, process after process.

    Args:
        shards: Devices in all, a multiple of the processes.
    """
    import jax

    each = shards // count()
    by_process: dict[int, list[Any]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    return [device for number in range(count()) for device in by_process[number][:each]]


@contextlib.contextmanager
def joined(place: Place | None, facts: Mapping[str, Any]) -> Generator[None]:
    """Take part in a run of many processes: meet, compare, start `jax.distributed`; at the end, leave together.

    Args:
        place: Of this process; None, or one process, is an ordinary run.
        facts: What all have to agree on: "versions" and "options" by name, "scenario" (its text), "inputs" (a sum).

    Raises:
        InputError: The coordinator cannot be reached, processes do not come, or they do not fit together.
        Fault: The runtime cannot be started.
    """
    if place is None or place.processes == 1:
        yield
        return
    member = _Member(place, *meet(place, facts))
    _Here.member = member
    threading.Thread(target=_watch, args=(member,), daemon=True).start()
    try:
        with _silence():
            _start(member)
            yield
            barrier()
            _stop(member)
    except BaseException as error:
        _Here.torn = True
        member.gone.set()
        line = str(error) or ("stopped" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
        member.link.close(line, isinstance(error, InputError))
        raise
    else:
        member.link.close()
    finally:
        member.gone.set()
        if member.hub is not None:
            member.hub.close()
        _Here.member = None


@contextlib.contextmanager
def _silence() -> Generator[None]:
    """Keep what native code writes on standard output from it: gloo tells there of every connection that it makes."""
    sys.stdout.flush()
    before = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(before)
        os.close(nowhere)


@contextlib.contextmanager
def explaining(words: Callable[[], str] = str) -> Generator[None]:
    """Tell a failure that another process has caused by its cause: a broken exchange says nothing to anybody.

    Args:
        words: Says what is kept, for a process that cannot come out by itself.

    Raises:
        InputError: Another process ended on bad input.
        Fault: Another process has ended.
    """
    member = _Here.member
    if member is not None:
        member.words = words
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a fault as well: a checkpoint that all write cannot be written without one of them
        if member is None or member.link.wait_for_ending(NEWS) is None:
            raise
        raise _lost(member) from error


def _lost(member: _Member) -> Exception:
    ending = member.link.ending or Ending(0)
    return (InputError if ending.bad_input else Fault)(in_words(ending, member.place.processes))


def _watch(member: _Member) -> None:
    """End this process when another one is gone and it has not noticed: it may wait in an exchange for ever."""
    ending = member.link.wait_for_ending(None)
    if ending is None or member.gone.wait(GRACE):
        return
    line = in_words(ending, member.place.processes)
    with contextlib.suppress(Exception):  # whatever goes wrong with the words, the process has to end
        kept = "" if ending.bad_input else member.words()
        line = f"{line}; {kept}" if kept else line
    print(f"lpm: {line}", file=sys.stderr, flush=True)
    os._exit(2 if ending.bad_input else 1)


def _start(member: _Member) -> None:
    """Start `jax.distributed` in all processes, and check that each has as many devices as the others."""
    place = member.place
    coordinator.refuse_late()
    member.service = coordinator.Service(place) if is_first() else None
    port = told(None if member.service is None else member.service.port)
    every = gathered(coordinator.connect(place, port))
    if len(set(every)) > 1:
        raise InputError(f"--devices: expected as many devices in every process, got {', '.join(map(str, every))}")


def _stop(member: _Member) -> None:
    """Take `jax.distributed` down in all processes together."""
    coordinator.disconnect()
    barrier()
    if member.service is not None:
        member.service.end()
