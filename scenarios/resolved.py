"""A scenario written back as TOML: loading the text gives the same scenario, to the last bit of every number."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lpm.errors import InputError
from lpm.scenarios import paths, registries
from lpm.scenarios.schema import Parametrised, Scenario
from lpm.scenarios.values import Part, Setting, list_of, table_of


def document(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as the tables of its TOML; what equals its default is left out."""
    return _table(scenario)


def resolved(scenario: Scenario) -> str:
    """Return the TOML text of a scenario.

    Numbers are written so that they read back exactly, dates as TOML dates. Interventions taken from the library
    (`use = ...`) are written out in full.
    """
    import tomli_w

    return tomli_w.dumps(document(scenario), multiline_strings=False)


def write(scenario: Scenario, folder: Path) -> Path:
    """Write `scenario.toml` into a run's folder, with copies of the files that it names beside it.

    Args:
        scenario: What is run.
        folder: Exists.

    Returns:
        Path of `scenario.toml`; running it gives the same trajectory.
    """
    for where, file in files(scenario).items():
        if paths.is_registered(file):
            continue
        source = paths.located(scenario, file, where)
        target = folder / file
        if not target.exists() or not target.samefile(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    target = folder / "scenario.toml"
    target.write_text(resolved(scenario), encoding="utf-8")
    return target


def files(scenario: Scenario) -> dict[str, str]:
    """Return the files that a scenario names, by the path of the key."""
    found: dict[str, str] = {}
    if scenario.population.file is not None:
        found["population.file"] = scenario.population.file
    for place, params, declared in registries.parametrised(scenario):
        for name, declaration in declared.items():
            if declaration.unit == "file" and name in params:
                if not isinstance(params[name].value, str):
                    raise InputError(f"{scenario.label}: {place}.{name}: expected the name of a file")
                found[f"{place}.{name}"] = str(params[name].value)
    for name, observed in scenario.data.items():
        found[f"data.{name}.file"] = observed.file
    if scenario.draws not in (None, "prior"):
        found["draws"] = str(scenario.draws)
    return found


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
