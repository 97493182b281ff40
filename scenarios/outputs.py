"""The folder of a run: claimed by one process at a time, and never another run's."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tomllib
from collections.abc import Generator
from pathlib import Path

from lpm.errors import InputError
from lpm.scenarios.paths import reason
from lpm.scenarios.resolved import resolved, write
from lpm.scenarios.schema import Scenario

LOCK = ".lock"
FOREIGN = ("scenario.toml", "run.json", "trajectory.parquet", "checkpoints")
"""What shows that a folder belongs to a run."""


def default(name: str, root: Path = Path("runs")) -> Path:
    """Return the first free `runs/<name>-<n>`, n from 1."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


def check(folder: Path, scenario: Scenario, *, resume: bool) -> None:
    """Refuse a folder that is another run's, in use, or not to be written; nothing is made or changed.

    Raises:
        InputError: It is.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: expected a folder, got a file")
    holder = _holder(folder / LOCK)
    if holder is not None:
        raise InputError(f"--out {folder}: in use by process {holder}; wait for it or choose another folder")
    content = [name for name in FOREIGN if (folder / name).exists()]
    if resume:
        if not (folder / "scenario.toml").is_file():
            raise InputError(f"--resume: no run to go on with in '{folder}' (it has no scenario.toml)")
        try:
            before = (folder / "scenario.toml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--resume: {folder / 'scenario.toml'} cannot be read: {reason(error)}") from None
        if before != resolved(scenario):
            raise InputError(f"--resume: {folder} holds a run of another scenario ({_difference(before, scenario)})")
    elif content:
        raise InputError(
            f"--out {folder}: holds another run ({', '.join(content)}); choose another folder, or go on with --resume"
        )
    elif folder.is_dir() and any(each.name != LOCK for each in folder.iterdir()):
        raise InputError(f"--out {folder}: expected a new or empty folder, got one with other files")
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder}: '{above}' cannot be written to")


@contextlib.contextmanager
def claim(folder: Path, scenario: Scenario, *, resume: bool) -> Generator[Path]:
    """Make the folder of a run, hold it while the run lasts, and write the resolved scenario into it.

    When bad input is found before the first (arm, seed) pair is finished, a folder that was made here is taken away
    again, so that nothing half-written stays.

    Yields:
        The folder.

    Raises:
        InputError: As `check`, or the folder cannot be made.
    """
    check(folder, scenario, resume=resume)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    before = {each.name for each in folder.iterdir()} if folder.is_dir() else set[str]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder / LOCK, folder)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made: {reason(error)}") from None
    try:
        if not resume:
            write(scenario, folder)
        yield folder
    except InputError:
        finished = folder / "checkpoints" / "finished"
        if not resume and not (finished.is_dir() and any(finished.iterdir())):
            _clear(folder, before, made)
        raise
    finally:
        (folder / LOCK).unlink(missing_ok=True)


def _clear(folder: Path, before: set[str], made: list[Path]) -> None:
    """Take away what this claim wrote: entries that were not there before, and the folders that it made."""
    for each in folder.iterdir():
        if each.name not in before:
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for each in made:
        with contextlib.suppress(OSError):
            each.rmdir()


def _lock(lock: Path, folder: Path) -> None:
    for _ in range(2):
        try:
            with lock.open("x", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {socket.gethostname()}\n")
            return
        except FileExistsError:
            holder = _holder(lock)
            if holder is not None:
                raise InputError(f"--out {folder}: in use by process {holder}; choose another folder") from None
            lock.unlink(missing_ok=True)  # its process has died
    raise InputError(f"--out {folder}: in use by another process; choose another folder")


def _holder(lock: Path) -> str | None:
    """Return who holds a lock, None when nobody does (no lock, or its process on this machine has died)."""
    try:
        pid, _, host = lock.read_text(encoding="utf-8").strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    if host != socket.gethostname():
        return f"{pid} on {host}" if host else None
    if not pid.isdigit() or int(pid) == 0:
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return pid


def _difference(before: str, scenario: Scenario) -> str:
    """Return the first key in which two resolved scenarios differ."""
    here = tomllib.loads(resolved(scenario))
    try:
        there = tomllib.loads(before)
    except tomllib.TOMLDecodeError:
        return "its scenario.toml is damaged"
    for key in (*here, *there):
        if here.get(key) != there.get(key):
            return f"they differ in '{key}'"
    return "its scenario.toml was changed"
