"""Choice by archetype: slow draw by draw, shares of the table, contexts of every source, the same bits everywhere."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.special import softmax

from lpm.archetypes.contexts import Contexts, Variable, corners
from lpm.archetypes.table import NEVER, Table
from lpm.errors import InputError
from lpm.kernels.decision.archetype_choice import (
    UNDEFINED,
    chances,
    choice_of,
    given,
)
from lpm.kernels.decision.sources import Common, Friends, Prevalence, Source, value_of
from lpm.network import Network, layout
from lpm.ops.neighbours import row_width

from ..conftest import graph
from .behaving import ACTIONS, ARCHETYPES, CONTEXTS, acted, people, small, table
from .herds import Values, agent_draws, begin, go, host, key_of


def test_every_action_is_the_one_that_its_draws_name():
    """Agent by agent from the scalar draws: a corner, then an action; within 1e-6 of a boundary either may be right."""
    size = 400
    given_columns = people(size)
    found, p = acted(given_columns), table().probability
    drawn = {
        name: agent_draws(key_of(3, "archetype-choice", 0, name), size) / 2.0**32
        for name in ("context price", "context orders", "action")
    }
    known, sure = given_columns["archetype"] < ARCHETYPES, np.ones(size, bool)
    low, fraction = CONTEXTS.places(np.stack([given_columns["price"], given_columns["orders"]], -1))
    cell = np.zeros(size, int)
    for v, name in enumerate(CONTEXTS.names):
        at = drawn[f"context {name}"]
        cell += CONTEXTS.strides[v] * (low[:, v] + (at < fraction[:, v]))
        sure &= np.abs(at - fraction[:, v]) > 1e-6
    for agent in np.flatnonzero(known & sure):
        ends = np.cumsum(p[given_columns["archetype"][agent], cell[agent]])
        if np.abs(ends - drawn["action"][agent]).min() > 1e-6:
            assert found[agent] == np.searchsorted(ends, drawn["action"][agent], side="right")
    assert (found[~known] == 0).all() and (~known).any() and sure.mean() > 0.99


def test_frequencies_are_those_of_the_table():
    """Chi-square of 6,000 agents at each of 7 points, on and between anchors: alarms in 7e-4 of choices of a seed."""
    each, points = 6_000, [(0, 0), (1, 1), (3, 0), (0.4, 0), (1, 0.3), (2.2, 0.9), (99, -99)]
    price, orders = np.repeat(np.array(points, np.float32), each, 0).T
    archetype = np.repeat(np.arange(7) % ARCHETYPES, each).astype(np.uint16)
    found = acted({"archetype": archetype, "price": price, "orders": orders}).reshape(7, each)
    cell, weight = corners(CONTEXTS, np.array(points, float))
    for point in range(7):
        p = (table().probability[point % ARCHETYPES, cell[point]] * weight[point][:, None]).sum(0)
        if (weight[point] == 1).any():  # at an anchor it is the table's own row
            assert np.allclose(p, table().probability[point % ARCHETYPES, cell[point][weight[point] == 1][0]])
        assert stats.chisquare(np.bincount(found[point], minlength=3), p / p.sum() * each).pvalue > 1e-4


def test_behaviour_is_continuous_in_the_context():
    """A context 1e-3 higher moves the corner of 1 agent in 1,000, so no more than these act otherwise (5 sd of 6)."""
    size = 6_000
    base = {"archetype": np.full(size, 1, np.uint16), "orders": np.full(size, 0.5, np.float32)}
    for price in (0.2, 0.9995, 2.5):  # the second goes over an anchor
        one, two = (acted({**base, "price": np.full(size, x, np.float32)}) for x in (price, price + 1e-3))
        assert (one != two).sum() <= 6 + 5 * np.sqrt(6)
    far = acted({**base, "price": np.full(size, 3.0, np.float32)})
    assert (far != acted({**base, "price": np.zeros(size, np.float32)})).mean() > 0.1


FRIENDS = Contexts((Variable("price", (0, 1), "dollars", ""), Variable("friends", (0, 0.2, 1), "1", "")))
NEIGHBOURS: dict[str, Source] = {"friends": Friends((0, 1))}


@pytest.mark.parametrize(
    "backend, shards", [*(pytest.param(each, 1, marks=pytest.mark.full) for each in ("xla", "numba")), ("auto", 4)]
)
def test_the_same_seed_gives_the_same_actions_everywhere(backend: str, shards: int):
    """Bit for bit over five steps in which friends feed back, on both backends, and on 1 and 4 devices."""
    columns = people(600)
    columns = {"archetype": columns["archetype"], "price": columns["price"]}
    known = table(ARCHETYPES, FRIENDS)
    network = graph("erdos-renyi", 600, mean_degree=8.0)
    found = acted(columns, NEIGHBOURS, known, 5, network=network, backend=backend, shards=shards)
    assert np.array_equal(found, alone()) and len(np.unique(found)) == 3


@functools.cache
def alone() -> Values:
    columns, network = people(600), graph("erdos-renyi", 600, mean_degree=8.0)
    columns = {"archetype": columns["archetype"], "price": columns["price"]}
    return acted(columns, NEIGHBOURS, table(ARCHETYPES, FRIENDS), 5, network=network)


def switch(contexts: Contexts, anchors: int) -> Table:
    """Return a table of one archetype that does action 1 in the upper half of cells, else action 0, and surely."""
    people = pl.DataFrame({"archetype": [0], "weight": [1.0], "card": [""]})
    upper = np.arange(anchors) >= anchors // 2
    return Table.of_probability(ACTIONS, contexts, people, np.stack([~upper, upper, 0 * upper], -1)[None].astype(float))


def test_friends_are_the_share_of_contacts_who_acted():
    """On a ring an agent has 2 contacts: at anchors 0, 1/2 and 1 what it does is sure (1 from one half on)."""
    size = 64
    contexts = Contexts((Variable("friends", (0, 0.49, 0.5, 1), "1", ""),))
    near = np.sort(np.stack([(np.arange(size) + way) % size for way in (-1, 1)], -1))
    ring = Network(size, np.arange(0, 2 * size + 1, 2), near.ravel().astype(np.int32)).check("test")
    action = np.random.default_rng(5).integers(0, 3, size).astype(np.uint8)
    present = np.arange(size) != 7
    found = acted(
        {"archetype": np.zeros(size, np.uint16), "action": action, "present": present},
        {"friends": Friends((1, 2))},
        switch(contexts, 4),
        network=ring,
    )
    acts = (action > 0) & present
    for agent in np.flatnonzero(present):
        there = [n for n in near[agent] if present[n]]
        assert found[agent] == (sum(acts[n] for n in there) / len(there) >= 0.5)
    assert found[7] == action[7]


@pytest.mark.parametrize(
    "scales", [(0.1,), (1.0,), (0.0,), (0.1, 0.1), (0.12, 0.02), (1e-9, 1.0), (0.0, 0.4), (0.0, 0.0)]
)
def test_friends_are_a_share_of_contacts_whatever_is_left_of_them(scales: tuple[float, ...]):
    """A common scale of all layers does not count, a layer's part of all does; rational arithmetic agent by agent."""
    size, generator = 300, np.random.default_rng(11)
    networks = [graph("erdos-renyi", size, mean_degree=degree, seed=i) for i, degree in enumerate((1.5, 4.0))]
    action, present = generator.integers(0, 3, size).astype(np.uint8), generator.random(size) < 0.9
    agents = {"id": jnp.arange(size), "action": jnp.asarray(action), "present": jnp.asarray(present)}
    layers = {
        f"layer {i}": replace(layout(networks[i], width=row_width()), scale=np.array([scale], np.float32))
        for i, scale in enumerate(scales)
    }
    share = jax.jit(lambda agents, layers: value_of(Friends((1, 2)), {"agents": agents}, layers, 1))
    found = np.asarray(share(agents, layers))
    exact = [Fraction(float(np.float32(scale))) for scale in scales]
    for agent in np.flatnonzero(present):
        rows = [net.indices[net.indptr[agent] : net.indptr[agent + 1]] for net in networks[: len(scales)]]
        known = sum((left * int(present[row].sum()) for left, row in zip(exact, rows, strict=True)), Fraction(0))
        seen = sum((left * int((present & (action > 0))[row].sum()) for left, row in zip(exact, rows, strict=True)))
        assert abs(found[agent] - (seen / known if known else 0)) < 2.0**-13  # 2^-16 times the ratio of degrees
        if len(set(scales)) == 1 and known:  # nothing is rounded but the share
            assert found[agent] == round(seen / known * 2**20) / 2**20
    assert found[present].max() == (1 if any(scales) else 0) and not found[~present].any()


