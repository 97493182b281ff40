"""Biased assimilation: Dandekar's condition on two islands, DeGroot at no bias, the direct computation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize

from lpm.network import Network

from ..conftest import graph
from .trajectories import trajectory


def islands(size: int, within: int, across: int) -> Network:
    """Return two islands of `size` agents, each tied to `within` of its own (a ring) and `across` of the other."""
    steps = np.concatenate([np.arange(1, within // 2 + 1), -np.arange(1, within // 2 + 1)])
    rows: list[Any] = []
    for i in range(2 * size):
        island, place = divmod(i, size)
        # the tie across of place p goes to p + k from the first island, and to p - k from the second
        other = (place + (np.arange(across) if island == 0 else -np.arange(across))) % size + (1 - island) * size
        rows.append(np.sort(np.concatenate([(place + steps) % size + island * size, other])))
    indptr = np.arange(2 * size + 1) * (within + across)
    return Network(2 * size, indptr, np.concatenate(rows).astype(np.int32)).check("test")


@pytest.mark.parametrize("bias", [1.0, 1.3, 0.75, 0.6, 0.25, 0.0])
def test_dandekars_condition(bias: float):
    """Homophily 6 / 2: from b = 1 on islands end at 0 and 1, from 2 / (h + 1) = 0.5 on they stay apart, below at 1/2.

    Between, the limit solves (y / (1 - y))^(1 - b) = s / (d - s), s = 6 y + 2 (1 - y). Nothing is random. The limits of
    0 < b < 1 are those of exact symmetry: a shift of both islands together grows, and rounding is such a shift, so that
    the closest approach is looked at.
    """
    size, within, across = 40, 6, 2
    opinion = np.repeat([0.5, -0.5], size).astype(np.float32)
    network = islands(size, within, across)
    runs = trajectory(
        "biased-assimilation", network, {"opinion": opinion}, list(range(10, 401, 10)), bias=bias, own=1.0, weight=1.0
    )

    def drift(y: float) -> float:
        heard = within * y + across * (1 - y)
        return (1 - bias) * np.log(y / (1 - y)) - np.log(heard / (within + across - heard))

    if bias >= 1:
        limit = 1.0
    elif bias > 0.5:
        limit = 2 * float(optimize.brentq(drift, 0.5 + 1e-6, 1 - 1e-9)) - 1  # type: ignore[arg-type]
        assert 0.05 < limit < 0.99999
    else:
        limit = 0.0
    away = [np.abs(run["opinion"] - np.repeat([limit, -limit], size)).max() for run in runs]
    assert min(away) < 3e-3


@pytest.mark.parametrize("bias", [0.45, 0.55])
def test_disagreement_shrinks_below_and_grows_above_the_boundary(bias: float):
    """Homophily 6 / 2, islands 0.02 apart: every step multiplies the distance by (v + c (2 b + 1)) / (v + 2 c).

    c = 4 / 2^b, v = 1: linear order of the rule about y = 1/2, above 1 from b = 2 / (h + 1) = 1/2 on (0.957 at 0.45,
    1.042 at 0.55). The next order is cubic: below 1e-3 of the distance over ten steps.
    """
    size, near = 40, 0.01
    opinion = np.repeat([near, -near], size).astype(np.float32)
    values: dict[str, Any] = {"bias": bias, "own": 1.0, "weight": 1.0}
    found = trajectory("biased-assimilation", islands(size, 6, 2), {"opinion": opinion}, [10], **values)[0]["opinion"]
    c = 4 / 2**bias
    factor = ((1 + c * (2 * bias + 1)) / (1 + 2 * c)) ** 10
    assert (factor > 1) == (bias > 0.5)
    ratio = (found[:size].astype(float).mean() - found[size:].astype(float).mean()) / (2 * near)
    assert abs(ratio / factor - 1) < 2e-3


def test_no_bias_is_averaging():
    network = graph("barabasi-albert", 800, ties=3)
    opinion = np.random.default_rng(1).uniform(-1, 1, 800).astype(np.float32)
    found = trajectory("biased-assimilation", network, {"opinion": opinion}, [5], bias=0.0, own=0.0, weight=0.5)[0]
    plain = trajectory("degroot", network, {"opinion": opinion}, [5], weight=0.5)[0]
    assert np.abs(found["opinion"] - plain["opinion"]).max() < 1e-6


def test_one_step_is_the_direct_computation():
    size, bias, own = 700, 1.7, 2.5
    network = graph("erdos-renyi", size, mean_degree=5.0)
    opinion = np.random.default_rng(2).uniform(-1, 1, size).astype(np.float32)
    opinion[:3] = -1, 1, 0
    found = trajectory("biased-assimilation", network, {"opinion": opinion}, [1], bias=bias, own=own, weight=1.0)[0]
    y = (1 + opinion.astype(float)) / 2
    for i in range(size):
        heard = y[network.indices[network.indptr[i] : network.indptr[i + 1]]]
        up, down = y[i] ** bias * heard.sum(), (1 - y[i]) ** bias * (1 - heard).sum()
        assert abs(found["opinion"][i] - (2 * (own * y[i] + up) / (own + up + down) - 1)) < 2e-6


@pytest.mark.full
def test_order_and_devices_change_nothing():
    """At a size that no vector width divides: powers must not depend on where an agent stands."""
    size = 613
    network = graph("erdos-renyi", size, mean_degree=5.0)
    opinion = np.random.default_rng(3).uniform(-1, 1, size).astype(np.float32)
    one, three = (
        trajectory("biased-assimilation", network, {"opinion": opinion}, [10], shards=shards)[0]["opinion"]
        for shards in (1, 3)
    )
    assert np.array_equal(one, three)
    order = np.random.default_rng(4).permutation(size)
    rows = [network.indices[network.indptr[i] : network.indptr[i + 1]] for i in order]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    turned = Network(size, indptr, np.argsort(order)[np.concatenate(rows)].astype(np.int32))
    other = trajectory("biased-assimilation", turned, {"opinion": opinion[order]}, [10])[0]["opinion"]
    assert np.array_equal(one[order], other)
