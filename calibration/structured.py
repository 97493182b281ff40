"""Parameters with a structure: one value a region around a common mean, and values that change with time.

Both are made of entries of a `Space`, all of them independent of each other a priori (non-centred: Papaspiliopoulos,
Roberts & Skold 2007, Statistical Science 22:59-73, 10.1214/088342307000000014), and of a function from those entries to
the values that a simulation reads:

    regions:  x_r = mean + spread * offset_r,                              offset_r ~ N(0, 1);
    time:     x_m = x_{m-1} + walk * sqrt((t_m - t_{m-1}) / per) * move_m,   move_m ~ N(0, 1), linear between knots.

On the log scale the same holds of log x. Shares that add up to 1 need nothing of this: a Dirichlet prior in the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from lpm.calibration.errors import CalibrationError
from lpm.calibration.problem import Pure, Simulator
from lpm.errors import InputError, unknown
from lpm.types import HostArray


class Structure(Protocol):
    """A parameter that is made of several entries of a space."""

    @property
    def name(self) -> str:
        """Name under which the simulation reads the values."""
        ...

    @property
    def entries(self) -> dict[str, Any]:
        """Priors by name, to be put into a space."""
        ...

    def values(self, theta: Mapping[str, Any]) -> Any:
        """Return the values [..., n] that the simulation reads, from the entries' values [..., k]."""
        ...


@dataclass(frozen=True)
class Hierarchy:
    """One value a region: x_r = mean + spread * offset_r, or mean * exp(spread * offset_r) with `log`.

    Attributes:
        name: What it is a parameter of; its entries are "name.mean", "name.spread" and "name.offset".
        regions: Names of the regions, in the order of the values.
        mean: Prior of the mean; with `log`, of the median, which has to be positive.
        spread: Prior of the standard deviation between regions (of the logarithm, with `log`), or a number.
        log: The logarithm is what varies.
    """

    name: str
    regions: tuple[str, ...]
    mean: Any
    spread: Any
    log: bool = False

    def __post_init__(self):
        """Refuse no regions, regions of one name, and a spread that can be negative."""
        if not self.regions or len(set(self.regions)) != len(self.regions):
            raise CalibrationError(f"hierarchy {self.name}: expected regions with different names, got {self.regions}")
        _scale(f"hierarchy {self.name}: spread", self.spread)
        if self.log:
            _positive(f"hierarchy {self.name}: mean", self.mean)

    @property
    def entries(self) -> dict[str, Any]:
        """Priors by name: mean, spread unless it is a number, and one offset a region."""
        made = {f"{self.name}.mean": self.mean}
        if not isinstance(self.spread, int | float):
            made[f"{self.name}.spread"] = self.spread
        return made | {f"{self.name}.offset": _normals(len(self.regions))}

    def values(self, theta: Mapping[str, Any]) -> Any:
        """Return the values [..., R] by region."""
        xp = _module(theta, f"{self.name}.offset")
        offset = _of(theta, f"{self.name}.offset")
        mean, spread = _of(theta, f"{self.name}.mean")[..., None], self.spread
        if not isinstance(spread, int | float):
            spread = _of(theta, f"{self.name}.spread")[..., None]
        return mean * xp.exp(spread * offset) if self.log else mean + spread * offset

    def value(self, theta: Mapping[str, Any], region: str) -> Any:
        """Return the value [...] of one region.

        Raises:
            InputError: A region that does not exist.
        """
        if region not in self.regions:
            raise unknown(f"hierarchy {self.name}", "region", region, self.regions)
        return self.values(theta)[..., self.regions.index(region)]


