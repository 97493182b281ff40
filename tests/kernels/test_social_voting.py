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
from lpm.kernels.herding.social_voting import EPOCH, SITES, SocialVoting, exposure, hot_score

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
        "up_part": generator.integers(0, 65_536, count).astype(np.uint16),
        "down_part": np.zeros(count, np.uint16),
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
        score = int(items["up"][i]) + int(items["up_part"][i]) / 65_536 - int(items["down"][i])
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


@pytest.mark.parametrize("shards", [1, pytest.param(4, marks=pytest.mark.full)])
def test_every_vote_is_that_of_slow_counting(shards: int):
    """From the scalar draws, one agent after the other: who comes, what is looked at, the vote, the counts in people.

    Nothing of the kernel is called: order, looks by place and chances of a vote are computed in float64. A draw that
    lies within 1e-6 of a chance (none does for this seed; one would for 1 of 1,000 seeds) could fall on either side.
    """
    size, steps, count, dt, generator = 120, 4, 12, 0.5, np.random.default_rng(8)
    present, weight = generator.random(size) < 0.9, generator.integers(1, 3 * 65_536, size)
    small = herd("social-voting", size, steps, shards, dt, present=present, weight=weight)
    v: dict[str, Any] = {"order": "hot", "up": 0.3, "down": 0.2, "visits": 2.0, "spacing": 0.2, "treated_up": 0.3}
    v |= {"growth": 0.5, "own": 1.0, "herd_up": 0.32, "herd_down": 0.3, "correction": 0.9, "bias": 0.602}
    batch, quality = members(small, [2], **v), items_of(1, count)["quality"]
    state = begin(small, batch, rows_of(SocialVoting, count, quality=quality))
    up, down = (host(state)[f"items.{name}"][0].astype(np.int64) * 65_536 for name in ("up", "down"))
    looks, born = np.zeros(count, np.int64), np.floor(np.arange(count) * 0.2 / dt)

    def below(drawn: int, chance: float) -> bool:
        assert abs(drawn / 2**32 - chance) > 1e-6
        return drawn < chance * 2**32

    for step in range(steps):
        score = (up - down) / 65_536
        time = (born * dt + 1810) * 86_400 / 45_000
        rating = [round(np.sign(s) * np.log10(max(abs(s), 1)) + t, 7) for s, t in zip(score, time, strict=True)]
        shown = sorted((i for i in range(count) if born[i] <= step), key=lambda i: (-rating[i], i))
        shares = np.arange(1.0, len(shown) + 1) ** -0.602
        ends = np.cumsum(shares / shares.sum())
        state = go(small, batch, state, step, 1)
        visit, at, vote = (agent_draws(key_of(2, "social-voting", step, n), size) for n in ("visit", "item", "vote"))
        for agent in np.flatnonzero(present):
            if not below(visit[agent], -np.expm1(-1.0)):
                continue
            item = shown[sum(not below(at[agent], end) for end in ends[:-1])]
            s, liking, people = score[item], float(np.exp(quality[item])), weight[agent]
            herd_up = 1 + abs(s) ** 0.5 * (0.32 if s > 0 else 0.9) if s != 0 else 1.0
            liked = min(0.3 * liking * herd_up, 1.0)
            disliked = min(0.2 / liking * (1 + abs(s) ** 0.5 * 0.3 * (s < 0)), 1 - liked)
            looks[item] += people
            if below(vote[agent], liked):
                up[item] += people
            elif below(vote[agent], liked + disliked):
                down[item] += people
        found = host(state)
        for name, expected in (("up", up), ("down", down), ("looks", looks)):
            got = found[f"items.{name}"][0].astype(np.int64) * 65_536 + found[f"items.{name}_part"][0]
            assert (got == expected).all()


def voted(looks: int, size: int, seeds: int, **values: Any) -> dict[str, Values]:
    """Return items that were each looked at about once a step: as many agents as items, all come."""
    small = herd("social-voting", size, looks)
    batch = members(small, range(seeds), visits=100.0, **values)
    return host(go(small, batch, begin(small, batch, rows_of(SocialVoting, size)), 0, looks))


