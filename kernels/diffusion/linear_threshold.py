r"""Linear threshold: an agent joins once enough of those it sees have joined.

.. math:: a_i(t+1) = 1 \iff a_i(t) = 1 \text{ or } \sum_{j \to i} c_{ji}\, a_j(t) \ge \theta_i \sum_{j \to i} c_{ji}

Synchronous by default, a step being a round (Granovetter). With `review` below 1 each agent looks around in a round
with that chance only; as it goes to 0, agents look one at a time in random order (Watts). Nobody leaves, so the final
set is the same under both. Thresholds are shares of an agent's contacts, or with `absolute` = 1 numbers of them;
an agent whose threshold is 0 or less joins at its first look (an instigator), one without contacts only so.
:math:`\theta_i` is what the population brings in column `threshold` (0 by default) plus
:math:`\mu + \sigma z_i + w (u_i - 1/2)`, z normal and u uniform; mean 1/2 and width 1 are uniform thresholds.

Reference: M. Granovetter, 1978, doi:10.1086/226707; D. J. Watts, 2002, doi:10.1073/pnas.082090499. Draws and
comparisons are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import ONE
from lpm.kernels.diffusion.exposure import judged, seeded
from lpm.network import Layer
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, normal, purpose, threshold, uniform
from lpm.types import Array, Columns, Tables

SLACK = 1 - 2.0**-20
"""A share is reached within one millionth of it, so that 1 of 5 reaches 0.2, which no float32 is."""


@register
class LinearThreshold(Kernel):
    """Inactive, active for good."""

    name = "linear-threshold"
    columns = (
        Column("active", "uint8", "has joined", levels=("inactive", "active")),
        Column("threshold", "float32", "share (or number) of contacts that must have joined before", unit="1"),
    )
    writes = ("active", "threshold")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the linear threshold model."""

        mean: Any = parameter(
            0.18,
            unit="1",
            bounds=(-1e6, 1e6),
            meaning="mean threshold (mu)",
            source="D. J. Watts, 2002, fig. 1, doi:10.1073/pnas.082090499",
            prior=("normal", 0.18, 0.05),
            initial=True,
        )
        deviation: Any = parameter(
            0.0, unit="1", bounds=(0, 1e6), meaning="normal spread of thresholds (sigma)", source="guess", initial=True
        )
        width: Any = parameter(
            0.0, unit="1", bounds=(0, 1e6), meaning="uniform spread of thresholds (w)", source="guess", initial=True
        )
        absolute: Any = parameter(
            0.0, unit="1", bounds=(0, 1), meaning="0: thresholds are shares, 1: numbers of contacts", source="guess"
        )
        review: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="chance that an agent looks around in a round",
            source="M. Granovetter, 1978, doi:10.1086/226707",
        )
        initial: Any = parameter(
            0.01, unit="1", bounds=(0, 1), meaning="share active at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return everybody inactive, but for a share, and the thresholds."""
        agents = tables["agents"]
        spread = params.deviation * normal(purpose(key, "threshold"), agents["id"])
        spread = spread + params.width * (uniform(purpose(key, "uniform threshold"), agents["id"]) - 0.5)
        return {
            "active": seeded(key, agents, params.initial),
            "threshold": agents["threshold"] + (params.mean + spread),
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return who is active after one round."""
        agents = tables["agents"]
        level, here = agents["threshold"], agents["present"]
        joined = agents["active"] == 1
        counted = params.absolute > 0.5

        def joins(m: Array, k: Array, level: Array) -> Array:
            needed = level * jnp.where(counted, jnp.float32(ONE), k) * jnp.float32(SLACK)
            return (level <= 0) | ((m > 0) & (m >= needed))

        looks = happens(agent_bits(purpose(key, "review"), agents["id"]), threshold(params.review))
        joining = judged(networks, joined, here, here & ~joined & looks, joins, level)
        return {"active": agents["active"] + joining.astype(jnp.uint8), "threshold": level}
