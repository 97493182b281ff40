r"""Importation: people who bring an infection from outside, at the start and every day.

Synchronous. The members of place p stand in a random order, drawn once; member k (from 0) is exposed, if still
susceptible, in the step in which the people who arrived, :math:`A_p(t) = m^0_p + \sum_s m_p(s)\,\Delta t`, pass

.. math:: w_p (k + 1 - u_p)

with m the people who arrive infected per day, w the people that an agent of the place stands for on average and u an
offset in [0, 1), counted in 1/1024 person: systematic sampling, which brings the expected number of *people* whatever
an agent stands for, and never more than one agent more or less than expected; independent chances would add a Poisson
spread to an epidemic that few agents start. The offsets, :math:`u_p = \mathrm{frac}(u + \sum_{q<p} m^0_q / w_q)` with
one uniform u for all, make the same hold for all places together at the start. An agent that is not susceptible any
more when its turn comes is an arrival that changes nothing.
Reference: imported infections as a forcing, M. J. Keeling and P. Rohani, 2008, doi:10.1515/9781400841035; systematic
sampling, W. G. Madow and L. H. Madow, 1944, doi:10.1214/aoms/1177731312. Arrivals are whole: gradients by
common random numbers.
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
from lpm.random import GOLDEN, Key, agent_bits, bits, purpose
from lpm.types import Array, Columns, Tables

MOST = 2**32 - 1
"""The longest wait, over 4 million people in 1/1024 person; those farther back in the order wait for ever."""

FINE = 4_095.0
"""People per step below which millionths of them are counted."""


@register
class Importation(Kernel):
    """Expose susceptible agents from outside. Listed behind the epidemic kernel whose column `state` it writes."""

    name = "importation"
    columns = (
        Column(
            "arrivals_left", "uint32", "people to arrive before the agent is exposed, 0 = nothing more", "1/1024 person"
        ),
    )
    reads = ("state", "place")
    writes = ("state", "arrivals_left")
    gradient = "common random numbers"

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
        """Return people at the start (1/1024 person), people per step, and people per agent, each [places]."""
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
        # shares of an agent as 2^-32 of it: sums that wrap round are exact, in whatever order a batch adds them up
        share = ((expected % 1.0) * np.float32(2.0**24)).astype(jnp.uint32) << jnp.uint32(8)
        before = bits(purpose(key, "offset"), 0) + jnp.cumsum(share, dtype=jnp.uint32) - share
        offset = (before >> jnp.uint32(8)).astype(jnp.float32) * np.float32(2.0**-24)
        own = jnp.minimum(place, count - 1)
        turn = _units((rank + 1 - _at(offset, own)) * _at(weight, own))
        waiting = jnp.where((rank < 0) | (turn == jnp.uint32(MOST)), jnp.uint32(0), turn)
        return _exposed({**agents, "arrivals_left": waiting}, _units(initial))

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the order after the arrivals of a step, and the states with those who were exposed."""
        people = params[1]
        # what is left over of 1/1024 person is carried by steps in turn, so that the smallest rates arrive in the mean
        turn = (clock.step.astype(jnp.uint32) * jnp.uint32(GOLDEN)) >> jnp.uint32(22)
        fine = jnp.round(jnp.minimum(people, FINE) * jnp.float32(2.0**20)).astype(jnp.uint32)
        arriving = jnp.where(people < FINE, (fine + turn) >> jnp.uint32(10), _units(people))
        return _exposed(tables["agents"], arriving)


def _units(people: Array) -> Array:
    """Return people in 1/1024 person, uint32, at most `MOST`."""
    units = jnp.round(people * jnp.float32(1024))
    return jnp.where(units < float(MOST), jnp.maximum(units, 0).astype(jnp.uint32), jnp.uint32(MOST))


def _exposed(agents: Columns, arriving: Array) -> Columns:
    """Return what is left of the wait after `arriving` [places]; whose wait ends is exposed (code 0 to 1)."""
    waiting, here = agents["arrivals_left"], agents["present"]
    passed = _at(arriving, agents["place"].astype(jnp.int32))
    moves = (waiting > 0) & (waiting <= passed) & (agents["state"] == 0) & here
    return {
        "state": agents["state"] + moves.astype(agents["state"].dtype),
        "arrivals_left": jnp.where(here, waiting - jnp.minimum(waiting, passed), waiting),
    }


def _number(limbs: Array) -> Array:
    """Return float32 from limbs (low, high) of a sum that is not negative."""
    return limbs[..., 1].astype(jnp.float32) * np.float32(2.0**32) + limbs[..., 0].astype(jnp.float32)


def _at(table: Array, index: Array) -> Array:
    return table.at[index].get(mode="promise_in_bounds")