def test_prevalence_counts_people_by_group():
    """Weighted shares of people in level 1 or 2, times 1,000, by group: 1/2 in one group, 1/4 in the other."""
    contexts = Contexts((Variable("cases", (0, 250.001, 499.99, 1000), "in 1,000", ""),))
    size = 40
    group = (np.arange(size) % 2).astype(np.uint8)
    state = np.where(np.arange(size) < 10, 1, 0).astype(np.uint8)
    state[:2] = 2
    weight = np.where((state > 0) & (group == 0), 3, 1) * 65_536  # 5 agents of 3 people beside 15 of 1: 15 of 30
    columns = {"archetype": np.zeros(size, np.uint16), "state": state, "group": group, "weight": weight}
    source = {"cases": Prevalence("state", (1, 2), "group", 3, 1000.0)}
    found = acted(columns, source, switch(contexts, 4))
    assert (found == (group == 0)).all()
    whole = acted(columns, {"cases": Prevalence("state", (1, 2), per=1000.0)}, switch(contexts, 4))  # 20 of 50 people
    assert len(np.unique(whole)) == 2  # between the two middle anchors: some of either


def test_a_common_value_is_seen_by_all():
    contexts = Contexts((Variable("price", (0, 1), "dollars", ""),))
    nobody = {"archetype": np.zeros(50, np.uint16)}
    source: dict[str, Source] = {"price": Common("level")}
    for level, expected in ((0.0, 0), (-3.0, 0), (1.0, 1)):
        assert (acted(nobody, source, switch(contexts, 2), common={"level": level}) == expected).all()


