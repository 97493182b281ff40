"""Lux's market: moods and price by the slow rule, the law of the moods, the balance of the price, and its swings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.linalg import solve_discrete_lyapunov

from lpm.kernel import find
from lpm.kernels.herding.lux_market import LuxMarket
from lpm.network import Network
from lpm.population import Population
from lpm.simulation import Member, State

from ..conftest import Small, graph
from .herds import Values, agent_draws, begin, go, herd, host, key_of, members, put, rows_of

SEEDS = 1_500
EVEN = {"bias": 0.0, "trend": 0.0, "speed": 1.0, "fundamental": 0.0}


def f32(value: float) -> float:
    """Return what a parameter is on the device."""
    return float(np.float32(value))


def slow(
    mood: Values, present: Values, weight: Values, network: Network | None, seed: int, steps: int, dt: float, **p: float
) -> tuple[Values, np.float32]:
    """Return the moods and the price by the rule, agent after agent."""
    mood, price, p = mood.copy(), np.float32(p["fundamental"]), {name: f32(value) for name, value in p.items()}
    for step in range(steps):
        side = np.where(present, np.where(mood == 1, 1, -1), 0)
        x = float((side * weight).sum()) / float(weight[present].sum())
        gone = -np.expm1(-p["adjustment"] * p["fundamentalists"] * dt) / (p["adjustment"] * p["fundamentalists"] * dt)
        excess = x * p["speculation"] + p["fundamentalists"] * (p["fundamental"] - float(price))
        slope = p["adjustment"] * excess * gone
        price = np.float32(price + np.float32(slope * dt))
        draws, switched = agent_draws(key_of(seed, "lux-market", step, "switch"), len(mood)), mood.copy()
        for agent in np.flatnonzero(present):
            heard = x
            if network is not None and not network.complete:
                near = network.indices[network.indptr[agent] : network.indptr[agent + 1]]
                near = near[present[near]]
                heard = side[near].sum() / max(len(near), 1)
            reason = p["bias"] + p["contagion"] * heard + p["trend"] / p["speed"] * slope
            rate = p["speed"] * dt * np.exp(-reason if mood[agent] == 1 else reason)
            if draws[agent] < -np.expm1(-np.round(rate * 2**24) / 2**24) * 2**32:
                switched[agent] = 1 - mood[agent]
        mood = switched
    return mood, price


@pytest.mark.parametrize(
    ("builder", "shards"),
    [
        ("erdos-renyi", 1),
        *(
            pytest.param(b, s, marks=pytest.mark.full)
            for b, s in (("", 1), ("complete", 1), ("", 4), ("erdos-renyi", 4))
        ),
    ],
)
def test_moods_and_price_are_those_of_the_slow_rule(builder: str, shards: int):
    """Moods to the bit (but for draws within 2^-29 of a threshold), the price to 1e-6; some absent, unequal weights."""
    size, steps, dt, generator = 203, 6, 0.5, np.random.default_rng(4)
    present, weight = generator.random(size) < 0.85, generator.integers(1, 2**18, size)
    mood = generator.integers(0, 2, size).astype(np.uint8)
    settings: dict[str, Any] = {} if builder == "complete" else {"mean_degree": 3.0}
    network = graph(builder, size, **settings) if builder else None
    people = Population.build(size, find("lux-market", "test").columns, {"present": present, "weight": weight})
    small = Small("lux-market", network, size, (), steps=steps, shards=shards, dt=dt, population=people)
    values = {
        "speed": 0.3, "bias": 0.1, "contagion": 1.3, "trend": 0.8, "adjustment": 1.5, "speculation": 1.2,
        "fundamentalists": 0.7, "fundamental": 2.0,
    }  # fmt: skip
    batch = members(small, [8], **values)
    padded = np.pad(mood, (0, -size % shards))
    state = put(begin(small, batch, rows_of(LuxMarket, 1)), mood=padded)
    found = host(go(small, batch, state, 0, steps))
    expected, price = slow(mood, present, weight, network, 8, steps, dt, **values)
    assert np.array_equal(found["mood"][0, :size], expected) and (expected != mood).sum() > size / 4
    assert abs(found["globals.price"][0, 0] - price) < 1e-6 * abs(price)
    assert found["globals.fundamental"][0, 0] == 2.0


def market(size: int, seeds: int, dt: float, **values: Any) -> tuple[Small, Member, State]:
    """Return a market without a layer, its members and how they begin; x is held to the mean of `initial` exactly."""
    small = herd("lux-market", size, 1_000, dt=dt)
    batch = members(small, range(seeds), **values)
    state = begin(small, batch, rows_of(LuxMarket, 1))
    optimists = np.arange(size) < round(size * values.get("initial", 0.5))
    return small, batch, put(state, mood=optimists.astype(np.uint8))


def moods(state: State) -> Values:
    """Return x of every member."""
    return 2 * host(state)["mood"].mean(1, dtype=np.float64) - 1


def chances(x: Any, dt: float, contagion: float) -> tuple[Any, Any]:
    """Return the chances that a pessimist and an optimist switch in a step (speed 1, no trend)."""
    return -np.expm1(-dt * np.exp(contagion * x)), -np.expm1(-dt * np.exp(-contagion * x))


def curie_weiss(size: int, contagion: float) -> Values:
    """Return [size + 1], the chance of k optimists in continuous time: weights C(N, k) exp(N a1 x^2 / 2)."""
    k = np.arange(size + 1)
    logs = stats.binom.logpmf(k, size, 0.5) + size * contagion * (2 * k / size - 1) ** 2 / 2
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def stationary(size: int, dt: float, contagion: float) -> Values:
    """Return [size + 1], the chance of k optimists in steps of `dt`: stationary vector of the chain, worked out."""
    rows = list[Values]()
    for k in range(size + 1):
        up, down = chances(2 * k / size - 1, dt, contagion)
        stay = stats.binom.pmf(np.arange(k + 1), k, 1 - down)
        come = stats.binom.pmf(np.arange(size - k + 1), size - k, up)
        rows.append(np.convolve(stay, come))
    system = np.vstack([np.array(rows).T - np.eye(size + 1), np.ones(size + 1)])
    return np.linalg.lstsq(system, np.append(np.zeros(size + 1), 1.0), rcond=None)[0]


@pytest.mark.parametrize("contagion", [0.5, 1.2])
def test_the_chain_has_the_law_of_the_magnet_as_steps_shrink(contagion: float):
    """The theory by itself: the law of 30 traders is off in proportion to the step, and extrapolated to no step right.

    Distances are total variations.
    """
    law, laws = curie_weiss(30, contagion), [stationary(30, dt, contagion) for dt in (0.02, 0.01)]
    gaps = [np.abs(each - law).sum() / 2 for each in (*laws, 2 * laws[1] - laws[0])]
    assert abs(gaps[0] / gaps[1] - 2) < 0.1 and gaps[2] < 0.03 * gaps[0]


@pytest.mark.parametrize("contagion", [0.5, pytest.param(1.2, marks=pytest.mark.full)])
def test_moods_without_a_trend_have_their_stationary_law(contagion: float):
    """30 traders, one crowd or two: chi-square against the exact chain, false alarm for 1e-4 of the seeds.

    The chain's slowest mode (its second eigenvalue) is down to 1 % when a market is looked at; one look each.
    """
    size, dt, seeds = 30, 0.5, SEEDS
    law, steps = stationary(size, dt, contagion), {0.5: 12, 1.2: 80}[contagion]
    small, batch, state = market(size, seeds, dt, contagion=contagion, **EVEN)
    state = begin(small, batch, rows_of(LuxMarket, 1))  # each with its own first moods
    found = np.rint((moods(go(small, batch, state, 0, steps)) + 1) * size / 2).astype(int)
    edges = np.unique(np.searchsorted(np.cumsum(law), np.linspace(0, 1, 13)[1:-1]))
    cut = np.diff([0.0, *np.cumsum(law)[edges], 1.0])
    counts = np.bincount(np.searchsorted(edges, found), minlength=len(cut))
    assert stats.chisquare(counts, cut * seeds).pvalue > 1e-4


@pytest.mark.parametrize("dt", [0.5, pytest.param(10.0, marks=pytest.mark.full)])
def test_the_price_goes_to_its_balance(dt: float):
    """Moods stand still (speed 1e-6): p - p_f = x T_N / T_F (1 - exp(-beta T_F t)), in steps of any length, to 1e-5.

    Without fundamentalists it rises by beta x T_N a day.
    """
    steps, x = 12, 0.6
    for drawn in (0.4, 0.0):
        values = EVEN | {"speed": 1e-6, "fundamental": 1.0, "adjustment": 0.3, "speculation": 1.6}
        small, batch, state = market(30, SEEDS, dt, initial=0.8, fundamentalists=drawn, **values)
        state = go(small, batch, state, 0, steps)
        still, price, t = np.abs(moods(state) - x) < 1e-9, host(state)["globals.price"][:, 0], steps * dt
        gone = x * 1.6 / 0.4 * -np.expm1(-0.3 * 0.4 * t) if drawn else 0.3 * x * 1.6 * t
        assert still.sum() > 0.9 * SEEDS and (np.abs(price - 1 - gone)[still] < 1e-5 * (1 + gone)).all()


def linear(dt: float, speed: float, contagion: float, weight: float, beta: float, sold: float, drawn: float) -> Values:
    """Return [2, 2], what a step makes of a small (x, p - p_f) in the mean: the rule's derivative there."""
    chance, slope = -np.expm1(-speed * dt), speed * dt * np.exp(-speed * dt)
    gone = beta * -np.expm1(-beta * drawn * dt) / (beta * drawn * dt)
    price = gone * np.array([sold, -drawn])  # mean dp/dt by x and by p - p_f
    reason = np.array([contagion, 0.0]) + weight / speed * price
    return np.array([[1 - 2 * chance, 0.0] + 2 * slope * reason, [0.0, 1.0] + price * dt])


