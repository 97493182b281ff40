r"""Epidemics against closed forms of the discrete model that the kernels define.

An infectious agent recovers at the end of each step with chance g = 1 - e^(-gamma dt); the first step in which it can
infect is the one after its own infection. So it is infectious in K steps, P(K = k) = g
(1 - g)^(k - 1), E K = 1/g. Everything below follows from that; the continuous theory has gamma dt in the place of g.

Seeds are fixed. Where a mean over seeds is compared, five standard errors (with 31 degrees of freedom or more: a false
alarm in fewer than 1 of 3e4 choices of the seeds) are allowed beside the stated share for terms of the order of 1/N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from lpm.kernels.diffusion import seir
from lpm.metrics import Metric
from lpm.network import Network
from lpm.population import Column, Population
from lpm.simulation import Member

from .conftest import SIR_METRICS, Small, graph


def stack(members: list[Member]) -> Member:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *members)


def ever(small: Small, members: Member) -> np.ndarray[Any, Any]:
    """Return per member the people infected at any time, the first ones included; the epidemic must be over."""
    _, sums = small.run(members)
    people: list[float] = []
    for each in sums:
        names, values = small.recorder.roll_up(each)
        everybody = names.index("all")
        assert values["prevalence"][-1, everybody] == 0
        people.append(float(values["recovered"][-1, everybody]))
    return np.array(people)


def begun(small: Small, members: Member) -> np.ndarray[Any, Any]:
    """Return per member the people infectious at the start."""
    return (np.asarray(small.simulation.start(small.agents, members).agents["state"]) == 1).sum(1).astype(float)


def near(found: np.ndarray[Any, Any], expected: float, share: float = 0.0) -> bool:
    """Return whether a mean over seeds lies within five standard errors and a share of what is expected."""
    error = found.std(ddof=1) / np.sqrt(len(found))
    return abs(found.mean() - expected) <= 5 * error + share * abs(expected)


def root(function: Callable[[float], Any], low: float, high: float) -> float:
    """Return where a function crosses zero."""
    found: Any = brentq(function, low, high)
    return float(found)


# SIR under complete mixing


def escaped(reproduction: float, susceptible: float) -> float:
    """Return s that solves s = s0 exp(-R0 (1 - s))."""
    return root(lambda s: s - susceptible * np.exp(-reproduction * (1 - s)), 1e-9, susceptible)


@pytest.mark.parametrize("dt", [1.0, pytest.param(0.5, marks=pytest.mark.full)])
@pytest.mark.parametrize("number", [1.5, pytest.param(2.5, marks=pytest.mark.full)])
def test_final_size_under_complete_mixing(dt: float, number: float):
    r"""The equation is s = s0 exp(-R0 (1 - s)) with R0 = beta c dt / g, s0 being the share that begins susceptible.

    A susceptible escapes step t with chance exp(-beta c dt I_t / N), so s = s0 exp(-beta c dt sum_t I_t / N), and the
    sum is (1 - s) N / g, 1/g steps for everybody ever infected. Halving dt moves R0 to first order: from beta c / gamma
    x gamma dt / (1 - e^(-gamma dt)); the two cases differ by 10 %, far more than the test allows.
    """
    size, contacts, gamma, initial = 20_000, 10.0, 0.4, 0.01
    network = graph("complete", size, contacts=contacts)
    small = Small("sir", network, size, SIR_METRICS, steps=round(150 / dt), dt=dt)
    beta = number * gamma / contacts
    members = stack([small.member(s, beta=beta, gamma=gamma, initial=initial) for s in range(32)])
    # float32 parameters, as the kernel has them
    recovery = -np.expm1(-np.float64(np.float32(gamma)) * dt)
    reproduction = float(np.float32(beta)) * contacts * dt / recovery
    infected, first = ever(small, members), begun(small, members)
    sizes = np.array([escaped(reproduction, 1 - i / size) for i in first])
    assert near(infected / size / (1 - sizes), 1.0, 0.001)


def test_half_the_step_approaches_the_continuous_final_size():
    """The discrete R0 lies above beta c / gamma by half of gamma dt: the gap halves with dt."""
    gamma = 0.2
    gaps = [gamma * dt / -np.expm1(-gamma * dt) - 1 for dt in (1.0, 0.5, 0.25)]
    assert np.allclose(np.array(gaps[:-1]) / gaps[1:], 2, rtol=0.04)


# SIR on networks


def transmissibility(beta: float, gamma: float) -> float:
    """Return T = b / (b + g - b g), the chance that an arc from an infectious agent ever transmits."""
    b, g = -np.expm1(-beta), -np.expm1(-gamma)
    return float(b / (b + g - b * g))


def beta_of(target: float, gamma: float) -> float:
    """Return the beta that gives a transmissibility."""
    return root(lambda beta: transmissibility(beta, gamma) - target, 1e-9, 10)


class Degrees:
    """Generating functions of the degrees that a network really has (Newman 2002, 10.1103/PhysRevE.66.016128)."""

    def __init__(self, network: Network):
        """Count the degrees."""
        self.share = np.bincount(network.degrees()) / network.size
        self.k = np.arange(len(self.share))
        self.mean = float((self.k * self.share).sum())
        self.excess = float((self.k * (self.k - 1) * self.share).sum()) / self.mean

    def outbreak(self, chance: float) -> float:
        """Return the mean size of an outbreak from one agent, below the threshold: 1 + T <k> / (1 - T <k(k-1)>/<k>)."""
        return 1 + chance * self.mean / (1 - chance * self.excess)

    def infected(self, chance: float, initial: float) -> float:
        """Return the share ever infected when a share is infectious at the start: 1 - (1 - initial) G0(u).

        u = 1 - T + T (1 - initial) G1(u) is the chance that an arc brings no infection.
        """

        def later(u: float) -> float:
            excess = (self.k[1:] * self.share[1:] * u ** (self.k[1:] - 1)).sum() / self.mean
            return 1 - chance + chance * (1 - initial) * float(excess)

        u = 0.5
        for _ in range(2_000):
            u = later(u)
        return 1 - (1 - initial) * float((self.share * u**self.k).sum())


SIZE = 20_000

NETWORKS: dict[str, dict[str, Any]] = {
    "erdos-renyi": {"mean_degree": 5.0},
    "configuration": {"degrees": "power-law", "exponent": 2.5, "minimum": 2, "maximum": 30},
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def world(request: Any) -> tuple[Small, Degrees]:
    size = SIZE
    network = graph(request.param, size, **NETWORKS[request.param])
    return Small("sir", network, size, SIR_METRICS, steps=160), Degrees(network)


GAMMA, BATCH = 1.0, 16  # members that are run together: seeds are a multiple


def outbreaks(small: Small, beta: float, initial: float, seeds: int) -> tuple[Any, Any]:
    told: list[tuple[Any, Any]] = []
    for first in range(0, seeds, BATCH):
        batch = range(first, first + BATCH)
        members = stack([small.member(s, beta=beta, gamma=GAMMA, initial=initial) for s in batch])
        told.append((ever(small, members), begun(small, members)))
    infected, first_ones = (np.concatenate(values) for values in zip(*told, strict=True))
    return infected, first_ones


@pytest.mark.full
def test_small_outbreaks_below_the_threshold(world: tuple[Small, Degrees]):
    """At T <k(k-1)>/<k> = 0.6 outbreaks from a few agents have the mean size of the branching process.

    20 first agents of 20,000; meeting each other's outbreaks takes away less than 2 %.
    """
    small, degrees = world
    chance = 0.6 / degrees.excess
    infected, first = outbreaks(small, beta_of(chance, GAMMA), 1e-3, 32)
    expected = degrees.outbreak(chance)
    assert near(infected / first, expected, 0.02)


@pytest.mark.parametrize("number", [1.5, pytest.param(3.0, marks=pytest.mark.full)])
def test_the_giant_outbreak_above_the_threshold(world: tuple[Small, Degrees], number: float):
    small, degrees = world
    initial = 2e-3
    chance = number / degrees.excess
    infected, _ = outbreaks(small, beta_of(chance, GAMMA), initial, 32)
    assert near(infected / SIZE, degrees.infected(chance, initial), 0.003)


def test_the_threshold_lies_at_one(world: tuple[Small, Degrees]):
    """From 10 first agents: at 0.8 even the largest of 16 outbreaks is small, at 1.25 it is the giant one.

    At 1.25 an outbreak from 10 agents dies out with a chance below 1/2, all 16 in fewer than 1 of 1e4 choices.
    """
    small, degrees = world
    below, above = (
        outbreaks(small, beta_of(number / degrees.excess, GAMMA), 5e-4, 16)[0].max() / SIZE for number in (0.8, 1.25)
    )
    giant = degrees.infected(1.25 / degrees.excess, 0.0)
    assert below < 0.03 < 0.1 < giant and 0.8 * giant < above < 1.2 * giant


# SEIR: growth


def stay(params: Any, name: str, dt: float) -> np.ndarray[Any, Any]:
    """Return P(K = k), k = 0 .. longest, of a stage's length in steps."""
    mean, shape = (jnp.float32(getattr(params, f"{name}_{which}")) for which in ("mean", "shape"))
    hazards = np.asarray(seir.stage_hazards(mean, shape, dt, round(seir.LONGEST / dt)), np.float64)
    beyond = np.concatenate([[1.0], np.cumprod(1 - hazards)])
    return np.concatenate([[0.0], beyond[:-1] - beyond[1:]])


