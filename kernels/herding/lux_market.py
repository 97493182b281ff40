r"""Lux's speculators: optimists and pessimists who catch each other's mood, and watch where the price goes.

.. math::
    P(\text{pessimist} \to \text{optimist}) &= 1 - e^{-v e^{U} \Delta t},\qquad
    P(\text{optimist} \to \text{pessimist}) = 1 - e^{-v e^{-U} \Delta t} \\
    U &= a_0 + a_1 x + \frac{a_2}{v} \frac{dp}{dt},\qquad
    \frac{dp}{dt} = \beta \left[x T_N + T_F (p_f - p)\right]

Synchronous. x = (optimists - pessimists) / all is of the people present (agents by weight). Optimists buy and
pessimists sell T_N together, fundamentalists buy T_F for every unit that the price p lies below the fundamental value
p_f, and market makers let the price follow the excess demand. In a step the market comes first: with x as it is the
price moves by the solution of its equation, so that steps may be longer than the :math:`1 / \beta T_F` in which it
relaxes; then traders switch by the mood, and by the mean dp/dt of this very step. Both are the paper's as the step
shrinks.

Without a layer, or under complete mixing, U has the x of everybody: the paper. On a network it has the mean over the
trader's present neighbours (0 where there are none): contagion that is local; the price follows everybody all the same.
Policy that leaves a share s of a layer's contacts leaves s a_1.

With a_0 = 0 the balance :math:`x = \tanh(a_1 x)`, :math:`p = p_f + x T_N / T_F` has three points where a_1 > 1, and
x = 0 alone where it is smaller. That one loses its hold, and prices swing about p_f, where

.. math:: 2 \left[v (a_1 - 1) + a_2 \beta T_N\right] > \beta T_F

Without the trend (a_2 = 0) x of N traders has the law of the Curie-Weiss magnet, weights
:math:`\binom{N}{k} e^{N a_1 x^2 / 2}`.

Reference: T. Lux, 1995, "Herd behaviour, bubbles and crashes", The Economic Journal 105(431), 881-896,
doi:10.2307/2235156. Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer, one_layer
from lpm.ops.groups import total
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.ops.neighbours import sum_neighbours
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

RULE = "the rule: T. Lux, 1995, doi:10.2307/2235156; the value: guess"
PESSIMIST, OPTIMIST = range(2)


@register
class LuxMarket(Kernel):
    """Moods of speculators, and the price that they move."""

    name = "lux-market"
    columns = (Column("mood", "uint8", "what the speculator expects", levels=("pessimist", "optimist")),)
    tables = {
        "globals": (
            Column("price", "float32", "price, or its logarithm", default=0),
            Column("change", "float32", "how much it moved in the last step"),
            Column("fundamental", "float32", "fundamental value that it was drawn to in the last step"),
        )
    }
    writes = ("mood",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of Lux's market."""

        speed: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(1e-6, 1e3),
            meaning="rate at which a trader without a reason switches (v)",
            source=RULE,
        )
        bias: Any = parameter(
            0.0,
            unit="1",
            bounds=(-10, 10),
            meaning="disposition that all traders share, positive = optimistic (a0)",
            source=RULE,
        )
        contagion: Any = parameter(
            0.8,
            unit="1",
            bounds=(0, 10),
            meaning="strength of infection by the mood of others (a1); above 1 crowds hold their mood by themselves",
            source=RULE,
        )
        trend: Any = parameter(
            0.75,
            unit="1",
            bounds=(0, 1e3),
            meaning="weight of the change of the price, by that of one unit in the time 1 / speed (a2)",
            source=f"{RULE} (with the other defaults the price swings)",
        )
        adjustment: Any = parameter(
            0.2,
            unit="1/day",
            bounds=(0, 1e3),
            meaning="how fast market makers move the price by an excess demand of 1 (beta)",
            source=RULE,
        )
        speculation: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1e3),
            meaning="what all speculators trade together (T_N)",
            source=RULE,
        )
        fundamentalists: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 1e3),
            meaning="what fundamentalists trade where the price is off by 1 (T_F)",
            source=RULE,
        )
        fundamental: Any = parameter(
            0.0,
            unit="1",
            bounds=(-1e4, 1e4),
            meaning="fundamental value, in the price's unit (p_f); the price begins there",
            source="a scale; guess",
        )
        initial: Any = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="share of optimists at the start", source="guess", initial=True
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return first moods, and a price at the fundamental value."""
        agents, market = tables["agents"], tables["globals"]
        drawn = happens(agent_bits(purpose(key, "initial"), agents["id"]), threshold(params.initial))
        begins = {"price": params.fundamental, "change": 0, "fundamental": params.fundamental}
        return {
            "mood": (drawn & agents["present"]).astype(jnp.uint8),
            "globals": {name: jnp.full_like(market[name], value) for name, value in begins.items()},
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return the moods and the price after one step.

        Raises:
            InputError: Several layers, among which a neighbour could not be counted once.
        """
        layer = one_layer(networks, cls.name) if networks else None
        agents, market = tables["agents"], tables["globals"]
        mood, here = agents["mood"], agents["present"]
        x = excess(agents, clock.shards)
        heard = x if layer is None or layer.complete else _nearby(layer, mood, here)
        scale = jnp.float32(1) if layer is None else layer.scale.reshape(())
        # float64, rounded to float32 or to a threshold in the end: no backend's fused or vectorized sums show
        with jax.enable_x64(True):
            slope = trend(x, market["price"].reshape(()), params, clock.dt)
            change = (slope * clock.dt).astype(jnp.float32)
            speed = params.speed.astype(jnp.float64)
            reason = params.bias.astype(jnp.float64) + params.trend.astype(jnp.float64) / speed * slope
            reason = reason + params.contagion.astype(jnp.float64) * scale.astype(jnp.float64) * heard
            up, down = ((speed * clock.dt * jnp.exp(u)).astype(jnp.float32) for u in (reason, -reason))
        chances = jnp.where(mood == OPTIMIST, *(event_threshold(hazard_units(rate)) for rate in (down, up)))
        switches = happens(agent_bits(purpose(key, "switch"), agents["id"]), chances) & here
        return {
            "mood": mood ^ switches.astype(jnp.uint8),
            "globals": {
                "price": market["price"] + change,
                "change": jnp.full_like(market["change"], change),
                "fundamental": jnp.full_like(market["fundamental"], params.fundamental),
            },
        }


