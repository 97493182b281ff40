"""Information cascades: the queue agent by agent, and how often the herd is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lpm.kernels.herding.information_cascade import ADOPT, InformationCascade

from .herds import Values, agent_draws, begin, go, herd, host, key_of, members, rows_of

QUEUES, LENGTH = 250, 12


def queued(seeds: range, queues: int, length: int, shards: int = 1, **values: Any) -> dict[str, Values]:
    small = herd("information-cascade", queues * length, length, shards)
    batch = members(small, seeds, length=length, **values)
    state = begin(small, batch, rows_of(InformationCascade, queues))
    return host(go(small, batch, state, 0, length))


@pytest.mark.parametrize("tie", [pytest.param("coin", marks=pytest.mark.full), "own-signal"])
def test_every_action_is_that_of_the_slow_queue(tie: str):
    """Each agent weighs the likelihoods of all it saw (Bayes in float64) and its own draws; the lead is not used."""
    p, found = 0.7, queued(range(4, 5), QUEUES, LENGTH, accuracy=0.7, tie=tie)
    value, limit = found["queues.value"][0] > 0, int(np.float32(p) * np.float64(2**32))
    signals, coins = (
        [agent_draws(key_of(4, "information-cascade", turn, name), QUEUES * LENGTH) for turn in range(LENGTH)]
        for name in ("signal", "coin")
    )
    own = np.log(p / (1 - p))
    for queue in range(QUEUES):
        belief = 0.0  # log odds that adopting is better, from what was seen
        for turn in range(LENGTH):
            agent = queue * LENGTH + turn
            signal = own if (signals[turn][agent] < limit) == value[queue] else -own
            tied = {s: s > 0 if tie == "own-signal" else coins[turn][agent] < 2**31 for s in (own, -own)}
            weighed = belief + signal
            adopts = tied[signal] if abs(weighed) < 1e-9 else weighed > 0
            assert (found["action"][0, agent] == ADOPT) == adopts
            assert (found["outcome"][0, agent] == 2) == (adopts == value[queue])
            # what others conclude: the chance of the action under each signal, a tie counting as the rule says
            chance = {
                s: (float(s > 0) if tie == "own-signal" else 0.5) if abs(belief + s) < 1e-9 else float(belief + s > 0)
                for s in (own, -own)
            }
            seen = {s: c if adopts else 1 - c for s, c in chance.items()}
            belief += np.log(p * seen[own] + (1 - p) * seen[-own]) - np.log((1 - p) * seen[own] + p * seen[-own])


@pytest.mark.parametrize(("tie", "wrong"), [("coin", 0.368), pytest.param("own-signal", 0.308, marks=pytest.mark.full)])
def test_a_herd_is_wrong_as_often_as_published(tie: str, wrong: float):
    """40,000 queues of 24 agents, p = 0.6: 4.4 standard errors of a share, a false alarm for 1e-5 of the seeds.

    Under the coin a queue has no cascade after n agents with chance (p - p^2)^(n/2) = 4e-8; by its own signal
    (2 p (1 - p))^(n/2) = 1.5e-4.
    """
    p, queues, length = 0.6, 4_000, 24
    found = queued(range(10), queues, length, accuracy=p, tie=tie)
    lead, value = found["queues.lead"].astype(int), found["queues.value"] > 0
    herding = np.abs(lead) == 2
    assert herding.mean() > 1 - 1e-3 and abs(value.mean() - 0.5) < 0.011
    theory = {"coin": (1 - p) * (2 - p) / (2 * (1 - p + p * p)), "own-signal": (1 - p) ** 2 / (p * p + (1 - p) ** 2)}
    assert abs(theory[tie] - wrong) < 5e-4
    share = ((lead > 0) != value)[herding].mean()
    assert abs(share - theory[tie]) < 4.4 * np.sqrt(wrong * (1 - wrong) / herding.sum())


@pytest.mark.full
def test_lengths_of_the_time_before_a_cascade():
    """No cascade after n = 2, 4, 6 agents with chance (p - p^2)^(n/2) under the coin; 4.4 standard errors each."""
    p, queues = 0.6, 20_000
    for length in (2, 4, 6):
        found = queued(range(1), queues, length, accuracy=p)
        none, expected = (np.abs(found["queues.lead"]) < 2).mean(), (p - p * p) ** (length / 2)
        assert abs(none - expected) < 4.4 * np.sqrt(expected * (1 - expected) / queues)


@pytest.mark.full
def test_queues_are_the_same_on_four_devices():
    one, four = (queued(range(3), QUEUES, 7, shards) for shards in (1, 4))
    size = QUEUES * 7
    assert all(np.array_equal(v[:, :size] if "." not in n else v, four[n][:, : v.shape[1]]) for n, v in one.items())
