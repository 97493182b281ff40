r"""A language model's table of behaviours, corrected by what people really did.

.. math::  p_{dk} = \mathrm{softmax}_k(\beta z_{dk} + b_{s(d,k)} + u_{g(d),s(d,k)}),\qquad u_{gs} \sim N(0, \tau^2)

for the model's logits z of option k in case d (an archetype in a context, or a question): one temperature beta, one
offset b of every option ("slot" s: an action, or a position where options differ from question to question), and
offsets u of groups, shrunk towards 0 (partial pooling: A. Gelman and J. Hill, 2007, 10.1017/CBO9780511790942). That a
few numbers learned from people bring a model much nearer to them is the finding of Kambhatla et al., 2025,
arXiv:2507.00439. With an offset for every archetype the data would take the model's place; `shifts` tells how far they
have.

`calibrate` fits counts of observed acts: a penalised multinomial likelihood, strictly convex, by Newton's method in
float64, so the same data give the same bits. tau is given, or the maximum of the marginal likelihood in Laplace's
approximation (L. Tierney and J. B. Kadane, 1986, 10.1080/01621459.1986.10478240), or the best on held-out units.
Standard errors are those of the likelihood, or, where cases share units (groups that answer one question), robust to
whatever a unit has of its own (K.-Y. Liang and S. L. Zeger, 1986, 10.1093/biomet/73.1.13).

`Correction` makes the same numbers free in a `Space`, to be fitted through a whole simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from lpm.archetypes.table import NEVER
from lpm.calibration.errors import CalibrationError, UnidentifiedError
from lpm.calibration.partial_pooling import (
    Observed,
    by_evidence,
    by_held_out,
    covariance,
    log_softmax,
    minimum,
    observed,
)
from lpm.errors import InputError
from lpm.types import HostArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MOST", "Calibrated", "Correction", "Observed", "calibrate", "observed"]

MOST = 4000
"""Most parameters: Newton's method keeps their square matrix (4,000 = 128 MB)."""


@dataclass(frozen=True)
class Calibrated:
    """The corrected model.

    Attributes:
        beta: Temperature; 1 = the model's own, 0 = it says nothing.
        offset: b, float64 [S]; adds up to 0 over slots that occur together.
        deviation: u, float64 [G, S]; the same within every group.
        spread: tau [logits]; 0 = groups were not told apart.
        error: Standard errors by name: "beta" [], "offset" [S], "deviation" [G, S].
        deviance: -2 log likelihood at the fit, of the counts.
        chosen_by: How tau came about: "given", "marginal likelihood" or "held-out units".
        data: What was fitted.
    """

    beta: float
    offset: HostArray
    deviation: HostArray
    spread: float
    error: Mapping[str, HostArray]
    deviance: float
    chosen_by: str
    data: Observed

    def logits(self, logit: Any, group: Any, slot: Any = None) -> HostArray:
        """Return beta z + b + u; `NEVER` where z is.

        Args:
            logit: z [..., K]: a table [A, C, K], or cases [D, K].
            group: Group of each row of the first axis, int.
            slot: Slots of the options, broadcastable to `logit`; None = 0, 1, ..., K - 1. Where -1: -infinity.
        """
        z, g = np.asarray(logit, np.float64), np.asarray(group)
        place = np.broadcast_to(np.arange(z.shape[-1]) if slot is None else np.asarray(slot), z.shape)
        row = np.broadcast_to(g.reshape(g.shape + (1,) * (z.ndim - g.ndim)), z.shape)
        made = self.beta * np.where(place >= 0, z, 0) + self.offset[place] + self.deviation[row, place]
        return np.where(place >= 0, np.where(z <= NEVER, NEVER, made), -np.inf)

    def parameters(self) -> pl.DataFrame:
        """Return a row for every number: name, estimate, error (standard error)."""
        import polars as pl

        names = ["beta", *(f"offset[{slot}]" for slot in self.data.slots)]
        names += [f"deviation[{group}, {slot}]" for group in self.data.groups for slot in self.data.slots]
        values = np.concatenate([[self.beta], self.offset, self.deviation.ravel()])
        errors = np.concatenate([np.ravel(self.error[name]) for name in ("beta", "offset", "deviation")])
        return pl.DataFrame({"parameter": names, "estimate": values, "error": errors})

    def shifts(self, weight: HostArray | None = None) -> pl.DataFrame:
        """Return how far the data moved the model, by group: means over the cases that were fitted.

        Args:
            weight: Weight of every case [D]; None = the people observed in it.

        Returns:
            Columns group ("all" last), total_variation and kl (nats, sum p log(p / q)) of the calibrated distribution p
            from the model's own q, shared (total variation by beta and b alone), own (total variation between the
            distributions with u and without).
        """
        import polars as pl

        data = self.data
        mass = data.counts.sum(1) if weight is None else np.asarray(weight, np.float64)
        own = log_softmax(np.where(data.slot >= 0, data.logit, -np.inf))
        fitted = log_softmax(self.logits(data.logit, data.group, data.slot))
        bare = replace(self, deviation=np.zeros_like(self.deviation))
        shared = log_softmax(bare.logits(data.logit, data.group, data.slot))
        there = np.where(data.slot >= 0, fitted, 0) - np.where(data.slot >= 0, own, 0)
        told = {
            "total_variation": _apart(own, fitted),
            "kl": (np.exp(fitted) * there).sum(1),
            "shared": _apart(own, shared),
            "own": _apart(shared, fitted),
        }
        rows: list[tuple[object, ...]] = []
        for number, name in [*enumerate(data.groups), (-1, "all")]:
            mine = np.where(data.group == number, mass, 0) if number >= 0 else mass
            if mine.sum() > 0:
                rows.append((name, *(float(np.average(each, weights=mine)) for each in told.values())))
        return pl.DataFrame(rows, schema=("group", *told), orient="row")


