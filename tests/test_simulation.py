"""The engine's invariants: devices, chunks, batches, arms and absent agents change no bit of a trajectory."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from lpm.errors import InputError
from lpm.metrics import Metric
from lpm.network import Network
from lpm.policy import Arm, Effect, Filter, Intervention, Trigger, shifted
from lpm.simulation import Member

from .conftest import SIR_METRICS, Small, graph

OPINION = (Metric("opinion", "mean", "opinion"),)


def stack(members: list[Member]) -> Member:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *members)


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def straight(er_network: Network) -> tuple[Small, dict[str, Any]]:
    one = Small("sir", er_network, 4_000, SIR_METRICS)
    return one, one.run(one.member(7))[1][0]


@pytest.mark.parametrize("shards", [*(pytest.param(n, marks=pytest.mark.full) for n in (2, 4)), 8])
def test_integer_kernel_is_the_same_on_any_number_of_devices(straight: Any, er_network: Network, shards: int):
    many = Small("sir", er_network, 4_000, SIR_METRICS, shards=shards)
    assert equal(many.run(many.member(7))[1][0], straight[1])


@pytest.mark.parametrize(
    "shards", [pytest.param(4, marks=pytest.mark.full), 7]
)  # 7: the last shard is padded with absent agents
def test_float_kernel_is_the_same_on_any_number_of_devices(shards: int):
    network = graph("barabasi-albert", 3_001, ties=3)
    runs = []
    for count in (1, shards):
        made = Small("degroot", network, 3_001, OPINION, shards=count, steps=20)
        state, sums = made.run(made.member(3))
        runs.append((np.asarray(state.agents["opinion"])[0, :3_001], sums[0]))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert equal(runs[0][1], runs[1][1])


def test_chunks_change_nothing(straight: Any, er_network: Network):
    chunked = Small("sir", er_network, 4_000, SIR_METRICS, capacity=7)
    assert equal(chunked.run(chunked.member(7), stops=(1, 12, 13))[1][0], straight[1])


@pytest.mark.parametrize("batching", [pytest.param("map", marks=pytest.mark.full), "vmap"])
def test_members_run_together_as_alone(straight: Any, er_network: Network, batching: str):
    together = Small("sir", er_network, 4_000, SIR_METRICS, batching=batching)
    members = stack([together.member(seed, beta=beta) for seed, beta in ((7, 0.05), (8, 0.05), (7, 0.2))])
    sums = together.run(members)[1]
    assert equal(sums[0], straight[1])
    assert not equal(sums[1], straight[1]) and not equal(sums[2], straight[1])


def test_absent_agents_neither_infect_nor_count():
    network = graph("erdos-renyi", 500, mean_degree=20.0)
    made = Small("sir", network, 500, SIR_METRICS, steps=40)
    made.agents = {**made.agents, "present": made.agents["present"].at[:400].set(False)}
    state, sums = made.run(made.member(1, beta=0.5, initial=0.1))
    assert not np.asarray(state.agents["state"])[0, :400].any()
    assert made.recorder.roll_up(sums[0])[1]["people"][0, 0] == 100


@pytest.mark.full
def test_a_grown_population_keeps_the_draws_of_those_who_were_there():
    """Without ties nothing couples agents: the first 500 of 900 move as the 500 alone."""
    states = []
    for size in (500, 900):
        empty = Network(size, np.zeros(size + 1, np.int64), np.zeros(0, np.int32))
        made = Small("sir", empty, size, SIR_METRICS, steps=15)
        states.append(np.asarray(made.run(made.member(5, initial=0.4))[0].agents["state"])[0, :500])
    assert np.array_equal(*states)


def cut(name: str = "cut", value: float = 0.5, start: int = 5, **more: Any) -> Intervention:
    return Intervention(name, (Effect("scale", "contacts", value),), start=start, **more)


def arms_of(*arms: Arm, network: Network, **more: Any) -> list[dict[str, Any]]:
    made = Small("sir", network, 4_000, SIR_METRICS, arms, **more)
    return [made.run(made.member(7, arm=i))[1][0] for i in range(len(arms))]


def test_an_arm_that_changes_nothing_has_no_effect(straight: Any, er_network: Network):
    none = Intervention("none", (Effect("scale_column", "weight", 0.0),), where=(Filter("state", (9,)),))
    base, idle, off = arms_of(
        Arm("baseline"), Arm("factor 1", (cut(value=1.0),)), Arm("reaches nobody", (none,)), network=er_network
    )
    for sums in (base, idle, off):
        assert equal({name: sums[name] for name in straight[1]}, straight[1])


def test_an_arm_does_not_depend_on_the_others(er_network: Network):
    alone = arms_of(Arm("cut", (cut(),)), network=er_network)[0]
    beside = arms_of(Arm("baseline"), Arm("cut", (cut(),)), Arm("more", (cut("other", 0.1),)), network=er_network)[1]
    assert equal(alone, beside)


def test_effect_begins_on_its_step_and_a_shift_moves_it(er_network: Network):
    base, late, early = arms_of(
        Arm("baseline"), Arm("late", (cut(value=0.0, start=12, label="orders"),)),
        Arm("early", shifted((cut(value=0.0, start=12, label="orders"),), {"orders": -4})), network=er_network,
    )  # fmt: skip
    infections = [sums["flow:state"][:, 0, 1, 0] for sums in (base, late, early)]
    assert np.array_equal(infections[0][:12], infections[1][:12]) and not infections[1][12:].any()
    assert np.array_equal(infections[0][:8], infections[2][:8]) and not infections[2][8:].any()


def test_a_parameter_can_be_set_and_scaled(er_network: Network):
    set_to = Intervention("set", (Effect("set", "sir.beta", 0.0),), start=10)
    halved = Intervention("halved", (Effect("scale", "sir.beta", 0.5),), start=10)
    twice = Intervention("layer", (Effect("scale", "contacts", 0.5),), start=10)
    base, stopped, half, layer = arms_of(
        Arm("a"), Arm("b", (set_to,)), Arm("c", (halved,)), Arm("d", (twice,)), network=er_network
    )
    assert base["flow:state"][10:, 0, 1].any() and not stopped["flow:state"][10:, 0, 1].any()
    assert equal(half, layer)  # beta and the layer enter the hazard as a product; both factors are exact


def test_a_trigger_holds_from_the_step_after_its_metric_passes(er_network: Network):
    trigger = Trigger("prevalence", "all", 600.0)
    base, shut = arms_of(Arm("a"), Arm("b", (cut(value=0.0, start=0, trigger=trigger),)), network=er_network, steps=60)
    prevalence = base["stock:state"][:, 0, 1, 0] / 65_536
    first = int(np.argmax(prevalence > 600)) + 1
    infections = shut["flow:state"][:, 0, 1, 0]
    assert np.array_equal(infections[:first], base["flow:state"][:first, 0, 1, 0]) and infections[first - 1] > 0
    assert not infections[first:].any()


def test_a_released_trigger_opens_again(er_network: Network):
    trigger = Trigger("prevalence", "all", 600.0, release=400.0)
    _, shut = arms_of(Arm("a"), Arm("b", (cut(value=0.0, start=0, trigger=trigger),)), network=er_network, steps=60)
    infections, prevalence = shut["flow:state"][:, 0, 1, 0], shut["stock:state"][:, 0, 1, 0] / 65_536
    closed = int(np.argmax(prevalence > 600)) + 1
    opened = closed + int(np.argmax(prevalence[closed:] < 400)) + 1
    assert not infections[closed:opened].any() and infections[opened] > 0


def test_unknown_structure_under_one_name_is_refused(er_network: Network):
    on_agents = Intervention("cut", (Effect("set_column", "present", 0.0),))
    other = Intervention("cut", (Effect("set_column", "present", 0.0),), where=(Filter("state", (1,)),))
    with pytest.raises(InputError, match="another name"):
        Small("sir", er_network, 4_000, SIR_METRICS, (Arm("a", (on_agents,)), Arm("b", (other,))))
