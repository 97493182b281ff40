"""Where the processes of one run meet: lines of JSON over TCP, to the first process and back.

Process 0 keeps a hub (`lpm.cluster.hub`); every process, itself among them, has a `Link` to it. Over it they compare
what they are about to run before anything is started, hand each other small values, and learn at once when one of them
ends. A killed process closes its connection; a machine that is switched off or cut off is noticed by the keep-alive
probes of the operating system, which go on whatever the process is busy with.

Whoever can reach the port can take part: it belongs into the network of a cluster, as those of the collectives do.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

LINE = 1 << 24
"""Most bytes of one message: what is handed over is small. A guess."""

PROBES = (10, 5, 4)
"""Seconds of silence before the first keep-alive probe, between probes, and probes without an answer until a connection
counts as broken: 10 + 4 x 5 = 30 s, well within the minute in which a run has to end. A guess."""


@dataclass(frozen=True)
class Ending:
    """Why a run of many processes cannot go on.

    Attributes:
        process: The process that ended first.
        line: What it said, "" where it could not say anything.
        bad_input: It was bad input.
    """

    process: int
    line: str = ""
    bad_input: bool = False


class Refused(Exception):
    """The hub does not take a process: the message says why."""


def keep_alive(link: socket.socket) -> None:
    """Have the operating system find out when the other end of a connection is gone."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))  # the second is its name on macOS
    options = (idle, getattr(socket, "TCP_KEEPINTVL", None), getattr(socket, "TCP_KEEPCNT", None))
    for option, value in zip(options, PROBES, strict=True):
        if option is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # the same for what was sent and never acknowledged, in milliseconds
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000 * (PROBES[0] + PROBES[1] * PROBES[2]))


class Wire:
    """One connection: whole messages in and out.

    Attributes:
        link: The socket.
    """

    def __init__(self, link: socket.socket):
        """Talk over a socket."""
        self.link, self.lock = link, threading.Lock()
        self.file = link.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message: JSON.

        Raises:
            OSError: The other end is gone.
        """
        with self.lock:
            self.link.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the other end is gone or talks of something else."""
        try:
            line = self.file.readline(LINE)
            told = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def close(self) -> None:
        """End the connection, which ends `receive` at both ends."""
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Give the socket back: what the thread that receives does last."""
        self.close()
        with contextlib.suppress(OSError):
            self.file.close()
        self.link.close()


class Link:
    """A process's connection to the hub.

    Attributes:
        process: Number of this process.
        ending: Why the run cannot go on; None while it can.
    """

    def __init__(self, address: tuple[str, int], process: int, processes: int, facts: Any, patience: float):
        """Connect and introduce this process.

        Args:
            address: Host and port of the hub.
            process: Number of this process.
            processes: How many there are.
            facts: What process 0 is to compare: JSON.
            patience: Seconds for which one try to connect may take.

        Raises:
            OSError: Nobody is there.
        """
        link = socket.create_connection(address, patience)
        link.settimeout(None)
        keep_alive(link)
        self.process, self.wire = process, Wire(link)
        self.ending: Ending | None = None
        self.refusal, self.welcome = "", False
        self.found: dict[str, list[Any]] = {}
        self.change = threading.Condition()
        self.closed = False
        self.count = 0
        self.wire.send(lpm=1, process=process, processes=processes, facts=facts)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            message = self.wire.receive()
            with self.change:
                if message is None:
                    if self.ending is None and not self.closed and not self.refusal:
                        self.ending = Ending(0)
                elif "welcome" in message:
                    self.welcome = True
                elif "refused" in message:
                    self.refusal = str(message["refused"])
                elif "lost" in message:
                    self.ending = Ending(int(message["lost"]), str(message["line"]), bool(message["bad_input"]))
                elif "gathered" in message:
                    self.found[message["gathered"]] = message["values"]
                self.change.notify_all()
            if message is None:
                self.wire.forget()
                return

    def is_known(self, patience: float) -> bool:
        """Return whether a hub has answered, be it that it refuses this process, within so many seconds."""
        with self.change:
            self.change.wait_for(lambda: self.welcome or self.refusal or self.ending, patience)
            return self.welcome or bool(self.refusal)

    def gather(self, value: Any, patience: float | None = None) -> list[Any] | None:
        """Return what every process gave at this place, in order of their numbers; None where the run has ended.

        All processes call it in the same order.

        Args:
            value: JSON.
            patience: Seconds; None = as long as it takes.

        Raises:
            Refused: The hub does not take this process.
            TimeoutError: Somebody did not come.
        """
        name, self.count = str(self.count), self.count + 1
        with contextlib.suppress(OSError):
            self.wire.send(gather=name, value=value)
        with self.change:
            there = self.change.wait_for(lambda: name in self.found or self.ending or self.refusal, patience)
            if self.refusal:
                raise Refused(self.refusal)
            if not there:
                raise TimeoutError
            return self.found.pop(name, None)

    def wait_for_ending(self, patience: float | None) -> Ending | None:
        """Return why the run cannot go on, as soon as it is known; None after `patience` seconds or when closed."""
        with self.change:
            self.change.wait_for(lambda: self.ending is not None or self.closed, patience)
            return self.ending

    def close(self, line: str | None = None, bad_input: bool = False) -> None:
        """Leave: the run is done, or has ended here for the reason that is given, which the others are told."""
        with self.change:
            self.closed = True
            self.change.notify_all()
        with contextlib.suppress(OSError):
            self.wire.send(ended=line, bad_input=bad_input)
