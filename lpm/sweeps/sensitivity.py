"""Which parameters matter: Sobol indices and elementary effects of every summary of a sweep.

For a Sobol design, with a and b two independent points and a_b(i) the point a whose coordinate i is that of b:

    first order  S_i = mean(f(b) (f(a_b(i)) - f(a))) / var f      share of the variance that parameter i alone explains
    total        T_i = mean((f(a) - f(a_b(i)))^2) / (2 var f)     share that would stay if all but i were known

(A. Saltelli et al. 2010, doi:10.1016/j.cpc.2009.09.018; the estimators are SALib's.) Elementary effects are differences
of f where one parameter alone moved, divided by the step as a share of the parameter's range: their mean mu, mean
absolute value mu*, and standard deviation sigma (M. Morris 1991, doi:10.2307/1269043; F. Campolongo et al. 2007,
doi:10.1016/j.envsoft.2006.10.004). A Sobol design holds them too, radially, from a to each a_b(i) (F. Campolongo et al.
2011, doi:10.1016/j.cpc.2010.12.039). f is the mean over the seeds. Intervals: 95 %, from 100 resamples of the base
points (of the trajectories), as value -+ 1.96 times the resamples' standard deviation, which is SALib's rule too; all
outputs and resamples are one matrix product here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import ndtri

from lpm.effects import LEVEL
from lpm.parquet import write_frame
from lpm.sweeps.outcome import Outcome, read_outcome

SEED = 6
"""Seed of the resamples; any number would do."""

RESAMPLES = 100
"""Resamples behind an interval: SALib's default."""

LEAST_STEP = 0.05
"""Shortest step, as a share of the range, of a radial elementary effect: a guess. Below it the difference of two runs
is mostly chance, and dividing by the step makes much of it."""

SAME = 1e-12
"""Outputs that differ by less than this part of their size are the same in every run."""

