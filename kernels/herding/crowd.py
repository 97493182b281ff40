r"""Threshold crowd: everybody sees how many take part, and takes part when these are enough for him.

.. math:: x_i(t+1) = [\, A(t) \ge \theta_i N \,],\quad A(t) = \textstyle\sum_j x_j(t)

Synchronous, a step is one look at the crowd; A and N are people (agents by weight). The share r of those who take part
follows r(t+1) = F(r(t)), F being the distribution function of the thresholds; from nobody it never falls, so that any
other order of looks ends in the same crowd.

Reference: M. Granovetter, 1978, doi:10.1086/226707. Comparisons are hard: gradients by common random
numbers (of first thresholds; nothing is drawn later).
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
from lpm.ops.groups import total
from lpm.population import Column
from lpm.random import Key, normal, purpose, uniform
from lpm.types import Array, Columns, Tables

MOST = 2.0
"""Largest threshold; above 1 nobody ever joins."""


@register
class Crowd(Kernel):
    """Out of the crowd, or in it."""

    name = "crowd"
    columns = (
        Column("threshold", "float32", "share of people in the crowd that is enough to join", bounds=(0, MOST)),
        Column("crowd", "uint8", "takes part", levels=("out", "in")),
    )
    writes = ("threshold", "crowd")
    gradient = "common random numbers"

    @partial(jax.tree_util.register_dataclass, data_fields=["mean", "deviation", "initial"], meta_fields=["thresholds"])
    @dataclass(frozen=True)
    class Params:
        """Parameters of the crowd."""

        thresholds: str = parameter(
            "normal",
            unit="1",
            choices=("normal", "uniform", "given"),
            meaning="how thresholds are drawn at the start: normal, uniform on [0, 1), or given by the population",
            source="Granovetter 1978, 10.1086/226707, has both",
            initial=True,
        )
        mean: Any = parameter(
            0.25,
            unit="1",
            bounds=(0, 1),
            meaning="mean of normal thresholds; those below 0 count as 0",
            source="Granovetter 1978, 10.1086/226707 (25 of 100 people)",
            initial=True,
        )
        deviation: Any = parameter(
            0.13,
            unit="1",
            bounds=(0, 1),
            meaning="standard deviation of normal thresholds",
            source="Granovetter 1978, 10.1086/226707, varies it: above 0.122 nearly everybody joins",
            initial=True,
        )
        initial: Any = parameter(
            0.0, unit="1", bounds=(0, 1), meaning="share that takes part at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the thresholds, and a share of the agents in the crowd."""
        agents = tables["agents"]
        if params.thresholds == "normal":
            drawn = params.mean + params.deviation * normal(purpose(key, "threshold"), agents["id"])
        elif params.thresholds == "uniform":
            drawn = uniform(purpose(key, "threshold"), agents["id"])
        else:
            drawn = agents["threshold"]
        begins = (uniform(purpose(key, "initial"), agents["id"]) < params.initial) & agents["present"]
        return {"threshold": jnp.clip(drawn, 0, MOST), "crowd": begins.astype(jnp.uint8)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return who takes part after one look."""
        agents = tables["agents"]
        here = agents["present"]
        weight = jnp.where(here, agents["weight"], 0)
        inside, everybody = (total(jnp.where(w, weight, 0), clock.shards) for w in (agents["crowd"] > 0, here))
        with jax.enable_x64(True):  # the float32 nearest to the share: a threshold of 0.07 is met by 7 of 100
            people = [
                pair[0].astype(jnp.float64) + pair[1].astype(jnp.float64) * 2.0**32 for pair in (inside, everybody)
            ]
            share = (people[0] / jnp.maximum(people[1], 1.0)).astype(jnp.float32)
        joins = (share >= agents["threshold"]).astype(jnp.uint8)
        return {"threshold": agents["threshold"], "crowd": jnp.where(here, joins, agents["crowd"])}