def calibrate(
    data: Observed,
    spread: float | Literal["marginal", "held-out"] = "marginal",
    *,
    beta: float | None = None,
    folds: int = 5,
    robust: bool | None = None,
) -> Calibrated:
    """Return the correction that makes what was observed most probable.

    Args:
        data: Counts and the model's logits.
        spread: tau [logits]; 0 = no group offsets; "marginal" = where the marginal likelihood is largest (counts have
            to be independent people); "held-out" = where units that were left out are predicted best.
        beta: A fixed temperature, as 0 for offsets alone; None = fitted.
        folds: Parts into which units are dealt, in their order, for "held-out".
        robust: Errors from the scatter between units; None = where units hold more than one case.

    Raises:
        CalibrationError: A spread below 0, more parameters than `MOST`, fewer units than folds.
        UnidentifiedError: The logits say nothing on which a temperature could act.
    """
    if isinstance(spread, int | float) and not (spread >= 0 and np.isfinite(spread)):
        raise CalibrationError(f"archetypes: expected a spread from 0 on, 'marginal' or 'held-out', got {spread}")
    if 1 + len(data.slots) * (1 + len(data.groups)) > MOST:
        size = f"{len(data.slots)} slots and {len(data.groups)} groups"
        raise CalibrationError(f"archetypes: {size} make more than {MOST} parameters; use fewer groups")
    if beta is None and _constant(data):
        raise UnidentifiedError("archetypes: the model's logits differ in no case; give beta=0")
    if spread == "marginal":
        tau, how = by_evidence(data, beta), "marginal likelihood"
    elif spread == "held-out":
        tau, how = by_held_out(data, beta, folds), "held-out units"
    else:
        tau, how = float(spread), "given"
    found = minimum(data, tau, beta)
    several = len(np.unique(data.unit)) < len(data.unit)
    error = np.sqrt(np.maximum(np.diag(covariance(data, found, several if robust is None else robust)), 0))
    slots, groups = len(data.slots), len(data.groups)

    def parts(values: HostArray) -> tuple[HostArray, HostArray]:
        own = values[1 + slots :] if tau > 0 else np.zeros(slots * groups)
        return values[1 : 1 + slots], own.reshape(groups, slots)

    offset, deviation = parts(found.theta)
    offset_error, deviation_error = parts(error)
    errors = {"beta": np.asarray(error[0]), "offset": offset_error, "deviation": deviation_error}
    return Calibrated(float(found.theta[0]), offset, deviation, tau, errors, found.deviance, how, data)


