r"""Social-influence voting: visitors see items in an order and the score of each, and vote up, down or not.

.. math::
    P(\text{item at place } r) &\propto r^{-b},\qquad a(s) = |s|^g\ \text{where}\ s \ne 0,\quad a(0) = 0 \\
    P(\text{up} \mid s) &= u\,e^{\theta}\,(1 + a(s)\,(h_u [s > 0] + c [s < 0])) \\
    P(\text{down} \mid s) &= d\,e^{-\theta}\,(1 + a(s)\,h_d [s < 0])

Synchronous: in a step every agent comes with chance :math:`1 - e^{-v\Delta t}`, looks at one item that is there and
votes by its score s = up - down of the step before. Counts are people: the look and the vote of an agent count as
often as people it stands for. An agent may meet an item again: agents are page views, not accounts. Items are the rows
of table "items", one every `spacing` days, each with the votes up that its submitter gives it (`own`); a random share
of them begins with one vote up more, another share with one down, the rest is the control.

`SITES` holds one set of values a site, fitted to published *final* effects, the mean score at the end less the vote of
the treatment against the control's: "muchnik", comments in no order (L. Muchnik, S. Aral and S. J. Taylor, 2013,
Science 341:647, doi:10.1126/science.1240466): up-treated + 25 %, down-treated as control; the first viewer + 32 %.
"reddit-posts" and "reddit-comments" (M. Glenski and T. Weninger, 2017, ACM Transactions on Intelligent Systems and
Technology 8(6), doi:10.1145/2963104): + 11.02 % and - 5.15 %, no effect and - 37.4 %. Looks by place: M. Glenski, C.
Pennycuff and T. Weninger, 2017, "Consumers and Curators: Browsing and Voting Patterns on Reddit", IEEE Transactions on
Computational Social Systems, arXiv:1703.05267. The orders are Reddit's hot score in its two published forms, see
`hot_score`, the newest first, or none (Reddit's order of comments is not among them). Draws are hard: gradients by
common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.choice import cumulative_thresholds
from lpm.ops.groups import sum_by_group
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import ALWAYS, Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Tables

CONTROL, UP, DOWN = range(3)
EPOCH = 1_134_028_003
"""Second of Unix time from which Reddit's hot score counts (8 December 2005)."""

MUCHNIK = "Muchnik et al. 2013, 10.1126/science.1240466"
FITTED = "fitted here to the final effects of"
ORDERS = ("hot", "hot-old", "new", "none")
SITES: Mapping[str, Mapping[str, float | str]] = {
    "muchnik": {"order": "none", "herd_up": 0.32, "growth": 0.74, "herd_down": 0.3, "correction": 0.393, "own": 0.0},
    "reddit-posts": {
        "order": "hot", "herd_up": 0.1, "growth": 0.0, "herd_down": 0.3, "correction": 0.0, "own": 1.0, "down": 0.015,
        "bias": 0.602, "spacing": 0.125,
    },
    "reddit-comments": {
        "order": "none", "herd_up": 1.248, "growth": 0.0, "herd_down": 0.3, "correction": 0.0, "own": 1.0,
        "down": 0.005,
    },
}  # fmt: skip
"""Values by site, of those of `Params` that are not named the defaults. What was fitted: growth and correction; herd_up
and down; herd_up. They hold for so many looks at an item in the mean: 40 (3.05 votes are published: 308,515 on 101,281
comments), 75, and 20; of Reddit no such figure was at hand: guesses. Steps of half a day, 8 posts a day on Reddit."""


def hot_score(up: Array, down: Array, seconds: Array, form: str = "hot") -> Array:
    """Return Reddit's hot score, float64 [items], rounded to 7 digits; call it under `jax.enable_x64`.

    Args:
        up: Votes up [items], people.
        down: Votes down [items], people.
        seconds: float64 [items], Unix time of submission less `EPOCH`.
        form: "hot", sign(s) log10(max(|s|, 1)) + seconds / 45000, as in Reddit's later code; or "hot-old",
            log10(max(|s|, 1)) + sign(s) seconds / 45000, as in its first one (github.com/reddit-archive/reddit), where
            an item of negative score falls behind all others and a score of 0 loses its time.
    """
    score = up.astype(jnp.float64) - down.astype(jnp.float64)
    order, sign, time = jnp.log10(jnp.maximum(jnp.abs(score), 1.0)), jnp.sign(score), seconds / 45_000.0
    return jnp.round(sign * order + time if form == "hot" else order + sign * time, 7)


