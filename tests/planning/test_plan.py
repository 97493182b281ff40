"""Predicted against measured: bytes of arrays and programs, what devices exchange, and what a billion agents need."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from lpm import asking
from lpm.errors import InputError
from lpm.planning import asked as planned
from lpm.planning import memory, planner
from lpm.planning.exchange import exchanges
from lpm.planning.sample import Runner, live_bytes
from lpm.planning.shapes import Shapes, bytes_of, line, of_assembly, on_devices, scaled
from lpm.planning.traced import looked_up, trace
from lpm.scenarios.assembly import Assembly, assemble
from lpm.scenarios.options import silent
from lpm.scenarios.schema import Scenario
from lpm.sweeps import running

OPINIONS = """
schema = 1
name = "opinions"
description = "Opinions between bounds on a random network."
assumptions = ["Every number is chosen for the test."]
steps = 5
[population]
size = 1000
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = { value = 10.0, unit = "1", source = "guess" }
[[kernels]]
kernel = "hegselmann-krause"
[metrics]
spread = { variance = "opinion" }
[[arms]]
name = "baseline"
"""
"""A scenario whose columns travel as floats."""


def _at(name: str, size: int, backend: str = "xla") -> Scenario:
    if name != "opinions":
        return planner.scenario_at(asking.chosen(name), size, backend)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "opinions.toml"
        file.write_text(OPINIONS, encoding="utf-8")
        return planner.scenario_at(asking.chosen(str(file)), size, backend)


def _made(name: str, size: int, devices: int = 1, backend: str = "xla") -> Assembly:
    return assemble(_at(name, size, backend), devices, silent)


@pytest.fixture(scope="module")
def pair() -> tuple[Shapes, Shapes]:
    """The shapes of "mini" at two small sizes on one device."""
    return of_assembly(_made("mini", 2_000)), of_assembly(_made("mini", 8_000))


def _spread(pair: tuple[Shapes, Shapes], sizes: tuple[int, int], devices: int) -> tuple[Shapes, Shapes]:
    first, second = (on_devices(_at("mini", size), devices, like) for size, like in zip(sizes, pair, strict=True))
    return first, second


@pytest.mark.parametrize("size", [20_000, 60_000])
def test_arrays_are_predicted_from_small_ones(pair: tuple[Shapes, Shapes], size: int) -> None:
    shapes = scaled(*pair, size)
    before = live_bytes()
    real = _made("mini", size)
    live = live_bytes() - before
    predicted = bytes_of(shapes.sharded)
    assert bytes_of(shapes.sharded["agents"]) == bytes_of(real.agents)
    assert predicted == pytest.approx(bytes_of((real.agents, real.world)), rel=0.02)  # arcs are drawn
    assert predicted == pytest.approx(live, rel=0.05)
    state = trace(shapes).state
    member = real.member(real.arms[0], 0, real.params)
    begun: Any = jax.eval_shape(real.simulation.start, real.agents, member, real.tables, real.ties)
    assert bytes_of(state) == bytes_of(begun)


def test_arrays_of_many_devices_are_predicted(pair: tuple[Shapes, Shapes]) -> None:
    shapes = scaled(*_spread(pair, (2_000, 8_000), 4), 30_000)
    real = of_assembly(_made("mini", 30_000, 4))
    assert shapes.rows == real.rows
    assert bytes_of(shapes.sharded["agents"]) == bytes_of(real.sharded["agents"])
    assert bytes_of(shapes.sharded) == pytest.approx(bytes_of(real.sharded), rel=0.05)
    assert trace(shapes).exchanges == trace(real).exchanges


def test_lengths_grow_along_a_line_or_a_power_law() -> None:
    assert line((100, 7.0), (400, 7.0), 1e9) == 7.0
    assert line((100, 101), (400, 401), 10_000) == 10_001
    assert line((100, 100), (200, 400), 1_000) == pytest.approx(10_000)  # everybody knows everybody: the square


def test_exchange_counts_what_a_program_sends() -> None:
    def step(mine: Any) -> Any:
        every = jax.lax.all_gather(mine, "agents", tiled=True)
        again = jax.lax.all_gather(mine, "agents", tiled=True)  # the same once more: compilers share it
        many = jax.lax.psum(mine.astype(np.int32), "agents")

        def turn(block: Any, _: Any) -> Any:
            return jax.lax.ppermute(block, "agents", [(0, 1), (1, 2), (2, 3), (3, 0)]), None

        last = jax.lax.scan(turn, mine.astype(np.float32), None, length=4)[0]
        return jax.lax.cond(many.sum() > 0, lambda: every.sum() + last.sum(), lambda: again.sum() + 0.0)

    found = {each.kind: each for each in exchanges(step, (jax.ShapeDtypeStruct((100,), np.uint8),), 4)}
    assert found["all_gather"].sent == 3 * 100
    assert found["all_gather"].held == 400
    assert found["psum"].sent == 2 * 3 / 4 * 400
    assert (found["ppermute"].times, found["ppermute"].sent) == (4, 4 * 400)


def test_states_of_a_random_network_travel_as_bits(pair: tuple[Shapes, Shapes]) -> None:
    devices, size = 8, 64_000
    shapes = scaled(*_spread(pair, (2_048, 8_192), devices), size)
    traced = trace(shapes)
    gathers = [each for each in traced.exchanges if each.kind == "all_gather"]
    assert sum(each.sent for each in gathers) == (devices - 1) * size / devices / 8  # one bit an agent
    assert looked_up(traced.exchanges, shapes.rows) == 1


def test_a_billion_agents_need_what_they_must(pair: tuple[Shapes, Shapes]) -> None:
    size, devices = 10**9, 64
    shapes = scaled(*_spread(pair, (4_096, 16_384), devices), size)
    traced = trace(shapes)
    assert shapes.rows * devices >= size
    arcs = 10 * size
    layers = bytes_of(shapes.sharded["world"]) * devices
    assert 4 * arcs < layers < 12 * arcs  # an index and less than as much again for every arc
    columns = bytes_of(shapes.sharded["agents"]) * devices
    assert columns == pytest.approx(size * 10, rel=0.001)  # id, weight, present, state
    assert sum(each.sent for each in traced.exchanges) == pytest.approx(size / 8 * 63 / 64, rel=0.01)


def test_what_limits_and_how_many_devices() -> None:
    parts = {"columns": 10, "state": 10, "layers": 60, "whole": 2, "sums": 0, "others": 0, "working": 20}
    one = memory.Memory(parts, 1, 2**33)
    from lpm.planning.choices import devices_needed

    least, limits = devices_needed(one, 8, 30, 10**9)
    assert [limit.devices for limit in limits] == [5, 5, 1]  # 100 spread, 10 on each; 2^33 slots over 2^31 - 1
    assert least == 5
    assert devices_needed(one, 28, 30, 10**9)[0] is None  # what every device holds fills it
    assert devices_needed(replace(one, slots=1), 0, 200, 2**31)[0] is None
    assert devices_needed(replace(one, slots=1), 0, 102, 5)[0] == 1


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"device": "h20"}, "--device: unknown device 'h20'; did you mean 'h200'?"),
        ({"device": "abacus"}, "--device: unknown device 'abacus'; there are: "),
        ({"memory": "lots"}, "--memory: expected an amount of memory such as 2GB or 500MB, got 'lots'"),
        ({"agents": 2**31}, "--agents: expected 1 to 2147483647, got 2147483648"),
        ({"devices": 0}, "--devices: expected 1 to 65536, got 0"),
        ({"backend": "numby"}, "--backend: unknown backend 'numby'; did you mean 'numba'?"),
        ({"set": ["sir.betta=1"]}, "did you mean 'beta'"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(asked: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=re.escape(line)):
        planned.plan("mini", **asked)


@pytest.mark.full
@pytest.mark.parametrize(("name", "devices"), [("mini", 1), ("mini", 4), ("opinions", 4)])
def test_programs_hold_what_is_predicted(name: str, devices: int) -> None:
    from lpm.planning.sample import sample

    pair = tuple(sample(_at(name, size), devices=devices, steps=1) for size in (3_000, 12_000))
    size = 36_000
    shapes = scaled(pair[0].shapes, pair[1].shapes, size)
    found = memory.of_device(shapes, trace(shapes), pair, trace(pair[1].shapes))
    before = live_bytes()
    runner = Runner(_made(name, size, devices))
    runner.run(1)
    measured = (runner.live - before) / devices + runner.working
    assert found.total == pytest.approx(measured, rel=0.25)
    assert found.parts["working"] + found.parts["others"] == pytest.approx(runner.working, rel=0.25)


@pytest.mark.full
@pytest.mark.parametrize(("name", "devices"), [("mini", 2), ("opinions", 4)])
def test_exchange_is_that_of_the_compiled_program(name: str, devices: int) -> None:
    real = _made(name, 12_000, devices)
    traced = trace(of_assembly(real))
    program = Runner(real).advance.as_text()
    for kind, named in (("all_gather", "all-gather"), ("ppermute", "collective-permute")):
        lines = re.findall(rf"= ([^=]+) {named}(?:-start)?\(", program)  # one line may join several
        found = [each for line in lines for each in re.findall(r"(\w+)\[([\d,]*)\]", line)]
        result = {(dtype, int(np.prod([int(n) for n in shape.split(",") if n]))) for dtype, shape in found}
        short = {"uint32": "u32", "uint8": "u8", "float32": "f32", "int32": "s32", "bool": "pred"}
        asked = {
            (short[each.dtype], each.held // np.dtype(each.dtype).itemsize)
            for each in traced.exchanges
            if each.kind == kind
        }
        assert result == asked


@pytest.mark.full
def test_a_plan_is_told_and_is_plain_data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from lpm.planning import terminal as terminal_plan

    monkeypatch.setenv("COLUMNS", "200")
    made = planned.plan("mini", agents=10**9, devices=8, device="h200")
    terminal_plan.show_plan(made)
    told = capsys.readouterr().out
    assert "1,000,000,000 agents on 8 x NVIDIA H200 SXM" in told
    assert "NOT measured" in told
    assert "It fits; the least is " in told
    data = json.loads(json.dumps(made.as_data()))
    assert data["memory_total"] == sum(data["memory"].values())
    assert 10 * 10**9 * 4 / 8 < data["memory"]["layers"] < 10 * 10**9 * 12 / 8
    assert data["exchange_bytes"] == pytest.approx(7 / 8 * 10**9 / 8, rel=0.01)
    assert made.needed is not None and made.needed <= 8
    assert not made.measured

    here = planned.plan("mini", agents=20_000, backend="xla", steps=5)
    assert here.measured
    assert here.seconds_per_step == pytest.approx(here.samples[20_000], rel=0.5)  # it was timed at that very size
    assert here.memory_total < here.memory_room and here.needed == 1


@pytest.mark.full
@pytest.mark.parametrize(("name", "agents"), [("mini", 2_000), ("mini", 60_000), ("nyc-covid", 5_000)])
def test_the_batch_is_that_of_a_sweep(name: str, agents: int) -> None:
    """As many runs as the sweep itself would take, moved in the same way."""
    told = planner.plan(asking.chosen(name), agents=agents).batch
    size, how = running.choice(_made(name, agents, backend="auto"), 10**6, None)
    assert abs(int(told.value) - size) <= 1, "a sweep makes as few batches as it can, of equal size"
    assert size == 1 or ("side by side" in told.why) == (how == "vmap")
