"""Names that stand in the files of a run and on the command line, and the characters that would be misread there.

`trajectory.parquet` names a group "borough=Bronx;age=65-74", and `--arms a,b` names arms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from lpm.results import KEYS, PEOPLE
from lpm.scenarios.values import Name, as_tuple

SEPARATORS = ";="
"""What joins the columns and levels of a group's name."""


def misread(text: str, separators: str = SEPARATORS) -> str:
    """Return what in a name would be misread, "" when nothing is."""
    if text != text.strip():
        return "a space at an end"
    for character in text:
        if character in separators:
            return f"'{character}'"
        if not character.isprintable():
            return f"the character {ascii(character)}"
    return ""


def _readable(separators: str, reserved: tuple[str, ...] = ()) -> Callable[[str], str]:
    def check(text: str) -> str:
        wrong = misread(text, separators)
        if wrong:
            raise ValueError(f"expected a name without {wrong}, which would be misread, got {text!r}")
        if text in reserved:
            raise ValueError(f"the name '{text}' is reserved for a column of trajectory.parquet; choose another")
        return text

    return check


Label: TypeAlias = Annotated[Name, AfterValidator(_readable(SEPARATORS))]
"""Name of a column, level, layer, table or kernel instance."""
Labels: TypeAlias = Annotated[tuple[Label, ...], BeforeValidator(as_tuple)]
MetricName: TypeAlias = Annotated[Name, AfterValidator(_readable(SEPARATORS, (*KEYS, PEOPLE)))]
"""Name of a metric: a column of `trajectory.parquet`."""
ArmName: TypeAlias = Annotated[Name, AfterValidator(_readable(","))]
"""Name of an arm: `--arms` joins them by commas."""
Title: TypeAlias = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_readable(""))]
"""Name that stands in sentences only, of an intervention or survey: one line."""
