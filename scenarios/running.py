"""A run that people asked for: its folder, its progress, and what is told when it is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lpm import cluster, progress
from lpm.scenarios import execution, outputs, replacement
from lpm.scenarios.checks import check_run
from lpm.scenarios.options import RunOptions
from lpm.scenarios.schema import Scenario


def checked(asked: Scenario, out: Path | None, overwrite: bool, resume: bool, needed: Sequence[str]) -> Path:
    """Return the folder for the results, when the first process has found it fit.

    Args:
        asked: What is to be run.
        out: The folder; None = the first free one.
        overwrite: It may hold a run.
        resume: It holds this run.
        needed: Files that must not lie in it, when it is overwritten.

    Raises:
        InputError: It is not fit, or the scenario cannot be run.
    """
    folder = Path(cluster.told(str(outputs.default(asked.name)))) if out is None else out
    if cluster.is_first():
        if overwrite:
            replacement.check(folder, *needed)
            check_run(asked)
        else:
            outputs.check(folder, asked, resume=resume)
    return folder


def carried_out(asked: Scenario, options: RunOptions, overwrite: bool) -> Path:
    """Run a scenario, shown on standard error by the first process, and return the folder.

    Raises:
        InputError: Bad input.
        Fault: What the machine did not do.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    first = cluster.is_first()
    instead = replacement.instead(options.out) if overwrite and first else contextlib.nullcontext()
    try:
        with instead, progress.bar(options.quiet or not first) as told, progress.heeding(told) as heeded:
            return execution.run(asked, options, heeded)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_ended(execution.kept(options.out, asked), options.checkpoint_every)) from None


def _ended(told: str, every: int | None) -> str:
    """Return what is kept of a stopped run; where that is nothing, with why."""
    if not told.endswith("nothing is kept"):
        return told
    if every is None:
        return f"{told} (--checkpoint-every N keeps the state of an unfinished pair)"
    return f"{told} (the first checkpoint is written after {every} steps, and they were not reached)"
