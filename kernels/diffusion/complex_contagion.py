r"""Complex contagion: adoption needs reinforcement by several distinct neighbours.

.. math:: P(a_i(t+1) = 1 \mid a_i(t) = 0) = r\,[m_i(t) \ge k],\quad m_i = \#\{j : j \to i,\ a_j = 1\}

Synchronous, a step is a round. m counts distinct neighbours: one who is tied to i by several arcs counts once. With
r = 1 the spread is Centola and Macy's; below it an agent who has seen enough adopts in a round with chance r, so that r
sets the pace and not who adopts in the end. They seed a whole neighbourhood: with `neighbourhoods` = 1 the
neighbours of the first adopters adopt with them, in the first round. Where policy leaves a
share s of a layer's contacts, s m is compared with k.

Reference: D. Centola and M. Macy, 2007, doi:10.1086/521848; D. Centola, V. Eguiluz and M. Macy, 2007,
doi:10.1016/j.physa.2006.06.018. Draws and comparisons are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.exposure import seeded
from lpm.network import Layer, one_layer
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class ComplexContagion(Kernel):
    """Adopters and others, over one layer."""

    name = "complex-contagion"
    columns = (Column("adopted", "uint8", "has adopted", levels=("no", "yes")),)
    writes = ("adopted",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of complex contagion."""

        k: Any = parameter(
            2.0,
            unit="1",
            bounds=(1, 1e6),
            meaning="distinct active neighbours that are needed",
            source="D. Centola and M. Macy, 2007, doi:10.1086/521848",
        )
        chance: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1),
            meaning="chance of adopting in a round with enough active neighbours (r)",
            source="D. Centola and M. Macy, 2007, doi:10.1086/521848",
        )
        initial: Any = parameter(
            0.01, unit="1", bounds=(0, 1), meaning="share of adopters at the start", source="guess", initial=True
        )
        neighbourhoods: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 1),
            meaning="1: the neighbours of the first adopters adopt in the first round, 0: not",
            source="guess",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the first adopters, a share."""
        return {"adopted": seeded(key, tables["agents"], params.initial)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the adopters after one round.

        Raises:
            InputError: Several layers, among which a neighbour could not be counted once.
        """
        layer = one_layer(networks, cls.name)
        agents = tables["agents"]
        adopted, here = agents["adopted"] == 1, agents["present"]
        first = (clock.step == 0) & (params.neighbourhoods > 0.5)
        needed, certain = jnp.where(first, jnp.float32(1), params.k), jnp.where(first, jnp.float32(1), params.chance)
        scale = layer.scale.reshape(())  # who meets half of the contacts sees half of the adopters among them
        draws = happens(agent_bits(purpose(key, "adoption"), agents["id"]), threshold(certain))

        def enough(count: Array, _: None) -> Array:
            return (count.astype(jnp.float32) * scale >= needed) & (scale > 0)

        adopting = sum_neighbours(_simple(layer), _distinct, adopted & here, where=here & ~adopted & draws, then=enough)
        return {"adopted": agents["adopted"] + adopting.astype(jnp.uint8)}


def _simple(layer: Layer) -> Layer:
    """Return the layer with the edge column "first": no arc before it in its row comes from the same agent.

    Rows are in order of the influencing agents' ids, so that arcs of one of them follow each other.
    """
    if layer.complete:
        return layer
    source = layer.sources.reshape(-1)
    row = jnp.repeat(layer.receivers, layer.sources.shape[1], total_repeat_length=source.shape[0])
    new = (source[1:] != source[:-1]) | (row[1:] != row[:-1])
    first = jnp.concatenate([jnp.ones(1, bool), new])[: source.shape[0]].reshape(layer.sources.shape)
    return replace(layer, columns={"first": first})


def _distinct(source: Array, _: None, columns: Mapping[str, Array]) -> Array:
    return source & columns["first"] if "first" in columns else source