def infectiousness(params: Any, contacts: float, dt: float) -> np.ndarray[Any, Any]:
    """Return A(a), expected infections by an agent in step a after the one of its own infection, all susceptible.

    It is exposed K_E steps and infectious from the step after: A(a) = beta c dt sum over ways of chance x infectivity x
    P(K_E < a <= K_E + K_I).
    """

    def beyond(mass: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return 1 - np.cumsum(mass)

    latent = stay(params, "latent", dt)
    ill = np.convolve(stay(params, "presymptomatic", dt), stay(params, "mild", dt))
    ways = ((params.clinical, 1.0, ill), (1 - params.clinical, params.subclinical, stay(params, "asymptomatic", dt)))
    total = np.zeros(4 * len(latent))
    for chance, infectivity, mass in ways:
        # in step K_E + j, j >= 1, it is infectious if K_I >= j
        spell = np.convolve(latent, np.concatenate([[0.0], beyond(mass)]))
        total[: len(spell)] += chance * infectivity * spell[: len(total)]
    return params.beta * contacts * dt * total


def renewal(force: np.ndarray[Any, Any], first: float, size: float, steps: int) -> np.ndarray[Any, Any]:
    """Return the infections of every step, i_t = S_t (1 - exp(-sum_a A(a) i_(t - a) / N)), `first` before step 0."""
    infected, left = np.zeros(steps + 1), size - first
    infected[0] = first
    for t in range(1, steps + 1):
        most = min(t, len(force) - 1)
        pressure = float((force[1 : most + 1] * infected[t - most : t][::-1]).sum())
        infected[t] = left * -np.expm1(-pressure / size)
        left -= infected[t]
    return infected[1:]


@pytest.mark.full
@pytest.mark.parametrize("dt", [1.0, pytest.param(0.5, marks=pytest.mark.full)])
def test_exponential_growth_follows_euler_lotka(dt: float):
    r"""sum_a A(a) e^(-r a) = 1 gives the growth per step of a SEIR epidemic under complete mixing.

    From a negligible start the renewal equation of the discrete model grows at r; from 300 of 100,000 the simulation
    follows it (depletion included), as does its growth from days 10 to 15 to days 20 to 25. Five standard errors over
    16 seeds (a false alarm in fewer than 1 of 5,000 choices of the seeds) and 0.5 % for the finite start.
    """
    size, contacts, values = 100_000, 10.0, {"beta": 0.05, "ihr": 0.0, "ifr_outside": 0.0}
    schema = (*seir.SEIR.columns, Column("age", "uint8", "everybody alike", levels=("all",)))
    people = Population.build(size, schema, {})
    steps, seeds, first = round(25 / dt), 16, 300
    network = graph("complete", size, contacts=contacts)
    metrics = (Metric("exposed", "flow", "state", (seir.EXPOSED,)),)
    small = Small("seir", network, size, metrics, steps=steps, dt=dt, population=people)
    params = seir.SEIR.Params(**values)
    by_age = {n: np.array([getattr(params, n)]) for n in ("susceptibility", "clinical", "ihr", "hfr", "ifr_outside")}
    members = stack([small.member(s, **(values | by_age)) for s in range(seeds)])  # type: ignore[arg-type]
    begin = small.simulation.start(small.agents, members)
    state = np.asarray(begin.agents["state"]).copy()
    state[:, :first] = seir.EXPOSED
    begin = replace(begin, agents={**begin.agents, "state": jnp.asarray(state)})
    _, sums = small.simulation.advance(begin, members, small.world, 0, steps)
    exposed = np.stack(
        [
            small.recorder.roll_up({n: np.asarray(v)[i] for n, v in sums.items()})[1]["exposed"][:, 0]
            for i in range(seeds)
        ]
    )

    force = infectiousness(params, contacts, dt)
    ages = np.arange(len(force))
    growth = root(lambda r: float((force * np.exp(-r * ages)).sum()) - 1, 1e-4, 1.0)
    small_start = renewal(force, 1e-9, size, round(120 / dt))
    assert np.isclose(np.log(small_start[-1] / small_start[-2]), growth, rtol=1e-5)

    early, late = slice(round(10 / dt), round(15 / dt)), slice(round(20 / dt), round(25 / dt))
    expected = renewal(force, first, size, steps)
    for window in (early, late):
        assert near(exposed[:, window].sum(1), float(expected[window].sum()), 0.005)
    grown = np.log(exposed[:, late].sum(1) / exposed[:, early].sum(1)) / round(10 / dt)
    assert near(grown, float(np.log(expected[late].sum() / expected[early].sum())) / round(10 / dt), 0.005)
    assert near(grown, growth, 0.1)  # depletion slows it by 6 %
