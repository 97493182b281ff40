"""The user's own probabilities: a frame with a row for every archetype, cell and action."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from lpm.archetypes.questions import Answer, Fact, Permit, Question, Unanswered, at_will
from lpm.archetypes.table import NEVER
from lpm.errors import InputError, unknown

OFF = 1e-6
"""How far the probabilities of a cell may be from adding up to 1."""


class Given:
    """Probabilities from a frame.

    Its columns are `action`, `probability` and any of `archetype`, the archetypes' columns and the context's variables
    (their values at the anchors): a row holds for all archetypes and cells that have these values.
    A probability of 0 has the logit `lpm.archetypes.table.NEVER`.

    Attributes:
        name: "table".
        identity: The sha256 of the frame.
        at_once: 1.
        gives: True.
    """

    name, at_once, gives = "table", 1, True

    def __init__(self, frame: pl.DataFrame, where: str = "provider table"):
        """Take the frame.

        Args:
            frame: As told above.
            where: Named in errors.

        Raises:
            InputError: A column is missing, a value is no probability, a row stands twice or a cell adds up to another
                number than 1.
        """
        for column in ("action", "probability"):
            if column not in frame.columns:
                raise unknown(where, "column", column, frame.columns)
        if not frame.height:
            raise InputError(f"{where}: expected rows, got none")
        self.where = where
        self.keys = tuple(name for name in frame.columns if name not in ("action", "probability"))
        self.cells: dict[tuple[Fact, ...], dict[str, float]] = {}
        for number, row in enumerate(frame.iter_rows(named=True), 1):
            self._take(row, f"{where}: row {number}")
        for key, cell in self.cells.items():
            whole = math.fsum(cell.values())
            if abs(whole - 1) > OFF:
                raise InputError(f"{where}: expected probabilities that add up to 1 at {self._told(key)}, got {whole}")
        self.identity: Mapping[str, str] = {"model": "table", "sha256": _digest(frame)}

    def _take(self, row: Mapping[str, object], where: str) -> None:
        key = tuple(_fact(row[name], f"{where}, {name}") for name in self.keys)
        action, value = row["action"], row["probability"]
        if not isinstance(action, str) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"{where}: expected an action and its probability, got {action!r}, {value!r}")
        cell = self.cells.setdefault(key, {})
        if action in cell:
            raise InputError(f"{where}: '{action}' stands twice at {self._told(key)}")
        cell[action] = float(value)

    def _told(self, key: tuple[Fact, ...]) -> str:
        return ", ".join(f"{name}={value}" for name, value in zip(self.keys, key, strict=True)) or "all cells"

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the logarithms of the actions' probabilities."""
        for name in self.keys:
            if name not in question.facts:
                raise unknown(self.where, "column", name, question.facts)
        key = tuple(_fact(question.facts[name], name) for name in self.keys)
        cell = self.cells.get(key)
        if cell is None:
            raise Unanswered(f"no row with {self._told(key)}")
        for action in cell:
            if action not in question.labels:
                raise unknown(self.where, "action", action, question.labels)
        found = {action: cell.get(action, 0.0) for action in question.labels}
        logprobs = {action: math.log(value) if value > 0 else NEVER for action, value in found.items()}
        return Answer(logprobs, math.nan, "", source="given")


def _fact(value: object, where: str) -> Fact:
    """Return a value as it is compared: a text, or a number as float."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise InputError(f"{where}: expected a text or a finite number, got {value!r}")


def _digest(frame: pl.DataFrame) -> str:
    import hashlib

    return hashlib.sha256(frame.write_csv().encode()).hexdigest()