def test_a_context_that_is_nan_is_an_action_that_does_not_exist():
    made, columns = small(choice_of(table()), people(60)), people(60)
    batch = made.member(3)
    state = begin(made, batch, given(table()))
    price = np.array(state.agents["price"])
    price[:, 5:8] = np.nan
    state = replace(state, agents={**state.agents, "price": jnp.asarray(price)})
    found = host(go(made, batch, state, 0, 1))["action"][0]
    known = columns["archetype"] < ARCHETYPES
    assert (found[5:8] == np.where(known[5:8], UNDEFINED, 0)).all() and (np.delete(found, [5, 6, 7]) < 3).all()


def test_never_stays_never_and_beta_0_makes_the_rest_alike():
    """Whatever beta is; thirds of 6,000, half of them of either action (5 sd of 39)."""
    logit = np.array([[[4.0, -2.0, NEVER]]])
    known = Table(ACTIONS, Contexts(), table(1).archetypes, logit)
    for beta in (0.0, 1e-3):
        found = acted({"archetype": np.zeros(6_000, np.uint16)}, known=known, beta=beta)
        counts = np.bincount(found, minlength=3)
        assert counts[2] == 0 and abs(counts[0] - 3_000) < 5 * 39
    assert (acted({"archetype": np.zeros(100, np.uint16)}, known=known, beta=100.0) == 0).all()


def test_never_loses_to_any_allowed_action():
    """At beta 1e3 allowed logits fall below `NEVER` itself; odds by softmax of the allowed ones in float64."""
    logit = np.array([[[NEVER, -40.0, -40.001], [NEVER, NEVER, -9_000.0], [3.0, NEVER, -1.0]]], np.float32)
    for beta, offset in ((1e3, 0.0), (1.0, np.array([50.0, -50.0, 0.0])), (0.0, 0.0)):
        p = np.asarray(chances(jnp.asarray(logit), beta, offset, np.array([[10.0, 0.0, -10.0]])))
        told = np.where(logit > NEVER, beta * logit.astype(float) + offset + np.array([10.0, 0.0, -10.0]), -np.inf)
        assert (p[logit == NEVER] == 0).all() and np.abs(p - softmax(told, -1)).max() < 0.02  # float32 of 40,001
        slope = jax.grad(lambda b, o=offset: chances(jnp.asarray(logit), b, o)[0, :, 2].sum())(jnp.float32(beta))
        assert np.isfinite(slope)
    assert np.asarray(chances(jnp.full((1, 1, 3), NEVER))) == pytest.approx(1 / 3)  # as `Table.probability`


def test_kernels_of_a_table_are_made_once_and_say_what_they_read():
    kernel = choice_of(table(), {"orders": Common("level")})
    assert kernel is choice_of(table(seed=9), {"orders": Common("level")}) and kernel is not choice_of(table())
    assert kernel.reads == ("archetype", "action", "price") and set(kernel.tables) == {"archetypes", "globals"}
    assert kernel.columns[1].levels == ACTIONS and kernel.tables["archetypes"][0].shape == (6, 3)
    with pytest.raises(InputError, match="did you mean 'price'"):
        choice_of(table(), {"prices": Common("level")})
    with pytest.raises(InputError, match="codes 0 to 2"):
        choice_of(table(), {"price": Friends((3,))})


def test_what_no_simulation_can_use_is_refused():
    usable = np.ones(table().logit.shape, bool)
    usable[2, 3, 1] = False
    with pytest.raises(InputError, match="1 of 30 cells are not usable"):
        given(replace(table(), usable=usable))
    with pytest.raises(InputError, match="expected 5 archetypes, got 4"):
        given(table(), np.zeros((4, 3)))
    with pytest.raises(InputError, match="NaN"):
        given(table(), np.full((5, 3), np.nan))


def test_every_cell_of_a_small_product_is_reached():
    """Each of 6 cells does its own thing for sure, so that actions name cells (strides, C order)."""
    contexts = Contexts((Variable("price", (0, 1, 3), "", ""), Variable("orders", (0, 1), "", "")))
    people = pl.DataFrame({"archetype": [0], "weight": [1.0], "card": [""]})
    names = tuple(f"cell {c}" for c in range(6))
    known = Table.of_probability(names, contexts, people, np.eye(6)[None])
    points = np.array(list(itertools.product((0, 1, 3), (0, 1))), np.float32)
    columns = {"archetype": np.zeros(6, np.uint16), "price": points[:, 0], "orders": points[:, 1]}
    assert acted(columns, known=known).tolist() == list(range(6))
