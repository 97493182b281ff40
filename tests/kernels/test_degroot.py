"""DeGroot against the mean of neighbours taken one agent after the other."""

from __future__ import annotations

import numpy as np

from lpm.kernels.polarization.degroot import DeGroot
from lpm.population import Population

from ..conftest import Small, graph
from .spreading import after

SIZE, DT = 300, 0.5


def test_one_step_is_that_of_the_oracle():
    """Everybody goes to x + (1 - (1 - w)^dt) (mean of present neighbours - x); who hears nobody, or is absent, stays.

    Within 1e-6: float32 opinions below 1, and terms rounded to 2^-24 each.
    """
    network, generator = graph("erdos-renyi", SIZE, mean_degree=2.0), np.random.default_rng(3)
    present, opinion = generator.random(SIZE) < 0.8, generator.uniform(-1, 1, SIZE).astype(np.float32)
    people = Population.build(SIZE, DeGroot.columns, {"present": present})
    small = Small("degroot", network, SIZE, (), steps=1, dt=DT, population=people)
    found = after(small, small.member(1, weight=0.6), opinion=opinion)["opinion"][0]
    share, alone = 1 - 0.4**DT, 0
    for agent in range(SIZE):
        row = network.indices[network.indptr[agent] : network.indptr[agent + 1]]
        heard = [float(opinion[other]) for other in row if present[other]]
        expected = float(opinion[agent])
        if present[agent] and heard:
            expected += share * (sum(heard) / len(heard) - expected)
        alone += not heard
        assert abs(found[agent] - expected) < 1e-6
    assert alone > 10 and not present.all()
