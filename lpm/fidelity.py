r"""How near simulated people come to real ones: distances of distributions, and the biases that simulators have.

With p what people did and q what was simulated, shares of K options:

.. math::
    TV(p, q) = \tfrac12 \sum_k |p_k - q_k|,\qquad
    W(p, q) = \frac{1}{x_K - x_1} \sum_{k<K} |P_k - Q_k| (x_{k+1} - x_k)

for options at the places x of a scale and P, Q the cumulated shares. The SimBench score (T. Hu et al., 2025,
arXiv:2510.17516) is 100 (1 - TV(p, q) / TV(p, uniform)): 100 = as people, 0 = no better than the uniform distribution,
below 0 = worse. Its equation 1 takes the ratio for every question, its equation 2 the ratio of the means over a
dataset, which is what its released programme does and the default here. 1 - W is the alignment of S. Santurkar et al.,
2023, arXiv:2303.17548.

Three biases were measured by J. Chen et al., 2026, arXiv:2604.08362: simulated people act too often (`activity_ratio`
above 1), are too much alike (`distance_ratio` below 1) and too kind (`valence_shift` above 0), and rare behaviour is
lost (`tail_coverage` below 1). The formulas here are our own statements of these, given with each function.

Uncertainty: over seeds by Student's t (`lpm.intervals.over_seeds`); over questions by leaving one out after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.errors import InputError
from lpm.intervals import Interval, over_seeds, ratio_gap
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl

RARE = 0.05
"""Share below which an option counts as rare; a guess, to be chosen for the question at hand."""


def shares(values: Any, where: str = "shares") -> HostArray:
    """Return values [..., K] divided by their sum, float64; shares stay what they are.

    Raises:
        InputError: A value that is negative, NaN or infinite, fewer than two options, or nothing but zeros.
    """
    given = np.asarray(values, np.float64)
    if given.ndim < 1 or given.shape[-1] < 2:
        raise InputError(f"{where}: expected at least two options along the last axis, got shape {given.shape}")
    if not np.isfinite(given).all() or (given < 0).any():
        raise InputError(f"{where}: expected finite numbers from 0 on, got NaN, infinite or negative ones")
    total = given.sum(-1, keepdims=True)
    if (total <= 0).any():
        raise InputError(f"{where}: expected something in every row, got {int((total <= 0).sum())} rows of zeros")
    return given / total


def total_variation(real: Any, simulated: Any) -> HostArray:
    """Return TV(p, q) = sum |p - q| / 2 along the last axis: 0 = alike, 1 = nothing in common."""
    p, q = _pair(real, simulated)
    return 0.5 * np.abs(p - q).sum(-1)


def wasserstein(real: Any, simulated: Any, scale: Any = None) -> HostArray:
    """Return the Wasserstein-1 distance along the last axis, in units of the scale's length, 0 .. 1.

    Args:
        real: Shares or counts [..., K].
        simulated: The same.
        scale: Places of the options [K], strictly ascending; None = 1, 2, ..., K.

    Raises:
        InputError: A scale that does not ascend or has another length.
    """
    p, q = _pair(real, simulated)
    at = np.arange(p.shape[-1], dtype=np.float64) if scale is None else np.asarray(scale, np.float64)
    if at.shape != p.shape[-1:] or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise InputError(f"wasserstein: expected {p.shape[-1]} ascending places of the options, got {at}")
    gaps = np.abs(np.cumsum(p - q, -1))[..., :-1]
    return (gaps * np.diff(at)).sum(-1) / (at[-1] - at[0])


def simbench(
    real: Sequence[Any], simulated: Sequence[Any], units: Sequence[Any] | None = None, per: str = "dataset"
) -> Interval:
    """Return the SimBench score with its interval; the uniform distribution scores exactly 0.

    The standard error leaves out one unit after the other (`lpm.intervals.ratio_gap`).

    Args:
        real: Shares or counts of the options, one array [K] a case; K may differ.
        simulated: The same.
        units: What cases belong together (the question, where cases are groups answering it); None = every case alone.
        per: "dataset" (ratio of means, equation 2) or "question" (mean of ratios, equation 1; it is not defined where
            people answer uniformly).

    Raises:
        InputError: Other lengths, fewer than two units, people who answer uniformly, or another word for `per`.
    """
    if per not in ("dataset", "question"):
        raise InputError(f"simbench: expected per 'dataset' or 'question', got '{per}'")
    distance, uniform = simbench_distances(real, simulated)
    labels = np.arange(len(distance)) if units is None else np.unique(np.asarray(units), return_inverse=True)[1]
    if len(labels) != len(distance):
        raise InputError(f"simbench: expected {len(distance)} units, one a case, got {len(labels)}")
    if per == "dataset":
        return ratio_gap(distance, uniform, labels)
    if (uniform <= 0).any():
        raise InputError("simbench: people answer one question uniformly: no score a question; use per='dataset'")
    return ratio_gap(distance / uniform, np.ones(len(distance)), labels)


def simbench_distances(real: Sequence[Any], simulated: Sequence[Any]) -> tuple[HostArray, HostArray]:
    """Return TV(p, q) and TV(p, uniform) by case, float64 [D] each."""
    if len(real) != len(simulated) or not len(real):
        raise InputError(f"simbench: expected as many cases on both sides, got {len(real)} and {len(simulated)}")
    uniform = [float(total_variation(p, np.ones(np.shape(p)))) for p in real]
    distance = [
        far if np.ptp(q) == 0 and np.shape(p) == np.shape(q) and np.min(q) > 0 else float(total_variation(p, q))
        for p, q, far in zip(real, simulated, uniform, strict=True)
    ]  # a uniform prediction, however it was scaled, takes the same number, so that it scores exactly 0
    return np.asarray(distance), np.asarray(uniform)


def activity_ratio(real: Any, simulated: Any) -> float:
    """Return the mean number of acts a person, simulated over real; above 1 = people who act too often.

    Args:
        real: Acts by person [N] (or shares of those who act, [...]).
        simulated: The same of simulated people, of any number.

    Raises:
        InputError: No real acts, or values that are negative or not finite.
    """
    one, two = _acts(real, "real"), _acts(simulated, "simulated")
    if one.mean() <= 0:
        raise InputError("activity ratio: nobody real acts; the ratio is not defined")
    return float(two.mean() / one.mean())


def distance_ratio(real: Any, simulated: Any) -> float:
    """Return the mean distance between two people, simulated over real; below 1 = people too much alike.

    The distance is total variation of what each does, D = mean over pairs i < j of sum_k |x_ik - x_jk| / 2, summed
    exactly over all pairs by sorting every column: sum_{i<j} |x_i - x_j| = sum_i (2 i - N + 1) x_(i).

    Args:
        real: What each person does, as shares or numbers of acts [N, K].
        simulated: The same of other people [M, K].

    Raises:
        InputError: Fewer than two people, values that are not finite, or real people who are all alike.
    """
    one, two = spread(real), spread(simulated)
    if one <= 0:
        raise InputError("distance ratio: real people are all alike; the ratio is not defined")
    return two / one


def spread(people: Any) -> float:
    """Return the mean over pairs of people of sum_k |x_ik - x_jk| / 2."""
    x = np.sort(np.asarray(people, np.float64), axis=0)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise InputError(f"distance between people: expected finite values [N >= 2, K], got shape {x.shape}")
    count = len(x)
    rank = 2 * np.arange(count) - count + 1
    return float((rank @ x).sum() / (count * (count - 1)))


def valence_shift(real: Any, simulated: Any, valence: Any) -> float:
    """Return sum_k (q_k - p_k) v_k: by how much simulated acts are kinder than real ones, in units of the valence.

    Args:
        real: Shares or counts of the acts [K].
        simulated: The same.
        valence: Value of each act [K], as -1 (hostile) .. 1 (kind).
    """
    p, q = _pair(real, simulated)
    value = np.asarray(valence, np.float64)
    if value.shape != p.shape or not np.isfinite(value).all():
        raise InputError(f"valence shift: expected a finite value for each of {p.shape[-1]} acts, got {value}")
    return float((q - p) @ value)


def tail_coverage(real: Any, simulated: Any, rare: float = RARE) -> float:
    """Return the share of rare behaviour that is still there: sum_T min(p, q) / sum_T p over T = {k: 0 < p_k <= rare}.

    It is the recall of M. S. M. Sajjadi et al., 2018, arXiv:1806.00035 (their beta at lambda = 1), within the tail.

    Args:
        real: Shares or counts [K].
        simulated: The same.
        rare: Largest share of what counts as rare.

    Raises:
        InputError: Nothing is rare.
    """
    p, q = _pair(real, simulated)
    tail = (p > 0) & (p <= rare)
    if not tail.any():
        raise InputError(f"tail coverage: no option has a share from 0 to {rare:g}; nothing is rare")
    return float(np.minimum(p, q)[tail].sum() / p[tail].sum())


def by_group(real: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], scale: Any = None) -> pl.DataFrame:
    """Return total variation and Wasserstein distance by group, each as its mean over seeds with an interval.

    Args:
        real: Shares or counts [K] by group.
        runs: The same of every seed.
        scale: As `wasserstein`.

    Returns:
        Columns group, measure, mean, error, low, high, seeds.

    Raises:
        InputError: A group that a run does not have.
    """
    import polars as pl

    rows: list[tuple[object, ...]] = []
    for group, shown in real.items():
        for number, run in enumerate(runs):
            if group not in run:
                raise InputError(f"fidelity: run {number} has no group '{group}'")
        told = {
            "total variation": over_seeds(lambda run, g=group, p=shown: float(total_variation(p, run[g])), runs),
            "wasserstein": over_seeds(lambda run, g=group, p=shown: float(wasserstein(p, run[g], scale)), runs),
        }
        rows += [(group, name, i.mean, i.error, i.low, i.high, i.count) for name, i in told.items()]
    return pl.DataFrame(rows, schema=("group", "measure", "mean", "error", "low", "high", "seeds"), orient="row")


def conditioning(
    real: Sequence[Any], conditioned: Sequence[Any], pooled: Sequence[Any], groups: Sequence[str], units: Sequence[Any]
) -> pl.DataFrame:
    """Return by how much telling the group helps: SimBench score with the group minus that without, by group.

    A model that is told a group can come out further from it than one that is not: SimBench found -1.5 points for age
    and -9.9 for religiosity. The interval is of the difference, paired by question.

    Args:
        real: Shares or counts of the options, one array [K] a case.
        conditioned: What the model says when it is told the group.
        pooled: What it says when it is not.
        groups: Group of every case.
        units: Question of every case.

    Returns:
        Columns group ("all" last), with, without, gain, error, low, high, questions, verdict ("helps", "hurts",
        "cannot be told").
    """
    import polars as pl

    told, uniform = simbench_distances(real, conditioned)
    untold, _ = simbench_distances(real, pooled)
    labels = np.unique(np.asarray(units), return_inverse=True)[1]
    named = np.asarray(groups)
    if not len(named) == len(labels) == len(told):
        raise InputError(f"conditioning: expected a group and a question for each of {len(told)} cases")
    rows: list[tuple[object, ...]] = []
    for group in [*dict.fromkeys(groups), "all"]:
        mine = named == group if group != "all" else np.ones(len(named), bool)
        scores = [100 * (1 - each[mine].mean() / uniform[mine].mean()) for each in (told, untold)]
        found = ratio_gap(told[mine] - untold[mine], uniform[mine], labels[mine], at=0.0)
        verdict = "helps" if found.low > 0 else "hurts" if found.high < 0 else "cannot be told"
        rows.append((group, *scores, found.mean, found.error, found.low, found.high, found.count, verdict))
    columns = ("group", "with", "without", "gain", "error", "low", "high", "questions", "verdict")
    return pl.DataFrame(rows, schema=columns, orient="row")


def _pair(real: Any, simulated: Any) -> tuple[HostArray, HostArray]:
    p, q = shares(real, "real"), shares(simulated, "simulated")
    if p.shape[-1] != q.shape[-1]:
        raise InputError(f"fidelity: expected the same options, got {p.shape[-1]} real and {q.shape[-1]} simulated")
    return p, q


def _acts(values: Any, where: str) -> HostArray:
    given = np.asarray(values, np.float64)
    if not given.size or not np.isfinite(given).all() or (given < 0).any():
        raise InputError(f"activity ratio: {where}: expected finite numbers from 0 on")
    return given
