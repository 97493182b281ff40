"""Cascades against distances by hand and known trees; unpredictability against the sum over pairs of worlds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lpm.cascades import cascades
from lpm.errors import InputError
from lpm.unpredictability import market_shares, unpredictability, unpredictability_of_items


def plain(child: list[int], parent: list[int], root: int) -> tuple[int, int, int, float]:
    """Return size, depth, breadth and virality of a root's tree from all distances."""
    above = dict(zip(child, parent, strict=True))
    paths: dict[int, list[int]] = {}
    for member in {*child, *parent}:
        path = [member]
        while path[-1] in above:
            path.append(above[path[-1]])
        if path[-1] == root:
            paths[member] = path[::-1]
    depths = [len(path) - 1 for path in paths.values()]
    total = 0
    for one in paths.values():
        for two in paths.values():
            common = sum(a == b for a, b in zip(one, two, strict=False))
            total += len(one) + len(two) - 2 * common
    count = len(paths)
    virality = total / (count * (count - 1)) if count > 1 else math.nan
    return count, max(depths), max(depths.count(d) for d in depths), virality


def test_random_forests_are_measured_as_by_hand() -> None:
    chance = np.random.default_rng(4)
    ids = chance.choice(10**9, 150, replace=False)
    order = chance.permutation(150)
    pairs = [(ids[k], ids[chance.integers(0, k)]) for k in range(1, 150) if chance.random() < 0.9]
    pairs = [pairs[i] for i in np.argsort(order[: len(pairs)])]
    child, parent = [int(c) for c, _ in pairs], [int(p) for _, p in pairs]
    found = cascades(np.array(child), np.array(parent))
    assert sorted(found.root) == list(found.root) == sorted({*parent} - {*child})
    assert len(found.root) >= 3
    for row, root in enumerate(found.root):
        told = (found.size[row], found.depth[row], found.breadth[row], found.virality[row])
        assert told == pytest.approx(plain(child, parent, int(root)), rel=1e-12)


@pytest.mark.parametrize("count", [2, 3, 10, 100_000])
def test_paths_and_stars_have_their_closed_forms(count: int) -> None:
    rest = np.arange(1, count)
    path = cascades(rest, rest - 1)
    assert (path.size[0], path.depth[0], path.breadth[0]) == (count, count - 1, 1)
    assert path.virality[0] == pytest.approx((count + 1) / 3, rel=1e-12)
    star = cascades(rest, np.zeros_like(rest))
    assert (star.size[0], star.depth[0], star.breadth[0]) == (count, 1, count - 1)
    assert star.virality[0] == pytest.approx(2 * (count - 1) / count, rel=1e-12)


def test_roots_alone_are_trees_of_one() -> None:
    found = cascades(np.array([5, 6], np.uint32), np.array([2, 5], np.uint32), alone=np.array([9, 2, 1]))
    assert found.root.tolist() == [1, 2, 9] and found.size.tolist() == [1, 3, 1]
    assert found.depth.tolist() == [0, 2, 0] and found.breadth.tolist() == [1, 1, 1]
    assert found.to_frame()["virality"].to_list() == [None, pytest.approx(4 / 3), None]
    empty = np.array([], np.int64)
    assert cascades(empty, empty).to_frame().height == 0


@pytest.mark.parametrize(
    ("child", "parent", "alone", "words"),
    [
        ([1, 1], [2, 3], None, "member 1 has 2 parents"),
        ([1, 2, 3], [2, 3, 1], None, "comes from itself"),
        ([1, 4, 5], [1, 0, 4], None, "member 1 comes from itself"),
        ([1, 2], [0], None, "a parent for every child, got 2 and 1"),
        ([1], [0], [1], "member 1 is told to be a root"),
        ([1.5], [0.0], None, "expected whole numbers"),
    ],
)
def test_what_is_no_forest_is_said(child: list, parent: list, alone: list | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        cascades(np.array(child), np.array(parent), None if alone is None else np.array(alone))


def test_unpredictability_is_the_mean_over_pairs_of_worlds() -> None:
    counts = np.random.default_rng(3).integers(1, 90, (7, 48))
    shares = counts / counts.sum(1, keepdims=True)
    wanted = np.zeros(48)
    for j in range(7):
        for k in range(j + 1, 7):
            wanted += np.abs(shares[j] - shares[k]) / 21
    np.testing.assert_allclose(unpredictability_of_items(counts), wanted, rtol=1e-12)
    assert unpredictability(counts) == pytest.approx(wanted.mean(), rel=1e-12)


def test_unpredictability_of_known_worlds() -> None:
    assert unpredictability(np.array([[1, 3], [2, 6], [10, 30]])) == pytest.approx(0, abs=1e-15)  # the same shares
    assert unpredictability(np.eye(4)) == pytest.approx(0.5)  # each world has its own one song: 2 / items
    assert market_shares(np.array([[1, 3]])).tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([[1, 2]], "at least 2 worlds"),
        ([[1, 2], [0, 0]], "nothing was chosen in world 1"),
        ([[1, -2], [3, 4]], "negative or no number"),
        ([[1, math.nan], [3, 4]], "negative or no number"),
        ([1, 2], "expected counts"),
    ],
)
def test_counts_that_have_no_shares_are_said(counts: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        unpredictability(np.array(counts))
