r"""Axelrod's model of culture: likeness makes people meet, and meeting makes them more alike.

An agent has F features, each with one of q traits. An active agent i and its partner j interact with the chance that a
feature drawn at random is the same,

.. math:: P_{ij} = \frac{1}{F} \sum_f [\sigma_{if} = \sigma_{jf}],

and then i takes over j's trait of one feature, drawn from those in which they differ. By default random pairs: in a
step every agent has at most one partner (`meetings`), a coin says who of the two is active, and a pair meets with
chance :math:`m\,\Delta t`. `schedule = "random-sequential"` is the published schedule: :math:`N m\,\Delta t / 2` events
follow each other, each of an active agent drawn uniformly and one of its neighbours; see `meetings` for where the two
agree. Chances are compared in integers. On the square lattice with F = 10 the largest culture of the frozen state
covers the lattice for q below about 55 and a vanishing share above.

Reference: R. Axelrod, 1997, doi:10.1177/0022002797041002001; the transition: C. Castellano, M. Marsili and
A. Vespignani, 2000, doi:10.1103/PhysRevLett.85.3536. Draws are hard: gradients by common random numbers.
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
from lpm.kernels.polarization.opinions import one_layer
from lpm.network import Layer
from lpm.ops.hazard import scaled_draw
from lpm.ops.sequences import Draws
from lpm.population import Column
from lpm.random import Key, bits, purpose
from lpm.types import Array, Columns, Tables

FEATURES = 10
"""Features that an agent has room for; `features` says how many are used."""


@register
class Axelrod(Kernel):
    """Pairs of neighbours that take over traits the likelier the more they share."""

    name = "axelrod"
    columns = (Column("culture", "uint16", "trait of each feature", shape=(FEATURES,)), MET)
    writes = ("culture", "met")
    schedule = "random pairs"
    gradient = "common random numbers"

    @partial(
        jax.tree_util.register_dataclass,
        data_fields=["meetings", "features", "traits"],
        meta_fields=["schedule"],
    )
    @dataclass(frozen=True)
    class Params(Meetings):
        """Parameters of Axelrod's model."""

        features: Any = parameter(
            10.0,
            unit="1",
            bounds=(1, FEATURES),
            meaning="features that count (F), a whole number",
            source="Castellano, Marsili & Vespignani, 2000",
        )
        traits: Any = parameter(
            15.0,
            unit="1",
            bounds=(1, 65_535),
            meaning="traits of a feature (q), a whole number: first cultures are uniform",
            source="Axelrod, 1997, table 2: the most that he varied",
            initial=True,
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Refuse numbers of features or traits that are not whole, and steps in which a pair would meet twice."""
        for name in ("features", "traits"):
            if float(getattr(params, name)) % 1:
                raise InputError(f"{where}.{name}: expected a whole number, got {float(getattr(params, name)):g}")
        at_most_one(params, where, dt)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return uniform first cultures."""
        feature = jnp.arange(FEATURES, dtype=jnp.uint32)[None, :]
        draws = bits(purpose(key, "initial"), tables["agents"]["id"][:, None], jnp.uint32(0), feature)
        return {"culture": scaled_draw(draws, jnp.round(params.traits).astype(jnp.int32)).astype(jnp.uint16)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the cultures after one step, and who was matched."""
        count = jnp.round(params.features).astype(jnp.int32)
        counts = jnp.arange(FEATURES, dtype=jnp.int32) < count

        def taken(own: Array, theirs: Array, active: Any, draws: Draws) -> Array:
            differ = (own != theirs) & counts.reshape(*(1 for _ in own.shape[1:]), FEATURES)
            unlike = differ.sum(-1, dtype=jnp.int32)
            takes = active & (scaled_draw(draws["interact"], count) < count - unlike) & (unlike > 0)
            turn = scaled_draw(draws["feature"], unlike)
            which = differ & (jnp.cumsum(differ, axis=-1, dtype=jnp.int32) == turn[..., None] + 1)
            return jnp.where(which & takes[..., None], theirs, own)

        layer, names = one_layer(networks, cls.name), ("interact", "feature")
        return meet(layer, key, tables["agents"], params, clock.dt, "culture", taken, draws=names, of_ties=False)
