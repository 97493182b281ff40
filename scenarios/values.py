"""The small values that a scenario file is made of, each parsed once: durations, moments, parameter values, filters.

Validation is strict: "5" is not 5, true is not 1, and NaN or an infinity is refused wherever a number is expected.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from lpm import durations
from lpm.errors import InputError
from lpm.scenarios.priors import Prior

LARGEST = 3.4e38
"""Largest number: those of a run are 32-bit floats."""


class Part(BaseModel):
    """Base of every table of a scenario: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


def table_of(value: Any) -> dict[str, Any] | None:
    """Return a table with its keys, None for anything else."""
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else None


def list_of(value: Any) -> list[Any] | None:
    """Return a list, None for anything else."""
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else None


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, anything else as it is (for strict fields)."""
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def said(value: Any) -> str:
    """Return a short description of what was given, for the end of an error's line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text '{value[:60]}'" if value else "an empty text"
    if table_of(value) is not None:
        return "a table"
    items = list_of(value)
    if items is not None:
        return f"a list of {len(items)}"
    if isinstance(value, dt.date | dt.time):
        return f"the date {value}" if isinstance(value, dt.date) else f"the time {value}"
    return str(value)[:60]


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST


def misfit(value: Any, expected: str) -> ValueError:
    """Return the error for what is not `expected`; a number that is too large for a run is told to be so."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ValueError(f"expected a finite number of at most {LARGEST:g} in size, got {said(value)}")
    return ValueError(f"expected {expected}, got {said(value)}")


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _duration(signed: bool, zero: bool) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected a duration such as '1d', '12h' or '30min', got {said(value)}")
        try:
            length = durations.days(value, "")
        except InputError as error:
            raise ValueError(str(error).removeprefix(": ")) from None
        if not signed and (length < 0 or (length == 0 and not zero)):
            raise ValueError(f"expected a duration {'of at least' if zero else 'above'} 0, got '{value}'")
        return value

    return check


def _moment(value: Any) -> int | dt.date:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        raise ValueError(f"expected a date without a time zone, got {value}")
    if isinstance(value, dt.date):
        return value
    raise ValueError(f"expected a date (2020-03-22) or a step number, got {said(value)}")


def _date(value: Any) -> dt.date:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"expected a date such as 2020-02-01, got {said(value)}")
    moment = _moment(value)
    assert isinstance(moment, dt.date)
    return moment


def _knot(value: Any) -> tuple[int | dt.date, float]:
    pair = list_of(value)
    if pair is None or len(pair) != 2:
        raise ValueError(f"expected a knot [date or step, number], got {said(value)}")
    if not is_number(pair[1]):
        raise misfit(pair[1], f"a number at the knot {pair[0]}")
    return _moment(pair[0]), pair[1]


def _given(value: Any, deep: int = 2) -> Any:
    """Return a parameter's value: a number, text, flag, list (of lists), or numbers by level."""
    if isinstance(value, bool | str) or is_number(value):
        return value
    items, levels = list_of(value), table_of(value)
    if items is not None and deep:
        return tuple(_given(item, deep - 1) for item in items)
    if levels is not None and deep == 2:
        for level, number in levels.items():
            if not is_number(number):
                raise misfit(number, f"a number for the level '{level}'")
        return levels
    raise misfit(value, "a number, text, list or numbers by level")


def _number_or_text(value: Any) -> int | float | str | bool:
    if isinstance(value, bool | str) or is_number(value):
        return value
    raise misfit(value, "a number or the name of a level")


def _series_or_number(value: Any) -> float | str:
    if isinstance(value, str):
        return value
    if is_number(value):
        return float(value)
    raise misfit(value, "the name of a series or a number")


