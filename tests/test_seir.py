"""SEIR: stage lengths, severity, conservation; importation in people.

Everybody begins in the stage that is looked at, so that its length is seen directly. Seeds are fixed; a comparison with
a binomial share allows five standard errors, a chi-square test fails by chance in one of 1e6 choices of the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lpm.errors import InputError
from lpm.kernels.diffusion import seir
from lpm.kernels.diffusion.importation import Importation
from lpm.metrics import Metric
from lpm.population import Column, Population

from .conftest import Small, graph, recounted

AGES = ("young", "middle", "old")
BY_AGE: dict[str, Any] = {
    "susceptibility": np.array([0.5, 1.0, 1.0]),
    "clinical": np.array([0.3, 0.6, 0.8]),
    "ihr": np.array([0.02, 0.08, 0.3]),
    "hfr": np.array([0.1, 0.3, 0.5]),
    "ifr_outside": np.array([0.0, 0.02, 0.1]),
}
SIZE = 60_000


@dataclass(frozen=True)
class Course:
    """What becomes of people who all begin in one stage.

    Attributes:
        stock: float64 [steps, stages], people in each stage after each step.
        flow: float64 [steps, stages, ages], people who enter it.
        last: uint8 [rows], stages at the end.
    """

    stock: Any
    flow: Any
    last: Any


def run_from(stages: tuple[int, ...], days: int, dt: float) -> list[Course]:
    """Return the course from each of these stages, without contacts."""
    ages = Column("age", "uint8", "age", levels=AGES)
    people = Population.build(SIZE, (*seir.SEIR.columns, ages), {"age": np.arange(SIZE) % 3})
    metrics = tuple(
        Metric(f"{kind} {name}", kind, "state", (code,), by=("age",))
        for kind in ("stock", "flow")
        for code, name in enumerate(seir.STAGES)
    )
    steps = round(days / dt)
    small = Small("seir", None, SIZE, metrics, steps=steps, dt=dt, population=people)
    members = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(small.member(s, **BY_AGE) for s in stages))
    begin = small.simulation.start(small.agents, members)
    state = jnp.broadcast_to(jnp.array(stages, jnp.uint8)[:, None], (len(stages), SIZE)) + jnp.uint8(0)
    begin = recounted(small, replace(begin, agents={**begin.agents, "state": state}))
    end, sums = small.simulation.advance(begin, members, small.world, 0, steps)
    courses: list[Course] = []
    for member in range(len(stages)):
        names, told = small.recorder.roll_up({n: np.asarray(v)[member] for n, v in sums.items()})
        everybody, by_age = names.index("all"), [names.index(f"age={age}") for age in AGES]
        courses.append(
            Course(
                np.stack([told[f"stock {name}"][:, everybody] for name in seir.STAGES], -1),
                np.stack([told[f"flow {name}"][:, by_age] for name in seir.STAGES], 1),
                np.asarray(end.agents["state"])[member],
            )
        )
    return courses


def pmf(name: str, dt: float, params: Any = None) -> np.ndarray[Any, Any]:
    """Return P(K = k), k = 0, 1, ..., of a stage's length in steps."""
    given = seir.SEIR.Params() if params is None else params
    mean, shape = (jnp.float32(getattr(given, f"{name}_{which}")) for which in ("mean", "shape"))
    hazards = np.asarray(seir.stage_hazards(mean, shape, dt, round(seir.LONGEST / dt)), np.float64)
    beyond = np.concatenate([[1.0], np.cumprod(1 - hazards)])
    return np.concatenate([[0.0], beyond[:-1] - beyond[1:]])


# stage lengths


@pytest.mark.parametrize("dt", [1.0, 0.5])
@pytest.mark.parametrize("name", sorted(set(seir.STAYS.values())))
def test_declared_mean_lengths(name: str, dt: float):
    """Within 1 %, and not half a step longer by rounding; the variance is the gamma's plus rounding's (<= 1/4)."""
    params = seir.SEIR.Params()
    mean, shape = getattr(params, f"{name}_mean"), getattr(params, f"{name}_shape")
    mass = pmf(name, dt)
    steps = np.arange(len(mass))
    assert np.isclose(mass.sum(), 1) and (mass >= 0).all()
    realised = (steps * mass).sum()
    assert np.isclose(realised * dt, mean, rtol=0.01)
    variance = (steps**2 * mass).sum() - realised**2
    wanted = mean**2 / shape / dt**2
    assert wanted * 0.95 - 0.02 <= variance <= wanted + 0.26


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.25])
def test_mean_lengths_over_the_range_of_means_and_shapes(dt: float):
    """Every mean from a step to 10 days (LONGEST cuts off what is longer), shapes from 1 to 50: within 1 %."""
    for mean in (dt, 1.3, 2.0, 4.7, 10.0):
        for shape in (1.0, 2.5, 50.0):
            hazards = seir.stage_hazards(jnp.float32(mean), jnp.float32(shape), dt, round(seir.LONGEST / dt))
            beyond = np.concatenate([[1.0], np.cumprod(1 - np.asarray(hazards, np.float64))])
            assert np.isclose(beyond.sum() * dt, mean, rtol=0.01), (mean, shape)


