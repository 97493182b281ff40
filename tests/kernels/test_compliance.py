"""Compliance: the mean as given, differences by the table, contexts of the right group; what SEIR makes of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit, logsumexp

from lpm.archetypes.contexts import Contexts, Variable, corners
from lpm.archetypes.table import NEVER, Table
from lpm.clock import Clock
from lpm.errors import InputError
from lpm.kernel import declarations
from lpm.kernels.decision.archetype_choice import ArchetypeChoice, choice_of
from lpm.kernels.decision.compliance import UNDEFINED, Compliance, given, one_group
from lpm.kernels.decision.margin import chances, weights_of
from lpm.kernels.decision.sources import Common, Friends, Own, Prevalence, Source
from lpm.kernels.diffusion import seir
from lpm.network import layout
from lpm.ops.dispatch import using
from lpm.population import Column, Population
from lpm.random import root
from lpm.simulation import Simulation

from ..conftest import Small, graph
from .herds import Values, agent_draws, begin, go, host, key_of

ACTIONS = ("stay at home", "go out with a mask", "go out")
CONTEXTS = Contexts(
    (Variable("cases", (0, 100, 500), "in 1,000", ""), Variable("orders", (0, 0.5, 1), "1", "how far orders go"))
)
SOURCES: tuple[Source, ...] = (Prevalence("state", (1, 2), "borough", 3, 1000.0), Common("orders"))
BOROUGH = np.array([0, 0, 1, 1, 2, 2])
SIZE = 6_000
ILL = np.array([0.05, 0.3, 0.9])
"""Share of agents of a borough in state 1; the last is beyond the anchors."""

solved = jax.jit(lambda s, people, level, beta: chances(s, weights_of(people), level, beta))


def shares(s: Values, people: Values, level: float, beta: float = 1.0) -> Values:
    """Return the chances float32 [A]."""
    numbers = (jnp.asarray(s, jnp.float32), jnp.asarray(people, jnp.float32), jnp.float32(level), jnp.float32(beta))
    return np.asarray(solved(*numbers))


@functools.cache
def table() -> Table:
    people = pl.DataFrame({"archetype": range(6), "weight": [1.0] * 6, "card": [""] * 6})
    return Table(ACTIONS, CONTEXTS, people, np.random.default_rng(1).normal(0, 1.5, (6, 9, 3)))


@functools.cache
def people() -> Mapping[str, Values]:
    """Return agents of six archetypes and one without a row; the archetype tells the borough."""
    generator = np.random.default_rng(2)
    archetype = generator.choice(7, SIZE, p=[0.3, 0.05, 0.2, 0.1, 0.2, 0.1, 0.05]).astype(np.uint16)
    borough = np.append(BOROUGH, 0)[archetype].astype(np.uint8)
    state = (generator.random(SIZE) < ILL[borough]).astype(np.uint8) * generator.integers(1, 3, SIZE, np.uint8)
    weight = generator.integers(1, 5 * 65_536, SIZE).astype(np.uint32)
    present = generator.random(SIZE) < 0.9
    return {"archetype": archetype, "borough": borough, "state": state, "weight": weight, "present": present}


@functools.cache
def small(shards: int = 1) -> Small:
    kernel = Compliance.of(CONTEXTS, ACTIONS, SOURCES)
    levels = {"borough": ("a", "b", "c"), "state": ("well", "ill", "very ill")}
    more = [Column(name, "uint8", "codes", levels=names) for name, names in levels.items()]
    drawn = Population.build(SIZE, (*kernel.columns, *more), people())
    made = Small("compliance", None, SIZE, (), steps=3, shards=shards, population=drawn)
    model = made.simulation.model
    made.simulation = Simulation(replace(model, behaviours=(replace(model.behaviours[0], kernel=kernel),)))
    return made


def stayed(steps: int = 1, shards: int = 1, known: Table | None = None, **values: Any) -> dict[str, Values]:
    """Return every column after some steps."""
    made = small(shards)
    batch = made.member(3, **values)
    found = host(go(made, batch, begin(made, batch, given(known or table())), 0, steps))
    return {name: column[0] if "." in name else column[0, :SIZE] for name, column in found.items()}


def weights() -> Values:
    """Return people by archetype, float64 [6]."""
    columns = people()
    counted = np.where(columns["present"], columns["weight"] / 65_536, 0)
    return np.bincount(columns["archetype"], counted, 7)[:6]


def expected(level: float, beta: float, orders: float) -> Values:
    """Return the chances by archetype as the docstring has them: bisection by scipy, everything in float64."""
    columns, z = people(), table().logit.astype(float)
    weight = np.where(columns["present"], columns["weight"], 0).astype(float)
    whole, ill = (np.bincount(columns["borough"], w, 3) for w in (weight, weight * (columns["state"] > 0)))
    values = np.stack([1000 * (ill / whole)[BOROUGH], np.full(6, orders)], -1)
    cell, part = corners(CONTEXTS, values)
    odds = z[..., 0] - logsumexp(z[..., 1:], axis=-1)
    s = beta * (odds[np.arange(6)[:, None], cell] * part).sum(1)
    return expit(s + brentq(lambda c: np.average(expit(s + c), weights=weights()) - level, -100, 100, xtol=1e-12))


@pytest.mark.parametrize("size", [7, 5_000])
def test_the_mean_is_the_level_and_differences_are_those_of_the_table(size: int):
    """Within 1e-5, whatever the log odds are; log odds differ by beta (z_a - z_b) where float32 shows it."""
    generator = np.random.default_rng(4)
    people = generator.lognormal(0, 2, size).astype(np.float32) * 1_000
    people[2] = 0
    some = generator.normal(0, 1.5, size)
    far = np.where(np.arange(size) % 2, NEVER, -NEVER) + some
    for s, beta in ((some, 1), (30 * some, 0.1), (some, 1e3), (far, 1), (far, 1e3), (0 * some - 2e4, 1e3)):
        for level in (1e-5, 0.01, 0.3, 0.5, 0.97, 1 - 1e-5):
            p = shares(s, people, level, beta).astype(float)
            assert abs(np.average(p, weights=people) - level) <= 1e-5, (beta, level)
            assert ((p >= 0) & (p <= 1)).all()
            seen = (p > 0.01) & (p < 0.99)
            shifts = logit(p[seen]) - beta * s.astype(np.float32)[seen].astype(float)
            assert not seen.any() or np.ptp(shifts) < 1e-5 / 0.01 or beta == 1e3
    assert (shares(some, people, 0) == 0).all() and (shares(some, people, 1) == 1).all()
    assert np.isnan(shares(np.append(some[1:], np.nan), people, 0.5)).all()


def test_beta_0_makes_all_alike():
    s, people = np.random.default_rng(5).normal(0, 3, 7), np.arange(7.0)
    for level in (0.1, 0.5, 0.9):
        assert (shares(s, people, level, 0.0) == np.float32(level)).all()


def test_nobody_in_a_table_harms_nobody():
    """Where people are 0 everywhere all archetypes count alike; one of nobody follows the others' shift."""
    assert (shares(np.zeros(7), np.zeros(7), 0.25) == 0.25).all()
    s = np.array([0.0, 2.0, 0, 0, 0, 0, 0])
    p = shares(s, np.array([1.0, 0, 1, 1, 1, 1, 1]), 0.5).astype(float)
    assert p == pytest.approx(expit(s), abs=1e-6)


