"""`jax.distributed` of a run: started, taken down, and its coordination service in a process of its own.

Every process of a run holds a connection to the service, and its runtime aborts, with a stack trace, as soon as that
breaks. In a process of its own (python -m lpm.cluster.coordinator ADDRESS PROCESSES) the service outlives process 0, so
that the others can end with a line of their own. It ends some time after its standard input has been closed, as by the
end of the process that started it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from lpm.cluster.arrival import CONNECTING, Place
from lpm.cluster.hub import listener
from lpm.errors import Fault, InputError

LINGER = 20.0
"""Seconds that the service stays when process 0 is gone: longer than the others take to end. A guess."""


class Service:
    """The coordination service, started by process 0.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, place: Place):
        """Start it, and wait until it listens.

        Raises:
            Fault: It does not start.
        """
        self.port = _free_port(place)
        command = [sys.executable, "-m", "lpm.cluster.coordinator", _interface(place, self.port), str(place.processes)]
        quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, start_new_session=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise Fault(
                f"--coordinator {place.coordinator}: the coordination service of jax.distributed does not start"
            )

    def end(self) -> None:
        """End it at once: nobody is connected any more."""
        self.process.kill()
        self.process.communicate()


def refuse_late() -> None:
    """Refuse to go on where jax is in use already: it would not see the other processes.

    Raises:
        InputError: It is.
    """
    from jax._src import xla_bridge

    if xla_bridge.backends_are_initialized():
        raise InputError("--coordinator: jax is in use in this process already; begin such a run in one of its own")


def connect(place: Place, port: int) -> int:
    """Start `jax.distributed`, of which this process is a part, and return the number of its devices.

    Process 0 starts a service of its own there, whatever it is told; nobody connects to that one.

    Args:
        place: Of this process.
        port: Where the coordination service listens, on the coordinator's machine.

    Raises:
        Fault: It does not start.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow a SIGTERM
    try:
        jax.distributed.initialize(
            place.at(port),
            place.processes,
            place.process,
            coordinator_bind_address=_interface(place, _free_port(place)),
            initialization_timeout=int(CONNECTING),
        )
        return jax.local_device_count()
    except RuntimeError as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise Fault(f"--coordinator {place.coordinator}: jax.distributed does not start: {line}") from error


def disconnect() -> None:
    """Take `jax.distributed` down; returns when all processes have come to it."""
    import jax

    jax.distributed.shutdown()


def _interface(place: Place, port: int) -> str:
    everywhere = "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"
    return f"{'127.0.0.1' if place.inside else everywhere}:{port}"


def _free_port(place: Place) -> int:
    with listener("127.0.0.1" if place.inside else "", 0) as taken:
        return int(taken.getsockname()[1])


def main() -> None:
    """Serve until standard input ends, and a little longer; "ready" is told on standard output."""
    from jaxlib import _jax  # type: ignore[attr-defined]  # the service has no public name

    service = _jax.get_distributed_runtime_service(sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.buffer.read()
    time.sleep(LINGER)
    del service
    os._exit(0)


if __name__ == "__main__":
    main()
