"""Arriving at a run of many processes: who is who, whether all are there, and whether they fit together."""

from __future__ import annotations

import socket
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpm.cluster.hub import Hub
from lpm.cluster.meeting import Ending, Link, Refused
from lpm.errors import InputError

PATIENCE = 300.0
"""Seconds that processes wait for one another at the beginning: batch systems start them in turn. A guess."""

CONNECTING = 60.0
"""Seconds for which a process tries to reach the coordinator, which may be started a little later. A guess."""

MOST = 4_096
"""Most processes: each has a connection to the first. A guess."""


@dataclass(frozen=True)
class Place:
    """What `--coordinator`, `--processes` and `--process-id` say.

    Attributes:
        host: Name or address of process 0's machine.
        port: Port at which it is met.
        processes: How many there are.
        process: Which one this is.
    """

    host: str
    port: int
    processes: int
    process: int

    @property
    def coordinator(self) -> str:
        """Host and port as they are given."""
        return self.at(self.port)

    def at(self, port: int) -> str:
        """Return the address of a port of process 0's machine."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    @property
    def inside(self) -> bool:
        """Whether all processes are on this machine, where nobody from outside has to reach them."""
        return self.host == "localhost" or self.host.startswith("127.")


def placed(coordinator: str | None, processes: int | None, process: int | None) -> Place | None:
    """Return the place of this process in a run of many, None where none of the three options is given.

    Raises:
        InputError: Only some of them, or values that cannot be.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process-id": process}
    missing = [name for name, value in given.items() if value is None]
    if coordinator is None or processes is None or process is None:
        if len(missing) == len(given):
            return None
        there = next(name for name, value in given.items() if value is not None)
        raise InputError(f"{there}: expected --coordinator, --processes and --process-id together; no {missing[0]}")
    host, separator, port = coordinator.rpartition(":")
    host = host.strip("[]")
    if not separator or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise InputError(f"--coordinator: expected HOST:PORT such as node1:9911, got '{coordinator}'")
    if not 1 <= processes <= MOST:
        raise InputError(f"--processes: expected 1 to {MOST:,}, got {processes}")
    if not 0 <= process < processes:
        raise InputError(f"--process-id: expected 0 to {processes - 1} (with --processes {processes}), got {process}")
    return Place(host, int(port), processes, process)


def meet(
    place: Place, facts: Mapping[str, Any], patience: float = PATIENCE, trying: float = CONNECTING
) -> tuple[Link, Hub | None]:
    """Return this process's connection, and the hub in process 0, when all are there and fit together.

    Args:
        place: Of this process.
        facts: See `differences`.
        patience: Seconds to wait for the others.
        trying: Seconds for which the coordinator is tried.

    Raises:
        InputError: The coordinator cannot be reached, processes do not come, or they do not fit together.
    """
    hub = _hub(place) if place.process == 0 else None
    try:
        link = _link(place, facts, hub, trying)
        if not link.is_known(trying):
            link.close("", True)
            raise InputError(f"--coordinator {place.coordinator}: what answers there is not process 0 of a run of lpm")
        try:
            found = link.gather(None, patience)
        except Refused as refused:
            raise InputError(f"--coordinator {place.coordinator}: {refused}") from None
        except TimeoutError:
            missing = "" if hub is None else f": no process {', '.join(map(str, hub.missing()))}"
            line = f"not all of {place.processes} processes came within {patience:g} s{missing}"
            link.close(line, True)
            raise InputError(f"--coordinator {place.coordinator}: {line}") from None
        if found is None:
            ending = link.ending or Ending(0)
            link.close("", True)
            raise InputError(f"--coordinator {place.coordinator}: {ending.line or in_words(ending, place.processes)}")
    except InputError:
        if hub is not None:
            hub.close()
        raise
    return link, hub


def _hub(place: Place) -> Hub:
    try:
        return Hub(("127.0.0.1" if place.inside else "", place.port), place.processes, differences)
    except OSError as error:
        raise InputError(
            f"--coordinator {place.coordinator}: process 0 cannot listen on port {place.port}: "
            f"{error.strerror or error}; choose another port"
        ) from None


def _link(place: Place, facts: Mapping[str, Any], hub: Hub | None, trying: float) -> Link:
    """Return the connection to process 0, which may not be there yet."""
    address = (place.host, place.port) if hub is None else ("127.0.0.1", place.port)
    until = time.monotonic() + trying
    while True:
        try:
            return Link(address, place.process, place.processes, facts, max(1.0, until - time.monotonic()))
        except socket.gaierror as error:
            raise InputError(
                f"--coordinator {place.coordinator}: no machine of the name '{place.host}': {error.strerror}"
            ) from None
        except OSError as error:
            if time.monotonic() > until:
                raise InputError(
                    f"--coordinator {place.coordinator}: cannot be reached within {trying:g} s: "
                    f"{error.strerror or error}; is process 0 running there?"
                ) from None
            time.sleep(0.2)


def differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return why a process cannot run with process 0, "" where it can.

    Args:
        first: What process 0 told of itself, see `joined`.
        other: What the other one told.
    """
    for kind in ("versions", "options"):
        here, there = first[kind], other[kind]
        for name in here:
            if here[name] != there.get(name):
                return f"{name} is {_shown(there.get(name))} there and {_shown(here[name])} here"
    if first["scenario"] != other["scenario"]:
        here, there = tomllib.loads(first["scenario"]), tomllib.loads(other["scenario"])
        keys = [f"'{key}'" for key in dict.fromkeys((*here, *there)) if here.get(key) != there.get(key)]
        return f"it runs another scenario (they differ in {', '.join(keys)})"
    if first["inputs"] != other["inputs"]:
        return "the files that its scenario names hold something else there"
    return ""


def _shown(value: Any) -> str:
    return "absent" if value is None else {True: "on", False: "off"}.get(value, str(value))


def in_words(ending: Ending, processes: int) -> str:
    """Return why a run of so many processes has ended."""
    who = f"process {ending.process} of {processes}"
    if ending.line:
        return f"{who}: {ending.line}"
    return f"{who} has ended before the run was done (killed, or its machine is gone), so this one ends too"
