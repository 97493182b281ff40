r"""Bass adoption on a network: innovation by oneself, imitation of the contacts who have adopted.

.. math:: x_i = (p + q\, f_i)\,\Delta t,\quad f_i = \frac{\sum_{j \to i} c_{ji}\, a_j}{\sum_{j \to i} c_{ji}}

Synchronous. In a step of length :math:`\Delta t` an agent that has not adopted does so with chance :math:`1 - e^{-x_i}`
and keeps to it; f is the share of its contacts who have adopted (0 without contacts). Under complete mixing, as
:math:`\Delta t \to 0` and with many agents, the share of adopters is Bass' curve
:math:`F(t) = (1 - e^{-(p + q) t}) / (1 + (q / p)\, e^{-(p + q) t})`.

Reference: F. M. Bass, 1969, doi:10.1287/mnsc.15.5.215. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.exposure import judged, seeded
from lpm.network import Layer
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose
from lpm.types import Array, Columns, Tables

YEAR = 365.25
"""Days, by which rates a year are divided."""


@register
class Bass(Kernel):
    """Adopters and others."""

    name = "bass"
    columns = (Column("adopted", "uint8", "has adopted", levels=("no", "yes")),)
    writes = ("adopted",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of Bass adoption."""

        p: Any = parameter(
            0.03 / YEAR,
            unit="1/day",
            bounds=(0, 10),
            meaning="innovation: hazard of adopting by oneself",
            source="0.03 a year, the mean of 213 applications: F. Sultan et al., 1990, doi:10.2307/3172552",
            prior=("lognormal", 0.03 / YEAR, 0.7),
        )
        q: Any = parameter(
            0.38 / YEAR,
            unit="1/day",
            bounds=(0, 10),
            meaning="imitation: hazard of adopting when all contacts have",
            source="0.38 a year, the mean of 213 applications: F. Sultan et al., 1990, doi:10.2307/3172552",
            prior=("lognormal", 0.38 / YEAR, 0.5),
        )
        initial: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 1),
            meaning="share of adopters at the start",
            source="F. M. Bass, 1969, doi:10.1287/mnsc.15.5.215",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the first adopters, a share."""
        return {"adopted": seeded(key, tables["agents"], params.initial)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the adopters after one step."""
        agents = tables["agents"]
        adopted, here = agents["adopted"] == 1, agents["present"]
        # two hazards in integer units: a sum of floats may be contracted, and then differs between backends
        alone, imitation = hazard_units(params.p * jnp.float32(clock.dt)), params.q * jnp.float32(clock.dt)

        def adopts(m: Array, k: Array, draws: Array) -> Array:
            led = hazard_units(imitation * (m / jnp.maximum(k, jnp.float32(1))))
            return happens(draws, event_threshold(alone + led))

        draws = agent_bits(purpose(key, "adoption"), agents["id"])
        moves = judged(networks, adopted, here, here & ~adopted, adopts, draws)
        return {"adopted": agents["adopted"] + moves.astype(jnp.uint8)}
