r"""SEIR with symptoms, hospital and death: a respiratory epidemic by age.

Synchronous. A susceptible agent with hazard x (see `contagion`), times its relative susceptibility, is exposed with
chance :math:`1 - e^{-x}`. Of its contacts outside the home it keeps the share `activity`, times `presence` (0 on a day
on which it chose to stay at home, see the kernel `compliance`), times what its stage leaves. Every later stage lasts a
whole number of steps

.. math:: K = 1 + [G],\quad G \sim \mathrm{Gamma},\quad \mathrm{E}K = m / \Delta t

where [.] rounds up or down at random with the mean kept, so the mean stay is m without the half step that rounding
adds; G has the variance of a gamma distribution of mean m and the declared shape. An agent that has been k steps in a
stage leaves it with the discrete hazard P(K = k + 1 | K > k). The way out is drawn at the end of a stage:

exposed -> presymptomatic (by `clinical`) or asymptomatic -> recovered;
presymptomatic -> symptomatic mild -> recovered, symptomatic severe -> hospitalised recovering -> recovered or
hospitalised dying -> dead, or symptomatic critical -> dead outside (death that never passes through a hospital).

Severity is said per infection: `ihr` (admitted), `hfr` (dies, of the admitted), `ifr_outside` (dies outside).
Reference for stages and age: N. G. Davies et al., 2020, doi:10.1038/s41591-020-0962-9; discrete hazards of stages:
A. L. Lloyd, 2001, doi:10.1006/tpbi.2001.1525. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc
from scipy.special import gammaincc

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import ONE, exposed
from lpm.network import Layer
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

STAGES = (
    "susceptible", "exposed", "asymptomatic", "presymptomatic", "symptomatic mild", "symptomatic severe",
    "symptomatic critical", "hospitalised recovering", "hospitalised dying", "recovered", "dead", "dead outside",
)  # fmt: skip
(
    SUSCEPTIBLE, EXPOSED, ASYMPTOMATIC, PRESYMPTOMATIC, MILD, SEVERE, CRITICAL, WARD, DYING, RECOVERED, DEAD, OUTSIDE,
) = range(12)  # fmt: skip

STAYS = {
    EXPOSED: "latent", ASYMPTOMATIC: "asymptomatic", PRESYMPTOMATIC: "presymptomatic", MILD: "mild",
    SEVERE: "to_admission", CRITICAL: "to_death_outside", WARD: "recovering", DYING: "dying",
}  # fmt: skip
"""The parameter (`<name>_mean`, `<name>_shape`) that says how long each stage lasts."""

LONGEST = 60.0
"""Days after which a stage ends for certain; `SEIR.check` sees to it that 99.9 % of it have ended before."""

PRESENCE = Column(
    "presence",
    "float32",
    "share of contacts outside the home that the agent's own choice leaves",
    "1",
    (0, 1),
    default=1,
)
"""What the kernel `compliance` writes; 1 where nobody chooses."""


def _mean(default: float, meaning: str, source: str) -> Any:
    """Declare a mean stay; the spread of its prior (10 % of the mean) is a guess."""
    prior = ("lognormal", default, 0.1)
    return parameter(default, unit="day", bounds=(0.05, 20), meaning=f"mean days {meaning}", source=source, prior=prior)


def _shape(default: float, source: str) -> Any:
    return parameter(default, unit="1", bounds=(0.5, 50), meaning="shape of the gamma distribution", source=source)


def _age(default: float, meaning: str, source: str) -> Any:
    return parameter(default, unit="1", bounds=(0, 1), by="age", meaning=meaning, source=source)


@register
class SEIR(Kernel):
    """Susceptible to recovered or dead, by way of symptoms and hospital."""

    name = "seir"
    columns = (
        Column("state", "uint8", "stage of the disease", levels=STAGES),
        Column("elapsed", "uint16", "steps spent in the stage so far", unit="step"),
        Column("activity", "float32", "share of usual contacts outside the home that is kept", "1", (0, 1), default=1),
        Column("susceptible_factor", "float32", "relative susceptibility", "1", (0, 1), default=1),
        PRESENCE,
    )
    reads = ("age", "activity", "susceptible_factor", "presence")
    writes = ("state", "elapsed")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of SEIR; defaults describe the first wave of SARS-CoV-2, without age."""

        beta: Any = parameter(
            0.035,
            unit="1",
            bounds=(0, 5),
            meaning="hazard of infection per daily contact",
            source="guess",
            prior=("lognormal", 0.035, 0.2),
        )
        subclinical: Any = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="infectiousness without symptoms, relative",
            source="Davies 2020, 10.1038/s41591-020-0962-9",
        )  # fmt: skip
        symptomatic_contacts: Any = parameter(
            1.0, unit="1", bounds=(0, 1), meaning="contacts outside the home kept with symptoms", source="guess"
        )
        susceptibility: Any = _age(1.0, "relative susceptibility by age", "guess")
        clinical: Any = _age(0.6, "chance that an infection has symptoms", "guess")
        ihr: Any = _age(0.03, "chance that an infection is admitted to hospital", "guess")
        hfr: Any = _age(0.25, "chance that an admitted patient dies in hospital", "guess")
        ifr_outside: Any = _age(0.003, "chance that an infection ends in death outside hospital", "guess")
        latent_mean: Any = _mean(3.0, "exposed, not yet infectious", "Davies 2020, 10.1038/s41591-020-0962-9")
        latent_shape: Any = _shape(4.0, "Davies 2020, 10.1038/s41591-020-0962-9")
        presymptomatic_mean: Any = _mean(2.1, "infectious before symptoms", "Davies 2020, 10.1038/s41591-020-0962-9")
        presymptomatic_shape: Any = _shape(4.0, "Davies 2020, 10.1038/s41591-020-0962-9")
        asymptomatic_mean: Any = _mean(5.0, "infectious without symptoms", "Davies 2020, 10.1038/s41591-020-0962-9")
        asymptomatic_shape: Any = _shape(4.0, "Davies 2020, 10.1038/s41591-020-0962-9")
        mild_mean: Any = _mean(2.9, "infectious with symptoms", "Davies 2020, 10.1038/s41591-020-0962-9")
        mild_shape: Any = _shape(4.0, "Davies 2020, 10.1038/s41591-020-0962-9")
        to_admission_mean: Any = _mean(6.0, "from symptoms to admission", "guess")
        to_admission_shape: Any = _shape(3.0, "guess")
        to_death_outside_mean: Any = _mean(12.0, "from symptoms to death outside hospital", "guess")
        to_death_outside_shape: Any = _shape(3.0, "guess")
        recovering_mean: Any = _mean(7.0, "in hospital before discharge", "guess")
        recovering_shape: Any = _shape(1.5, "guess")
        dying_mean: Any = _mean(9.0, "in hospital before death", "guess")
        dying_shape: Any = _shape(1.5, "guess")

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Raise where severities do not fit together, or a stage is shorter than a step or longer than `LONGEST`."""
        for stay in STAYS.values():
            mean, shape = float(getattr(params, f"{stay}_mean")), float(getattr(params, f"{stay}_shape"))
            if mean < dt:
                raise InputError(f"{where}.{stay}_mean: expected at least a step of {dt:g} d, got {mean:g}")
            beyond = float(gammaincc(shape, LONGEST * shape / mean))
            if beyond > 1e-3:
                raise InputError(
                    f"{where}.{stay}_shape: a mean of {mean:g} d with shape {shape:g} leaves {beyond:.1%} beyond "
                    f"{LONGEST:g} d, where stages end; expected at most 0.1 %"
                )
        severe = np.asarray(params.ihr, float) + np.asarray(params.ifr_outside, float)
        if (severe > np.asarray(params.clinical, float) + 1e-9).any():
            raise InputError(f"{where}: expected ihr + ifr_outside <= clinical at every age, got {severe.max():g}")

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return thresholds by stage: to leave [stage, elapsed], and for the way out [stage, age, 2]; infectivity."""
        longest = max(2, math.ceil(LONGEST / clock.dt))
        leave = jnp.zeros((len(STAGES), longest), jnp.uint32)
        for stage, stay in STAYS.items():
            mean, shape = getattr(params, f"{stay}_mean"), getattr(params, f"{stay}_shape")
            leave = leave.at[stage].set(threshold(stage_hazards(mean, shape, clock.dt, longest)))
        clinical = jnp.maximum(params.clinical, 1e-12)
        ways = jnp.zeros((len(STAGES), params.clinical.shape[0], 2), jnp.uint32)
        ways = ways.at[EXPOSED, :, 0].set(threshold(params.clinical))
        ways = ways.at[PRESYMPTOMATIC, :, 0].set(threshold(params.ihr / clinical))
        ways = ways.at[PRESYMPTOMATIC, :, 1].set(threshold((params.ihr + params.ifr_outside) / clinical))
        ways = ways.at[SEVERE, :, 0].set(threshold(params.hfr))
        infectivity = jnp.zeros(len(STAGES), jnp.float32)
        infectivity = infectivity.at[ASYMPTOMATIC].set(params.subclinical * ONE)
        infectivity = infectivity.at[jnp.array([PRESYMPTOMATIC, MILD, SEVERE, CRITICAL])].set(float(ONE))
        ill = jnp.array([MILD, SEVERE, CRITICAL])
        kept = jnp.ones(len(STAGES), jnp.float32).at[ill].set(params.symptomatic_contacts)
        per_contact = params.beta * params.susceptibility
        return leave, ways, jnp.round(infectivity).astype(jnp.uint8), kept, per_contact

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return everybody susceptible; the kernel `importation` brings the first infections."""
        ids = tables["agents"]["id"]
        return {"state": jnp.zeros(ids.shape, jnp.uint8), "elapsed": jnp.zeros(ids.shape, jnp.uint16)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return stages and time in them after one step."""
        leave, ways, infectivity, kept, per_contact = params
        agents = tables["agents"]
        state, age, here = agents["state"].astype(jnp.int32), agents["age"].astype(jnp.int32), agents["present"]
        spread = jnp.where(here, _at(infectivity, state), jnp.uint8(0))
        activity = agents["activity"] * agents["presence"] * _at(kept, state)
        per_agent = _at(per_contact, age) * agents["susceptible_factor"]
        move, susceptible = purpose(key, "move"), (state == SUSCEPTIBLE) & here
        infected = exposed(networks, spread, activity, per_agent, clock.dt, susceptible, move, agents["id"])
        longest = leave.shape[1]
        stayed = jnp.minimum(agents["elapsed"].astype(jnp.int32), longest - 1)
        leaves = happens(agent_bits(move, agents["id"]), _at(leave.reshape(-1), state * longest + stayed)) & here
        moves = infected | ((state != SUSCEPTIBLE) & leaves)
        draw, way = agent_bits(purpose(key, "way"), agents["id"]), state * ways.shape[1] + age
        first, second = (happens(draw, _at(ways[:, :, i].reshape(-1), way)) for i in range(2))
        choice = jnp.where(first, 0, jnp.where(second, 1, 2))
        goes = _at(jnp.asarray(_NEXT.reshape(-1)), state * 3 + choice)
        waits = agents["elapsed"] + ((state != SUSCEPTIBLE) & (state < RECOVERED) & here).astype(jnp.uint16)
        return {
            "state": jnp.where(moves, goes, agents["state"]),
            "elapsed": jnp.where(moves, jnp.uint16(0), jnp.minimum(waits, jnp.uint16(longest - 1))),
        }


