"""Interviews and surveys: archetypes, or agents through their archetype and columns, are asked at a moment of a run.

Who is asked and what is told of the moment are copies; nothing here reads or changes a simulation, so a run in which
people are interviewed is the same to the last bit. What a model says is no data about people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lpm.archetypes import prompts
from lpm.archetypes.answers import Answers
from lpm.archetypes.elicitation import Action, Policy, Reading, questions, reading
from lpm.archetypes.limits import Limits
from lpm.archetypes.poll import Told, poll, untold
from lpm.archetypes.questions import Answer, Provider, Question
from lpm.errors import InputError

if TYPE_CHECKING:
    import polars as pl

KINDS = ("yes-no", "choice", "free")

SCHEMA = ("time", "archetype", "agent", "question", "option", "probability", "text", "coverage", "order_spread", "why")
"""Columns of the frame, a row an option."""


@dataclass(frozen=True)
class Inquiry:
    """One question of an interview.

    Attributes:
        text: The question, as it is put.
        kind: "yes-no", "choice" (of `options`) or "free" (in words).
        options: Of a choice, 2 to 20.
        tokens: The longest free answer [tokens].
    """

    text: str
    kind: str = "free"
    options: tuple[str, ...] = ()
    tokens: int = 120

    def __post_init__(self):
        """Check kind and options.

        Raises:
            InputError: Another kind, or options that do not fit it.
        """
        if self.kind not in KINDS:
            raise InputError(f"inquiry '{self.text}': expected {', '.join(KINDS)}, got '{self.kind}'")
        if (self.kind == "choice") != bool(self.options) or (self.options and not 2 <= len(self.options) <= 20):
            raise InputError(f"inquiry '{self.text}': expected 2 to 20 options for a choice, none else")
        if not 1 <= self.tokens <= 2000:
            raise InputError(f"inquiry '{self.text}': expected 1 to 2000 tokens, got {self.tokens}")


@dataclass(frozen=True)
class Respondent:
    """Who is asked.

    Attributes:
        archetype: Its number.
        card: What is told of it.
        agent: The agent's id, where it is one.
        columns: What is told of the agent beyond its archetype, by the columns' labels.
    """

    archetype: int
    card: str
    agent: int | None = None
    columns: Mapping[str, str] | None = None

    @property
    def told(self) -> str:
        """The card with the agent's columns, a line each."""
        return "\n".join([self.card, *(f"{name}: {value}" for name, value in (self.columns or {}).items())])


def interview(
    respondents: Sequence[Respondent],
    inquiries: Sequence[Inquiry],
    provider: Provider,
    *,
    situation: str = "",
    time: float | None = None,
    answers: Answers | None = None,
    policy: Policy | None = None,
    limits: Limits | None = None,
    progress: Told = untold,
) -> pl.DataFrame:
    """Ask, and return a frame with a row for every respondent, inquiry and option.

    Args:
        respondents: Who is asked.
        inquiries: What is asked.
        provider: A model.
        situation: The moment in words, the same for all ("" = none is told).
        time: The moment, for the column `time`.
        answers: The file of answers; what stands there is not asked again.
        policy: How to ask; typed questions are put in all orders, nothing is subtracted.
        limits: What it may cost.
        progress: Told how far it is.

    Returns:
        Columns time, archetype, agent, question, option (null for free ones), probability (null where there is none),
        text (a free answer, or the first raw one), coverage, order_spread, why ("" = the answer can be used).

    Raises:
        InputError: A provider that is not asked in words, or bad input.
        Fault: Some questions have no answer.
    """
    import polars as pl

    if provider.gives:
        raise InputError(f"interview: expected a language model, got the provider '{provider.name}'")
    policy, limits = policy or Policy(), limits or Limits()
    asked = list(_asked(respondents, inquiries, situation, policy))
    got: dict[tuple[int, int], dict[int, Answer]] = {}

    def take(purpose: tuple[int, int, int], answer: Answer) -> None:
        got.setdefault(purpose[:2], {})[purpose[2]] = answer

    held = Answers(None) if answers is None else answers
    poll(asked, len(asked), provider, policy.stored, held, limits, take, progress).check(held)
    rows: list[tuple[object, ...]] = []
    for (who, what), parts in sorted(got.items()):
        person, inquiry = respondents[who], inquiries[what]
        begin = (time, person.archetype, person.agent, inquiry.text)
        rows += [(*begin, *rest) for rest in _rows(inquiry, policy, [parts[i] for i in range(len(parts))])]
    kinds = [pl.Float64, pl.Int64, pl.Int64, pl.String, pl.String, pl.Float64, pl.String, pl.Float64, pl.Float64,
             pl.String]  # fmt: skip
    return pl.DataFrame(rows, schema=dict(zip(SCHEMA, kinds, strict=True)), orient="row")


def _asked(
    respondents: Sequence[Respondent], inquiries: Sequence[Inquiry], situation: str, policy: Policy
) -> Iterator[tuple[tuple[int, int, int], str, Question]]:
    for who, person in enumerate(respondents):
        for what, inquiry in enumerate(inquiries):
            for place, question in enumerate(_put(inquiry, person.told, situation, policy)):
                yield (who, what, place), f"respondent {who}", replace(question, reuse=policy.reuse)


def _put(inquiry: Inquiry, card: str, situation: str, policy: Policy) -> list[Question]:
    """Return an inquiry as the questions of one respondent."""
    text = prompts.clean(inquiry.text, "inquiry")
    moment = prompts.situation(prompts.clean(situation, "situation")) if situation else ""
    if inquiry.kind == "free":
        system = prompts.LONGER.format(card=prompts.clean(card, "card"))
        return [Question(system, f"{moment}Question: {text}", (), tokens=inquiry.tokens)]
    if inquiry.kind == "yes-no":
        system = prompts.SYSTEM.format(card=prompts.clean(card, "card"))
        return [
            Question(system, f"{moment}Question: {text} Answer {a} or {b}.", ("yes", "no"), top=policy.top,
                     samples=policy.samples)
            for a, b in (("yes", "no"), ("no", "yes"))
        ]  # fmt: skip
    return questions(replace(policy, form="letters"), _options(inquiry), card, situation, text)


def _options(inquiry: Inquiry) -> list[Action]:
    return [Action(option, option) for option in inquiry.options]


def _rows(inquiry: Inquiry, policy: Policy, answers: Sequence[Answer]) -> Iterator[tuple[object, ...]]:
    """Yield option, probability, text, coverage, order spread and why for each option of an inquiry."""
    text = answers[0].text
    if inquiry.kind == "free":
        yield None, None, text, None, None, answers[0].refused
        return
    if inquiry.kind == "yes-no":
        found = reading(replace(policy, form="yes-no"), (Action("yes", "it"), Action("no", "")), answers)
        names: tuple[str, ...] = ("yes", "no")
        found = replace(found, coverage=found.coverage[[0, 0]], order_spread=found.order_spread[[0, 0]],
                        why=found.why[:1] * 2, usable=found.usable[[0, 0]])  # fmt: skip
    else:
        found, names = reading(replace(policy, form="letters"), _options(inquiry), answers), inquiry.options
    for option, share, covered, spread, why in zip(
        names, _shares(found), found.coverage, found.order_spread, found.why, strict=True
    ):
        yield option, share, text, _known(covered), _known(spread), why


def _shares(found: Reading) -> list[float | None]:
    if not found.usable.all():
        return [None] * len(found.logit)
    shares = np.exp(found.logit.astype(np.float64) - float(found.logit.max()))
    return [float(each) for each in shares / shares.sum()]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
