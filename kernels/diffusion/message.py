r"""Message: posts seen in a feed that fades, by agents with a daily rhythm, under moderation of three kinds.

.. math:: P(\text{visit}) = 1 - e^{-v\, h_i(t)\,\Delta t},\qquad P(\text{post} \mid \text{visit}) = 1 - (1 - p)^{V E_i}

.. math:: E_i(t + \Delta t) = e^{-\phi\Delta t} E_i(t)\,[\text{no visit}] + \sum_{j \to i} b_j\, o_{ji}

Synchronous. b is 1 for an agent that posts in this step. Its followers keep the exposure E, which fades at rate
:math:`\phi`, until their next visit; there each exposure left is a try of chance p (the message's `appeal`), and the
feed is read. h is the agent's hourly activity (column `activity`, as a share of the most) times the common
rhythm, averaged over the step. Who visits in every step with nothing faded is in an independent cascade.

Moderation of a `violating` message. *Message*: a label scales its visibility V, and it is taken down for good
once it was posted by `takedown` people. *Node*: a post is detected with chance d as a strike, and an agent with `ban`
strikes posts no more, nor is its last post shown. *Edge*: a follower objects to each of
the posts it is sent with chance r, and cuts the tie at the `cut`-th objection: after n posts it is open,
:math:`o_{ji} = 1`, with chance :math:`P(\mathrm{Bin}(n, r) < \text{cut})`, compared with one draw that the arc keeps.
An arc needs no memory for this, and the law of its end is exact. Strikes may be shared by several messages (instances
with their own stage, exposure, posts and token).

Reference: OASIS, Z. Yang et al., 2024, doi:10.48550/arXiv.2411.11581 (activity by the hour, fading); the cascade:
D. Kempe, J. Kleinberg and E. Tardos, 2003, doi:10.1145/956750.956769. Draws are hard: gradients by common random
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.diffusion.contagion import ONE
from lpm.kernels.diffusion.exposure import chance_hazard, seeded
from lpm.network import Layer
from lpm.ops.groups import weighted_sum_by_group
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.ops.neighbours import sum_neighbours
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import ALWAYS, Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

UNAWARE, AWARE, POSTED = range(3)
FULL = 255
"""`activity` of 255 is the most; `posts` and `strikes` are counted up to 255."""
MOST = 65_535.0
"""Exposures that a feed holds."""
_WORDS: Any = np.array((0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89), np.uint32)
ARC = Key(_WORDS)
"""Key of the draws that arcs keep (digits of pi); what makes them random are the tokens of their two agents."""


def _share(default: float, meaning: str, source: str = "guess", **more: Any) -> Any:
    return parameter(default, unit="1", bounds=(0, 1), meaning=meaning, source=source, **more)


@register
class Message(Kernel):
    """One message, handed on by posting."""

    name = "message"
    columns = (
        Column("stage", "uint8", "what the agent did", levels=("unaware", "aware", "posted")),
        Column("exposure", "float32", "posts in the feed, faded", unit="posts", bounds=(0, MOST)),
        Column("posts", "uint8", "posts of the message by the agent"),
        Column("strikes", "uint8", "posts of the agent that were found to violate rules"),
        Column("token", "uint32", "random; two of them name the draw that an arc keeps"),
        Column("activity", "uint8", "hourly activity, 255 = the most", unit="1/255", shape=(24,), default=FULL),
    )
    writes = ("stage", "exposure", "posts", "strikes", "token")

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of a message."""

        appeal: Any = _share(0.05, "chance that an exposure that is read is posted on (p)", prior=("beta", 2, 38))
        visits: Any = parameter(
            4.8,
            unit="1/day",
            bounds=(0, 1e4),
            meaning="visits to the feed at full activity (v)",
            source="0.01 a step of 3 minutes: OASIS, sec. 3.5, doi:10.48550/arXiv.2411.11581",
            prior=("lognormal", 4.8, 0.5),
        )
        fading: Any = parameter(
            4.0, unit="1/day", bounds=(0, 1e4), meaning="rate at which exposures fade (phi)", source="guess"
        )
        night: Any = _share(0.0, "by how much the common rhythm falls twelve hours from its peak")
        peak: Any = parameter(20.0, unit="h", bounds=(0, 24), meaning="hour of the common peak", source="guess")
        begins: Any = parameter(0.0, unit="h", bounds=(0, 24), meaning="hour of the day at step 0", source="guess")
        repeat: Any = _share(0.0, "1: an agent may post it again, 0: once")
        violating: Any = _share(1.0, "1: the message violates rules and is moderated, 0: not")
        visibility: Any = _share(1.0, "tries left of an exposure to a violating message, under a label (V)")
        takedown: Any = parameter(
            0.0,
            unit="people",
            bounds=(0, 1e10),
            meaning="posts after which it is taken down; 0 = never",
            source="guess",
        )
        detection: Any = _share(1.0, "chance that a violating post is a strike (d)")
        ban: Any = parameter(0.0, unit="1", bounds=(0, 255), meaning="strikes that ban; 0 = never", source="guess")
        report: Any = _share(0.1, "chance that a follower objects to a violating post (r)")
        cut: Any = parameter(
            0.0, unit="1", bounds=(0, 255), meaning="objections that cut a tie; 0 = never", source="guess"
        )
        initial: Any = _share(0.001, "share that posts at the start", initial=True)

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return the parameters, the rhythm [24] of 0 to 255, and thresholds [256]: an arc is open after n posts."""
        hours = jnp.arange(24, dtype=jnp.float32)
        low = (1 - jnp.cos((hours - params.peak) * np.float32(math.pi / 12))) / 2
        rhythm = jnp.round(FULL * (1 - params.night * low)).astype(jnp.int32)
        n, k = jnp.arange(FULL + 1, dtype=jnp.float32), jnp.maximum(jnp.ceil(params.cut), 1)
        few = jax.scipy.special.betainc(jnp.maximum(n - k + 1, 1), k, 1 - params.report)
        still = jnp.where((n < k) | (params.cut <= 0) | (params.violating <= 0.5), 1.0, few)
        return params, rhythm, threshold(jax.lax.cummin(still))

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the first posts, a share of the agents, and the tokens."""
        agents = tables["agents"]
        posted = seeded(key, agents, params[0].initial)
        return {
            "stage": posted * jnp.uint8(POSTED),
            "exposure": jnp.zeros_like(agents["exposure"]),
            "posts": posted,
            "strikes": _struck(key, agents, posted == 1, params[0]),
            "token": agent_bits(purpose(key, "token"), agents["id"]),
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the feeds, posts and strikes after one step.

        Raises:
            InputError: A layer of complete mixing, which has no arcs to follow or to cut.
        """
        values, rhythm, still = params
        agents = tables["agents"]
        stage, posts, here = agents["stage"], agents["posts"], agents["present"]
        moderated = values.violating > 0.5
        gone = moderated & (values.takedown > 0) & (_people(agents, clock.shards) >= values.takedown)
        kept = jnp.exp(-values.fading * np.float32(clock.dt)) * np.float32(2.0**16)
        feed = jnp.where(gone, 0, jnp.floor(agents["exposure"] * kept) * np.float32(2.0**-16))

        visit = event_threshold(hazard_units(_active_days(agents, rhythm, values, clock) * values.visits))
        reads = happens(agent_bits(purpose(key, "visit"), agents["id"]), visit) & here
        able = ~_banned(agents["strikes"], values) & ((stage < POSTED) | (values.repeat > 0.5))
        tries = chance_hazard(values.appeal) * jnp.where(moderated, values.visibility, 1)
        chance = event_threshold(hazard_units(tries * feed))
        post = happens(agent_bits(purpose(key, "post"), agents["id"]), chance) & reads & able
        after = jnp.where((stage == UNAWARE) & reads & (feed > 0), jnp.uint8(AWARE), stage)
        after = jnp.where(post, jnp.uint8(POSTED), after)
        strikes = _struck(key, agents, post, values)

        first = clock.step == 0  # those who posted at the start are heard now
        shown = (post | (first & (stage == POSTED))) & here & ~_banned(strikes, values) & ~gone
        opened = still.at[jnp.where(first, 0, posts.astype(jnp.int32))].get(mode="promise_in_bounds")
        follows = here & ~_banned(strikes, values) & ((after < POSTED) | (values.repeat > 0.5))
        feed = jnp.where(reads | ~follows, 0, feed)
        for name, layer in networks.items():
            if layer.complete:
                raise InputError(f"kernel 'message': layer '{name}' is complete mixing, which has no arcs")
            weight = layer.scale.reshape(()) * np.float32(1 if "intensity" in layer.columns else ONE)
            count = sum_neighbours(layer, _sent, (shown, agents["token"], opened), agents["token"], where=follows)
            feed = feed + jnp.round(count.astype(jnp.float32) * weight) * np.float32(1 / ONE)
        return {
            "stage": after,
            "exposure": jnp.where(here, jnp.minimum(feed, np.float32(MOST)), agents["exposure"]),
            "posts": posts + (post & (posts < FULL)).astype(jnp.uint8),
            "strikes": strikes,
            "token": agents["token"],
        }


def _banned(strikes: Array, values: Any) -> Array:
    """Return bool [rows], who posts no more."""
    return (values.violating > 0.5) & (values.ban > 0) & (strikes.astype(jnp.float32) >= values.ban)


def _struck(key: Key, agents: Columns, post: Array, values: Any) -> Array:
    """Return the strikes with those of new posts."""
    found = happens(agent_bits(purpose(key, "detection"), agents["id"]), threshold(values.detection))
    struck = post & found & (values.violating > 0.5) & (agents["strikes"] < FULL)
    return agents["strikes"] + struck.astype(jnp.uint8)


def _people(agents: Columns, shards: int) -> Array:
    """Return float32, the posts so far in people."""
    weight = jnp.where(agents["present"], agents["weight"], 0)
    posts, all_alike = agents["posts"].astype(jnp.float32), jnp.zeros(weight.shape, jnp.int32)
    low, high = weighted_sum_by_group(posts, weight, all_alike, 1, 0, shards)[0]
    return high.astype(jnp.float32) * np.float32(2.0**32 / WEIGHT_UNIT) + low.astype(jnp.float32) / WEIGHT_UNIT


def _active_days(agents: Columns, rhythm: Array, values: Any, clock: Any) -> Array:
    """Return float32 [rows], days of full activity in this step: activity times rhythm, mean over the step's hours."""
    hours = min(max(round(clock.dt * 24), 1), 24)
    seconds = clock.step * np.int32(round(clock.dt * 86_400)) + (values.begins * 3_600).astype(jnp.int32)
    at = (seconds // 3_600 + jnp.arange(hours, dtype=jnp.int32)) % 24
    level = agents["activity"].at[:, at].get(mode="promise_in_bounds").astype(jnp.int32)
    share = (level * rhythm.at[at].get(mode="promise_in_bounds")[None, :]).sum(1)
    return share.astype(jnp.float32) * np.float32(clock.dt / (hours * FULL * FULL))


def _sent(source: Any, token: Array, columns: Mapping[str, Array]) -> Array:
    """Return 1 (or the arc's intensity) where the source posted and the arc is open after so many of its posts."""
    shown, theirs, limit = source
    sent = shown & (jnp.minimum(bits(ARC, theirs, token), np.uint32(ALWAYS - 1)) < limit)
    return sent.astype(jnp.int32) * columns["intensity"].astype(jnp.int32) if "intensity" in columns else sent
