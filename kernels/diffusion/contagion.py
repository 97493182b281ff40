r"""What the kernels of diffusion share: from contacts with infectious agents to the hazard of infection.

.. math:: x_i = \beta\,\Delta t \sum_l s_l a_i^{[l]} \sum_{(j \to i) \in l} c_{ji}\, v_j\, a_j^{[l]}

with s the layer's scale, c the contacts per day of an arc, v the infectivity of agent j and a the share of their usual
contacts outside the home that both keep (1 in layers of the home). The sum is of integers; it is then multiplied, never
added to, in floating point and rounded to an integer hazard, so that no device count or order can change a bit. Kernels
that look at the share of active neighbours take `contacts_with`, whose sums are whole numbers too.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from lpm.network import Layer
from lpm.ops.hazard import MOST, UNIT_BITS, event_threshold
from lpm.ops.neighbours import sum_neighbours
from lpm.random import happens
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
        infectivity: uint8 [rows], 64 = fully infectious, 0 = not.
        activity: float32 [rows], share of their usual contacts outside the home that agents keep, or None for 1.
        per_contact: float32 scalar or [rows]: hazard of infection of one contact with a fully infectious agent.
        dt: Length of a step in days.
        where: bool [rows], who can be infected; the hazard of others is 0. None = everybody.
    """
    units = jnp.zeros(infectivity.shape, jnp.uint32)
    for layer in networks.values():
        kept = None if layer.home else activity
        spread = infectivity if kept is None else jnp.round(infectivity * kept).astype(jnp.uint8)
        # the rest is left to XLA, which does it on vectors: in the loop over rows it took twice the time of the sums
        pressure = sum_neighbours(layer, _contact, spread, where=where, sparse=True)
        full = ONE * ONE if "intensity" in layer.columns else ONE
        scale = layer.scale.reshape(()) * jnp.float32(dt * 2.0**UNIT_BITS / full)
        if layer.complete:
            scale = scale * layer.columns["rate"].reshape(())
        hazard = pressure.astype(jnp.float32) * (per_contact * scale)
        if kept is not None:
            hazard = hazard * kept
        units = units + jnp.round(jnp.minimum(hazard, jnp.float32(MOST))).astype(jnp.uint32)
        units = jnp.minimum(units, jnp.uint32(MOST))
    return units


def exposed(
    networks: Mapping[str, Layer],
    infectivity: Array,
    activity: Array | None,
    per_contact: Array,
    dt: float,
    where: Array,
    draws: Array,
) -> Array:
    """Return bool [rows], who among `where` is infected in this step.

    The chance is that of `contact_hazard`, whose arguments these are; `draws` are uint32 [rows].
    """
    hazard = contact_hazard(networks, infectivity, activity, per_contact, dt, where)
    return happens(draws, event_threshold(hazard))


def _contact(source: Array, _: None, columns: Mapping[str, Array]) -> Array:
    """Return the infectivity met on an arc, times the arc's contacts per day."""
    met = source.astype(jnp.int32)
    return met * columns["intensity"].astype(jnp.int32) if "intensity" in columns else met