@pytest.fixture(scope="module", params=[pytest.param(1.0, marks=pytest.mark.full), 0.5])
def stays(request: Any) -> tuple[float, list[Course]]:
    return request.param, run_from(tuple(seir.STAYS), 60, request.param)


def test_simulated_stage_lengths_follow_their_distribution(stays: Any):
    """60,000 agents per stage: means within 1 % (three standard errors or more), chi-square of the lengths."""
    dt, courses = stays
    params = seir.SEIR.Params()
    for (stage, name), course in zip(seir.STAYS.items(), courses, strict=True):
        there = np.concatenate([[SIZE], course.stock[:, stage]])
        assert np.isclose(there.sum() / SIZE * dt, getattr(params, f"{name}_mean"), rtol=0.01), name
        counts = -np.diff(there)
        expected = pmf(name, dt)[1 : len(counts) + 1] * SIZE
        often = expected > 10
        seen = np.append(counts[often], counts[~often].sum())
        like = np.append(expected[often], SIZE - expected[often].sum())
        kept = like > 1
        assert stats.chisquare(seen[kept], like[kept] * seen[kept].sum() / like[kept].sum()).pvalue > 1e-6, name


def test_people_are_conserved_and_absorbing_stages_are_not_left(stays: Any):
    _, courses = stays
    for course in courses:
        assert (course.stock.sum(1) == SIZE).all()
        assert np.isin(course.last, (seir.RECOVERED, seir.DEAD, seir.OUTSIDE)).mean() > 0.9
        for stage in (seir.RECOVERED, seir.DEAD, seir.OUTSIDE):
            assert (np.diff(course.stock[:, stage]) >= 0).all()
            assert np.array_equal(np.cumsum(course.flow.sum(2), 0)[:, stage], course.stock[:, stage])


def test_stages_follow_each_other_as_drawn(stays: Any):
    """Nothing is entered that the diagram does not allow."""
    _, courses = stays
    after = {
        seir.EXPOSED: set(range(2, 12)), seir.ASYMPTOMATIC: {seir.RECOVERED}, seir.MILD: {seir.RECOVERED},
        seir.PRESYMPTOMATIC: set(range(4, 12)), seir.SEVERE: {seir.WARD, seir.DYING, seir.RECOVERED, seir.DEAD},
        seir.CRITICAL: {seir.OUTSIDE}, seir.WARD: {seir.RECOVERED}, seir.DYING: {seir.DEAD},
    }  # fmt: skip
    for stage, course in zip(seir.STAYS, courses, strict=True):
        assert set(np.flatnonzero(course.flow.sum((0, 2)))) == after[stage]


# severity


def test_severity_by_age_is_as_declared(stays: Any):
    """Of infections: ihr are admitted, ihr x hfr die there, ifr_outside die outside, clinical have symptoms."""
    _, courses = stays
    infected = SIZE / 3
    entered = courses[list(seir.STAYS).index(seir.EXPOSED)].flow.sum(0)
    admitted = entered[seir.WARD] + entered[seir.DYING]
    for counted, chance in (
        (entered[seir.PRESYMPTOMATIC], BY_AGE["clinical"]),
        (entered[seir.ASYMPTOMATIC], 1 - BY_AGE["clinical"]),
        (entered[seir.SEVERE], BY_AGE["ihr"]),
        (entered[seir.CRITICAL], BY_AGE["ifr_outside"]),
        (entered[seir.DYING], BY_AGE["ihr"] * BY_AGE["hfr"]),
        (admitted, BY_AGE["ihr"]),
    ):
        # a thousandth of those admitted are still on their way after 60 days
        slack = 0.002 * infected * chance
        assert (np.abs(counted - infected * chance) <= 5 * np.sqrt(infected * chance * (1 - chance)) + slack).all()
    assert entered[seir.CRITICAL][0] == 0
    assert (entered[seir.DEAD] <= entered[seir.DYING]).all() and (entered[seir.OUTSIDE] <= entered[seir.CRITICAL]).all()