@register
class SocialVoting(Kernel):
    """Votes on items, some of which began with a vote that nobody cast."""

    name = "social-voting"
    columns = (
        Column("vote", "uint8", "what the last look led to", levels=("none", "up", "down")),
        Column("seen", "uint8", "treatment of the item looked at", levels=("nothing", "control", "up", "down")),
    )
    tables = {
        "items": (
            Column("treatment", "uint8", "vote that it began with", levels=("control", "up", "down")),
            Column("quality", "float32", "log of how much oftener it is voted up", bounds=(-5, 5)),
            Column("born", "int32", "step at which it was submitted", unit="step"),
            *(
                part
                for name, meaning in (
                    ("up", "votes up, the first included"),
                    ("down", "votes down"),
                    ("looks", "looks"),
                )
                for part in (
                    Column(name, "int32", meaning, unit="people", bounds=(0, 2**31 - 1)),
                    Column(f"{name}_part", "uint16", f"of {name} beside whole people", unit="1/65536 person"),
                )
            ),
        )
    }
    writes = ("vote", "seen")
    gradient = "common random numbers"

    @partial(
        jax.tree_util.register_dataclass,
        data_fields=[
            "up", "down", "herd_up", "growth", "herd_down", "correction", "bias", "visits",
            "own", "treated_up", "treated_down", "spacing", "since",
        ],
        meta_fields=["order"],
    )  # fmt: skip
    @dataclass(frozen=True)
    class Params:
        """Parameters of the votes."""

        up: Any = parameter(
            0.0513,
            unit="1",
            bounds=(0, 1),
            meaning="chance of a vote up at score 0",
            source="guess; gives 3.05 votes in 40 looks",
        )
        down: Any = parameter(0.01, unit="1", bounds=(0, 1), meaning="chance of a vote down at score 0", source="guess")
        herd_up: Any = parameter(
            0.32, unit="1", bounds=(0, 10), meaning="more votes up where the score is above 0", source=MUCHNIK
        )
        growth: Any = parameter(
            0.74,
            unit="1",
            bounds=(0, 1),
            meaning="power of the score with which herds grow",
            source=f"{FITTED} {MUCHNIK}",
        )
        herd_down: Any = parameter(
            0.3, unit="1", bounds=(0, 10), meaning="more votes down where the score is below 0", source="guess"
        )
        correction: Any = parameter(
            0.393,
            unit="1",
            bounds=(0, 10),
            meaning="more votes up where the score is below 0",
            source=f"{FITTED} {MUCHNIK}",
        )
        order: str = parameter(
            "none", unit="1", choices=ORDERS, meaning="order in which items stand", source=f"{MUCHNIK}: not by score"
        )
        bias: Any = parameter(
            0.602,
            unit="1",
            bounds=(0, 5),
            meaning="looks fall with the place to this power; not where items have no order",
            source="4 times as many at place 1 as at 10: Glenski, Pennycuff and Weninger 2017, arXiv:1703.05267",
        )
        visits: Any = parameter(0.1, unit="1/day", bounds=(0, 1e3), meaning="rate of an agent's looks", source="guess")
        own: Any = parameter(
            0.0, unit="people", bounds=(0, 1), meaning="votes up of an item's submitter", source="guess", initial=True
        )
        treated_up: Any = parameter(
            0.04, unit="1", bounds=(0, 1), meaning="share that begins with a vote up", source=MUCHNIK, initial=True
        )
        treated_down: Any = parameter(
            0.0192, unit="1", bounds=(0, 1), meaning="share that begins with one down", source=MUCHNIK, initial=True
        )
        spacing: Any = parameter(
            0.0,
            unit="day",
            bounds=(0, 1e4),
            meaning="time between items; 0 = all at once",
            source="guess",
            initial=True,
        )
        since: Any = parameter(
            1810.0,
            unit="day",
            bounds=(0, 1e5),
            meaning="days from 8 December 2005 to the first step; only the old hot score depends on it",
            source="guess: November 2010, when the old form was published",
            initial=True,
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return agents who have seen nothing, and items with the votes that they begin with."""
        agents, items = tables["agents"], tables["items"]
        names = jnp.arange(items["up"].shape[0], dtype=jnp.uint32)
        drawn = bits(purpose(key, "treatment"), names)
        up = happens(drawn, threshold(params.treated_up))
        down = happens(drawn, threshold(params.treated_up + params.treated_down)) & ~up
        born = jnp.floor(names.astype(jnp.float32) * (params.spacing / jnp.float32(clock.dt))).astype(jnp.int32)
        return {
            "vote": jnp.zeros_like(agents["vote"]),
            "seen": jnp.zeros_like(agents["seen"]),
            "items": {
                **{name: jnp.zeros_like(items[name]) for name in ("looks", "looks_part", "down_part")},
                "treatment": jnp.where(up, UP, jnp.where(down, DOWN, CONTROL)).astype(jnp.uint8),
                "born": born,
                "up": up.astype(jnp.int32) + jnp.floor(params.own).astype(jnp.int32),
                "up_part": jnp.zeros_like(items["up_part"]) + ((params.own % 1) * WEIGHT_UNIT).astype(jnp.uint16),
                "down": down.astype(jnp.int32),
            },
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return votes and items after one step."""
        agents, items = tables["agents"], tables["items"]
        ids, count = agents["id"], items["up"].shape[0]
        places, limits, there = exposure(items, params, clock)
        comes = happens(
            agent_bits(purpose(key, "visit"), ids), event_threshold(hazard_units(params.visits * jnp.float32(clock.dt)))
        )
        looks = comes & agents["present"] & (there > 0)
        drawn = jnp.minimum(agent_bits(purpose(key, "item"), ids), jnp.uint32(ALWAYS - 1))
        item = places[jnp.searchsorted(limits, drawn, side="right").astype(jnp.int32)]

        likes, dislikes = vote_chances(items, params)
        either = threshold(likes + dislikes)
        drawn = agent_bits(purpose(key, "vote"), ids)
        up = happens(drawn, threshold(likes)[item])
        down = happens(drawn, either[item]) & ~up

        def counted(name: str, who: Array) -> dict[str, Array]:
            more = sum_by_group(jnp.where(who & looks, agents["weight"], 0), item, count, clock.shards)
            with jax.enable_x64(True):
                known = items[name].astype(jnp.int64) * WEIGHT_UNIT + items[f"{name}_part"].astype(jnp.int64)
                known = known + more[:, 0].astype(jnp.int64) + (more[:, 1].astype(jnp.int64) << 32)
                whole, part = (known // WEIGHT_UNIT).astype(jnp.int32), (known % WEIGHT_UNIT).astype(jnp.uint16)
            return {name: whole, f"{name}_part": part}

        vote = jnp.where(up, UP, jnp.where(down, DOWN, CONTROL)).astype(jnp.uint8)
        return {
            "vote": jnp.where(looks, vote, agents["vote"]),
            "seen": jnp.where(looks, items["treatment"][item] + jnp.uint8(1), agents["seen"]),
            "items": {**counted("up", up), **counted("down", down), **counted("looks", looks)},
        }


def vote_chances(items: Mapping[str, Array], params: Any) -> tuple[Array, Array]:
    """Return float32 [items], the chances of a vote up and of one down; together at most 1, by cutting those down."""
    parts = items["up_part"].astype(jnp.int32) - items["down_part"].astype(jnp.int32)
    score = (items["up"] - items["down"]).astype(jnp.float32) + parts.astype(jnp.float32) / WEIGHT_UNIT
    size = jnp.abs(score)
    amount = jnp.where(size > 0, jnp.where(size > 0, size, 1.0) ** params.growth, 0.0)
    above, below = amount * (score > 0), amount * (score < 0)
    liked = params.up * jnp.exp(items["quality"]) * (1 + params.herd_up * above + params.correction * below)
    disliked = params.down * jnp.exp(-items["quality"]) * (1 + params.herd_down * below)
    liked = jnp.minimum(liked, 1.0)
    return liked, jnp.minimum(disliked, 1 - liked)


def exposure(items: Mapping[str, Array], params: Any, clock: Any) -> tuple[Array, Array, Array]:
    """Return the items in their order, the cumulative chances of the places as thresholds, and how many are there."""
    born, count = items["born"], items["up"].shape[0]
    there = born <= clock.step
    with jax.enable_x64(True):
        if params.order in ("hot", "hot-old"):
            seconds = (born.astype(jnp.float64) * clock.dt + params.since.astype(jnp.float64)) * 86_400.0
            up, down = (items[n].astype(jnp.float64) + items[f"{n}_part"] / float(WEIGHT_UNIT) for n in ("up", "down"))
            rating = hot_score(up, down, seconds, params.order)
        else:
            rating = born.astype(jnp.float64) if params.order == "new" else jnp.zeros(count, jnp.float64)
        places = jnp.argsort(jnp.where(there, -rating, jnp.inf), stable=True).astype(jnp.int32)
    seen = there.sum(dtype=jnp.int32)
    place = jnp.arange(1, count + 1, dtype=jnp.float32)
    power = jnp.float32(0) if params.order == "none" else params.bias
    weights = jnp.where(place <= seen, place**-power, 0)
    return places, cumulative_thresholds(weights), seen
