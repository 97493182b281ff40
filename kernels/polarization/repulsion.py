r"""Bounded confidence with repulsion: near opinions attract, far ones repel (W. Jager and F. Amblard).

.. math:: x_i \leftarrow x_i + \mu \cdot \begin{cases} x_j - x_i & |x_j - x_i| < u \\ x_i - x_j & |x_j - x_i| > t \\
    0 & \text{else} \end{cases}

and the same for j, within -1 to 1: social judgement theory, with u the latitude of acceptance and t that of
non-commitment. Random pairs: in a step every agent has at most one partner (`meetings`), and a pair talks with chance
:math:`m\,\Delta t`; the published schedule, one pair at a time, is the limit of short steps. Large u ends in
uniformity, small t in two camps at the extremes, small u and large t in many groups.

Reference: W. Jager and F. Amblard, 2005, doi:10.1007/s10588-005-6282-2. Who attracts and who repels is a hard choice:
differentiable in mu and the opinions between such choices only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.meetings import MET, Meetings, at_most_one, of_partner, pairs_of
from lpm.kernels.polarization.opinions import OPINION, first_opinions, moved, one_layer
from lpm.network import Layer
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class Repulsion(Kernel):
    """Pairs of neighbours that move together where they are near and apart where they are far."""

    name = "repulsion"
    columns = (OPINION, MET)
    writes = ("opinion", "met")
    schedule = "random pairs"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params(Meetings):
        """Parameters of bounded confidence with repulsion."""

        acceptance: Any = parameter(
            0.6,
            unit="1",
            bounds=(0, 2),
            meaning="distance of opinions below which a pair attracts (u)",
            source="guess, within the range that Jager & Amblard, 2005, vary",
            prior=("uniform", 0.1, 1.0),
        )
        rejection: Any = parameter(
            1.2,
            unit="1",
            bounds=(0, 2),
            meaning="distance of opinions above which a pair repels (t)",
            source="guess, within the range that Jager & Amblard, 2005, vary",
            prior=("uniform", 1.0, 2.0),
        )
        mu: Any = parameter(
            0.1,
            unit="1",
            bounds=(0, 0.5),
            meaning="share of the distance that each of the two moves",
            source="guess",
            prior=("uniform", 0.05, 0.5),
        )
        spread: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="first opinions are uniform from minus this to this",
            source="Jager & Amblard, 2005, uniform starts",
            initial=True,
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse a distance that would both attract and repel, and steps in which a pair would talk twice."""
        if float(params.rejection) < float(params.acceptance):
            raise InputError(
                f"{where}.rejection: expected at least acceptance = {float(params.acceptance):g}, "
                f"got {float(params.rejection):g}"
            )
        at_most_one(params.meetings, where, dt)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return uniform first opinions."""
        return first_opinions(key, tables["agents"], params.spread)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the opinions after one step, and who was matched."""
        layer, agents = one_layer(networks, cls.name), tables["agents"]
        opinion, here = agents["opinion"], agents["present"]
        pairs = pairs_of(layer, key, agents, params.meetings, clock.dt)
        theirs = of_partner(opinion, pairs, layer.shards)
        apart = jnp.abs(theirs - opinion)
        pull = jnp.where(apart < params.acceptance, params.mu, jnp.where(apart > params.rejection, -params.mu, 0))
        return {
            "opinion": moved(opinion, theirs, pull, pairs.talks),
            "met": jnp.where(here, pairs.matched.astype(jnp.uint8), agents["met"]),
        }
