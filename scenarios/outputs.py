"""The folder of a run: claimed by one process at a time, and never another run's."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import os
import secrets
import shutil
import socket
import tomllib
from collections.abc import Generator
from pathlib import Path

from lpm.errors import InputError
from lpm.scenarios.checks import check_run
from lpm.scenarios.paths import reason
from lpm.scenarios.resolved import of_run, sources, write
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
    """Refuse a folder that is another run's, in use, or not to be written, and a scenario that cannot be run.

    Nothing is made or changed. A run is gone on with only where its scenario and all input files are the same.

    Raises:
        InputError: It is.
    """
    check_run(scenario)
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
        if before != of_run(scenario):
            raise InputError(f"--resume: {folder} holds a run of another scenario ({_difference(before, scenario)})")
        _check_inputs(folder, scenario)
    elif content:
        raise InputError(
            f"--out {folder}: holds another run ({', '.join(content)}); choose another folder, or go on with --resume"
        )
    elif folder.is_dir() and any(not each.name.startswith(LOCK) for each in folder.iterdir()):
        raise InputError(f"--out {folder}: expected a new or empty folder, got one with other files")
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder}: '{above}' cannot be written to")


@contextlib.contextmanager
def claim(folder: Path, scenario: Scenario, *, resume: bool) -> Generator[Path]:
    """Make the folder of a run, hold it while the run lasts, and write the resolved scenario into it.

    When the run fails before its first (arm, seed) pair is finished, what was made here is taken away again, so that
    nothing half-written stays; a checkpoint is kept unless bad input was the reason.

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
        _remove_empty(made)
        raise InputError(f"--out {folder}: cannot be made: {reason(error)}") from None
    try:
        if not resume:
            write(scenario, folder)
        yield folder
    except BaseException as error:
        if not resume and not _worth_keeping(folder, error):
            _clear(folder, before, made)
        raise
    finally:
        (folder / LOCK).unlink(missing_ok=True)


def _worth_keeping(folder: Path, error: BaseException) -> bool:
    """Return whether `--resume` has something to go on with: a finished pair or, unless input was bad, a checkpoint."""
    there = {each.name for each in (folder / "checkpoints").glob("*") if each.is_dir() and any(each.iterdir())}
    return "finished" in there or (bool(there) and not isinstance(error, InputError))


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


def _lock(lock: Path, folder: Path) -> None:
    """Hold a folder by a file that is there with its content or not at all.

    Raises:
        InputError: Another process holds it.
    """
    content = f"{os.getpid()} {socket.gethostname()}\n"
    own = lock.with_name(f"{LOCK}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        own.write_text(content, encoding="utf-8")
        for _ in range(3):
            try:
                _link(own, lock, content)
                return
            except FileExistsError:
                holder = _holder(lock)
                if holder is not None:
                    raise InputError(f"--out {folder}: in use by process {holder}; choose another folder") from None
                _take_away(lock, folder)
    finally:
        own.unlink(missing_ok=True)
    raise InputError(f"--out {folder}: in use by another process; choose another folder")


def _link(own: Path, lock: Path, content: str) -> None:
    try:
        os.link(own, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with lock.open("x", encoding="utf-8") as file:
            file.write(content)


def _take_away(lock: Path, folder: Path) -> None:
    """Remove a dead process's lock; one process at a time looks and removes, so none takes a newer one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without such locks
            fcntl.flock(handle, fcntl.LOCK_EX)  # falls when the handle is closed, or its process dies
        # a dead lock stays as it is until it is removed here; where there is none, the next may be a live one
        with contextlib.suppress(OSError):
            if _living(lock.read_bytes()) is None:
                lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _holder(lock: Path) -> str | None:
    """Return who holds a lock, None when nobody does (no lock, or its process on this machine has died)."""
    try:
        return _living(lock.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"? ({lock.name} cannot be read: {reason(error)})"


def _living(content: bytes) -> str | None:
    """Return the process that a lock's content names, None where it names none that lives on this machine."""
    pid, _, host = content.decode("utf-8", errors="replace").strip().partition(" ")
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
    here = tomllib.loads(of_run(scenario))
    try:
        there = tomllib.loads(before)
    except tomllib.TOMLDecodeError:
        return "its scenario.toml is damaged"
    for key in (*here, *there):
        if here.get(key) != there.get(key):
            return f"they differ in '{key}'"
    return "its scenario.toml was changed"
