"""What a build will cost, before anything is asked: questions, tokens, time, price."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lpm.archetypes import install
from lpm.archetypes.answers import Answers, key_of
from lpm.archetypes.build import plan
from lpm.archetypes.contexts import Contexts
from lpm.archetypes.elicitation import Action, Policy
from lpm.archetypes.limits import Limits
from lpm.archetypes.providers import embedded
from lpm.archetypes.questions import Answer, Permit, Provider, Question, Unanswered, at_will
from lpm.errors import InputError

TOKENS_PER_SIGN = 0.25
"""Tokens of a character of English prose: a rule of thumb, until answers of the same model are there to measure."""

TEMPLATE = 15
"""Tokens that a chat template adds: a guess."""

TOKEN_SECONDS = 0.007
"""Of the embedded model that `lpm llm install` fetches, one thread: 6 to 7 ms were measured for each token after the
common beginning (2026, a shared server core). Another takes longer in proportion to the size of its file: a guess."""

DRAWN_TOKENS = 3
"""Tokens of an answer that is drawn, at most."""

LATENCY = 1.0
"""Seconds until a server answers: a guess, used until answers of the same model are there to measure."""


@dataclass(frozen=True)
class Estimate:
    """What a build will cost.

    Attributes:
        questions: In all.
        known: Answered before, or the same prompt as another.
        calls: To be asked.
        prompt_tokens: Of these, all of them.
        new_tokens: Of these, without the common beginnings that an engine keeps.
        answer_tokens: The most that come back.
        seconds: Until all are answered.
        price: In the currency of the prices given; None without them.
        measured: Whether time and tokens rest on answers of the same model, or on guesses.
        drawn: The same where a server turns out to tell no probabilities and answers are drawn; None = none would be.
    """

    questions: int
    known: int
    calls: int
    prompt_tokens: int
    new_tokens: int
    answer_tokens: int
    seconds: float
    price: float | None
    measured: bool
    drawn: Estimate | None = None

    def told(self) -> str:
        """Return it as a line."""
        price = "" if self.price is None else f", price about {self.price:.2f}"
        line = (
            f"{self.questions:,} questions, {self.known:,} of them answered before: {self.calls:,} calls, about "
            f"{self.prompt_tokens:,} prompt tokens ({self.new_tokens:,} after common beginnings) and at most "
            f"{self.answer_tokens:,} back, about {_clock(self.seconds)}{price}"
            f" ({'by earlier answers of this model' if self.measured else 'by rules of thumb'})"
        )
        if self.drawn is None:
            return line
        price = "" if self.drawn.price is None else f", price about {self.drawn.price:.2f}"
        return (
            f"{line}; up to {self.drawn.calls:,} calls if the server tells no probabilities, about "
            f"{_clock(self.drawn.seconds)}{price}"
        )


class Unloaded:
    """An embedded model that is not loaded: its identity, for an estimate.

    Attributes:
        name: "embedded".
        identity: As that of `lpm.archetypes.providers.embedded.Embedded`; of a model that is not here yet nothing, so
            no answers of it are known.
        at_once: 1.
        gives: False.
        size: Of the file [bytes].
    """

    name, at_once, gives = "embedded", 1, False

    def __init__(self, model: str = ""):
        """Look at a file.

        Args:
            model: A GGUF file; "" = the one that `lpm llm install` fetches, whether it is here or not.

        Raises:
            InputError: The file named is not there, or of another format.
        """
        path = Path(model) if model else install.place()
        self.identity: Mapping[str, str] = {}
        self.size = install.BYTES
        if model or path.is_file():
            embedded.check(path)
            self.size = path.stat().st_size
            self.identity = {
                "model": path.name,
                "sha256": embedded.digest(path),
                "runtime": f"{install.RUNTIME} {install.runtime()}",
                "window": str(embedded.WINDOW),
            }

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Raise: it is not loaded."""
        raise Unanswered("not loaded")


def estimate(
    cards: Sequence[str],
    contexts: Contexts,
    actions: Sequence[Action],
    provider: Provider,
    answers: Answers | None = None,
    policy: Policy | None = None,
    limits: Limits | None = None,
    prices: tuple[float, float] | None = None,
) -> Estimate:
    """Return what `build` with the same arguments will cost; nothing is asked.

    Args:
        cards: As `build`.
        contexts: As `build`.
        actions: As `build`.
        provider: As `build`.
        answers: As `build`.
        policy: As `build`.
        limits: As `build`.
        prices: Of a million tokens of prompt and of answer, in any currency.

    Raises:
        InputError: As `build`, or negative prices.
    """
    policy, limits = policy or Policy(), limits or Limits()
    if prices is not None and min(prices) < 0:
        raise InputError(f"prices: expected two numbers of 0 or more, got {prices}")
    if provider.gives:
        return Estimate(len(cards) * contexts.size, 0, 0, 0, 0, 0, 0.0, None if prices is None else 0.0, True)
    identity = dict(provider.identity)
    known = answers if identity else None  # answers of nobody in particular are of no use
    count, pace, tokens_per_sign = (0, 0.0, 0.0) if known is None else known.pace(identity)
    rate, more = (tokens_per_sign, 0) if tokens_per_sign else (TOKENS_PER_SIGN, TEMPLATE)
    total = calls = signs = fresh = back = 0
    seen: set[str] = set()
    last = ""
    for _, _, question in plan(cards, contexts, actions, policy):
        total += 1
        key = key_of(identity, question, policy.stored)
        if key in seen or (known is not None and known.find(identity, question, policy.stored) is not None):
            continue
        seen.add(key)
        calls += 1
        prompt = question.system + "\n" + question.user
        signs += len(prompt)
        fresh += len(prompt) - (len(os.path.commonprefix([prompt, last])) if policy.reuse else 0)
        back += question.tokens
        last = prompt
    tokens, new = (
        round(signs * rate) + more * calls,
        round(fresh * rate) + TEMPLATE * calls,
    )  # its end follows every question
    at_once = min(limits.concurrency, provider.at_once)
    each = pace if count else 0.0
    if provider.name == "embedded" and not count:
        seconds = new * TOKEN_SECONDS * (provider.size / install.BYTES if isinstance(provider, Unloaded) else 1)
    else:
        seconds = calls * (each or LATENCY) / at_once
    if limits.per_second is not None:
        seconds = max(seconds, calls / limits.per_second)
    price = None if prices is None else (tokens * prices[0] + back * prices[1]) / 1e6
    whole = Estimate(total, total - calls, calls, tokens, new, back, seconds, price, count > 0)
    if provider.name != "server" or not policy.samples or policy.form == "percent" or not calls:
        return whole
    return replace(whole, drawn=_drawn(whole, policy.samples, at_once, limits, prices))


def _drawn(whole: Estimate, samples: int, at_once: int, limits: Limits, prices: tuple[float, float] | None) -> Estimate:
    """Return the estimate where every question is drawn, after each place has found out that it has to be."""
    calls = whole.calls * samples + 2 * min(at_once, whole.calls)
    many = calls / whole.calls
    tokens, back = round(whole.prompt_tokens * many), DRAWN_TOKENS * calls
    seconds = whole.seconds * many
    if limits.per_second is not None:
        seconds = max(seconds, calls / limits.per_second)
    price = None if prices is None else (tokens * prices[0] + back * prices[1]) / 1e6
    return replace(whole, calls=calls, prompt_tokens=tokens, answer_tokens=back, seconds=seconds, price=price)


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
