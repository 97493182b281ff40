"""Folders of sweeps as `lpm sweep` writes them, from formulas instead of simulations."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.parquet import write_frame
from lpm.sweeps.design import LEVELS, SEED

Rule = Callable[[np.ndarray, np.random.Generator], Mapping[str, np.ndarray]]
"""Values of the paths [runs, paths] and a source of chance -> measures by name, float64 [runs], nan = undefined."""

METRICS: dict[str, dict[str, Any]] = {
    "infections": {"title": "Infections", "unit": "people", "kind": "flow", "by": [], "of": []},
    "attack_rate": {"title": "Attack rate", "unit": "1", "kind": "share", "by": [], "of": ["infections"]},
}


def path(name: str, low: Any, high: Any, scale: str = "linear", **more: Any) -> dict[str, Any]:
    """Return an entry of `paths` of `sweep.json`."""
    told = {"path": name, "low": low, "high": high, "count": None, "scale": scale, "unit": "1", "meaning": ""}
    return {**told, **more}


def at(paths: Sequence[Mapping[str, Any]], shares: np.ndarray) -> np.ndarray:
    """Return values at shares of the ranges."""
    columns: list[np.ndarray] = []
    for number, each in enumerate(paths):
        low, high, share = each["low"], each["high"], shares[:, number]
        columns.append(
            np.exp(np.log(low) + share * np.log(high / low)) if each["scale"] == "log" else low + share * (high - low)
        )
    return np.stack(columns, 1)


def grid(paths: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> np.ndarray:
    """Return all combinations of so many even values of each path."""
    lines = [np.arange(count) / max(count - 1, 1) for count in counts]
    return at(paths, np.array(list(itertools.product(*lines))))


def sobol(paths: Sequence[Mapping[str, Any]], base: int, seed: int = SEED) -> np.ndarray:
    """Return a Sobol design in SALib's order."""
    from SALib.sample import sobol as sampler

    return at(paths, sampler.sample(problem(paths), base, calc_second_order=False, seed=seed))


def morris(paths: Sequence[Mapping[str, Any]], base: int) -> np.ndarray:
    """Return trajectories of elementary effects."""
    from SALib.sample import morris as sampler

    return at(paths, sampler.sample(problem(paths), base, num_levels=LEVELS, seed=SEED))


def problem(paths: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what SALib calls a problem, in shares of the ranges."""
    return {"num_vars": len(paths), "names": [each["path"] for each in paths], "bounds": [[0.0, 1.0]] * len(paths)}


def write(
    folder: Path,
    kind: str,
    paths: Sequence[Mapping[str, Any]],
    values: np.ndarray,
    rule: Rule,
    *,
    arms: Sequence[str] = ("as it is",),
    seeds: int = 1,
    groups: Sequence[str] = ("all",),
    failed: Mapping[tuple[int, str, int], str] | None = None,
    rounds: Sequence[int] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] = METRICS,
    **about: Any,
) -> Path:
    """Write `sweep.json`, `design.parquet` and `summary.parquet`.

    Args:
        folder: Where to; made if it is not there.
        kind: "grid", "sobol", "morris" or "table".
        paths: Entries of `sweep.json`.
        values: [runs, paths]; of a path in `names` the number of the name.
        rule: Gives the measures; called for every arm (the number of the arm is added to them by half), seed and group.
        arms: Names.
        seeds: Number of seeds.
        groups: Names.
        failed: Why a (run, arm, seed) failed.
        rounds: Round of each run; default 0.
        names: Names of the values of a path.
        metrics: As in `sweep.json`.
        about: More of `sweep.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = len(values)
    design: dict[str, Any] = {
        "run": np.arange(runs),
        "round": np.zeros(runs, np.int64) if rounds is None else list(rounds),
    }
    for number, each in enumerate(paths):
        own = (names or {}).get(each["path"])
        design[each["path"]] = [own[int(v)] for v in values[:, number]] if own else values[:, number]
    write_frame(folder / "design.parquet", pl.DataFrame(design))
    parts: list[pl.DataFrame] = []
    for (number, arm), seed in itertools.product(enumerate(arms), range(seeds)):
        for place, group in enumerate(groups):
            made = rule(values, np.random.default_rng([number, seed, place]))
            bad = [(failed or {}).get((run, arm, seed)) for run in range(runs)]
            keys = {
                "run": np.arange(runs),
                "arm": [arm] * runs,
                "seed": [seed] * runs,
                "status": [b or "ok" for b in bad],
            }
            frame = pl.DataFrame(
                {**keys, "group": [group] * runs, **{n: m * (1 + number / 2) for n, m in made.items()}}
            )
            ok = pl.col("status") == "ok"
            frame = frame.with_columns(pl.when(ok).then(pl.col(n)).fill_nan(None).alias(n) for n in made)
            parts.append(frame if place == 0 else frame.filter(ok))
    order = {arm: number for number, arm in enumerate(arms)}
    summary = pl.concat(parts).sort("run", pl.col("arm").replace_strict(order), "seed", maintain_order=True)
    write_frame(folder / "summary.parquet", summary)
    told = {
        "name": "waves",
        "title": "Waves",
        "description": "What if it spreads faster?",
        "kind": kind,
        "paths": list(paths),
    }
    told |= {
        "base": None,
        "arms": list(arms),
        "seeds": list(range(seeds)),
        "metrics": dict(metrics),
        "headline": "infections",
    }
    told |= {"runs": runs, "steps": 100, "step": "1d", "agents": 10_000, "people": None, **about}
    (folder / "sweep.json").write_text(json.dumps(told), "utf-8")
    return folder
