r"""Bounded confidence in pairs, of G. Deffuant, D. Neau, F. Amblard and G. Weisbuch.

.. math:: |x_i - x_j| < \epsilon:\quad x_i \leftarrow x_i + \mu (x_j - x_i),\quad x_j \leftarrow x_j + \mu (x_i - x_j)

By default random pairs: in a step every agent has at most one partner, drawn among its neighbours by a matching of
random priority (`lpm.ops.matching`; under complete mixing any perfect matching is equally likely), and a pair talks
with chance :math:`m\,\Delta t`. `schedule = "random-sequential"` is the published schedule: :math:`N m\,\Delta t / 2`
pairs follow each other, each a uniformly drawn tie (under complete mixing a uniformly drawn pair). The first is as good
as the second in short steps under complete mixing and where all ties are alike; on a layer with hubs it is not, because
a hub has no more partners a step than others. Opinions run from -1 to 1: :math:`\epsilon` is twice that of a scale from
0 to 1. The column `met` tells who had a partner: its share is the matched share.

Reference: G. Deffuant, D. Neau, F. Amblard and G. Weisbuch, 2000, doi:10.1142/S0219525900000078; on networks
G. Weisbuch, G. Deffuant, F. Amblard and J.-P. Nadal, 2002, doi:10.1002/cplx.10031. Gradients between
choices, by mu, first opinions and their spread: who meets, talks and listens is held, so that they leave out pairs that
cross the threshold, and there is none by epsilon or meetings. One pair after the other: in forward mode only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.meetings import MET, Meetings, at_most_one, meet
from lpm.kernels.polarization.opinions import OPINION, first_opinions, moved, one_layer
from lpm.network import Layer
from lpm.ops.sequences import Draws
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class Deffuant(Kernel):
    """Pairs of neighbours that are not too far apart move towards each other."""

    name = "deffuant"
    columns = (OPINION, MET)
    writes = ("opinion", "met")
    schedule = "random pairs"
    gradient = "between choices"
    hard = ("meetings", "epsilon")

    @partial(
        jax.tree_util.register_dataclass,
        data_fields=["meetings", "epsilon", "mu", "spread"],
        meta_fields=["schedule"],
    )
    @dataclass(frozen=True)
    class Params(Meetings):
        """Parameters of bounded confidence in pairs."""

        epsilon: Any = parameter(
            0.4,
            unit="1",
            bounds=(0, 2),
            meaning="distance of opinions from which a pair does not listen",
            source="Deffuant et al., 2000, figures 1 and 2: 0.5 and 0.2 on a scale from 0 to 1 (here twice that)",
            prior=("uniform", 0.1, 1.0),
        )
        mu: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 0.5),
            meaning="share of the distance that each of the two gives up",
            source="Deffuant et al., 2000",
            prior=("uniform", 0.1, 0.5),
        )
        spread: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="first opinions are uniform from minus this to this",
            source="Deffuant et al., 2000, uniform starts",
            initial=True,
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse steps in which the pair of a matching would talk more than once."""
        at_most_one(params, where, dt)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return uniform first opinions."""
        return first_opinions(key, tables["agents"], params.spread)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step, and who was matched."""

        def closer(own: Array, theirs: Array, active: Any, draws: Draws) -> Array:
            return moved(own, theirs, params.mu, jnp.abs(theirs - own) < params.epsilon)

        return meet(one_layer(networks, cls.name), key, tables["agents"], params, clock.dt, "opinion", closer)
