"""The spread of a metric over seeds: what the lines and bands of the charts are."""

from __future__ import annotations

import polars as pl

from lpm.report.folder import LEAST_SEEDS
from lpm.report.wording import FEW

MANY = 20
"""From so many seeds on, bands run from the 5 % to the 95 % quantile; with fewer they run from the smallest to the
largest seed (a 5 % quantile of four values would be an invention)."""


def band_rule(seeds: int) -> str:
    """Return what lines and bands show, as a phrase."""
    if seeds < LEAST_SEEDS:
        return f"line: {'the one seed' if seeds == 1 else f'mean of {seeds} seeds'}; no band ({FEW})"
    if seeds < MANY:
        return f"line: mean of {seeds} seeds; band: from the lowest to the highest of the {seeds} seeds"
    return f"line: mean of {seeds} seeds; band: 5 to 95 % of the seeds"


def spread(column: str, seeds: int) -> list[pl.Expr]:
    """Return low, middle and high of a column over seeds; null where it is not defined in every one of the `runs`."""
    value, whole = pl.col(column), pl.col(column).count() == pl.col("runs").first()
    low, high = value.min(), value.max()
    if seeds >= MANY:
        low, high = value.quantile(0.05, "linear"), value.quantile(0.95, "linear")
    rules = (("low", low), ("mid", value.mean()), ("high", high))
    return [pl.when(whole).then(rule).alias(f"{column}|{name}") for name, rule in rules]


def runs() -> pl.Expr:
    """Return the number of seeds that an arm has (rows in which nothing is defined are not in the files)."""
    return pl.col("seed").n_unique().over("arm").alias("runs")
