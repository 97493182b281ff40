r"""Where the value of a context variable comes from: columns, rows of "globals", contacts, or the state of an epidemic.

.. math:: \text{friends}_i = \frac{\sum_l v_l m_{li}}{\sum_l v_l k_{li}},\qquad
    \text{prevalence}_i = r \frac{\sum_{j \in g(i)} w_j [s_j \in S]}{\sum_{j \in g(i)} w_j}

with k the present contacts of an agent in layer l, m those of them who acted (`lpm.kernels.diffusion.exposure`), v what
policy leaves of the layer beside the one of which it leaves most, g(i) a group, w weights and s a column of codes. What
is common to the scales of all layers does not count: a share is one of contacts, however many of them take place. Both
are whole numbers divided once, so that no device count can change a bit; v is rounded up to a multiple of 2^-16.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from lpm.kernels.diffusion.exposure import judged
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.population import Column
from lpm.types import Array, Tables

SHARE_BITS = 20
"""A share of contacts is rounded to a multiple of 2^-20."""

SCALE_BITS = 16
"""What policy leaves of a layer, as a part of the most, is rounded up to a multiple of 2^-16: 0 only where it is 0."""


@dataclass(frozen=True)
class Own:
    """The value is a column of the agent."""

    column: str


@dataclass(frozen=True)
class Common:
    """The value is a column of table "globals": the same for everybody."""

    column: str


@dataclass(frozen=True)
class Friends:
    """The value is the share of an agent's contacts whose last action is one of these codes; 0 without contacts.

    Contacts of several layers weigh as policy leaves them; a layer of which it leaves nothing has no contacts.
    """

    actions: tuple[int, ...]


@dataclass(frozen=True)
class Prevalence:
    """The value is the share of people whose column has one of these codes: of all, or of those of the own group.

    Attributes:
        column: The column, of codes.
        levels: The codes that are counted.
        by: Column of the group, "" = all people.
        groups: Number of groups.
        per: What the share is multiplied by: 1e5 = people in 100,000.
    """

    column: str
    levels: tuple[int, ...]
    by: str = ""
    groups: int = 1
    per: float = 1.0


Source: TypeAlias = Own | Common | Friends | Prevalence
"""Where the value of a context variable comes from."""


def read_by(source: Source) -> tuple[str, ...]:
    """Return the columns of agents that a source reads beside those of every kernel."""
    if isinstance(source, Own):
        return (source.column,)
    if isinstance(source, Prevalence):
        return (source.column, source.by) if source.by else (source.column,)
    return ()


def globals_of(sources: tuple[Source, ...]) -> dict[str, tuple[Column, ...]]:
    """Return the declaration of table "globals" that sources need, {} where they need none."""
    names = dict.fromkeys(each.column for each in sources if isinstance(each, Common))
    columns = tuple(Column(name, "float32", "value of a context variable, the same for everybody") for name in names)
    return {"globals": columns} if columns else {}


def value_of(source: Source, tables: Tables, networks: Mapping[str, Layer], shards: int) -> Array:
    """Return the values of a context variable, float32 [rows]."""
    agents = tables["agents"]
    rows = agents["id"].shape
    if isinstance(source, Own):
        return agents[source.column].astype(jnp.float32)
    if isinstance(source, Common):
        return jnp.broadcast_to(tables["globals"][source.column].astype(jnp.float32).reshape(1), rows)
    if isinstance(source, Friends):
        return _share(networks, _among(agents["action"], source.actions), agents["present"])
    group = agents[source.by].astype(jnp.int32) if source.by else jnp.zeros(rows, jnp.int32)
    return shares_of(source, tables, shards).at[group].get(mode="promise_in_bounds")


def shares_of(source: Prevalence, tables: Tables, shards: int) -> Array:
    """Return the share of people by group, float32 [groups]; 0 in a group of nobody."""
    agents = tables["agents"]
    rows = agents["id"].shape
    weight = jnp.where(agents["present"], agents["weight"], 0)
    group = agents[source.by].astype(jnp.int32) if source.by else jnp.zeros(rows, jnp.int32)
    inside = jnp.where(_among(agents[source.column], source.levels), weight, 0)
    part, whole = (_float(sum_by_group(each, group, source.groups, shards)) for each in (inside, weight))
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0) * np.float32(source.per)


def _share(networks: Mapping[str, Layer], acts: Array, here: Array) -> Array:
    """Return float32 [rows], the share of contacts who act in multiples of 2^-20; 0 without contacts."""
    if not networks:
        return jnp.zeros(acts.shape, jnp.float32)
    layers, counts = list(networks.values()), list[tuple[Array, Array]]()
    for layer in layers:
        whole = replace(layer, scale=jnp.ones_like(layer.scale))  # all contacts: weighed below
        both: Any = judged({"": whole}, acts, here, here, _both, ())
        counts.append(both)
    with jax.enable_x64(True):  # whole numbers below 2^53
        scale = jnp.stack([layer.scale.reshape(()) for layer in layers]).astype(jnp.float64)
        most = scale.max()
        part = jnp.ceil(scale / jnp.where(most > 0, most, 1) * 2.0**SCALE_BITS).astype(jnp.int64)
        seen, known = (
            functools.reduce(jnp.add, [part[at] * each[i].astype(jnp.int64) for at, each in enumerate(counts)])
            for i in range(2)
        )
        share = seen.astype(jnp.float64) / jnp.maximum(known, 1).astype(jnp.float64)
        return (jnp.round(share * 2.0**SHARE_BITS) * 2.0**-SHARE_BITS).astype(jnp.float32)


def _both(seen: Array, known: Array, _: Any) -> Any:
    """Return contacts who act and all contacts, whole numbers of 1/64 contact."""
    return seen, known


def _among(codes: Array, some: tuple[int, ...]) -> Array:
    return functools.reduce(jnp.logical_or, [codes == each for each in some], jnp.zeros(codes.shape, bool))


def _float(limbs: Array) -> Array:
    """Return float32 from limbs [..., 2] of a sum that is not negative."""
    return limbs[..., 1].astype(jnp.float32) * np.float32(2.0**32) + limbs[..., 0].astype(jnp.float32)