def test_agents_stay_at_home_as_their_archetype_does():
    """Draw by draw; chances in contexts of the right borough, by scipy (1e-5 near a threshold either may be right)."""
    columns = people()
    values: dict[str, Any] = {"level": 0.4, "beta": 1.5, "orders": 0.3}
    found, p = stayed(**values), np.append(expected(**values), 0.0)
    drawn = agent_draws(key_of(3, "compliance", 0, "at home"), SIZE) / 2.0**32
    chance = p[columns["archetype"]]
    sure = (np.abs(drawn - chance) > 1e-5) & columns["present"]
    assert sure.sum() > 0.99 * columns["present"].sum() and np.ptp(p[:6]) > 0.3
    assert (found["at_home"] == (drawn < chance))[sure].all()
    assert (found["at_home"][~columns["present"]] == 0).all() and (
        found["at_home"][columns["archetype"] == 6] == 0
    ).all()
    assert (found["presence"] == np.where(columns["present"], 1 - found["at_home"], 1)).all()
    assert np.allclose(found["archetypes.people"], weights(), rtol=1e-6)
    assert (found["archetypes.group"] == BOROUGH).all()


def test_the_mean_that_is_drawn_is_the_level():
    """Of people, over agents who stay with chances p: 5 standard errors, one alarm in 2e6 choices of a seed."""
    columns = people()
    known = columns["present"] & (columns["archetype"] < 6)
    weight = columns["weight"][known] / columns["weight"][known].sum(dtype=float)
    for level, orders in ((0.0, 0.5), (0.15, 1.0), (0.6, 0.0), (1.0, 0.0)):
        found = stayed(level=level, orders=orders)["at_home"]
        p = np.full(6, level) if level in (0, 1) else expected(level, 1.0, orders)
        chance = p[columns["archetype"][known]]
        error = np.sqrt((weight**2 * chance * (1 - chance)).sum())
        assert abs((weight * found[known]).sum() - level) <= 5 * error + 1e-12
        assert (found[~known] == 0).all()


