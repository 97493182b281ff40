r"""SI on networks, in discrete time: whoever is infected stays infectious.

Synchronous. In a step of length :math:`\Delta t` a susceptible agent with hazard x (see `contagion`) is infected with
chance :math:`1 - e^{-x}`. Under complete mixing with c contacts a day, as :math:`\Delta t \to 0` and with many agents,
the infectious share is the logistic curve :math:`i(t) = 1 / (1 + (1 / i_0 - 1)\, e^{-\beta c t})`.

Reference: N. T. J. Bailey, 1950, doi:10.1093/biomet/37.3-4.193; on networks R. Pastor-Satorras et al., 2015,
doi:10.1103/RevModPhys.87.925. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import exposed
from lpm.kernels.diffusion.exposure import seeded
from lpm.network import Layer
from lpm.population import Column
from lpm.random import Key, purpose
from lpm.types import Array, Columns, Tables


@register
class SI(Kernel):
    """Susceptible, infectious for good."""

    name = "si"
    columns = (Column("state", "uint8", "stage of the disease", levels=("susceptible", "infectious")),)
    writes = ("state",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of SI."""

        beta: Any = parameter(
            0.05,
            unit="1/day",
            bounds=(0, 10),
            meaning="hazard of infection per infectious contact",
            source="guess",
            prior=("lognormal", 0.05, 0.3),
        )
        initial: Any = parameter(
            0.01, unit="1", bounds=(0, 1), meaning="share infectious at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return everybody susceptible, but for a share that is infectious."""
        return {"state": seeded(key, tables["agents"], params.initial)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the states after one step."""
        agents = tables["agents"]
        ill, here = agents["state"] == 1, agents["present"]
        infectious = ill & here
        move = purpose(key, "move")
        infected = exposed(networks, infectious, None, params.beta, clock.dt, ~ill & here, move, agents["id"])
        return {"state": agents["state"] + infected.astype(jnp.uint8)}
