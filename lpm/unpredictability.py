r"""Unpredictability of a market: how far the market shares of an item differ between worlds that differ by chance only.

.. math:: u_i = \frac{2}{W (W - 1)} \sum_{j < k} |m_{ij} - m_{ik}|,\qquad U = \frac{1}{S} \sum_i u_i

with m_ij the market share of item i in world j, of W worlds (seeds) and S items. Source: M. J. Salganik, P. S. Dodds
and D. J. Watts 2006, doi:10.1126/science.1121066.
"""

from __future__ import annotations

import numpy as np

from lpm.errors import InputError
from lpm.types import HostArray


def market_shares(counts: HostArray, where: str = "market shares") -> HostArray:
    """Return float64 [worlds, items], each count over the sum of its world.

    Args:
        counts: Choices of every item in every world, [worlds, items], at least 0.
        where: Named in errors.

    Raises:
        InputError: Another shape, a count that is negative or no number, or a world in which nothing was chosen.
    """
    if counts.ndim != 2 or counts.shape[1] < 1:
        raise InputError(f"{where}: expected counts [worlds, items], got shape {counts.shape}")
    whole = counts.astype(np.float64)
    if not np.isfinite(whole).all() or (whole < 0).any():
        raise InputError(f"{where}: expected counts of at least 0, got one that is negative or no number")
    totals = whole.sum(1, keepdims=True)
    if (totals == 0).any():
        raise InputError(f"{where}: nothing was chosen in world {int(np.argmin(totals))}, so there are no shares of it")
    return whole / totals


def unpredictability_of_items(counts: HostArray, where: str = "unpredictability") -> HostArray:
    """Return float64 [items], the mean difference of an item's market share over all pairs of worlds.

    Args:
        counts: Choices of every item in every world, [worlds, items].
        where: Named in errors.

    Raises:
        InputError: Fewer than two worlds, or what `market_shares` refuses.
    """
    shares = market_shares(counts, where)
    worlds = len(shares)
    if worlds < 2:
        raise InputError(f"{where}: expected at least 2 worlds (seeds), got {worlds}")
    # in order the k-th of W shares is subtracted by W - 1 - k others and has k others subtracted from it
    weights = 2.0 * np.arange(worlds) - (worlds - 1)
    return 2.0 / (worlds * (worlds - 1)) * (weights[:, None] * np.sort(shares, axis=0)).sum(0)


def unpredictability(counts: HostArray, where: str = "unpredictability") -> float:
    """Return U, the mean over items.

    Args:
        counts: Choices of every item in every world, [worlds, items].
        where: Named in errors.

    Raises:
        InputError: As `unpredictability_of_items`.
    """
    return float(unpredictability_of_items(counts, where).mean())


def standard_error(counts: HostArray, where: str = "unpredictability") -> float:
    r"""Return the standard error of U by the jackknife over worlds.

    .. math:: \sqrt{\frac{W - 1}{W} \sum_j (U_{(j)} - \bar U)^2}

    with U_(j) that of all worlds but j. Source: B. Efron and C. Stein 1981, Annals of Statistics 9, 586-596; U is a
    mean over pairs, for which it is right up to terms of 1/W.

    Args:
        counts: Choices of every item in every world, [worlds, items], at least three worlds.
        where: Named in errors.

    Raises:
        InputError: Fewer than three worlds, or what `market_shares` refuses.
    """
    worlds = len(counts)
    if worlds < 3:
        raise InputError(f"{where}: expected at least 3 worlds (seeds) for a standard error, got {worlds}")
    without = np.array([unpredictability(np.delete(counts, world, 0), where) for world in range(worlds)])
    return float(np.sqrt((worlds - 1) / worlds * ((without - without.mean()) ** 2).sum()))
