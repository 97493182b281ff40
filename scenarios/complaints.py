"""One line for what pydantic found wrong: the file, the path of the key, what was expected, what came."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lpm.errors import InputError, nearest
from lpm.scenarios.schema import Parametrised, Scenario
from lpm.scenarios.values import said

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of ordinary size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "date_type": "a date such as 2020-02-01",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "letters, digits, '-' and '_', a letter or digit first",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
}


def place(loc: Sequence[int | str]) -> str:
    """Return a location as a path: ("kernels", 0, "beta") is "kernels[0].beta"."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def complaint(error: ValidationError, label: str) -> InputError:
    """Return the first thing that is wrong as one line; unknown keys come first, a misspelt key being often the cause.

    Args:
        error: What pydantic raised for a `Scenario`.
        label: Name of the file.
    """
    found = error.errors(include_url=False)
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    loc = tuple(part for part in first["loc"] if part != "[key]")
    where = f"{label}: {place(loc)}" if loc else label
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return InputError(f"{where}: {_line(first, loc)}{more}".replace("\n", " "))


def _line(error: Any, loc: tuple[int | str, ...]) -> str:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key '{loc[-1]}'{nearest(str(loc[-1]), keys_at(loc[:-1]))}"
    if kind == "missing":
        hint = ""
        if isinstance(given, Mapping):
            near = nearest(str(loc[-1]), [str(key) for key in given])
            hint = near if near.startswith("; did") else ""
        return f"expected a key '{loc[-1]}', it is missing{hint.replace('did you mean', 'is it')}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"{error['msg']}; got {said(given)}"
    phrase = expected.format(**error.get("ctx", {}))
    hint = ""
    if kind == "literal_error" and isinstance(given, str):
        near = nearest(given, [each.strip("' ") for each in phrase.replace(" or ", ",").split(",")])
        hint = near if near.startswith("; did") else ""
    return f"expected {phrase}, got {said(given)}{hint}"


def keys_at(loc: Sequence[int | str]) -> list[str]:
    """Return the keys that the table at a location can have."""
    model: Any = Scenario
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
            model = _model_in(fields.get(str(part)))
        if model is None:
            return []
    if isinstance(model, type) and issubclass(model, BaseModel):
        own = [field.alias or name for name, field in model.model_fields.items()]
        return [key for key in own if not (key == "params" and issubclass(model, Parametrised))]
    return []


def _model_in(annotation: Any) -> Any:
    """Return the model inside an annotation such as `Annotated[tuple[Arm, ...], ...] | None`, None without one."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in (Union, types.UnionType, tuple, dict, Annotated):
        for inner in get_args(annotation):
            model = _model_in(inner)
            if model is not None:
                return model
    return None
