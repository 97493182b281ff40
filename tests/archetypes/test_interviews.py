"""Interviews: answers to a frame, the same prompts for the same people, nothing asked twice."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from lpm.archetypes.answers import Answers
from lpm.archetypes.interviews import SCHEMA, Inquiry, Respondent, interview
from lpm.archetypes.providers.rule import Rule
from lpm.archetypes.questions import Answer, Question
from lpm.errors import InputError
from tests.archetypes.talker import Talker, logprobs

PEOPLE = [Respondent(3, "A nurse of 70."), Respondent(3, "A nurse of 70.", 17, {"borough": "Queens", "income": "low"})]
ASKED = [
    Inquiry("Do you trust the mayor?", "yes-no"),
    Inquiry("What matters most?", "choice", ("health", "money", "friends")),
    Inquiry("What would you tell the mayor?"),
]


def says(question: Question) -> Answer:
    if not question.labels:
        return Answer({}, math.nan, "Close the bars.", source="text")
    return Answer(logprobs(question), 0.9, "x")


def test_answers_come_as_a_frame_with_a_row_an_option(tmp_path: Path) -> None:
    talker = Talker(says)
    with Answers(tmp_path / "a.sqlite") as answers:
        frame = interview(PEOPLE, ASKED, talker, situation="It is March 2020.", time=12.5, answers=answers)
        again = interview(PEOPLE, ASKED, talker, situation="It is March 2020.", time=12.5, answers=answers)
    assert len(talker.asked) == 2 * (2 + 3 + 1) and frame.equals(again)
    assert tuple(frame.columns) == SCHEMA and frame.height == 2 * (2 + 3 + 1)
    assert frame["time"].unique().to_list() == [12.5] and frame["agent"].to_list() == [None] * 6 + [17] * 6
    typed = frame.filter(pl.col("option").is_not_null())
    sums = typed.group_by("agent", "question").agg(pl.col("probability").sum())["probability"]
    assert len(sums) == 4 and (sums - 1).abs().max() < 1e-6  # pyright: ignore[reportOperatorIssue]
    assert frame.filter(pl.col("option").is_null())["text"].to_list() == ["Close the bars."] * 2
    assert (frame["why"] == "").all() and typed["coverage"].min() == pytest.approx(0.9)
    assert "borough: Queens\nincome: low" in talker.asked[-1].system and "March 2020" in talker.asked[-1].user
    odds = [logprobs(q)["yes"] - logprobs(q)["no"] for q in talker.asked[:2]]
    assert frame["probability"][0] == pytest.approx(1 / (1 + math.exp(-sum(odds) / 2)), abs=1e-6)


def test_answers_that_are_no_use_are_told_and_not_filled() -> None:
    frame = interview(PEOPLE[:1], ASKED, Talker(lambda q: Answer({}, 0.0, "I'm sorry", refused="refused")))
    assert frame["why"].to_list() == ["refused"] * 6 and frame["probability"].null_count() == 6


def test_what_cannot_be_asked_is_refused() -> None:
    for wrong in (
        {"kind": "maybe"}, {"kind": "choice"}, {"kind": "choice", "options": ("a",)}, {"options": ("a", "b")},
        {"tokens": 0},
    ):  # fmt: skip
        with pytest.raises(InputError, match="inquiry 'x'"):
            Inquiry("x", **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="expected a language model, got the provider 'rule'"):
        interview(PEOPLE, ASKED, Rule({"a": "1"}))
    with pytest.raises(InputError, match="inquiry: expected a text"):
        interview(PEOPLE, [Inquiry("\x00")], Talker(says))