COLUMNS = {
    "arm": pl.String,
    "metric": pl.String,
    "summary": pl.String,
    "group": pl.String,
    "path": pl.String,
    "index": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
"""The columns of `indices.parquet`; index is "first", "total", "mu_star", "mu" or "sigma"."""

INDICES = ("first", "total", "mu_star", "mu", "sigma")


@dataclass(frozen=True)
class Sensitivity:
    """The indices of a sweep.

    Attributes:
        frame: Rows with `COLUMNS`.
        remarks: Of what there are no indices, and why.
    """

    frame: pl.DataFrame
    remarks: tuple[str, ...]


def indices(folder: Path) -> pl.DataFrame:
    """Compute the indices of a sweep, write `indices.parquet` into its folder, and return them.

    Raises:
        InputError: A missing or damaged file of the folder.
    """
    found = sensitivity(read_outcome(Path(folder)))
    write_frame(Path(folder) / "indices.parquet", found.frame, {"remarks": "\n".join(found.remarks)})
    return found.frame


def sensitivity(outcome: Outcome) -> Sensitivity:
    """Return the indices of every arm, metric, summary and group, and remarks on those that there cannot be."""
    remarks: list[str] = []
    empty = pl.DataFrame(schema=COLUMNS)
    if outcome.kind not in ("sobol", "morris"):
        what = "a grid" if outcome.kind == "grid" else "a table"
        return Sensitivity(empty, (f"no indices: they need a design of --sobol or --morris, this one is {what}",))
    rows = np.flatnonzero(outcome.first)
    shares = outcome.shares(outcome.paths)[rows]
    parts: list[pl.DataFrame] = []
    for arm in outcome.arms:
        failed = int((outcome.failed(arm)[rows] > 0).sum())
        if failed:
            ended = f"{failed:,} of {len(rows):,} runs failed"
            remarks.append(f"no indices of arm '{arm}': {ended}, and the indices need every run of the design")
            continue
        outputs, keys = _outputs(outcome, arm, rows, remarks)
        if keys:
            parts += _told(outcome, arm, keys, _estimates(outcome.kind, shares, outputs))
    return Sensitivity(pl.concat(parts) if parts else empty, tuple(remarks))


def _outputs(
    outcome: Outcome, arm: str, rows: np.ndarray, remarks: list[str]
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Return the means over the seeds, float64 [runs, outputs], and the measure and group of each output."""
    columns: list[np.ndarray] = []
    keys: list[tuple[str, str]] = []
    for measure in outcome.measures:
        gaps: list[str] = []
        flat: list[str] = []
        for group in outcome.groups:
            value = outcome.values(arm, measure, group)[rows]
            there = ~np.isnan(value)
            if not there.any():  # not declared for this group
                continue
            mean = value.mean(1)
            if not there.all():
                gaps.append(group)
            elif np.ptp(mean) <= SAME * np.abs(mean).max():
                flat.append(group)
            else:
                columns.append(mean)
                keys.append((measure, group))
        for groups, why in ((gaps, "not defined in every run"), (flat, "the same in every run")):
            if groups:
                where = "" if groups == ["all"] else f" for {_listed(groups)}"
                remarks.append(f"no indices of {measure} in arm '{arm}'{where}: it is {why}")
    return (np.stack(columns, 1) if columns else np.zeros((len(rows), 0))), keys


def _listed(groups: list[str]) -> str:
    return ", ".join(groups[:3]) + (f" and {len(groups) - 3} more groups" if len(groups) > 3 else "")


def _told(
    outcome: Outcome, arm: str, keys: list[tuple[str, str]], found: dict[str, tuple[np.ndarray, np.ndarray]]
) -> list[pl.DataFrame]:
    """Return one frame per index: rows by output, then path."""
    z = float(ndtri(0.5 + LEVEL / 2))
    names = [path.path for path in outcome.paths]
    made: list[pl.DataFrame] = []
    for index, (value, error) in found.items():
        columns = {
            "arm": [arm] * value.size,
            "metric": [measure.rpartition(".")[0] for measure, _ in keys for _ in names],
            "summary": [measure.rpartition(".")[2] for measure, _ in keys for _ in names],
            "group": [group for _, group in keys for _ in names],
            "path": names * len(keys),
            "index": [index] * value.size,
            "value": value.T.ravel(),
            "low": (value - z * error).T.ravel(),
            "high": (value + z * error).T.ravel(),
        }
        made.append(pl.DataFrame(columns, schema=COLUMNS).fill_nan(None))
    return made


def _estimates(kind: str, shares: np.ndarray, outputs: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return value and standard error of each index, float64 [paths, outputs]."""
    if kind == "morris":
        return elementary(*trajectories(shares, outputs))
    return sobol(outputs, shares.shape[1]) | elementary(*radial(shares, outputs))


def _resampled(count: int) -> np.ndarray:
    """Return how often each of `count` points is in each resample, as shares, float64 [resamples, count]."""
    drawn = np.random.default_rng(SEED).integers(count, size=(count, RESAMPLES))
    made = np.zeros((RESAMPLES, count))
    for number in range(RESAMPLES):
        made[number] = np.bincount(drawn[:, number], minlength=count) / count
    return made


def sobol(outputs: np.ndarray, paths: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return first-order and total indices with their standard errors.

    Args:
        outputs: Outputs of the runs in SALib's order (for each base point a, its a_b(i), then b), [runs, outputs].
        paths: Number of swept paths.
    """
    from SALib.analyze.sobol import first_order, total_order

    scaled = (outputs - outputs.mean(0)) / outputs.std(0)
    blocks = scaled.reshape(-1, paths + 2, scaled.shape[1])
    a, b = blocks[:, 0], blocks[:, -1]
    weights = _resampled(len(a))
    variance = weights @ ((a**2 + b**2) / 2) - (weights @ ((a + b) / 2)) ** 2
    found = {name: (np.empty((paths, a.shape[1])), np.empty((paths, a.shape[1]))) for name in ("first", "total")}
    for i in range(paths):
        ab = blocks[:, i + 1]
        for name, estimate, term in (
            ("first", first_order(a, ab, b), b * (ab - a)),
            ("total", total_order(a, ab, b), (a - ab) ** 2 / 2),
        ):
            found[name][0][i] = estimate
            with np.errstate(divide="ignore", invalid="ignore"):  # a resample without spread: no interval
                found[name][1][i] = (weights @ term / variance).std(0, ddof=1)
    return found


def trajectories(shares: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the elementary effects of a Morris design and which there are.

    Args:
        shares: Where each run lies in the ranges, [runs, paths]; trajectories of paths + 1 runs.
        outputs: [runs, outputs].

    Returns:
        Effects, float64 [paths, trajectories, outputs], and a mask [paths, trajectories].
    """
    paths = shares.shape[1]
    steps = np.diff(shares.reshape(-1, paths + 1, paths), axis=1)
    changes = np.diff(outputs.reshape(-1, paths + 1, outputs.shape[1]), axis=1)
    moved = np.abs(steps).argmax(2)  # which path each step moves, [trajectories, paths]
    length = np.take_along_axis(steps, moved[..., None], 2)
    order = np.argsort(moved, 1)  # the step that moves path 0, 1, ...
    effects = np.take_along_axis(changes / length, order[..., None], 1)
    return effects.transpose(1, 0, 2), np.ones((paths, len(effects)), bool)


def radial(shares: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the radial elementary effects of a Sobol design, and which of them have a step of `LEAST_STEP`.

    Args:
        shares: Where each run lies in the ranges, [runs, paths], in SALib's order.
        outputs: [runs, outputs].

    Returns:
        Effects, float64 [paths, base points, outputs], and a mask [paths, base points].
    """
    paths = shares.shape[1]
    points = shares.reshape(-1, paths + 2, paths)
    values = outputs.reshape(-1, paths + 2, outputs.shape[1])
    steps = np.stack([points[:, i + 1, i] - points[:, 0, i] for i in range(paths)])
    long = np.abs(steps) >= LEAST_STEP
    changes = np.stack([values[:, i + 1] - values[:, 0] for i in range(paths)])
    return changes / np.where(long, steps, 1.0)[..., None], long


def elementary(effects: np.ndarray, there: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return mu*, mu and sigma with their standard errors, [paths, outputs], from elementary effects and their mask."""
    shape = (effects.shape[0], effects.shape[2])
    found = {name: (np.full(shape, np.nan), np.full(shape, np.nan)) for name in ("mu_star", "mu", "sigma")}
    for i, mask in enumerate(there):
        effect = effects[i, mask]
        count = len(effect)
        if count < 2:
            continue
        scale = np.abs(effect).max(0)
        scaled = effect / np.where(scale > 0, scale, 1.0)
        weights = _resampled(count)
        means = weights @ scaled
        spread = np.sqrt(np.maximum(weights @ scaled**2 - means**2, 0.0) * count / (count - 1))
        for name, value, resampled in (
            ("mu_star", np.abs(effect).mean(0), weights @ np.abs(scaled)),
            ("mu", effect.mean(0), means),
            ("sigma", effect.std(0, ddof=1), spread),
        ):
            found[name][0][i] = value
            found[name][1][i] = resampled.std(0, ddof=1) * scale
    return found
