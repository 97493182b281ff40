r"""Bounded confidence of R. Hegselmann and U. Krause: the mean of all opinions that are near one's own.

.. math:: x_i(t+1) = x_i(t) + w_{\Delta t} \Big(\frac{1}{|I_i|} \sum_{j \in I_i} x_j(t) - x_i(t)\Big),\quad
    I_i = \{i\} \cup \{j \to i : |x_j - x_i| \le \epsilon\},\quad w_{\Delta t} = 1 - (1 - w)^{\Delta t}

Synchronous. With w = 1 it is the published rule, one update a step; under complete mixing that of 2002, on a layer the
rule among neighbours. Opinions are compared and summed as integers of 2^-24, so that equality with the threshold is
decided the same way everywhere. Opinions run from -1 to 1: :math:`\epsilon` is twice that of a scale from 0 to 1.

Reference: R. Hegselmann and U. Krause, 2002, "Opinion dynamics and bounded confidence: models, analysis and
simulation", JASSS 5(3) 2, https://www.jasss.org/5/3/2.html; convergence: J. Lorenz, 2007,
doi:10.1142/S0129183107011789. Gradients between choices, by the weight, first opinions and their spread: who
is near is held, so that they leave out who crosses the threshold, and there is none by epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.opinions import (
    NOBODY,
    OPINION,
    UNIT_BITS,
    first_opinions,
    fixed_point,
    moved,
    one_layer,
    share_of_step,
)
from lpm.network import Layer
from lpm.ops.collective import gather_rows
from lpm.ops.fixed import Fixed
from lpm.ops.neighbours import sum_neighbours
from lpm.ops.straight import straight
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class HegselmannKrause(Kernel):
    """Synchronous averaging over those whose opinion is at most epsilon away, oneself included."""

    name = "hegselmann-krause"
    columns = (OPINION,)
    writes = ("opinion",)
    gradient = "between choices"
    hard = ("epsilon",)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of bounded confidence."""

        epsilon: Any = parameter(
            0.4,
            unit="1",
            bounds=(0, 2),
            meaning="largest distance of an opinion that is listened to",
            source="guess: between the 0.3 and 0.5 (0.15 and 0.25 on 0 to 1) shown by Hegselmann & Krause, 2002",
            prior=("uniform", 0.05, 1.0),
        )
        weight: Any = parameter(
            0.3,
            unit="1/day",
            bounds=(0, 1),
            meaning="share of the way to the mean a day; 1 = all of it at every step, as published",
            source="guess",
            prior=("beta", 3, 7),
        )
        spread: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="first opinions are uniform from minus this to this",
            source="Hegselmann & Krause, 2002, uniform starts",
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
        units, value = fixed_point(opinion, here), opinion * jnp.float32(2.0**UNIT_BITS)
        reach = jnp.round(params.epsilon * jnp.float32(2.0**UNIT_BITS)).astype(jnp.int32)
        if layer.complete:
            heard, count = _among_all(units, value, reach, layer.shards)
        else:

            def near(theirs: tuple[Array, Array], ours: Array, _: Any) -> tuple[Fixed, Array]:
                close = jnp.abs(theirs[0] - ours) <= reach
                return Fixed(*(jnp.where(close, each, 0) for each in theirs)), close

            others, number = sum_neighbours(layer, near, (units, value), units, where=here, bits=0)
            heard, count = others + straight(units.astype(jnp.float32), value), number + 1
        mean = heard / count.astype(jnp.float32) * jnp.float32(2.0**-UNIT_BITS)
        return {"opinion": moved(opinion, mean, share_of_step(params.weight, clock.dt, layer), here)}


def _among_all(units: Array, value: Array, reach: Array, shards: int) -> tuple[Array, Array]:
    """Return the sum and number of all opinions within reach, one's own included: two cuts in the sorted opinions."""
    all_ = gather_rows(units, shards)
    everyone = jnp.sort(all_)  # the absent, NOBODY, come last and are in reach of no one present
    first = jnp.searchsorted(everyone, units - reach, side="left").astype(jnp.int32)
    beyond = jnp.searchsorted(everyone, units + reach, side="right").astype(jnp.int32)
    with jax.enable_x64(True):
        listed = jnp.where(everyone < NOBODY, everyone, 0).astype(jnp.int64)
        ends = jnp.concatenate([jnp.zeros(1, jnp.int64), jnp.cumsum(listed)])
        heard = (ends[beyond] - ends[first]).astype(jnp.float32)
    # what derivatives are made of, in the same order; where none is asked for the compiler drops it
    smooth = jnp.where(all_ < NOBODY, gather_rows(value, shards), 0)[jnp.argsort(all_)]
    sums = jnp.append(0, jnp.cumsum(smooth))
    return straight(heard, sums[beyond] - sums[first]), jnp.maximum(beyond - first, 1)
