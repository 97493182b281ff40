"""What a gradient check found: a row an estimator, and whether it may be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.calibration.errors import BiasedError, UnusableError
from lpm.errors import unknown
from lpm.types import HostArray

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl
    from rich.table import Table

COSINE, RATIO = 0.95, (0.8, 1.25)
"""Least cosine and range of the norm ratio of an estimator that may be used (the project's bars)."""


@dataclass(frozen=True)
class Row:
    """What was found of one estimator.

    Attributes:
        name: Its name.
        marked: Whether it says itself that it is biased.
        bias: Relative bias of the loss gradient; `bias_se` its standard error.
        floor: What the bias would be on average if there were none.
        cosine: Between its loss gradient and the truth's.
        ratio: Of their lengths.
        noise: Standard deviation of one replicate's loss gradient, relative to the truth.
        jacobian_bias: Relative bias of the whole Jacobian.
        jacobian_cosine: Cosine of the whole Jacobian.
        replicates: Seeds that it was given, or 1 where it draws none.
        simulations: Runs of the simulator that it took.
        seconds: CPU seconds of all replicates, without compiling.
        megabytes: Temporary memory of one replicate, None where it does not tell.
        refused: Why it cannot be used at all, "" where it can.
    """

    name: str
    marked: bool
    bias: float = np.nan
    bias_se: float = np.nan
    floor: float = np.nan
    cosine: float = np.nan
    cosine_se: float = np.nan
    ratio: float = np.nan
    ratio_se: float = np.nan
    noise: float = np.nan
    jacobian_bias: float = np.nan
    jacobian_bias_se: float = np.nan
    jacobian_cosine: float = np.nan
    jacobian_cosine_se: float = np.nan
    replicates: int = 0
    simulations: int = 0
    seconds: float = np.nan
    megabytes: float | None = None
    refused: str = ""

    @property
    def passed(self) -> bool:
        """Whether cosine and norm ratio are within bounds."""
        return not self.refused and self.cosine >= COSINE and RATIO[0] <= self.ratio <= RATIO[1]

    @property
    def sure(self) -> bool:
        """Whether more seeds would hardly change that: cosine and ratio are two standard errors off every bound."""
        gaps = [(self.cosine - COSINE, self.cosine_se)] + [(self.ratio - bound, self.ratio_se) for bound in RATIO]
        return bool(self.refused) or all(abs(gap) > 2 * error for gap, error in gaps)

    @property
    def verdict(self) -> str:
        """One word or sentence."""
        if self.refused:
            return self.refused
        return self._found + ("" if self.sure else " (not sure: take more seeds)")

    @property
    def told(self) -> str:
        """Cosine and norm ratio with their standard errors, in words."""
        return f"(cosine {_told(self.cosine, self.cosine_se)}, norm ratio {_told(self.ratio, self.ratio_se)})"

    @property
    def _found(self) -> str:
        if self.passed:
            return "passes"
        wrong = [f"cosine below {COSINE}"] if not self.cosine >= COSINE else []
        wrong += [f"norm ratio outside {RATIO[0]} to {RATIO[1]}"] if not RATIO[0] <= self.ratio <= RATIO[1] else []
        return " and ".join(wrong)


@dataclass(frozen=True)
class Check:
    """A gradient check of several estimators at one point.

    Attributes:
        rows: One an estimator, in the order asked for.
        truth: Loss gradient of the truth [P].
        truth_se: Its standard error, relative to its length.
        truth_seeds: Seeds of the truth.
        names: Names of the coordinates.
        gradients: Loss gradient [P] by estimator.
    """

    rows: tuple[Row, ...]
    truth: HostArray
    truth_se: float
    truth_seeds: int
    names: tuple[str, ...]
    gradients: Mapping[str, HostArray]

    def row(self, name: str) -> Row:
        """Return the row of an estimator.

        Raises:
            InputError: There is none of that name.
        """
        known = {row.name: row for row in self.rows}
        if name not in known:
            raise unknown("gradient check", "estimator", name, known)
        return known[name]

    def require(self, name: str, override: bool = False) -> Row:
        """Return the row of an estimator that may be used.

        Args:
            name: Its name.
            override: Take one that is too far from the truth all the same.

        Raises:
            BiasedError: It is too far from the truth.
            UnusableError: It cannot be used at all.
        """
        row = self.row(name)
        if row.refused:
            raise UnusableError(row.refused)
        if not row.passed and not override:
            raise BiasedError(
                f"gradient check: '{name}' has cosine {row.cosine:.3f} and norm ratio {row.ratio:.3g} to common random "
                f"numbers: {row.verdict}; override=True takes it all the same"
            )
        return row

    @property
    def cheapest(self) -> str | None:
        """Name of the estimator that passes for sure and takes the least CPU time for its accuracy; None = none does.

        Accuracy counts: to halve a standard error takes four times the seeds, so seconds are weighed by noise squared.
        One that passes and might not with more seeds is not among them: its verdict says so.
        """
        passing = [row for row in self.rows if row.passed and row.sure]
        return min(passing, key=_price).name if passing else None

    @property
    def frame(self) -> pl.DataFrame:
        """One row an estimator, the fields of `Row` and `passed`, `verdict`."""
        import polars as pl

        fields = [f.name for f in dataclasses.fields(Row)]
        kinds: dict[str, Any] = {"name": pl.String, "refused": pl.String, "marked": pl.Boolean}
        kinds |= {"replicates": pl.Int64, "simulations": pl.Int64}
        schema: dict[str, Any] = {name: kinds.get(name, pl.Float64) for name in fields}
        made = pl.DataFrame([[getattr(row, name) for name in fields] for row in self.rows], schema, orient="row")
        return made.with_columns(
            pl.Series("passed", [row.passed for row in self.rows], pl.Boolean),
            pl.Series("verdict", [row.verdict for row in self.rows], pl.String),
        )

    @property
    def table(self) -> Table:
        """The same for a terminal (print it with rich)."""
        from rich.table import Table

        title = f"Gradient check: truth from {self.truth_seeds} seeds, standard error {self.truth_se:.1%}"
        made = Table(title=title, caption="± one standard error; bias below its floor is not told apart from 0")
        heads = ("estimator", "bias", "floor", "cosine", "norm ratio", "noise of one", "bias of J")
        for head in (*heads, "CPU s", "MB", "runs", ""):
            made.add_column(head, justify="left" if head in ("estimator", "") else "right")
        for row in self.rows:
            if row.refused:
                made.add_row(row.name, *[""] * 9, f"refused: {row.refused}", style="dim")
                continue
            made.add_row(
                row.name + (" (biased)" if row.marked else ""),
                _told(row.bias, row.bias_se),
                f"{row.floor:.3f}",
                _told(row.cosine, row.cosine_se),
                _told(row.ratio, row.ratio_se),
                f"{row.noise:.2f}",
                _told(row.jacobian_bias, row.jacobian_bias_se),
                f"{row.seconds:.2f}",
                "" if row.megabytes is None else f"{row.megabytes:.1f}",
                str(row.simulations),
                row.verdict,
                style="" if row.passed else "red",
            )
        return made

    def __str__(self) -> str:
        """The table as plain text."""
        from rich.console import Console

        console = Console(width=200, color_system=None)
        with console.capture() as text:
            console.print(self.table)
        return text.get()

    def figure(self) -> go.Figure:
        """Return a picture: bias against CPU time, and every estimator's gradient beside the truth's."""
        from lpm.calibration.check_figure import figure

        return figure(self)


def _price(row: Row) -> float:
    """Return CPU seconds for a standard error of 5 %, at least one replicate."""
    per_seed = row.seconds / max(row.replicates, 1)
    return per_seed * max(1.0, (row.noise / 0.05) ** 2)


def _told(value: float, error: float) -> str:
    return f"{value:.3f} ± {error:.3f}"
