r"""What the kernels of diffusion share: from contacts with infectious agents to the hazard of infection.

.. math:: x_i = \beta\,\Delta t \sum_l s_l a_i^{[l]} \sum_{(j \to i) \in l} c_{ji}\, v_j\, a_j^{[l]}

with s the layer's scale, c the contacts per day of an arc, v the infectivity of agent j and a the share of their usual
contacts outside the home that both keep (1 in layers of the home). The sum is of integers; it is then multiplied, never
added to, in floating point and rounded to an integer hazard, so that no device count or order can change a bit. Kernels
that look at the share of active neighbours take `contacts_with`, whose sums are whole numbers too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from lpm.network import Layer
from lpm.ops.hazard import MOST, UNIT_BITS, event_threshold
from lpm.ops.neighbours import sum_neighbours
from lpm.random import Key, agent_bits, happens
from lpm.types import Array

ONE = 64
"""Fixed point of infectivity (uint8) and of an arc's `intensity` (uint16): 64 is a full contact a day."""


def contact_hazard(
    networks: Mapping[str, Layer],
    infectivity: Array,
    activity: Array | None,
    per_contact: Array,
    dt: float,
    where: Array | None = None,
) -> Array:
    """Return uint32 [rows], the hazard of infection in this step, in units of 2^-24.

    Args:
        networks: The layers of contacts; `intensity` is an optional edge column in 1/64 contacts per day.
        infectivity: uint8 [rows], 64 = fully infectious, 0 = not; or bool [rows], fully infectious or not.
        activity: float32 [rows], share of their usual contacts outside the home that agents keep, or None for 1.
        per_contact: float32 scalar or [rows]: hazard of infection of one contact with a fully infectious agent.
        dt: Length of a step in days.
        where: bool [rows], who can be infected; the hazard of others is 0. None = everybody.
    """
    units = jnp.zeros(infectivity.shape, jnp.uint32)
    for layer in networks.values():
        spread, factor, kept = _through(layer, infectivity, activity, per_contact, dt)
        # the rest is left to XLA, which does it on vectors: in the loop over rows it took twice the time of the sums
        pressure = sum_neighbours(layer, _contact, spread, where=where, sparse=True)
        units = jnp.minimum(units + _units(pressure, factor, kept), jnp.uint32(MOST))
    return units


def exposed(
    networks: Mapping[str, Layer],
    infectivity: Array,
    activity: Array | None,
    per_contact: Array,
    dt: float,
    where: Array,
    key: Key,
    ids: Array,
) -> Array:
    """Return bool [rows], who among `where` is infected in this step.

    The chance is that of `contact_hazard`, whose arguments these are; `key` names the draws of the agents with `ids`.
    """
    words = [key.words[i] for i in range(4)]  # scalars, which a loop over rows can hold

    def infected(hazard: Array, ids: Array) -> Array:
        return happens(agent_bits(Key(words), ids), event_threshold(hazard))  # type: ignore[arg-type]

    if len(networks) != 1:
        return infected(contact_hazard(networks, infectivity, activity, per_contact, dt, where), ids)
    (layer,) = networks.values()  # no other hazard: nobody draws who met nobody
    spread, factor, kept = _through(layer, infectivity, activity, per_contact, dt)
    own = {"id": ids, "factor": factor if factor.ndim else None, "kept": kept}

    def then(pressure: Array, own: dict[str, Any]) -> Array:
        each = factor if own["factor"] is None else own["factor"]
        return infected(_units(pressure, each, own["kept"]), own["id"])

    return sum_neighbours(layer, _contact, spread, where=where, then=then, own=own, sparse=True)


def _through(
    layer: Layer, infectivity: Array, activity: Array | None, per_contact: Array, dt: float
) -> tuple[Array, Array, Array | None]:
    """Return what a layer passes on: infectivity, hazard in units per unit of it, and the share of contacts kept."""
    kept = None if layer.home else activity
    spread, unit = infectivity, 1 if infectivity.dtype == bool else ONE
    if kept is not None:
        spread, unit = jnp.round(infectivity * (kept * np.float32(ONE / unit))).astype(jnp.uint8), ONE
    full = unit * ONE if "intensity" in layer.columns else unit
    scale = layer.scale.reshape(()) * jnp.float32(dt * 2.0**UNIT_BITS / full)
    if layer.complete:
        scale = scale * layer.columns["rate"].reshape(())
    return spread, per_contact * scale, kept


def _units(pressure: Array, factor: Array, kept: Array | None) -> Array:
    """Return the hazard in units of 2^-24, uint32, of infectivity met."""
    hazard = pressure.astype(jnp.float32) * factor
    if kept is not None:
        hazard = hazard * kept
    return jnp.round(jnp.minimum(hazard, jnp.float32(MOST))).astype(jnp.uint32)


def _contact(source: Array, _: None, columns: Mapping[str, Array]) -> Array:
    """Return the infectivity met on an arc, times the arc's contacts per day."""
    met = source.astype(jnp.int32)
    return met * columns["intensity"].astype(jnp.int32) if "intensity" in columns else met
