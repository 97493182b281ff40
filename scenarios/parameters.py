"""The parameters of a kernel, builder or generator: what the scenario sets, checked against the declaration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lpm.errors import InputError, nearest
from lpm.kernel import Declaration, declarations, levels_for
from lpm.population import Column
from lpm.scenarios.values import Setting, is_number, list_of, said, table_of


def build(
    params: type[Any],
    settings: Mapping[str, Setting],
    schema: Mapping[str, Column],
    where: str,
    *,
    aliases: Mapping[str, str] | None = None,
    keys: Sequence[str] = (),
) -> Any:
    """Return a `Params` instance: the declared defaults, replaced by what the scenario sets.

    Args:
        params: The `Params` dataclass.
        settings: Values by parameter.
        schema: Columns whose levels vector parameters follow.
        where: Path of the table, named in errors.
        aliases: What columns are called in the scenario.
        keys: Keys of the table that are no parameters; offered for a misspelt name.

    Returns:
        The instance: numbers as float (int where the default is one), vector parameters as float32 [levels], texts and
        flags as they are.

    Raises:
        InputError: An unknown parameter, a wrong kind, unit, level or choice, or a number out of bounds.
    """
    declared = declarations(params)
    for name in settings:
        if name not in declared:
            raise InputError(f"{where}: unknown key '{name}'{nearest(name, [*declared, *keys])}")
    defaults = {each.name: each.default for each in dataclasses.fields(params)}
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        place = f"{where}.{name}"
        setting = settings.get(name)
        default = defaults[name]
        if setting is not None and setting.unit is not None and setting.unit != declaration.unit:
            raise InputError(f"{place}: expected the unit '{declaration.unit}', got '{setting.unit}'")
        if declaration.by:
            levels = levels_for(declaration, schema, place, aliases=lambda column: (aliases or {}).get(column, column))
            values[name] = _vector(None if setting is None else setting.value, default, declaration, levels, place)
        elif setting is not None:
            values[name] = _scalar(setting.value, default, declaration, place)
    return dataclasses.replace(params(), **values) if values else params()


def _vector(given: Any, default: Any, declared: Declaration, levels: Sequence[str], where: str) -> Any:
    """Return float32 [levels]; levels that a table does not name keep their default."""
    base = _spread(default, levels, where)
    by_level = table_of(given)
    if by_level is not None:
        for level, number in by_level.items():
            if level not in levels:
                raise InputError(f"{where}: unknown level '{level}' of '{declared.by}'{nearest(level, levels)}")
            _bounded(number, declared, f"{where}.{level}")
        numbers = [by_level.get(level, base[position]) for position, level in enumerate(levels)]
    elif given is not None:
        if not is_number(given) and not isinstance(given, tuple):
            raise InputError(f"{where}: expected a number, or numbers by level of '{declared.by}', got {said(given)}")
        numbers = _spread(given, levels, where)
        for position, number in enumerate(numbers):
            _bounded(number, declared, f"{where}.{levels[position]}")
    else:
        numbers = base
    return np.asarray(numbers, np.float32)


def _spread(value: Any, levels: Sequence[str], where: str) -> list[Any]:
    by_level, numbers = table_of(value), list_of(value)
    if by_level is not None:
        return [by_level[level] for level in levels]
    if numbers is not None:
        if len(numbers) != len(levels):
            raise InputError(f"{where}: expected {len(levels)} numbers ({', '.join(levels)}), got {len(numbers)}")
        return numbers
    return [value] * len(levels)


def _scalar(given: Any, default: Any, declared: Declaration, where: str) -> Any:
    if declared.choices:
        if not isinstance(given, str):
            raise InputError(f"{where}: expected one of {', '.join(declared.choices)}, got {said(given)}")
        if given not in declared.choices:
            raise InputError(f"{where}: unknown choice '{given}'{nearest(given, declared.choices)}")
        return given
    if isinstance(default, bool):
        return _of_kind(given, isinstance(given, bool), "true or false", where)
    if isinstance(default, str) or declared.unit == "file":
        return _of_kind(given, isinstance(given, str), "text", where)
    if isinstance(default, tuple | list):
        _of_kind(given, isinstance(given, tuple), "a list", where)
        for position, item in enumerate(given):
            if is_number(item):
                _bounded(item, declared, f"{where}[{position}]")
        return given
    if isinstance(default, int):
        whole = isinstance(given, int) and not isinstance(given, bool)
        return _bounded(_of_kind(given, whole, "a whole number", where), declared, where)
    return _bounded(_of_kind(given, is_number(given), "a number", where), declared, where)


def _of_kind(given: Any, right: bool, expected: str, where: str) -> Any:
    if not right:
        raise InputError(f"{where}: expected {expected}, got {said(given)}")
    return given


def _bounded(given: Any, declared: Declaration, where: str) -> Any:
    low, high = declared.bounds
    if not is_number(given):
        raise InputError(f"{where}: expected a number, got {said(given)}")
    if not low <= given <= high:
        raise InputError(f"{where}: expected {low:g} to {high:g} ({declared.unit}), got {given:g}")
    return given


def in_bounds(given: float, declared: Declaration, where: str) -> float:
    """Return a number that an intervention sets, when the declaration allows it.

    Raises:
        InputError: Out of bounds.
    """
    return _bounded(given, declared, where)