def gains(found: dict[str, Values], rows: int, own: float) -> list[Values]:
    """Return the final scores of control, up- and down-treated less the votes that the items began with."""
    score = (found["items.up"] - found["items.down"])[:, :rows] - own
    treatment = found["items.treatment"][:, :rows]
    return [score[treatment == arm] - first for arm, first in ((0, 0), (1, 1), (2, -1))]


def effect(treated: Values, control: Values) -> tuple[float, float]:
    """Return the mean of the treated against the control's, less 1, and its standard error by the delta method."""
    ratio = treated.mean() / control.mean()
    spread = treated.var() / len(treated) + ratio**2 * control.var() / len(control)
    return float(ratio - 1), float(np.sqrt(spread) / control.mean())


@pytest.mark.full
@pytest.mark.parametrize("site, looks, up, down", [("muchnik", 40, 0.25, 0.0), ("reddit-comments", 20, 0.0, -0.374)])
def test_final_effects_of_a_vote_on_comments(site: str, looks: int, up: float, down: float):
    """The published final effects, of fitted values: what an early vote makes of the mean score, itself not counted.

    20,000 items, a third in each arm; 4.4 standard errors (of 0.02 or less): a false alarm for 1e-5 of the seeds each.
    The chain of scores says + 25.0 % and - 0.1 %, + 1.0 % and - 37.4 %.
    """
    found = voted(looks, 4_000, 5, treated_up=1 / 3, treated_down=1 / 3, **SITES[site])
    control, *treated = gains(found, 4_000, float(SITES[site]["own"]))
    for arm, published in zip(treated, (up, down), strict=True):
        share, error = effect(arm, control)
        assert error < 0.021 and abs(share - published) < 4.4 * error, (share, error)


@pytest.mark.full
def test_final_effects_of_a_vote_on_ranked_posts():
    """Reddit's posts under the hot score, 8 a day, 600 looks a day: + 11.02 % and - 5.15 %, by place and by herding.

    150 worlds of 400 posts, of which the first 320 are done after 50 days; 4.4 standard errors (0.01): a false alarm
    for 1e-5 of the seeds each, and of the right sign for all but 1e-3.
    """
    small = herd("social-voting", 1_000, 100, dt=0.5)
    visits = -np.log(1 - 0.3) / 0.5
    batch = members(small, range(150), visits=visits, treated_up=1 / 3, treated_down=1 / 3, **SITES["reddit-posts"])
    found = host(go(small, batch, begin(small, batch, rows_of(SocialVoting, 400)), 0, 100))
    control, *treated = gains(found, 320, 1.0)
    for arm, published in zip(treated, (0.1102, -0.0515), strict=True):
        share, error = effect(arm, control)
        assert error < 0.012 and abs(share - published) < 4.4 * error and share * published > 0, (share, error)


@pytest.mark.full
def test_arms_end_where_the_chain_of_scores_says():
    """Mean scores after 20 steps of one look each on average, against the Markov chain of the score.

    The number of looks at an item in a step is Poisson with mean 1 in the limit of many items, and all see the score of
    the step before; 4.4 standard errors, a false alarm for 3e-5 of the seeds.
    """
    steps, most = 20, 25
    found = voted(steps, 1_500, 2, treated_up=0.3, treated_down=0.3, **SITES["muchnik"])
    scores = np.arange(-most, most + 1)
    amount = np.where(scores == 0, 0.0, np.abs(scores) ** 0.74)
    up = np.minimum(0.0513 * (1 + amount * np.where(scores > 0, 0.32, 0.393)), 0.9)
    down = 0.01 * (1 + 0.3 * amount * (scores < 0))
    jumps = stats.skellam.pmf(np.arange(-2 * most, 2 * most + 1)[None], up[:, None], down[:, None])
    moved = np.stack([jumps[row, 2 * most - row : 4 * most + 1 - row] for row in range(2 * most + 1)])
    for arm, first in zip(gains(found, 1_500, 0.0), (0, 1, -1), strict=True):
        law = (scores == first).astype(float)
        for _ in range(steps):
            law = law @ moved
        mean = float((law * scores).sum())
        error = np.sqrt(((law * scores**2).sum() - mean**2) / len(arm))
        assert abs(arm.mean() - (mean - first)) < 4.4 * error
