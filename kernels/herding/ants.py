r"""Kirman's ants: two sources of food, and ants that change over by themselves or follow one that they meet.

.. math::
    P(k \to k+1) &= \left(1 - \tfrac{k}{N}\right)\left(\varepsilon + (1-\delta)\,\tfrac{k}{N-1}\right) \\
    P(k \to k-1) &= \tfrac{k}{N}\left(\varepsilon + (1-\delta)\,\tfrac{N-k}{N-1}\right)

One event per meeting, `meetings` of them a day: an ant drawn at random changes its source with chance
:math:`\varepsilon`, else, with chance :math:`1-\delta`, takes the source of another one drawn at random. So
:math:`\varepsilon + 1 - \delta \le 1`. The number k at the second source has exactly the beta-binomial law
with both parameters :math:`\varepsilon (N-1)/(1-\delta)`: with fewer than 1 the ants crowd at one source and change
over from time to time. Ants are the present agents in the order of their ids, whatever people they stand for.

Reference: A. Kirman, 1993, doi:10.2307/2118498. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.collective import gather_rows, own_rows
from lpm.ops.hazard import scaled_draw
from lpm.population import Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables


@register
class Ants(Kernel):
    """Recruitment between two sources."""

    name = "ants"
    columns = (Column("source", "uint8", "source that the ant feeds at", levels=("first", "second")),)
    writes = ("source",)
    schedule = "one event"
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the ants."""

        epsilon: Any = parameter(
            0.002,
            unit="1",
            bounds=(0, 1),
            meaning="chance that an ant changes over by itself in its meeting",
            source="Kirman 1993, 10.2307/2118498 (one of his simulations, 100 ants)",
            prior=("lognormal", 0.002, 0.5),
        )
        delta: Any = parameter(
            0.01,
            unit="1",
            bounds=(0, 1),
            meaning="chance that an ant is not won over by the one it meets",
            source="Kirman 1993, 10.2307/2118498 (one of his simulations, 100 ants)",
        )
        meetings: Any = parameter(
            1_000.0,
            unit="1/day",
            bounds=(0, 1e8),
            meaning="meetings of the whole colony a day; with one a step every step is one meeting",
            source="guess",
        )
        initial: Any = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="share at the second source at first", source="guess", initial=True
        )

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Raise `InputError` where the two chances of a meeting are more than 1 together."""
        if float(params.epsilon) > float(params.delta) + 1e-6:
            raise InputError(
                f"{where}: expected epsilon of at most delta (epsilon + 1 - delta is a chance), "
                f"got epsilon {float(params.epsilon):g} and delta {float(params.delta):g}"
            )

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> tuple[Any, Array]:
        """Return the parameters, and all ants in the order of their ids, int32 [rows of all devices]."""
        ids = gather_rows(tables["agents"]["id"], clock.shards)
        return params, jnp.argsort(ids, stable=True).astype(jnp.int32)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return a share of the ants at the second source."""
        agents = tables["agents"]
        second = happens(agent_bits(purpose(key, "initial"), agents["id"]), threshold(params[0].initial))
        return {"source": (second & agents["present"]).astype(jnp.uint8)}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the sources after the meetings of this step, which every device goes through alike."""
        given, order = params
        agents = tables["agents"]
        source, here = (gather_rows(agents[name], clock.shards) for name in ("source", "present"))
        size = order.shape[0]
        here = here[order]
        count = here.sum(dtype=jnp.int32)
        rank = jnp.where(here, jnp.cumsum(here, dtype=jnp.int32) - 1, size)
        ants = jnp.zeros(size, jnp.int32).at[rank].set(order, mode="drop")  # position of the ant of each rank

        who, met, event = (purpose(key, name) for name in ("who", "met", "event"))
        alone, either = threshold(given.epsilon), threshold(given.epsilon + (1 - given.delta))

        def meeting(number: Array, colony: Array) -> Array:
            first = scaled_draw(bits(who, number), count)
            second = scaled_draw(bits(met, number), jnp.maximum(count - 1, 0))
            second = jnp.minimum(second + (second >= first), size - 1)  # another one
            own, drawn = colony[first], bits(event, number)
            follows = jnp.where(happens(drawn, either) & (count > 1), colony[second], own)
            return colony.at[first].set(jnp.where(happens(drawn, alone), 1 - own, follows))

        colony = jax.lax.fori_loop(0, _meetings(given.meetings, clock), meeting, source[ants])
        moved = jnp.zeros(size, jnp.uint8).at[order].set(colony.at[rank].get(mode="fill", fill_value=0))
        return {"source": jnp.where(agents["present"], own_rows(moved, clock.shards), agents["source"])}


def _meetings(rate: Array, clock: Any) -> Array:
    """Return int32, how many of a steady rate a day fall in this step: whole numbers that add up over steps."""
    with jax.enable_x64(True):
        a_step = rate.astype(jnp.float64) * clock.dt
        ends = [jnp.floor(a_step * (clock.step + more).astype(jnp.float64)) for more in (0, 1)]
        return (ends[1] - ends[0]).astype(jnp.int32)