_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_WRITTEN: dict[str, Any] = {"type": "string", "pattern": r"^-?\d+(\.\d+)?\s*(s|min|h|d|w)$"}
_DATE: dict[str, Any] = {"type": "string", "format": "date", "description": "a TOML date, without quotes"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_LEVELS: dict[str, Any] = {"type": "object", "additionalProperties": _NUMBER}
_VALUE: dict[str, Any] = {"anyOf": [_NUMBER, _TEXT, _FLAG, {"type": "array"}, _LEVELS]}

Length: TypeAlias = Annotated[str, PlainValidator(_duration(False, False)), WithJsonSchema(_WRITTEN)]
"""A duration above 0, kept as written ("1d", "12h", "30min", "2w"); `durations.steps` gives its steps."""
Wait: TypeAlias = Annotated[str, PlainValidator(_duration(False, True)), WithJsonSchema(_WRITTEN)]
"""A duration of 0 or more."""
Shift: TypeAlias = Annotated[str, PlainValidator(_duration(True, True)), WithJsonSchema(_WRITTEN)]
"""A duration of either sign; "-7d" is a week earlier."""
Moment: TypeAlias = Annotated[
    int | dt.date, PlainValidator(_moment), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _DATE]})
]
"""A date, or the number of a step."""
Date: TypeAlias = Annotated[dt.date, PlainValidator(_date), WithJsonSchema(_DATE)]
Knot: TypeAlias = Annotated[
    tuple[int | dt.date, float],
    PlainValidator(_knot),
    WithJsonSchema({"type": "array", "minItems": 2, "maxItems": 2}),
]
Given: TypeAlias = Annotated[Any, PlainValidator(_given), WithJsonSchema(_VALUE)]
Level: TypeAlias = Annotated[
    int | float | str | bool,
    PlainValidator(_number_or_text),
    WithJsonSchema({"anyOf": [_NUMBER, _TEXT, _FLAG]}),
]
Reduction: TypeAlias = Annotated[
    float | str, PlainValidator(_series_or_number), WithJsonSchema({"anyOf": [_NUMBER, _TEXT]})
]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]
Names: TypeAlias = Annotated[tuple[Name, ...], BeforeValidator(as_tuple)]
OneOrMore: TypeAlias = Annotated[
    tuple[Name, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
    Field(min_length=1),
]
Pair: TypeAlias = Annotated[tuple[float, float], BeforeValidator(as_tuple)]
Count: TypeAlias = Annotated[int, Field(ge=1, lt=2**31)]


def _seed_list(given: Any) -> Any:
    """Return `seeds = 4` as (0, 1, 2, 3), and a list as it is."""
    if isinstance(given, int) and not isinstance(given, bool):
        if not 1 <= given <= 100_000:
            raise ValueError(f"expected 1 to 100,000 seeds, got {given}")
        return tuple(range(given))
    seeds = as_tuple(given)
    listed = list_of(seeds)
    if listed is not None and (not listed or len(set(map(repr, listed))) != len(listed)):
        raise ValueError("expected a number of seeds or a list of different seeds")
    return seeds


Seeds: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**31)], ...],
    BeforeValidator(_seed_list, json_schema_input_type=int | list[int]),
]
"""A number of seeds (0, 1, ...), or the seeds themselves."""


class Setting(Part):
    """The value of one parameter, and where it is from.

    Attributes:
        value: A number, a text, a flag, a list, or numbers by level of a column.
        unit: Must equal the declared unit.
        source: Citation (author, year, DOI), or "guess".
        prior: Family and two numbers, as `lpm.kernel.Declaration` says; () = held fixed, None = the declared one.
    """

    value: Given
    unit: str | None = None
    source: str | None = None
    prior: Prior | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """Read `beta = 0.03` and `beta = { "0-4" = 0.03 }` as tables with the key `value`."""
        table = table_of(given)
        return {"value": given} if table is None or "value" not in table else table

    @property
    def plain(self) -> bool:
        """Whether the value alone says everything."""
        return self.unit is None and self.source is None and self.prior is None


class Range(Part):
    """A filter on a number: from `min` to `max`, both inclusive."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("expected min or max, got neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected min <= max, got {self.min} > {self.max}")
        return self


def _condition(value: Any) -> Range | tuple[int | float | str | bool, ...]:
    if isinstance(value, Range):
        return value
    table = table_of(value)
    if table is not None:
        return Range.model_validate(table)
    items = list_of(value)
    values = [value] if items is None else items
    if not values:
        raise ValueError("expected at least one level, got an empty list")
    return tuple(_number_or_text(item) for item in values)


Condition: TypeAlias = Annotated[
    Any,
    PlainValidator(_condition),
    WithJsonSchema({"anyOf": [_NUMBER, _TEXT, _FLAG, {"type": "array", "minItems": 1}, {"type": "object"}]}),
]
"""What a column must be: one of some levels or numbers (a tuple), or a `Range`."""
