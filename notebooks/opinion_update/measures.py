"""What is measured of revised estimates, by condition, and how sure that is.

All are of the logarithm of estimates, in units of the spread of first answers to the question. "spread" and "error" are
what a fit is judged by; the others tell it how people got there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from opinion_update.studies import People

Numbers = np.ndarray[Any, Any]

TOLD = {
    "spread": "median absolute deviation from the question's median, after / before",
    "within": "median absolute deviation from the median of the own group, after / before",
    "error": "mean over groups and questions of |mean - truth|, after - before",
    "kept": "share whose estimate is the first one",
    "move": "median distance from the first estimate",
    "shift": "mean of that with its sign, held within -2 and 2",
    "up": "mean share of the way to the mean of the own group, by people clearly below it, held within -1 and 2",
    "down": "the same by people clearly above it",
}
"""Every measure, in words."""

FAR, CLEARLY, MOST = 512.0, 0.3, 200.0
"""Cells are sorted this far apart; apart enough from the mean to have a way to it; where distances are cut."""


def medians(values: Numbers, cell: Numbers) -> Numbers:
    """Return the median [..., cells] by cell of values [..., N], which lie within -250 and 250."""
    order = np.argsort(cell, kind="stable")
    count = np.bincount(cell)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    ranked = np.sort(values + FAR * cell, -1) - FAR * cell[order]
    return (ranked[..., start + (count - 1) // 2] + ranked[..., start + count // 2]) / 2


def means(values: Numbers, cell: Numbers) -> Numbers:
    """Return the mean [..., cells] by cell of values [..., N]."""
    rows = values.reshape(-1, values.shape[-1])
    count = np.bincount(cell)
    sums = np.stack([np.bincount(cell, row, len(count)) for row in rows])
    return (sums / np.maximum(count, 1)).reshape(*values.shape[:-1], -1)


def spread(who: People, estimates: Numbers, cell: Numbers) -> Numbers:
    """Return by condition [..., conditions] the median distance of estimates [..., N] from the median of their cell."""
    away = np.abs(estimates - medians(estimates, cell)[..., cell]) / who.doubt
    return medians(np.minimum(away, MOST), who.condition)


def group_error(who: People, estimates: Numbers) -> Numbers:
    """Return by condition [..., conditions] the mean over groups and questions of |mean estimate - truth| / doubt."""
    one = np.unique(who.group, return_index=True)[1]  # somebody of every group
    off = np.abs(means(estimates, who.group) - who.truth[one]) / who.doubt[one]
    return means(off, who.condition[one])


def measures(who: People, later: Numbers) -> dict[str, Numbers]:
    """Return every measure [..., 2, conditions] of estimates after the first and the last revision [..., 2, N]."""
    change = later - who.first
    way = means(who.first, who.group)[who.group] - who.first
    clear = np.abs(way) > CLEARLY * who.doubt
    part = np.clip(change * np.sign(way) / np.maximum(np.abs(way), 1e-9), -1, 2)

    def gone(chosen: Numbers) -> Numbers:
        counted = (chosen & clear).astype(float)
        return means(part * counted, who.condition) / np.maximum(means(counted, who.condition), 1e-9)

    return {
        "spread": spread(who, later, who.question) / spread(who, who.first, who.question),
        "within": spread(who, later, who.group) / spread(who, who.first, who.group),
        "error": group_error(who, later) - group_error(who, who.first),
        "kept": means((change == 0).astype(float), who.condition),
        "move": medians(np.minimum(np.abs(change) / who.doubt, MOST), who.condition),
        "shift": means(np.clip(change / who.doubt, -2, 2), who.condition),
        "up": gone(way > 0),
        "down": gone(way < 0),
    }


def standard_errors(who: People, draws: int, seed: int, alone: int) -> Mapping[str, Numbers]:
    """Return the bootstrap standard error [2, conditions] of every measure: units are drawn anew with replacement.

    Args:
        who: The people; every condition occurs.
        draws: Number of bootstrap samples.
        seed: Names them.
        alone: The condition whose people have no groups: a unit drawn twice joins the same cell twice.
    """
    random = np.random.default_rng(seed)
    found: dict[str, list[Numbers]] = {name: [] for name in TOLD}
    for condition in range(who.condition.max() + 1):
        rows = np.flatnonzero(who.condition == condition)
        order = rows[np.argsort(who.unit[rows], kind="stable")]
        units = np.split(order, np.flatnonzero(np.diff(who.unit[order])) + 1)
        samples: list[dict[str, Numbers]] = []
        for _ in range(draws):
            chosen = random.integers(0, len(units), len(units))
            taken = np.concatenate([units[k] for k in chosen])
            copy = np.repeat(np.arange(len(units)), [len(units[k]) for k in chosen]) * (condition != alone)
            samples.append({name: made[:, 0] for name, made in measures(*_again(who, taken, copy)).items()})
        for name in TOLD:
            found[name].append(np.std([sample[name] for sample in samples], axis=0, ddof=1))
    return {name: np.stack(each, -1) for name, each in found.items()}


def _again(who: People, taken: Numbers, copy: Numbers) -> tuple[People, Numbers]:
    """Return the people of some rows as one condition, their groups apart by copy, and their later estimates."""

    def cells(values: Numbers) -> Numbers:
        return np.unique(values, return_inverse=True)[1]

    made = replace(
        who, answers=who.answers[taken], truth=who.truth[taken], doubt=who.doubt[taken],
        condition=np.zeros(len(taken), int), question=cells(who.question[taken]),
        group=cells(who.group[taken] * (copy.max() + 1) + copy), unit=who.unit[taken], central=who.central[taken],
    )  # fmt: skip
    return made, made.later
