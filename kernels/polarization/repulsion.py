r"""Bounded confidence with repulsion: near opinions attract, far ones repel (W. Jager and F. Amblard).

.. math:: x_i \leftarrow x_i + \mu \cdot \begin{cases} x_j - x_i & |x_j - x_i| < u \\ x_i - x_j & |x_j - x_i| > t \\
    0 & \text{else} \end{cases}

and the same for j, within -1 to 1: social judgement theory, with u the latitude of acceptance and t that of
non-commitment. By default random pairs: in a step every agent has at most one partner (`meetings`), and a pair talks
with chance :math:`m\,\Delta t`. `schedule = "random-sequential"` is the published schedule: :math:`N m\,\Delta t / 2`
pairs follow each other, each a uniformly drawn tie (under complete mixing a uniformly drawn pair); see `meetings` for
where the two agree. Large u ends in uniformity, small t in two camps at the extremes, small u and large t in many
groups.

Reference: W. Jager and F. Amblard, 2005, doi:10.1007/s10588-005-6282-2. Gradients between choices, by mu, first
opinions and their spread: who meets, talks, attracts and repels is held, so that they leave out pairs that cross a
threshold, and there is none by acceptance, rejection or meetings. One pair after the other: in forward mode only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.polarization.meetings import MET, Meetings, at_most_one, meet
from lpm.kernels.polarization.opinions import OPINION, first_opinions, moved, one_layer
from lpm.network import Layer
from lpm.ops.sequences import Draws
from lpm.random import Key
from lpm.types import Array, Columns, Tables


@register
class Repulsion(Kernel):
    """Pairs of neighbours that move together where they are near and apart where they are far."""

    name = "repulsion"
    columns = (OPINION, MET)
    writes = ("opinion", "met")
    schedule = "random pairs"
    gradient = "between choices"
    hard = ("meetings", "acceptance", "rejection")

    @partial(
        jax.tree_util.register_dataclass,
        data_fields=["meetings", "acceptance", "rejection", "mu", "spread"],
        meta_fields=["schedule"],
    )
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

        def pulled(own: Array, theirs: Array, active: Any, draws: Draws) -> Array:
            apart = jnp.abs(theirs - own)
            pull = jnp.where(apart < params.acceptance, params.mu, jnp.where(apart > params.rejection, -params.mu, 0))
            return moved(own, theirs, pull, jnp.array(True))

        return meet(one_layer(networks, cls.name), key, tables["agents"], params, clock.dt, "opinion", pulled)
