r"""Message: posts seen in a feed that fades, by agents with a daily rhythm, under moderation of three kinds.

.. math:: P(\text{visit}) = 1 - e^{-v\, h_i(t)\,\Delta t},\qquad P(\text{post} \mid \text{visit}) = 1 - (1 - p)^{V E_i}

.. math:: E_i(t + \Delta t) = e^{-\phi\Delta t} E_i(t)\,[\text{no visit}] + \sum_{j \to i} b_j\, o_{ji}\, (1 - x_{ji})

Synchronous. b is 1 for an agent that posts in this step. Its followers keep the exposure E, which fades at rate
:math:`\phi`, until their next visit; there each exposure left is a try of chance p (the message's `appeal`), and the
feed is read. h is the agent's hourly activity (column `activity`, as a share of the most) times the common
rhythm, averaged over the step. Who has posted the message posts it again at a visit with chance :math:`r\,e^{-\tau s}`
(`repeat`, `tiring`), s after its first post (at any time of a step), at most 32 times. Who visits in every step with
nothing faded and r = 0 is in an independent cascade. An agent is one account, whatever people it stands for.

Moderation of a `violating` message. Every copy, one post on one arc, is checked when it is sent; with chance d it is
found out, x = 1: it is *dropped* and is a strike. *Message*: a label scales its visibility V, and it is
taken down for good once it was posted by `takedown` people. *Node*: an agent whose copies were found out `ban` times,
on whatever arcs, posts no more from the next step on. *Edge*: an arc on which `cut` copies were found out is closed,
:math:`o_{ji} = 0`. The strikes of an arc are counted exactly and yet need no memory: what the checks of its 32 copies
find is a word of 32 independent bits of chance d (in units of 1/4096) that is a pure function of the arc, of which the
strikes so far are the bits below the number of the post. A pair tied in two layers is one arc. Strikes of a node may be
shared by several messages (instances with their own stage, exposure, posts, eagerness and token).

`AGENTSOCIETY` holds values fitted to four curves of spread in AgentSociety (J. Piao et al., 2025,
doi:10.48550/arXiv.2502.08691), where k violations blacklist the sender (node) or the sender for a receiver (edge).

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
from lpm.ops.outgoing import sum_outgoing
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import Key, agent_bits, bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

UNAWARE, AWARE, POSTED = range(3)
FULL = 255
"""`activity` of 255 is the most; `strikes` are counted up to 255."""
POSTS, DIGITS = 32, 12
"""Posts by an agent, and so copies on an arc (bits of the word of its checks); binary digits of their chance."""
MOST = 65_535.0
"""Exposures that a feed holds."""
ARC = (0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)
"""Key of the draws that arcs keep (digits of pi); what makes them random are the tokens of their two agents."""

_FITTED = "fitted here to Piao et al. 2025, doi:10.48550/arXiv.2502.08691"
_HEATED: Mapping[str, float] = {"appeal": 0.09, "repeat": 1.0, "tiring": 2.25, "violating": 1.0}
AGENTSOCIETY: Mapping[str, Mapping[str, float]] = {
    "control": {"appeal": 0.08, "repeat": 1.0, "tiring": 3.0, "violating": 0.0},
    "inflammatory": _HEATED,
    "node": {**_HEATED, "detection": 0.08, "ban": 3.0},
    "edge": {**_HEATED, "detection": 0.08, "cut": 3.0},
}
"""The four arms (units as in `Params`), in steps of 1/10 day, in each of which everybody visits: two messages, one
chance of detection, one number of strikes. 100 agents, each names 2 to 5 friends, ties mutual; 3 post at the start."""


def _share(default: float, meaning: str, source: str = "guess", **more: Any) -> Any:
    return parameter(default, unit="1", bounds=(0, 1), meaning=meaning, source=source, **more)


@register
class Message(Kernel):
    """One message, handed on by posting."""

    name = "message"
    columns = (
        Column("stage", "uint8", "what the agent did", levels=("unaware", "aware", "posted")),
        Column("exposure", "float32", "posts in the feed, faded", unit="posts", bounds=(0, MOST)),
        Column("posts", "uint8", "posts of the message by the agent", bounds=(0, POSTS)),
        Column("eager", "float32", "eagerness to post it again, faded since the first post", unit="1", bounds=(0, 1)),
        Column("strikes", "uint8", "copies of the agent's posts that were found to violate rules"),
        Column("token", "uint32", "random; two of them name the draw that an arc keeps"),
        Column("activity", "uint8", "hourly activity, 255 = the most", unit="1/255", shape=(24,), default=FULL),
    )
    writes = ("stage", "exposure", "posts", "eager", "strikes", "token")
    gradient = "common random numbers"

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
        repeat: Any = _share(0.0, "chance of another post at a visit right after the first; 0: once (r)")
        tiring: Any = parameter(
            3.0,
            unit="1/day",
            bounds=(0, 1e4),
            meaning="rate at which eagerness to post fades",
            source=f"2-3: {_FITTED}",
        )
        violating: Any = _share(1.0, "1: the message violates rules and is moderated, 0: not")
        visibility: Any = _share(1.0, "tries left of an exposure to a violating message, under a label (V)")
        takedown: Any = parameter(
            0.0, unit="people", bounds=(0, 1e10), meaning="posts after which it is taken down; 0: never", source="guess"
        )
        detection: Any = _share(0.0, "chance that a copy is found out, and dropped (d)", f"0.08: {_FITTED}")
        ban: Any = parameter(
            0.0, unit="1", bounds=(0, 255), meaning="strikes that ban an agent; 0 = never", source=f"3: {_FITTED}"
        )
        cut: Any = parameter(
            0.0, unit="1", bounds=(0, POSTS), meaning="strikes that cut an arc; 0 = never", source=f"3: {_FITTED}"
        )
        initial: Any = _share(0.001, "share that posts at the start", initial=True)

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return the parameters, and the rhythm [24] of 0 to 255."""
        hours = jnp.arange(24, dtype=jnp.float32)
        low = (1 - jnp.cos((hours - params.peak) * np.float32(math.pi / 12))) / 2
        return params, jnp.round(FULL * (1 - params.night * low)).astype(jnp.int32)

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return the first posts, a share of the agents, and the tokens."""
        agents = tables["agents"]
        posted = seeded(key, agents, params[0].initial)
        return {
            "stage": posted * jnp.uint8(POSTED),
            "exposure": jnp.zeros_like(agents["exposure"]),
            "posts": posted,
            "eager": posted.astype(jnp.float32),
            "strikes": jnp.zeros_like(agents["strikes"]),
            "token": agent_bits(purpose(key, "token"), agents["id"]),
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the feeds, posts and strikes after one step; `InputError` for complete mixing, which has no arcs."""
        values, rhythm = params
        agents = tables["agents"]
        stage, posts, here, token = agents["stage"], agents["posts"], agents["present"], agents["token"]
        moderated = values.violating > 0.5
        gone = moderated & (values.takedown > 0) & (_people(agents, clock.shards) >= values.takedown)
        feed = jnp.where(gone, 0, _faded(agents["exposure"], values.fading, clock.dt))

        visit = event_threshold(hazard_units(_active_days(agents, rhythm, values, clock) * values.visits))
        reads = happens(agent_bits(purpose(key, "visit"), agents["id"]), visit) & here
        banned = moderated & (values.ban > 0) & (agents["strikes"].astype(jnp.float32) >= values.ban)
        tries = chance_hazard(values.appeal) * jnp.where(moderated, values.visibility, 1)
        first = clock.step == 0  # those who posted at the start are heard now, and post again from the next step on
        eager, tires = _faded(agents["eager"], values.tiring, clock.dt), jnp.maximum(values.tiring * clock.dt, 1e-6)
        told, again = event_threshold(hazard_units(tries * feed)), threshold(jnp.where(first, 0, values.repeat * eager))
        chance = jnp.where(stage < POSTED, told, again)
        able = ~banned & ~gone & (posts < POSTS)
        post = happens(agent_bits(purpose(key, "post"), agents["id"]), chance) & reads & able
        aware = jnp.where((stage == UNAWARE) & reads & (feed > 0), jnp.uint8(AWARE), stage)
        after = jnp.where(post, jnp.uint8(POSTED), aware)
        posts = posts + post.astype(jnp.uint8)

        shown = (post | (first & (stage == POSTED) & ~banned & ~gone)) & here
        follows = here & (after < POSTED)
        feed = jnp.where(reads | ~follows, 0, feed)
        strikes = agents["strikes"].astype(jnp.int32)
        for name, layer in networks.items():
            if layer.complete:
                raise InputError(f"kernel 'message': layer '{name}' is complete mixing, which has no arcs")
            count, found = _sent(layer, shown, posts, token, here, follows, moderated, values)
            weight = layer.scale.reshape(()) * np.float32(1 if "intensity" in layer.columns else ONE)
            feed = feed + jnp.round(count.astype(jnp.float32) * weight) * np.float32(1 / ONE)
            strikes = strikes + found
        return {
            "stage": after,
            "exposure": jnp.where(here, jnp.minimum(feed, np.float32(MOST)), agents["exposure"]),
            "posts": posts,
            "eager": jnp.where(
                here, jnp.where(post & (stage < POSTED), -jnp.expm1(-tires) / tires, eager), agents["eager"]
            ),
            "strikes": jnp.minimum(strikes, FULL).astype(jnp.uint8),
            "token": token,
        }


