"""A message: hops along paths, the hours of the day, each kind of moderation, and a slow oracle of all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from lpm import random
from lpm.errors import InputError
from lpm.kernels.diffusion.message import ARC, Message
from lpm.network import Network
from lpm.population import Population

from ..conftest import Small, graph
from .spreading import after, below, draws, of_pairs

NAME = "message"
OFTEN = 16.0
"""Visits a day that make a visit certain in steps of a day (but for a chance of 1e-7)."""
Values = np.ndarray[Any, Any]


@pytest.mark.full
@pytest.mark.parametrize("visits, fading, visibility", [(OFTEN, 0.0, 1.0), (0.7, 0.3, 1.0), (1.5, 0.5, 0.4)])
def test_hops_along_paths(visits: float, fading: float, visibility: float):
    """Along a path every hop succeeds with T = sum_k a (1 - a)^(k - 1) (1 - (1 - p)^(V f^k)), a = 1 - e^-v, f = e^-phi.

    An exposure is read at the k-th step after its post, in which f^k of it is left; whoever visits at every step with
    nothing faded is in an independent cascade, T = p. 1,000 paths of 5 agents, the first posts: the number who post at
    distance d is Binomial(1,000, T^d); five standard deviations, 4 distances, 3 cases: a false alarm in 1 of 1e5.
    """
    paths, length, p = 1_000, 5, 0.6
    size = paths * length
    inner = np.arange(size).reshape(paths, length)
    network = of_pairs(size, np.stack([inner[:, :-1].reshape(-1), inner[:, 1:].reshape(-1)], axis=1))
    small = Small(NAME, network, size, (), steps=45)
    first = np.where(np.arange(size) % length == 0, 2, 0)
    member = small.member(1, appeal=p, visits=visits, fading=fading, visibility=visibility, initial=0.0)
    posted = (after(small, member, stage=first)["stage"][0].reshape(paths, length) == 2).sum(0)
    a, f, k = -np.expm1(-visits), np.exp(-fading), np.arange(1, 200)
    hop = float((a * (1 - a) ** (k - 1) * (1 - (1 - p) ** (visibility * f**k))).sum())
    for distance in range(1, length):
        chance = hop**distance
        assert abs(posted[distance] - paths * chance) <= 5 * np.sqrt(paths * chance * (1 - chance))


def test_the_hours_of_the_day():
    """In steps of 3 minutes from 8:30 agents visit by the activity of the hour, of which a night rhythm leaves a part.

    Chance of a visit: 1 - e^(-v h / 480). 20,000 agents with a post each in their feed and an activity that is full
    in the ninth hour, half in the tenth; within five standard deviations (1e-6 a case).
    """
    size, visits = 20_000, 48.0
    activity = np.zeros((size, 24), np.uint8)
    activity[:, 8], activity[:, 9] = 255, 128
    people = Population.build(size, Message.columns, {"activity": activity})
    nobody = Network(size, np.zeros(size + 1, np.int64), np.zeros(0, np.int32))
    small = Small(NAME, nobody, size, (), steps=40, dt=1 / 480, population=people)

    def aware(count: int, **more: Any) -> float:
        member = small.member(2, appeal=0.0, visits=visits, fading=0.0, begins=8.5, initial=0.0, **more)
        return float((after(small, member, count, exposure=np.ones(size))["stage"] == 1).mean())

    def expected(hours: float) -> float:
        return -np.expm1(-visits / 24 * hours)

    night = 1 - 0.8 * (1 - np.cos((8 - 20) * np.pi / 12)) / 2  # at 8, twelve hours from the peak
    for count, hours, more in (
        (10, 0.5, {}),
        (20, 0.5 + 0.5 * 128 / 255, {}),
        (40, 0.5 + 128 / 255, {}),
        (10, 0.5 * round(255 * night) / 255, {"night": 0.8}),
    ):
        chance = expected(hours)
        assert abs(aware(count, **more) - chance) <= 5 * np.sqrt(chance * (1 - chance) / size)


def star(followers: int) -> Network:
    """Return the network in which agent 0 is heard by all others."""
    indptr = np.concatenate([[0, 0], np.arange(1, followers + 1)])
    return Network(followers + 1, indptr, np.zeros(followers, np.int32))


def test_a_tie_is_cut_at_the_kth_objection():
    """After n posts of a source P(Bin(n, r) < k) of its ties are open, and a cut tie stays cut.

    5,000 followers, five standard deviations (4e-6 for all six counts). For r = 1 it is exact: open for n < k.
    """
    followers, report, cut = 5_000, 0.3, 3.0
    small = Small(NAME, star(followers), followers + 1, (), steps=1)
    before = np.ones(followers, bool)

    def sent(posts: int, **more: Any) -> Values:
        member = small.member(3, appeal=1.0, visits=OFTEN, fading=0.0, repeat=1.0, initial=0.0, cut=cut, **more)
        state = small.simulation.start(small.agents, member)
        columns = {
            "posts": np.where(np.arange(followers + 1) == 0, posts, 0),
            "exposure": np.where(np.arange(followers + 1) == 0, 16.0, 0.0),
            "token": np.asarray(state.agents["token"])[0],
        }
        given = {n: jnp.asarray(v[None].astype(state.agents[n].dtype)) for n, v in columns.items()}
        state = replace(state, agents={**state.agents, **given})
        done, _ = small.simulation.advance(state, member, small.world, 1, 1)  # in step 0 posts of the start are sent
        assert int(done.agents["posts"][0, 0]) == min(posts + 1, 255)
        return np.asarray(done.agents["exposure"])[0, 1:] > 0

    for posts in (0, 2, 3, 8, 20, 254):
        still = sent(posts, report=report)
        expected = float(binom.cdf(cut - 1, posts, report))
        assert abs(still.mean() - expected) <= 5 * np.sqrt(expected * (1 - expected) / followers) + 1e-6
        assert not (still & ~before).any()
        before = still
    for posts in (2, 3):
        assert (sent(posts, report=1.0) == (posts < cut)).all()
    assert sent(254, report=0.0).all() and sent(254, report=1.0, violating=0.0).all()


SIZE = 300


def oracle(network: Network, seed: int, start: dict[str, Values], steps: int, dt: float, v: dict[str, float]) -> Any:
    """One agent after the other; arcs by the binomial law and the draw that they keep."""
    v = {name: float(np.float32(value)) for name, value in v.items()}
    size = network.size
    arc: Any = tuple(int(word) for word in np.asarray(ARC.words))
    stage, posts, strikes = (start[name].astype(int) for name in ("stage", "posts", "strikes"))
    token, activity, feed = start["token"].astype(int), start["activity"].astype(float) / 255, np.zeros(size)
    fires, fade = v["violating"] > 0.5, np.exp(-v["fading"] * dt)

    def banned(i: int) -> bool:
        return bool(fires and v["ban"] > 0 and strikes[i] >= v["ban"])

    def hears(j: int, i: int, n: int) -> bool:
        drawn = random.scalar_bits(arc, (int(token[j]), int(token[i])))
        chance = binom.cdf(v["cut"] - 1, n, v["report"]) if fires and v["cut"] > 0 else 1.0
        return bool(drawn < chance * 2.0**32)

    for step in range(steps):
        drawn = {name: draws(seed, NAME, step, name, size) for name in ("visit", "post", "detection")}
        gone = fires and v["takedown"] > 0 and posts.sum() >= v["takedown"]
        feed = np.zeros(size) if gone else np.floor(feed * fade * 65_536) / 65_536
        visit = -np.expm1(-v["visits"] * activity[:, int(step * dt * 24 + 1e-9) % 24] * dt)
        shown, before, reads = np.zeros(size, bool), posts.copy(), below(drawn["visit"], visit)
        for i in range(size):
            if step == 0 and stage[i] == 2:
                shown[i], before[i] = True, 0
            if not reads[i]:
                continue
            able = not banned(i) and (stage[i] < 2 or v["repeat"] > 0.5)
            chance = 1 - (1 - v["appeal"]) ** (feed[i] * (v["visibility"] if fires else 1))
            if stage[i] == 0 and feed[i] > 0:
                stage[i] = 1
            if able and below(drawn["post"][i], chance):
                stage[i], posts[i], shown[i] = 2, posts[i] + 1, True
                strikes[i] += int(fires and below(drawn["detection"][i], v["detection"]))
            feed[i] = 0
        heard = [j for j in range(size) if shown[j] and not banned(j) and not gone]
        for i in range(size):
            if banned(i) or not (stage[i] < 2 or v["repeat"] > 0.5):
                feed[i] = 0
                continue
            row = network.indices[network.indptr[i] : network.indptr[i + 1]]
            feed[i] += sum(1 for j in heard if j in row and hears(j, i, before[j]))
    return stage, posts, strikes, feed


CASES: dict[str, dict[str, float]] = {
    "none": {},
    "label": {"visibility": 0.5},
    "taken down": {"takedown": 60.0},
    "ban": {"ban": 2.0, "detection": 0.6},
    "cut": {"cut": 2.0, "report": 0.4},
    "all, once": {"visibility": 0.8, "takedown": 90.0, "ban": 1.0, "detection": 0.5, "cut": 1.0, "repeat": 0.0},
    "not violating": {"violating": 0.0, "visibility": 0.1, "takedown": 1.0, "ban": 1.0, "cut": 1.0},
}


@pytest.fixture(scope="module")
def world() -> tuple[Network, Small]:
    network = graph("erdos-renyi", SIZE, mean_degree=6.0)
    activity = np.random.default_rng(4).integers(0, 256, (SIZE, 24)).astype(np.uint8)
    people = Population.build(SIZE, Message.columns, {"activity": activity})
    return network, Small(NAME, network, SIZE, (), steps=30, dt=1 / 24, population=people)


@pytest.mark.parametrize("case", CASES)
def test_moderation_bit_for_bit_as_the_oracle(world: tuple[Network, Small], case: str):
    """Stages, posts and strikes are exact (1 of 1,000 choices of the seed would differ by a draw on a threshold)."""
    network, small = world
    values = {"appeal": 0.35, "visits": 18.0, "fading": 4.0, "night": 0.0, "repeat": 1.0, "initial": 0.05}
    values |= {"violating": 1.0, "visibility": 1.0, "takedown": 0.0, "detection": 1.0, "ban": 0.0, "report": 0.1}
    values |= {"cut": 0.0} | CASES[case]
    member = small.member(5, **values)  # type: ignore[arg-type]
    state = small.simulation.start(small.agents, member)
    start = {name: np.asarray(column)[0] for name, column in state.agents.items()}
    found = after(small, member)
    stage, posts, strikes, feed = oracle(network, 5, start, small.steps, 1 / 24, values)
    assert np.array_equal(found["stage"][0], stage) and np.array_equal(found["posts"][0], posts)
    assert np.array_equal(found["strikes"][0], strikes) and np.allclose(found["exposure"][0], feed, atol=1e-3)
    assert (stage == 2).sum() > (start["stage"] == 2).sum()
    if case == "ban":
        assert posts.max() > 2 and strikes.max() == 2
    if case == "taken down":
        assert posts.sum() >= 60 and not feed.any()


def test_complete_mixing_is_refused():
    with pytest.raises(InputError, match="layer 'contacts' is complete mixing"):
        small = Small(NAME, graph("complete", 10), 10, (), steps=1)
        small.run(small.member(1))
