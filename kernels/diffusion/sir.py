r"""SIR on networks, in discrete time.

Synchronous. In a step of length :math:`\Delta t` a susceptible agent with hazard x (see `contagion`) is infected with
chance :math:`1 - e^{-x}`, an infectious one recovers with chance :math:`1 - e^{-\gamma \Delta t}`. Per arc and step the
chance of transmission is :math:`b = 1 - e^{-\beta\Delta t}` and of recovery :math:`g`, so that an arc transmits at all
with :math:`T = b / (b + g - b g)`.

Reference: W. O. Kermack and A. G. McKendrick, 1927, doi:10.1098/rspa.1927.0118; on networks M. E. J. Newman, 2002,
doi:10.1103/PhysRevE.66.016128. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import exposed
from lpm.network import Layer
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

SUSCEPTIBLE, INFECTIOUS, RECOVERED = range(3)


@register
class SIR(Kernel):
    """Susceptible, infectious, recovered."""

    name = "sir"
    columns = (Column("state", "uint8", "stage of the disease", levels=("susceptible", "infectious", "recovered")),)
    writes = ("state",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of SIR."""

        beta: Any = parameter(
            0.05,
            unit="1/day",
            bounds=(0, 10),
            meaning="hazard of infection per infectious contact",
            source="guess",
            prior=("lognormal", 0.05, 0.3),
        )
        gamma: Any = parameter(
            0.1,
            unit="1/day",
            bounds=(0, 10),
            meaning="rate of recovery",
            source="guess",
            prior=("lognormal", 0.1, 0.2),
        )
        initial: Any = parameter(
            0.01, unit="1", bounds=(0, 1), meaning="share infectious at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return everybody susceptible, but for a share that is infectious."""
        agents = tables["agents"]
        seeded = happens(agent_bits(purpose(key, "initial"), agents["id"]), threshold(params.initial))
        return {"state": (seeded & agents["present"]).astype(jnp.uint8) * jnp.uint8(INFECTIOUS)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the states after one step."""
        agents = tables["agents"]
        state, here = agents["state"], agents["present"]
        infectious = (state == INFECTIOUS) & here
        move, can_be = purpose(key, "move"), (state == SUSCEPTIBLE) & here
        infected = exposed(networks, infectious, None, params.beta, clock.dt, can_be, move, agents["id"])
        recovery = event_threshold(hazard_units(params.gamma * jnp.float32(clock.dt)))
        recovered = happens(agent_bits(move, agents["id"]), recovery) & (state == INFECTIOUS) & here
        return {"state": state + (infected | recovered).astype(jnp.uint8)}
