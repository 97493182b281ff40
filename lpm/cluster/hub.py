"""The first process's part in a meeting: takes the others in, passes on what is gathered, tells when one has ended."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from lpm.cluster.meeting import Wire, keep_alive

FAREWELL = 10.0
"""Seconds that the hub stays for the others to hear why a run ends. A guess."""


def listener(interface: str, port: int) -> socket.socket:
    """Return a socket that listens on an interface; "" = all, those of IPv6 included where there are any.

    Raises:
        OSError: The port cannot be used.
    """
    if not interface and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((interface, port))


class Hub:
    """The first process's part: takes the others in, passes on what is gathered, and tells when one has ended.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, address: tuple[str, int], processes: int, compare: Callable[[Any, Any], str]):
        """Listen.

        Args:
            address: Interface ("" = all) and port (0 = a free one).
            processes: How many have to come.
            compare: Given what process 0 and another one told of themselves, why they cannot run together, "" if they
                can.

        Raises:
            OSError: The address cannot be used.
        """
        self.processes, self.compare = processes, compare
        self.wires: dict[int, Wire] = {}
        self.facts: dict[int, Any] = {}
        self.values: dict[str, dict[int, Any]] = {}
        self.left: set[int] = set()
        self.ending: dict[str, Any] | None = None
        self.change = threading.Condition()
        self.listener = listener(*address)
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:  # closed
                return
            keep_alive(link)
            threading.Thread(target=self._received, args=(Wire(link),), daemon=True).start()

    def _received(self, wire: Wire) -> None:
        try:
            self._serve(wire)
        finally:
            wire.forget()

    def _serve(self, wire: Wire) -> None:
        hello = wire.receive()
        number = None if hello is None else hello.get("process")
        if hello is None or hello.get("lpm") != 1 or not isinstance(number, int):
            return  # somebody else, who lost the way
        with self.change:
            reason = self._reason(number, hello)
            if reason:
                self._tell(wire, refused=reason)
                if len(self.wires) < self.processes:  # the one that belongs here will not come
                    self._end(number, f"process {number} was refused: {reason}", True)
                return
            self.wires[number], self.facts[number] = wire, hello["facts"]
            self._tell(wire, welcome=number)
            mismatch = self._mismatch(number)
            if mismatch:
                self._end(number, mismatch, True)
            elif self.ending is not None:
                self._tell(wire, **self.ending)
        self._listen(number, wire)
        with self.change:
            if number not in self.left:
                self.left.add(number)
                self._end(number, "", False)
            self.change.notify_all()

    def _reason(self, number: int, hello: dict[str, Any]) -> str:
        if hello.get("processes") != self.processes:
            return f"process 0 was started with --processes {self.processes}, this one with {hello.get('processes')}"
        if not 0 <= number < self.processes or number in self.wires:
            return f"there is a process {number} already; every process needs a --process-id of its own"
        return ""

    def _mismatch(self, number: int) -> str:
        """Return why those who have come cannot run together: each is compared with process 0."""
        if 0 not in self.facts:
            return ""
        for other in sorted(self.facts) if number == 0 else [number]:
            reason = self.compare(self.facts[0], self.facts[other])
            if reason:
                return f"process {other} does not fit process 0: {reason}"
        return ""

    def _listen(self, number: int, wire: Wire) -> None:
        while True:
            message = wire.receive()
            if message is None:
                return
            with self.change:
                if "gather" in message and self.ending is None:
                    values = self.values.setdefault(message["gather"], {})
                    values[number] = message.get("value")
                    if len(values) == self.processes:
                        del self.values[message["gather"]]
                        whole = [values[each] for each in range(self.processes)]
                        self._tell_all(gathered=message["gather"], values=whole)
                elif "ended" in message:
                    self.left.add(number)
                    if message["ended"] is not None:
                        self._end(number, str(message["ended"]), bool(message.get("bad_input")))
                    self.change.notify_all()
                    return

    def _end(self, number: int, line: str, bad_input: bool) -> None:
        """Tell everybody, once, that a process has ended before the run has."""
        if self.ending is None:
            self.ending = {"lost": number, "line": line, "bad_input": bad_input}
            self._tell_all(**self.ending)

    def _tell_all(self, **message: Any) -> None:
        for wire in self.wires.values():
            self._tell(wire, **message)

    @staticmethod
    def _tell(wire: Wire, **message: Any) -> None:
        with contextlib.suppress(OSError):
            wire.send(**message)

    def missing(self) -> list[int]:
        """Return the processes that have not come yet."""
        with self.change:
            return [number for number in range(self.processes) if number not in self.wires]

    def close(self) -> None:
        """Wait until the others have left, for a while, and close."""
        with self.change:
            others = set(range(1, self.processes))
            self.change.wait_for(lambda: others & set(self.wires) <= self.left, FAREWELL)
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # else a thread goes on listening
        self.listener.close()
        for wire in self.wires.values():
            wire.close()
