"""Persona cards: what a prompt says of an archetype, rendered from the columns' own labels with Jinja2.

Templates run in a bounded sandbox (`lpm.archetypes.templates`): they see plain texts and numbers, call nothing of
Python's, change nothing and make nothing huge. Columns' values are data; braces in them are printed, never run. What a
card may say in a prompt is checked where the prompt is made (`lpm.archetypes.prompts.clean`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lpm.archetypes.clustering import Clusters
from lpm.errors import InputError, unknown

if TYPE_CHECKING:
    from lpm.population import Column

LONGEST = 4000
"""Characters of a card."""

MAJORITY = 0.5
"""Share from which on a value is said plainly; below it "mostly" would claim too much, so its share is told."""

TEMPLATE = (
    "{% for c in columns %}{{ c.title }}: "
    "{% if c.number %}{{ c.value }}{% if c.unit %} {{ c.unit }}{% endif %}"
    "{% elif c.share >= 0.995 %}{{ c.value }}"
    "{% elif c.share > majority %}mostly {{ c.value }}"
    "{% else %}mixed, most often {{ c.value }} ({{ (100 * c.share) | round | int }} %){% endif %}"
    "{{ '; ' if not loop.last else '.' }}{% endfor %}"
)
"""The card unless another template is given: "age: 65-74; borough: mostly Bronx; income: 3.1e+04 USD."."""


@dataclass(frozen=True)
class Label:
    """How a column is called on a card.

    Attributes:
        title: Its name in words.
        unit: Unit of its numbers.
        values: Words for its values; a value that is not here stands for itself.
    """

    title: str
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict[str, str])


def labels(schema: Mapping[str, Column]) -> dict[str, Label]:
    """Return the labels that a population's declared columns give."""
    return {name: Label(name.replace("_", " "), column.unit) for name, column in schema.items()}


def cards(
    clusters: Clusters, template: str | None = None, labels: Mapping[str, Label] | None = None
) -> tuple[str, ...]:
    """Return one card an archetype.

    A template sees `archetype` (its number), `share` (of all people), `majority`, and `columns`, a list of
    {name, title, unit, number, value, share, sd}: value is text, of a number its mean to three digits; share is that of
    a category's value in the archetype (1 for a number), sd the standard deviation of a number (0 for a category).

    Args:
        clusters: The archetypes.
        template: A Jinja2 template; None = `TEMPLATE`.
        labels: By column; a column without one has its name with blanks.

    Raises:
        InputError: A label for no column, a template that is wrong, asks for what there is not or does what it may not,
            or a card that is empty or longer than `LONGEST`.
    """
    from jinja2 import TemplateError

    from lpm.archetypes.templates import renderer

    given = dict(labels or {})
    for name in given:
        if name not in clusters.columns:
            raise unknown("cards: labels", "column", name, clusters.columns)
    frame = clusters.archetypes
    people = float(frame["weight"].sum())
    described = {name: given.get(name, Label(name.replace("_", " "))) for name in clusters.columns}
    made: list[str] = []
    try:
        render = renderer(TEMPLATE if template is None else template)
        for row in frame.iter_rows(named=True):
            columns = [_column(row, name, label, f"{name}.sd" in frame.columns) for name, label in described.items()]
            share = row["weight"] / people
            told = {"archetype": row["archetype"], "share": share, "majority": MAJORITY, "columns": columns}
            text = render(told, LONGEST).strip()
            if not text or len(text) > LONGEST:
                raise InputError(
                    f"cards: expected 1 to {LONGEST} characters, archetype {row['archetype']}: {len(text)}"
                )
            made.append(text)
    except TemplateError as error:
        raise InputError(
            f"cards: template: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    except (TypeError, ValueError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cards: template: {error}") from None
    return tuple(made)


def _column(row: Mapping[str, object], name: str, label: Label, number: bool) -> dict[str, object]:
    """Return what a template sees of a column."""
    value = row[name]
    if number:
        told = {"value": f"{float(str(value)):.3g}", "share": 1.0, "sd": row[f"{name}.sd"]}
    else:
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        told = {"value": label.values.get(shown, shown), "share": row.get(f"{name}.share", 1.0), "sd": 0.0}
    return {"name": name, "title": label.title, "unit": label.unit, "number": number, **told}
