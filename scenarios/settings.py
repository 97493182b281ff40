"""`--set path=value`: one value of a scenario replaced, then everything checked again.

What is set is known: a kernel's parameter that is set is held at its value, all its levels, and `--draws` draws the
others.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lpm.errors import InputError, unknown
from lpm.kernel import Declaration, declarations
from lpm.scenarios import paths, registries, strengths
from lpm.scenarios.loader import validate
from lpm.scenarios.resolved import document
from lpm.scenarios.schema import LayerTable, PopulationTable, Scenario
from lpm.scenarios.values import list_of, table_of
from lpm.sources import GIVEN

KEYS = (
    "name", "title", "description", "calibrated", "step", "start", "report_from", "steps", "seeds", "draws", "backend",
)  # fmt: skip
"""Keys of a scenario that hold one value."""


def apply_set(scenario: Scenario, assignment: str) -> Scenario:
    """Return the scenario with one value replaced.

    Args:
        scenario: As loaded.
        assignment: "path=value"; the path is `kernel.parameter` (`seir.beta`, `seir.susceptibility.65-74`),
            `layer.field` (`community.scale`) or a key (`steps`, `population.size`); the value is written as in TOML,
            and anything that is not TOML is taken as text.

    Raises:
        InputError: Not an assignment, an unknown path (the nearest is suggested), or a value that does not fit.
    """
    path, equals, text = assignment.partition("=")
    path = path.strip()
    if not equals or not path or not text.strip():
        raise InputError(f"--set: expected path=value, as in seir.beta=0.03, got '{assignment}'")
    return replaced(scenario, path, parsed(text.strip()), f"--set {path}")


def with_arms(scenario: Scenario, names: Sequence[str]) -> Scenario:
    """Return the scenario with these arms only, in this order; effects are against the first.

    Raises:
        InputError: An arm that there is not, or one named twice.
    """
    known = {arm.name: arm for arm in scenario.arms}
    for number, name in enumerate(names):
        if name not in known:
            raise unknown("--arms", "arm", name, known)
        if name in names[:number]:
            raise InputError(f"--arms: arm '{name}' is named twice")
    return scenario.model_copy(update={"arms": tuple(known[name] for name in names)})


def with_draws(scenario: Scenario, draws: str) -> Scenario:
    """Return the scenario run with draws of its parameters.

    Args:
        scenario: As loaded.
        draws: "prior", or the path of a CSV or parquet file; it may lie anywhere, the user names it.

    Raises:
        InputError: No such file, or not a table.
    """
    if draws == "prior":
        return scenario.model_copy(update={"draws": draws})
    path = Path(draws)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"--draws: expected 'prior', or a .csv or .parquet file, got '{draws}'")
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise InputError(f"--draws: '{draws}' cannot be read: no such file")
    name = f"{paths.GIVEN}{path.name}"
    copy = scenario.model_copy(update={"draws": name})
    copy._elsewhere = {**scenario.elsewhere, name: str(path.resolve())}  # pyright: ignore[reportPrivateUsage]
    return copy


def parsed(text: str) -> Any:
    """Return a value written as in TOML; what is no TOML value is text."""
    try:
        tables = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return tables["value"] if set(tables) == {"value"} else text


def replaced(scenario: Scenario, path: str, value: Any, where: str) -> Scenario:
    """Return the scenario with the value at `path` replaced, checked again.

    Raises:
        InputError: An unknown path, or a value that does not fit.
    """
    given = scenario.draws if path != "draws" and scenario.draws in scenario.elsewhere else None
    tables = document(scenario if given is None else scenario.model_copy(update={"draws": None}))
    owner, _, rest = path.partition(".")
    kernels = [each.name for each in scenario.kernels]
    layers = [each.name for each in scenario.networks]
    if owner in kernels and rest:
        _set_parameter(scenario, tables["kernels"][kernels.index(owner)], owner, rest, value, where)
    elif owner == strengths.NAME and rest:
        _set_parameter(scenario, tables.setdefault(owner, {}), owner, rest, value, where)
    elif owner in layers and rest:
        layer = scenario.networks[layers.index(owner)]
        declared = declarations(registries.builder(layer.builder, where).Params)
        known = [*(key for key in LayerTable.model_fields if key not in ("name", "params")), *declared]
        table = tables["networks"][layers.index(owner)]
        _put(table, rest, known, declared, value, f"{where}: field of layer '{owner}'")
    elif owner == "population" and rest:
        known = [key for key in PopulationTable.model_fields if key not in ("columns", "params")]
        declared = {}
        if scenario.population.generator is not None:
            declared = declarations(registries.generator(scenario.population.generator, where).Params)
        _put(tables["population"], rest, [*known, *declared], declared, value, f"{where}: key of the population")
    elif path in KEYS:
        tables[path] = value
        if path == "steps":  # a shortened run is not refused because a measure begins after its end
            tables["horizon"] = max(scenario.horizon or 0, scenario.steps)
    else:
        raise unknown(where, "path", path, known_paths(scenario))
    try:
        made = validate(tables, scenario.folder, scenario.label)
    except InputError as error:
        raise InputError(_said_as(str(error), scenario, path, where)) from None
    return made if given is None else with_draws(made, scenario.elsewhere[given])


def _said_as(line: str, scenario: Scenario, path: str, where: str) -> str:
    """Return an error's line with the option that caused it in place of where the value stands in the file.

    "nyc-covid: kernels[0].beta: expected 0 to 5, got 9" becomes "--set seir.beta: expected 0 to 5, got 9"; a line about
    another place keeps that behind the option.
    """
    owner, _, rest = path.partition(".")
    place = path
    for table, names in (("kernels", scenario.kernels), ("networks", scenario.networks)):
        for number, each in enumerate(names):
            if each.name == owner and rest:
                place = f"{table}[{number}].{rest}"
    found = f"{scenario.label}: {place}"
    if line.startswith(found) and line[len(found) : len(found) + 1] in (":", ".", "["):
        return where + line[len(found) :]
    return f"{where}: {line}"


def _put(
    table: dict[str, Any],
    name: str,
    known: list[str],
    parameters: Collection[str],
    value: Any,
    where: str,
    held: Mapping[str, Declaration] = MappingProxyType({}),
) -> None:
    """Put a value into a table; a parameter keeps its unit, and its source becomes that the user set it.

    A kernel's parameter that is a number is held fixed from now on (`prior = []`), whatever `--draws` says.
    """
    place, _, kind = where.partition(": ")
    if name not in known:
        raise unknown(place, kind, name, known)
    if name in parameters:
        before = table_of(table.get(name)) or {}
        kept = {k: v for k, v in before.items() if k in ("unit", "prior")} if "value" in before else {}
        if name in held and not isinstance(value, str | bool):
            kept["prior"] = []
        value = {"value": value, "source": GIVEN, **kept}
    table[name] = value


def _set_parameter(scenario: Scenario, table: dict[str, Any], owner: str, rest: str, value: Any, where: str) -> None:
    name, _, level = rest.partition(".")
    declared = declarations(registries.instances_of(scenario)[owner].Params)
    kind = f"{where}: parameter of '{owner}'"
    if not level:
        more = [] if owner == strengths.NAME else ["layers", "cascades"]
        _put(table, name, [*declared, *more], declared, value, kind, declared)
        return
    if name not in declared:
        raise unknown(where, f"parameter of '{owner}'", name, declared)
    if not declared[name].by:
        raise InputError(f"{where}: parameter '{owner}.{name}' is one number, it has no level '{level}'")
    instance = next(each for each in scenario.instances if each.name == owner)
    column = registries.all_columns(scenario)[instance.columns.get(declared[name].by, declared[name].by)]
    column.code(level, where)
    setting = instance.params.get(name)
    numbers: dict[str, Any] = {}
    if setting is not None:
        items, by_level = list_of(setting.value), table_of(setting.value)
        numbers = dict.fromkeys(column.levels, setting.value) if by_level is None else by_level
        numbers = numbers if items is None else dict(zip(column.levels, items, strict=True))
    _put(table, name, [*declared], declared, {**numbers, level: value}, kind, declared)
    if setting is not None and setting.source:
        table[name]["source"] = f"{setting.source}; {level} {GIVEN}"


def known_paths(scenario: Scenario) -> list[str]:
    """Return the paths that `--set` knows in this scenario."""
    found = [*KEYS, *(f"population.{key}" for key in PopulationTable.model_fields if key not in ("columns", "params"))]
    for place, _, declared in registries.parametrised(scenario):
        if place.startswith("kernels"):
            owner = scenario.kernels[int(place[8:-1])].name
        elif place.startswith("networks"):
            owner = scenario.networks[int(place[9:-1])].name
            found.append(f"{owner}.scale")
        elif place == strengths.NAME:
            owner = place
        else:
            owner = "population"
        found += [f"{owner}.{name}" for name in declared]
    return found