def test_the_same_seed_gives_the_same_days_on_several_devices():
    one, four = (stayed(3, shards, level=0.4, beta=2.0, orders=0.7) for shards in (1, 4))
    assert all(np.array_equal(one[name], four[name]) for name in one)


def test_an_archetype_of_two_groups_is_refused_and_never_served():
    """On the host in words; where nobody asked, no agent has a state that has a name."""
    made, kernel = small(), Compliance.of(CONTEXTS, ACTIONS, SOURCES)
    one_group(kernel, people(), 6, "test")
    borough = people()["borough"].copy()
    moved = np.flatnonzero((people()["archetype"] == 3) & people()["present"])[0]
    borough[moved] = 2
    with pytest.raises(InputError, match="1 archetypes have agents in several groups of 'borough', the first is 3"):
        one_group(kernel, {**people(), "borough": borough}, 6, "test")
    one_group(Compliance, {**people(), "borough": borough}, 6, "test")  # looks at no group
    borough[moved] = 7
    with pytest.raises(InputError, match="expected codes 0 to 2, got 0 to 7"):
        one_group(kernel, {**people(), "borough": borough}, 6, "test")
    borough[moved] = 2
    batch = made.member(3, level=0.5)
    state = made.simulation.start(made.agents | {"borough": jnp.asarray(borough)}, batch, given(table()))
    found = host(go(made, batch, state, 0, 1))
    here = people()["present"]
    assert found["archetypes.group"][0].tolist() == [0, 0, 1, 65_535, 2, 2]
    assert (found["at_home"][0][here] == UNDEFINED).all() and np.isnan(found["presence"][0][here]).all()
    assert (found["at_home"][0][~here] == 0).all()


def test_what_is_not_the_same_for_all_of_an_archetype_is_refused():
    for bad in (Own("cases"), Friends((0,)), Common("price")):
        with pytest.raises(InputError, match="context variable 'cases': expected what all of an archetype share"):
            Compliance.of(CONTEXTS, ACTIONS, (bad, Common("orders")))
    with pytest.raises(InputError, match="one column of groups, got age, borough"):
        Compliance.of(CONTEXTS, ACTIONS, (SOURCES[0], Prevalence("state", (1,), "age", 2)))
    with pytest.raises(InputError, match="expected a source for each of 2, got 1"):
        Compliance.of(CONTEXTS, ACTIONS, SOURCES[:1])


