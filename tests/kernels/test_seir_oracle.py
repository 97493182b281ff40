"""SEIR, one step from every stage, against a slow oracle that steps the same draws, one agent after the other."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import stats
from scipy.integrate import quad

from lpm.kernels.diffusion import seir
from lpm.kernels.diffusion.seir import SEIR
from lpm.population import Column, Population

from ..conftest import Small, graph
from .spreading import after, draws

SIZE, DT, AGES = 1_500, 0.5, ("young", "middle", "old")
BY_AGE: dict[str, Any] = {
    "susceptibility": np.array([0.5, 1.0, 0.8]),
    "clinical": np.array([0.3, 0.6, 0.8]),
    "ihr": np.array([0.1, 0.2, 0.3]),
    "hfr": np.array([0.2, 0.3, 0.5]),
    "ifr_outside": np.array([0.1, 0.2, 0.3]),
}
STAYS = {  # stage: (mean days, shape), the defaults
    "exposed": (3.0, 4.0), "asymptomatic": (5.0, 4.0), "presymptomatic": (2.1, 4.0), "symptomatic mild": (2.9, 4.0),
    "symptomatic severe": (6.0, 3.0), "symptomatic critical": (12.0, 3.0), "hospitalised recovering": (7.0, 1.5),
    "hospitalised dying": (9.0, 1.5),
}  # fmt: skip


@cache
def leaving(stage: str, stayed: int) -> float:
    """Return P(K = k + 1 | K > k), K = 1 + G rounded up or down at random: P(K > j) is the integral of P(G > x)."""
    mean, shape = STAYS[stage]
    steps = mean / DT
    form = (steps - 1) ** 2 / (steps**2 / shape)  # mean^2 / variance, of the wait less the step that everybody stays
    wait = stats.gamma(form, scale=(steps - 1) / form)
    beyond = [1.0 if j == 0 else float(quad(wait.sf, j - 1, j)[0]) for j in (stayed, stayed + 1)]
    return 1 - beyond[1] / beyond[0]


def test_one_step_from_every_stage_is_that_of_the_oracle():
    """Infections by contacts kept, waits and ways out; draws within 1e-5 of a chance are left out (1 of 20,000 agents).

    Infectivity and contacts kept are rounded to 1/64 as the kernel declares it; hazards of stages are integrated.
    """
    generator, seed = np.random.default_rng(6), 4
    network, present = graph("erdos-renyi", SIZE, mean_degree=8.0), generator.random(SIZE) < 0.95
    age, state, elapsed = (generator.integers(0, n, SIZE) for n in (3, 12, 9))
    state = np.where(generator.random(SIZE) < 0.3, 0, state)
    elapsed = np.where(state == seir.CRITICAL, elapsed + 16, elapsed)  # nobody leaves it soon
    activity, factor = (generator.uniform(0.2, 1, SIZE).astype(np.float32) for _ in range(2))
    given = {"age": age, "activity": activity, "susceptible_factor": factor, "present": present}
    people = Population.build(SIZE, (*SEIR.columns, Column("age", "uint8", "age", levels=AGES)), given)
    small = Small("seir", network, SIZE, (), steps=1, dt=DT, population=people)
    member = small.member(seed, beta=0.4, subclinical=0.5, symptomatic_contacts=0.5, **BY_AGE)
    found = after(small, member, state=state, elapsed=elapsed)

    names, moved = [seir.STAGES[code] for code in state], draws(seed, "seir", 0, "move", SIZE) / 2**32
    way, ill = (
        draws(seed, "seir", 0, "way", SIZE) / 2**32,
        ("symptomatic mild", "symptomatic severe", "symptomatic critical"),
    )
    kept = [float(activity[i]) * (0.5 if names[i] in ill else 1.0) for i in range(SIZE)]
    infectivity = {"asymptomatic": 32, "presymptomatic": 64} | dict.fromkeys(ill, 64)
    spread = [round(infectivity.get(names[i], 0) * kept[i]) / 64 if present[i] else 0.0 for i in range(SIZE)]
    left_out, seen = 0, set[tuple[str, str]]()
    for i in range(SIZE):
        goes, name, a = names[i], names[i], age[i]
        clinical, ihr, outside = (float(BY_AGE[n][a]) for n in ("clinical", "ihr", "ifr_outside"))
        if name == "susceptible":
            met = sum(spread[j] for j in network.indices[network.indptr[i] : network.indptr[i + 1]])
            chance = 1 - np.exp(-0.4 * BY_AGE["susceptibility"][a] * float(factor[i]) * kept[i] * met * DT)
        else:
            chance = leaving(name, int(elapsed[i])) if name in STAYS else 0.0
        limits = [chance]
        if present[i] and moved[i] < chance:
            if name == "exposed":
                limits.append(clinical)
                goes = "presymptomatic" if way[i] < clinical else "asymptomatic"
            elif name == "presymptomatic":
                limits += [ihr / clinical, (ihr + outside) / clinical]
                severe = "symptomatic severe" if way[i] < limits[1] else "symptomatic critical"
                goes = severe if way[i] < limits[2] else "symptomatic mild"
            elif name == "symptomatic severe":
                limits.append(float(BY_AGE["hfr"][a]))
                goes = "hospitalised dying" if way[i] < limits[1] else "hospitalised recovering"
            else:
                goes = {
                    "susceptible": "exposed", "hospitalised dying": "dead", "symptomatic critical": "dead outside"
                }.get(name, "recovered")  # fmt: skip
        if abs(moved[i] - limits[0]) < 1e-5 or any(abs(way[i] - limit) < 1e-5 for limit in limits[1:]):
            left_out += 1
            continue
        seen.add((name, goes))
        waits = elapsed[i] + (name in STAYS and present[i])
        assert seir.STAGES[found["state"][0, i]] == goes
        assert found["elapsed"][0, i] == (0 if goes != name else waits)
    assert left_out < 5 and len({pair for pair in seen if pair[0] != pair[1]}) == 13
