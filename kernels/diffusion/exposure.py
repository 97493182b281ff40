r"""What an agent sees among its contacts: how many are active, of how many.

.. math:: m_i = \sum_l s_l \sum_{(j \to i) \in l} c_{ji}\, a_j,\quad k_i = \sum_l \sum_{(j \to i) \in l} c_{ji}

with a the activity (0 or 1) of a present agent, c the contacts of an arc and s what policy leaves of a layer: an agent
that meets half of its contacts sees half of what goes on among them, m, and keeps its k. Both are whole numbers of 1/64
contact, so that no device count or order can change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from lpm.kernels.diffusion.contagion import ONE
from lpm.network import Layer
from lpm.ops.hazard import MOST, UNIT_BITS
from lpm.ops.neighbours import sum_neighbours
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns


def seeded(key: Key, agents: Columns, share: Array) -> Array:
    """Return uint8 [rows], 1 for a share of the present agents, drawn for the purpose "initial"."""
    chosen = happens(agent_bits(purpose(key, "initial"), agents["id"]), threshold(share))
    return (chosen & agents["present"]).astype(jnp.uint8)


def chance_hazard(chance: Array) -> Array:
    """Return float32, the hazard -ln(1 - p) of a chance p per event, at most 16 (a chance of 0.9999999)."""
    most = jnp.float32((MOST + 1) * 2.0**-UNIT_BITS)
    inside = jnp.minimum(chance, jnp.float32(1 - 2.0**-24))  # ln 0 is no number
    return jnp.where(chance >= 1, most, jnp.minimum(-jnp.log1p(-inside), most))


def judged(
    networks: Mapping[str, Layer],
    active: Array,
    here: Array,
    where: Array,
    rule: Callable[[Array, Array, Any], Array],
    own: Any,
) -> Array:
    """Return `rule(m, k, own)` for every agent of `where`, 0 for others.

    Args:
        networks: The layers; `intensity` is an optional edge column in 1/64 contacts.
        active: bool [rows].
        here: bool [rows], present.
        where: bool [rows], who judges.
        rule: Elementwise; m and k are float32, whole numbers of 1/64 contact. It may run in the pass over the rows
            that sums the last layer.
        own: Pytree of [rows] arrays, what `rule` needs to know of an agent.
    """
    told = here.astype(jnp.uint8) + ((active & here).astype(jnp.uint8) << np.uint8(1))  # one byte to gather, not two
    layers = list(networks.values())
    m, k = jnp.zeros(active.shape, jnp.float32), jnp.zeros(active.shape, jnp.float32)
    for layer in layers[:-1]:
        unit, scale = _units(layer)
        seen, known = sum_neighbours(layer, _told, told, where=where)
        m = m + jnp.round(seen.astype(jnp.float32) * scale)
        k = k + known.astype(jnp.float32) * unit
    if not layers:
        return jnp.where(where, rule(m, k, own), False)
    unit, scale = _units(layers[-1])
    before = (m, k) if len(layers) > 1 else None

    def then(sums: tuple[Array, Array], values: Any) -> Array:
        seen = jnp.round(sums[0].astype(jnp.float32) * scale)
        known = sums[1].astype(jnp.float32) * unit
        if values[0] is not None:
            seen, known = values[0][0] + seen, values[0][1] + known
        return rule(seen, known, values[1])

    return sum_neighbours(layers[-1], _told, told, where=where, then=then, own=(before, own))


def _units(layer: Layer) -> tuple[Any, Array]:
    """Return what turns sums over a layer into 1/64 contact: over all its contacts, and over those policy leaves."""
    unit = np.float32(1 if "intensity" in layer.columns else ONE)
    return unit, layer.scale.reshape(()) * unit


def _told(source: Array, _: None, columns: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return contacts with an active and with a present agent, from the two bits that `judged` packs."""
    seen, known = (source >> np.uint8(1)).astype(jnp.int32), (source & np.uint8(1)).astype(jnp.int32)
    if "intensity" not in columns:
        return seen, known
    contacts = columns["intensity"].astype(jnp.int32)
    return seen * contacts, known * contacts
