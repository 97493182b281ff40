r"""Opinions and ties that shape each other: people copy their neighbours, or turn to people who think as they do.

.. math:: \text{with } \varphi:\ (i, j) \to (i, k),\ k \sim \{k: g_k = g_i\};\qquad \text{else } g_i \leftarrow g_j

Random-sequential, the published schedule: :math:`N r \Delta t` events follow each other, each of one agent i drawn
uniformly and one of its ties (i, j). With chance :math:`\varphi` the other end of the tie is moved to a random agent of
the opinion of i, else i takes over the opinion of j; an agent without ties does nothing. No tie is made to the agent
itself, and on a layer of simple ties none that is there already (the draw is among the others; where there is no other,
nothing happens), so the number of ties is conserved. Events end when every component agrees. At mean degree 4 and 10
agents per opinion the largest community falls from a finite share of all agents to a vanishing one at
:math:`\varphi_c \approx 0.458`, where repeated ties are allowed; simple ties move it to between 0.46 and
0.50 (measured).

The layer must be dynamic; on one of fixed ties nobody can rewire, and what is left is the voter model at the rate
:math:`r (1 - \varphi)`. Looking for an agent of the same opinion costs the more the rarer it is.

Reference: P. Holme and M. E. J. Newman, 2006, doi:10.1103/PhysRevE.74.056108. Draws are hard: gradients by common
random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.voter import at_most_one
from lpm.network import Layer, one_layer
from lpm.ops.coevolution import Acts, coevolve
from lpm.ops.collective import add_shards, gather_rows, own_rows
from lpm.ops.encounters import draw_events, in_sequence, ranked
from lpm.ops.hazard import scaled_draw
from lpm.population import Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.ties import Ties
from lpm.types import Columns, Tables


@register
class CoevolvingVoter(Kernel):
    """Voters on ties that they move towards their own opinion."""

    name = "coevolving-voter"
    columns = (Column("camp", "int32", "opinion held, one of many", bounds=(0, (1 << 24) - 1)),)
    writes = ("camp",)
    schedule = "random-sequential"
    gradient = "common random numbers"
    rewires = True

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the co-evolving voter model."""

        rewiring: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 1),
            meaning="chance that an event moves a tie; else an opinion is copied (phi)",
            source="guess; Holme & Newman, 2006, vary it from 0 to 1",
            prior=("uniform", 0.0, 1.0),
        )
        rate: Any = parameter(
            1.0,
            unit="1/day",
            bounds=(0, 1000),
            meaning="expected events of an agent; at most one a step",
            source="the unit of time is N events (Holme & Newman, 2006, count single events)",
        )
        per_opinion: Any = parameter(
            10.0,
            unit="people",
            bounds=(1, 1e9),
            meaning="agents per opinion at the start (gamma)",
            source="Holme & Newman, 2006",
            initial=True,
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse steps of more events than agents."""
        at_most_one(params.rate, where, dt)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first opinions, each of the N / gamma with the same chance."""
        agents = tables["agents"]
        people = add_shards(agents["present"].sum(dtype=jnp.int32), clock.shards)
        opinions = jnp.clip(jnp.round(people.astype(jnp.float32) / params.per_opinion), 1, 2**24).astype(jnp.int32)
        drawn = scaled_draw(agent_bits(purpose(key, "initial"), agents["id"]), opinions)
        return {"camp": jnp.where(agents["present"], drawn, 0)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer | Ties], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return the opinions, and the ties of a dynamic layer, after the events of one step."""
        ties, (name,) = one_layer(networks, cls.name), networks
        layer = ties.layer if isinstance(ties, Ties) else ties
        agents, limit = tables["agents"], threshold(params.rewiring)
        per_agent = params.rate * (jnp.float32(clock.dt) * layer.scale.reshape(()))
        turn = jnp.arange(layer.size, dtype=jnp.uint32)
        moves = happens(bits(purpose(key, "rewire"), turn), limit)
        # who acts, and how many events there are; their neighbours depend on the ties at that time
        events = draw_events(layer, key, agents["id"], agents["present"], per_agent)
        if not isinstance(ties, Ties):
            fixed = replace(events, valid=events.valid & ~moves)
            return {"camp": in_sequence(fixed, agents["camp"], lambda own, theirs, _: theirs[0], moves, layer.shards)}
        order, count = ranked(agents["id"], agents["present"], layer.shards)
        acts = Acts(events.agents, moves, bits(purpose(key, "tie"), turn), jnp.where(count > 0, events.count, 0))
        camp, moved = coevolve(
            ties,
            gather_rows(agents["camp"], layer.shards),
            gather_rows(agents["present"], layer.shards),
            acts,
            (order, count),
            purpose(key, "target"),
        )
        return {"camp": own_rows(camp, layer.shards), "ties": {name: moved}}