@dataclass(frozen=True)
class Knots:
    """A value that changes with time: a random walk from knot to knot, linear between them, constant outside.

    Attributes:
        name: What it is a parameter of; its entries are "name.first", "name.moves", and "name.walk" if that is fitted.
        at: Steps of the knots, ascending.
        first: Prior at the first knot; with `log` it has to be positive.
        walk: Standard deviation of a change over `per` steps (of the logarithm, with `log`): a number, or a prior.
        steps: Steps of the simulation.
        per: Steps to which `walk` refers; a week of days by default.
        log: The logarithm is what walks, and what is interpolated.
    """

    name: str
    at: tuple[int, ...]
    first: Any
    walk: Any
    steps: int
    per: float = 7.0
    log: bool = False

    def __post_init__(self):
        """Refuse fewer than two knots, knots that do not ascend, and a walk that can be negative."""
        if len(self.at) < 2 or (np.diff(self.at) <= 0).any() or self.at[0] < 0:
            raise CalibrationError(f"knots {self.name}: expected at least two ascending steps from 0 on, got {self.at}")
        if self.at[-1] >= self.steps or not self.per > 0:
            where = f"knots {self.name}: expected knots before the end at step {self.steps}, and per above 0"
            raise CalibrationError(f"{where}, got a knot at {self.at[-1]} and {self.per:g}")
        _scale(f"knots {self.name}: walk", self.walk)
        if self.log:
            _positive(f"knots {self.name}: first", self.first)

    @property
    def entries(self) -> dict[str, Any]:
        """Priors by name: the first value, the moves, and the walk's size unless it is a number."""
        made = {f"{self.name}.first": self.first}
        if not isinstance(self.walk, int | float):
            made[f"{self.name}.walk"] = self.walk
        return made | {f"{self.name}.moves": _normals(len(self.at) - 1)}

    @property
    def hats(self) -> HostArray:
        """Weight of every knot at every step, [steps, M], float64; every row adds up to 1."""
        at = np.asarray(self.at, np.float64)
        columns = [np.interp(np.arange(self.steps), at, unit) for unit in np.eye(len(at))]
        return np.stack(columns, 1)

    def at_knots(self, theta: Mapping[str, Any]) -> Any:
        """Return the values [..., M] at the knots."""
        walked = self._walked(theta)
        return _module(theta, f"{self.name}.moves").exp(walked) if self.log else walked

    def values(self, theta: Mapping[str, Any]) -> Any:
        """Return the values [..., steps] by step."""
        return self.path(self._walked(theta))

    def path(self, knots: Any) -> Any:
        """Return the values [..., steps] of what is given at the knots [..., M] (logarithms, with `log`)."""
        xp = np if isinstance(knots, np.ndarray) else jnp
        made = knots @ xp.asarray(self.hats, knots.dtype).T
        return xp.exp(made) if self.log else made

    def averaged(self, table: HostArray) -> HostArray:
        """Return the means [M, C] around the knots of what is known by step, [steps, C]: covariates of a network."""
        table = np.asarray(table, np.float64)
        if table.ndim != 2 or len(table) != self.steps:
            raise CalibrationError(f"knots {self.name}: expected a table of {self.steps} steps, got {table.shape}")
        return self.hats.T @ table / self.hats.sum(0)[:, None]

    def _walked(self, theta: Mapping[str, Any]) -> Any:
        xp = _module(theta, f"{self.name}.moves")
        moves, first = _of(theta, f"{self.name}.moves"), _of(theta, f"{self.name}.first")[..., None]
        start = xp.log(first) if self.log else first
        walk = self.walk if isinstance(self.walk, int | float) else _of(theta, f"{self.name}.walk")[..., None]
        unit = xp.broadcast_to(np.sqrt(np.diff(self.at) / self.per).astype(moves.dtype), moves.shape)
        return xp.concatenate([start, start + xp.cumsum(walk * unit * moves, -1)], -1)


def expanded(theta: Mapping[str, Any], structures: Sequence[Structure]) -> dict[str, Any]:
    """Return theta with every structure's values in the place of its entries."""
    entries = {name for each in structures for name in each.entries}
    made = {name: value for name, value in theta.items() if name not in entries}
    return made | {each.name: each.values(theta) for each in structures}


@dataclass(frozen=True)
class Expanded:
    """A simulator that is told the values of structures where the space has their entries.

    Attributes:
        simulator: What runs; it reads "name" as [B, n].
        structures: What is expanded.
    """

    simulator: Simulator
    structures: tuple[Structure, ...]

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric."""
        return self.simulator.groups

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, steps, groups]."""
        return self.simulator.run(expanded(theta, self.structures), seeds)


def structured(simulator: Simulator, *structures: Structure) -> Simulator:
    """Return a simulator that is told the values of structures; a pure function stays one, and differentiable."""
    if not isinstance(simulator, Pure):
        return Expanded(simulator, structures)
    inner = simulator.function
    return replace(simulator, function=lambda theta, key, static: inner(expanded(theta, structures), key, static))


def _normals(count: int) -> Any:
    return dist.Normal(jnp.zeros(count), jnp.ones(count)).to_event(1)


def _of(theta: Mapping[str, Any], name: str) -> Any:
    if name not in theta:
        raise InputError(f"structure: expected a value of '{name}' in the space: put the structure's entries into it")
    return theta[name]


def _module(theta: Mapping[str, Any], name: str) -> Any:
    return np if isinstance(_of(theta, name), np.ndarray) else jnp


def _scale(where: str, given: Any) -> None:
    """Refuse a standard deviation that is not above 0."""
    if isinstance(given, int | float):
        if not given > 0:
            raise CalibrationError(f"{where}: expected a number above 0, got {given}")
    else:
        _positive(where, given)


def _positive(where: str, prior: Any) -> None:
    low = getattr(getattr(prior, "support", None), "lower_bound", None)
    if low is None or prior.event_shape or float(np.min(low)) < 0:
        raise CalibrationError(f"{where}: expected the prior of one positive number, got {prior!r}")
