r"""DeGroot learning: everybody moves towards the mean opinion of their neighbours.

.. math:: x_i(t+1) = x_i(t) + w_{\Delta t}\,(\bar x_i(t) - x_i(t)),\quad w_{\Delta t} = 1 - (1 - w)^{\Delta t}

Synchronous; :math:`\bar x_i` is the mean over the arcs of agent i (its own opinion where it has none), summed in 64-bit
fixed point. Reference: M. H. DeGroot, 1974, doi:10.1080/01621459.1974.10480137. Differentiable but for the fixed point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, purpose, uniform
from lpm.types import Array, Columns, Tables


@register
class DeGroot(Kernel):
    """Averaging of opinions over one layer."""

    name = "degroot"
    columns = (Column("opinion", "float32", "opinion on one question", bounds=(-1, 1)),)
    writes = ("opinion",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of DeGroot learning."""

        weight: Any = parameter(
            0.5,
            unit="1/day",
            bounds=(0, 1),
            meaning="share of the way to the neighbours' mean a day",
            source="guess",
            prior=("beta", 5, 5),
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
        """Return uniform first opinions."""
        draws = uniform(purpose(key, "initial"), tables["agents"]["id"])
        return {"opinion": (draws * 2 - 1) * params.spread}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step."""
        if len(networks) != 1:
            raise InputError(f"kernel 'degroot': expected one layer, got {', '.join(networks) or 'none'}")
        (layer,) = networks.values()
        opinion, here = tables["agents"]["opinion"], tables["agents"]["present"]
        said = jnp.where(here, opinion, 0)
        heard, count = sum_neighbours(layer, lambda x, z, c: x, (said, here))
        mean = jnp.where(count > 0, heard / jnp.maximum(count, 1), opinion)
        share = 1 - (1 - params.weight) ** jnp.float32(clock.dt)
        return {"opinion": jnp.where(here, jnp.clip(opinion + share * (mean - opinion), -1, 1), opinion)}
