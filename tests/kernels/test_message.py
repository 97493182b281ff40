"""A message: hops along paths, the hours of the day, and a slow oracle of all of it, moderation included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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


SIZE = 300


def oracle(network: Network, seed: int, start: dict[str, Values], steps: int, dt: float, v: dict[str, float]) -> Any:
    """One agent after the other; every arc remembers its strikes; a check compares a fraction with the chance."""
    v = {name: float(np.float32(value)) for name, value in v.items()}
    size = network.size
    stage, posts, strikes = (start[name].astype(int) for name in ("stage", "posts", "strikes"))
    token, activity, feed = start["token"].astype(int), start["activity"].astype(float) / 255, np.zeros(size)
    eager, struck, fires = start["eager"].astype(float), dict[tuple[int, int], int](), v["violating"] > 0.5
    fade, tire = (np.float32(np.exp(np.float32(-v[name] * dt))) for name in ("fading", "tiring"))
    chance_of_detection = round(v["detection"] * 4096) / 4096 if fires else 0.0

    def banned(i: int) -> bool:
        return bool(fires and v["ban"] > 0 and strikes[i] >= v["ban"])

    def found_out(j: int, i: int) -> bool:
        """The fraction 0.b1 b2 ... of the copy is below the chance; b_m is bit `posts - 1` of the m-th draw."""
        words = [random.scalar_bits(ARC, (place, int(token[j]), int(token[i]))) for place in range(12)]
        fraction = sum(((~words[11 - m] >> (int(posts[j]) - 1)) & 1) * 0.5 ** (m + 1) for m in range(12))
        return fraction < chance_of_detection

    for step in range(steps):
        drawn = {name: draws(seed, NAME, step, name, size) for name in ("visit", "post")}
        gone = fires and v["takedown"] > 0 and posts.sum() >= v["takedown"]
        feed = np.zeros(size) if gone else np.floor(feed * fade * 65_536) / 65_536
        eager = np.floor(eager * tire * 65_536) / 65_536
        visit = -np.expm1(-v["visits"] * activity[:, int(step * dt * 24 + 1e-9) % 24] * dt)
        reads = below(drawn["visit"], visit)
        shown = np.array([step == 0 and stage[i] == 2 and not gone and not banned(i) for i in range(size)])
        out = [banned(i) or gone or posts[i] >= 32 for i in range(size)]
        for i in np.flatnonzero(reads):
            chance = 1 - (1 - v["appeal"]) ** (feed[i] * (v["visibility"] if fires else 1))
            if stage[i] == 2:
                chance = v["repeat"] * eager[i] * (step > 0)
            elif feed[i] > 0:
                stage[i] = 1
            if not out[i] and below(drawn["post"][i], chance):
                eager[i] = eager[i] if stage[i] == 2 else -np.expm1(-v["tiring"] * dt) / (v["tiring"] * dt)
                stage[i], posts[i], shown[i] = 2, posts[i] + 1, True
            feed[i] = 0
        more = np.zeros(size, int)
        for i in range(size):
            feed[i] = 0 if stage[i] == 2 else feed[i]
            for j in network.indices[network.indptr[i] : network.indptr[i + 1]]:
                if not shown[j] or (v["cut"] > 0 and struck.get((j, i), 0) >= v["cut"]):
                    continue
                if found_out(j, i):
                    struck[j, i] = struck.get((j, i), 0) + 1
                    more[j] += 1
                elif stage[i] != 2:
                    feed[i] += 1
        strikes = np.minimum(strikes + more, 255)
    return stage, posts, strikes, feed, eager


CASES: dict[str, dict[str, float]] = {
    "none": {},
    "label": {"visibility": 0.5},
    "taken down": {"takedown": 60.0},
    "dropped": {"detection": 0.3},
    "ban": {"ban": 2.0, "detection": 0.05},
    "cut": {"cut": 2.0, "detection": 0.4},
    "all, once": {"visibility": 0.8, "takedown": 90.0, "ban": 1.0, "detection": 0.1, "cut": 1.0, "repeat": 0.0},
    "not violating": {"violating": 0.0, "visibility": 0.1, "takedown": 1.0, "ban": 1.0, "cut": 1.0, "detection": 1.0},
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
    values = {"appeal": 0.35, "visits": 18.0, "fading": 4.0, "night": 0.0, "repeat": 0.9, "tiring": 1.0}
    values |= {"violating": 1.0, "visibility": 1.0, "takedown": 0.0, "detection": 0.0, "ban": 0.0, "cut": 0.0}
    values |= {"initial": 0.05} | CASES[case]
    member = small.member(5, **values)  # type: ignore[arg-type]
    state = small.simulation.start(small.agents, member)
    start = {name: np.asarray(column)[0] for name, column in state.agents.items()}
    found = after(small, member)
    stage, posts, strikes, feed, eager = oracle(network, 5, start, small.steps, 1 / 24, values)
    assert np.array_equal(found["stage"][0], stage) and np.array_equal(found["posts"][0], posts)
    assert np.array_equal(found["strikes"][0], strikes) and np.allclose(found["eager"][0], eager, atol=1e-3)
    assert np.allclose(found["exposure"][0], feed, atol=1e-3)
    assert (stage == 2).sum() > (start["stage"] == 2).sum()
    assert (strikes.max() > 0) == (values["detection"] > 0 and values["violating"] > 0)
    if case == "taken down":
        assert posts.sum() >= 60 and not feed.any()


def test_complete_mixing_is_refused():
    with pytest.raises(InputError, match="layer 'contacts' is complete mixing"):
        small = Small(NAME, graph("complete", 10), 10, (), steps=1)
        small.run(small.member(1))