SETTING = {"speed": 0.5, "contagion": 0.7, "adjustment": 1.0, "speculation": 0.8, "fundamentalists": 0.6}
CRITICAL = (SETTING["fundamentalists"] - 2 * SETTING["speed"] * (SETTING["contagion"] - 1)) / 2 / SETTING["speculation"]
"""a2 at which 2 (v (a1 - 1) + a2 beta T_N) = beta T_F."""


def of_step(dt: float, weight: float) -> Values:
    """Return the linear map of the setting, at a weight of the trend."""
    return linear(dt, SETTING["speed"], SETTING["contagion"], weight, *list(SETTING.values())[2:])


def covariance(dt: float, weight: float, size: int) -> Values:
    """Return [2, 2], that of x and p - p_f at a balance which holds: S = M S M' + Q, Q the noise 4 q (1 - q) / N."""
    chance = -np.expm1(-SETTING["speed"] * dt)
    return solve_discrete_lyapunov(of_step(dt, weight), np.diag([4 * chance * (1 - chance) / size, 0.0]))


def mean_field(x: float, price: float, dt: float, weight: float) -> tuple[float, float]:
    """Return (x, p - p_f) after a step of very many traders: the equations of the mean, in steps."""
    speed, contagion, beta, sold, drawn = SETTING.values()
    slope = beta * (x * sold - drawn * price) * -np.expm1(-beta * drawn * dt) / (beta * drawn * dt)
    reason = contagion * x + weight / speed * slope
    up, down = (-np.expm1(-speed * dt * np.exp(u)) for u in (reason, -reason))
    return x + (1 - x) * up - (1 + x) * down, price + slope * dt


