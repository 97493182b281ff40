"""The contract of a kernel, fourth part: policy and weights.

A layer that policy closes shows nothing of itself, one that it halves is felt; how many people an agent stands for
decides nothing about the agent, but where a kernel counts people. Everything here is exact; seeds are fixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lpm.network import Network, layout
from lpm.ops.neighbours import row_width
from lpm.simulation import World

from .world import Bench, equal

COUNTS_PEOPLE = {"herd-market", "lux-market", "music-market", "social-voting"}
"""Kernels in which what agents do counts for as many people: trades, downloads, votes."""

ALONE = {
    "ants", "compliance", "crowd", "framed-feed", "herd-market", "importation", "information-cascade", "music-market",
    "social-voting",
}  # fmt: skip
"""Kernels that look at no layer."""

BEGINNINGS: dict[str, dict[str, float]] = {"message": {"exposure": 0.0}, "seir": {"presence": 1.0}}
"""Columns with which people can still be told, or given, something: in feeds drawn within their bounds stand thousands
of posts, so that everybody posts at the next visit, whoever the neighbours are; of contacts that activity and presence
drawn within theirs leave (a sixteenth of all, where both sides count), half give nobody a disease in five days."""

UNMOVED = {"archetype-choice", "persuasion", "axelrod"}
"""Kernels that half the contacts leave as they are among these people: of friends, and of the sides where `crowd` is 0,
only shares count; cultures drawn within their bounds have nothing in common, so that nobody takes anything over."""


def mirrored(network: Network) -> Network:
    """Return the network in which agent i has the ties of agent N - 1 - i: other ties, the same shapes."""
    ends = network.indptr[-1] - network.indptr[::-1]
    return Network(network.size, ends, (network.size - 1 - network.indices)[::-1].copy())


def test_policy_on_a_layer_is_felt(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    start, member = dict(bench.people.columns), bench.member(3)
    start |= {name: np.full_like(start[name], v) for name, v in BEGINNINGS.get(bench.kernel.name, {}).items()}
    other = World({"contacts": layout(mirrored(bench.network), width=row_width())})

    def left(scale: float, world: World | None = None) -> Any:
        policy = replace(member.policy, layers=member.policy.layers * np.float32(scale))
        monkeypatch.setattr(Bench, "member", lambda self, seed: replace(member, policy=policy))
        return bench.after(start, 3, world)

    whole = left(1.0)
    alone = equal(whole, left(1.0, other))
    assert alone == (bench.kernel.name in ALONE), "who is tied to whom changes nothing" if alone else "not ALONE"
    if alone:
        return
    closed = left(0.0)
    assert equal(closed, left(0.0, other)), "a closed layer still shows who is tied to whom"
    assert not equal(whole, closed), "closing the layer changes nothing: multiply by layer.scale"
    if bench.kernel.name in UNMOVED:
        return
    assert not equal(whole, left(0.5)), "halving the layer's contacts changes nothing"


def test_weights_decide_nothing_about_an_agent(bench: Bench):
    start: dict[str, Any] = dict(bench.people.columns)
    other = start | {"weight": np.roll(start["weight"], 1)}
    one, two = ({k: v for k, v in bench.after(s, 3).items() if k != "weight"} for s in (start, other))
    assert equal(one, two) == (bench.kernel.name not in COUNTS_PEOPLE)
