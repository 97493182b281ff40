r"""Importation: people who bring an infection from outside, at the start and every day.

Synchronous. A susceptible agent of place p is exposed with chance :math:`m_p \Delta t / P_p` a step, m being the people
who arrive infected per day and P the people of the place, so that the expected number of *people* does not depend on
how many people an agent stands for. At the start the chance is :math:`m^0_p / P_p`.
Reference: imported infections as a Poisson forcing, M. J. Keeling and P. Rohani, 2008, doi:10.1515/9781400841035.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.population import WEIGHT_UNIT
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class Importation(Kernel):
    """Expose susceptible agents from outside. Listed behind the epidemic kernel whose column `state` it writes."""

    name = "importation"
    reads = ("state", "place")
    writes = ("state",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of importation."""

        initial: Any = parameter(
            0.0,
            unit="people",
            by="place",
            bounds=(0, 1e7),
            meaning="people exposed at the start",
            source="guess",
            initial=True,
        )
        daily: Any = parameter(
            0.0,
            unit="people/day",
            by="place",
            bounds=(0, 1e6),
            meaning="people who arrive exposed",
            source="guess",
            prior=("lognormal", 1.0, 0.5),
        )

    @classmethod
    def expected_arrivals(cls, params: Any) -> tuple[float, float]:
        """Return the people of all places who are exposed from outside, (at the start, a day)."""
        return float(np.sum(params.initial)), float(np.sum(params.daily))

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return the chances per agent at the start and per step, as thresholds [places]."""
        agents = tables["agents"]
        count = params.initial.shape[0]
        weight = jnp.where(agents["present"], agents["weight"], 0)
        low, high = jnp.moveaxis(sum_by_group(weight, agents["place"].astype(jnp.int32), count, clock.shards), -1, 0)
        people = high.astype(jnp.float32) * np.float32(2.0**32 / WEIGHT_UNIT) + low.astype(jnp.float32) / WEIGHT_UNIT
        people = jnp.maximum(people, 1.0)
        return threshold(params.initial / people), threshold(params.daily * jnp.float32(clock.dt) / people)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the states with the first exposed."""
        return _exposed(purpose(key, "initial"), tables["agents"], params[0])

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the states with the newly exposed."""
        return _exposed(purpose(key, "daily"), tables["agents"], params[1])


def _exposed(key: Key, agents: Columns, thresholds: Array) -> Columns:
    """Return states in which susceptible agents (code 0) were exposed (code 1) by chance of their place."""
    chance = thresholds.at[agents["place"].astype(jnp.int32)].get(mode="promise_in_bounds")
    moves = happens(agent_bits(key, agents["id"]), chance) & (agents["state"] == 0) & agents["present"]
    return {"state": agents["state"] + moves.astype(agents["state"].dtype)}
