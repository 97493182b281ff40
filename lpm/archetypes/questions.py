"""What is asked of a language model and what comes back: a question, an answer, and how either goes wrong.

Whoever answers is a `Provider`: a model in this process, a server, a recording, a table of the user's own, a formula.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Fact = str | float
"""What is known of an archetype or of its situation: a label or a number."""


@dataclass(frozen=True)
class Question:
    """One prompt, and the labels whose probabilities are wanted.

    Attributes:
        system: What the model is told of itself (the person it stands for).
        user: What it is asked.
        labels: One-token answers whose probabilities are wanted ("yes", "no"); () = the text itself is wanted.
        temperature: Of the one answer that is read; 0 = the most probable.
        top: How many of the most probable tokens a server is asked to name; 20 is the most that OpenAI and vLLM give.
        tokens: The longest answer [tokens].
        samples: Answers drawn at temperature 1 where a server tells no probabilities; 0 = such an answer is refused.
        reuse: Whether an engine may keep what it has computed for the beginning of the prompt before this one.
        facts: What a table or a formula needs instead of a prompt: the archetype, its columns, the context's values.
    """

    system: str
    user: str
    labels: tuple[str, ...]
    temperature: float = 0.0
    top: int = 20
    tokens: int = 1
    samples: int = 0
    reuse: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])

    def options(self) -> dict[str, float | int]:
        """Return what beside the prompt decides the answer; part of what an answer is stored under."""
        return {
            "temperature": self.temperature,
            "top": self.top,
            "tokens": self.tokens,
            "samples": self.samples,
        }


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        logprobs: Natural logarithm of each label's probability; a label that was not named has an upper bound,
            that of the least probable token that was or of all that were not, and stands in `missing`. {} where
            nothing is to be read.
        coverage: Probability mass on the labels, 0 .. 1; of samples the share that are labels.
        text: The answer itself, as it came.
        missing: Labels that were not among the tokens named.
        prompt_tokens: Tokens of the prompt, as the provider counts them; 0 = unknown.
        seconds: From asking to answer, without waiting for a free place.
        refused: Why the answer is no use ("" = it is): refused, empty, no label among the tokens.
        source: "logprobs", "samples", "text" or "given".
    """

    logprobs: Mapping[str, float]
    coverage: float
    text: str
    missing: tuple[str, ...] = ()
    prompt_tokens: int = 0
    seconds: float = 0.0
    refused: str = ""
    source: str = "logprobs"


class Unanswered(Exception):
    """A question that got no answer after the retries; another attempt may succeed. The message is the short reason."""


class Permit(Protocol):
    """What is asked before every request that costs something."""

    def __call__(self) -> None:
        """Wait for the rate; raise where the limit of calls is reached or asking has stopped."""
        ...

    def rest(self, seconds: float) -> None:
        """Wait before another attempt; at once over when asking stops."""
        ...


class _AtWill:
    """Permits every request at once."""

    def __call__(self) -> None:
        """Permit."""

    def rest(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


at_will: Permit = _AtWill()
"""Permits every request at once."""


class Provider(Protocol):
    """Whoever answers questions."""

    @property
    def name(self) -> str:
        """As the command line names it."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """What answers depend on beside the question: model, its sha256 or revision, runtime and version."""
        ...

    @property
    def at_once(self) -> int:
        """Most questions under way together."""
        ...

    @property
    def gives(self) -> bool:
        """Whether it gives the actions' probabilities (from `facts`, labels = actions) and is not asked in words."""
        ...

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the answer.

        Raises:
            Unanswered: None came.
            InputError: No question can be answered: a wrong address, key, model, formula.
        """
        ...
