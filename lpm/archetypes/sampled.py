r"""Builds a behaviour net of contexts whose product is too large for a table: some cells are asked, a net is distilled.

The S cells that are asked are drawn without replacement from all A C pairs of archetype and context, every one alike,
by a seed; so the errors on those that the net is not shown are those on any cell, but for chance and for cells whose
answer was no use. What is asked of a cell is what `lpm.archetypes.build` asks of it, and answers are kept in the same
file: nothing is asked twice, and a build that was stopped goes on where it was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from lpm.archetypes import elicitation, prompts
from lpm.archetypes.answers import Answers
from lpm.archetypes.behaviour_net import Cells, Distilled, distil
from lpm.archetypes.build import asked_of_a_cell
from lpm.archetypes.contexts import Contexts
from lpm.archetypes.elicitation import Action, Policy, Reading
from lpm.archetypes.limits import Limits
from lpm.archetypes.poll import Told, poll, untold
from lpm.archetypes.questions import Answer, Fact, Provider, Question, Unanswered
from lpm.errors import Fault, InputError
from lpm.types import HostArray

BLANK = -1
"""Place of the content-free prompt."""


@dataclass(frozen=True)
class Sampled:
    """What was asked, and the net that comes of it.

    Attributes:
        distilled: The net with its errors on the cells that it was not shown.
        cells: The cells that were of use.
        asked: Cells that were asked.
        of: Cells in all, A C.
        why: Cells of no use by reason.
    """

    distilled: Distilled
    cells: Cells
    asked: int
    of: int
    why: Mapping[str, int] = field(default_factory=dict[str, int])

    def __str__(self) -> str:
        """Return the errors as lines of text, below how many cells they are of."""
        lost = ", ".join(f"{why}: {count}" for why, count in sorted(self.why.items()))
        told = f"{self.asked:,} of {self.of:,} cells asked, {self.asked - len(self.cells.archetype):,} of no use"
        return f"{told}{f' ({lost})' if lost else ''}\n{self.distilled}"


def build_sampled(
    cards: Sequence[str],
    contexts: Contexts,
    actions: Sequence[Action],
    provider: Provider,
    cells: int,
    *,
    seed: int = 0,
    answers: Answers | None = None,
    policy: Policy | None = None,
    limits: Limits | None = None,
    progress: Told = untold,
    archetypes: pl.DataFrame | None = None,
    **net: Any,
) -> Sampled:
    """Return a behaviour net distilled from the answers of drawn cells.

    Args:
        cards: What is told of each archetype, [A].
        contexts: The context variables; their product may be larger than any table.
        actions: What can be done, K of them.
        provider: Who is asked; a recorded table is none (`behaviour_net.cells_of` takes its cells).
        cells: Number S of cells to ask.
        seed: Of the draw, and of the net.
        answers: The file that keeps them; None = nothing is kept.
        policy: How to ask.
        limits: What it may cost.
        progress: Told ("running", questions answered, questions in all).
        archetypes: Frame [A] with the column `weight` and those that formulas use; None = equal weights.
        **net: Given on to `behaviour_net.distil`: held_out, width, steps ...

    Raises:
        InputError: Bad input, fewer cells than asked for, or a fit that fails.
        Fault: Some questions have no answer; those that have one are kept.
    """
    policy = policy or Policy()
    rows, places = drawn(len(cards), contexts, cells, seed)
    elicitation.check_actions(actions, "given" if provider.gives else policy.form)
    weight = np.full(len(cards), 1 / len(cards))
    if archetypes is not None:
        if archetypes.height != len(cards) or "weight" not in archetypes.columns:
            raise InputError(f"build: expected a row with a weight for each of {len(cards)} cards")
        weight = archetypes["weight"].cast(pl.Float64).to_numpy()
    if provider.gives:
        found = _given(contexts, actions, provider, archetypes, rows, places, progress)
    else:
        found = _heard(
            cards, contexts, actions, provider, rows, places, Answers(None) if answers is None else answers, policy,
            limits or Limits(), progress,
        )  # fmt: skip
    logit, why = _corrected(found, cells)
    kept = np.isfinite(logit).all(-1)
    if not kept.any():
        reasons = ", ".join(f"{each}: {count}" for each, count in why.most_common(3))
        raise InputError(f"build: none of {cells} cells is of use ({reasons})")
    odds = np.exp(logit[kept] - logit[kept].max(-1, keepdims=True))
    values = values_at(contexts, places[kept])
    made = Cells(rows[kept], values, odds / odds.sum(-1, keepdims=True), weight[rows[kept]])
    return Sampled(
        distil(contexts, made, len(cards), seed=seed, **net), made, cells, len(cards) * contexts.size, dict(why)
    )


def drawn(archetypes: int, contexts: Contexts, cells: int, seed: int) -> tuple[HostArray, HostArray]:
    """Return archetype int64 [S] and context int64 [S] of cells drawn without replacement, in the order of asking.

    Raises:
        InputError: There are not as many, or more than a whole number of 63 bits counts.
    """
    total = archetypes * contexts.size
    if total >= 2**63:
        raise InputError(f"contexts: expected fewer than 2^63 cells, got {total:.3g}; take fewer variables")
    if not 1 <= cells <= total:
        raise InputError(f"build: expected 1 to {total:,} cells, got {cells}")
    chosen = np.sort(np.random.default_rng(seed).choice(total, cells, replace=False, shuffle=False))
    return chosen // contexts.size, chosen % contexts.size


def values_at(contexts: Contexts, places: HostArray) -> HostArray:
    """Return the values float64 [S, V] of the context variables at some contexts int [S]."""
    if not contexts.variables:
        return np.zeros((len(places), 0))
    anchors = np.unravel_index(places, contexts.shape)
    return np.stack([np.array(v.anchors, np.float64)[a] for v, a in zip(contexts.variables, anchors, strict=True)], -1)


def _heard(
    cards: Sequence[str], contexts: Contexts, actions: Sequence[Action], provider: Provider, rows: HostArray,
    places: HostArray, answers: Answers, policy: Policy, limits: Limits, progress: Told,
) -> dict[int, Reading]:  # fmt: skip
    """Return what a model answers, by the cell's place in the sample; the content-free prompt is at `BLANK`."""
    for number in np.unique(rows):  # all of them before the first question
        prompts.clean(cards[number], f"card {number}")
    each = asked_of_a_cell(policy, actions)
    parts: dict[int, dict[int, Answer]] = {}
    found: dict[int, Reading] = {}

    def asked() -> Iterator[tuple[tuple[int, int], str, Question]]:
        pairs: Iterator[tuple[int, int, int]] = zip(range(len(rows)), rows.tolist(), places.tolist(), strict=True)
        nobody: list[tuple[int, str, str | None, str | None]] = [(BLANK, "nobody", None, None)]
        told = ((at, f"archetype {who}", cards[who], contexts.sentences(cell)) for at, who, cell in pairs)
        for at, concerned, card, context in (*(nobody if policy.content_free else ()), *told):
            for number, question in enumerate(elicitation.questions(policy, actions, card, context)):
                yield (at, number), concerned, replace(question, reuse=policy.reuse)

    def take(purpose: tuple[int, int], answer: Answer) -> None:
        got = parts.setdefault(purpose[0], {})
        got[purpose[1]] = answer
        if len(got) == each:
            found[purpose[0]] = elicitation.reading(policy, actions, [got[i] for i in range(each)])
            del parts[purpose[0]]

    total = each * (len(rows) + policy.content_free)
    poll(asked(), total, provider, policy.stored, answers, limits, take, progress).check(answers)
    return found


