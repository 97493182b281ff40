"""A provider that answers by a formula of the prompt, and remembers what it was asked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lpm.archetypes.questions import Answer, Permit, Question, at_will


def logprobs(question: Question) -> dict[str, float]:
    """Log probabilities of the labels by the content of the prompt alone; 0.9 of the mass is on them."""
    digest = hashlib.sha256((question.system + "\0" + question.user).encode()).digest()
    weights = [1 + each for each in digest[: len(question.labels)]]
    return {label: math.log(0.9 * w / sum(weights)) for label, w in zip(question.labels, weights, strict=True)}


@dataclass
class Talker:
    """A model of a few lines.

    Attributes:
        says: What it answers a question.
        asked: The questions, in order.
    """

    says: Callable[[Question], Answer] = lambda question: Answer(logprobs(question), 0.9, "x", prompt_tokens=40)
    asked: list[Question] = field(default_factory=list)
    identity: Mapping[str, str] = field(default_factory=lambda: {"model": "talker", "runtime": "1"})
    name: str = "talker"
    at_once: int = 1
    gives: bool = False

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Answer."""
        permit()
        self.asked.append(question)
        return self.says(question)
