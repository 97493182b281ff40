"""SIR against a slow oracle that steps the same draws, one agent after the other."""

from __future__ import annotations

import numpy as np

from lpm.kernels.diffusion.sir import SIR
from lpm.population import Population

from ..conftest import Small, graph
from .spreading import after, draws

SIZE, STEPS, DT = 300, 5, 0.5


def test_every_infection_and_recovery_is_that_of_the_oracle():
    """A susceptible agent with m present infectious neighbours falls ill with chance 1 - e^(-beta m dt).

    An infectious one recovers with chance 1 - e^(-gamma dt); absent agents do nothing and are met by nobody. Exact but
    for draws within 1e-6 of a chance, of which there is none (there is one for 3 of 1,000 seeds).
    """
    beta, gamma, seed = 0.4, 0.3, 7
    network, generator = graph("erdos-renyi", SIZE, mean_degree=6.0), np.random.default_rng(2)
    present = generator.random(SIZE) < 0.9
    state = generator.choice(3, SIZE, p=(0.7, 0.2, 0.1))
    people = Population.build(SIZE, SIR.columns, {"present": present})
    small = Small("sir", network, SIZE, (), steps=STEPS, dt=DT, population=people)
    found = after(small, small.member(seed, beta=beta, gamma=gamma), state=state)["state"][0]
    seen = set[tuple[int, int]]()
    for step in range(STEPS):
        drawn, before = draws(seed, "sir", step, "move", SIZE) / 2**32, state.copy()
        for agent in np.flatnonzero(present):
            row = network.indices[network.indptr[agent] : network.indptr[agent + 1]]
            ill = sum(1 for other in row if present[other] and before[other] == 1)
            hazard = {0: beta * ill, 1: gamma, 2: 0.0}[int(before[agent])] * DT
            chance = 1 - np.exp(-np.float64(hazard))
            assert chance == 0 or abs(drawn[agent] - chance) > 1e-6
            state[agent] += drawn[agent] < chance
            seen.add((int(before[agent]), int(state[agent])))
    assert np.array_equal(found, state)
    assert seen == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}
