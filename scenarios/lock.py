"""The lock of a run's folder: one process at a time, and none that has died.

The operating system holds it (`flock`), on the open file `.lock`, and lets go when the process ends in whatever way: a
lock that was left behind by a killed run, a container or another machine stops nobody. What the file says, process and
machine, is for people to read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from pathlib import Path

from lpm.errors import InputError
from lpm.scenarios.paths import reason

LOCK = ".lock"
"""The file in a run's folder."""

TRIES, PAUSE = 5, 0.005
"""How often, and after how many seconds, a lock is asked for again: somebody may just be looking whether it is held."""


def hold(folder: Path) -> int:
    """Take the lock of a folder; `release` gives it back, or the end of the process.

    Returns:
        The handle of the open file.

    Raises:
        InputError: Another process holds it.
        OSError: The file cannot be made.
    """
    path = folder / LOCK
    for _ in range(TRIES):
        handle, made = _open(path)
        try:
            free = _lock(handle, fcntl.LOCK_EX, made)
            if free and _same(handle, path):
                with contextlib.suppress(OSError):  # a full disk; the lock holds without words, too
                    os.ftruncate(handle, 0)
                    os.write(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not free:
            time.sleep(PAUSE)
    raise InputError(in_use(folder))


def release(folder: Path, handle: int) -> None:
    """Give a lock back: its file goes first, so that nobody gets a lock on what is about to be removed."""
    with contextlib.suppress(OSError):  # the folder itself may be gone
        if _same(handle, folder / LOCK):
            (folder / LOCK).unlink()
    os.close(handle)


def check(folder: Path) -> None:
    """Refuse a folder that another process holds.

    Raises:
        InputError: It does, or its lock cannot be looked at.
    """
    path = folder / LOCK
    for _ in range(TRIES):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise InputError(f"--out {folder}: '{path}' cannot be read: {reason(error)}") from None
        try:
            if _lock(handle, fcntl.LOCK_SH, False):  # shared: those who only look do not stop one another
                return
        finally:
            os.close(handle)
        time.sleep(PAUSE)
    raise InputError(in_use(folder))


def in_use(folder: Path) -> str:
    """Return the line for a folder that another process holds: who, and the ways out."""
    path, holder = folder / LOCK, "another process"
    with contextlib.suppress(OSError):
        pid, _, host = path.read_bytes()[:300].decode("utf-8", errors="replace").strip().partition(" ")
        if pid.isdigit():
            holder = f"process {pid}" + (f" on {host}" if host and host != socket.gethostname() else "")
    return (
        f"--out {folder}: in use by {holder}; wait for it or choose another folder (if no run is going on there, "
        f"delete '{path}')"
    )


def _open(path: Path) -> tuple[int, bool]:
    """Return the open file, and whether it was made here."""
    with contextlib.suppress(FileExistsError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), True
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC), False
    except FileNotFoundError:  # given back in between
        return _open(path)


def _lock(handle: int, kind: int, made: bool) -> bool:
    """Return whether the lock was free, and take it; a file system without locks has nothing but who made the file."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        return made if error.errno not in (errno.EWOULDBLOCK, errno.EACCES) else False
    return True


def _same(handle: int, path: Path) -> bool:
    """Return whether a path still leads to the open file; its holder may have removed it before letting go."""
    try:
        there, here = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
