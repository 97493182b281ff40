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
from lpm.scenarios.paths import reason
from lpm.scenarios.resolved import INPUTS

ENTRIES = (
    "scenario.toml", INPUTS, "run.json", "trajectory.parquet", "effects.parquet", "observed.parquet", "report.html",
    "checkpoints", "surveys", AGENTS, CASCADES, WORLDS, PUBLISHED,
)  # fmt: skip
"""What a run leaves in its folder; a folder that holds anything else is not overwritten."""

ASIDE = ".replaced"
"""What the earlier run's folder is called, behind its name, while the new one has nothing to show."""


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
    if "scenario.toml" not in held or not {"run.json", "checkpoints"} & {*held} or folder.is_symlink():
        raise InputError(f"--overwrite: expected the folder of a run, got '{folder}', which is none")
    if others:
        raise InputError(f"--overwrite: '{folder}' holds more than a run ({', '.join(others[:3])}); remove it yourself")
    lock.check(folder)
    for path in needed:
        if Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
            raise InputError(f"--overwrite: '{path}' lies in the folder that is to be overwritten; copy it elsewhere")


@contextlib.contextmanager
def instead(folder: Path) -> Generator[None]:
    """Put the run of a folder, which `check` has passed, aside; it comes back if nothing takes its place.

    Raises:
        InputError: It cannot be renamed.
    """
    here = Path(os.path.abspath(folder))
    if not here.is_dir() or not any(here.iterdir()):
        yield
        return
    before = here.with_name(here.name + ASIDE)
    try:
        if before.exists():  # of a run that was killed
            check(before)
            shutil.rmtree(before)
        here.rename(before)
    except OSError as error:
        raise InputError(f"--overwrite: '{folder}' cannot be put aside: {reason(error)}") from None
    try:
        yield
    finally:
        if here.exists():
            shutil.rmtree(before)
        else:
            before.rename(here)
