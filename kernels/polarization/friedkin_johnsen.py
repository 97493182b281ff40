r"""Friedkin-Johnsen: averaging among neighbours by people who stay attached to what they thought at first.

.. math:: x_i(t+1) = x_i(t) + w_{\Delta t} \big(\lambda_i \bar x_i(t) + (1 - \lambda_i) u_i - x_i(t)\big),\quad
    w_{\Delta t} = 1 - (1 - w)^{\Delta t}

Synchronous; :math:`\bar x_i` is the mean over the arcs of agent i (its own opinion where it has none), u its prejudice
(its first opinion), :math:`\lambda` its susceptibility. With w = 1 it is the published rule. Where every agent is tied
to one with :math:`\lambda < 1` the limit is :math:`(I - \Lambda W)^{-1} (I - \Lambda)\, u`, whatever w.

Reference: N. E. Friedkin and E. C. Johnsen, 1990, doi:10.1080/0022250X.1990.9990069. Exact gradients, but for the
rounding of the fixed point, by opinions, traits and all parameters but the share of stubborn agents, who are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import OPINION, first_opinions, mean_heard, moved, one_layer, share_of_step
from lpm.network import Layer
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class FriedkinJohnsen(Kernel):
    """DeGroot learning with prejudices and stubborn agents."""

    name = "friedkin-johnsen"
    columns = (
        OPINION,
        Column("prejudice", "float32", "opinion that an agent stays attached to", bounds=(-1, 1)),
        Column("susceptibility", "float32", "share of influence in an agent's opinion", bounds=(0, 1), default=1),
    )
    writes = ("opinion", "prejudice", "susceptibility")
    gradient = "exact"
    hard = ("stubborn",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of Friedkin-Johnsen."""

        weight: Any = parameter(
            0.5,
            unit="1/day",
            bounds=(0, 1),
            meaning="share of the way to the new opinion a day; 1 = all of it at every step, as published",
            source="guess",
            prior=("beta", 5, 5),
        )
        susceptibility: Any = parameter(
            0.8,
            unit="1",
            bounds=(0, 1),
            meaning="susceptibility of agents who are not stubborn",
            source="guess",
            prior=("beta", 8, 2),
            initial=True,
        )
        stubborn: Any = parameter(
            0.1,
            unit="1",
            bounds=(0, 1),
            meaning="share of agents whom nobody influences (susceptibility 0)",
            source="guess",
            prior=("beta", 1, 9),
            initial=True,
        )
        spread: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="first opinions are uniform from minus this to this",
            source="guess",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return first opinions, the same as prejudices, and susceptibilities."""
        agents = tables["agents"]
        opinion = first_opinions(key, agents, params.spread)["opinion"]
        stubborn = happens(agent_bits(purpose(key, "stubborn"), agents["id"]), threshold(params.stubborn))
        open_ = jnp.where(stubborn, jnp.float32(0), jnp.float32(1)) * params.susceptibility
        return {"opinion": opinion, "prejudice": opinion, "susceptibility": open_}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step; prejudices and susceptibilities stay."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        opinion, here, prejudice, open_ = (agents[n] for n in ("opinion", "present", "prejudice", "susceptibility"))
        goal = prejudice + open_ * (mean_heard(layer, opinion, here) - prejudice)
        after = moved(opinion, goal, share_of_step(params.weight, clock.dt, layer), here)
        return {"opinion": after, "prejudice": prejudice, "susceptibility": open_}
