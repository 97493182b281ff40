"""Many processes before they run: who may take part, what they hand each other, whose agents are whose."""

from __future__ import annotations

import contextlib
import socket
import threading
import zlib
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import pytest

from lpm import cluster
from lpm.cli import main
from lpm.cluster import arrival, crc, pieces
from lpm.cluster.arrival import Place, placed
from lpm.cluster.hub import Hub
from lpm.cluster.meeting import Ending, Link, Refused
from lpm.errors import InputError
from lpm.scenarios.dealing import deal

FACTS: Mapping[str, Any] = {
    "versions": {"lpm": "1", "jaxlib": "0.10.2"},
    "options": {"--resume": False},
    "scenario": "steps = 4\n",
    "inputs": "x",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class _Links:
    """Links of all processes to a hub in this one."""

    def __init__(self, count: int, facts: Mapping[int, Any] | None = None):
        self.hub = Hub(("127.0.0.1", 0), count, lambda one, other: "" if one == other else f"{one} is not {other}")
        told = facts or {}
        self.links = [self.link(number, count, told.get(number, "same")) for number in range(count)]

    def link(self, number: int, count: int, facts: Any = "same") -> Link:
        return Link(("127.0.0.1", self.hub.port), number, count, facts, 5.0)

    def gather(self, values: list[Any]) -> list[Any]:
        """Let every process gather at the same time; what each found."""
        found: list[Any] = [None] * len(values)

        def one(number: int) -> None:
            found[number] = self.links[number].gather(values[number], 20.0)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(values))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return found


@pytest.fixture
def three() -> Generator[_Links]:
    made = _Links(3)
    yield made
    for link in made.links:
        link.close()
    made.hub.close()


def test_what_each_gives_all_find_in_order(three: _Links):
    assert three.gather([10, None, {"a": [1.5]}]) == [[10, None, {"a": [1.5]}]] * 3
    assert three.gather(["x", "y", "z"]) == [["x", "y", "z"]] * 3


def test_the_end_of_one_is_told_to_all_and_nobody_waits(three: _Links):
    three.gather([0, 0, 0])
    three.links[2].wire.close()  # as the operating system does when a process is killed
    assert three.links[0].wait_for_ending(20.0) == Ending(2) == three.links[1].wait_for_ending(20.0)
    assert three.links[1].gather("nobody answers", 20.0) is None
    assert "process 2 of 3 has ended" in arrival.in_words(Ending(2), 3)


def test_the_first_reason_is_the_one_that_is_told(three: _Links):
    three.links[1].close("disk full", bad_input=True)
    ending = Ending(1, "disk full", True)
    assert three.links[2].wait_for_ending(20.0) == ending
    three.links[2].close("nothing to go on with")
    assert three.links[0].wait_for_ending(20.0) == ending
    assert arrival.in_words(ending, 3) == "process 1 of 3: disk full"


def test_a_number_that_is_taken_is_refused_and_the_others_go_on(three: _Links):
    three.gather([0, 0, 0])
    with pytest.raises(Refused, match="process 1 already"):
        three.link(1, 3).gather(None, 20.0)
    with pytest.raises(Refused, match="--processes 3"):
        three.link(1, 2).gather(None, 20.0)
    with socket.create_connection(("127.0.0.1", three.hub.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(10) == b""
    assert three.gather([1, 2, 3]) == [[1, 2, 3]] * 3


def test_processes_that_do_not_fit_are_told_so_before_they_begin():
    made = _Links(2, {1: "other"})
    assert made.gather([0, 0]) == [None, None]
    for link in made.links:
        assert link.ending == Ending(1, "process 1 does not fit process 0: same is not other", True)
        link.close()
    made.hub.close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"versions": {"lpm": "1", "jaxlib": "0.11.0"}}, "jaxlib is 0.11.0 there and 0.10.2 here"),
        ({"options": {"--resume": True}}, "--resume is on there and off here"),
        ({"scenario": "steps = 5\n"}, "it runs another scenario (they differ in 'steps')"),
        ({"inputs": "y"}, "the files that its scenario names hold something else there"),
    ],
)
def test_what_has_to_be_the_same(changed: dict[str, Any], told: str):
    assert arrival.differences(FACTS, {**FACTS, **changed}) == told


def test_other_versions_are_refused_in_both_processes():
    """Both ends are told in a line of their own which version is where."""
    port, told = free_port(), dict[int, str]()

    def one(number: int) -> None:
        facts = FACTS if number == 0 else {**FACTS, "versions": {"lpm": "2", "jaxlib": "0.10.2"}}
        try:
            arrival.meet(Place("127.0.0.1", port, 2, number), facts, 20.0, 20.0)
        except InputError as error:
            told[number] = str(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 0)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    line = f"--coordinator 127.0.0.1:{port}: process 1 does not fit process 0: lpm is 2 there and 1 here"
    assert told == {0: line, 1: line}


