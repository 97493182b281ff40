"""A table replayed for other people: every archetype gets its own answers, or none."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import polars as pl
import pytest

from lpm.archetypes import install
from lpm.archetypes.build import build
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.elicitation import Action, Policy
from lpm.archetypes.providers.recorded import RecordedTable
from lpm.archetypes.questions import Answer, Question
from lpm.errors import Fault, InputError
from tests.archetypes.talker import Talker, logprobs

CONTEXTS = Contexts((Variable("incidence", (0.0, 10.0), unit="cases", meaning="new cases"),))
ACTIONS = Action("mask", "wear a mask in shops"), Action("none", "")
PEOPLE = pl.DataFrame({"weight": [30.0, 20.0, 10.0], "age": ["18-44", "45-64", "65+"], "place": ["n", "s", "n"]})
CARDS = ["Young.", "Middle.", "Old."]


def _recorded(people: pl.DataFrame | None = PEOPLE):
    talker = Talker(identity={"model": "m.gguf", "sha256": install.SHA256, "runtime": "1"})
    return build(CARDS, CONTEXTS, ACTIONS, talker, archetypes=people)


def test_archetypes_are_found_by_who_they_are_and_not_by_their_number() -> None:
    table, turned = _recorded(), [2, 0, 1]
    other = PEOPLE[turned].with_columns(weight=pl.Series([50.0, 40.0, 5.0]), agents=pl.Series([5, 4, 1]))
    again = build([CARDS[i] for i in turned], CONTEXTS, ACTIONS, RecordedTable(table), archetypes=other)
    assert np.abs(again.probability - table.probability[turned]).max() < 1e-6
    assert again.provenance["looked_up_by"] == "age, place" and "cards_unlike_recorded" not in again.provenance
    part = build(["Old man."], CONTEXTS, ACTIONS, RecordedTable(table), archetypes=other[:1])
    assert np.abs(part.probability - table.probability[2:]).max() < 1e-6
    assert part.provenance["cards_unlike_recorded"] == 1
    new = other.with_columns(age=pl.Series(["65+", "18-44", "90+"]))
    with pytest.raises(Fault, match=r"2 of 6 cells have no row \(not recorded: age = 90\+, place = s: 2\)"):
        build(CARDS, CONTEXTS, ACTIONS, RecordedTable(table), archetypes=new)
    with pytest.raises(InputError, match="unknown column of the archetypes 'place'"):
        build(CARDS, CONTEXTS, ACTIONS, RecordedTable(table), archetypes=other.drop("place"))
    with pytest.raises(InputError, match="'age': expected categories as in the table, got numbers"):
        build(CARDS, CONTEXTS, ACTIONS, RecordedTable(table), archetypes=other.with_columns(age=pl.lit(4)))


def test_without_common_columns_the_card_tells_who_it_is() -> None:
    table = _recorded(None)
    again = build(CARDS[::-1], CONTEXTS, ACTIONS, RecordedTable(table), archetypes=PEOPLE)
    assert np.abs(again.probability - table.probability[::-1]).max() < 1e-6
    assert again.provenance["looked_up_by"] == "card"
    with pytest.raises(Fault, match=r"2 of 6 cells have no row \(not recorded: the card of 1: 2\)"):
        build([CARDS[0], "Somebody.", CARDS[2]], CONTEXTS, ACTIONS, RecordedTable(table))
    alike = replace(table, archetypes=table.archetypes.with_columns(card=pl.Series(["Old.", "Young.", "Old."])))
    with pytest.raises(Fault, match="4 of 6 cells"):  # nobody "Middle.", two "Old." of different answers
        build(CARDS, CONTEXTS, ACTIONS, RecordedTable(alike))


def test_clusters_get_the_answers_of_the_nearest() -> None:
    made = pl.DataFrame({
        "archetype": [0, 1, 2], "weight": [5.0, 3.0, 2.0], "age": [20.0, 50.0, 80.0], "age.sd": [5.0, 6.0, 7.0],
        "place": ["n", "s", "s"], "place.share": [0.9, 0.8, 0.7],
    })  # fmt: skip
    cards = [f"{row['age']:.0f}, {row['place']}" for row in made.iter_rows(named=True)]
    table = build(cards, CONTEXTS, ACTIONS, Talker(), archetypes=made)
    turned = made[::-1].with_columns(archetype=pl.int_range(made.height), age=pl.col("age") + 8)
    again = build(cards[::-1], CONTEXTS, ACTIONS, RecordedTable(table), archetypes=turned)
    assert np.abs(again.probability - table.probability[::-1]).max() < 1e-6
    assert again.provenance["looked_up_by"] == "age, place" and "cards_unlike_recorded" not in again.provenance


def test_the_provenance_says_recorded_and_keeps_the_model_s() -> None:
    table = _recorded()
    table = replace(table, provenance={**table.provenance, "agents": 60, "date": "2001-01-01", "unusable: refused": 7})
    once = build(CARDS, CONTEXTS, ACTIONS, RecordedTable(table), archetypes=PEOPLE)
    twice = build(CARDS, CONTEXTS, ACTIONS, RecordedTable(once), archetypes=PEOPLE)
    for made in (once, twice):
        told = made.provenance
        assert told["provider"] == "recorded" and told["recorded_provider"] == "talker"
        assert told["model"] == "m.gguf" and told["model_sha256"] == install.SHA256 and told["runtime"] == "1"
        assert "Apache-2.0" in str(told["licence"]) and told["policy"] == Policy().told()
        assert told["recorded_date"] == "2001-01-01" != told["date"] and told["recorded_agents"] == 60
        assert told["questions"] == 6 and told["recorded_questions"] == 14
        assert told["recorded_unusable: refused"] == 7 and "unusable: refused" not in told


def test_answers_that_are_only_bounded_are_counted() -> None:
    def says(question: Question) -> Answer:
        missing = ("no",) if "Old" in question.system and "10" in question.user else ()
        return Answer(logprobs(question), 0.9, "x", missing)

    assert not [name for name in _recorded().provenance if name.startswith("bounded")]
    told = build(CARDS, CONTEXTS, ACTIONS, Talker(says), archetypes=PEOPLE).provenance
    assert told["bounded: no was not named"] == 2  # both orders of the one cell
    letters = Policy(form="letters", content_free=False)

    def drawn(question: Question) -> Answer:  # a label that was never drawn has an estimate, not a bound
        return Answer(logprobs(question), 0.9, "x", ("B",), source="samples")

    shown = ACTIONS[0], Action("none", "do nothing")
    made = build(CARDS, CONTEXTS, shown, Talker(drawn), policy=letters)
    assert not [name for name in cast("dict[str, str]", made.provenance) if name.startswith("bounded")]
