"""What a build will cost: of a model that is not loaded, and of a server that may tell no probabilities."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from lpm.archetypes import install
from lpm.archetypes.answers import Answers
from lpm.archetypes.build import build, plan
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.elicitation import Action, Policy
from lpm.archetypes.estimate import Unloaded, estimate
from lpm.archetypes.limits import Limits
from lpm.archetypes.providers.embedded import Embedded
from lpm.archetypes.questions import Answer
from lpm.errors import InputError
from tests.archetypes.talker import Talker

CONTEXTS = Contexts((Variable("mood", (0.0, 1.0), unit="level", meaning="mood"),))
ACTIONS = Action("speak", "speak"), Action("none", "")
CARDS = ["Left.", "Right."]


def _model(folder: Path, size: int) -> str:
    path = folder / f"{size}.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF")
        file.truncate(size)
    return str(path)


def test_a_model_is_known_by_the_same_name_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ModuleType("xllamacpp")
    engine.__spec__ = ModuleSpec("xllamacpp", None)
    vars(engine).update(CommonParams=MagicMock(), Server=MagicMock())
    monkeypatch.setitem(sys.modules, "xllamacpp", engine)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9")
    file = _model(tmp_path, 100)
    assert Embedded(file).identity == Unloaded(file).identity
    with pytest.raises(InputError, match="none.gguf"):
        Unloaded("none.gguf")


def test_answers_of_a_model_that_is_not_loaded_are_found(tmp_path: Path) -> None:
    model = Unloaded(_model(tmp_path, 100))
    question = next(plan(CARDS, CONTEXTS, ACTIONS, Policy()))[2]
    with Answers(None) as answers:
        answers.keep("embedded", model.identity, question, Policy().stored, Answer({"yes": -1.0, "no": -1.0}, 0.7, "y"))
        told = estimate(CARDS, CONTEXTS, ACTIONS, model, answers)
    assert (told.questions, told.known, told.calls) == (10, 1, 9)


def test_a_larger_model_takes_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no model is here: the one that would be fetched
    small = estimate(CARDS, CONTEXTS, ACTIONS, Unloaded())
    tiny = estimate(CARDS, CONTEXTS, ACTIONS, Unloaded(_model(tmp_path, 5000)))
    assert tiny.seconds == pytest.approx(5000 / install.BYTES * small.seconds) and tiny.seconds > 0
    assert small.calls == tiny.calls == 10 and not small.measured


def test_answers_that_have_to_be_drawn_are_told_beside() -> None:
    server = Talker(name="server", at_once=4)
    plain = estimate(CARDS, CONTEXTS, ACTIONS, server, prices=(1.0, 2.0))
    drawn, four = Policy(samples=20), Limits(concurrency=4)
    told = estimate(CARDS, CONTEXTS, ACTIONS, server, policy=drawn, limits=four, prices=(1.0, 2.0))
    assert plain.drawn is None and told.drawn is not None and told.calls == plain.calls == 10
    assert told.drawn.calls == 20 * 10 + 2 * 4 and told.drawn.seconds > 20 * told.seconds
    assert told.drawn.price is not None and told.price is not None and told.drawn.price > 20 * told.price
    assert "10 calls" in told.told() and "up to 208 calls if the server tells no probabilities" in told.told()
    slow = estimate(CARDS, CONTEXTS, ACTIONS, server, policy=drawn, limits=Limits(per_second=0.5))
    assert slow.drawn is not None and slow.drawn.seconds >= 404
    options = [Action("speak", "speak"), Action("none", "be silent")]
    assert estimate(CARDS, CONTEXTS, options, server, policy=Policy("percent", samples=20)).drawn is None
    with Answers(None) as answers:
        build(CARDS, CONTEXTS, ACTIONS, server, answers, drawn)
        assert estimate(CARDS, CONTEXTS, ACTIONS, server, answers, drawn).drawn is None  # all is answered
