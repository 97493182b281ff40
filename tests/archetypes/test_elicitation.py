"""What answers amount to: closed forms of every way of asking, prompts, limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lpm.archetypes import prompts
from lpm.archetypes.elicitation import Action, Policy, Reading, orders, questions, reading
from lpm.archetypes.limits import Gate, LimitReached, Limits
from lpm.archetypes.questions import Answer, Question
from lpm.errors import InputError

OPTIONS = [Action("mask", "wear a mask"), Action("home", "stay at home"), Action("none", "go on as before")]


def of(shares: dict[str, float], coverage: float = 0.9) -> Answer:
    return Answer({label: math.log(share) for label, share in shares.items()}, coverage, "x")


def test_yes_and_no_are_averaged_over_both_orders_as_logits() -> None:
    actions = OPTIONS[0], Action("none", "")
    found = reading(Policy(), actions, [of({"yes": 0.6, "no": 0.2}), of({"yes": 0.1, "no": 0.4}, 0.5)])
    assert found.logit[0] == pytest.approx((math.log(3) + math.log(1 / 4)) / 2) and found.logit[1] == 0
    assert found.order_spread[0] == pytest.approx(0.75 - 0.2) and found.coverage[0] == np.float32(0.5)
    p = 1 / (1 + math.exp(-found.logit[0]))
    assert found.entropy[0] == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))
    assert found.usable.all() and found.logit.dtype == np.float32


@pytest.mark.parametrize("permutations", ["cyclic", "all"])
def test_a_prior_on_letters_is_divided_out_exactly(permutations: str) -> None:
    policy, prior = Policy(form="letters", permutations=permutations), np.array([0.5, 0.3, 0.2])
    true = np.array([0.2, 0.7, 0.1])
    answers: list[Answer] = []
    for order in orders(policy, 3):
        shares = prior * true[list(order)]
        answers.append(of(dict(zip("ABC", (shares / shares.sum()).tolist(), strict=True))))
    found = reading(policy, OPTIONS, answers)
    logit = found.logit.astype(float)
    assert np.exp(logit) / np.exp(logit).sum() == pytest.approx(true, abs=1e-6)
    assert (found.order_spread > 0.1).all() and found.entropy[0] == pytest.approx(
        -(true * np.log(true)).sum(), abs=1e-6
    )


def test_every_option_stands_once_at_every_letter() -> None:
    for count in range(2, 8):
        found = np.array(orders(Policy(), count))
        assert all(sorted(column) == list(range(count)) for column in found.T.tolist()) and len(found) == count
    assert orders(Policy(permutations="all"), 3) == list(itertools.permutations(range(3)))
    with pytest.raises(InputError, match="cyclic"):
        orders(Policy(permutations="all"), 6)


def test_options_are_shown_in_the_order_of_their_permutation() -> None:
    for question, order in zip(
        questions(Policy(form="letters"), OPTIONS, "A nurse.", "It rains."), orders(Policy(), 3), strict=True
    ):
        shown = [line for line in question.user.splitlines() if line[:3] in ("A: ", "B: ", "C: ")]
        assert [line[3:] for line in shown] == [OPTIONS[option].text for option in order]
        assert question.labels == ("A", "B", "C") and "It rains." in question.user and "A nurse." in question.system


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A: 20\nB: 30\nC: 50", (0.2, 0.3, 0.5)),
        ("  A) 20%\n- B = 30.0 %\n**C: 50", (0.2, 0.3, 0.5)),
        ("**A: 20**\n**B:** 30%\n- **C**: 50", (0.2, 0.3, 0.5)),
        ("A: 20 people\nB: 30 people.\nC: 50 percent", (0.2, 0.3, 0.5)),
        ("A: 20 of them\nB: 30\nC: 50", None),
        ("Of course:\nC: 96\nB: 2\nA: 0\nI hope that helps.", (0.005, 2 / 98, 96 / 98)),
        ("A: 20\nB: 30", None),
        ("A: 20\nB: 30\nC: 50\nC: 50", None),
        ("A: 20\nB: 30\nC: 500", None),
        ("A: 20\nB: 30\nC: 10", None),
        ("A: many\nB: few\nC: none", None),
        ("", None),
    ],
)
def test_stated_percentages_are_read_or_refused(text: str, expected: tuple[float, ...] | None) -> None:
    found = reading(Policy(form="percent"), OPTIONS, [Answer({}, math.nan, text, source="text")])
    if expected is None:
        assert not found.usable.any() and np.isnan(found.logit).all() and all(found.why)
    else:
        assert np.exp(found.logit) == pytest.approx(expected, rel=1e-5) and found.usable.all()


def test_what_is_refused_or_hardly_covered_is_unusable_and_alone() -> None:
    good, low, no = (
        of({"yes": 0.5, "no": 0.4}),
        of({"yes": 0.02, "no": 0.03}, 0.05),
        Answer({}, 0, "", refused="refused"),
    )

    def one(*answers: Answer) -> Reading:
        return reading(Policy(), OPTIONS, answers)

    found = one(good, good, good, low, no, good)
    assert found.usable.tolist() == [True, False, False] and found.why == ("", "low coverage", "refused")
    assert np.isnan(found.logit[1:]).all() and found.coverage[1] == np.float32(0.05)
    assert reading(Policy(least_coverage=0.01), OPTIONS, [good, good, good, low, good, good]).usable.all()
    letters = Answer({"A": -1.0, "B": -1.0, "C": -1.0}, 0.02, "x")
    assert not reading(Policy(form="letters"), OPTIONS, [letters] * 3).usable.any()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain text, 3 < 4 [5]", "plain text, 3 < 4 [5]"),
        ("a\x00b\x1bc\u202ed\u200be\ufefff", "abcdef"),
        ("a\r\n\r\n b\u2028c\td", "a\nb\nc d"),
        ("</person><|im_end|>[INST]<s>", "< /person>< |im_end|>[ INST]< s>"),
        ("<</person>", "< < /person>"),
        ("e\u0301", "\u00e9"),
        ("{card} {0} %s", "{card} {0} %s"),
    ],
)
def test_texts_are_cleaned_of_what_could_end_their_marks(given: str, expected: str) -> None:
    assert prompts.clean(given, "x") == expected == prompts.clean(expected, "x")


@pytest.mark.parametrize(
    "wrong",
    [{"form": "yes"}, {"permutations": "none"}, {"least_coverage": 2.0}, {"samples": -1}, {"top": 0}],
)
def test_a_policy_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="policy"):
        Policy(**wrong)  # pyright: ignore[reportArgumentType]


def test_requests_are_spaced_and_counted() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    gate = Gate(Limits(per_second=4, calls=6), clock=lambda: now[0], sleep=sleep)
    for _ in range(4):
        gate()
    assert slept == [0.25] * 3
    now[0] += 100  # idle time is not saved up
    gate()
    gate()
    assert slept == [0.25] * 4
    with pytest.raises(LimitReached, match="6 calls"):
        gate()
    for wrong in ({"concurrency": 0}, {"calls": -1}, {"per_second": 0.0}, {"per_second": math.nan}, {"failures": 0}):
        with pytest.raises(InputError, match="limits"):
            Limits(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_question_without_person_and_situation_says_nothing_of_them() -> None:
    for question in questions(Policy(), OPTIONS, None, None):
        assert question.system.count("N/A") == 1 and question.user.count("N/A") == 1
    assert isinstance(questions(Policy(), OPTIONS, "x", "")[0], Question)
    assert "situation" not in questions(Policy(), OPTIONS, "x", "")[0].user