@pytest.mark.full
@pytest.mark.parametrize("share", [0.6, 1.4])
def test_the_balance_holds_below_the_critical_weight_of_the_trend_and_not_above(share: float):
    """A small push dies out at 0.6 of the critical a2 and grows at 1.4.

    The critical value is where the linear map's radius is 1 as steps shrink. Mean of 40 markets of 20,000 against the
    equations of the mean, to five standard errors beside 1 % of the push (terms of var x times x).
    """
    dt, seeds, push, weight = 0.1, 40, 0.1, share * CRITICAL
    assert abs(max(abs(np.linalg.eigvals(of_step(1e-3, CRITICAL)))) - 1) < 1e-6
    assert (max(abs(np.linalg.eigvals(of_step(1e-3, weight)))) < 1) == (share < 1)
    here, tiny = (np.array(mean_field(*z, dt, weight)) for z in ((0.0, 0.0), (1e-6, 2e-6)))
    assert np.allclose((tiny - here) * 1e6, of_step(dt, weight) @ [1, 2], rtol=1e-6)
    values = {"bias": 0.0, "fundamental": 0.0, "trend": weight}
    small, batch, state = market(20_000, seeds, dt, initial=0.5 + push / 2, **SETTING, **values)
    expected = (push, 0.0)
    for at in (0, 20, 40):
        for _ in range(20):
            expected = mean_field(*expected, dt, weight)
        state = go(small, batch, state, at, 20)
        for found, theory in zip((moods(state), host(state)["globals.price"][:, 0]), expected, strict=True):
            assert abs(found.mean() - theory) < 5 * found.std() / np.sqrt(seeds) + 0.01 * push, (found.mean(), theory)
    size = np.hypot(moods(state).mean(), host(state)["globals.price"].mean())
    assert size > 2 * push if share > 1 else size < 0.6 * push


