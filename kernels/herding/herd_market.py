r"""Herd in a market: agents in random clusters buy, sell or wait together, and the price moves with the excess demand.

.. math::
    x(t+1) = x(t) + \tfrac1\lambda \sum_k W_k \phi_k(t),\qquad P(\phi = 1) = P(\phi = -1) = a,\ P(\phi = 0) = 1 - 2a

Synchronous. In every step the agents' links are drawn anew, N c / 2 of them on average between two agents at random:
the clusters are the connected components of a random graph of mean degree c, W their people. One decision for a
cluster. For given clusters the moments of the excess demand D are

.. math::
    E D^2 = 2a \sum_k W_k^2,\qquad E D^4 = 2a \sum_k W_k^4 + 3 (2a)^2 \Big[\big(\sum_k W_k^2\big)^2 - \sum_k W_k^4\Big]

and with mean orders per step held, the excess kurtosis grows as :math:`(1 - c)^{-3}` towards the percolation at c = 1.
The price x (a log price, or a price) stands in table "globals". Agents are told apart by the order of their ids.

Reference: R. Cont and J.-P. Bouchaud, 2000, doi:10.1017/S1365100500015029. Draws are hard: gradients by common random
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.groups import total
from lpm.ops.hazard import scaled_draw
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, HostArray, Tables

WAIT, BUY, SELL = range(3)


@register
class HerdMarket(Kernel):
    """Orders of clusters, and the price that they move."""

    name = "herd-market"
    columns = (
        Column("order", "uint8", "what the agent's cluster did", levels=("wait", "buy", "sell")),
        Column("cluster", "uint32", "smallest id of the agents that it is linked with"),
    )
    tables = {
        "globals": (
            Column("price", "float32", "price, or its logarithm", default=0),
            Column("change", "float32", "how much it moved in the last step"),
        )
    }
    writes = ("order", "cluster")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the herd in the market."""

        connectivity: Any = parameter(
            0.9,
            unit="1",
            bounds=(0, 2),
            meaning="mean number of links of an agent; at 1 a cluster holds a share of the market",
            source="Cont and Bouchaud 2000, 10.1017/S1365100500015029: near 1 and below",
        )
        activity: Any = parameter(
            0.01,
            unit="1",
            bounds=(0, 0.5),
            meaning="chance that a cluster buys in a step, and that it sells",
            source="guess: few orders a step",
        )
        depth: Any = parameter(
            1.0,
            unit="people",
            bounds=(1e-6, 1e12),
            meaning="excess demand that moves the price by 1",
            source="a scale: Cont and Bouchaud 2000, 10.1017/S1365100500015029",
        )

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> tuple[Any, Array]:
        """Return the parameters, and all agents in the order of their ids, int32 [rows of all devices]."""
        ids = gather_rows(tables["agents"]["id"], clock.shards)
        return params, jnp.argsort(ids, stable=True).astype(jnp.int32)

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return orders, clusters, and the new price."""
        given, order = params
        agents, market = tables["agents"], tables["globals"]
        ids, here = (gather_rows(agents[name], clock.shards) for name in ("id", "present"))
        size = order.shape[0]
        here = here[order]
        count = here.sum(dtype=jnp.int32)
        rank = jnp.where(here, jnp.cumsum(here, dtype=jnp.int32) - 1, size)
        label = clusters(key, count, size, given.connectivity)
        names = jnp.zeros(size, jnp.uint32).at[rank].set(ids[order], mode="drop")  # the id of each rank
        mine = jnp.zeros(size, jnp.uint32).at[order].set(names[label].at[rank].get(mode="fill", fill_value=0))
        cluster = jnp.where(agents["present"], own_rows(mine, clock.shards), agents["cluster"])

        drawn = agent_bits(purpose(key, "order"), cluster)
        buys = happens(drawn, threshold(given.activity))
        sells = happens(drawn, threshold(given.activity * 2)) & ~buys
        weight = jnp.where(agents["present"], agents["weight"], 0)
        bought, sold = (total(jnp.where(which, weight, 0), clock.shards) for which in (buys, sells))
        with jax.enable_x64(True):
            wanted = bought.astype(jnp.int64) - sold.astype(jnp.int64)
            demand = (wanted[0] + (wanted[1] << 32)).astype(jnp.float64) / WEIGHT_UNIT
            change = (demand / given.depth.astype(jnp.float64)).astype(jnp.float32)
        now = jnp.where(buys, BUY, jnp.where(sells, SELL, WAIT)).astype(jnp.uint8)
        return {
            "order": jnp.where(agents["present"], now, agents["order"]),
            "cluster": cluster,
            "globals": {"price": market["price"] + change, "change": jnp.full_like(market["change"], change)},
        }


def clusters(key: Key, count: Array, size: int, connectivity: Array) -> Array:
    """Return int32 [size], for each rank below `count` the smallest rank of its component in a random graph.

    As many links are tried as there are agents, each drawn with chance c / 2 between two ranks at random.

    Args:
        key: Names the draws, one for each number of a link.
        count: int32 scalar, agents that take part.
        size: Length of the result.
        connectivity: float32 scalar, mean degree c.
    """
    number = jnp.arange(size, dtype=jnp.int32)
    linked = happens(bits(purpose(key, "link"), number), threshold(connectivity / 2)) & (number < count)
    ends = [scaled_draw(bits(purpose(key, name), number), count) for name in ("one", "other")]
    one, other = (jnp.where(linked, end, number) for end in ends)  # no link: from itself to itself

    def hook(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        label, _ = carry
        least = jnp.minimum(label[one], label[other])
        new = label.at[label[one]].min(least).at[label[other]].min(least)
        new = new[new]
        return new, (new != label).any()

    label, _ = jax.lax.while_loop(lambda carry: carry[1], hook, (number, jnp.bool_(True)))
    return label


def excess_kurtosis(sizes: HostArray, activity: float) -> Any:
    """Return E D^4 / (E D^2)^2 - 3 of the excess demand over draws of clusters, from their sizes [draws, clusters].

    Args:
        sizes: People of the clusters, zeros behind them.
        activity: Chance that a cluster buys in a step, and that it sells.
    """
    squares, fourths = (sizes**2).sum(-1), (sizes**4).sum(-1)
    second = 2 * activity * squares
    fourth = 2 * activity * fourths + 3 * (2 * activity) ** 2 * (squares**2 - fourths)
    return fourth.mean() / second.mean() ** 2 - 3
