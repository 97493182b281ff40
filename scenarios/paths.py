"""Files that a scenario names: only below the scenario's own folder, or out of the pinned registry of data sets."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from lpm.errors import InputError, nearest

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

DATA = "data:"
"""Prefix of a registered data set ("data:nyc_covid/data-by-day.csv.gz"), fetched with its pinned sha256."""


GIVEN = "given:"
"""Prefix of a file that the user named on the command line ("given:posterior.csv"). No file of a scenario's own can be
called so: the scenario's `elsewhere` says where it lies, and a TOML cannot fill that."""


def is_registered(file: str) -> bool:
    """Return whether a file is a data set of the registry."""
    return file.startswith(DATA)


def is_given(file: str) -> bool:
    """Return whether a file is one that the user named on the command line."""
    return file.startswith(GIVEN)


def inside(folder: str | Path, file: str, where: str) -> Path:
    """Return the existing file that a scenario names, resolved.

    A scenario can never read outside what it names: an absolute path, a path with "..", and a link that leads out of
    the folder are refused.

    Args:
        folder: The scenario's folder.
        file: Path as written, relative, with "/".
        where: Named in the error.

    Raises:
        InputError: The path leaves the folder, does not exist, or is not a readable file.
    """
    path = PurePosixPath(file)
    windows = PureWindowsPath(file)
    if path.is_absolute() or windows.drive or windows.root or ".." in (*path.parts, *windows.parts) or "\0" in file:
        raise InputError(f"{where}: expected a file below the scenario's folder, got '{file}', which leads out of it")
    root = Path(folder).resolve()
    target = root / path
    try:
        found = target.resolve(strict=True)
    except FileNotFoundError:
        siblings = [each.name for each in target.parent.iterdir()] if target.parent.is_dir() else []
        raise InputError(f"{where}: no file '{file}' beside the scenario{nearest(path.name, siblings)}") from None
    except (OSError, RuntimeError) as error:
        raise InputError(f"{where}: '{file}' cannot be read: {reason(error)}") from None
    if not found.is_relative_to(root):
        raise InputError(f"{where}: expected a file below the scenario's folder, got '{file}', a link that leads out")
    if not found.is_file():
        raise InputError(f"{where}: expected a file, got '{file}', which is a folder")
    return found


def located(scenario: Scenario, file: str, where: str) -> Path:
    """Return the path of a file that a scenario names.

    Args:
        scenario: Names the file.
        file: As written: relative to the scenario's folder; a registered data set, which is fetched when it is not at
            hand; or one that the user gave.
        where: Path of the key, named in errors.

    Raises:
        InputError: As `inside`; or an unknown data set, or one that cannot be fetched.
    """
    place = f"{scenario.label}: {where}"
    if is_registered(file):
        from lpm import data

        return data.path(file.removeprefix(DATA), place)
    if is_given(file):
        if file not in scenario.elsewhere:
            raise InputError(f"{place}: '{file}' stands for a file of the command line; name one beside the scenario")
        return _readable(Path(scenario.elsewhere[file]), place)
    return inside(scenario.folder, file, place)


def _readable(path: Path, where: str) -> Path:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise InputError(f"{where}: '{path}' cannot be read: no such file")
    return path


def reason(error: BaseException) -> str:
    """Return an error of the system in words, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
