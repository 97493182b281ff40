"""Scenarios by name or by path: read, completed from the library of interventions, checked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lpm.errors import InputError, closest, nearest, unknown
from lpm.scenarios.complaints import complaint
from lpm.scenarios.paths import reason
from lpm.scenarios.schema import Scenario
from lpm.scenarios.values import list_of, table_of

LARGEST_FILE = 10_000_000
"""Bytes; a scenario is written by people, and a larger file is a mistake."""

LONGEST_NAME = 1_000
"""Characters; a longer path to a scenario is a mistake, or a scenario's text in its place."""


def _home() -> Path:
    return Path(str(resources.files("lpm.scenarios")))


def names() -> list[str]:
    """Return the names of the built-in scenarios."""
    return sorted(each.stem for each in _home().glob("*.toml"))


def library() -> list[str]:
    """Return the names of the ready-made interventions (`use = "..."`)."""
    return sorted(each.stem for each in (_home() / "interventions").glob("*.toml"))


def library_file(name: str) -> Path:
    """Return the TOML file of a ready-made intervention."""
    return _home() / "interventions" / f"{name}.toml"


def locate(name: str) -> tuple[Path, str]:
    """Return the TOML file of a scenario and what to call it in errors.

    Args:
        name: A built-in name, or a path to a TOML.

    Raises:
        InputError: Neither; the nearest name is suggested.
    """
    if not name:
        raise InputError("scenario: expected a name or the path of a TOML file, got an empty text")
    if name in names():
        return _home() / f"{name}.toml", name
    path = Path(name)
    if os.path.isdir(name):  # these two say False, and raise nothing, of what no file can be called
        raise InputError(f"scenario '{name}': expected a name or a TOML file, got a folder")
    written_as_file = bool(path.suffix or "/" in name or "\\" in name) and "\0" not in name
    if os.path.isfile(name) or (written_as_file and len(name) <= LONGEST_NAME):
        return path, name
    beside = _beside(Path(f"{name}.toml")) if len(name) <= LONGEST_NAME else ""
    hint = beside if closest(name, names()) is None and beside else nearest(name, names())
    shown = name if len(name) <= 60 else f"{name[:60]}..."
    raise InputError(f"scenario '{shown}': there is no such scenario and no such file{hint}")


def read(path: Path, label: str) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        InputError: Unreadable, too large, not UTF-8, or not TOML.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{label}: expected a scenario of at most {LARGEST_FILE} bytes, got {path.stat().st_size}")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{label}: cannot be read: {reason(error)}{_beside(path)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{label}: expected UTF-8 text, got other bytes at position {error.start}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{label}: not TOML: {reason(error)}") from None
    except RecursionError:
        raise InputError(f"{label}: not a scenario: nested too deeply") from None


def _beside(path: Path) -> str:
    """Return a hint at a scenario of nearly that name in the same folder, "" where there is none."""
    try:
        alike = closest(path.stem, [each.stem for each in path.parent.glob("*.toml")])
    except (OSError, ValueError):  # no folder can be called that
        return ""
    return f"; did you mean '{path.with_name(f'{alike}.toml')}'?" if alike else ""


def load(name: str | Path) -> Scenario:
    """Return a checked scenario.

    Args:
        name: A built-in name ("nyc-covid") or a path to a TOML.

    Raises:
        InputError: The first thing that is wrong with it, in one line.
    """
    path, label = locate(str(name))
    return validate(read(path, label), path.parent, label)


def validate(tables: Mapping[str, Any], folder: str | Path, label: str) -> Scenario:
    """Return the checked scenario that the tables of a TOML describe.

    Args:
        tables: What `tomllib` returned, or `resolved.document`.
        folder: Folder that file names are relative to.
        label: Name of the file for errors.

    Raises:
        InputError: The first thing that is wrong with it.
    """
    from lpm.scenarios.checks import check

    version = tables.get("schema")
    if isinstance(version, int) and not isinstance(version, bool) and version != 1:
        raise InputError(f"{label}: schema: this lpm reads schema 1, got {version}")
    try:
        scenario = Scenario.model_validate(completed(tables, label))
    except ValidationError as error:
        raise complaint(error, label) from None
    return check(placed(scenario, folder, label))


def placed(scenario: Scenario, folder: str | Path, label: str) -> Scenario:
    """Return the scenario with the folder that its files lie in and the name for errors."""
    scenario._folder = str(Path(folder).resolve())  # pyright: ignore[reportPrivateUsage]
    scenario._label = label  # pyright: ignore[reportPrivateUsage]
    return scenario


def completed(tables: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return the tables with every `use = "..."` replaced by the library's intervention and the overrides."""
    whole = dict(tables)
    whole["interventions"] = _completed(tables.get("interventions", []), f"{label}: interventions")
    arms = list_of(tables.get("arms"))
    if arms is not None:
        whole["arms"] = [_own(arm, f"{label}: arms[{number}].interventions") for number, arm in enumerate(arms)]
    return whole


def _own(arm: Any, where: str) -> Any:
    table = table_of(arm)
    if table is None or "interventions" not in table:
        return arm
    return {**table, "interventions": _completed(table["interventions"], where)}


def _completed(given: Any, where: str) -> Any:
    items = list_of(given)
    if items is None:
        return given
    done: list[Any] = []
    for number, item in enumerate(items):
        table = table_of(item)
        if table is None or "use" not in table:
            done.append(item)
            continue
        name = table.pop("use")
        if not isinstance(name, str) or name not in library():
            raise unknown(f"{where}[{number}].use", "ready-made intervention", str(name), library())
        done.append(_merged(read(library_file(name), f"intervention '{name}'"), table))
    return done


def _merged(ready: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ready-made tables with overrides; `where` and `cost` are merged key by key, others replaced."""
    merged = {**ready, **overrides}
    for key in ("where", "cost"):
        before, after = table_of(ready.get(key)), table_of(overrides.get(key))
        if before is not None and after is not None:
            merged[key] = {**before, **after}
    return merged
