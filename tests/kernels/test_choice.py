"""Choice from a table of logits: the slow draw by draw, the shares of the softmax, actions that do not exist."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lpm.kernels.decision.choice import ACTIONS, CONTEXTS, NEVER, Choice

from .herds import Values, agent_draws, begin, go, herd, host, key_of, members, rows_of

SIZE, ARCHETYPES, REAL = 2_000, 5, 4


def logits(seed: int = 1) -> Values:
    table = np.full((ARCHETYPES, CONTEXTS, ACTIONS), NEVER, np.float32)
    table[..., :REAL] = np.random.default_rng(seed).normal(0, 1, (ARCHETYPES, CONTEXTS, REAL))
    return table


def softmax(logit: Values, temperature: float) -> Values:
    """Return the chances in float64."""
    scaled = logit.astype(np.float64) / temperature
    chances = np.exp(scaled - scaled.max(-1, keepdims=True))
    return chances / chances.sum(-1, keepdims=True)


def acted(archetype: Values, context: Values, temperature: float, steps: int = 1, shards: int = 1) -> Values:
    small = herd("choice", len(archetype), steps, shards, archetype=archetype, context=context)
    batch = members(small, [3], temperature=temperature)
    state = begin(small, batch, rows_of(Choice, ARCHETYPES, logit=logits()))
    return host(go(small, batch, state, 0, steps))["action"][0, : len(archetype)]


@pytest.mark.parametrize("size, shards", [(200, 1), pytest.param(SIZE, 4, marks=pytest.mark.full)])
def test_every_action_is_the_one_that_the_draw_names(size: int, shards: int):
    """Agent by agent from the scalar draws; within 1e-6 of a boundary float32 may fall on the other side."""
    generator = np.random.default_rng(2)
    archetype, context = generator.integers(0, ARCHETYPES + 1, size), generator.integers(0, CONTEXTS, size)
    found = acted(archetype, context, 0.7, shards=shards)
    chances, drawn = softmax(logits(), 0.7), agent_draws(key_of(3, "choice", 0, "action"), size) / 2.0**32
    assert (archetype == ARCHETYPES).any()
    for agent in range(size):
        if archetype[agent] == ARCHETYPES:  # no such row: nothing is done
            assert found[agent] == 0
            continue
        ends = np.cumsum(chances[archetype[agent], context[agent]])
        if np.abs(ends - drawn[agent]).min() > 1e-6:
            assert found[agent] == np.searchsorted(ends, drawn[agent], side="right")
    assert found.max() < REAL
    assert shards == 1 or np.array_equal(found, acted(archetype, context, 0.7))


def test_shares_are_those_of_the_softmax():
    """Chi-square of 2,000 agents of one archetype and context; false alarm for 1e-4 of the choices of the seed."""
    for temperature in (0.5, 2.0):
        found = acted(np.full(SIZE, 2), np.full(SIZE, 7), temperature)
        expected = softmax(logits()[2, 7, :REAL], temperature) * SIZE
        assert stats.chisquare(np.bincount(found, minlength=REAL), expected).pvalue > 1e-4
