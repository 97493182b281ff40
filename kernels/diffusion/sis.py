r"""SIS on networks, in discrete time: an infection that leaves no immunity.

Synchronous. In a step of length :math:`\Delta t` a susceptible agent with hazard x (see `contagion`) is infected with
chance :math:`1 - e^{-x}`, an infectious one becomes susceptible again with chance :math:`g = 1 - e^{-\gamma \Delta t}`.
Under complete mixing with c contacts a day the endemic share i solves
:math:`g\, i = (1 - i)(1 - e^{-\beta c \Delta t\, i})`, as :math:`\Delta t \to 0` it is :math:`1 - \gamma / (\beta c)`.

Reference: G. H. Weiss and M. Dishon, 1971, doi:10.1016/0025-5564(71)90087-3; on networks R. Pastor-Satorras and
A. Vespignani, 2001, doi:10.1103/PhysRevLett.86.3200. Draws are hard: gradients by common random numbers.
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
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose
from lpm.types import Array, Columns, Tables


@register
class SIS(Kernel):
    """Susceptible, infectious, susceptible again."""

    name = "sis"
    columns = (Column("state", "uint8", "stage of the disease", levels=("susceptible", "infectious")),)
    writes = ("state",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of SIS."""

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
        recovery = event_threshold(hazard_units(params.gamma * jnp.float32(clock.dt)))
        recovered = happens(agent_bits(move, agents["id"]), recovery) & ill & here
        return {"state": agents["state"] ^ (infected | recovered).astype(jnp.uint8)}
