"""Votes: the hot score's examples, look by look against slow counting, the first viewer, and the chain of scores."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lpm.clock import Clock
from lpm.kernels.herding.social_voting import EPOCH, SocialVoting, exposure, hot_score, vote_chances

from .herds import Values, agent_draws, begin, go, herd, host, key_of, members, rows_of


def hot(up: int, down: int, seconds: float, form: str) -> float:
    with jax.enable_x64(True):
        return float(hot_score(jnp.asarray([up]), jnp.asarray([down]), jnp.asarray([seconds]), form)[0])


def test_hot_scores_computed_by_hand():
    """Submitted 2010-11-23 00:00 UTC, 1290470400 - 1134028003 = 156,442,397 s = 3,476.4977111 times 45,000 s."""
    seconds = datetime(2010, 11, 23, tzinfo=UTC).timestamp() - EPOCH
    assert seconds == 156_442_397
    examples = {  # (up, down): (later form, first form)
        (1, 0): (3476.4977111, 3476.4977111),
        (100, 0): (3478.4977111, 3478.4977111),
        (1_234, 234): (3479.4977111, 3479.4977111),
        (5, 5): (3476.4977111, 0.0),
        (0, 0): (3476.4977111, 0.0),
        (3, 13): (3475.4977111, -3475.4977111),
        (0, 1): (3476.4977111, -3476.4977111),
        (7, 0): (3477.3428091, 3477.3428091),
    }
    for (up, down), (later, first) in examples.items():
        assert abs(hot(up, down, seconds, "hot") - later) < 2e-7
        assert abs(hot(up, down, seconds, "hot-old") - first) < 2e-7


def test_ten_votes_are_worth_twelve_and_a_half_hours():
    """Ten times the score equals 45,000 s; under the first form any positive item stands before any negative one."""
    assert hot(10, 0, 1e8, "hot") == hot(1, 0, 1e8 + 45_000, "hot") == hot(100, 0, 1e8 - 45_000, "hot")
    assert hot(0, 1, 2e8, "hot") > hot(1_000, 0, 1e8, "hot") and hot(0, 1, 2e8, "hot-old") < hot(1, 0, 1e8, "hot-old")


def items_of(seed: int, count: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "up": generator.integers(0, 30, count).astype(np.int32),
        "down": generator.integers(0, 30, count).astype(np.int32),
        "born": generator.integers(0, 20, count).astype(np.int32),
        "quality": generator.normal(0, 0.5, count).astype(np.float32),
    }


@pytest.mark.parametrize("order", ["hot", "hot-old", "new", "none"])
def test_order_and_looks_by_place(order: str):
    """The order against Python's sort of the scores; looks fall as 1 / place^b among items that are there."""
    items, step, dt = items_of(3, 40), 12, 0.25
    params: Any = SimpleNamespace(order=order, bias=jnp.float32(0.602), since=jnp.float32(1810))
    arrays = {name: jnp.asarray(values) for name, values in items.items()}
    places, limits, there = (np.asarray(x) for x in exposure(arrays, params, Clock(jnp.int32(step), dt)))

    def rating(i: int) -> float:
        if order in ("new", "none"):
            return float(items["born"][i]) if order == "new" else 0.0
        score = int(items["up"][i]) - int(items["down"][i])
        size, sign, time = (
            np.log10(max(abs(score), 1)),
            np.sign(score),
            (items["born"][i] * dt + 1810) * 86_400 / 45_000,
        )
        return round(float(sign * size + time if order == "hot" else size + sign * time), 7)

    shown = sorted((i for i in range(40) if items["born"][i] <= step), key=lambda i: (-rating(i), i))
    assert places[: len(shown)].tolist() == shown and there == len(shown)
    weights = np.arange(1.0, len(shown) + 1) ** (-0.602 if order != "none" else 0)
    chances = np.diff([0, *limits.astype(np.float64), 2.0**32]) / 2.0**32
    assert np.allclose(chances[: len(shown)], weights / weights.sum(), atol=1e-6) and chances[len(shown) :].max() < 1e-6
    if order != "none":
        assert abs(chances[0] / chances[9] - 4) < 0.01


