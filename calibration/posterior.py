"""A posterior: draws of the parameters given what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import jax
import numpy as np
import polars as pl

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.space import Space
from lpm.types import HostArray

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
"""Columns of the table: the ends of the 90 % and 50 % intervals, and the median."""


class Method(Protocol):
    """A way from observed values to draws of the parameters; what coverage is checked of."""

    def sample(self, values: HostArray, count: int, seed: int = 0) -> HostArray:
        """Return draws u [B, count, P] for B sets of observed values [B, D]."""
        ...


@dataclass(frozen=True)
class Posterior:
    """Draws of the parameters given what was observed.

    Attributes:
        space: The parameters and their priors.
        u: float64 [n, P], independent (or thinned) draws in unconstrained coordinates.
        log_prob: float64 [n], log density of every draw, up to a constant; None where it is not known.
        notes: What a reader has to know, a sentence each.
    """

    space: Space
    u: HostArray
    log_prob: HostArray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuse draws of another space, or that are not finite.

        Raises:
            CalibrationError: Another shape.
            NotFiniteError: NaN or infinite draws.
        """
        if self.u.ndim != 2 or self.u.shape[1] != self.space.size or not len(self.u):
            raise CalibrationError(f"posterior: expected draws [n, {self.space.size}], got {list(self.u.shape)}")
        if not np.isfinite(self.u).all():
            raise NotFiniteError("posterior: NaN or infinite draws")
        if self.log_prob is not None and self.log_prob.shape != self.u.shape[:1]:
            raise CalibrationError(f"posterior: expected {len(self.u)} log densities, got {list(self.log_prob.shape)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates, [P]."""
        return self.space.names

    @property
    def size(self) -> int:
        """Number of draws n."""
        return len(self.u)

    @cached_property
    def _theta(self) -> dict[str, HostArray]:
        with jax.numpy_rank_promotion("allow"):  # numpyro's own arithmetic of simplexes
            return {name: np.asarray(values, np.float64) for name, values in self.space.constrain(self.u).items()}

    def theta(self) -> dict[str, HostArray]:
        """Return the draws by parameter in natural units, [n, ...] each."""
        return dict(self._theta)

    def frame(self, levels: Mapping[str, Sequence[str]] | None = None) -> pl.DataFrame:
        """Return the draws in natural units, a row each and a column per number: what `--draws FILE` reads.

        A scalar parameter's column bears its name ("seir.beta"), that of one number of a vector also the level's
        ("seir.ihr.65-74").

        Args:
            levels: Names of the levels of vector parameters; without them they are counted from 0.

        Raises:
            CalibrationError: Levels that are not those of a vector parameter.
        """
        levels = dict(levels or {})
        for name in levels:
            if name not in self._theta or self._theta[name].ndim == 1:
                raise CalibrationError(f"posterior: levels of '{name}': there is no vector parameter of that name")
        columns: dict[str, Any] = {}
        for name, values in self._theta.items():
            if values.ndim == 1:
                columns[name] = values
                continue
            flat = values.reshape(len(values), -1)
            labels = list(levels.get(name, map(str, range(flat.shape[1]))))
            if len(labels) != flat.shape[1]:
                raise CalibrationError(f"posterior: {name}: expected {flat.shape[1]} levels, got {len(labels)}")
            columns |= {f"{name}.{label}": flat[:, i] for i, label in enumerate(labels)}
        return pl.DataFrame(columns)

    def table(self, levels: Mapping[str, Sequence[str]] | None = None) -> pl.DataFrame:
        """Return a row per number: parameter, mean, sd and quantiles in natural units."""
        frame = self.frame(levels)
        rows = [
            {"parameter": name, "mean": float(np.mean(x)), "sd": float(np.std(x))}
            | {column: float(np.quantile(x, share)) for column, share in QUANTILES.items()}
            for name in frame.columns
            for x in [frame[name].to_numpy()]
        ]
        return pl.DataFrame(rows)

    def thinned(self, count: int) -> Posterior:
        """Return `count` of the draws, evenly spaced.

        Raises:
            CalibrationError: More than there are.
        """
        if not 0 < count <= self.size:
            raise CalibrationError(f"posterior: expected 1 to {self.size} draws, asked for {count}")
        kept = np.linspace(0, self.size - 1, count).round().astype(int)
        density = None if self.log_prob is None else self.log_prob[kept]
        return Posterior(self.space, self.u[kept], density, self.notes)
