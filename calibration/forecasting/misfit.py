"""How far the best fit is from what it was fitted to, by series, and from what was thought of its parameters.

Q is the mean over the figures of a series of

    z^2 = (g(y) - m)^2 / (1 + (1 + 1 / S) v),

with m the mean of the simulated g(mu) over S seeds and v its variance from run to run: about 1 where the model is right
and figures scatter as their likelihood says. A concentration that was estimated makes Q about 1 whatever the model
does: there a model that misses the data shows in the concentration k itself, by 1 / sqrt(k), the scatter of a large
count as a share of it, and in Q only once k has come to its limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lpm.calibration.likelihood import NegativeBinomial
from lpm.calibration.methods.dispersion import LOWEST
from lpm.calibration.methods.estimate import Fit
from lpm.types import HostArray

POOR = 2.0
"""From this Q on a reader is told: residuals 40 % larger than what is said of them. A guess."""


def misfit(fit: Fit, seeds: HostArray) -> list[dict[str, Any]]:
    """Return by series how far the fit is from its data.

    Args:
        fit: The fit.
        seeds: int [S], of the runs at the estimate.

    Returns:
        Rows of series, figures (how many), q, concentration (None but for a negative binomial) and at_limit: the
        concentration is the least that is told apart.
    """
    observation, count = fit.problem.observation, len(seeds)
    mean = fit.problem.curves(np.repeat(fit.u[None], count, 0), seeds).mean(0)
    squares = (observation.target - mean) ** 2 / (1 + (1 + 1 / count) * np.diag(fit.process))
    rows: list[dict[str, Any]] = []
    for series, part in zip(observation.series, observation.split(squares), strict=True):
        k = series.likelihood.k if isinstance(series.likelihood, NegativeBinomial) else None
        told = {"series": series.metric, "figures": len(part), "q": float(part.mean())}
        rows.append(told | {"concentration": k, "at_limit": k is not None and k <= LOWEST})
    return rows


def outside(row: Mapping[str, Any]) -> bool:
    """Return whether the estimate of a row of parameters lies outside the 90 % interval of its prior."""
    prior = row.get("prior")
    return prior is not None and not prior["low"] <= row["estimate"] <= prior["high"]


def beyond(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader has to know of estimates outside their priors, of rows of parameters with their origins."""
    told = [
        f"{row['name']} {row['estimate']:.3g} (prior {row['prior']['low']:.3g} to {row['prior']['high']:.3g}, "
        f"{row['origin']})"
        for row in rows
        if outside(row)
    ]
    return [f"Outside the 90 % interval of the prior: {'; '.join(told)}. Data and prior disagree."] if told else []


def remarks(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a reader has to know of rows of `misfit`, which may have an origin besides."""
    poor, wide = dict[str, list[str]](), dict[str, list[str]]()
    for row in rows:
        since = str(row.get("origin") or "")
        known = since if since in ("", "all data") else f"known until {since}"
        if row["q"] > POOR:
            poor.setdefault(str(row["series"]), []).append(f"Q {row['q']:,.1f}" + (f", {known}" if known else ""))
        if row["at_limit"]:
            wide.setdefault(str(row["series"]), []).append(known)
    made = [
        f"The model misses what was observed of {name}: squared residuals by their scatter: "
        f"{'; '.join(told)}, where 1 would be right."
        for name, told in poor.items()
    ]
    for name, told in wide.items():
        when = f" ({'; '.join(told)})" if any(told) else ""
        made.append(
            f"Figures of {name} scatter around the model as widely as can be told{when}: the concentration is at its "
            f"limit of {LOWEST:g}, a standard deviation of {100 / math.sqrt(LOWEST):.0f} %."
        )
    return made