@pytest.mark.full
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_fluctuations_about_the_balance(share: float):
    """Variance and covariance of x and p among 2,000 traders, with and without the trend, to five standard errors.

    Without the trend and as steps shrink the theory is var x = 1 / (N (1 - a1)); steps of 0.1 day take 9 % from it.
    Beyond the linear map come terms of order 1 / N (1 - a1)^2: 1 %.
    """
    dt, seeds, size = 0.1, 1_000, 2_000
    assert abs(covariance(1e-4, 0.0, size)[0, 0] * size * (1 - SETTING["contagion"]) - 1) < 1e-3
    theory = covariance(dt, share * CRITICAL, size)
    small, batch, state = market(size, seeds, dt, **SETTING, bias=0.0, fundamental=0.0, trend=share * CRITICAL)
    looks = list[Values]()
    for at, count in ((0, 200), (200, 120), (320, 120), (440, 120)):  # what is left of a look at the next one: 10 %
        state = go(small, batch, state, at, count)
        looks.append(np.stack([moods(state), host(state)["globals.price"][:, 0].astype(float)]))
    found = np.concatenate(looks, axis=1)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        products = found[i] * found[j]
        gap = abs(products.mean() - theory[i, j])
        assert gap < 5 * products.std() / np.sqrt(found.shape[1]) + 0.01 * np.sqrt(theory[i, i] * theory[j, j]), (i, j)


@pytest.mark.full
def test_prices_swing_for_ever_above_the_critical_weight():
    """Bubbles and crashes: large, both ways, again and again; below it the same traders stay within six deviations."""
    for share, swings in ((1.4, True), (0.6, False)):
        small, batch, state = market(4_000, 4, 0.1, **SETTING, bias=0.0, fundamental=0.0, trend=share * CRITICAL)
        path = np.stack([moods(state := go(small, batch, state, at, 20)) for at in range(0, 2_000, 20)])[50:]
        if swings:
            assert (path.max(0) > 0.4).all() and (path.min(0) < -0.4).all()
            assert ((np.diff(np.sign(path), axis=0) != 0).sum(0) >= 6).all()
        else:
            assert np.abs(path).max() < 6 * np.sqrt(covariance(0.1, share * CRITICAL, 4_000)[0, 0])


@pytest.mark.full
def test_crowds_hold_their_mood_above_one():
    """a1 = 1.3, 4,000 traders: x = tanh(a1 x) where they begin on its side, and the price at p_f + x T_N / T_F.

    Five standard errors over 32 markets about the balance of the step, which is off by half of the step, beside 0.003
    for the curvature of the drift times var x.
    """
    dt, contagion = 0.01, 1.3
    solve: Any = optimize.brentq
    root = solve(lambda x: np.tanh(contagion * x) - x, 0.1, 1)

    def drift(x: float, dt: float) -> float:
        up, down = chances(x, dt, contagion)
        return float((1 - x) * up - (1 + x) * down)

    balance, limit = (solve(drift, 0.1, 1, args=(each,)) for each in (dt, 1e-5))
    assert abs(balance - root) < 0.7 * dt and abs(limit - root) < 1e-5
    for side in (1, -1):
        initial = 0.5 + side * root / 2
        values = EVEN | {"fundamental": 3.0, "adjustment": 2.0, "speculation": 0.8, "fundamentalists": 0.5}
        small, batch, state = market(4_000, 32, dt, initial=initial, contagion=contagion, **values)
        state = go(small, batch, state, 0, 1_000)
        x, price = moods(state), host(state)["globals.price"][:, 0].astype(float)
        assert abs(x.mean() - side * balance) < 5 * x.std() / 32**0.5 + 0.003
        assert abs(price.mean() - 3 - side * balance * 1.6) < 5 * price.std() / 32**0.5 + 0.005
