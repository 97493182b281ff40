"""One line for what pydantic found wrong: the file, the path of the key, what was expected, what came."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lpm.errors import InputError, nearest
from lpm.scenarios.schema import Parametrised, Scenario
from lpm.scenarios.values import said, table_of

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


MOST = 8
"""Complaints that a line tells; of more it says how many."""

_MEANT = {
    "label": ("title", "name"), "caption": ("title",), "name": ("title",), "reference": ("source",),
    "citation": ("source",), "begin": ("at",), "start": ("at",), "from": ("at",), "date": ("at",), "end": ("until",),
    "to": ("until",), "stop": ("until",), "multiply": ("scale",), "factor": ("scale",), "who": ("where",),
    "filter": ("where",), "agents": ("size",), "days": ("steps",), "type": ("kernel", "builder"), "model": ("kernel",),
    "groups": ("by",), "group": ("by",),
}  # fmt: skip
"""What people call a key, and the key that they mean where the table has it."""


def place(loc: Sequence[int | str]) -> str:
    """Return a location as a path: ("kernels", 0, "beta") is "kernels[0].beta"."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def complaint(error: ValidationError, label: str) -> InputError:
    """Return what is wrong as one line; unknown keys come first, a misspelt key being often the cause.

    Args:
        error: What pydantic raised for a `Scenario`.
        label: Name of the file.
    """
    found = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    told: list[str] = []
    for each in found[:MOST]:
        loc = tuple(part for part in each["loc"] if part != "[key]")
        at = loc[:-1] if each["type"] in ("extra_forbidden", "missing") else loc
        told.append(f"{place(_written(at))}: {_line(each, loc)}" if at else _line(each, loc))
    more = f" (and {len(found) - MOST} more)" if len(found) > MOST else ""
    return InputError(f"{label}: {'; also '.join(dict.fromkeys(told))}{more}".replace("\n", " "))


def _written(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return a location as the file says it: parameters stand beside the other keys, perhaps by value alone."""
    if "params" not in loc:
        return loc
    cut = loc.index("params")
    rest = loc[cut + 1 :]
    return (*loc[:cut], *(rest[:-1] if rest[-1:] == ("value",) else rest))


def _line(error: Any, loc: tuple[int | str, ...]) -> str:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        keys = keys_at(loc[:-1])
        meant = next((key for key in _MEANT.get(str(loc[-1]), ()) if key in keys), None)
        hint = nearest(str(loc[-1]), keys) if meant is None else f"; did you mean '{meant}'?"
        return f"unknown key '{loc[-1]}'{hint}"
    if kind == "missing":
        hint, table = "", table_of(given)
        if table is not None:
            near = nearest(str(loc[-1]), table)
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
    model: type[BaseModel] | None = Scenario
    named = False  # the next part is a name that the user chose, not a key
    for part in loc:
        if isinstance(part, int) or named or model is None:
            named = False
            continue
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        annotation = fields.get(part)
        named, model = _is_dict(annotation), _model_in(annotation)
    if model is None or named:
        return []
    own = [field.alias or name for name, field in model.model_fields.items()]
    return [key for key in own if not (key == "params" and issubclass(model, Parametrised))]


def _is_dict(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(_is_dict(inner) for inner in _inside(annotation))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as `Annotated[tuple[Arm, ...], ...] | None`, None without one."""
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    inside = get_args(annotation) if get_origin(annotation) in (tuple, dict) else _inside(annotation)
    return next((model for model in map(_model_in, inside) if model is not None), None)


def _inside(annotation: Any) -> tuple[Any, ...]:
    """Return what a union or `Annotated` is made of."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Annotated) else ()
