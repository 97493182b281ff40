"""Replay: answers that a model gave before, from a file of answers or from a finished table. Nothing is asked anew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lpm.archetypes.answers import Answers
from lpm.archetypes.questions import Answer, Permit, Question, Unanswered, at_will
from lpm.errors import InputError

if TYPE_CHECKING:
    from lpm.archetypes.table import Table


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
    """A finished table as a provider: the same archetypes, cells and actions, without a model.

    Attributes:
        name: "recorded".
        identity: The table's provenance of its model.
        at_once: 1.
        gives: True.
    """

    name, at_once, gives = "recorded", 1, True

    def __init__(self, table: Table):
        """Take the table."""
        self.table = table
        self.identity: Mapping[str, str] = {str(k): str(v) for k, v in table.provenance.items()}
        self._cells = {tuple(each[name] for name in table.contexts.names): i
                       for i, each in enumerate(table.contexts.cells())}  # fmt: skip

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the logarithms of the actions' probabilities in one cell."""
        facts, table = question.facts, self.table
        archetype = facts.get("archetype", -1.0)
        cell = self._cells.get(tuple(float(facts.get(name, math.nan)) for name in table.contexts.names))
        if not isinstance(archetype, int | float) or not 0 <= archetype < len(table.logit) or cell is None:
            raise Unanswered("not recorded")
        if set(question.labels) != set(table.actions):
            raise InputError(f"provider recorded: expected the actions {', '.join(table.actions)}, got "
                             f"{', '.join(question.labels)}")  # fmt: skip
        row = int(archetype), cell
        if not bool(table.cells_usable[row]):
            return Answer({}, math.nan, "", question.labels, refused="unusable when it was recorded", source="given")
        logits = dict(zip(table.actions, (float(each) for each in table.logit[row]), strict=True))
        most = max(logits.values())
        whole = most + math.log(math.fsum(math.exp(each - most) for each in logits.values()))
        return Answer({label: logits[label] - whole for label in question.labels}, math.nan, "", source="given")
