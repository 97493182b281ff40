r"""Where the value of a context variable comes from: columns, rows of "globals", contacts, or the state of an epidemic.

.. math:: \text{friends}_i = \frac{m_i}{k_i},\qquad \text{prevalence}_i = r \frac{\sum_{j \in g(i)} w_j [s_j \in S]}
    {\sum_{j \in g(i)} w_j}

with m and k what an agent sees among its contacts (`lpm.kernels.diffusion.exposure`), g(i) its group, w weights and s a
column of codes. Both are whole numbers divided once, so that no device count can change a bit.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from lpm.kernels.diffusion.exposure import judged
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.population import Column
from lpm.types import Array, Tables

SHARE_BITS = 20
"""A share of contacts is rounded to a multiple of 2^-20."""


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
    """The value is the share of an agent's contacts whose last action is one of these codes; 0 without contacts."""

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
        here, acts = agents["present"], _among(agents["action"], source.actions)
        told = judged(networks, acts, here, here, _share, ())
        return told.astype(jnp.float32) * np.float32(2.0**-SHARE_BITS)
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


def _share(seen: Array, known: Array, _: Any) -> Array:
    """Return int32, the share of contacts in units of 2^-20, 0 without contacts."""
    share = jnp.where(known > 0, seen / jnp.where(known > 0, known, np.float32(1)), np.float32(0))
    return jnp.round(share * np.float32(2.0**SHARE_BITS)).astype(jnp.int32)


def _among(codes: Array, some: tuple[int, ...]) -> Array:
    return functools.reduce(jnp.logical_or, [codes == each for each in some], jnp.zeros(codes.shape, bool))


def _float(limbs: Array) -> Array:
    """Return float32 from limbs [..., 2] of a sum that is not negative."""
    return limbs[..., 1].astype(jnp.float32) * np.float32(2.0**32) + limbs[..., 0].astype(jnp.float32)
