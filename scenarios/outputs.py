"""The folder of a run: claimed by one process at a time, and never another run's."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
import tomllib
from collections.abc import Generator
from pathlib import Path

from lpm.errors import Fault, InputError
from lpm.scenarios import lock
from lpm.scenarios.checks import check_run
from lpm.scenarios.lock import LOCK
from lpm.scenarios.paths import reason
from lpm.scenarios.resolved import of_run, sources, write
from lpm.scenarios.schema import Scenario
from lpm.scenarios.stops import checkpointed, finished_pairs

FOREIGN = ("scenario.toml", "run.json", "trajectory.parquet", "checkpoints")
"""What shows that a folder belongs to a run."""

OPTIONS = {
    "population": "--agents or --set", "steps": "--steps", "horizon": "--steps", "seeds": "--seeds", "arms": "--arms",
    "draws": "--draws", "backend": "--backend", "kernels": "--set", "networks": "--set",
}  # fmt: skip
"""Options that change a key of a scenario."""

ASIDE = ".replaced"
"""What the earlier run's folder is called, behind its name, while one that overwrites it has nothing to show."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What is never the fault of the folder's name: no space, a quota, a limit on the size of files, a broken disk."""


def default(name: str, root: Path = Path("runs")) -> Path:
    """Return the first free `runs/<name>-<n>`, n from 1."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


def check(folder: Path, scenario: Scenario, *, resume: bool) -> None:
    """Refuse a folder that is another run's, in use, or not to be written, and a scenario that cannot be run.

    Nothing is made or changed. A run is gone on with only where its scenario and all input files are the same.

    Raises:
        InputError: It is.
    """
    check_run(scenario)
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder}: expected a folder, got a file")
    except OSError as error:  # a name too long, a folder above that cannot be looked into
        raise InputError(f"--out {str(folder)[:60]}: cannot be used: {reason(error)}") from None
    lock.check(folder)
    if resume:
        if not (folder / "scenario.toml").is_file():
            raise InputError(f"--resume: no run to go on with in '{folder}' (it has no scenario.toml)")
        try:
            before = (folder / "scenario.toml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--resume: {folder / 'scenario.toml'} cannot be read: {reason(error)}") from None
        if before != of_run(scenario):
            raise InputError(
                f"--resume: {folder} holds a run of another scenario ({_difference(before, scenario)}); to go on with "
                f"it as it was begun: lpm run {folder / 'scenario.toml'} --out {folder} --resume"
            )
        _check_inputs(folder, scenario)
    else:
        _check_empty(folder)
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder}: '{above}' cannot be written to")


@contextlib.contextmanager
def claim(folder: Path, scenario: Scenario, *, resume: bool) -> Generator[Path]:
    """Make the folder of a run, hold it while the run lasts, and write the resolved scenario into it.

    When the run fails before its first (arm, seed) pair is finished, what was made here is taken away again, so that
    nothing half-written stays; a checkpoint is kept unless bad input was the reason, which would end the run again.

    Yields:
        The folder.

    Raises:
        InputError: As `check`, or the folder cannot be made.
        Fault: The disk is full.
    """
    check(folder, scenario, resume=resume)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    before = {each.name for each in folder.iterdir()} if folder.is_dir() else set[str]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = lock.hold(folder)
    except OSError as error:
        _remove_empty(made)
        kind = Fault if error.errno in FULL else InputError
        raise kind(f"--out {folder}: cannot be made: {reason(error)}") from None
    try:
        if not resume:
            _check_empty(folder)  # another process may have come and gone since
    except InputError:
        lock.release(folder, handle)
        raise
    try:
        if not resume:
            try:
                write(scenario, folder)
            except OSError as error:
                raise Fault(f"--out {folder}: cannot be written: {reason(error)}") from error
        yield folder
    except BaseException as error:
        if not resume and not _worth_keeping(folder, error):
            _clear(folder, before, made)
        raise
    finally:
        lock.release(folder, handle)


def _check_empty(folder: Path) -> None:
    content = [name for name in FOREIGN if (folder / name).exists()]
    earlier = folder.with_name(folder.name + ASIDE)
    if content:
        kept = f" (the run that it was to replace lies in '{earlier}')" if earlier.is_dir() else ""
        raise InputError(
            f"--out {folder}: holds another run ({', '.join(content)}){kept}; choose another folder, go on with "
            "--resume, or put this run in its place with --overwrite"
        )
    if folder.is_dir() and any(not each.name.startswith(LOCK) for each in folder.iterdir()):
        raise InputError(f"--out {folder}: expected a new or empty folder, got one with other files")


def _worth_keeping(folder: Path, error: BaseException) -> bool:
    """Return whether `--resume` has something to go on with: a finished pair or, unless input was bad, a checkpoint."""
    return finished_pairs(folder) or (checkpointed(folder) and not isinstance(error, InputError))


def _check_inputs(folder: Path, scenario: Scenario) -> None:
    for name, source in sources(scenario).items():
        copy = folder / name
        try:
            same = copy.samefile(source) or filecmp.cmp(copy, source, shallow=False)
        except OSError as error:
            raise InputError(f"--resume: '{copy}' cannot be compared with '{source}': {reason(error)}") from None
        if not same:
            raise InputError(
                f"--resume: file '{source}' has changed since; expected what '{copy}' holds, or a new folder with --out"
            )


def _clear(folder: Path, before: set[str], made: list[Path]) -> None:
    """Take away what this claim wrote: entries that were not there before, and the folders that it made."""
    for each in folder.iterdir():
        if each.name not in before and not each.name.startswith(LOCK):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    (folder / LOCK).unlink(missing_ok=True)
    _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for each in folders:
        with contextlib.suppress(OSError):
            each.rmdir()


def _difference(before: str, scenario: Scenario) -> str:
    """Return the keys in which two resolved scenarios differ, and the options that may have been left out."""
    here = tomllib.loads(of_run(scenario))
    try:
        there = tomllib.loads(before)
    except tomllib.TOMLDecodeError:
        return "its scenario.toml is damaged"
    keys = [key for key in dict.fromkeys((*here, *there)) if here.get(key) != there.get(key)]
    if not keys:
        return "its scenario.toml was changed"
    options = dict.fromkeys(OPTIONS[key] for key in keys if key in OPTIONS)
    repeat = f": repeat the options {', '.join(options)} of that run" if options else ""
    quoted = ", ".join(f"'{key}'" for key in keys)
    return f"they differ in {quoted}{repeat}"
