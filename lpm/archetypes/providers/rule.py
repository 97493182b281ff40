"""A formula for every action: its logit as a function of the archetype's columns and of the context's values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

from lpm.archetypes.providers.expression import Expression
from lpm.archetypes.questions import Answer, Permit, Question, at_will
from lpm.errors import InputError, unknown


class Rule:
    """Formulas by action; the probabilities are the softmax of their values.

    Attributes:
        name: "rule".
        identity: The sha256 of the formulas.
        at_once: 1.
        gives: True.
    """

    name, at_once, gives = "rule", 1, True

    def __init__(self, formulas: Mapping[str, str]):
        """Take the formulas, such as {"mask": "0.5 + 2 * log1p(incidence) + where(age == '65+', 1, 0)", "none": "0"}.

        Raises:
            InputError: One is no formula; see `lpm.archetypes.providers.expression`.
        """
        if not formulas:
            raise InputError("provider rule: expected a formula for every action, got none")
        self.formulas = {name: Expression.parse(text, f"rule for '{name}'") for name, text in formulas.items()}
        told = json.dumps(sorted(formulas.items()), ensure_ascii=False).encode()
        self.identity: Mapping[str, str] = {"model": "rule", "sha256": hashlib.sha256(told).hexdigest()}

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the logarithms of the actions' probabilities."""
        for action in question.labels:
            if action not in self.formulas:
                raise unknown("provider rule", "action", action, self.formulas)
        logits = [self.formulas[action].value(question.facts) for action in question.labels]
        most = max(logits)
        whole = most + math.log(math.fsum(math.exp(each - most) for each in logits))
        logprobs = {action: each - whole for action, each in zip(question.labels, logits, strict=True)}
        return Answer(logprobs, math.nan, "", source="given")
