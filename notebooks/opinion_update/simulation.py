"""The experiments as simulations of the kernel `estimate-revision`: networks, parameters, simulator, what is fitted."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from lpm import random
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.clock import Clock
from lpm.kernels.polarization.estimate_revision import EstimateRevision
from lpm.network import Network, layout
from lpm.ops.neighbours import row_width
from opinion_update.measures import TOLD, Numbers, measures
from opinion_update.studies import CONDITIONS, NONE, People

LABELS = tuple(each.label for each in CONDITIONS)
DECENTRALIZED, CENTRALIZED = LABELS.index("Becker Decentralized"), LABELS.index("Becker Centralized")
ROUNDS = max(each.rounds for each in CONDITIONS)

FLOOR = {
    "spread": 0.03, "within": 0.03, "error": 0.03, "kept": 0.03, "move": 0.04, "shift": 0.04, "up": 0.08, "down": 0.08,
}  # fmt: skip
"""How far a measure may be off without weight in the fit, beside its bootstrap error (a guess, set before the fit)."""


def _log(median: float, spread: float) -> Any:
    return dist.LogNormal(float(np.log(median)), spread)


PRIORS: Mapping[str, Any] = {
    "follow_mean": dist.Beta(6, 3),
    "follow_all": dist.Beta(6, 3),
    "follow_talk": dist.Beta(6, 3),
    "distance_seen": _log(0.3, 1.0),
    "distance_talk": _log(0.3, 1.0),
    "adopt_talk": dist.Beta(2, 4),
    "weight_mean": dist.Normal(0.5, 0.25),
    "weight_all": dist.Normal(0.5, 0.25),
    "weight_talk": dist.Normal(0.8, 0.25),
    "diversity_seen": _log(0.3, 0.4),
    "diversity_talk": _log(0.3, 0.4),
    "power_all": dist.Uniform(0, 1),
    "power_talk": dist.Uniform(0, 1),
    "dominance_talk": _log(1.0, 0.5),
    "rethink_none": dist.Beta(5, 3),
    "rethink_seen": dist.Beta(5, 5),
    "rethink_talk": dist.Beta(5, 5),
    "restless_none": _log(0.3, 0.5),
    "restless_seen": _log(0.2, 0.7),
    "restless_talk": _log(0.2, 0.7),
    "habit": dist.Beta(5, 2),
    "resistance": dist.Normal(0.3, 0.3),
    "authority": dist.Normal(0.0, 1.0),
    "sobering_none": dist.Beta(1.5, 8),
    "sobering_seen": dist.Beta(1.5, 8),
}
"""What is fitted: by name, and by what people are shown ("seen": a mean or all estimates; all priors are guesses)."""

HELD = {"adopt_seen": 0.05, "power_mean": 1.0, "most": 0.95}
"""What is not: a mean that was shown was the arithmetic one; the others have little to do with what is measured."""


def parameters(theta: Mapping[str, Any]) -> Any:
    """Return the kernel's parameters; vectors follow `information`."""
    known = HELD | {name: 0.0 for name in ("", "authority", "resistance")} | dict(theta)

    def each(*names: str) -> Any:
        return jnp.stack([jnp.asarray(known[name], jnp.float32) for name in names])

    def one(name: str) -> Any:
        return jnp.asarray(known[name], jnp.float32)

    return EstimateRevision.Params(
        revision=jnp.float32(1),
        follow=each("", "follow_mean", "follow_all", "follow_talk"),
        distance=each("", "distance_seen", "distance_seen", "distance_talk"),
        most=each("most", "most", "most", "most"),
        adopt=each("", "adopt_seen", "adopt_seen", "adopt_talk"),
        weight=each("", "weight_mean", "weight_all", "weight_talk"),
        diversity=each("", "diversity_seen", "diversity_seen", "diversity_talk"),
        power=each("power_mean", "power_mean", "power_all", "power_talk"),
        dominance=each("", "", "", "dominance_talk"),
        resistance=one("resistance"),
        authority=one("authority"),
        rethink=each("rethink_none", "rethink_seen", "rethink_seen", "rethink_talk"),
        restlessness=each("restless_none", "restless_seen", "restless_seen", "restless_talk"),
        sobering=each("sobering_none", "sobering_seen", "sobering_seen", "sobering_seen"),
        habit=one("habit"),
    )


def network(who: People, seed: int) -> Network:
    """Return who sees whom: everybody a group and oneself; a star; a random graph of four ties; nobody.

    The files do not say who was tied to whom in Becker's decentralized groups: any random graph of that degree (two
    random rings) stands for it. A star whose hub did not answer shows nobody anything.
    """
    draws, size = np.random.default_rng(seed), len(who.first)
    order = np.argsort(who.group, kind="stable")
    arcs: list[Numbers] = [np.zeros((2, 0), int)]
    for rows in np.split(order, np.flatnonzero(np.diff(who.group[order])) + 1):
        condition = who.condition[rows[0]]
        if CONDITIONS[condition].information == NONE:
            continue
        if condition == DECENTRALIZED:
            for _ in range(2):
                ring = draws.permutation(rows)
                arcs += [np.stack([ring, np.roll(ring, 1)]), np.stack([np.roll(ring, 1), ring])]
        elif condition == CENTRALIZED:
            for hub in rows[who.central[rows]]:
                rest = rows[rows != hub]
                arcs += [np.stack([np.full_like(rest, hub), rest]), np.stack([rest, np.full_like(rest, hub)])]
        else:
            arcs.append(np.stack([np.tile(rows, len(rows)), np.repeat(rows, len(rows))]))
    source, receiver = np.unique(np.concatenate(arcs, 1), axis=1)
    order = np.lexsort((source, receiver))
    ends = np.concatenate([[0], np.cumsum(np.bincount(receiver, minlength=size))])
    return Network(size, ends, source[order].astype(np.int32)).check("opinion update")


