r"""Information cascade: people in a queue act on their own signal and on what those before them did.

.. math:: P(s = v) = p,\quad a = [\,d + s > 0\,],\quad d \leftarrow d + (a = 1\ ?\ 1 : -1) \text{ while } |d| < 2

One event per queue and step: the next agent sees its own signal s = -1 or 1, which tells the value v of adopting
(-1 or 1, equally likely before) with chance p, and the actions of those before. All that these tell is the lead d of
adoptions over rejections, counted until it is 2 or -2: from then on nobody's signal can outweigh it, everybody does the
same and nobody learns any more. Where d + s = 0 the tie rule decides: a coin, or the own signal. (Under the coin an
adoption at d = 1 is worth more than nothing and less than a signal, so the third agent follows in either case.)

Every queue is a row of table "queues"; the agents of a queue act at the steps that `turn` says, several of one turn
at once. An agent whose queue has no row never acts. With V the chance that a cascade is wrong,

.. math:: V_{coin} = \frac{(1-p)(2-p)}{2(1 - p + p^2)},\qquad V_{own} = \frac{(1-p)^2}{p^2 + (1-p)^2}

Reference: S. Bikhchandani, D. Hirshleifer and I. Welch, 1992, doi:10.1086/261849 (the coin). Draws are hard: gradients
by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.population import Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Tables

REJECT, ADOPT = 1, 2
WRONG, RIGHT = 1, 2
CASCADE = 2
"""Lead from which on nobody's signal counts."""


@register
class InformationCascade(Kernel):
    """Waiting, then adopting or rejecting for good."""

    name = "information-cascade"
    columns = (
        Column("queue", "uint32", "queue that the agent stands in, a row of table queues"),
        Column("turn", "uint32", "step at which the agent acts", unit="step"),
        Column("action", "uint8", "what the agent did", levels=("waiting", "reject", "adopt")),
        Column("outcome", "uint8", "whether it was the better thing to do", levels=("waiting", "wrong", "right")),
        Column("imitates", "bool", "acted in a cascade, whatever its own signal"),
    )
    tables = {
        "queues": (
            Column("value", "uint8", "what is better", levels=("rejecting", "adopting")),
            Column("lead", "int8", "adoptions less rejections until a cascade began", bounds=(-CASCADE, CASCADE)),
        )
    }
    writes = ("queue", "turn", "action", "outcome", "imitates")
    schedule = "one event"
    gradient = "common random numbers"

    @partial(jax.tree_util.register_dataclass, data_fields=["accuracy", "adopting", "length"], meta_fields=["tie"])
    @dataclass(frozen=True)
    class Params:
        """Parameters of the information cascade."""

        accuracy: Any = parameter(
            0.6,
            unit="1",
            bounds=(0, 1),
            meaning="chance that a signal is right",
            source="guess",
            prior=("uniform", 0.5, 0.9),
        )
        tie: str = parameter(
            "coin",
            unit="1",
            choices=("coin", "own-signal"),
            meaning="what decides where signal and lead cancel",
            source="Bikhchandani, Hirshleifer and Welch 1992, 10.1086/261849: coin",
        )
        adopting: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 1),
            meaning="share of queues in which adopting is better; the agents believe it to be a half",
            source="Bikhchandani, Hirshleifer and Welch 1992, 10.1086/261849",
            initial=True,
        )
        length: Any = parameter(
            0.0,
            unit="people",
            bounds=(0, 2**24),
            meaning="agents in a queue, filled in order of ids; 0 = queues and turns are given by the population",
            source="the population's",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return everybody waiting in their queues, and what is better in every queue."""
        agents, queues = tables["agents"], tables["queues"]
        ids, filled = agents["id"], params.length >= 1
        length = jnp.maximum(params.length, 1).astype(jnp.uint32)
        names = jnp.arange(queues["value"].shape[0], dtype=jnp.uint32)
        better = happens(bits(purpose(key, "value"), names), threshold(params.adopting))
        return {
            "queue": jnp.where(filled, ids // length, agents["queue"]),
            "turn": jnp.where(filled, ids % length, agents["turn"]),
            "action": jnp.zeros_like(agents["action"]),
            "outcome": jnp.zeros_like(agents["outcome"]),
            "imitates": jnp.zeros_like(agents["imitates"]),
            "queues": {"value": better.astype(jnp.uint8), "lead": jnp.zeros_like(queues["lead"])},
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return what is done after the agents of this turn acted."""
        agents, queues = tables["agents"], tables["queues"]
        ids, queue = agents["id"], agents["queue"]
        count = queues["value"].shape[0]
        place = jnp.minimum(queue, count).astype(jnp.int32)
        acts = (agents["turn"] == clock.step.astype(jnp.uint32)) & (place < count) & agents["present"]
        lead = queues["lead"].at[place].get(mode="fill", fill_value=0).astype(jnp.int32)
        good = queues["value"].at[place].get(mode="fill", fill_value=0) > 0

        told = happens(agent_bits(purpose(key, "signal"), ids), threshold(params.accuracy)) == good
        own = jnp.where(told, 1, -1)
        tie = told if params.tie == "own-signal" else happens(agent_bits(purpose(key, "coin"), ids), threshold(0.5))
        adopts = (lead + own > 0) | ((lead + own == 0) & tie)

        moved = jnp.where(acts, jnp.where(adopts, 1, -1), 0)
        more = sum_by_group(moved, place, count, clock.shards)[:, 0].astype(jnp.int32)
        ahead = queues["lead"].astype(jnp.int32)
        ahead = jnp.where(jnp.abs(ahead) < CASCADE, jnp.clip(ahead + more, -CASCADE, CASCADE), ahead)

        def now(name: str, new: Array) -> Array:
            return jnp.where(acts, new.astype(agents[name].dtype), agents[name])

        return {
            "queue": queue,
            "turn": agents["turn"],
            "action": now("action", jnp.where(adopts, ADOPT, REJECT)),
            "outcome": now("outcome", jnp.where(adopts == good, RIGHT, WRONG)),
            "imitates": now("imitates", jnp.abs(lead) >= CASCADE),
            "queues": {"value": queues["value"], "lead": ahead.astype(jnp.int8)},
        }