def test_severities_that_do_not_fit_together_are_refused():
    """Who is admitted or dies outside has symptoms first."""
    wrong = seir.SEIR.Params(
        clinical=np.array([0.5, 0.1]), ihr=np.array([0.1, 0.09]), ifr_outside=np.array([0.0, 0.02])
    )
    with pytest.raises(InputError, match=r"ihr \+ ifr_outside <= clinical"):
        seir.SEIR.check(wrong, "test")
    seir.SEIR.check(replace(wrong, ifr_outside=np.array([0.0, 0.01])), "test")


# infection


def test_hazard_of_infection_is_beta_times_contacts_susceptibility_and_activity():
    """One step of complete mixing, a tenth of the people infectious: shares infected by group, 1 - exp(-x)."""
    size, contacts, beta = 60_000, 8.0, 0.3
    ages = Column("age", "uint8", "age", levels=AGES)
    kept = np.where(np.arange(size) // 3 % 2, 1.0, 0.5)  # everybody keeps all contacts, or half of them
    people = Population.build(
        size, (*seir.SEIR.columns, ages), {"age": np.arange(size) % 3, "activity": kept, "susceptible_factor": kept}
    )
    small = Small("seir", graph("complete", size, contacts=contacts), size, (), steps=1, population=people)
    members = small.member(3, beta=beta, **BY_AGE)
    begin = small.simulation.start(small.agents, members)
    state = np.zeros((1, size), np.uint8)
    state[0, ::10] = seir.MILD
    begin = replace(begin, agents={**begin.agents, "state": jnp.asarray(state)})
    end, _ = small.simulation.advance(begin, members, small.world, 0, 1)
    exposed = np.asarray(end.agents["state"])[0] == seir.EXPOSED
    pressure = beta * contacts * (np.round(64 * kept) / 64 * (state[0] == seir.MILD)).sum() / (size - 1)
    for age in range(3):
        for share in (0.5, 1.0):
            group = (people.columns["age"] == age) & (kept == share) & (state[0] == 0)
            chance = -np.expm1(-pressure * BY_AGE["susceptibility"][age] * share * share)
            error = np.sqrt(chance * (1 - chance) / group.sum())
            assert abs(exposed[group].mean() - chance) < 5 * error


# importation


@pytest.mark.parametrize("weight", [1.0, 37.5])
def test_importation_is_in_people_whatever_an_agent_stands_for(weight: float):
    """Expected people at the start and per day are as declared, by place; 200 seeds, five standard errors."""
    size, steps, seeds = 3_000, 5, 200
    state = Column("state", "uint8", "stage", levels=("susceptible", "exposed"))
    place = Column("place", "uint8", "place", levels=("a", "b"))
    people = Population.build(
        size, (state, place, *Importation.columns),
        {"place": np.arange(size) % 3 == 0, "weight": np.full(size, round(weight * 65_536))},
    )  # fmt: skip
    flow = (Metric("exposed", "flow", "state", (1,), by=("place",)),)
    small = Small("importation", None, size, flow, steps=steps, population=people)
    initial, daily = np.array([30.0, 12.0]) * weight**0.5, np.array([6.0, 0.0]) * weight**0.5
    values: Any = {"initial": initial, "daily": daily}
    members = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(small.member(s, **values) for s in range(seeds)))
    begun = np.asarray(small.simulation.start(small.agents, members).agents["state"])
    where = people.columns["place"]
    first = np.stack([begun[:, where == p].sum(1) * weight for p in (0, 1)], -1)
    _, sums = small.run(members)
    later = np.stack([small.recorder.roll_up(each)[1]["exposed"].sum(0)[-2:] for each in sums])
    for found, expected in ((first, initial), (later, daily * steps)):
        error = found.std(0, ddof=1) / np.sqrt(seeds)
        assert (np.abs(found.mean(0) - expected) <= 5 * error + 1e-3).all()
        assert (np.abs(found - expected) < 2 * weight).all()  # systematic: a count and its complement, an agent each
    assert (np.abs(first.sum(1) - initial.sum()) < weight).all()  # all places together at the start
