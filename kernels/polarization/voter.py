r"""The voter model: agents take over the vote of a randomly drawn neighbour.

.. math:: P(x_i \leftarrow x_j) = r_{\Delta t} / k_i,\quad r_{\Delta t} = 1 - (1 - r)^{\Delta t}

By default synchronous: every agent revises with chance :math:`r_{\Delta t}` and sees the votes of the step before (r =
1: everybody at every step). `schedule = "random-sequential"` is the published schedule: :math:`N r \Delta t` events
follow each other, each of one agent drawn uniformly, which sees what the events before it left. The mean of votes
weighted by degree is conserved in expectation. On the complete graph of N agents consensus takes 2 N h steps when all
revise at once and N h days (of N events) one by one, :math:`h = -p \ln p - (1 - p) \ln (1 - p)`.

Reference: P. Clifford and A. Sudbury, 1973, doi:10.1093/biomet/60.3.581; R. A. Holley and T. M. Liggett, 1975,
doi:10.1214/aop/1176996306; on networks V. Sood and S. Redner, 2005, doi:10.1103/PhysRevLett.94.178701. Draws are hard:
gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import VOTE, first_votes, one_layer
from lpm.kernels.polarization.revisions import (
    MEANING,
    Revisions,
    check_revisions,
    in_turn,
    revisions_of_step,
    who_revises,
)
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.encounters import meet_one
from lpm.ops.sequences import one_by_one
from lpm.random import Key, agent_bits, purpose
from lpm.types import Array, Columns, Tables


@register
class Voter(Kernel):
    """Agents that revise copy a neighbour's vote."""

    name = "voter"
    columns = (VOTE,)
    writes = ("vote",)
    gradient = "common random numbers"

    @partial(jax.tree_util.register_dataclass, data_fields=["initial", "revision"], meta_fields=["schedule"])
    @dataclass(frozen=True)
    class Params(Revisions):
        """Parameters of the voter model."""

        revision: Any = parameter(
            0.5,
            unit="1/day",
            bounds=(0, 1),
            meaning=MEANING,
            source="guess; with 1 the unit of time is N events (Sood & Redner, 2005)",
            prior=("beta", 5, 5),
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse steps of more revisions, one after the other, than anybody waits for."""
        check_revisions(params, where, dt)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first votes."""
        return first_votes(key, tables["agents"], params.initial)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the votes after one step."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        vote, ids, here = agents["vote"], agents["id"], agents["present"]
        if in_turn(params):
            each = revisions_of_step(params.revision, clock.dt, layer)
            return {"vote": one_by_one(layer, key, agents, each, vote, lambda own, theirs, _: theirs[0])}
        met = meet_one(layer, agent_bits(purpose(key, "neighbour"), ids), ids, here)
        revises = who_revises(key, agents, params.revision, clock.dt, layer)
        seen = jnp.minimum(met, layer.size - 1)
        # votes and presence travel together: one gather
        known = gather_rows(jnp.where(here, vote, jnp.uint8(255)), layer.shards).at[seen].get(mode="promise_in_bounds")
        return {"vote": jnp.where(revises & (met < layer.size) & (known != 255), known, vote)}


def at_most_one(rate: Any, where: str, dt: float) -> None:
    """Raise `InputError` where an agent would act more than once a step on average."""
    if float(rate) * dt > 1:
        raise InputError(
            f"{where}.rate: expected at most {1 / dt:g} (one a step), got {float(rate):g}; use shorter steps"
        )
