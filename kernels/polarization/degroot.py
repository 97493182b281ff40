r"""DeGroot learning: everybody moves towards the mean opinion of their neighbours.

.. math:: x_i(t+1) = x_i(t) + w_{\Delta t}\,(\bar x_i(t) - x_i(t)),\quad w_{\Delta t} = 1 - (1 - w)^{s \Delta t}

with s what policy leaves of the layer's contacts. Synchronous; :math:`\bar x_i` is the mean over the arcs of agent i
(its own opinion where it has none), summed in 64-bit fixed point. Reference: M. H. DeGroot, 1974,
doi:10.1080/01621459.1974.10480137. Exact gradients, but for the rounding of the fixed point, by both parameters and
first opinions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import OPINION, first_opinions, mean_heard, moved, one_layer, share_of_step
from lpm.network import Layer
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class DeGroot(Kernel):
    """Averaging of opinions over one layer."""

    name = "degroot"
    columns = (OPINION,)
    writes = ("opinion",)
    gradient = "exact"

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
        return first_opinions(key, tables["agents"], params.spread)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step."""
        layer = one_layer(networks, cls.name)
        opinion, here = tables["agents"]["opinion"], tables["agents"]["present"]
        mean = mean_heard(layer, opinion, here)
        return {"opinion": moved(opinion, mean, share_of_step(params.weight, clock.dt, layer), here)}
