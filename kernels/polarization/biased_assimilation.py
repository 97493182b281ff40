r"""Biased assimilation, of P. Dandekar, A. Goel and D. T. Lee: evidence that fits one's opinion counts for more.

With opinions :math:`y = (1 + x) / 2` between 0 and 1, :math:`s_i` the sum of the opinions of the :math:`d_i` neighbours
of agent i, v the weight of its own opinion (a tie = 1) and b its bias:

.. math:: y_i \leftarrow \frac{v y_i + y_i^b s_i}{v + y_i^b s_i + (1 - y_i)^b (d_i - s_i)}

Synchronous; in a step an agent goes the share :math:`w_{\Delta t} = 1 - (1 - w)^{\Delta t}` of the way (w = 1: the
published rule). b = 0 is DeGroot. On two islands of homophily h (ties within for one tie across) that begin apart,
:math:`b \ge 1` ends at the extremes, :math:`1 > b \ge 2 / (h + 1)` in lasting disagreement, less in consensus.

Reference: P. Dandekar, A. Goel and D. T. Lee, 2013, doi:10.1073/pnas.1217220110 (equation 2, theorem 4).
Exact gradients, but for the rounding of the fixed point, by all parameters and opinions; at the extremes there is none
for b < 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import OPINION, first_opinions, moved, one_layer, share_of_step
from lpm.network import Layer
from lpm.ops.neighbours import sum_neighbours
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class BiasedAssimilation(Kernel):
    """Averaging in which what is heard is weighted by how well it fits."""

    name = "biased-assimilation"
    columns = (OPINION,)
    writes = ("opinion",)
    gradient = "exact"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of biased assimilation."""

        bias: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 10),
            meaning="exponent of the bias; 0 = none (DeGroot), from 1 on opinions polarise",
            source="Dandekar, Goel & Lee, 2013: 1 is the value from which homophilous networks polarise",
            prior=("lognormal", 1.0, 0.5),
        )
        own: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1000),
            meaning="weight of one's own opinion; a tie has weight 1",
            source="guess",
            prior=("lognormal", 1.0, 0.5),
        )
        weight: Any = parameter(
            0.1,
            unit="1/day",
            bounds=(0, 1),
            meaning="share of the way a day; 1 = all of it at every step, as published",
            source="guess",
            prior=("beta", 2, 18),
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
        y = (1 + opinion) * jnp.float32(0.5)
        heard, count = sum_neighbours(layer, lambda x, z, c: x, (jnp.where(here, y, 0), here))
        for_ = y**params.bias * heard
        against = (1 - y) ** params.bias * (count.astype(jnp.float32) - heard)
        whole = params.own + for_ + against
        goal = jnp.where(whole > 0, (params.own * y + for_) / jnp.where(whole > 0, whole, 1), y)
        return {"opinion": moved(opinion, 2 * goal - 1, share_of_step(params.weight, clock.dt, layer), here)}
