"""Fit the persuasion kernel to AgentSociety's table of outcomes: `python tests/benchmarks/fit_persuasion.py [rounds]`.

Three arms share one set of parameters and one start; only who talks to whom differs. The table is that of the
experiment on polarization in Piao et al., 2025, 10.48550/arXiv.2502.08691 (100 agents, 3 days): control = friends talk,
same side = everybody hears one persuader of the own side, opposite side = one of the other. A cross-entropy search
prints the best set found and the total variation distance of each arm. With 100 agents chance alone moves a published
arm by a distance of about 0.07, so that a smaller one says nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm import random
from lpm.clock import Clock
from lpm.kernels.polarization.persuasion import Persuasion
from lpm.network import Layer, Network, layout

OUTCOMES = ("more polarized", "less polarized", "crossed", "unchanged")
TABLE = {
    "control": (0.39, 0.33, 0.10, 0.18),
    "same side": (0.52, 0.13, 0.00, 0.35),
    "opposite side": (0.00, 0.89, 0.11, 0.00),
}
"""Shares of the 100 agents, Piao et al., 2025, read from its figure on polarization."""

DAYS = 3
FITTED = ("persuasion", "reinforcement", "diversity", "stubborn", "yielding", "crowd")
RANGES = ((0.0, 0.8), (0.0, 0.6), (0.0, 0.5), (0.0, 1.0), (0.0, 1.0), (0.0, 30.0))


@dataclass(frozen=True)
class Arms:
    """The people and the three networks; the last two agents are the persuaders, against and in favour.

    Attributes:
        agents: Columns before the traits and opinions are drawn.
        layers: One layer an arm.
        persuaders: bool [agents].
    """

    agents: dict[str, Any]
    layers: dict[str, Layer]
    persuaders: Any


def of_pairs(size: int, receivers: Any, sources: Any) -> Network:
    """Return a network of arcs, every arc once."""
    flat = np.unique(np.asarray(receivers, np.int64) * size + sources)
    ends = np.cumsum(np.bincount(flat // size, minlength=size))
    return Network(size, np.concatenate([[0], ends]), (flat % size).astype(np.int32))


def arms(size: int, seed: int, key: random.Key) -> Arms:
    """Return the arms: friendships of 2 to 5 friends named by everybody, or one persuader each."""
    generator = np.random.default_rng(seed)
    named = np.repeat(np.arange(size), generator.integers(2, 6, size))
    friends = (named + generator.integers(1, size, len(named))) % size  # anybody but oneself
    everyone = size + 2
    ids = jnp.arange(everyone, dtype=jnp.uint32)
    agents = {
        "id": ids,
        "present": jnp.ones(everyone, bool),
        "community": jnp.zeros(everyone, jnp.uint8),
        "stance": jnp.zeros(everyone, jnp.uint8),
        "voice": jnp.ones(everyone, jnp.float32),
    }
    begun = begin(agents, Persuasion.Params(), key)
    favour = np.asarray(begun["opinion"])[:size] > 0
    everybody = np.arange(size)
    control = of_pairs(everyone, np.concatenate([named, friends]), np.concatenate([friends, named]))
    made = {
        "control": control,
        "same side": of_pairs(everyone, everybody, size + favour),
        "opposite side": of_pairs(everyone, everybody, size + ~favour),
    }
    return Arms(agents, {name: layout(network) for name, network in made.items()}, jnp.arange(everyone) >= size)


def begin(agents: dict[str, Any], params: Any, key: random.Key) -> dict[str, Any]:
    """Return the columns at the start, the persuaders' included."""
    values = replace(params, **{f.name: jnp.asarray(getattr(params, f.name), jnp.float32) for f in fields(params)})
    begun = dict(agents) | dict(Persuasion.init(key, {"agents": agents}, values, Clock(jnp.int32(0), 1.0, 1)))
    opinion, susceptibility = begun["opinion"], begun["susceptibility"]
    begun["opinion"] = opinion.at[-2].set(-1.0).at[-1].set(1.0)
    begun["susceptibility"] = susceptibility.at[-2:].set(0.0)
    return begun


def outcomes(world: Arms, values: Any, key: random.Key) -> Any:
    """Return float32 [arms, outcomes], shares of agents after three days of the kernel's own steps.

    Attitudes are rounded to whole numbers between 0 and 10, as agents gave them.
    """
    params = replace(Persuasion.Params(), **dict(zip(FITTED, values, strict=True)))
    begun = begin(world.agents, params, key)
    side, first = jnp.sign(begun["opinion"]), 2.0
    rows: list[Any] = []
    for layer in world.layers.values():
        agents = begun
        for day in range(DAYS):
            step = Clock(jnp.int32(day), 1.0, 1)
            agents = agents | dict(Persuasion.step(key, {"agents": agents}, {"friends": layer}, params, step))
        attitude = jnp.round(5 * agents["opinion"]) * side  # from the middle, positive on the first side
        people = ~world.persuaders
        kinds = (attitude > first, (attitude >= 0) & (attitude < first), attitude < 0, attitude == first)
        rows.append(jnp.stack([(kind & people).sum() / people.sum() for kind in kinds]))
    return jnp.stack(rows)


def distances(found: Any) -> Any:
    """Return [arms], total variation distances from the published table."""
    return 0.5 * np.abs(np.asarray(found) - np.array(list(TABLE.values()))).sum(-1)


def search(rounds: int, size: int = 16_000, count: int = 64, seed: int = 1) -> tuple[Any, Any]:
    """Return the best values of the fitted parameters and the outcomes under them, by cross-entropy search."""
    key = random.root(seed)
    world = arms(size, seed, key)
    many = jax.jit(lambda given: jax.lax.map(lambda values: outcomes(world, values, key), given))
    generator = np.random.default_rng(seed)
    low, high = np.array(RANGES).T
    middle, width = (low + high) / 2, (high - low) / 2.5
    best: tuple[float, Any, Any] = (np.inf, None, None)
    for _ in range(rounds):
        given = np.clip(generator.normal(middle, width, (count, len(low))), low, high).astype(np.float32)
        found = np.asarray(many(given))
        apart = distances(found)
        cost = apart.max(1) + 0.2 * apart.mean(1)
        order = np.argsort(cost)[: count // 6]
        if cost[order[0]] < best[0]:
            best = (cost[order[0]], given[order[0]], found[order[0]])
        middle = 0.3 * middle + 0.7 * given[order].mean(0)
        width = 0.4 * width + 0.6 * given[order].std(0) + 1e-4 * (high - low)
    return best[1], best[2]


def told(values: Any, found: Any) -> str:
    """Return the parameters and the table for people."""
    lines = [", ".join(f"{name} = {value:.4g}" for name, value in zip(FITTED, values, strict=True))]
    lines.append(f"{'arm':14} {'distance':>8}   " + "  ".join(f"{outcome:>16}" for outcome in OUTCOMES))
    for (arm, published), shares, apart in zip(TABLE.items(), np.asarray(found), distances(found), strict=True):
        cells = "  ".join(f"{share:7.3f} ({said:.2f})".rjust(16) for share, said in zip(shares, published, strict=True))
        lines.append(f"{arm:14} {apart:8.3f}   {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    values, found = search(rounds)
    print(f"best found (published in brackets):\n{told(values, found)}")
    defaults = [getattr(Persuasion.Params(), name) for name in FITTED]
    other = random.root(2)
    found = outcomes(arms(20_000, 2, other), defaults, other)
    print(f"the kernel's defaults, other people and friends:\n{told(defaults, found)}")
