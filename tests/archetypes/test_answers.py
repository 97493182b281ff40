"""The file of answers: readable, exact, safe against other files, damage and two writers."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lpm.archetypes.answers import Answers, key_of
from lpm.archetypes.questions import Answer, Question
from lpm.errors import Fault, InputError

IDENTITY = {"model": "m", "sha256": "0" * 64, "runtime": "r 1"}
QUESTION = Question("You are 70.", "Would you? Answer yes or no.", ("yes", "no"))
ANSWER = Answer({"yes": -0.1234567890123456789, "no": -3.0}, 0.75, "Yes ünd 'x'\n", ("no",), 40, 0.5)


def test_an_answer_comes_back_bit_for_bit(tmp_path: Path) -> None:
    with Answers(tmp_path / "deep" / "a.sqlite") as answers:
        assert answers.find(IDENTITY, QUESTION, "p") is None
        answers.keep("test", IDENTITY, QUESTION, "p", ANSWER)
        answers.keep("test", IDENTITY, QUESTION, "p", replace(ANSWER, text="later"))  # the first one stays
        assert answers.find(dict(reversed(IDENTITY.items())), QUESTION, "p") == ANSWER and len(answers) == 1
        free = Answer({}, math.nan, "a lone \ud800 surrogate", source="text")
        answers.keep("test", IDENTITY, replace(QUESTION, labels=()), "p", free)
        back = answers.find(IDENTITY, replace(QUESTION, labels=()), "p")
        assert back is not None and back.text == "a lone ? surrogate" and math.isnan(back.coverage)
    with Answers(tmp_path / "deep" / "a.sqlite") as answers:
        assert answers.find(IDENTITY, QUESTION, "p") == ANSWER
        assert answers.identities() == [IDENTITY]
        frame = answers.frame()
    assert {"You are 70."} == set(frame["system"]) and frame["made"].str.len_chars().min() == 25


def test_everything_that_decides_an_answer_is_in_its_key() -> None:
    keys = {
        key_of(IDENTITY, QUESTION, "p"),
        key_of({**IDENTITY, "runtime": "r 2"}, QUESTION, "p"),
        key_of(IDENTITY, QUESTION, "q"),
        key_of(IDENTITY, replace(QUESTION, system=""), "p"),
        key_of(IDENTITY, replace(QUESTION, user=QUESTION.system, system=QUESTION.user), "p"),
        key_of(IDENTITY, replace(QUESTION, labels=("no", "yes")), "p"),
        key_of(IDENTITY, replace(QUESTION, samples=5), "p"),
        key_of(IDENTITY, replace(QUESTION, tokens=2), "p"),
        key_of(IDENTITY, replace(QUESTION, temperature=0.5), "p"),
        key_of(IDENTITY, replace(QUESTION, top=5), "p"),
    }
    assert len(keys) == 10


def test_other_files_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, " * 100)
    with pytest.raises(InputError, match="another or a damaged one"):
        Answers(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("create table answers (x)")
    other.commit()
    other.close()
    with pytest.raises(InputError, match="of another program"):
        Answers(tmp_path / "other")
    with pytest.raises(Fault, match="cannot be opened"):
        Answers(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="cannot be opened"):
        Answers(tmp_path / "file" / "a.sqlite")
    with Answers(tmp_path / "later") as answers:
        answers.keep("test", IDENTITY, QUESTION, "p", ANSWER)
    later = sqlite3.connect(tmp_path / "later")
    later.execute("update answers set logprobs = '{'")
    later.commit()
    with Answers(tmp_path / "later") as answers, pytest.raises(InputError, match="damaged"):
        answers.find(IDENTITY, QUESTION, "p")
    later.execute("pragma user_version = 9")
    later.close()
    with pytest.raises(InputError, match="version 9"):
        Answers(tmp_path / "later")


WRITER = """
import sys
from lpm.archetypes.answers import Answers
from tests.archetypes import test_answers as t
from dataclasses import replace
with Answers(sys.argv[1]) as answers:
    for number in range(100):
        question = replace(t.QUESTION, user=str(number))
        answers.keep("test", t.IDENTITY, question, "p", t.ANSWER)
"""


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    with Answers(path) as answers:
        assert len(answers) == 100
