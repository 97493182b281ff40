"""`--overwrite`: a run in the place of an earlier one, which goes only when the new one has something to show."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from lpm.errors import InputError
from lpm.scenarios import lock
from lpm.scenarios.afterwards import CASCADES, PUBLISHED, WORLDS
from lpm.scenarios.agents import AGENTS
from lpm.scenarios.outputs import ASIDE
from lpm.scenarios.paths import reason
from lpm.scenarios.resolved import INPUTS

ENTRIES = (
    "scenario.toml", INPUTS, "run.json", "trajectory.parquet", "effects.parquet", "observed.parquet", "report.html",
    "checkpoints", "surveys", AGENTS, CASCADES, WORLDS, PUBLISHED,
)  # fmt: skip
"""What a run leaves in its folder; a folder that holds anything else is not overwritten."""


def check(folder: Path, *needed: str) -> None:
    """Refuse to overwrite what is not a run's folder and nothing more, is in use, or holds what is to be run.

    Args:
        folder: `--out`; one that is not there, or empty, is fine.
        needed: Names or paths of the scenario and of the draws.

    Raises:
        InputError: It is.
    """
    try:
        held = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"--overwrite: '{folder}' cannot be read: {reason(error)}") from None
    if not held:
        return
    others = [name for name in held if name not in ENTRIES and not name.startswith(lock.LOCK)]
    begun = {"run.json", "checkpoints"} & {*held} or aside(folder).is_dir()  # a run that was killed at once has neither
    if "scenario.toml" not in held or not begun or folder.is_symlink():
        raise InputError(f"--overwrite: expected the folder of a run, got '{folder}', which is none")
    if others:
        raise InputError(f"--overwrite: '{folder}' holds more than a run ({', '.join(others[:3])}); remove it yourself")
    lock.check(folder)
    for path in needed:
        if Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
            raise InputError(f"--overwrite: '{path}' lies in the folder that is to be overwritten; copy it elsewhere")


def aside(folder: Path) -> Path:
    """Return where the earlier run of a folder lies while the new one has nothing to show."""
    here = Path(os.path.abspath(folder))
    return here.with_name(here.name + ASIDE)


@contextlib.contextmanager
def instead(folder: Path) -> Generator[None]:
    """Put the run of a folder, which `check` has passed, aside; it comes back if nothing takes its place.

    Where a run was killed that was to take another's place, that other one still lies aside: it stays there, and the
    killed one goes, unless it had come to its end.

    Raises:
        InputError: It cannot be renamed.
    """
    here, before = Path(os.path.abspath(folder)), aside(folder)
    if not before.exists() and not _holds(here):
        yield
        return
    try:
        if before.exists():
            check(before)
            if _holds(here):
                shutil.rmtree(before if (here / "run.json").is_file() else here)
        if _holds(here):
            here.rename(before)
        elif here.exists():
            here.rmdir()
    except OSError as error:
        raise InputError(f"--overwrite: '{folder}' cannot be put aside: {reason(error)}") from None
    try:
        yield
    finally:
        if _holds(here):
            shutil.rmtree(before)
        else:
            shutil.rmtree(here, ignore_errors=True)
            before.rename(here)


def _holds(folder: Path) -> bool:
    """Return whether a folder is there and not empty."""
    return folder.is_dir() and any(folder.iterdir())
