"""The HTTP provider against endpoints that behave, and that misbehave on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from lpm.archetypes.answers import Answers
from lpm.archetypes.build import build
from lpm.archetypes.limits import Limits
from lpm.archetypes.providers.server import Server
from lpm.archetypes.questions import Question, Unanswered
from lpm.errors import Fault, InputError
from tests.archetypes.endpoint import endpoint, reply, told
from tests.archetypes.misdeeds import (
    ACTIONS,
    ASKED,
    CARDS,
    CONTEXTS,
    MISDEEDS,
    QUESTION,
    Slept,
    always,
    bare,
    now_and_then,
    server,
    status,
)


def test_probabilities_of_a_label_are_those_of_its_spellings() -> None:
    tokens = {"Yes": 0.3, " yes": 0.2, "\u2581YES": 0.05, " no": 0.25, "No.": 0.05, "Yesterday": 0.1}
    with endpoint(lambda h, r, n: reply(h, told(tokens, "Yes")) is None) as made:
        answer = server(made.url).ask(QUESTION)
    assert math.exp(answer.logprobs["yes"]) == pytest.approx(0.55) and math.exp(answer.logprobs["no"]) == pytest.approx(
        0.3
    )
    assert answer.coverage == pytest.approx(0.85) and answer.missing == () and answer.prompt_tokens == 50
    assert made.seen[0]["max_tokens"] == 1 and made.seen[0]["logprobs"] is True and made.seen[0]["temperature"] == 0


def test_the_older_shape_is_read_too() -> None:
    older = {"choices": [{"text": "no", "logprobs": {"top_logprobs": [{" yes": -2.0, " no": -0.2}], "tokens": ["no"]}}]}
    with endpoint(lambda h, r, n: reply(h, older) is None) as made:
        answer = server(made.url + "/chat/completions").ask(QUESTION)
    assert answer.logprobs == pytest.approx({"yes": -2.0, "no": -0.2})


def test_a_label_that_is_not_named_has_the_least_probability_that_is() -> None:
    with endpoint(lambda h, r, n: reply(h, told({"yes": 0.7, "I": 0.2, "The": 0.03}, "yes")) is None) as made:
        answer = server(made.url).ask(QUESTION)
    assert answer.missing == ("no",) and math.exp(answer.logprobs["no"]) == pytest.approx(0.03)
    assert answer.coverage == pytest.approx(0.7)


def test_a_server_that_names_one_token_only_leaves_the_rest_to_the_other_label() -> None:
    alone = {"choices": [{"message": {"content": "yes"}, "logprobs": {"content": [{"token": "yes", "logprob": -0.1}]}}]}
    with endpoint(lambda h, r, n: reply(h, alone) is None) as made:
        answer = server(made.url).ask(QUESTION)
    assert math.exp(answer.logprobs["no"]) == pytest.approx(1 - math.exp(-0.1)) and answer.missing == ("no",)


@pytest.mark.parametrize("name", MISDEEDS)
def test_what_may_pass_is_tried_again_a_bounded_number_of_times(name: str) -> None:
    deed, why = MISDEEDS[name]
    slept: Slept = []
    with endpoint(always(deed)) as made:
        with pytest.raises(Unanswered, match=why):
            server(made.url, slept, attempts=3, timeout=0.25).ask(QUESTION)
        assert len(made.seen) == 3 and slept == [0.5, 1.0]
    with endpoint(now_and_then(deed, 2)) as made:
        asked = server(made.url, slept, attempts=2, timeout=0.25)
        answers = [asked.ask(QUESTION) for _ in range(3)]
    assert len({tuple(each.logprobs.items()) for each in answers}) == 1 and len(made.seen) == 5


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_build_keeps_what_it_has_and_the_next_one_asks_only_the_rest(name: str, tmp_path: Path) -> None:
    deed, why = MISDEEDS[name]
    slept: Slept = []

    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        if "student" in request["messages"][0]["content"]:
            deed(handler)
            return True
        return False

    with Answers(tmp_path / "answers.sqlite") as answers:
        with endpoint(trouble) as made, pytest.raises(Fault) as error:
            build(CARDS, CONTEXTS, ACTIONS, _named(server(made.url, slept, attempts=2, timeout=0.25)), answers,
                  limits=Limits(concurrency=4))  # fmt: skip
        told = str(error.value)
        assert f"4 of {ASKED} questions have no answer ({why}" in told and f"the {ASKED - 4} answers are kept" in told
        assert "\n" not in told and len(answers) == ASKED - 4 and len(made.seen) == ASKED - 4 + 8
        with endpoint() as made:
            table = build(CARDS, CONTEXTS, ACTIONS, _named(server(made.url)), answers)
        assert len(made.seen) == 4 and table.usable.all()


def _named(made: Server) -> Server:
    """Give a server an identity without its port, which differs in every test."""
    made.identity = {"url": "http://test", "model": "m"}
    return made


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("7", 7, 7),
        ("900", 30, 30),
        ("a date", 5, 20),
        ("soon", 0.5, 0.5),
        ("-3", 0.5, 0.5),
        ("nan", 0.5, 0.5),
    ],
)
def test_retry_after_is_heeded_up_to_a_bound(told: str, least: float, most: float) -> None:
    slept: Slept = []
    if told == "a date":
        told = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    deed = status(429, retry_after=told)
    with endpoint(lambda h, r, n: n == 1 and deed(h) is None) as made:
        server(made.url, slept, longest_pause=30).ask(QUESTION)
    assert len(slept) == 1 and least <= slept[0] <= most


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (bare("", refusal="I can't help with that."), "refused"),
        (lambda h: reply(h, {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}), "refused"),
        (lambda h: reply(h, told({"I'm sorry, I": 0.9, "As": 0.1}, "I'm sorry, I")), "refused"),
        (lambda h: reply(h, told({"Да": 0.8, "Нет": 0.1, "Oui": 0.1}, "Да")), "no label among the tokens"),
        (lambda h: reply(h, told({"": 0.9, "\n": 0.1}, "")), "empty answer"),
        (lambda h: reply(h, told({"Sure": 0.93, "yes": 0.04, "no": 0.03}, "Sure")), "low coverage"),
    ],
    ids=["refusal field", "content filter", "refusal in words", "wrong language", "empty", "another word"],
)
def test_an_answer_that_is_no_use_marks_its_cell_and_nothing_is_filled_in(
    deed: Callable[[BaseHTTPRequestHandler], None], why: str
) -> None:
    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        if "student" in request["messages"][0]["content"]:
            deed(handler)
            return True
        return False

    with endpoint(trouble) as made:
        table = build(CARDS, CONTEXTS, ACTIONS, server(made.url), limits=Limits(concurrency=4))
    assert not table.usable[1, :, 0].any() and table.usable[[0, 2]].all() and table.usable[:, :, 1].all()
    assert math.isnan(table.logit[1, 0, 0]) and table.provenance[f"unusable: {why}"] == CONTEXTS.size
    with pytest.raises(InputError, match="2 of 6 cells"):
        table.checked()


def test_samples_stand_in_where_a_server_tells_no_probabilities() -> None:
    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        bare("Yes." if request.get("seed", 0) % 4 else "no")(handler)
        return True

    with endpoint(trouble) as made:
        asked = server(made.url)
        answer = asked.ask(Question("a", "b", ("yes", "no"), samples=20))
        first = len(made.seen)
        asked.ask(Question("a", "c", ("yes", "no"), samples=20))
        assert first == 22 and len(made.seen) == 42  # that it tells none is found out once
        with pytest.raises(InputError, match="no token probabilities; draw samples"):
            server(made.url).ask(QUESTION)
    assert answer.source == "samples" and answer.coverage == 1
    assert math.exp(answer.logprobs["yes"]) == pytest.approx(15.5 / 21)


def test_a_server_that_refuses_the_very_question_for_probabilities_is_asked_for_samples() -> None:
    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        if "logprobs" in request:
            reply(handler, {"error": "logprobs is not supported"}, 400)
        else:
            bare("no")(handler)
        return True

    with endpoint(trouble) as made:
        assert server(made.url).ask(Question("a", "b", ("yes", "no"), samples=5)).missing == ("yes",)


def test_probabilities_missing_once_are_asked_for_again() -> None:
    with endpoint(now_and_then(bare("yes"), 3)) as made:
        asked = server(made.url)
        assert {asked.ask(QUESTION).source for _ in range(6)} == {"logprobs"}
