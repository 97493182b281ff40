r"""How a distribution over actions is read off a language model: the forms of asking, and what the answers amount to.

- `yes-no`: every action alone, in both orders of the labels,
  :math:`z_k = \frac12 \sum_o [\log P_o(\mathrm{yes}) - \log P_o(\mathrm{no})]`. The only form with the right sign of a
  context's effect on models of 0.1 to 1.5 billion parameters. A reference action that nobody is asked about has
  :math:`z = 0`, so of one action and its reference P = sigmoid(z).
- `letters`: all actions as options A, B, ...; small models prefer a letter whatever it stands for, so the options are
  permuted and :math:`z_k = \frac1R \sum_r \log P_r(\text{letter of } k)`, which divides out a prior on letters
  (C. Zheng et al., 2024, "Large language models are not robust multiple choice selectors", arXiv:2309.03882).
- `percent`: the model says how many of 100 people would do each (N. Meister, C. Guestrin and T. Hashimoto, 2025,
  arXiv:2411.05403: large models describe distributions better than they show them). Small ones cannot.

From z is subtracted what a prompt without content has (T. Z. Zhao et al., 2021, "Calibrate before use",
arXiv:2102.09690). Of every cell are kept: coverage, the least probability mass on the labels; order spread, by how much
the probability moves with the order; entropy. An answer that is missing, refused, or whose coverage is below the
policy's least makes its cell unusable: marked so, with its logit NaN.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from lpm.archetypes import prompts
from lpm.archetypes.questions import Answer, Question
from lpm.errors import InputError, unknown

FORMS = ("yes-no", "letters", "percent")
PERMUTATIONS = ("cyclic", "all")
YES_NO = ("yes", "no")

STATED = re.compile(r"(?m)^\W*([A-Z])[ *]*[:=.)-]+[ *]*(\d{1,3}(?:\.\d+)?)[ *]*(?:%|percent|people)?[ *]*[.,;]?[ *]*$")
"""A line such as "A: 20", "**A: 20**", "- A) 20 %", "A = 20 people."."""

LEAST_SHARE = 0.005
"""Share that a stated 0 % stands for, half of the smallest step that is stated; its logarithm is finite."""


@dataclass(frozen=True)
class Action:
    """One thing that people may do.

    Attributes:
        name: As the table names it.
        text: As it stands behind "Would you ..." ("wear a mask in shops"); "" = the reference action of the form
            yes-no, which nobody is asked about.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Policy:
    """How questions are asked and answers are read.

    Attributes:
        form: "yes-no", "letters" or "percent".
        permutations: Of letters: "cyclic", K of them (every option once at every letter), or "all", K! of them.
        content_free: Whether the logits of a prompt without person and situation are subtracted.
        samples: Answers drawn where a server tells no probabilities; 0 = it is refused.
        reuse: Whether an engine may keep the beginning of a prompt (see `lpm.archetypes.providers.embedded`).
        least_coverage: Mass on the labels below which an answer is no use. 0.1 is a guess: small models reach 0.3 to
            0.6, and refusals or another language leave a few per cent.
        top: Tokens that a server is asked to name.
    """

    form: str = "yes-no"
    permutations: str = "cyclic"
    content_free: bool = True
    samples: int = 0
    reuse: bool = True
    least_coverage: float = 0.1
    top: int = 20

    def __post_init__(self):
        """Check the choices."""
        if self.form not in FORMS:
            raise unknown("policy", "form", self.form, FORMS)
        if self.permutations not in PERMUTATIONS:
            raise unknown("policy", "permutations", self.permutations, PERMUTATIONS)
        if not 0 <= self.least_coverage <= 1:
            raise InputError(f"policy.least_coverage: expected 0 .. 1, got {self.least_coverage}")
        if not 0 <= self.samples <= 1000 or not 1 <= self.top <= 1000:
            raise InputError(f"policy: expected 0 .. 1000 samples and top 1 .. 1000, got {self.samples}, {self.top}")

    @property
    def stored(self) -> str:
        """The part that decides an answer beside its prompt and options; answers are stored under it."""
        return f"reuse={'yes' if self.reuse else 'no'}"

    def told(self) -> str:
        """Return all of it as a line of JSON, for a table's provenance."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Reading:
    """What the answers of one cell amount to; every array is float32 [K] but `usable`, bool [K].

    Attributes:
        logit: Up to a constant of the cell; NaN where unusable.
        coverage: Least mass on the labels over the orders; NaN where no labels were asked for.
        order_spread: Largest less smallest probability over the orders; NaN with one order.
        entropy: Of the answer [nat]: of the action's own yes and no in the form yes-no, else of all actions.
        usable: Whether the logit can be used.
        why: Reasons of what is unusable, by action; "" = usable.
    """

    logit: np.ndarray
    coverage: np.ndarray
    order_spread: np.ndarray
    entropy: np.ndarray
    usable: np.ndarray
    why: tuple[str, ...]


def check_actions(actions: Sequence[Action], form: str) -> None:
    """Check the actions of a table.

    Args:
        actions: Of the table.
        form: Of the policy; "given" where nobody is asked and no text is needed.

    Raises:
        InputError: Too few or many, two of one name, or no text where one is needed.
    """
    names = [action.name for action in actions]
    if not 2 <= len(names) <= 20 or len(set(names)) != len(names) or "" in names:
        raise InputError(f"actions: expected 2 to 20 different names, got {', '.join(names) or 'none'}")
    silent = [action.name for action in actions if not action.text.strip()]
    if form != "given" and (len(silent) > (form == "yes-no") or len(silent) == len(names)):
        raise InputError(
            f"actions: expected a text for every action{' but one' if form == 'yes-no' else ''}, "
            f"got none for {', '.join(silent)}"
        )


def questions(
    policy: Policy, actions: Sequence[Action], card: str | None, context: str | None, asked: str = "What would you do?"
) -> list[Question]:
    """Return the questions of one cell, in an order in which they share their beginnings.

    Args:
        policy: How to ask.
        actions: Of the table.
        card: Who is asked; None = the content-free prompt.
        context: The situation in words; "" = none is told, None = content-free.
        asked: What is asked of the options, in the form letters.

    Raises:
        InputError: A text is empty or too long.
    """
    who = prompts.NOTHING if card is None else prompts.clean(card, "card")
    where = prompts.NOTHING if context is None else prompts.clean(context, "context") if context else ""
    template = prompts.LONGER if policy.form == "percent" else prompts.SYSTEM
    system, begin = template.format(card=who), prompts.situation(where)
    texts = [prompts.clean(a.text, f"action '{a.name}'") if a.text.strip() else "" for a in actions]
    if policy.form == "yes-no":
        users = [
            begin + prompts.YES_NO.format(action=text, first=order[0], second=order[1])
            for text in texts
            if text
            for order in (YES_NO, YES_NO[::-1])
        ]
        return [Question(system, user, YES_NO, samples=policy.samples, top=policy.top) for user in users]
    letters = tuple(string.ascii_uppercase[: len(texts)])
    if policy.form == "letters":
        shown = (_lines(letters, texts, order) for order in orders(policy, len(texts)))
        users = [begin + prompts.LETTERS.format(asked=asked, lines=lines) for lines in shown]
        return [Question(system, user, letters, samples=policy.samples, top=policy.top) for user in users]
    user = begin + prompts.PERCENT.format(lines=_lines(letters, texts, range(len(texts))))
    return [Question(system, user, (), tokens=16 + 8 * len(texts))]


def orders(policy: Policy, count: int) -> list[tuple[int, ...]]:
    """Return the permutations of letters: entry j is the option at letter j.

    Raises:
        InputError: There are more than 120 of them.
    """
    if policy.permutations == "cyclic":
        return [tuple((j + r) % count for j in range(count)) for r in range(count)]
    if count > 5:
        raise InputError(f"policy.permutations: expected 'cyclic' for more than 5 actions, got 'all' for {count}")
    return list(itertools.permutations(range(count)))


def reading(policy: Policy, actions: Sequence[Action], answers: Sequence[Answer]) -> Reading:
    """Return what the answers to `questions` of one cell amount to, before anything is subtracted."""
    if policy.form == "yes-no":
        return _of_yes_no(policy, actions, answers)
    if policy.form == "letters":
        return _of_letters(policy, len(actions), answers)
    return _of_percent(len(actions), answers[0])


def of_given(labels: Sequence[str], answer: Answer) -> Reading:
    """Return what probabilities that were given for all actions amount to."""
    if answer.refused:
        return _useless(len(labels), answer.refused)
    logit = np.array([answer.logprobs[label] for label in labels])
    nothing = np.full(len(labels), np.nan)
    return _reading(logit, nothing, nothing, _spread_out(logit), [""] * len(labels))


def _of_yes_no(policy: Policy, actions: Sequence[Action], answers: Sequence[Answer]) -> Reading:
    pairs = iter(zip(answers[::2], answers[1::2], strict=True))
    logit, coverage, spread, entropy, why = [], [], [], [], []
    for action in actions:
        if not action.text.strip():
            row = (0.0, math.nan, math.nan, math.nan, "")
        else:
            pair = next(pairs)
            row = _of_pair(pair, _trouble(pair, policy))
        for column, value in zip((logit, coverage, spread, entropy, why), row, strict=True):
            column.append(value)
    return _reading(np.array(logit), np.array(coverage), np.array(spread), np.array(entropy), why)


def _of_pair(pair: Sequence[Answer], why: str) -> tuple[float, float, float, float, str]:
    covered = min(answer.coverage for answer in pair)
    if why:
        return math.nan, covered, math.nan, math.nan, why
    odds = [answer.logprobs["yes"] - answer.logprobs["no"] for answer in pair]
    shares = [1 / (1 + math.exp(-each)) if each > -700 else 0.0 for each in odds]
    z = math.fsum(odds) / len(odds)
    entropy = float(_spread_out(np.array([z, 0.0]))[0])
    return z, covered, max(shares) - min(shares), entropy, ""


def _of_letters(policy: Policy, count: int, answers: Sequence[Answer]) -> Reading:
    why = _trouble(answers, policy)
    covered = min(answer.coverage for answer in answers)
    if why:
        return replace(_useless(count, why), coverage=np.full(count, covered, np.float32))
    letters = string.ascii_uppercase[:count]
    rows = np.zeros((len(answers), count))
    for row, order, answer in zip(rows, orders(policy, count), answers, strict=True):
        for letter, option in zip(letters, order, strict=True):
            row[option] = answer.logprobs[letter]
    shares = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    logit = rows.mean(axis=0)
    spread = np.ptp(shares, axis=0) if len(rows) > 1 else np.full(count, np.nan)
    return _reading(logit - logit.mean(), np.full(count, covered), spread, _spread_out(logit), [""] * count)


def _of_percent(count: int, answer: Answer) -> Reading:
    if answer.refused:
        return _useless(count, answer.refused)
    found = STATED.findall(answer.text)
    if sorted(letter for letter, _ in found) != list(string.ascii_uppercase[:count]):
        return _useless(count, "no distribution in the answer")
    stated = np.array([float(value) for _, value in sorted(found)])
    if not 95 <= stated.sum() <= 105:
        return _useless(count, "percentages that do not add up")
    logit = np.log(np.maximum(stated / stated.sum(), LEAST_SHARE))
    nothing = np.full(count, np.nan)
    return _reading(logit, nothing, nothing, _spread_out(logit), [""] * count)


def _trouble(answers: Sequence[Answer], policy: Policy) -> str:
    """Return why answers to prompts with labels are no use, "" where they are."""
    refused = next((answer.refused for answer in answers if answer.refused), "")
    if refused:
        return refused
    return "low coverage" if min(answer.coverage for answer in answers) < policy.least_coverage else ""


def _spread_out(logit: np.ndarray) -> np.ndarray:
    """Return the entropy [nat] of softmax(logit), once for every entry."""
    shares = np.exp(logit - logit.max())
    shares /= shares.sum()
    nats = -math.fsum(each * math.log(each) for each in shares.tolist() if each > 0)
    return np.full(len(logit), nats)


def _useless(count: int, why: str) -> Reading:
    nothing = np.full(count, np.nan)
    return _reading(nothing, nothing, nothing, nothing, [why] * count)


def _reading(
    logit: np.ndarray, coverage: np.ndarray, spread: np.ndarray, entropy: np.ndarray, why: Sequence[str]
) -> Reading:
    logit, coverage, spread, entropy = (np.asarray(each, np.float32) for each in (logit, coverage, spread, entropy))
    return Reading(logit, coverage, spread, entropy, np.array([not each for each in why]), tuple(why))


def _lines(letters: Sequence[str], texts: Sequence[str], order: Sequence[int]) -> str:
    return "\n".join(f"{letter}: {texts[option]}" for letter, option in zip(letters, order, strict=True))
