r"""Cascades of a finished spread: size, depth, breadth and structural virality of every tree of (child, parent) pairs.

.. math:: \nu = \frac{1}{n (n - 1)} \sum_i \sum_j d_{ij} = \frac{2}{n (n - 1)} \sum_{v \ne root} s_v (n - s_v)

the mean distance of two different members of a tree of n, where s_v is the size of the subtree of v (the tie above v
lies on the path of s_v (n - s_v) pairs). A star of n has 2 (n - 1) / n, a path (n + 1) / 3. Source: S. Goel,
A. Anderson, J. Hofman and D. J. Watts 2016, doi:10.1287/mnsc.2015.2158.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from lpm.errors import InputError
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Cascades:
    """One entry a tree, in ascending order of the roots' ids.

    Attributes:
        root: int64, id of the member without a parent.
        size: int64, members.
        depth: int64, ties from the root to the farthest member.
        breadth: int64, most members at one depth.
        virality: float64, structural virality; NaN of a root alone.
        people: float64, people that the members stand for.
    """

    root: HostArray
    size: HostArray
    depth: HostArray
    breadth: HostArray
    virality: HostArray
    people: HostArray

    def to_frame(self) -> pl.DataFrame:
        """Return a polars frame, one row a tree; a virality that is undefined is null."""
        import polars as pl

        return pl.DataFrame(vars(self)).with_columns(pl.col("virality").fill_nan(None))


def cascades(
    child: HostArray,
    parent: HostArray,
    alone: HostArray | None = None,
    where: str = "cascades",
    *,
    people: tuple[HostArray, HostArray] | None = None,
) -> Cascades:
    """Return the cascades of a forest.

    Args:
        child: Ids of those who were reached, [pairs], each once.
        parent: Who reached each, [pairs].
        alone: Ids of roots, so that those who reached nobody count as trees of one; members of a larger tree may be
            among them only as its root.
        where: Named in errors.
        people: Ids, each once, and how many people each stands for; None = one each.

    Raises:
        InputError: Ids that are no whole numbers, unequal lengths, a child with two parents, a ring, a root in `alone`
            that has a parent, or a member of whom `people` says nothing.
    """
    parts = [np.asarray(each) for each in (child, parent, () if alone is None else alone)]
    for each in parts:
        if each.ndim != 1 or (each.size and each.dtype.kind not in "ui"):
            raise InputError(f"{where}: expected whole numbers [pairs], got {each.dtype}{list(each.shape)}")
    children, parents, roots = (each.astype(np.int64) for each in parts)
    if len(children) != len(parents):
        raise InputError(f"{where}: expected a parent for every child, got {len(children)} and {len(parents)}")
    members, places = np.unique(np.concatenate([children, parents, roots]), return_inverse=True)
    own, above = places[: len(children)], places[len(children) : 2 * len(children)]
    tree = np.full(len(members), -1, np.int64)
    counts = np.bincount(own, minlength=len(members))
    if (counts > 1).any():
        raise InputError(f"{where}: member {members[int(counts.argmax())]} has {int(counts.max())} parents")
    tree[own] = above
    held = roots[tree[places[2 * len(children) :]] >= 0]
    if held.size:
        raise InputError(f"{where}: member {held[0]} is told to be a root and has a parent")
    depth, root = _walked(tree)
    if (depth < 0).any():
        raise InputError(f"{where}: member {members[int(depth.argmin())]} comes from itself: the pairs form a ring")
    order = np.argsort(-depth, kind="stable")
    below = _subtrees(tree, order)
    tops = np.flatnonzero(tree < 0)
    number = np.zeros(len(members), np.int64)
    number[tops] = np.arange(len(tops))
    of = number[root]
    size = np.bincount(of, minlength=len(tops))
    deepest, widest = np.zeros(len(tops), np.int64), np.zeros(len(tops), np.int64)
    np.maximum.at(deepest, of, depth)
    pairs, at_depth = np.unique(np.stack([of, depth]), axis=1, return_counts=True)
    np.maximum.at(widest, pairs[0], at_depth)
    standing = np.bincount(of, weights=_people(members, people, where), minlength=len(tops))
    return Cascades(members[tops], size, deepest, widest, _virality(tree, below, of, size), standing)


def _people(members: HostArray, people: tuple[HostArray, HostArray] | None, where: str) -> HostArray:
    """Return float64 [members], how many people each stands for."""
    if people is None:
        return np.ones(len(members))
    ids = np.asarray(people[0]).astype(np.int64)
    order = np.argsort(ids)
    place = np.minimum(np.searchsorted(ids, members, sorter=order), max(len(ids) - 1, 0))
    if len(members) and (not len(ids) or (ids[order[place]] != members).any()):
        raise InputError(f"{where}: there are members of whom it is not said how many people they stand for")
    return np.asarray(people[1], np.float64)[order[place]]


def _virality(tree: HostArray, below: HostArray, of: HostArray, size: HostArray) -> HostArray:
    """Return the structural virality of every tree, its sum over ties taken in integers."""
    inner = tree >= 0
    paths = np.zeros(len(size), np.int64)
    np.add.at(paths, of[inner], below[inner] * (size[of[inner]] - below[inner]))
    pairs = size.astype(np.float64) * (size - 1)
    return np.divide(2.0 * paths, pairs, out=np.full(len(size), np.nan), where=pairs > 0)


@njit(cache=True)
def _walked(tree: Any) -> Any:  # pragma: no cover - compiled
    """Return depth and root of every member; depth stays -1 where a ring is above."""
    count = len(tree)
    depth, root = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    path = np.empty(count, np.int64)
    for first in range(count):
        here, length = first, 0
        while here >= 0 and depth[here] < 0 and length < count:
            path[length] = here
            length += 1
            here = tree[here]
        if here >= 0 and depth[here] < 0:
            return depth, root
        at, top = (-1, -1) if here < 0 else (depth[here], root[here])
        for back in range(length - 1, -1, -1):
            member = path[back]
            at += 1
            top = member if top < 0 else top
            depth[member], root[member] = at, top
    return depth, root


@njit(cache=True)
def _subtrees(tree: Any, order: Any) -> Any:  # pragma: no cover - compiled
    """Return the size of every member's subtree, members given from the deepest up."""
    below = np.ones(len(tree), np.int64)
    for member in order:
        if tree[member] >= 0:
            below[tree[member]] += below[member]
    return below