@dataclass(frozen=True)
class Experiments:
    """All experiments at once: a simulator for `lpm.calibration.problem.Problem`.

    Attributes:
        who: The people, who begin with their own first answers.
        seen: Who sees whom.
    """

    who: People
    seen: Network

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the conditions, by measure."""
        return {name: LABELS for name in TOLD}

    @functools.cached_property
    def _columns(self) -> dict[str, Any]:
        who, shape = self.who, self.who.first.shape
        return {
            "id": jnp.arange(len(who.first), dtype=jnp.uint32),
            "present": jnp.ones(shape, bool),
            "estimate": jnp.asarray(who.first, jnp.float32),
            "doubt": jnp.asarray(who.doubt, jnp.float32),
            "typical": jnp.zeros(shape, jnp.float32),
            "knowledge": jnp.asarray(np.exp(-np.abs(who.first - who.truth) / who.doubt), jnp.float32),
            "information": jnp.asarray(np.asarray([c.information for c in CONDITIONS])[who.condition], jnp.uint8),
        }

    @functools.cached_property
    def _rounds(self) -> Numbers:
        return np.asarray([c.rounds for c in CONDITIONS])[self.who.condition]

    @functools.cached_property
    def _layer(self) -> Any:
        return jax.tree.map(jnp.asarray, layout(self.seen, width=row_width()))

    def later(self, theta: Mapping[str, Numbers], seeds: Numbers) -> Numbers:
        """Return the estimates after the first and after the last revision, float64 [B, 2, N]."""
        count = len(seeds)
        more = (1 << (count - 1).bit_length()) - count  # compiled for powers of two

        def filled(x: Numbers, dtype: Any) -> Any:
            return jnp.asarray(np.concatenate([x, np.repeat(x[:1], more, 0)]), dtype)

        values = {name: filled(each, jnp.float32) for name, each in theta.items()}
        last = jnp.asarray(self._rounds - 1)
        made = _many(values, filled(seeds, jnp.uint32), self._columns, self._layer, last)
        return np.asarray(made, np.float64)[:count]

    def run(self, theta: Mapping[str, Numbers], seeds: Numbers) -> Mapping[str, Numbers]:
        """Return every measure [B, 2, conditions]."""
        return measures(self.who, self.later(theta, seeds))

    def weighted(self, weight: float) -> Numbers:
        """Return the estimates [2, N] of people who all go this part of the way to the mean they see, every round."""
        now, source = self.who.first, self.seen.indices
        degree = self.seen.degrees()
        receiver, found = np.repeat(np.arange(len(now)), degree), [now]
        for _ in range(ROUNDS):
            plain = np.exp(now)
            mean = np.bincount(receiver, plain[source], len(now)) / np.maximum(degree, 1)
            now = np.where(degree > 0, np.log((1 - weight) * plain + weight * mean), now)
            found.append(now)
        return np.stack([found[1], np.stack(found)[self._rounds, np.arange(len(now))]])


@jax.jit
def _many(theta: Any, seeds: Any, columns: Any, layer: Any, last: Any) -> Any:
    """Return estimates [B, 2, N], one run after the other."""
    clock = Clock(jnp.int32(0), 1.0, 1)

    def one(given: Any) -> Any:
        values, seed = given
        params = parameters(values)
        key = random.instance(random.root(jnp.stack([seed, jnp.uint32(0)])), EstimateRevision.name)
        traits = EstimateRevision.init(key, {"agents": columns}, params, clock)
        begun = columns | {name: traits[name] for name in ("openness", "voice")}

        def round_(agents: Any, step: Any) -> Any:
            new = EstimateRevision.step(random.at_step(key, step), {"agents": agents}, {"group": layer}, params, clock)
            return agents | dict(new), new["estimate"]

        _, after = jax.lax.scan(round_, begun, jnp.arange(ROUNDS))
        return jnp.stack([after[0], after[last, jnp.arange(len(last))]])

    return jax.lax.map(one, (theta, seeds))


def observation(seen: Mapping[str, Numbers], errors: Mapping[str, Numbers]) -> Observation:
    """Return what a fit is to meet: every measure of every condition, with its bootstrap error."""
    made: list[Series] = []
    for name in TOLD:
        for place, condition in enumerate(CONDITIONS):
            if name in ("shift", "up", "down") and condition.information == NONE:
                continue  # there is nobody to move to
            both = condition.rounds > 1 and name not in ("error", "shift")
            for stage in (0, 1) if both else (1,):
                sd = float(np.hypot(errors[name][stage, place], FLOOR[name]))
                value, begin = np.array([seen[name][stage, place]]), np.array([stage])
                made.append(
                    Series(name, value, begin, begin + 1, (condition.label,), flow=False, likelihood=Normal(sd))
                )
    return Observation(tuple(made))
