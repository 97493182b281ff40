"""Reads the answer of a chat or completion endpoint: both shapes of token probabilities, refusals, nothing at all.

Chat shape: `choices[0].logprobs.content[0].top_logprobs = [{token, logprob}, ...]` (OpenAI, vLLM, llama.cpp).
Completion shape: `choices[0].logprobs.top_logprobs[0] = {token: logprob, ...}` (the older one).

A label's probability is the sum over the tokens that are the label but for case, blanks and the marks around it; those
are what the same word is split into by different tokenisers ("yes", " Yes", "YES").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lpm.archetypes.questions import Answer, Question, Unanswered

MARKS = " \t\r\n\u2581\u0120\u010a\"'`*.,:;!()[]"
"""What may stand around a label; U+2581, U+0120 and U+010A are how tokenisers write a blank or a line's end."""

LEAST = 1e-9
"""Probability that is taken for the rest where the tokens named have all of it but for rounding."""

KEPT = 20_000
"""Characters of an answer that are kept."""

REFUSALS = (
    "i can't",
    "i cannot",
    "i can’t",
    "i'm sorry",
    "i’m sorry",
    "i am sorry",
    "as an ai",
    "i'm not able",
    "sorry,",
)
"""How a text begins that answers nothing."""


def folded(token: str) -> str:
    """Return a token without case and what stands around it."""
    return token.strip(MARKS).casefold()


def read(found: object, question: Question) -> Answer | None:
    """Return the answer in a response, None where it tells no token probabilities though labels were asked for.

    Raises:
        Unanswered: It is not the response of such an endpoint.
    """
    choice = _first(_mapping(found).get("choices"))
    if choice is None:
        raise Unanswered("no answer in the response")
    message = _mapping(choice.get("message"))
    text = message.get("content", choice.get("text"))
    text = text[:KEPT] if isinstance(text, str) else ""
    usage = _mapping(_mapping(found).get("usage")).get("prompt_tokens")
    tokens = usage if isinstance(usage, int) and usage >= 0 else 0
    refusal = message.get("refusal")
    if choice.get("finish_reason") == "content_filter" or (isinstance(refusal, str) and refusal):
        return Answer({}, 0.0, text or str(refusal)[:KEPT], question.labels, tokens, refused="refused", source="text")
    if not question.labels:
        why = "empty answer" if not text.strip() else "refused" if declined(text) else ""
        return Answer({}, math.nan, text, (), tokens, refused=why, source="text")
    named = _named(choice.get("logprobs"))
    if not named:
        return None
    return _of_tokens(named, text, tokens, question)


def declined(text: str) -> bool:
    """Return whether a text begins as refusals do."""
    return text.strip().casefold().startswith(REFUSALS)


def of_samples(texts: Sequence[str], question: Question, tokens: int) -> Answer:
    """Return the answer that a number of drawn ones amount to.

    P(label) = (n_label + 1/2) / (n + L/2) over the n draws that are one of the L labels (Jeffreys' prior; 1946,
    doi:10.1098/rspa.1946.0056), so that no logarithm is of zero; the coverage is the share of draws that are labels.
    """
    heard = [folded(text) for text in texts]
    counts = {label: heard.count(folded(label)) for label in question.labels}
    valid = sum(counts.values())
    told = " | ".join(dict.fromkeys(text.strip() for text in texts))[:KEPT]
    missing = tuple(label for label, count in counts.items() if not count)
    if not valid:
        why = "empty answer" if not told else "refused" if declined(told) else "no label among the samples"
        return Answer({}, 0.0, told, missing, tokens, refused=why, source="samples")
    whole = valid + len(counts) / 2
    logprobs = {label: math.log((count + 0.5) / whole) for label, count in counts.items()}
    return Answer(logprobs, valid / len(texts), told, missing, tokens, source="samples")


def _of_tokens(named: Mapping[str, float], text: str, tokens: int, question: Question) -> Answer:
    mass = dict.fromkeys(question.labels, 0.0)
    by_fold = {folded(label): label for label in question.labels}
    for token, logprob in named.items():
        label = by_fold.get(folded(token))
        if label is not None:
            mass[label] += math.exp(min(logprob, 0.0))
    missing = tuple(label for label, share in mass.items() if share <= 0)
    covered = min(math.fsum(mass.values()), 1.0)
    if len(missing) == len(mass):
        why = "refused" if declined(text) else "no label among the tokens" if text.strip() else "empty answer"
        return Answer({}, 0.0, text, missing, tokens, refused=why)
    # a token that was not named is at most as probable as the last that was, and as all that was not named
    rest = 1 - math.fsum(math.exp(min(value, 0.0)) for value in named.values())
    floor = min(min(named.values()), math.log(max(rest, LEAST)))
    logprobs = {label: math.log(share) if share > 0 else floor for label, share in mass.items()}
    return Answer(logprobs, covered, text, missing, tokens)


def _named(logprobs: object) -> dict[str, float]:
    """Return the tokens that the first place of the answer could have had, with their log probabilities."""
    found: dict[str, float] = {}

    def take(token: object, value: object) -> None:
        if isinstance(token, str) and isinstance(value, int | float) and math.isfinite(value) and value <= 1e-3:
            found[token] = math.log(math.exp(found[token]) + math.exp(value)) if token in found else float(value)

    held = _mapping(logprobs)
    place = _first(held.get("content"))
    if place is not None:
        choices = place.get("top_logprobs")
        rows = cast("list[object]", choices) if isinstance(choices, list) and choices else [place]
        for row in rows:
            take(_mapping(row).get("token"), _mapping(row).get("logprob"))
        return found
    older = held.get("top_logprobs")
    if isinstance(older, list) and older:
        for token, value in _mapping(cast("list[object]", older)[0]).items():
            take(token, value)
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _first(value: object) -> Mapping[str, Any] | None:
    """Return the first mapping of a list, None without one."""
    if not isinstance(value, list) or not value:
        return None
    first = cast("list[object]", value)[0]
    return cast("Mapping[str, Any]", first) if isinstance(first, dict) else None