def _given(
    contexts: Contexts, actions: Sequence[Action], provider: Provider, archetypes: pl.DataFrame | None,
    rows: HostArray, places: HostArray, progress: Told,
) -> dict[int, Reading]:  # fmt: skip
    """Return what a provider gives that is not asked in words, by the cell's place in the sample."""
    if provider.name == "recorded":
        raise InputError("build: a recorded table has its cells already; distil it from cells_of(table)")
    labels = tuple(action.name for action in actions)
    values = values_at(contexts, places)
    found: dict[int, Reading] = {}
    for at, who in enumerate(rows.tolist()):
        own: dict[str, Any] = {"archetype": who} | ({} if archetypes is None else archetypes.row(who, named=True))
        facts: dict[str, Fact] = {
            name: value if isinstance(value, str) else float(value)
            for name, value in own.items()
            if isinstance(value, str | int | float)
        }
        here = dict(zip(contexts.names, values[at].tolist(), strict=True))
        try:
            found[at] = elicitation.of_given(labels, provider.ask(Question("", "", labels, facts={**facts, **here})))
        except Unanswered as error:
            raise Fault(f"provider {provider.name}: a cell has no answer: {error}") from None
        progress("running", at + 1, len(rows))
    return found


def _corrected(found: Mapping[int, Reading], cells: int) -> tuple[HostArray, Counter[str]]:
    """Return the logits [S, K] less the content-free ones, NaN where they are of no use, and the reasons by cell."""
    blank = found.get(BLANK)
    logit = np.stack([found[at].logit for at in range(cells)]).astype(np.float64)
    why = Counter(next(each for each in found[at].why if each) for at in range(cells) if any(found[at].why))
    for at in range(cells):
        logit[at][~found[at].usable] = math.nan
    if blank is not None:
        logit -= blank.logit
        if not blank.usable.all():
            logit[:] = math.nan
            why = Counter({f"content-free prompt: {next(each for each in blank.why if each)}": cells})
    return logit, why
