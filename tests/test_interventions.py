"""Interventions on agents inside the engine, against what a plain loop over agents would do; the library at work.

Scenario files with interventions, and what they count and cost, are in test_levers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

from lpm import kernel
from lpm.cli import main
from lpm.levers import NEVER, once
from lpm.policy import Arm, Effect, Filter, Intervention
from lpm.population import WEIGHT_UNIT, Column, Population
from lpm.simulation import Simulation, World

from . import conftest
from .conftest import SIR_METRICS, Small, graph

SIZE, STEPS = 1_000, 14
AWAY = (Effect("set_column", "present", 0.0),)
INFECTIOUS, OLD = (Filter("state", (1,)),), (Filter("age", (2,)),)

INTERVENTIONS = (
    Intervention("isolate", AWAY, start=4, every=100, delay=2, duration=3),
    Intervention("few places", AWAY, where=INFECTIOUS, start=2, capacity=60.0, duration=5),
    Intervention("trace", AWAY, where=INFECTIOUS, neighbours=("contacts",), start=3, every=100, duration=4),
    Intervention("hubs", (Effect("set_column", "tag", 7.0),), top=("contacts", 0.1), start=2, duration=2, every=5),
    Intervention(
        "infect",
        (Effect("set_column", "state", 1.0),),
        where=(Filter("state", (0,)),),
        share=0.3,
        start=4,
        every=100,
        delay=3,
    ),
    Intervention("pay", (Effect("add_column", "wealth", 10.0),), where=OLD, uptake=0.5, duration=5),
)


@dataclass(frozen=True)
class Life:
    """What happened in one arm.

    Attributes:
        agents: Columns before the first and after every step, [steps + 1, rows].
        since: Step at which agents were reached, by intervention, [steps + 1, rows].
        sums: What was counted, by name, [steps, ...].
    """

    agents: Mapping[str, Any]
    since: Mapping[str, Any]
    sums: Mapping[str, Any]

    def reached(self, name: str, step: int) -> Any:
        """Return bool [rows], whom an intervention reached in a step."""
        return self.since[name][step + 1] == step

    def people(self, kind: str, name: str) -> Any:
        """Return float64 [steps], the tally of an intervention."""
        pair = self.sums[f"{kind}:{name}"].astype(np.uint64)
        return (pair[:, 0] + (pair[:, 1] << np.uint64(32))) / WEIGHT_UNIT


@pytest.fixture(scope="module")
def network() -> Any:
    return graph("erdos-renyi", SIZE, mean_degree=8.0)


@pytest.fixture(scope="module")
def lives(network: Any) -> dict[str, Life]:
    """Return every arm's life: the baseline and one arm per intervention, run together."""
    generator = np.random.default_rng(1)
    columns = (
        Column("state", "uint8", "stage", levels=("susceptible", "infectious", "recovered")),
        Column("age", "uint8", "age", levels=("young", "middle", "old")),
        Column("tag", "uint8", "a mark"),
        Column("wealth", "float32", "money", unit="USD", bounds=(0, 1000), default=1),
    )
    values = {"age": np.arange(SIZE) % 3, "weight": generator.integers(1, 20 * WEIGHT_UNIT, SIZE)}
    people = Population.build(SIZE, columns, values)
    arms = (Arm("baseline"), *(Arm(each.name, (each,)) for each in INTERVENTIONS))
    small = Small("sir", network, SIZE, SIR_METRICS, arms, steps=STEPS, capacity=1, population=people)
    marked = tuple(once(each, {"state"}, people.schema) for each in small.plan.agents)
    small.simulation = Simulation(replace(small.simulation.model, policy=replace(small.plan, agents=marked)))
    order = np.argsort(-network.degrees(), kind="stable")
    rank: Any = np.empty(SIZE, np.float32)
    rank[order] = np.arange(SIZE) / SIZE
    world = World(small.world.layers, {"hubs": rank})
    members = jax.tree.map(
        lambda *leaves: np.concatenate(leaves),
        *(small.member(5, arm=i, beta=0.08, initial=0.05) for i in range(len(arms))),
    )
    state = small.simulation.start(small.agents, members)
    kept, sums = [jax.tree.map(np.asarray, state)], []
    for step in range(STEPS):
        state, counted = small.simulation.advance(state, members, world, step, 1)
        kept.append(jax.tree.map(np.asarray, state))
        sums.append({name: np.asarray(values)[:, 0] for name, values in counted.items()})
    return {
        arm.name: Life(
            {name: np.stack([each.agents[name][i] for each in kept]) for name in people.columns},
            {name: np.stack([each.since[name][i] for each in kept]) for name in state.since},
            {name: np.stack([each[name][i] for each in sums]) for name in sums[0]},
        )
        for i, arm in enumerate(arms)
    }