@dataclass(frozen=True)
class Correction:
    """The correction as entries of a space: for `lpm.calibration.structured.structured` and a fit through a simulation.

    The simulation reads, under `name`, the corrected logits [..., A, C, K]; u = spread x deviation, a priori N(0, 1).
    Its entries are "name.beta", "name.offset" [K], "name.deviation" [G x K] (without it when spread is 0).

    Attributes:
        name: What the simulation reads the logits as.
        logit: The model's own logits, float32 [A, C, K].
        group: Group of each archetype, int [A].
        groups: Number of groups.
        spread: tau, the standard deviation of group offsets [logits]; a guess unless `calibrate` found it.
    """

    name: str
    logit: HostArray
    group: HostArray
    groups: int
    spread: float = 0.5

    def __post_init__(self):
        """Refuse shapes that do not fit, and NaN."""
        z = np.asarray(self.logit)
        if z.ndim != 3 or np.shape(self.group) != z.shape[:1] or not np.isfinite(z).all() or self.spread < 0:
            raise CalibrationError(f"correction {self.name}: expected finite logits [A, C, K], groups [A], spread >= 0")
        if np.min(self.group) < 0 or np.max(self.group) >= self.groups:
            raise CalibrationError(f"correction {self.name}: expected groups 0 to {self.groups - 1}")

    @property
    def entries(self) -> dict[str, Any]:
        """Priors by name: beta ~ N(1, 1), b ~ N(0, 2) (guesses, wide on a logit scale), deviations ~ N(0, 1)."""
        actions = np.asarray(self.logit).shape[2]
        made: dict[str, Any] = {f"{self.name}.beta": dist.Normal(1.0, 1.0), f"{self.name}.offset": _normals(actions, 2)}
        if self.spread > 0:
            made[f"{self.name}.deviation"] = _normals(actions * self.groups, 1)
        return made

    def values(self, theta: Mapping[str, Any]) -> Any:
        """Return the corrected logits [..., A, C, K] from the entries' values [...]; `NEVER` stays."""
        for name in self.entries:
            if name not in theta:
                raise InputError(f"correction: expected a value of '{name}' in the space: put the entries into it")
        offset = theta[f"{self.name}.offset"]
        xp: Any = np if isinstance(offset, np.ndarray) else jnp
        z = xp.asarray(self.logit, offset.dtype)
        made = theta[f"{self.name}.beta"][..., None, None, None] * z + offset[..., None, None, :]
        if self.spread > 0:
            own = theta[f"{self.name}.deviation"].reshape(*offset.shape[:-1], self.groups, z.shape[2])
            made = made + self.spread * own[..., np.asarray(self.group), :][..., :, None, :]
        return xp.where(z <= NEVER, xp.asarray(NEVER, made.dtype), made)


def _normals(count: int, spread: float) -> Any:
    return dist.Normal(jnp.zeros(count), jnp.full(count, float(spread))).to_event(1)


def _apart(one: HostArray, other: HostArray) -> HostArray:
    """Return the total variation between distributions given as logarithms, by row."""
    return 0.5 * np.abs(np.exp(one) - np.exp(other)).sum(1)


def _constant(data: Observed) -> bool:
    """Return whether the logits of every case are all the same."""
    here = (data.slot >= 0) & (data.logit > NEVER)
    low, high = (np.where(here, data.logit, -sign * np.inf) for sign in (-1, 1))
    return bool((high.max(1) - low.min(1)).max() < 1e-9)
