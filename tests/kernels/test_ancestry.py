"""Who reached whom: attribution against a slow count and its law, and everything else as without it, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.cascades import cascades
from lpm.errors import InputError
from lpm.kernel import find
from lpm.kernels.diffusion.ancestry import AT, BY, SPREADS, recorded
from lpm.network import Network, layout
from lpm.ops.neighbours import row_width
from lpm.policy import plan
from lpm.population import Population
from lpm.simulation import Simulation, World

from ..conftest import Small, graph
from .spreading import Values, after, draws, of_pairs, stack


def recording(kernel: str, network: Any, size: int, steps: int, **more: Any) -> Small:
    """Return a small simulation whose kernel keeps who reached whom."""
    made = recorded(find(kernel, "test"), "test")
    people = more.pop("population", None) or Population.build(size, made.columns, {})
    small = Small(kernel, network, size, (), steps=steps, population=people, **more)
    model = small.simulation.model
    behaviour = replace(model.behaviours[0], kernel=made)
    small.simulation = Simulation(replace(model, behaviours=(behaviour,), schema=tuple(people.schema.values())))
    return small


@pytest.mark.parametrize(
    ("kernel", "shards"),
    [
        ("sir", 1),
        *(pytest.param(k, s, marks=pytest.mark.full) for k in SPREADS for s in (1, 2) if (k, s) != ("sir", 1)),
    ],
)
@pytest.mark.full
def test_everything_else_is_as_without(kernel: str, shards: int):
    """To the bit; every source was active one step before, is a neighbour, and roots are those of the start."""
    size, steps = 800, 6
    network = graph("erdos-renyi", size, mean_degree=8.0)
    plain = Small(kernel, network, size, (), steps=steps, shards=shards)
    small = recording(kernel, network, size, steps, shards=shards)
    column, pace = SPREADS[kernel].column, "p" if "cascade" in kernel else "beta"
    values: Any = {"initial": 0.02, pace: 0.2}
    without, found = after(plain, plain.member(3, **values)), after(small, small.member(3, **values))
    assert np.array_equal(without[column], found[column])
    at, by = found[AT][0, :size], found[BY][0, :size].astype(np.int64)
    assert (at > 0).sum() > 20 and (found[column][0, :size][at < 0] == 0).all()
    assert (by[at <= 0] == np.arange(size)[at <= 0]).all()
    for agent in np.flatnonzero(at > 0):
        row = network.indices[network.indptr[agent] : network.indptr[agent + 1]]
        assert by[agent] in row and 0 <= at[by[agent]] < at[agent]
        assert kernel != "independent-cascade" or at[by[agent]] == at[agent] - 1
    told = cascades(np.flatnonzero(at > 0), by[at > 0], np.flatnonzero(at == 0))
    assert told.size.sum() == (at >= 0).sum() and told.depth.max() <= steps


def test_sources_are_those_of_a_slow_count():
    """Independent cascade of one round: the draw's place among the active neighbours, in ascending order of ids."""
    size = 600
    network, generator = graph("erdos-renyi", size, mean_degree=9.0), np.random.default_rng(2)
    small = recording("independent-cascade", network, size, 1)
    active = generator.random(size) < 0.4
    found = after(small, small.member(5, p=0.3), activation=active.astype(np.uint8), reached_at=np.where(active, 0, -1))
    drawn = draws(5, "independent-cascade", 0, "source", size)
    reached = np.flatnonzero(found[AT][0, :size] == 1)
    assert len(reached) > 100
    for agent in reached:
        row = network.indices[network.indptr[agent] : network.indptr[agent + 1]]
        trying = np.sort(row[active[row]])
        assert found[BY][0, agent] == trying[int(drawn[agent]) * len(trying) >> 32]


@pytest.mark.full
def test_sources_follow_their_hazards():
    """One agent, three active neighbours of 1, 2 and 5 contacts in one layer, the first again in another.

    Chances 2/9, 2/9 and 5/9; chi-square over 4,000 such groups, false alarm for 1e-5 of the seeds.
    """
    groups, size = 4_000, 16_000
    first = np.arange(groups) * 4
    rows = np.zeros(size, np.int64)
    rows[first] = 3
    indices = (first[:, None] + [1, 2, 3]).reshape(-1).astype(np.int32)
    times = np.tile(np.array([64, 128, 320], np.uint16), groups)
    heavy = Network(size, np.concatenate([[0], np.cumsum(rows)]), indices, columns={"intensity": times})
    rows[first] = 1
    light = Network(size, np.concatenate([[0], np.cumsum(rows)]), (first + 1).astype(np.int32))
    small = recording("si", heavy, size, 1)
    model, layers = small.simulation.model, {n: layout(w, width=row_width()) for n, w in (("a", heavy), ("b", light))}
    both = replace(model.behaviours[0], layers=tuple(layers))
    small.simulation = Simulation(replace(model, behaviours=(both,), policy=plan(small.arms, tuple(layers))))
    small.world = World(small.simulation.place(layers))
    small.plan = small.simulation.model.policy
    ill = np.ones(size, np.uint8)
    ill[first] = 0
    found = after(small, small.member(1, beta=10.0), state=ill, reached_at=np.where(ill > 0, 0, -1))
    counts = np.bincount(found[BY][0, first].astype(np.int64) - first, minlength=4)
    assert counts[0] == 0 and stats.chisquare(counts[1:], groups * np.array([2, 2, 5]) / 9).pvalue > 1e-5


@pytest.mark.full
def test_complete_mixing_draws_among_all_active():
    """Uniform over 20 active of 2,020; chi-square, false alarm for 1e-5 of the seeds."""
    size = 2_020
    small = recording("si", graph("complete", size, contacts=10.0), size, 1)
    ill = (np.arange(size) < 20).astype(np.uint8)
    found = after(small, small.member(1, beta=10.0), state=ill, reached_at=np.where(ill > 0, 0, -1))
    reached = found[AT][0] == 1
    counts = np.bincount(found[BY][0][reached].astype(np.int64), minlength=20)
    assert reached.sum() > 800 and len(counts) == 20 and stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.full
def test_cascades_along_paths_have_the_size_law():
    """Arcs of a path, each passed on with p: a cascade along it has a geometric length; 3,000 paths, error 1e-5."""
    count, length, p = 3_000, 8, 0.6
    start = np.arange(count) * length
    pairs = np.stack([np.arange(count * length - 1), np.arange(1, count * length)], 1)
    pairs = pairs[pairs[:, 1] % length != 0]
    size = count * length
    small = recording("independent-cascade", of_pairs(size, pairs), size, length)
    begun = np.zeros(size, np.uint8)
    begun[start] = 1
    found = after(
        small, stack([small.member(1, p=p, initial=0.0)]), activation=begun, reached_at=np.where(begun, 0, -1)
    )
    at, by = found[AT][0], found[BY][0].astype(np.int64)
    told = cascades(np.flatnonzero(at > 0), by[at > 0], np.flatnonzero(at == 0))
    law = np.array([p**k * (1 - p) for k in range(length - 1)] + [p ** (length - 1)])
    seen = np.bincount(told.size - 1, minlength=length)
    assert stats.chisquare(seen, law * count).pvalue > 1e-5
    many: Values = told.size[told.size > 1]
    assert np.allclose(told.virality[told.size > 1], (many + 1) / 3) and (told.breadth == 1).all()


def test_other_kernels_do_not_tell():
    with pytest.raises(InputError, match=r"bass.*cascades are kept of independent-cascade, si, sir, sis"):
        recorded(find("bass", "test"), "here")
