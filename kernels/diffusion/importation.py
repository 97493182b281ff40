r"""Importation: people who bring an infection from outside, at the start and every day.

Synchronous. The members of place p stand in a random order, drawn once; member k (from 0) is exposed, if still
susceptible, in the step in which the people who arrived, :math:`A_p(t) = m^0_p + \sum_s m_p(s)\,\Delta t`, pass

.. math:: w_p (k + 1 - u_p)

with m the people who arrive infected per day, w the people that an agent of the place stands for on average and u an
offset in [0, 1): systematic sampling, which brings the expected number of *people* whatever an agent stands for, and
never more than one agent more or less than expected; independent chances would add a Poisson spread to an epidemic that
few agents start. The offsets, :math:`u_p = \mathrm{frac}(u + \sum_{q<p} m^0_q / w_q)` with one uniform u for all, make
the same hold for all places together at the start. An agent that is not susceptible any more when its turn comes is
an arrival that changes nothing.
Reference: imported infections as a forcing, M. J. Keeling and P. Rohani, 2008, doi:10.1515/9781400841035; systematic
sampling, W. G. Madow and L. H. Madow, 1944, doi:10.1214/aoms/1177731312.
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
from lpm.ops.ranks import rank_in_group
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import Key, agent_bits, bits, purpose
from lpm.types import Array, Columns, Tables


@register
class Importation(Kernel):
    """Expose susceptible agents from outside. Listed behind the epidemic kernel whose column `state` it writes."""

    name = "importation"
    columns = (
        Column("arrivals_left", "float32", "people to arrive before the agent is exposed", "people", (0, np.inf)),
    )
    reads = ("state", "place")
    writes = ("state", "arrivals_left")

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
        """Return people at the start and per step, and people per agent, each [places]."""
        agents = tables["agents"]
        place, here = agents["place"].astype(jnp.int32), agents["present"]
        count = params.initial.shape[0]
        people = _number(sum_by_group(jnp.where(here, agents["weight"], 0), place, count, clock.shards)) / WEIGHT_UNIT
        members = _number(sum_by_group(here.astype(jnp.int32), place, count, clock.shards))
        return params.initial, params.daily * jnp.float32(clock.dt), people / jnp.maximum(members, 1.0)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the order of arrival, and the states with those who were exposed at the start."""
        initial, _, weight = params
        agents = tables["agents"]
        count = initial.shape[0]
        place = jnp.where(agents["present"], agents["place"].astype(jnp.int32), count)
        draws = agent_bits(purpose(key, "order"), agents["id"])
        rank = rank_in_group(draws, agents["id"], place, count, clock.shards)
        expected = initial / jnp.maximum(weight, np.float32(1 / WEIGHT_UNIT))
        first = bits(purpose(key, "offset"), 0).astype(jnp.float32) * np.float32(2.0**-32)
        before = jnp.cumsum(expected) - expected
        offset = (first + before) % 1.0
        own = jnp.minimum(place, count - 1)
        turn = (rank + 1 - _at(offset, own)) * _at(weight, own)
        waiting = jnp.where(rank < 0, 0, turn)  # 0: no turn to wait for any more
        return _exposed(agents | {"arrivals_left": waiting}, initial)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the order after the arrivals of a step, and the states with those who were exposed."""
        return _exposed(tables["agents"], params[1])


def _exposed(agents: Columns, people: Array) -> Columns:
    """Return what is left of the wait after `people` [places] arrived; whose wait ends is exposed (code 0 to 1)."""
    waiting, here = agents["arrivals_left"], agents["present"]
    left = jnp.maximum(waiting - _at(people, agents["place"].astype(jnp.int32)), 0)
    moves = (waiting > 0) & (left == 0) & (agents["state"] == 0) & here
    return {
        "state": agents["state"] + moves.astype(agents["state"].dtype),
        "arrivals_left": jnp.where(here, left, waiting),
    }


def _number(limbs: Array) -> Array:
    """Return float32 from limbs (low, high) of a sum that is not negative."""
    return limbs[..., 1].astype(jnp.float32) * np.float32(2.0**32) + limbs[..., 0].astype(jnp.float32)


def _at(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")
