"""A scenario written back as TOML: loading the text gives the same scenario, to the last bit of every number."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from lpm.errors import InputError
from lpm.scenarios import paths, registries
from lpm.scenarios.schema import Parametrised, Scenario
from lpm.scenarios.values import Part, Setting, list_of, table_of

INPUTS = "inputs"
"""Folder of a run that holds the files which its scenario names; nothing that a run puts out lies there."""


def document(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as the tables of its TOML; what equals its default is left out."""
    return _table(scenario)


def resolved(scenario: Scenario) -> str:
    """Return the TOML text of a scenario, files named as it names them.

    Numbers are written so that they read back exactly, dates as TOML dates. Interventions taken from the library
    (`use = ...`) are written out in full.
    """
    import tomli_w

    return tomli_w.dumps(document(scenario), multiline_strings=False)


def of_run(scenario: Scenario) -> str:
    """Return the TOML text of a scenario as its run's folder holds it, files named by their copies below `inputs/`.

    The scenario of a run's folder gives the same text again.
    """
    import tomli_w

    tables, copies = document(scenario), _copies(scenario)
    for keys, file in _named(scenario):
        if file in copies:
            _put(tables, keys, copies[file])
    return tomli_w.dumps(tables, multiline_strings=False)


def write(scenario: Scenario, folder: Path) -> Path:
    """Write `scenario.toml` into a run's folder, and copies of the files that it names into `inputs/`.

    Args:
        scenario: What is run.
        folder: Exists.

    Returns:
        Path of `scenario.toml`; running it gives the same trajectory.
    """
    for name, source in sources(scenario).items():
        target = folder / name
        if not target.exists() or not target.samefile(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    target = folder / "scenario.toml"
    target.write_text(of_run(scenario), encoding="utf-8")
    return target


def fingerprint(scenario: Scenario) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of all that a scenario is made of.

    That is its text as a run's folder holds it and the contents of every file that it names (of a registered data set,
    the pinned sum), wherever they lie: the scenario of a run's folder has the fingerprint of the one that was run.

    Raises:
        InputError: A file that is not there any more, or cannot be read.
    """
    whole = hashlib.sha256(of_run(scenario).encode())
    for name, source in sorted(sources(scenario).items()):
        whole.update(f"\0{name}\0{_sum(source)}".encode())
    for file in sorted({file for _, file in _named(scenario) if paths.is_registered(file)}):
        from lpm import data

        whole.update(f"\0{file}\0{data.entry(file.removeprefix(paths.DATA), scenario.label).sha256}".encode())
    return whole.hexdigest()[:16]


def files(scenario: Scenario) -> dict[str, str]:
    """Return the files that a scenario names, by the path of the key."""
    found: dict[str, str] = {}
    for keys, file in _named(scenario):
        place = ".".join(str(key) if isinstance(key, str) else f"[{key}]" for key in keys)
        found[place.replace(".[", "[")] = file
    return found


def sources(scenario: Scenario) -> dict[str, Path]:
    """Return where the files that a scenario names lie, by what they are called in a run's folder.

    Registered data sets are left out: they keep their name there.

    Raises:
        InputError: A file that is not there, or leads out of the scenario's folder.
    """
    copies = _copies(scenario)
    return {
        copies[file]: paths.located(scenario, file, place)
        for place, file in files(scenario).items()
        if not paths.is_registered(file)
    }


def _copies(scenario: Scenario) -> dict[str, str]:
    """Return what each named file is called in the run's folder.

    A file of the scenario's own keeps its path below `inputs/`; where all of them lie in `inputs/` already, as in the
    folder of a run, it keeps its name. A file that the user gave takes a name there that no other has.
    """
    named = dict.fromkeys(file for _, file in _named(scenario) if not paths.is_registered(file))
    own = {file: PurePosixPath(file) for file in named if not paths.is_given(file)}
    if not all(path.parts[0] == INPUTS and len(path.parts) > 1 for path in own.values()):
        own = {file: INPUTS / path for file, path in own.items()}
    taken = {path.parts[1].casefold() for path in own.values()}
    made = {file: str(path) for file, path in own.items()}
    for file in named:
        if paths.is_given(file):
            number, suffix = 1, PurePosixPath(file).suffix
            name = f"draws{suffix}"
            while name in taken:
                number += 1
                name = f"draws-{number}{suffix}"
            taken.add(name)
            made[file] = f"{INPUTS}/{name}"
    return made


def _named(scenario: Scenario) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the files that a scenario names, each with the keys that lead to it in the tables."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    if scenario.population.file is not None:
        found.append((("population", "file"), scenario.population.file))
    for place, params, declared in registries.parametrised(scenario):
        table, _, number = place.removesuffix("]").partition("[")
        for name, declaration in declared.items():
            if declaration.unit == "file" and name in params:
                if not isinstance(params[name].value, str):
                    raise InputError(f"{scenario.label}: {place}.{name}: expected the name of a file")
                found.append(((table, *([int(number)] if number else []), name), str(params[name].value)))
    for name, observed in scenario.data.items():
        found.append((("data", name, "file"), observed.file))
    if scenario.archetypes is not None and scenario.archetypes.table is not None:
        found.append((("archetypes", "table"), scenario.archetypes.table))
    if scenario.draws not in (None, "prior"):
        found.append((("draws",), str(scenario.draws)))
    return found


def _put(tables: dict[str, Any], keys: tuple[str | int, ...], file: str) -> None:
    *parents, last = keys
    place: Any = tables
    for key in parents:
        place = place[key]
    if isinstance(place[last], dict):  # a parameter with its unit or source
        place[last]["value"] = file
    else:
        place[last] = file


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {paths.reason(error)}") from None


def _table(part: Part) -> dict[str, Any]:
    if isinstance(part, Setting) and part.plain:
        return _plain(part.value)
    table: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if name == "params" and isinstance(part, Parametrised):
            continue
        if value is None or (not field.is_required() and value == field.get_default(call_default_factory=True)):
            continue
        table[field.alias or name] = _plain(value)
    if isinstance(part, Parametrised):
        table |= {name: _plain(setting) for name, setting in part.params.items()}
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return _table(value)
    table, items = table_of(value), list_of(value)
    if table is not None:
        return {key: _plain(each) for key, each in table.items()}
    return value if items is None else [_plain(each) for each in items]