def _ways() -> np.ndarray[Any, Any]:
    """Return uint8 [stage, 3]: where each way out leads (below the first threshold, below the second, else)."""
    ways = np.arange(len(STAGES), dtype=np.uint8)[:, None].repeat(3, 1)
    ways[SUSCEPTIBLE] = EXPOSED
    ways[EXPOSED] = PRESYMPTOMATIC, ASYMPTOMATIC, ASYMPTOMATIC
    ways[PRESYMPTOMATIC] = SEVERE, CRITICAL, MILD
    ways[SEVERE] = DYING, WARD, WARD
    ways[ASYMPTOMATIC] = ways[MILD] = ways[WARD] = RECOVERED
    ways[CRITICAL], ways[DYING] = OUTSIDE, DEAD
    return ways


_NEXT = _ways()


def stage_hazards(mean: Array, shape: Array, dt: float, longest: int) -> Array:
    r"""Return float32 [longest], the chance of leaving after k + 1 steps of an agent that has stayed k.

    With :math:`\Phi(x) = \int_0^x F` of the gamma distribution function F of G, rounding at random keeps the mean and
    gives :math:`P(K > j) = 1 - \Phi(j) + \Phi(j - 1)`.

    Args:
        mean: Mean stay in days, at least `dt`.
        shape: Shape m^2 / variance of the stay.
        dt: Length of a step in days.
        longest: The last step ends the stage for certain.
    """
    steps = mean / jnp.float32(dt)
    rest = jnp.maximum(steps - 1, 1e-3)
    form = rest**2 * shape / steps**2
    points = jnp.arange(-1, longest, dtype=jnp.float32)
    x = jnp.maximum(points, 0) / (rest / form)
    area = jnp.maximum(points, 0) * gammainc(form, x) - rest * gammainc(form + 1, x)
    beyond = jnp.clip(1 - (area[1:] - area[:-1]), 0, 1)
    beyond = jnp.concatenate([jnp.ones(1, jnp.float32), beyond[1:], jnp.zeros(1, jnp.float32)])
    hazards = 1 - beyond[1:] / jnp.maximum(beyond[:-1], 1e-6)
    return jnp.where(beyond[:-1] < 1e-6, 1.0, jnp.clip(hazards, 0, 1)).at[-1].set(1.0)


def _at(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")
