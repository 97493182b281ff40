"""Priors of parameters as a scenario writes them, and what their two numbers have to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, WrapValidator

SOUND: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "lognormal": (lambda a, b: a > 0 and b >= 0, "a median above 0 and a standard deviation of the log of at least 0"),
    "normal": (lambda a, b: b >= 0, "a mean and a standard deviation of at least 0"),
    "uniform": (lambda a, b: a <= b, "a lowest and a highest value in ascending order"),
    "beta": (lambda a, b: a > 0 and b > 0, "two shapes above 0"),
}
"""What the two numbers of a prior have to be, by family."""

_Family: TypeAlias = Literal["lognormal", "normal", "uniform", "beta"]


def unsound(family: str, a: float, b: float) -> str:
    """Return what is wrong with the numbers of a prior of a known family, "" when nothing is."""
    sound, expected = SOUND[family]
    return "" if sound(a, b) else f"{family}: expected {expected}, got {a:g} and {b:g}"


def _held_or(given: Any, check: Callable[[Any], Any]) -> Any:
    """Return an empty prior, which holds the parameter fixed, as it is, and another one checked."""
    if given == ():
        return ()
    made = check(given)
    if wrong := unsound(*made):
        raise ValueError(wrong)
    return made


def _as_tuple(value: Any) -> Any:
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


_NUMBER = {"type": "number"}

Prior: TypeAlias = Annotated[
    tuple[_Family, float, float],
    WrapValidator(_held_or),
    BeforeValidator(_as_tuple),
    PlainSerializer(tuple, return_type=tuple[Any, ...]),
    WithJsonSchema(
        {
            "description": "family and two numbers; an empty list holds the parameter fixed",
            "anyOf": [
                {"type": "array", "maxItems": 0},
                {
                    "type": "array",
                    "prefixItems": [{"enum": list(get_args(_Family)), "type": "string"}, _NUMBER, _NUMBER],
                    "minItems": 3,
                    "maxItems": 3,
                },
            ],
        }
    ),
]
"""Family and two numbers, as `lpm.kernel.Declaration` says; () = held fixed."""
