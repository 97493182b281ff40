r"""Choice: every agent takes one of K actions by the logits of its archetype in its context.

.. math:: P(k \mid a, c) = \frac{e^{\theta_{a c k} / T}}{\sum_m e^{\theta_{a c m} / T}}

Synchronous; every present agent chooses once a step. The logits :math:`\theta` are the column `logit`
[archetypes, contexts, actions] of table "archetypes": a row an archetype, given with the tables at the start. Its
trailing shape fixes how many contexts and actions there are; an action that does not exist has the logit `NEVER`. An
agent whose archetype has no row does nothing: its action stays.

Reference: D. McFadden, 1974, "Conditional logit analysis of qualitative choice behavior"; D. McFadden, 2001,
doi:10.1257/aer.91.3.351. Draws are hard: gradients by common random numbers, or by the score, which is in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.choice import choose, cumulative_thresholds
from lpm.population import Column
from lpm.random import Key, agent_bits, purpose
from lpm.types import Array, Tables

CONTEXTS, ACTIONS = 16, 16
NEVER = -1e4
"""Logit of an action that is never taken: its chance is 0 in float32 beside any logit above -9,000."""


@register
class Choice(Kernel):
    """One of K actions by a table of logits."""

    name = "choice"
    columns = (
        Column("archetype", "uint8", "row of table archetypes that the agent behaves like"),
        Column("context", "uint8", "situation that the agent is in", bounds=(0, CONTEXTS - 1)),
        Column("action", "uint8", "what the agent did last", levels=tuple(f"action {k}" for k in range(ACTIONS))),
    )
    tables = {
        "archetypes": (
            Column("logit", "float32", "of an action in a context", bounds=(NEVER, 1e4), shape=(CONTEXTS, ACTIONS)),
        )
    }
    writes = ("action",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the choice."""

        temperature: Any = parameter(
            1.0,
            unit="1",
            bounds=(1e-3, 1e3),
            meaning="what logits are divided by: near 0 the best action is taken, a large one makes all alike",
            source="the logits' own scale",
            prior=("lognormal", 1.0, 0.3),
        )

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Array:
        """Return the cumulative chances as thresholds, uint32 [archetypes, contexts, actions - 1]."""
        logit = tables["archetypes"]["logit"] / params.temperature
        return cumulative_thresholds(jnp.exp(logit - logit.max(-1, keepdims=True)))

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the actions taken in this step."""
        agents = tables["agents"]
        archetypes, contexts, limits = params.shape
        archetype, context = agents["archetype"].astype(jnp.int32), agents["context"].astype(jnp.int32)
        known = (archetype < archetypes) & (context < contexts)
        row = jnp.where(known, archetype * contexts + context, 0)
        own = params.reshape(-1, limits).at[row].get(mode="promise_in_bounds")
        taken = choose(own, agent_bits(purpose(key, "action"), agents["id"])).astype(jnp.uint8)
        return {"action": jnp.where(known & agents["present"], taken, agents["action"])}