@pytest.mark.parametrize("shards", [1, 4])
def test_every_vote_is_that_of_slow_counting(shards: int):
    """To the bit from the scalar draws: who comes, what is looked at, the vote, the counts."""
    size, steps, count, generator = 120, 4, 12, np.random.default_rng(8)
    present = generator.random(size) < 0.9
    small = herd("social-voting", size, steps, shards, present=present)
    values = {"order": "hot", "up": 0.3, "down": 0.2, "visits": 1.0, "spacing": 0.4, "treated_up": 0.3}
    batch = members(small, [2], **values)
    state = begin(small, batch, rows_of(SocialVoting, count, quality=items_of(1, count)["quality"]))
    params: Any = SimpleNamespace(**{
        name: value if isinstance(value, str) else jnp.float32(value)
        for name, value in {**vars(SocialVoting.Params()), **values}.items()
    })  # fmt: skip
    up, down = (host(state)[f"items.{name}"][0].tolist() for name in ("up", "down"))
    seen = jax.jit(lambda items, step: exposure(items, params, Clock(step)))
    liking = jax.jit(lambda items: vote_chances(items, params))
    looks, coming = [0] * count, int(-np.expm1(-1.0) * 2**32)
    for step in range(steps):
        items = {name: column[0] for name, column in state.tables["items"].items()}
        places, limits, _ = (np.asarray(x) for x in seen(items, jnp.int32(step)))
        liked, disliked = (np.asarray(x, np.float64) for x in liking(items))
        state = go(small, batch, state, step, 1)
        visit, at, vote = (agent_draws(key_of(2, "social-voting", step, n), size) for n in ("visit", "item", "vote"))
        for agent in np.flatnonzero(present):
            assert abs(visit[agent] - coming) > 2_000 or visit[agent] < coming
            if visit[agent] >= coming:
                continue
            item = places[sum(int(at[agent]) >= int(limit) for limit in limits)]
            looks[item] += 1
            up[item] += bool(vote[agent] < liked[item] * 2**32)
            down[item] += bool(liked[item] * 2**32 <= vote[agent] < np.float32(liked[item] + disliked[item]) * 2.0**32)
        found = host(state)
        assert (found["items.up"][0] == up).all() and (found["items.down"][0] == down).all()
        assert (found["items.looks"][0] == looks).all()


def voted(looks: int, size: int, seeds: int, **values: Any) -> dict[str, Values]:
    """Return items that were each looked at about once a step: as many agents as items, all come."""
    small = herd("social-voting", size, looks)
    batch = members(small, range(seeds), visits=100.0, **values)
    return host(go(small, batch, begin(small, batch, rows_of(SocialVoting, size)), 0, looks))


def test_first_viewers_vote_up_32_percent_more():
    """The step after the start: votes up per look of treated and control items, and down-votes unchanged.

    Chances of 0.0513 x 1.32 and 0.0513 to 4.4 standard errors: a false alarm for 1e-5 of the seeds.
    """
    found = voted(1, 4_000, 10, treated_up=0.5, treated_down=0.0)
    for treatment, chance in ((0, 0.0513), (1, 0.0513 * 1.32)):
        which = found["items.treatment"] == treatment
        looks = found["items.looks"][which].sum()
        up, down = found["items.up"][which].sum() - which.sum() * treatment, found["items.down"][which].sum()
        assert abs(up / looks - chance) < 4.4 * np.sqrt(chance / looks)
        assert abs(down / looks - 0.01) < 4.4 * np.sqrt(0.01 / looks)


def test_arms_end_where_the_chain_of_scores_says():
    """Mean scores after 60 steps of one look each on average, against the Markov chain of the score.

    The number of looks at an item in a step is Poisson with mean 1 in the limit of many items, and all see the score of
    the step before; 4.4 standard errors. Published are + 25 % for the up-treated; here they end 39 % above the control
    with the vote of the treatment, 8 % above without it.
    """
    steps, most = 60, 40
    found = voted(steps, 1_500, 8, treated_up=0.3, treated_down=0.3)
    score, means = found["items.up"] - found["items.down"], list[float]()
    scores = np.arange(-most, most + 1)
    for treatment, first in ((0, 0), (1, 1), (2, -1)):
        law = (scores == first).astype(float)
        moved = np.zeros((len(scores), len(scores)))
        for sign in (-1, 0, 1):
            up, down = 0.0513 * (1 + 0.32 * (sign > 0) + 0.9 * (sign < 0)), 0.01 * (1 + 0.3 * (sign < 0))
            jumps = stats.skellam.pmf(np.arange(-2 * most, 2 * most + 1), up, down)
            for row in np.flatnonzero(np.sign(scores) == sign):
                moved[row] = jumps[2 * most - row : 4 * most + 1 - row]
        for _ in range(steps):
            law = law @ moved
        mean = float((law * scores).sum())
        which = found["items.treatment"] == treatment
        error = np.sqrt(((law * scores**2).sum() - mean**2) / which.sum())
        assert abs(score[which].mean() - mean) < 4.4 * error
        means.append(mean - first)
    control, up, down = means
    assert 0.05 < up / control - 1 < 0.10 and 0.36 < (up + 1) / control - 1 < 0.42 and (down - 1) < control