@pytest.mark.full
def test_what_has_expired_leaves_no_trace(lives: dict[str, Life]):
    """Everybody is reached at 4 and away in steps 6, 7 and 8: nothing moves; before and after everything does."""
    life, base = lives["isolate"], lives["baseline"]
    moved = (np.diff(life.agents["state"].astype(int), axis=0) != 0).any(1)
    assert np.flatnonzero(~moved).tolist() == [6, 7, 8]
    assert np.array_equal(life.agents["state"][:7], base.agents["state"][:7])
    for name in ("present", "weight", "age", "tag", "wealth"):
        assert (life.agents[name] == life.agents[name][0]).all()
    assert (life.since["isolate"][5:9] == 4).all() and (life.since["isolate"][10:] == NEVER).all()


def test_an_arm_moves_only_its_own_intervention(lives: dict[str, Life]):
    for arm, life in lives.items():
        for name in life.since:
            assert (life.since[name] != NEVER).any() == (name == arm)


def test_capacity_is_never_exceeded_and_used_up_to_one_agent(lives: dict[str, Life]):
    life = lives["few places"]
    weight = life.agents["weight"][0] / WEIGHT_UNIT
    short = 0
    for step in range(STEPS):
        reached = life.reached("few places", step)
        if step < 2:
            assert not reached.any()
            continue
        before = life.since["few places"][step]
        free = (before == NEVER) | (step - before >= 5)
        asked = (life.agents["state"][step] == 1) & free
        assert not (reached & ~asked).any()
        used = weight[reached].sum()
        assert used <= 60 and life.people("reached", "few places")[step] == pytest.approx(used)
        if weight[asked].sum() > 60:
            short += 1
            assert used > 60 - weight[asked].max()
        else:
            assert np.array_equal(reached, asked)
    assert short > 3  # there was something to ration


def test_tracing_reaches_exactly_the_neighbours(lives: dict[str, Life], network: Any):
    life = lives["trace"]
    sick = life.agents["state"][3] == 1
    row = np.repeat(np.arange(SIZE), network.degrees())
    expected = np.bincount(row, sick[network.indices], SIZE) > 0
    assert 0 < expected.sum() < SIZE
    assert np.array_equal(life.reached("trace", 3), expected)
    held = life.agents["state"][4:8, expected]  # away in steps 3 to 6: states after them are those before step 3
    assert (held == life.agents["state"][3, expected]).all()


def test_the_agents_of_highest_degree_are_reached(lives: dict[str, Life], network: Any):
    life, degrees = lives["hubs"], network.degrees()
    for step in range(STEPS):
        reached = life.reached("hubs", step)
        assert reached.sum() == (100 if step in (2, 7, 12) else 0)
        if reached.any():
            assert degrees[reached].min() >= degrees[~reached].max()
    assert np.array_equal(life.agents["state"], lives["baseline"].agents["state"])  # the mark changes nothing


def test_a_column_that_a_kernel_writes_is_set_once(lives: dict[str, Life]):
    """Reached at 4, infected at 7 whatever they are by then, and free to recover from then on."""
    life, base = lives["infect"], lives["baseline"]
    reached = life.since["infect"][5] == 4
    able = life.agents["state"][4] == 0
    # 30 % of those susceptible: five standard errors, a false alarm for fewer than 1 of 1e6 seeds
    assert not (reached & ~able).any() and abs(reached.sum() - 0.3 * able.sum()) < 5 * np.sqrt(0.21 * able.sum())
    assert np.array_equal(life.agents["state"][:8], base.agents["state"][:8])
    after = life.agents["state"][8]
    assert (after[reached] >= 1).all() and (after[reached] == 1).mean() > 0.7
    assert (life.agents["state"][-1][reached] == 2).any()


