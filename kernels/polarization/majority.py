r"""The majority-vote model with noise: agents follow most of their neighbours, and err with chance q.

.. math:: P(v_i \leftarrow 1) = r_{\Delta t} \cdot \begin{cases} 1 - q & n_i > k_i / 2 \\ 1/2 & n_i = k_i / 2 \\
    q & n_i < k_i / 2 \end{cases},\quad r_{\Delta t} = 1 - (1 - r)^{\Delta t}

Synchronous; n of the k present neighbours are "for". Every agent revises with chance :math:`r_{\Delta t}` and sees the
votes of the step before (r = 1: everybody at every step); the published schedule, one agent at a time, is the limit of
short steps. On the square lattice order is lost at q = 0.075; under complete mixing the share on the larger side
goes to 1 - q.

Reference: M. J. de Oliveira, 1992, doi:10.1007/BF01060069. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import VOTE, first_votes, one_layer, share_of_step
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class Majority(Kernel):
    """Agents that revise take the vote of most neighbours, or by mistake the other."""

    name = "majority"
    columns = (VOTE,)
    writes = ("vote",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the majority-vote model."""

        noise: Any = parameter(
            0.05,
            unit="1",
            bounds=(0, 0.5),
            meaning="chance of taking the other side than most neighbours",
            source="guess: below the 0.075 (de Oliveira, 1992) at which the square lattice loses order",
            prior=("uniform", 0.0, 0.2),
        )
        revision: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(0, 1),
            meaning="chance a day that an agent revises its vote; 1 = everybody at every step",
            source="guess",
            prior=("beta", 2, 8),
        )
        initial: Any = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="share 'for' at the start", source="guess", initial=True
        )

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
        chance = threshold(share_of_step(params.revision, clock.dt, layer))
        revises = here & happens(agent_bits(purpose(key, "revise"), ids), chance)
        # +1 for each neighbour "for", -1 against, 0 absent: one sum tells which side is larger
        side = jnp.where(here, vote.astype(jnp.int8) * 2 - 1, 0).astype(jnp.int8)
        lead = sum_neighbours(layer, lambda x, z, c: x.astype(jnp.int32), side, where=revises)
        errs = happens(agent_bits(purpose(key, "err"), ids), threshold(params.noise))
        coin = agent_bits(purpose(key, "coin"), ids) >> 31 == 1
        new = jnp.where(lead == 0, coin, (lead > 0) ^ errs)
        return {"vote": jnp.where(revises, new.astype(jnp.uint8), vote)}
