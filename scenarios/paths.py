"""Files that a scenario names: only below the scenario's own folder, or out of the pinned registry of data sets."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from lpm.errors import InputError, nearest

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

DATA = "data:"
"""Prefix of a registered data set ("data:nyc_covid/data-by-day.csv.gz"), fetched with its pinned sha256."""


def is_registered(file: str) -> bool:
    """Return whether a file is a data set of the registry."""
    return file.startswith(DATA)


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
        file: As written: relative to the scenario's folder, or a registered data set, which is fetched when it is not
            at hand.
        where: Path of the key, named in errors.

    Raises:
        InputError: As `inside`; or an unknown data set, or one that cannot be fetched.
    """
    place = f"{scenario.label}: {where}"
    if is_registered(file):
        from lpm import data

        return data.path(file.removeprefix(DATA), place)
    if file in scenario.elsewhere:
        return Path(scenario.elsewhere[file])
    return inside(scenario.folder, file, place)


def reason(error: BaseException) -> str:
    """Return an error of the system in words, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
