"""One event at a time: oracles in plain Python on shared draws, hubs, several events an agent, devices, backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import find
from lpm.policy import Arm, Effect, Intervention

from ..conftest import Small, graph
from .events import events, pair_of_agent, pair_of_tie, rows_of, star
from .trajectories import trajectory

PAIRS = ("axelrod", "deffuant", "repulsion")
VOTES = ("majority", "q-voter", "voter")
IN_TURN: dict[str, Any] = {"schedule": "random-sequential"}
F = 10


def world(name: str) -> Any:
    builders: dict[str, Any] = {"erdos-renyi": {"mean_degree": 4.0}, "complete": {}, "star": {}}
    return star(50) if name == "star" else graph(name, 300, **builders[name])


def start(kernel: str, size: int) -> Any:
    generator = np.random.default_rng(1)
    if kernel == "axelrod":
        return generator.integers(0, 3, (size, F)).astype(np.uint16)
    if kernel in PAIRS:
        return generator.uniform(-1, 1, size).astype(np.float32)
    return generator.integers(0, 2, size).astype(np.uint8)


@pytest.mark.parametrize("meetings", [1.0, pytest.param(5.0, marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "name", ["erdos-renyi", *(pytest.param(n, marks=pytest.mark.full) for n in ("complete", "star"))]
)
@pytest.mark.parametrize("kernel", ["deffuant", pytest.param("repulsion", marks=pytest.mark.full)])
def test_pairs_of_ties_are_those_of_the_oracle(kernel: str, name: str, meetings: float):
    """Tie by tie in the order of the draws; opinions within the roundings of fused multiplications and additions.

    A rounding could carry a pair over a threshold: with these seeds none does.
    """
    network = world(name)
    rows, opinion = rows_of(network), start(kernel, network.size)
    values: dict[str, Any] = {"mu": 0.25, "meetings": meetings, **IN_TURN}
    values |= {"epsilon": 0.6} if kernel == "deffuant" else {"acceptance": 0.5, "rejection": 1.0}
    for step, found in enumerate(trajectory(kernel, network, {"opinion": opinion}, [1, 2], **values)):
        met = np.zeros(network.size, bool)
        names = ("agent", "pick") if network.complete else ("tie",)
        for draws in events(kernel, step, network.size, meetings / 2, names):
            i, j = pair_of_agent(rows, *draws.values()) if network.complete else pair_of_tie(rows, *draws.values())
            met[[i, j]] = True
            gap = np.float32(opinion[j] - opinion[i])
            if kernel == "deffuant":
                share = np.float32(0.25 * (abs(gap) < np.float32(0.6)))
            else:
                share = np.float32(0.25 if abs(gap) < np.float32(0.5) else -0.25 if abs(gap) > 1 else 0.0)
            opinion[i], opinion[j] = np.clip([opinion[i] + share * gap, opinion[j] - share * gap], -1, 1)
        assert np.array_equal(found["met"] == 1, met)
        assert np.abs(found["opinion"] - opinion).max() < 2e-6


@pytest.mark.parametrize("name", ["erdos-renyi", pytest.param("complete", marks=pytest.mark.full)])
def test_cultures_are_those_of_the_oracle(name: str):
    network = world(name)
    rows, culture = rows_of(network), start("axelrod", network.size)
    values: dict[str, Any] = {"meetings": 1.0, "features": 7.0, **IN_TURN}
    for step, found in enumerate(trajectory("axelrod", network, {"culture": culture}, [1, 2], **values)):
        for draws in events("axelrod", step, network.size, 0.5, ("agent", "pick", "interact", "feature")):
            i, j = pair_of_agent(rows, draws["agent"], draws["pick"])
            differ = [f for f in range(7) if j >= 0 and culture[i, f] != culture[j, f]]
            if differ and draws["interact"] * 7 >> 32 < 7 - len(differ):
                taken = differ[draws["feature"] * len(differ) >> 32]
                culture[i, taken] = culture[j, taken]
        assert np.array_equal(found["culture"], culture)


@pytest.mark.parametrize("name", ["erdos-renyi", pytest.param("complete", marks=pytest.mark.full)])
def test_majorities_are_those_of_the_oracle(name: str):
    network = world(name)
    rows, vote = rows_of(network), start("majority", network.size)
    values: dict[str, Any] = {"noise": 0.125, "revision": 1.0, **IN_TURN}
    for step, found in enumerate(trajectory("majority", network, {"vote": vote}, [1, 2], **values)):
        for draws in events("majority", step, network.size, 1.0, ("agent", "err", "coin")):
            i = draws["agent"] * network.size >> 32
            lead = int((2 * vote[rows[i]].astype(int) - 1).sum())
            vote[i] = (lead > 0) ^ (draws["err"] < 2**29) if lead else draws["coin"] >= 2**31
        assert np.array_equal(found["vote"], vote)


@pytest.mark.full
def test_hub_meets_as_often_as_it_has_ties():
    """A star of 50 leaves, a day of meetings = 1: 25.5 ties one after the other, all with the hub; a matching has one.

    Leaves met: 50 (1 - 0.98^25.5) = 20.1 in the mean, standard deviation below sqrt(25.5 * 0.4) / sqrt(20) of the mean
    of 20 days; five of them are allowed (a false alarm in 2e6).
    """
    network, opinion = star(50), np.zeros(51, np.float32)
    days = list(range(1, 21))
    in_turn = trajectory("deffuant", network, {"opinion": opinion}, days, meetings=1.0, **IN_TURN)
    matched = trajectory("deffuant", network, {"opinion": opinion}, days, meetings=1.0)
    assert all(run["met"][0] == 1 and run["met"].sum() == 2 for run in matched)
    leaves = np.mean([run["met"][1:].sum() for run in in_turn])
    assert abs(leaves - 50 * (1 - 0.98**25.5)) < 5 * np.sqrt(25.5 * 0.4 / 20)


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["voter", *(pytest.param(k, marks=pytest.mark.full) for k in (*PAIRS, *VOTES[:2]))])
def test_policy_that_triples_contacts_makes_three_times_the_events(kernel: str):
    """A layer scaled by 3 and a step of three days are the same run, to the last bit; no event is left out."""
    network = graph("erdos-renyi", 300, mean_degree=4.0)
    rate: dict[str, Any] = {"revision": 1.0} if kernel in VOTES else {"meetings": 1.0}
    arms = (Arm("as it is"), Arm("thrice", (Intervention("more", (Effect("scale", "contacts", 3.0),)),)))
    ends: list[Any] = []
    for arm, dt in ((0, 1.0), (1, 1.0), (0, 3.0)):
        made = Small(kernel, network, 300, (), arms=arms, steps=3, dt=dt)
        state, _ = made.run(made.member(seed=1, arm=arm, **rate, **IN_TURN))
        ends.append(np.asarray(state.agents[made.kernel.writes[0]])[0])
    assert np.array_equal(ends[1], ends[2]) and not np.array_equal(ends[0], ends[1])


@pytest.mark.full
@pytest.mark.parametrize("builder", ["complete", "barabasi-albert"])
@pytest.mark.parametrize("kernel", [*PAIRS, *VOTES])
def test_devices_change_nothing(kernel: str, builder: str):
    network = graph(builder, 301) if builder == "complete" else graph(builder, 301, ties=3)
    column = find(kernel, "test").writes[0]
    given = {column: start(kernel, 301)}
    one, four = (trajectory(kernel, network, given, [6], shards=shards, **IN_TURN)[0] for shards in (1, 4))
    assert np.array_equal(one[column], four[column])


def test_only_a_matching_limits_the_meetings_of_a_step():
    kernel = find("deffuant", "test")
    kernel.check(kernel.Params(meetings=4.0, **IN_TURN), "test", 1.0)
    with pytest.raises(InputError, match="shorter steps, or schedule"):
        kernel.check(kernel.Params(meetings=4.0), "test", 1.0)