def test_tables_that_no_simulation_can_use_are_refused():
    usable = np.ones(table().logit.shape, bool)
    usable[2, 3, 1] = False
    with pytest.raises(InputError, match="1 of 54 cells are not usable"):
        given(replace(table(), usable=usable))
    with pytest.raises(InputError, match="NaN"):
        Table(ACTIONS, CONTEXTS, table().archetypes, np.full((6, 9, 3), np.nan))
    with pytest.raises(InputError, match="NaN"):
        given(table(), np.full((6, 3), np.nan))


def test_both_kernels_of_a_table_are_made_alike():
    assert Compliance.of(CONTEXTS, ACTIONS, SOURCES) is Compliance.of(CONTEXTS, ACTIONS, SOURCES) is not Compliance
    assert ArchetypeChoice.by_table and Compliance.by_table
    own = (Own("cases"), Own("orders"))
    assert ArchetypeChoice.of(CONTEXTS, ACTIONS, own) is choice_of(table())
    made = Compliance.of(CONTEXTS, ACTIONS, SOURCES)
    assert made.reads == ("archetype", "state", "borough") and made.tables["archetypes"][0].shape == (9, 3)
    assert set(given(table())["archetypes"]) == {column.name for column in made.tables["archetypes"]}


MANY = 2_000


@functools.cache
def epidemic(home: bool) -> Any:
    """Return a compiled day of SEIR on one layer: from activity and presence to who is infected, bool [agents]."""
    params = seir.SEIR.Params(beta=0.5)
    by_age = {name: declared.by != "" for name, declared in declarations(seir.SEIR.Params).items()}
    numbers = {n: jnp.full((1,) if by else (), getattr(params, n), jnp.float32) for n, by in by_age.items()}
    params = replace(params, **numbers)
    ages = Column("age", "uint8", "age", levels=("all",))
    ill = np.where(np.arange(MANY) < MANY // 2, seir.MILD, seir.SUSCEPTIBLE)
    drawn = Population.build(MANY, (*seir.SEIR.columns, ages), {"state": ill})
    layer = layout(graph("erdos-renyi", MANY, mean_degree=8.0), home=home)

    @jax.jit
    def day(agents: Any, layer: Any) -> Any:
        tables, clock = {"agents": agents}, Clock(jnp.int32(0), 1.0, 1)
        ready = seir.SEIR.prepare(params, tables, clock)
        return seir.SEIR.step(root(4), tables, {"contacts": layer}, ready, clock)["state"] == seir.EXPOSED

    def infected(activity: Any, presence: Any) -> Values:
        columns = {"activity": activity, "presence": presence}
        put = {name: np.broadcast_to(np.asarray(values, np.float32), MANY) for name, values in columns.items()}
        with using("xla"):
            return np.asarray(day({**drawn.columns, **put}, layer))

    return infected


def test_presence_multiplies_activity_in_seir(monkeypatch: pytest.MonkeyPatch):
    """Bit for bit, and nothing at home: who is at home meets nobody outside of it."""
    monkeypatch.setattr(seir, "stage_hazards", lambda mean, shape, dt, longest: jnp.full(longest, 0.5))
    generator = np.random.default_rng(6)
    activity = generator.uniform(0.2, 1, MANY).astype(np.float32)
    presence = (generator.integers(0, 3, MANY) / 2).astype(np.float32)
    outside, inside = epidemic(home=False), epidemic(home=True)
    both = outside(activity, presence)
    assert np.array_equal(both, outside(activity * presence, 1)) and 100 < both.sum() < outside(activity, 1).sum()
    assert not both[presence == 0].any() and not outside(1, 0).any()
    assert np.array_equal(inside(activity, presence), inside(1, 1)) and inside(1, 0).sum() > 100