def _faded(amount: Array, rate: Array, dt: float) -> Array:
    """Return what a step leaves of an amount, rounded down to a multiple of 2^-16."""
    kept = jnp.exp(-rate * np.float32(dt)) * np.float32(2.0**16)
    return jnp.floor(amount * kept) * np.float32(2.0**-16)


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


def _sent(
    layer: Layer, shown: Array, posts: Array, token: Array, here: Array, follows: Array, moderated: Array, values: Any
) -> tuple[Array, Array]:
    """Return the copies that reach each agent, and those found out of the copies that each agent sent, int32 [rows].

    Both are sums over arcs, the second by who sends: a scatter, which only a message that is checked pays for.
    """
    number = jnp.where(shown, jnp.maximum(posts, 1), 0)
    digits = jnp.round(values.detection * (1 << DIGITS)).astype(jnp.uint32)
    strikes = jnp.where(values.cut > 0, jnp.ceil(values.cut), POSTS + 1).astype(jnp.int32)

    def checked(_: None) -> tuple[Array, Array]:
        def reached(source: Any, ours: Any, columns: Mapping[str, Array]) -> Array:
            return _copies((source[0] > 0) & ~_outcome(source, ours, digits, strikes)[0], columns)

        count = sum_neighbours(layer, reached, (number, token), token, where=follows)

        def spotted(theirs: Any, ours: Any) -> Array:
            return _outcome(theirs, ours[0], digits, strikes)[1] & (theirs[0] > 0) & ours[1]

        return count, sum_outgoing(layer, spotted, (number, token), (token, here))

    def plain(_: None) -> tuple[Array, Array]:
        count = sum_neighbours(layer, lambda source, _, columns: _copies(source > 0, columns), number, where=follows)
        return count, jnp.zeros(here.shape, jnp.int32)

    return jax.lax.cond(moderated & (digits > 0), checked, plain, None)


