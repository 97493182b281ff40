"""Replay: answers that a model gave before, from a file of answers or from a finished table. Nothing is asked anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lpm.archetypes.answers import Answers
from lpm.archetypes.clustering import numeric
from lpm.archetypes.membership import members
from lpm.archetypes.questions import Answer, Permit, Question, Unanswered, at_will
from lpm.errors import InputError, unknown

if TYPE_CHECKING:
    import polars as pl

    from lpm.archetypes.table import Table

OWN = ("provider", "questions", "date", "agents", "people", "seed", "unusable: ", "bounded: ", "filled")
"""How names in a table's provenance begin that are of one build."""


class Recorded:
    """The answers of one model in a file; a build with it finds them there, as it finds its own.

    Attributes:
        name: "recorded".
        identity: That of the model that gave them.
        at_once: 1.
        gives: False.
    """

    name, at_once, gives = "recorded", 1, False

    def __init__(self, answers: Answers, model: str = ""):
        """Choose whose answers are replayed.

        Args:
            answers: The file.
            model: Name of the model, where answers of several are kept.

        Raises:
            InputError: The file has none, or those of several models.
        """
        known = [each for each in answers.identities() if model in ("", each.get("model"))]
        if len(known) != 1:
            there = "; ".join(", ".join(f"{k} {v}" for k, v in each.items() if v) for each in answers.identities()[:5])
            raise InputError(
                f"{answers.path}: expected answers of one model{f' {model!r}' if model else ''}, got those of "
                f"{len(known)}" + (f"; there are: {there}" if there else "")
            )
        self.identity: Mapping[str, str] = known[0]

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Raise: what was recorded is found before anybody is asked."""
        raise Unanswered("not recorded")


class RecordedTable:
    """A finished table as a provider: the same people, cells and actions, without a model.

    Archetypes are numbered by how many people they stand for, so their numbers change with the population: an archetype
    is looked up by the columns that group the table's (see `lpm.archetypes.membership`: exact groups by their values,
    clusters by the nearest), or by its card where the table has no such column in common with it. `of` does that.

    Attributes:
        name: "recorded".
        identity: Model, its sha256 and runtime, as far as the table's provenance has them.
        at_once: 1.
        gives: True.
        told: The table's provenance, for the one that is made of it: what was known of the model under its name, what a
            build says of itself with `recorded_` before it.
    """

    name, at_once, gives = "recorded", 1, True

    def __init__(self, table: Table, people: pl.DataFrame | None = None):
        """Look up archetypes in a table.

        Args:
            table: The table.
            people: The archetypes that will be asked about: archetype, weight, card, and columns; None = nobody yet.
        """
        self.table = table
        past = table.provenance
        self.identity: Mapping[str, str] = {k: str(past[k]) for k in ("model", "model_sha256", "runtime") if k in past}
        self.told: dict[str, str | float | int] = {
            (f"recorded_{name}" if name.startswith(OWN) else name): value
            for name, value in past.items()
            if not (name.startswith(OWN) and f"recorded_{name}" in past)  # a recording of a recording: the first counts
        }
        self._cells = {tuple(each[name] for name in table.contexts.names): i
                       for i, each in enumerate(table.contexts.cells())}  # fmt: skip
        self._rows: list[int] = []
        self._columns: tuple[str, ...] = ()
        if people is not None:
            own = _grouping(table.archetypes)
            self._columns = own if own and set(own) & set(people.columns) else ()
            self._rows = _by_columns(people, table, own) if self._columns else _by_card(people, table)
            self.told["looked_up_by"] = ", ".join(self._columns) or "card"
            cards = table.archetypes["card"]
            other = sum(row >= 0 and cards[row] != card for row, card in zip(self._rows, people["card"], strict=True))
            if other:
                self.told["cards_unlike_recorded"] = other

    def of(self, people: pl.DataFrame) -> RecordedTable:
        """Return the provider for these archetypes.

        Raises:
            InputError: They lack some of the columns that group the table's archetypes, but not all.
        """
        return RecordedTable(self.table, people)

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the logarithms of the actions' probabilities in one cell."""
        facts, table = question.facts, self.table
        archetype = facts.get("archetype", -1.0)
        cell = self._cells.get(tuple(float(facts.get(name, math.nan)) for name in table.contexts.names))
        if not isinstance(archetype, int | float) or not 0 <= archetype < len(self._rows) or cell is None:
            raise Unanswered("not recorded")
        if self._rows[int(archetype)] < 0:
            named = ", ".join(f"{name} = {facts.get(name)}" for name in self._columns) or f"the card of {archetype:g}"
            raise Unanswered(f"not recorded: {named}")
        if set(question.labels) != set(table.actions):
            raise InputError(f"provider recorded: expected the actions {', '.join(table.actions)}, got "
                             f"{', '.join(question.labels)}")  # fmt: skip
        row = self._rows[int(archetype)], cell
        if not bool(table.cells_usable[row]):
            return Answer({}, math.nan, "", question.labels, refused="unusable when it was recorded", source="given")
        logits = dict(zip(table.actions, (float(each) for each in table.logit[row]), strict=True))
        most = max(logits.values())
        whole = most + math.log(math.fsum(math.exp(each - most) for each in logits.values()))
        return Answer({label: logits[label] - whole for label in question.labels}, math.nan, "", source="given")


def _grouping(archetypes: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns of a table that tell its archetypes apart; () where they do not."""
    spread = (".share", ".sd")
    others = [name for name in archetypes.columns if name not in ("archetype", "weight", "agents", "card")]
    found = tuple(name for name in others if not any(name == f"{o}{end}" for o in others for end in spread))
    clustered = len(found) < len(others)
    return found if clustered or (found and not archetypes.select(found).is_duplicated().any()) else ()


def _by_columns(people: pl.DataFrame, table: Table, columns: tuple[str, ...]) -> list[int]:
    where = "provider recorded"
    for name in columns:
        if name not in people.columns:
            raise unknown(where, "column of the archetypes", name, people.columns)
        if numeric(people[name]) != numeric(table.archetypes[name]):
            kinds = {True: "numbers", False: "categories"}
            expected, got = (kinds[numeric(frame[name])] for frame in (table.archetypes, people))
            raise InputError(f"{where}: column '{name}': expected {expected} as in the table, got {got}")
    try:
        return members(people, table.archetypes, columns, where).tolist()
    except InputError:  # some are of no archetype of the table: find out which
        return [_one(people[row], table, columns, where) for row in range(people.height)]


def _one(person: pl.DataFrame, table: Table, columns: tuple[str, ...], where: str) -> int:
    try:
        return int(members(person, table.archetypes, columns, where)[0])
    except InputError:
        return -1


def _by_card(people: pl.DataFrame, table: Table) -> list[int]:
    """Return the row with the same card, -1 where there is none or those that have it differ."""
    rows: dict[str, int] = {}
    for row, card in enumerate(table.archetypes["card"].to_list()):
        first = rows.setdefault(card, row)
        if first >= 0 and not np.array_equal(table.logit[first], table.logit[row], equal_nan=True):
            rows[card] = -1
    return [rows.get(card, -1) for card in people["card"].to_list()]
