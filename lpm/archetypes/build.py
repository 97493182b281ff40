"""Builds a table of behaviour: every archetype in every context is asked what it would do.

Persona is the outer loop, context the next, action and order the innermost, so that an engine or server that keeps the
beginning of a prompt computes each card and each situation once. With A archetypes, C contexts and K actions the form
yes-no asks 2 K (A C + 1) questions, letters K (A C + 1), percent A C + 1 (the 1 is the content-free prompt).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lpm.archetypes import elicitation, install, prompts
from lpm.archetypes.answers import Answers
from lpm.archetypes.contexts import Contexts
from lpm.archetypes.elicitation import Action, Policy, Reading
from lpm.archetypes.limits import Limits
from lpm.archetypes.poll import Told, poll, untold
from lpm.archetypes.providers.recorded import RecordedTable
from lpm.archetypes.questions import Answer, Fact, Provider, Question, Unanswered
from lpm.archetypes.table import Table
from lpm.errors import Fault, InputError

Cell = tuple[int, int]
"""(archetype, context); both -1 for the content-free prompt."""

BLANK: Cell = (-1, -1)

LICENCES = {install.SHA256: "Apache-2.0 (SmolLM2-135M-Instruct)"}
"""By the sha256 of a model."""

NUMBERS = ("logit", "coverage", "order_spread", "entropy")

Asked = tuple[tuple[Cell, int], str, Question]
"""A question of a table: the cell and the place among its questions; whom it concerns; the question."""


def build(
    cards: Sequence[str],
    contexts: Contexts,
    actions: Sequence[Action],
    provider: Provider,
    answers: Answers | None = None,
    policy: Policy | None = None,
    limits: Limits | None = None,
    progress: Told = untold,
    archetypes: pl.DataFrame | None = None,
) -> Table:
    """Return the table of a provider's answers.

    A build that stopped or was killed is continued by the same call: what the file of answers holds is not asked again.

    Args:
        cards: What is told of each archetype, [A].
        contexts: The situations, C cells.
        actions: What can be done, K of them.
        provider: Who is asked.
        answers: The file that keeps them; None = nothing is kept.
        policy: How to ask.
        limits: What it may cost.
        progress: Told ("running", questions answered, questions in all).
        archetypes: Frame [A] with the column `weight` and those that tables and formulas may use; None = equal weights.

    Returns:
        The table; cells whose answer was no use are marked in `usable`, and its provenance counts them by reason.

    Raises:
        InputError: Bad input, or a provider that can answer nothing.
        Fault: Some questions have no answer; the message counts them, and those that have one are kept.
    """
    policy, limits = policy or Policy(), limits or Limits()
    people = _people(cards, archetypes)
    cells = _Cells((len(cards), contexts.tabled, len(actions)))
    if isinstance(provider, RecordedTable):
        provider = provider.of(people)
    if provider.gives:
        elicitation.check_actions(actions, "given")
        total = _given(people, contexts, actions, provider, cells, progress)
        return _table(people, contexts, actions, provider, None, cells, total)
    elicitation.check_actions(actions, policy.form)
    for number, card in enumerate(cards):  # all of them before the first question
        prompts.clean(card, f"card {number}")
    held = Answers(None) if answers is None else answers
    parts: dict[Cell, dict[int, Answer]] = {}
    each = asked_of_a_cell(policy, actions)

    def take(purpose: tuple[Cell, int], answer: Answer) -> None:
        cell, place = purpose
        if answer.source == "logprobs" and not answer.refused:  # what was not named has an upper bound, no value
            cells.bounded.update(answer.missing)
        got = parts.setdefault(cell, {})
        got[place] = answer
        if len(got) == each:
            cells.put(cell, elicitation.reading(policy, actions, [got[i] for i in range(each)]))
            del parts[cell]

    total = each * (len(cards) * contexts.size + policy.content_free)
    asked = plan(cards, contexts, actions, policy)
    poll(asked, total, provider, policy.stored, held, limits, take, progress).check(held)
    return _table(people, contexts, actions, provider, policy, cells, total)


class _Cells:
    """Readings as they come, in arrays whose last row is for the content-free prompt (its cell is -1, -1)."""

    def __init__(self, shape: tuple[int, int, int]):
        whole = (shape[0] + 1, *shape[1:])
        self.numbers = {n: np.full(whole, math.nan, np.float32) for n in NUMBERS}
        self.usable = np.zeros(whole, bool)
        self.why: Counter[str] = Counter()
        self.bounded: Counter[str] = Counter()
        self.blank: Reading | None = None

    def put(self, cell: Cell, found: Reading) -> None:
        for name, array in self.numbers.items():
            array[cell] = getattr(found, name)
        self.usable[cell] = found.usable
        if cell == BLANK:
            self.blank = found
        else:
            self.why.update(each for each in found.why if each)

    def correct(self) -> None:
        """Subtract the content-free logits, and take the logit from what is unusable."""
        if self.blank is not None:
            self.numbers["logit"] -= self.blank.logit
            lost = self.usable[:-1] & ~self.blank.usable
            for action, why in enumerate(self.blank.why):
                self.why[f"content-free prompt: {why}"] += int(lost[..., action].sum())
            self.usable &= self.blank.usable
        self.numbers["logit"][~self.usable] = math.nan
        self.numbers = {name: array[:-1] for name, array in self.numbers.items()}
        self.usable = self.usable[:-1]


def plan(cards: Sequence[str], contexts: Contexts, actions: Sequence[Action], policy: Policy) -> Iterator[Asked]:
    """Yield all questions of a table in the order in which they are asked."""
    if policy.content_free:
        for place, question in enumerate(elicitation.questions(policy, actions, None, None)):
            yield (BLANK, place), "nobody", _kept(question, policy)
    said = [contexts.sentences(cell) for cell in range(contexts.size)]
    for archetype, card in enumerate(cards):
        for cell, context in enumerate(said):
            for place, question in enumerate(elicitation.questions(policy, actions, card, context)):
                yield ((archetype, cell), place), f"archetype {archetype}", _kept(question, policy)


def asked_of_a_cell(policy: Policy, actions: Sequence[Action]) -> int:
    """Return the number of questions of one cell."""
    return len(elicitation.questions(policy, actions, None, None))


def _kept(question: Question, policy: Policy) -> Question:
    return replace(question, reuse=policy.reuse)


def _people(cards: Sequence[str], archetypes: pl.DataFrame | None) -> pl.DataFrame:
    """Return the frame of archetypes: archetype, weight, card, the other columns.

    Raises:
        InputError: There are none, or the frame is of other archetypes.
    """
    count = len(cards)
    if not count:
        raise InputError("build: expected at least one archetype, got none")
    frame = pl.DataFrame({"weight": [1 / count] * count}) if archetypes is None else archetypes
    if frame.height != count or "weight" not in frame.columns:
        raise InputError(f"build: expected a row with a weight for each of {count} cards, got {frame.height} rows")
    if "archetype" in frame.columns and frame["archetype"].to_list() != list(range(count)):
        raise InputError("build: expected the archetypes 0, 1, 2, ... in order")
    others = [name for name in frame.columns if name not in ("archetype", "weight", "card")]
    return frame.select(
        pl.Series("archetype", range(count), pl.Int64), pl.col("weight").cast(pl.Float64),
        pl.Series("card", list(cards)), *others,
    )  # fmt: skip


def _given(
    people: pl.DataFrame,
    contexts: Contexts,
    actions: Sequence[Action],
    provider: Provider,
    found: _Cells,
    progress: Told,
) -> int:
    """Take every cell from a provider that gives probabilities, and return how many there are.

    Raises:
        Fault: It has none for some cells.
    """
    labels, cells = tuple(action.name for action in actions), contexts.cells()
    total = people.height * len(cells)
    failed: Counter[str] = Counter()
    for archetype, row in enumerate(people.iter_rows(named=True)):
        columns: dict[str, Fact] = {
            name: value if isinstance(value, str) else float(value)
            for name, value in row.items()
            if isinstance(value, str | int | float)
        }
        for cell, values in enumerate(cells):
            question = Question("", "", labels, facts={**columns, **values})
            try:
                found.put((archetype, cell), elicitation.of_given(labels, provider.ask(question)))
            except Unanswered as error:
                failed[str(error)] += 1
        progress("running", (archetype + 1) * len(cells), total)
    if failed:
        first, times = failed.most_common(1)[0]
        raise Fault(f"provider {provider.name}: {failed.total()} of {total} cells have no row ({first}: {times})")
    return total


def _table(
    people: pl.DataFrame,
    contexts: Contexts,
    actions: Sequence[Action],
    provider: Provider,
    policy: Policy | None,
    cells: _Cells,
    questions: int,
) -> Table:
    cells.correct()
    identity = {"model_sha256" if name == "sha256" else name: v for name, v in provider.identity.items() if v}
    told: Mapping[str, str | float | int] = provider.told if isinstance(provider, RecordedTable) else identity
    licence = {"licence": LICENCES[identity["model_sha256"]]} if identity.get("model_sha256") in LICENCES else {}
    provenance: dict[str, str | float | int] = {
        "policy": policy.told() if policy else "given",
        **licence,
        **told,
        "provider": provider.name,
        "questions": questions,
        "date": datetime.now(UTC).date().isoformat(),
        **{f"unusable: {reason}": count for reason, count in sorted(cells.why.items()) if count},
        **{f"bounded: {label} was not named": count for label, count in sorted(cells.bounded.items())},
    }
    return Table(
        actions=tuple(action.name for action in actions),
        contexts=contexts,
        archetypes=people,
        usable=cells.usable,
        provenance=provenance,
        **cells.numbers,
    )
