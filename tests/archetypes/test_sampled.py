"""Contexts too many for a table: some cells are asked, and a net learns the formula behind the answers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.archetypes import sampled
from lpm.archetypes.answers import Answers
from lpm.archetypes.behaviour_net import Distilled
from lpm.archetypes.build import build
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.elicitation import Action, Policy
from lpm.archetypes.providers.rule import Rule
from lpm.archetypes.questions import Answer, Question
from lpm.archetypes.sampled import Sampled, build_sampled, drawn, values_at
from lpm.errors import InputError
from tests.archetypes.talker import Talker

VAST = Contexts(tuple(Variable(name, tuple(range(12)), "", "") for name in "abcdef"))
CARDS = tuple(f"A person of kind {kind}." for kind in range(4))
ACTIONS = (Action("go", "go out"), Action("stay", ""))
POLICY = Policy(content_free=False)


def odds(kind: Any, a: Any, b: Any) -> Any:
    """The formula: each kind leans to one side, and heeds two of the six variables."""
    return kind - 1.5 + 0.4 * (a - 5.5) * np.where(kind > 1, 1, -1) + 0.2 * (b - 5.5)


def says(question: Question) -> Answer:
    kind = re.search(r"kind (\d)", question.system)
    a, b = (re.search(rf"\b{name}: (\d+)", question.user) for name in "ab")
    assert kind and a and b
    p = 1 / (1 + math.exp(-float(odds(int(kind[1]), int(a[1]), int(b[1])))))
    return Answer({"yes": math.log(p), "no": math.log(1 - p)}, 1.0, "x")


def test_a_product_that_no_table_holds_can_be_declared_and_is_refused_as_a_table() -> None:
    assert VAST.size == 12**6
    with pytest.raises(InputError, match="at most 1,000,000 cells of a table, got 2,985,984"):
        build(CARDS, VAST, ACTIONS, Talker(says), policy=POLICY)


def test_cells_are_drawn_by_the_seed_and_each_once() -> None:
    rows, places = drawn(4, VAST, 500, 7)
    assert len(set(zip(rows.tolist(), places.tolist(), strict=True))) == 500 and (np.diff(rows) >= 0).all()
    assert np.array_equal(places, drawn(4, VAST, 500, 7)[1]) and not np.array_equal(places, drawn(4, VAST, 500, 8)[1])
    # 500 of 4 kinds alike: |count - 125| > 48 has a chance of about 3e-6 each
    assert np.abs(np.bincount(rows, minlength=4) - 125).max() < 48
    place = int(places[3])
    assert values_at(VAST, places)[3].tolist() == [float(each) for each in VAST.anchor(place)]
    small = Contexts((Variable("a", (0, 1), "", ""),))
    assert len(drawn(4, small, 8, 0)[0]) == 8
    for wrong, count in ((small, 9), (small, 0)):
        with pytest.raises(InputError, match="expected 1 to 8 cells"):
            drawn(4, wrong, count, 0)
    with pytest.raises(InputError, match="2\\^63"):
        drawn(4, Contexts(tuple(Variable(f"v{i}", tuple(range(10)), "", "") for i in range(19))), 5, 0)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No net is fitted."""

    def none(*_: object, **__: object) -> Any:
        return None

    monkeypatch.setattr(sampled, "distil", none)


def test_only_the_drawn_cells_are_asked_and_nothing_twice(tmp_path: Path, bare: None) -> None:
    talker = Talker(says)
    with Answers(tmp_path / "a.sqlite") as answers:
        made = build_sampled(CARDS, VAST, ACTIONS, talker, 30, seed=3, answers=answers, policy=POLICY)
        assert len(talker.asked) == 60
        build_sampled(CARDS, VAST, ACTIONS, talker, 30, seed=3, answers=answers, policy=POLICY)
        assert len(talker.asked) == 60
    kind, (a, b) = made.cells.archetype, made.cells.values[:, :2].T
    np.testing.assert_allclose(made.cells.probability[:, 0], 1 / (1 + np.exp(-odds(kind, a, b))), rtol=1e-5)
    assert made.asked == 30 and made.of == 4 * 12**6 and not made.why


def test_answers_of_no_use_are_counted_and_the_content_free_prompt_is_subtracted(bare: None) -> None:
    def some(question: Question) -> Answer:
        if "N/A" in question.system:
            return Answer({"yes": math.log(0.8), "no": math.log(0.2)}, 1.0, "x")
        return Answer({}, 0.0, "", refused="refused") if "kind 2" in question.system else says(question)

    made = build_sampled(CARDS, VAST, ACTIONS, Talker(some), 40, policy=Policy())
    assert made.why == {"refused": 40 - len(made.cells.archetype)} and 2 not in made.cells.archetype
    kind, (a, b) = made.cells.archetype, made.cells.values[:, :2].T
    expected = 1 / (1 + np.exp(math.log(4) - odds(kind, a, b)))
    np.testing.assert_allclose(made.cells.probability[:, 0], expected, rtol=1e-5)
    with pytest.raises(InputError, match="none of 5 cells is of use \\(refused: 5\\)"):
        build_sampled(CARDS, VAST, ACTIONS, Talker(lambda q: Answer({}, 0.0, "", refused="refused")), 5, policy=POLICY)


def test_a_formula_needs_no_model(bare: None) -> None:
    people = pl.DataFrame({"weight": [1.0, 2.0, 3.0, 4.0], "lean": [-1.0, 0.0, 1.0, 2.0]})
    rule = Rule({"go": "lean + a / 10", "stay": "0"})
    made = build_sampled(CARDS, VAST, ACTIONS, rule, 20, archetypes=people)
    logit = people["lean"].to_numpy()[made.cells.archetype] + made.cells.values[:, 0] / 10
    np.testing.assert_allclose(made.cells.probability[:, 0], 1 / (1 + np.exp(-logit)), rtol=1e-5)
    assert made.cells.weight.tolist() == [1.0 + kind for kind in made.cells.archetype]


@pytest.mark.full
def test_the_net_learns_the_formula_from_a_few_of_three_million_cells() -> None:
    made = build_sampled(CARDS, VAST, ACTIONS, Talker(says), 900, policy=POLICY, steps=800, width=32, embedding=6)
    assert isinstance(made, Sampled) and isinstance(made.distilled, Distilled) and made.distilled.unseen.cells == 180
    assert made.distilled.unseen.divergence < made.distilled.guess.divergence / 4
    # cells that nobody asked: the error told is that on any cell
    rows, places = drawn(4, VAST, 2000, 99)
    values = values_at(VAST, places)
    p = 1 / (1 + np.exp(-odds(rows, values[:, 0], values[:, 1])))
    apart = np.abs(made.distilled.probability(rows, values)[:, 0] - p).mean()
    assert apart == pytest.approx(made.distilled.unseen.variation, rel=0.35)
    assert "900 of 11,943,936 cells asked, 0 of no use" in str(made) and "held out" in str(made)