def excess(agents: Columns, shards: int = 1) -> Array:
    """Return float64, (optimists - pessimists) / all of the people present; 0 where nobody is."""
    weight = jnp.where(agents["present"], agents["weight"], 0)
    sums = (total(weight, shards), total(jnp.where(agents["mood"] == OPTIMIST, weight, 0), shards))
    with jax.enable_x64(True):
        everybody, optimists = (pair[0].astype(jnp.int64) + (pair[1].astype(jnp.int64) << 32) for pair in sums)
        return (2 * optimists - everybody).astype(jnp.float64) / jnp.maximum(everybody, 1).astype(jnp.float64)


def trend(x: Array, price: Array, params: Any, dt: float) -> Array:
    """Return float64, the mean dp/dt over a step in which x stays, in the price's unit a day; under `enable_x64`.

    The price tends to its balance by 1 - exp(-z) of the way, z = beta T_F dt; without fundamentalists (z = 0) it moves
    steadily.

    Args:
        x: float64 scalar, excess of optimists.
        price: float32 scalar, price before the step.
        params: Parameters of the kernel.
        dt: Length of the step in days.
    """
    beta, sold, drawn, value = (
        each.astype(jnp.float64)
        for each in (params.adjustment, params.speculation, params.fundamentalists, params.fundamental)
    )
    z = beta * drawn * dt
    gone = jnp.where(z > 0, -jnp.expm1(-z) / jnp.where(z > 0, z, 1.0), 1.0)
    return beta * (x * sold + drawn * (value - price.astype(jnp.float64))) * gone


def _nearby(layer: Layer, mood: Array, here: Array) -> Array:
    """Return float64 [rows], the excess of optimists among each trader's present neighbours; 0 where there are none."""
    side = jnp.where(here, 2 * mood.astype(jnp.int8) - 1, 0)  # a byte to fetch
    sums, count = sum_neighbours(layer, lambda theirs, ours, arc: theirs, (side, here))
    with jax.enable_x64(True):
        return sums.astype(jnp.float64) / jnp.maximum(count, 1).astype(jnp.float64)