def test_a_coordinator_that_is_not_there_is_told_in_one_line():
    port = free_port()
    with pytest.raises(InputError, match=rf"127.0.0.1:{port}: cannot be reached within 0.3 s: .*is process 0 running"):
        arrival.meet(Place("127.0.0.1", port, 2, 1), FACTS, 1.0, 0.3)
    with pytest.raises(InputError, match="no machine of the name 'no-such-machine.invalid'"):
        arrival.meet(Place("no-such-machine.invalid", port, 2, 1), FACTS, 1.0, 0.3)
    with pytest.raises(InputError, match=r"not all of 3 processes came within 0.3 s: no process 1, 2"):
        arrival.meet(Place("127.0.0.1", port, 3, 0), FACTS, 0.3, 5.0)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(InputError, match="is not process 0 of a run of lpm"):
        arrival.meet(Place("127.0.0.1", port, 2, 1), FACTS, 1.0, 0.3)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(InputError, match=f"cannot listen on port {port}"):
        arrival.meet(Place("127.0.0.1", port, 2, 0), FACTS, 1.0, 0.3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ("a:1", 2, None),
            "--coordinator: expected --coordinator, --processes and --process-id together; no --process-id",
        ),
        (
            (None, None, 0),
            "--process-id: expected --coordinator, --processes and --process-id together; no --coordinator",
        ),
        (("nowhere", 2, 0), "--coordinator: expected HOST:PORT such as node1:9911, got 'nowhere'"),
        (("a:70000", 2, 0), "--coordinator: expected HOST:PORT such as node1:9911, got 'a:70000'"),
        (("a:1", 0, 0), "--processes: expected 1 to 4,096, got 0"),
        (("a:1", 2, 2), "--process-id: expected 0 to 1 (with --processes 2), got 2"),
    ],
)
def test_options_that_do_not_fit(given: tuple[Any, Any, Any], told: str):
    with pytest.raises(InputError) as error:
        placed(*given)
    assert str(error.value) == told


def test_options_that_fit():
    assert placed(None, None, None) is None
    place = placed("[::1]:9911", 2, 1)
    assert (
        place is not None
        and place == Place("::1", 9911, 2, 1)
        and place.coordinator == "[::1]:9911"
        and not place.inside
    )
    with cluster.joined(placed("nowhere:1", 1, 0), {}):  # alone: nobody is waited for
        assert cluster.count() == 1 and cluster.is_first() and cluster.told("x") == "x"


@pytest.mark.parametrize("host", ["localhost", socket.gethostname()])
def test_processes_meet_by_name(host: str):
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("", 0))
        port = int(probe.getsockname()[1])
    found: list[Any] = [None, None]

    def one(number: int) -> None:
        link, hub = arrival.meet(Place(host, port, 2, number), FACTS, 20.0, 20.0)
        found[number] = link.gather(number, 20.0)
        link.close()
        if hub is not None:
            hub.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 0)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [[0, 1], [0, 1]]


def test_the_command_line_tells_a_wrong_place(capsys: pytest.CaptureFixture[str]):
    assert main(["run", "mini", "--coordinator", "a:1", "--processes", "2", "--process-id", "5"]) == 2
    assert capsys.readouterr().err == "lpm: --process-id: expected 0 to 1 (with --processes 2), got 5\n"


def test_a_sum_of_parts_is_that_of_the_whole():
    drawn = np.random.default_rng(3)
    for _ in range(20):
        whole = drawn.integers(0, 256, int(drawn.integers(1, 5000)), np.uint8).tobytes()
        cut = int(drawn.integers(0, len(whole) + 1))
        begun = zlib.crc32(b"name")
        joined = crc.combine(
            crc.combine(begun, zlib.crc32(whole[:cut]), cut), zlib.crc32(whole[cut:]), len(whole) - cut
        )
        assert joined == zlib.crc32(whole, begun)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 6, 1000, 1003])
def test_every_agent_has_one_process(size: int, processes: int):
    parts = [pieces.bounds(size, number, processes) for number in range(processes)]
    assert np.array_equal(np.concatenate([np.arange(*part) for part in parts]), np.arange(size))


@pytest.mark.parametrize("processes", [2, 3])
def test_agents_stay_with_the_process_that_builds_their_rows(processes: int, monkeypatch: pytest.MonkeyPatch):
    """Of each process the arcs are dealt to within one agent's, and its agents are those whose rows it builds."""
    monkeypatch.setattr(cluster, "count", lambda: processes)
    size, shards = 1003, 2 * processes
    degrees = np.random.default_rng(1).poisson(9, size)
    dealing = deal(degrees, shards)
    assert np.array_equal(dealing.order[dealing.places], np.arange(dealing.padded))
    for number in range(processes):
        low, high = pieces.bounds(size, number, processes)
        here = dealing.order[number * dealing.held : (number + 1) * dealing.held]
        assert np.array_equal(np.sort(here[here < size]), np.arange(low, high))
        arcs = [degrees[part[part < size]].sum() for part in here.reshape(2, -1)]
        assert abs(arcs[0] - arcs[1]) <= degrees.max()