def _copies(sent: Array, columns: Mapping[str, Array]) -> Array:
    return sent.astype(jnp.int32) * columns["intensity"].astype(jnp.int32) if "intensity" in columns else sent


def _outcome(source: Any, token: Any, digits: Array, most: Array) -> tuple[Array, Array]:
    """Return whether a copy does not arrive (dropped, or the arc is cut), and whether it was sent and found out.

    Bit m - 1 of the word says whether the check of the m-th copy finds it out: bits of chance 0.d1 d2 ... in binary are
    made from fair ones h, from the last digit on, as w <- h or w where the digit is 1, h and w where it is 0.

    Args:
        source: Number of the post (1 is the first, 0 none), and the sender's token.
        token: The receiver's token.
        digits: uint32 scalar, the chance in units of 2^-`DIGITS`.
        most: int32 scalar, strikes that cut an arc.
    """
    number, theirs = source
    key: Any = Key([jnp.uint32(word) for word in ARC])  # type: ignore[arg-type]  # scalars, which a loop can hold
    word = jnp.zeros_like(theirs)
    for place in range(DIGITS):
        fair = bits(key, place, theirs, token)
        one = (digits >> np.uint32(place)) & np.uint32(1)
        word = jnp.where(one == 1, fair | word, fair & word)
    word = jnp.where(digits >= np.uint32(1 << DIGITS), np.uint32(0xFFFFFFFF), word)
    place = jnp.maximum(number, np.uint8(1)).astype(jnp.uint32) - np.uint32(1)
    now = np.uint32(1) << place
    found = (word & now) > 0
    cut = _ones(word & (now - np.uint32(1))) >= most
    return found | cut, found & ~cut


def _ones(word: Array) -> Array:
    """Return int32, the number of bits that are 1."""
    pairs = word - ((word >> np.uint32(1)) & np.uint32(0x55555555))
    fours = (pairs & np.uint32(0x33333333)) + ((pairs >> np.uint32(2)) & np.uint32(0x33333333))
    eights = (fours + (fours >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    return ((eights * np.uint32(0x01010101)) >> np.uint32(24)).astype(jnp.int32)
