"""The agents at the end of a run (`--save-agents`): kept beside each finished pair, and put together at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from lpm import results
from lpm.errors import Fault
from lpm.parquet import intact
from lpm.population import frame_of
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.paths import reason
from lpm.types import HostArray

AGENTS = "agents.parquet"
"""Name of the file in a run's folder."""


def keep(folder: Path, assembly: Assembly, index: int, seed: int, columns: Mapping[str, HostArray]) -> None:
    """Write the agents at the end of a pair, one parquet file a pair, levels by name and weights in people.

    Args:
        folder: The run's folder.
        assembly: The run.
        index: Position of the arm.
        seed: The seed.
        columns: [agents, ...] by name.

    Raises:
        InputError: The file cannot be written; its cause is an OSError.
    """
    frame = frame_of(assembly.population.schema, columns)
    arm = pl.lit(assembly.arms[index].name).alias("arm")
    frame = frame.select(arm, pl.lit(seed, dtype=pl.Int64).alias("seed"), pl.all())
    results.write_frame(of_pair(folder, index, seed), frame)


def of_pair(folder: Path, index: int, seed: int) -> Path:
    """Return where the agents of a finished pair lie."""
    return folder / results.FINISHED / f"{index}-{seed}.{AGENTS}"


def kept(folder: Path) -> bool:
    """Return whether a run's folder holds the agents of a pair: a run that is resumed goes on keeping them."""
    return any((folder / results.FINISHED).glob(f"*.{AGENTS}"))


def write(folder: Path, finished: Sequence[tuple[int, int]]) -> None:
    """Write `agents.parquet`, whole or not at all, where the agents of every finished pair are kept.

    Args:
        folder: The run's folder.
        finished: Position of the arm, and seed, of each finished pair, in the order of the trajectory.

    Raises:
        Fault: It cannot be written.
        InputError: The agents of a pair are damaged.
    """
    parts = [of_pair(folder, index, seed) for index, seed in finished]
    if not parts or not all(part.is_file() for part in parts):
        return
    for part in parts:
        intact(part)
    beside = folder / f".{AGENTS}.part"
    try:
        pl.concat([pl.scan_parquet(part) for part in parts]).sink_parquet(beside)  # all may be more than memory holds
        os.replace(beside, folder / AGENTS)
    except (OSError, pl.exceptions.PolarsError) as error:
        beside.unlink(missing_ok=True)
        raise Fault(f"{folder / AGENTS}: cannot be written: {reason(error)}") from error