def test_payments_are_made_once_per_turn(lives: dict[str, Life]):
    """Half of the old take part; they are paid at 0, and every 5 steps again."""
    life = lives["pay"]
    wealth, old = life.agents["wealth"], life.agents["age"][0] == 2
    took = wealth[-1] > 1
    assert not took[~old].any() and abs(took.sum() - old.sum() / 2) < 5 * np.sqrt(old.sum() / 4)
    for step in range(STEPS):
        assert np.array_equal(wealth[step + 1], np.where(took, 1 + 10 * (step // 5 + 1), 1))


def test_tallies_count_people(lives: dict[str, Life]):
    for each in INTERVENTIONS:
        life = lives[each.name]
        weight = life.agents["weight"][0] / WEIGHT_UNIT
        for step in range(STEPS):
            reached = weight[life.reached(each.name, step)].sum()
            since = life.since[each.name][step + 1]
            passed = step - since - each.delay
            active = (since != NEVER) & (passed >= 0) & (passed < (each.duration or 10**6))
            assert life.people("reached", each.name)[step] == pytest.approx(reached)
            assert life.people("active", each.name)[step] == pytest.approx(weight[active].sum())


# from scenario files

LIBRARY = """
schema = 1
name = "library"
steps = 60
seeds = 2
[population]
file = "people.csv"
[[networks]]
name = "household"
builder = "watts-strogatz"
neighbours = 2
home = true
[[networks]]
name = "work"
builder = "erdos-renyi"
mean_degree = 8.0
[[kernels]]
kernel = "seir"
beta = 0.06
[[kernels]]
kernel = "importation"
initial = 30.0
[metrics]
infections = { flow = "exposed" }
[[arms]]
name = "nothing"
[[arms]]
name = "test and isolate"
interventions = [ { use = "test-and-isolate", uptake = 1.0, delay = "0d" } ]
[[arms]]
name = "trace"
interventions = [ { use = "trace-contacts", uptake = 1.0, delay = "0d" } ]
[[arms]]
name = "vaccinate"
interventions = [ { use = "vaccinate-by-age", delay = "0d", uptake = 1.0 } ]
"""


def trajectory(folder: Path, text: str, *options: str) -> pl.DataFrame:
    folder.mkdir()
    rows = [{"age": ("0-64", "65-74", "75+")[i % 3]} for i in range(3_000)]
    pl.DataFrame(rows).write_csv(folder / "people.csv")
    (folder / "scenario.toml").write_text(text)
    assert main(["run", str(folder / "scenario.toml"), "--out", str(folder / "run"), "--quiet", *options]) == 0
    return pl.read_parquet(folder / "run" / "trajectory.parquet")


@pytest.mark.full
def test_the_library_reduces_infections_and_registration_has_no_influence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ready-made interventions, as eager as can be, prevent at least a tenth of infections in every seed.

    The run is repeated with the kernels registered in another order: every row is the same to the last bit.
    """
    frame = trajectory(tmp_path / "one", LIBRARY)
    totals = frame.filter(group="all").group_by("arm", "seed").agg(pl.col("infections").sum())
    by_arm = {(arm, seed): total for arm, seed, total in totals.rows()}
    for seed in (0, 1):
        assert by_arm["nothing", seed] > 600
        for arm in ("test and isolate", "trace", "vaccinate"):
            assert by_arm[arm, seed] < 0.9 * by_arm["nothing", seed], (arm, by_arm)
    registry = kernel.kernels()
    turned = dict(reversed(registry.items()))
    assert list(turned) != list(registry)
    monkeypatch.setattr(kernel, "_REGISTRY", turned)
    monkeypatch.setattr(conftest, "COMPILED", {})  # compiled again
    options = ("--seeds", "1", "--arms", "nothing,trace")
    again = trajectory(tmp_path / "two", LIBRARY, *options)
    assert again.equals(frame.filter(pl.col("arm").is_in(["nothing", "trace"]) & (pl.col("seed") == 0)))
