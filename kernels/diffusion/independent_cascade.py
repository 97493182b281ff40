r"""Independent cascade: whoever has just become active tries once to activate each agent that listens.

.. math:: P_i = 1 - (1 - p)^{m_i},\quad m_i = \#\{j \to i : j \text{ became active in the step before}\}

Synchronous, a step is a round. Every arc is tried once, with chance p, in the round after its source became active. The
tries at one agent are independent of all others, so one draw per agent with the chance that any of them succeeds is the
same law; it is taken as a hazard of :math:`-m_i \ln(1 - p)` in integer units. An arc with `intensity` counts as that
many tries, and what policy leaves of a layer scales their hazard. p = 1 is held at 1 - 1e-7.

Reference: J. Goldenberg, B. Libai and E. Muller, 2001, doi:10.1023/A:1011122126881; D. Kempe, J. Kleinberg and
E. Tardos, 2003, doi:10.1145/956750.956769 (the final set is that of bond percolation). Draws are hard: gradients by
common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import exposed
from lpm.kernels.diffusion.exposure import chance_hazard, seeded
from lpm.network import Layer
from lpm.population import Column
from lpm.random import Key, purpose
from lpm.types import Array, Columns, Tables

INACTIVE, NEW, SPENT = range(3)


@register
class IndependentCascade(Kernel):
    """Inactive, newly active (tries its arcs in this round), spent."""

    name = "independent-cascade"
    columns = (Column("activation", "uint8", "place in the cascade", levels=("inactive", "new", "spent")),)
    writes = ("activation",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the independent cascade."""

        p: Any = parameter(
            0.05,
            unit="1",
            bounds=(0, 1),
            meaning="chance that a try along an arc succeeds",
            source="guess",
            prior=("beta", 2, 38),
        )
        initial: Any = parameter(
            0.001, unit="1", bounds=(0, 1), meaning="share newly active at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return everybody inactive, but for a share that is newly active."""
        return {"activation": seeded(key, tables["agents"], params.initial) * jnp.uint8(NEW)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the activation after one round."""
        agents = tables["agents"]
        state, here = agents["activation"], agents["present"]
        trying = (state == NEW) & here
        inactive = (state == INACTIVE) & here
        tries, hazard = purpose(key, "activation"), chance_hazard(params.p)
        activated = exposed(networks, trying, None, hazard, 1.0, inactive, tries, agents["id"])
        return {"activation": state + (activated | trying).astype(jnp.uint8)}
