"""Importation against a slow oracle: who arrives when, place by place, from the same draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpm import random
from lpm.kernels.diffusion.importation import Importation
from lpm.population import Column, Population

from ..conftest import Small
from .spreading import after, draws
from .trajectories import words_of

PLACES = ("north", "middle", "south")
SIZE, STEPS, DT = 240, 6, 0.5


def test_every_arrival_is_that_of_the_oracle():
    """Member k of a place in the drawn order is exposed once the people who arrived pass w (k + 1 - u).

    u is the place's share of one drawn offset; members who are not susceptible when their turn comes change nothing.
    Counted in whole 1/1024 person by the kernel, in float64 here: agents whose turn comes within 0.02 person of what
    has arrived after some step are left out (about one in 50).
    """
    generator, seed = np.random.default_rng(5), 11
    place, present = generator.integers(0, 3, SIZE), generator.random(SIZE) < 0.9
    weight = generator.integers(65_536, 4 * 65_536, SIZE)
    initial, daily = np.array([20.0, 0.0, 31.7]), np.array([3.3, 8.0, 0.9])
    stage = Column("state", "uint8", "stage", levels=("susceptible", "exposed", "recovered"))
    columns = (*Importation.columns, stage, Column("place", "uint8", "place", levels=PLACES))
    people = Population.build(SIZE, columns, {"place": place, "present": present, "weight": weight})
    small = Small("importation", None, SIZE, (), steps=STEPS, dt=DT, population=people)
    values: Any = {"initial": initial, "daily": daily}
    member = small.member(seed, **values)
    start = np.asarray(small.simulation.start(small.agents, member).agents["state"])[0]
    immune = (generator.random(SIZE) < 0.2) & (start == 0)
    found = after(small, member, state=np.where(immune, 2, start))["state"][0]

    key = random.purpose(random.instance(random.root(seed), "importation"), "offset")
    offset = random.scalar_bits(words_of(key), (0,)) / 2**32
    order, before = draws(seed, "importation", None, "order", SIZE), 0.0
    counted = left_out = 0
    for p in range(3):
        members = [agent for agent in np.flatnonzero(present) if place[agent] == p]
        mean = sum(int(weight[agent]) for agent in members) / 65_536 / len(members)
        u = (offset + before) % 1
        before += initial[p] / mean
        for k, agent in enumerate(sorted(members, key=lambda a: (order[a], a))):
            turn, arrived = mean * (k + 1 - u), initial[p] + daily[p] * DT * np.arange(STEPS + 1)
            if np.abs(turn - arrived).min() < 0.02:
                left_out += 1
                continue
            assert start[agent] == (turn < arrived[0])
            assert found[agent] == (2 if immune[agent] else int(turn < arrived[-1]))
            counted += int(turn < arrived[-1])
    assert counted > 25 and left_out < 15 and not (found[~present] == 1).any()
